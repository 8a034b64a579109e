# Prints a line of JSON for each thing that a client has reported.
import json


def report(kind, value=None):
    print(json.dumps({kind: value}), flush=True)
