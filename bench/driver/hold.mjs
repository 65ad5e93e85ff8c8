// The memory of a server that holds N connections which do nothing: started here, read before and while they are held, ended
// by its pid. For peers and for twinwire alike, so that all are measured in one way; the connections are this process's.
//   node bench/driver/hold.mjs NAME sse|ws N [PROGRAM]     PROGRAM: another build of twinwire
// Not here: slab, a million (twinbench connect --hold, of twinwire only).
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, start as startPeer } from '../peers/peer.mjs';
import { startTwinwire } from './twinwire.mjs';

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Private bytes of processes, as /proc/PID/smaps_rollup has them; without sockets' memory, which is the kernel's.
function privateBytes(pids) {
  let sum = 0;
  for (const pid of pids) {
    for (const line of readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').split('\n')) {
      const found = /^Private_(?:Clean|Dirty|Hugetlb): +(\d+) kB/.exec(line);
      if (found) sum += Number(found[1]) * 1024;
    }
  }
  return sum;
}

// How Twinwire is asked; peers' files say it of themselves.
const own = {
  sse: { target: '/api/events?rooms={room}&id={user}&heartbeat=600', live: 'connected' },
  ws: { target: '/ws?rooms={room}&id={user}&heartbeat=600', live: 'connected' },
};

// A client's text frame (RFC 6455), masked with zeros, of a text below 126 bytes.
const textFrame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

// Opens one stream and resolves with its socket when it is live. What comes later is read and forgotten.
function open(port, how, transport, places) {
  const fill = (text) => text.replace(/\{([a-z]+)\}/g, (all, place) => places[place] ?? all);
  const upgrade = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const fields = { Host: `127.0.0.1:${port}`, ...(transport === 'ws' ? upgrade : {}), ...how.headers };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return new Promise((done, failed) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let heard = '';
    let said = false;
    socket.on('error', failed);
    socket.on('close', () => failed(new Error(`a connection was closed: ${heard?.slice(0, 200)}`)));
    socket.on('connect', () => socket.write(`GET ${fill(how.target)} HTTP/1.1\r\n${head.join('')}\r\n`));
    socket.on('data', (part) => {
      if (heard === undefined) return;
      heard += part.toString('latin1');
      if (!said && heard.includes('\r\n\r\n')) {
        said = true;
        for (const text of how.say ?? []) socket.write(textFrame(fill(text)));
      }
      if (said && (!how.live || heard.includes(how.live))) {
        heard = undefined;
        done(socket);
      }
    });
  });
}

export async function hold(context, name, transport, connections, program) {
  const ours = name === 'twinwire';
  const server = ours
    ? await startTwinwire(context, ['--presence.enabled=false'], 0, program)
    : await startPeer(name, { core: 0 });
  const how = ours ? own[transport] : describe(name).readers[transport];
  const port = Number(new URL(server.url).port);
  const sockets = [];
  try {
    // What a server makes at its first connection is not a connection's.
    (await open(port, how, transport, { room: 'first', user: 'first' })).destroy();
    await pause(1000);
    const before = privateBytes(server.pids);
    for (let i = 0; i < connections; i += 100) {
      const some = Array.from({ length: Math.min(100, connections - i) }, (_, k) =>
        open(port, how, transport, { room: 'idle', user: `u${String(i + k).padStart(11, '0')}` }),
      );
      sockets.push(...(await Promise.all(some)));
    }
    await pause(3000);
    const left = sockets.filter((socket) => !socket.closed && !socket.destroyed).length;
    if (left < connections) throw new Error(`${left} of ${connections} connections are left`);
    const bytes = privateBytes(server.pids) - before;
    const result = {
      target: name,
      transport,
      connections,
      baseBytes: before,
      userBytesPerConnection: bytes / connections,
    };
    const words = [name, transport, connections, ...(program ? [program] : [])];
    return { command: `node bench/driver/hold.mjs ${words.join(' ')}`, result };
  } finally {
    for (const socket of sockets) socket.destroy();
    await server.stop();
  }
}

// By hand.
if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143));
  const [name, transport, connections, program] = process.argv.slice(2);
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
  const bin = join(process.env.TWINWIRE_BUILD_DIR ?? join(root, 'build'), 'bin');
  const held = await hold({ bin, root }, name, transport, Number(connections), program);
  console.log(JSON.stringify(held.result, null, 1));
}
