// Peer: npm `ws` behind node:http, one process. A WebSocket joins the room of its path (/room/NAME); what it sends goes
// to that room, itself included, and so does the body of POST /publish/NAME. Keeps nothing.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const rooms = new Map();
const room = (name) => {
  let members = rooms.get(name);
  if (!members) rooms.set(name, (members = new Set()));
  return members;
};
const text = { binary: false, compress: false };
const publish = (members, data) => {
  for (const socket of members) socket.send(data, text);
};

// The manual's advice: no permessage-deflate; tracking of clients is the application's here.
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });

const server = createServer((request, response) => {
  const [, what, name] = request.url.split('?', 1)[0].split('/');
  if (request.method !== 'POST' || what !== 'publish') return response.writeHead(404).end();
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    publish(room(name), Buffer.concat(parts));
    response.writeHead(202, { 'Content-Length': 0 }).end();
  });
});
server.on('upgrade', (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (ws) => {
    const members = room(request.url.split('?', 1)[0].split('/')[2]);
    members.add(ws);
    ws.on('message', (data) => publish(members, data));
    ws.on('close', () => members.delete(ws));
    ws.on('error', () => ws.terminate());
  });
});
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
