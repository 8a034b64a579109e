# Usage: anthropic_client.py URL PROMPT KEY [LEAVE], with the number of events after which it leaves.
import sys

import anthropic

from report import report

url, prompt, key, *leave = sys.argv[1:]
client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
try:
    messages = [{"role": "user", "content": prompt}]
    with client.messages.stream(model="parrot", max_tokens=100, messages=messages) as stream:
        for count, event in enumerate(stream, 1):
            if event.type == "content_block_delta":
                report("text", event.delta.text)
            elif event.type != "text":
                report("event", event.type)
            if leave and count == int(leave[0]):
                break
        else:
            final = stream.get_final_message()
            report("final", {"text": final.content[0].text, "stop": final.stop_reason,
                             "usage": [final.usage.input_tokens, final.usage.output_tokens]})
    report("end")
except anthropic.APIError as error:
    status = getattr(error, "status_code", None)
    report("error", {"kind": type(error).__name__, "status": status, "message": str(error)})
