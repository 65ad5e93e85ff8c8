// Peer: Socket.IO over WebSocket only, one process. A connection joins the room that its first packet names; its event `m`
// goes to that room, itself included, and so does the body of POST /publish/NAME. Keeps nothing.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer();
const io = new Server(server, {
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  connectTimeout: 120_000,
  // No pings while measured, as for all others.
  pingInterval: 86_400_000,
  pingTimeout: 86_400_000,
});
// The manual's advice on memory: the first request is not kept.
io.engine.on('connection', (raw) => {
  raw.request = null;
});
io.on('connection', (socket) => {
  const name = socket.handshake.auth.room;
  socket.join(name);
  socket.on('m', (data) => io.to(name).emit('m', data));
});
// Socket.IO's own listener takes /socket.io/; everything else comes here.
server.on('request', (request, response) => {
  const [, what, name] = request.url.split('?', 1)[0].split('/');
  if (what === 'socket.io') return;
  if (request.method !== 'POST' || what !== 'publish') {
    response.writeHead(404).end();
    return;
  }
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    io.to(name).emit('m', Buffer.concat(parts).toString());
    response.writeHead(202, { 'Content-Length': 0 }).end();
  });
});
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
