// better-sse on node's own HTTP server, with the command line of the other servers.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { createChannel, createEventBuffer, createSession } from "better-sse";

const text = { type: "string" };
const { values } = parseArgs({
  options: { mode: text, port: text, size: text, rate: text, burst: text, "keep-alive-ms": text, "window-ms": text },
});
const { mode = "fanout" } = values;
const number = (name, usual) => Number(values[name] ?? usual);
const [size, rate, burst] = [number("size", 64), number("rate", 50), number("burst", 1)];
const keepAlive = number("keep-alive-ms", 15000);
// Without this, data would be encoded as JSON.
const serializer = (data) => data;
const data = "x".repeat(size);

function stamped() {
  const nanos = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
  return nanos.toString().padEnd(size, "x");
}

const channel = createChannel();

const server = createServer(async (request, response) => {
  const session = await createSession(request, response, { serializer, keepAlive, retry: null });
  if (mode === "fanout") {
    channel.register(session);
  } else if (mode === "idle") {
    session.push(data);
  } else {
    flood(session, response);
  }
});

function flood(session, response) {
  let open = true;
  response.once("close", () => (open = false));
  const more = () => {
    while (open) {
      session.push(data);
      if (response.writableNeedDrain) {
        response.once("drain", more);
        return;
      }
    }
  };
  more();
}

function publish() {
  if (burst === 1) {
    channel.broadcast(stamped());
    return;
  }
  // Its docs recommend this for many events at once: encoded once, and sent in one piece.
  const events = createEventBuffer({ serializer });
  for (let n = 0; n < burst; n++) events.push(stamped());
  for (const session of channel.activeSessions) session.batch(events);
}

server.listen({ port: number("port", 0), host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(JSON.stringify({ port: server.address().port, pid: process.pid }));
  if (mode === "fanout") {
    let due = performance.now();
    const tick = () => {
      publish();
      due = Math.max(due + 1000 / rate, performance.now() - 1000);
      setTimeout(tick, Math.max(0, due - performance.now()));
    };
    tick();
  }
});
