// The servers that Twinwire is measured beside, by hand: what twinbench does with NAME.json, without twinbench.
//   node peer.mjs list               what is here, in which version, and what is missing for the others
//   node peer.mjs install            npm packages by the lock file, Go programs where there is a toolchain
//   node peer.mjs start NAME [--core 0] [--port 0]
//       prints {"name","pid","pids","url","version"} when the peer takes connections, and stays until SIGTERM, SIGINT
//       or the end of its standard input; then it ends the peer by its pid. `pids` are the peer's processes.
//   node peer.mjs check [NAME...]    does each speak as its file says? One line each; status 1 if one does not
// Also a module, used by bench/report. Needs Node 18 and nothing else.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const built = join(process.env.TWINWIRE_BUILD_DIR ?? join(root, 'build'), 'peers');

export const names = () =>
  readdirSync(here)
    .filter((file) => /^(?!package)[a-z-]+\.json$/.test(file))
    .map((file) => file.slice(0, -5));

export function describe(name) {
  if (!names().includes(name)) throw new Error(`no peer "${name}": ${names().join(', ')}`);
  return JSON.parse(readFileSync(join(here, `${name}.json`), 'utf8'));
}

const fill = (text, places) => text.replace(/\{([a-z]+)\}/g, (all, place) => places[place] ?? all);

// What a peer needs and is not there, as a sentence; nothing when it can be started.
export function missing(name) {
  const { needs } = describe(name);
  if (needs.file && !existsSync(needs.file)) return `${name}: needs the Debian packages ${needs.debian.join(' ')}`;
  if (needs.npm && !existsSync(join(here, 'node_modules', needs.npm))) return `${name}: needs npm ci in bench/peers`;
  if (needs.go && !existsSync(join(built, 'bin', needs.program))) return `${name}: needs ${needs.go} (go install)`;
  return undefined;
}

