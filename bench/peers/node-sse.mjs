// Peer: server-sent events with nothing but node:http, one process. GET /room/NAME follows a room; POST /publish/NAME
// sends its body there. Each event is put together once, and written to each response. Keeps nothing.
import { createServer } from 'node:http';

const rooms = new Map();
const room = (name) => {
  let members = rooms.get(name);
  if (!members) rooms.set(name, (members = new Set()));
  return members;
};
let last = 0;

const server = createServer((request, response) => {
  const [, what, name] = request.url.split('?', 1)[0].split('/');
  if (what === 'room') {
    // Without chunked framing (the body ends with the connection): one write an event instead of three parts.
    response.removeHeader('Transfer-Encoding');
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', Connection: 'close' });
    response.write(':\n\n');
    const members = room(name);
    members.add(response);
    response.on('close', () => members.delete(response));
  } else if (what === 'publish' && request.method === 'POST') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const event = Buffer.from(`id: ${++last}\ndata: ${Buffer.concat(parts)}\n\n`);
      for (const member of room(name)) member.write(event);
      response.writeHead(202, { 'Content-Length': 0 }).end();
    });
  } else {
    response.writeHead(404).end();
  }
});
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
