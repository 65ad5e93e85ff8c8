// The ring's tax: which share of a server's CPU goes into claiming, consuming and skipping slots, from samples of a running
// server (perf, cpu-clock) under two-person chats on eight shards. Inlined code is told apart by the line tables.
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { kToken, startTwinwire } from './twinwire.mjs';
import { typed } from './run.mjs';

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function delivered(admin) {
  const answer = await fetch(`${admin}/metrics`, { headers: { Authorization: `Bearer ${kToken}` } });
  const found = /^twinwire_deliveries_total\{from="live"\} ([0-9.e+]+)/m.exec(await answer.text());
  return Number(found?.[1] ?? NaN);
}

// What a function (or one inlined in it) does for the ring; nothing where it does not.
function purpose(frames) {
  for (const { name, file } of frames) {
    if (/Ring::(try_claim|refresh_limits|consumed_min|claimed)\b/.test(name)) return 'claim';
    if (/Ring::publish\b/.test(name)) return 'publish';
    if (/Shard::consume_ring\b|Ring::(peek|consumed|consumed_position)\b/.test(name)) return 'consume and skip';
    if (/Event::release\b/.test(name)) return 'giving references back';
    if (/core\/ring\.(h|cc)/.test(file)) return 'other of the ring';
  }
  return undefined;
}

