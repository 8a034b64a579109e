"""nchan in an nginx with one worker, with the command line of the other servers. This process publishes."""

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("folder", help="where nginx is unpacked")
parser.add_argument("--mode", default="fanout")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--rate", type=float, default=50)
parser.add_argument("--burst", type=int, default=1)
parser.add_argument("--keep-alive-ms", type=int, default=15000)
parser.add_argument("--window-ms", type=int, default=0)
args = parser.parse_args()
if args.mode == "flood":
    sys.exit("nchan has no events for one stream alone")

with socket.create_server(("127.0.0.1", args.port)) as free:
    port = free.getsockname()[1]

place = tempfile.mkdtemp(prefix="nchan-")
config = f"""
load_module {args.folder}/usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 18000; }}
http {{
    access_log off;
    nchan_shared_memory_size 256m;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = / {{
            nchan_subscriber eventsource;
            nchan_channel_id all;
            nchan_subscriber_first_message {"oldest" if args.mode == "idle" else "newest"};
            nchan_eventsource_ping_interval {max(1, args.keep_alive_ms // 1000)};
        }}
        location = /publish {{
            nchan_publisher http;
            nchan_channel_id all;
            nchan_message_buffer_length {1 if args.mode == "idle" else 200};
            nchan_message_timeout 1h;
        }}
    }}
}}
"""


def die_with_parent():
    libc = ctypes.CDLL(None)
    libc.prctl(1, signal.SIGTERM)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


# Debian's nginx always creates its folders here, regardless of its configuration.
os.makedirs("/var/lib/nginx", exist_ok=True)
with open(f"{place}/nginx.conf", "w") as file:
    file.write(config)
nginx = subprocess.Popen(
    [f"{args.folder}/usr/sbin/nginx", "-p", place, "-c", f"{place}/nginx.conf", "-e", "stderr"],
    preexec_fn=die_with_parent,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
)

for _ in range(100):
    try:
        publisher = socket.create_connection(("127.0.0.1", port))
        break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit("nginx does not listen")
publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def name_of(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()


worker = next(child for child in children(nginx.pid) if "worker" in name_of(child))


def post(data):
    head = "POST /publish HTTP/1.1\r\nHost: nchan\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n{data}".encode()


def publish(count):
    """Publishes so many, pipelined, and waits for as many answers."""
    stamped = (str(time.time_ns()).ljust(args.size, "x") for _ in range(count))
    publisher.sendall(b"".join(post(data) for data in stamped))
    answers = b""
    while answers.count(b"HTTP/1.1 20") < count:
        read = publisher.recv(1 << 16)
        if not read:
            sys.exit("nginx has closed the publisher's connection")
        answers += read


if args.mode == "idle":
    publish(1)
print(json.dumps({"port": port, "pid": worker}), flush=True)
due = time.monotonic()
while args.mode == "fanout":
    publish(args.burst)
    due = max(due + 1 / args.rate, time.monotonic() - 1)
    time.sleep(max(0, due - time.monotonic()))
nginx.wait()
