"""sse-starlette on uvicorn with uvloop and httptools, with the command line of the other servers."""

import argparse
import asyncio
import json
import os
import socket
import time

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.routing import Route

parser = argparse.ArgumentParser()
parser.add_argument("--mode", default="fanout")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--rate", type=float, default=50)
parser.add_argument("--burst", type=int, default=1)
parser.add_argument("--keep-alive-ms", type=int, default=15000)
parser.add_argument("--window-ms", type=int, default=0)
args = parser.parse_args()

DATA = "x" * args.size
queues = set()


def stamped():
    return str(time.time_ns()).ljust(args.size, "x")


async def events():
    if args.mode == "idle":
        yield ServerSentEvent(DATA)
        await asyncio.Event().wait()
    while args.mode == "flood":
        yield ServerSentEvent(DATA)
    queue = asyncio.Queue()
    queues.add(queue)
    try:
        while True:
            yield ServerSentEvent(await queue.get())
    finally:
        queues.discard(queue)


async def stream(request):
    return EventSourceResponse(events(), ping=max(1, args.keep_alive_ms // 1000))


async def publish():
    due = time.monotonic()
    while True:
        for _ in range(args.burst):
            data = stamped()
            for queue in queues:
                queue.put_nowait(data)
        due = max(due + 1 / args.rate, time.monotonic() - 1)
        await asyncio.sleep(max(0, due - time.monotonic()))


async def main():
    listener = socket.create_server(("127.0.0.1", args.port), backlog=4096)
    app = Starlette(routes=[Route("/", stream)])
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", log_level="warning", access_log=False, backlog=4096
    )
    publishing = asyncio.create_task(publish()) if args.mode == "fanout" else None
    print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])
    if publishing:
        publishing.cancel()


import uvloop

uvloop.run(main())