// address -> [{name, file}] from the innermost inlined frame outwards. Addresses are offsets in the program.
function framesOf(program, addresses) {
  const found = new Map();
  const done = spawnSync('addr2line', ['-i', '-f', '-C', '-a', '-e', program], {
    input: `${addresses.join('\n')}\n`,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  let frames;
  const rows = (done.stdout ?? '').split('\n');
  for (let i = 0; i < rows.length; ++i) {
    if (/^0x[0-9a-f]+$/.test(rows[i])) {
      frames = [];
      found.set(BigInt(rows[i]), frames);
    } else if (frames && rows[i]) {
      frames.push({ name: rows[i], file: rows[i + 1] ?? '' });
      ++i;
    }
  }
  return found;
}

export async function profileRing(context) {
  if (spawnSync('perf', ['--version']).error) return { failed: 'perf is not here (Debian: linux-perf)' };
  const shards = 8;
  const rate = 10_000;
  const seconds = context.quick ? 4 : 10;
  const data = join(context.scratch, 'ring.perf');
  // All shards on one core, as the server is measured everywhere here.
  const server = await startTwinwire(context, [
    `--server.shards=${shards}`,
    '--server.pin=false',
    '--presence.enabled=false',
    '--limits.commands_per_second=1000000',
    '--limits.commands_burst=1000000',
  ]);
  const argv = [
    `${context.bin}/twinbench`,
    'chat',
    '--target',
    `twinwire@${server.url},${server.pid}`,
    '--transport',
    'ws',
    '--rooms',
    '2000',
    '--members',
    '2',
    '--rate',
    String(rate),
    '--seconds',
    String(seconds + 6),
    '--repetitions',
    '1',
    '--warm-up',
    '0',
    '--ephemeral',
    '--json',
    '--quiet',
  ];
  const load = spawn(argv[0], argv.slice(1), { cwd: context.root, stdio: ['ignore', 'pipe', 'pipe'] });
  const orphan = () => load.kill('SIGTERM');
  process.once('exit', orphan);
  let output = '';
  let errors = '';
  load.stdout.on('data', (part) => (output += part));
  load.stderr.on('data', (part) => (errors = (errors + part).slice(-1000)));
  const end = new Promise((done) => load.on('exit', done).on('error', done));
  try {
    // The load has begun when messages are delivered.
    let before = await delivered(server.admin);
    for (let tries = 0; ; ++tries) {
      if (tries > 60 || load.exitCode !== null) throw new Error(`no load: ${errors.trim() || output.slice(0, 300)}`);
      await pause(500);
      const now = await delivered(server.admin);
      if (now - before > rate / 4) break;
      before = now;
    }
    await pause(1000);
    const began = Date.now();
    const from = await delivered(server.admin);
    const record = spawn(
      'perf',
      [
        'record',
        '-q',
        '-e',
        'cpu-clock',
        '-F',
        '3999',
        '-p',
        String(server.pid),
        '-o',
        data,
        '--',
        'sleep',
        String(seconds),
      ],
      { stdio: 'ignore' },
    );
    await new Promise((done) => record.on('exit', done).on('error', done));
    const perSecond = ((await delivered(server.admin)) - from) / ((Date.now() - began) / 1000);
    const script = spawnSync('perf', ['script', '-i', data, '-F', 'ip,sym,symoff,dso'], {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
    return {
      command: `${typed(argv, context.root)}  # and perf record -e cpu-clock -F 3999 -p PID`,
      result: { shards, rate, perSecond, ...shares(context, script.stdout) },
    };
  } finally {
    process.removeListener('exit', orphan);
    if (load.exitCode === null) load.kill('SIGTERM');
    await end;
    await server.stop();
    rmSync(data, { force: true });
  }
}

// Lines of perf script: "  7f12ab symbol+0x12 (/path/of/dso)".
function shares(context, text) {
  const program = `${context.bin}/twinwire`;
  const samples = [];
  for (const row of text.split('\n')) {
    const found = /^\s*([0-9a-f]+) (.*?)(?:\+0x([0-9a-f]+))? \((.*)\)\s*$/.exec(row);
    if (found) samples.push({ symbol: found[2], offset: parseInt(found[3] ?? '0', 16), dso: found[4] });
  }
  if (samples.length === 0) return { samples: 0 };
  // Addresses in the program's file: symbol's place + offset. Two symbols of one name are told apart by neither, so the
  // symbol's own word decides where addr2line does not know.
  const places = new Map();
  const table = spawnSync('nm', ['-C', program], { encoding: 'utf8', maxBuffer: 1 << 28 }).stdout.split('\n');
  for (const row of table) {
    const found = /^([0-9a-f]{16}) [tTwW] (.*)$/.exec(row);
    if (found) places.set(found[2], BigInt(`0x${found[1]}`));
  }
  const addressOf = (one) => (places.has(one.symbol) ? places.get(one.symbol) + BigInt(one.offset) : undefined);
  const own = samples.filter((one) => one.dso.endsWith('/twinwire'));
  const addresses = [...new Set(own.map(addressOf).filter((a) => a !== undefined))].map((a) => `0x${a.toString(16)}`);
  const frames = framesOf(program, addresses);
  const ring = {};
  const symbols = {};
  const where = { kernel: 0, 'twinwire itself': 0, libraries: 0 };
  for (const one of samples) {
    const kernel = one.dso.startsWith('[');
    where[kernel ? 'kernel' : one.dso.endsWith('/twinwire') ? 'twinwire itself' : 'libraries']++;
    const name = kernel ? `kernel: ${one.symbol}` : one.symbol.replace(/\(.*$/, '').replace(/^twinwire::/, '');
    symbols[name] = (symbols[name] ?? 0) + 1;
    if (!one.dso.endsWith('/twinwire')) continue;
    const known = frames.get(addressOf(one)) ?? [];
    const what = purpose([...known, { name: one.symbol, file: '' }]);
    if (what) ring[what] = (ring[what] ?? 0) + 1;
  }
  const share = (count) => count / samples.length;
  const top = Object.entries(symbols)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 15)
    .map(([name, count]) => [name, share(count)]);
  const parts = Object.fromEntries(Object.entries(ring).map(([name, count]) => [name, share(count)]));
  return {
    samples: samples.length,
    tax: Object.values(parts).reduce((a, b) => a + b, 0),
    parts,
    where: Object.fromEntries(Object.entries(where).map(([name, count]) => [name, share(count)])),
    top,
  };
}