// Brings what can be brought. Returns a sentence for each peer that stays out.
export function install(say = () => {}) {
  const because = {};
  if (names().some((name) => describe(name).needs.npm && missing(name))) {
    say('npm ci in bench/peers');
    // No scripts: Bun's binary is a package of its own.
    const words = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    spawnSync('npm', words, { cwd: here, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  for (const name of names()) {
    const { needs } = describe(name);
    if (!needs.go || !missing(name)) continue;
    mkdirSync(join(built, 'bin'), { recursive: true });
    say(`go install ${needs.go}`);
    const env = { ...process.env, GOBIN: join(built, 'bin') };
    const done = spawnSync('go', ['install', needs.go], { env, encoding: 'utf8' });
    if (done.error) because[name] = 'there is no Go toolchain here';
    else if (done.status !== 0) because[name] = done.stderr.trim().split('\n').pop().trim();
  }
  return names()
    .filter(missing)
    .map((name) => missing(name) + (because[name] ? `: ${because[name]}` : ''));
}

const freePort = () =>
  new Promise((done, failed) => {
    const probe = createServer();
    probe.on('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

const takesConnections = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.on('error', () => done(false));
  });

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// A process and its descendants, by /proc.
function family(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}

// Starts a peer on one core (-1: any) and waits until it takes connections.
export async function start(name, { core = 0, port = 0 } = {}) {
  const lacks = missing(name);
  if (lacks) throw new Error(lacks);
  const peer = describe(name);
  port ||= await freePort();
  const scratch = mkdtempSync(join(tmpdir(), `twinwire-peer-${name}.`));
  const places = { port: String(port), host: '127.0.0.1', root, scratch };
  const command = [
    ...(core < 0 ? [] : ['taskset', '-c', String(core)]),
    ...peer.start.map((word) => fill(word, places)),
  ];
  const env = { ...process.env };
  for (const [key, value] of Object.entries(peer.env ?? {})) env[key] = fill(value, places);
  const child = spawn(command[0], command.slice(1), { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let ended;
  let errors = '';
  child.stderr.on('data', (part) => {
    errors = (errors + part).slice(-4000);
  });
  const end = new Promise((done) => {
    child.on('error', (error) => done((ended = String(error))));
    child.on('exit', (code, signal) => done((ended = `ended with ${signal ?? code}`)));
  });
  // Also where this process ends by a fault.
  const orphan = () => child.kill('SIGTERM');
  process.once('exit', orphan);
  const stop = async () => {
    process.removeListener('exit', orphan);
    if (!ended) child.kill('SIGTERM');
    if (!(await Promise.race([end, pause(3000)]))) child.kill('SIGKILL');
    await end;
    rmSync(scratch, { recursive: true, force: true });
  };
  for (let tries = 0; tries < 200 && !ended; ++tries) {
    if (await takesConnections(port)) {
      await pause(150); // nginx listens before it has its worker
      const pids = family(child.pid);
      return { name, pid: child.pid, pids, port, url: `http://127.0.0.1:${port}`, version: version(name), stop };
    }
    await pause(50);
  }
  await stop();
  throw new Error(`${name} did not start: ${ended ?? 'no connection in 10 s'}\n${errors}`);
}

export function version(name) {
  const { needs } = describe(name);
  if (needs.go) return needs.go.split('@')[1].replace(/^v/, '');
  if (needs.npm) {
    const found = JSON.parse(readFileSync(join(here, 'node_modules', needs.npm, 'package.json'), 'utf8')).version;
    return name === 'bun' ? found : `${found} on Node ${process.versions.node}`;
  }
  if (needs.debian) {
    const version = (one) => spawnSync('dpkg-query', ['-W', '-f=${Version}', one], { encoding: 'utf8' }).stdout;
    return needs.debian.map((one) => `${one} ${version(one)}`).join(', ');
  }
  return `Node ${process.versions.node}`;
}

// ------------------------------------------------------------------------------------------------------ check

// A reader as the file describes it: resolves when it is live; `heard` grows.
function read(peer, transport, places) {
  const how = peer.readers[transport];
  const target = `http://127.0.0.1:${places.port}${fill(how.target, places)}`;
  const reader = { heard: '' };
  reader.live = new Promise((done, failed) => {
    const hear = (text) => {
      reader.heard += text;
      if (!how.live || reader.heard.includes(how.live)) done();
    };
    setTimeout(
      () => failed(new Error(`no reader on ${transport} in 5 s; heard ${JSON.stringify(reader.heard)}`)),
      5000,
    ).unref();
    if (transport === 'sse') {
      const asked = request(target, { headers: how.headers, agent: false }, (answer) => {
        if (answer.statusCode !== 200) failed(new Error(`${target}: ${answer.statusCode}`));
        answer
          .setEncoding('utf8')
          .on('data', hear)
          .on('error', () => {});
        if (!how.live) done();
      });
      asked.on('error', failed).end();
      reader.close = () => asked.destroy();
    } else {
      const WebSocket = createRequire(join(here, 'package.json'))('ws');
      const socket = new WebSocket(target.replace('http', 'ws'), { headers: how.headers, perMessageDeflate: false });
      socket.on('open', () => {
        for (const text of how.say ?? []) socket.send(fill(text, places));
        if (!how.live) done();
      });
      socket.on('message', (data) => hear(String(data)));
      socket.on('error', failed);
      reader.say = (text) => socket.send(text);
      reader.close = () => socket.terminate();
    }
  });
  return reader;
}

function post(peer, places) {
  const { target, headers, body } = peer.publish;
  return new Promise((done, failed) => {
    const url = `http://127.0.0.1:${places.port}${fill(target, places)}`;
    const asked = request(url, { method: 'POST', headers, agent: false }, (answer) => {
      answer
        .resume()
        .on('end', () => (answer.statusCode < 300 ? done() : failed(new Error(`POST: ${answer.statusCode}`))));
    });
    asked.on('error', failed).end(fill(body, places));
  });
}

// Two readers on each transport hear what is posted, in one room and not in another, and what one of them says.
async function check(name) {
  const peer = describe(name);
  const server = await start(name);
  const readers = [];
  try {
    for (const transport of Object.keys(peer.readers)) {
      const places = {
        port: String(server.port),
        room: `room-${transport}`,
        user: 'ann',
        content: `~posted-${transport}~`,
      };
      const pair = [read(peer, transport, places), read(peer, transport, { ...places, user: 'bob' })];
      const other = read(peer, transport, { ...places, room: 'another' });
      readers.push(...pair, other);
      await Promise.all([...pair, other].map((reader) => reader.live));
      // nchan takes a subscriber in after the answer's head has gone out.
      await pause(100);
      const expected = [places.content];
      await post(peer, places);
      if (transport === 'ws' && peer.speak) {
        expected.push('~spoken~');
        pair[0].say(fill(peer.speak, { ...places, content: '~spoken~' }));
      }
      for (let tries = 0; tries < 40; ++tries) {
        if (pair.every((reader) => expected.every((text) => reader.heard.includes(text)))) break;
        await pause(50);
      }
      for (const text of expected) {
        for (const reader of pair) {
          const times = reader.heard.split(text).length - 1;
          if (times !== 1)
            throw new Error(`${transport}: ${text} heard ${times} times in ${JSON.stringify(reader.heard)}`);
        }
        if (other.heard.includes(text)) throw new Error(`${transport}: ${text} heard in another room`);
      }
    }
  } finally {
    for (const reader of readers) reader.close?.();
    await server.stop();
  }
  return server.version;
}

async function main(words) {
  const [order, name] = words;
  const option = (key, otherwise) => (words.includes(key) ? Number(words[words.indexOf(key) + 1]) : otherwise);
  if (order === 'list') {
    for (const one of names()) console.log(missing(one) ?? `${one}: ${version(one)}`);
  } else if (order === 'install') {
    for (const line of install((what) => console.error(what))) console.log(`skipped: ${line}`);
  } else if (order === 'start' && name) {
    const peer = await start(name, { core: option('--core', 0), port: option('--port', 0) });
    const { pid, pids, url, version: which } = peer;
    console.log(JSON.stringify({ name, pid, pids, url, version: which }));
    const stop = async () => {
      await peer.stop();
      process.exit(0);
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    process.stdin.on('end', stop).resume();
  } else if (order === 'check') {
    process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143));
    for (const one of words.length > 1 ? words.slice(1) : names()) {
      if (missing(one)) {
        console.log(`skipped: ${missing(one)}`);
        continue;
      }
      await check(one).then(
        (which) => console.log(`ok: ${one} ${which}`),
        (error) => {
          console.log(`FAILED: ${one}: ${error.message}`);
          process.exitCode = 1;
        },
      );
    }
  } else {
    console.error(
      `node peer.mjs list | install | start NAME [--core N] [--port N] | check [NAME...]\npeers: ${names().join(', ')}`,
    );
    process.exitCode = 64;
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
