# Usage: mcp_client.py TRANSPORT URL TEXT [LEAVE], with `sse` or `http`, and the number of words after which it cancels.
import asyncio
import sys

from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from report import report

kind, url, text, *leave = sys.argv[1:]


async def main():
    transport = sse_client(f"{url}/sse") if kind == "sse" else streamable_http_client(f"{url}/mcp")
    async with Client(transport) as client:
        report("server", client.server_info.name)
        report("tools", [tool.name for tool in (await client.list_tools()).tools])
        left = asyncio.Event()

        async def progress(progress, total, message):
            report("text", message)
            if leave and progress == int(leave[0]):
                left.set()

        call = asyncio.create_task(client.call_tool("ask", {"text": text}, progress_callback=progress))
        if leave:
            await left.wait()
            call.cancel()
        try:
            result = await call
            report("result", {"text": result.content[0].text, "isError": result.is_error})
        except asyncio.CancelledError:
            report("cancelled")
    report("end")


asyncio.run(main())
