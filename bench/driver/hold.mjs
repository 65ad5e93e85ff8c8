// The memory of a server that holds N connections which do nothing: started here, read before and while twinbench holds
// them, ended by its pid. For peers and for twinwire alike, so that both are measured in one way. Not here: slab (twinbench
// does it for twinwire).
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { start as startPeer, version } from '../peers/peer.mjs';
import { startTwinwire } from './twinwire.mjs';
import { typed } from './run.mjs';

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

// Connections of the port that are established at the server's side.
function established(port) {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let count = 0;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local, , state] = line.trim().split(/\s+/);
    if (state === '01' && local?.endsWith(wanted)) ++count;
  }
  return count;
}

export async function holdPeer(context, name, transport, connections) {
  const server =
    name === 'twinwire'
      ? await startTwinwire(context, ['--presence.enabled=false'])
      : await startPeer(name, { core: 0 });
  let child;
  try {
    await pause(500);
    const before = privateBytes(server.pids);
    const target = `${name}@${server.url},${server.pid}`;
    const argv = [
      `${context.bin}/twinbench`,
      'connect',
      '--target',
      target,
      '--transport',
      transport,
      '--connections',
      String(connections),
      '--hold',
      '--hold-seconds',
      '60',
      '--no-broadcast',
      '--repetitions',
      '1',
      '--warm-up',
      '0',
      '--json',
      '--quiet',
    ];
    child = spawn(argv[0], argv.slice(1), { cwd: context.root, stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (part) => (errors = (errors + part).slice(-500)));
    const port = Number(new URL(server.url).port);
    let seen = 0;
    for (let tries = 0; tries < 120 && child.exitCode === null; ++tries) {
      await pause(250);
      const now = established(port);
      if (now >= connections && now === seen) break;
      seen = now;
    }
    if (seen < connections) throw new Error(`${seen} of ${connections} connections: ${errors.trim()}`);
    await pause(1500);
    const after = privateBytes(server.pids);
    return {
      command: typed(argv, context.root),
      result: {
        target: name,
        version: name === 'twinwire' ? '' : version(name),
        transport,
        connections,
        baseBytes: before,
        userBytesPerConnection: (after - before) / connections,
      },
    };
  } finally {
    if (child && child.exitCode === null) {
      const ended = new Promise((done) => child.on('exit', done));
      child.kill('SIGTERM');
      await ended;
    }
    await server.stop();
  }
}
