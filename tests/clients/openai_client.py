# Usage: openai_client.py URL PROMPT KEY [LEAVE], with the number of chunks after which it leaves.
import sys

import openai

from report import report

url, prompt, key, *leave = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
try:
    messages = [{"role": "user", "content": prompt}]
    with client.chat.completions.create(model="parrot", messages=messages, stream=True) as stream:
        for count, chunk in enumerate(stream, 1):
            choice = chunk.choices[0]
            if choice.delta.content:
                report("text", choice.delta.content)
            if choice.finish_reason:
                report("finish", choice.finish_reason)
            if leave and count == int(leave[0]):
                break
    report("end")
except openai.APIError as error:
    status = getattr(error, "status_code", None)
    report("error", {"kind": type(error).__name__, "status": status, "message": error.message})
