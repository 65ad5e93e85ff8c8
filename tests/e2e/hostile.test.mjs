// Clients that mean harm: what they send may cost others neither memory, nor time, nor a connection. Each row failed
// once on a server that kept the letter of HTTP and WebSocket.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { npmWebSocket, post, send, sleep } from '../support/clients.mjs';
import { Raw, frame, rawWebSocket } from '../support/raw.mjs';
import { bin, Server } from '../support/server.mjs';
import { command, secret, token } from '../support/tokens.mjs';

const run = promisify(execFile);
let server;
before(async () => {
  server = await Server.start({ args: ['--server.shards', '1'] });
});
after(() => server?.stop());

const gauge = async (name) => {
  const response = await server.admin('/metrics');
  const line = (await response.text()).split('\n').find((each) => each.startsWith(`twinwire_${name} `));
  return Number(line.split(' ')[1]);
};
const used = async () => (await (await server.admin('/admin/stats')).json()).process;

test('a command name cut within a character is quoted as valid UTF-8: a browser would close on anything else', async () => {
  const raw = await rawWebSocket(server.port, '/ws?id=ann');
  for (const shift of [0, 1, 2]) {
    raw.write(frame(1, JSON.stringify({ type: `${'x'.repeat(78 + shift)}€€€.y`, id: shift })));
  }
  for (let replies = 0; replies < 3;) {
    const { opcode, payload } = await raw.frame();
    assert.equal(opcode, 1);
    const message = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    if (message.type !== 'reply') continue;
    assert.equal(message.code, 'not_found');
    replies += 1;
  }
  raw.close();
});

test('a path that is no UTF-8 is quoted in JSON that is', async () => {
  for (const path of ['/%ff%fe', `/${'a'.repeat(198)}%e2%82%ac`, '/api/x%c3/y']) {
    const response = await fetch(server.url + path);
    assert.equal(response.status, 404);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await response.arrayBuffer());
    assert.equal(JSON.parse(text).code, 'not_found');
  }
});

test('pings without end to a peer that reads no pong: bounded memory, little time, and nobody else waits', async () => {
  const resting = await used();
  const raw = await rawWebSocket(server.port, '/ws?id=flood');
  raw.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 4096 }, () => frame(9, '')));
  let more = true;
  const flood = (async () => {
    while (more) {
      if (raw.socket.write(pings)) continue;
      await Promise.race([new Promise((done) => raw.socket.once('drain', done)), sleep(500)]);
    }
  })();
  // First the kernel's buffers fill, with about a million pongs of each direction.
  for (let held = 0, i = 0; held === 0 && i < 100; i++) {
    await sleep(100);
    held = await gauge('held_bytes');
  }
  const full = await used();
  let worst = 0;
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    await send(server, 'others', 'bob', `while it floods ${i}`);
    worst = Math.max(worst, performance.now() - began);
    await sleep(100);
  }
  const flooded = await used();
  more = false;
  raw.close();
  await flood;
  assert.ok(worst < 1000, `others waited up to ${worst} ms`);
  const seconds = flooded.cpuSeconds - full.cpuSeconds;
  assert.ok(seconds < 0.5, `two seconds of pings that nobody is answered for took ${seconds} s of processor time`);
  const grown = flooded.residentBytes - resting.residentBytes;
  assert.ok(grown < 24 << 20, `${grown} bytes for one connection`);
});

test('requests that came together stop being answered while their answers are not taken', async () => {
  const raw = await Raw.connect(server.port);
  raw.socket.pause();
  const one = `GET /api/schema HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`;
  for (let i = 0; i < 20; i++) raw.write(one.repeat(70));
  await sleep(500);
  const held = await gauge('held_bytes');
  assert.ok(held > 0, 'the socket is full');
  assert.ok(held < 2 << 20, `${held} bytes are held for one connection`);
  raw.close();
});

test('a head full of room names costs no more than any other', async () => {
  const names = Array.from({ length: 4000 }, (_, i) => i.toString(36)).join(',');
  const before = await used();
  for (let i = 0; i < 50; i++) {
    const response = await fetch(`${server.url}/api/events?id=u&rooms=${names}`);
    assert.equal(response.status, 409);
    await response.arrayBuffer();
  }
  const seconds = (await used()).cpuSeconds - before.cpuSeconds;
  assert.ok(seconds < 0.35, `${seconds * 20} ms of processor time each`);
});

test('pages may not be framed, and a HEAD of a stream has no body', async () => {
  const page = await fetch(server.url);
  assert.match(page.headers.get('content-security-policy'), /frame-ancestors 'none'/);
  assert.equal(page.headers.get('x-frame-options'), 'DENY');
  const head = await server.admin('/admin/tail?room=lobby', { method: 'HEAD' });
  assert.equal(head.status, 405);
  assert.equal(head.headers.get('allow'), 'GET');
});

test('a folder where a file should be is a mistake that is told, at the start and on SIGHUP', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'twinwire-hostile-'));
  const wrong = await run(join(bin, 'twinwire'), ['check-config', '--config', folder]).catch((error) => error);
  assert.equal(wrong.code, 78, wrong.stderr);
  assert.match(wrong.stderr, /cannot read/);
  const keys = join(folder, 'secret');
  await writeFile(keys, secret);
  const guarded = await Server.start({
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret_file', keys],
  });
  try {
    assert.equal((await command(guarded, token('ann'), 'rooms.load')).status, 200);
    await rm(keys);
    await mkdir(keys); // what a mount of a file that is missing leaves
    process.kill(guarded.pid, 'SIGHUP');
    await sleep(500);
    assert.equal((await command(guarded, token('ann'), 'rooms.load')).status, 200, 'it serves on with the keys it had');
    assert.match(guarded.log, /SIGHUP: .*cannot read/);
  } finally {
    await guarded.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

test('check-config finds what would keep the server from starting', async () => {
  const check = (...args) => run(join(bin, 'twinwire'), ['check-config', ...args]).catch((error) => error);
  const hook = await check('--hooks.save_url', 'http://user@host/');
  assert.equal(hook.code, 78);
  assert.match(hook.stderr, /hooks\.save_url/);
  assert.equal((await check('--server.rings_per_shard', '65')).code, 78);
});

test('names cannot be chosen to meet in the tables: their hashes are keyed anew at each start', async () => {
  // The one place where the order of a table shows: who is listed as present, and in which order.
  const listed = async () => {
    const own = await Server.start({ args: ['--server.shards', '1'] });
    const feeds = [];
    try {
      for (let i = 0; i < 24; ++i) feeds.push(npmWebSocket(`${own.wsUrl}/ws?id=user${i}&rooms=r`));
      await Promise.all(feeds.map((feed) => feed.event('connected')));
      const list = await post(own, 'user0', 'presence.list', { room: 'r' });
      assert.equal(list.count, 24);
      return list.users.map((user) => user.userId);
    } finally {
      feeds.forEach((feed) => feed.close());
      await own.stop();
    }
  };
  const first = await listed();
  const second = await listed();
  assert.deepEqual([...first].sort(), [...second].sort());
  assert.notDeepEqual(first, second);
});
