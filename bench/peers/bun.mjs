// Peer: Bun.serve, one process; its WebSockets are uWebSockets with native publish and subscribe. A stream joins the room
// of its path: GET /room/NAME is a WebSocket where one is asked for, else server-sent events through a direct
// ReadableStream. What a WebSocket sends goes to its room, itself included, and so does the body of POST /publish/NAME.
// Keeps nothing.
const readers = new Map(); // room -> controllers of SSE streams
const room = (name) => {
  let members = readers.get(name);
  if (!members) readers.set(name, (members = new Set()));
  return members;
};
const encoder = new TextEncoder();
let last = 0;

function publish(name, data) {
  server.publish(name, data, false);
  const members = readers.get(name);
  if (!members) return;
  const event = encoder.encode(`id: ${++last}\ndata: ${data}\n\n`);
  for (const controller of members) {
    controller.write(event);
    controller.flush();
  }
}

function stream(name) {
  let controller;
  let end;
  const body = new ReadableStream({
    type: 'direct',
    async pull(given) {
      controller = given;
      controller.write(encoder.encode(':\n\n'));
      controller.flush();
      room(name).add(controller);
      // The stream is open until the reader leaves.
      await new Promise((resolve) => (end = resolve));
    },
    cancel() {
      room(name).delete(controller);
      end?.();
    },
  });
  return new Response(body, { headers: { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' } });
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  idleTimeout: 0,
  development: false,
  async fetch(request, server) {
    const path = request.url.split('?', 1)[0].split('/');
    const [what, name] = path.slice(-2);
    if (what === 'publish' && request.method === 'POST') {
      publish(name, await request.text());
      return new Response(null, { status: 202 });
    }
    if (what !== 'room') return new Response(null, { status: 404 });
    if (server.upgrade(request, { data: name })) return undefined;
    return stream(name);
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      socket.subscribe(socket.data);
    },
    message(socket, data) {
      publish(socket.data, data);
    },
  },
});
