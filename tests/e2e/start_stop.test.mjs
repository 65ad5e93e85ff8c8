// How the server starts, refuses to start, and stops: each refusal is one sentence and an exit code, each stop keeps
// what was accepted.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Raw } from '../support/raw.mjs';
import { Server, bin } from '../support/server.mjs';
import { ServiceManager } from '../support/service_manager.mjs';

const program = join(bin, 'twinwire');

/** Runs the server until it ends by itself; it must, and at once. */
function run(args, env = {}) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8', timeout: 10000, env: { ...process.env, ...env },
  });
  return { status, out: stdout, err: stderr };
}
const serve = (data, ...more) => ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', data, ...more];

async function withDirectory(body) {
  const path = await mkdtemp(join(tmpdir(), 'twinwire-start-'));
  try {
    await body(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

test('a data directory of another format is refused and left as it is', () => withDirectory(async (path) => {
  await writeFile(join(path, 'FORMAT'), 'twinwire store 99\n');
  const { status, err, out } = run(serve(path));
  assert.equal(status, 1);
  assert.match(err, /cannot start: .*was written in store format 99 and this server reads format \d+: use the version/);
  assert.equal(out, '');
  assert.equal(await readFile(join(path, 'FORMAT'), 'utf8'), 'twinwire store 99\n');
}));

test('a directory that holds something else is refused and left as it is', () => withDirectory(async (path) => {
  await writeFile(join(path, 'thesis.txt'), 'years of work');
  const { status, err } = run(serve(path));
  assert.equal(status, 1);
  assert.match(err, /holds something else than a Twinwire store \("thesis.txt"\)/);
  assert.equal(await readFile(join(path, 'thesis.txt'), 'utf8'), 'years of work');
}));

test('a data directory in use is refused, with the process that has it; it is free when that has ended', () =>
  withDirectory(async (path) => {
    const data = join(path, 'data');
    const server = await Server.start({ data });
    try {
      const { status, err } = run(serve(data));
      assert.equal(status, 1);
      assert.match(err, new RegExp(`is in use by process ${server.pid}: stop it, or name another`));
      await send(server, 'w', 'r', 'unharmed');
    } finally {
      await server.end('SIGKILL');
    }
    const next = await Server.start({ data });
    const { messages } = await post(next, 'w', 'messages.load', { room: 'r' });
    assert.deepEqual(messages.map((message) => message.content), ['unharmed']);
    await next.stop();
  }));

test('a directory that cannot be made, a port that is taken, an address that is none', () => withDirectory(async (path) => {
  await writeFile(join(path, 'file'), '');
  const unmade = run(serve(join(path, 'file', 'data')));
  assert.equal(unmade.status, 1);
  assert.match(unmade.err, /cannot make the data directory/);
  const taken = await Server.start();
  try {
    const { status, err } = run(['serve', '--listen', `127.0.0.1:${taken.port}`, '--admin', '127.0.0.1:0', '--data', join(path, 'd')]);
    assert.equal(status, 1);
    assert.match(err, new RegExp(`cannot listen on 127.0.0.1:${taken.port}.*in use`));
  } finally {
    await taken.stop();
  }
  const nowhere = run(['serve', '--listen', '10.0.0.1.2:80', '--data', join(path, 'd')]);
  assert.equal(nowhere.status, 78);
  assert.match(nowhere.err, /server\.listen: "10\.0\.0\.1\.2:80" is not an address/);
}));

test('settings that are wrong are named, each with what it may be; none is served', () => withDirectory(async (path) => {
  const file = join(path, 'twinwire.toml');
  await writeFile(file, '[limits]\nmesage_bytes = "64KiB"\n');
  for (const [args, env, status, ...sentences] of [
    [serve(path, '--config', file), {}, 78, /twinwire\.toml:2: unknown setting "limits\.mesage_bytes"; did you mean "limits\.message_bytes"\?/],
    [serve(path, '--server.deliver', 'perhaps'), {}, 78, /server\.deliver must be "publish" or "commit"/],
    [serve(path, '--server.shards', '65'), {}, 78, /server\.shards must be a whole number from 0 to 64/],
    [serve(path), { TWINWIRE_LIMITS_COMMANDS_BURST: 'many' }, 78, /limits\.commands_burst must be a whole number/],
    [serve(path, '--ring.slots', '1000000'), {}, 78, /ring\.slots must be a power of two/],
    [['serve', '--listen', '0.0.0.0:0', '--data', path], {}, 78, /auth\.mode "none" lets anyone be anyone/],
    [serve(path, '--config', join(path, 'none.toml')), {}, 78, /none\.toml/],
    [serve(path, '--no-such-flag'), {}, 64, /no-such-flag/],
    [['fly'], {}, 64, /fly/],
  ]) {
    const got = run(args, env);
    assert.equal(got.status, status, `${args.slice(-2)}: ${got.err}`);
    for (const sentence of sentences) assert.match(got.err, sentence);
    assert.equal(got.out, '');
  }
}));

test('the first lines: one on stdout with both addresses, the loud one about auth.mode; the token is the owner\'s alone', async () => {
  const server = await Server.start();
  try {
    assert.match(server.log, /auth\.mode = none: whoever connects is who they say they are/);
    assert.match(server.log, /twinwire \S+ serves at 127\.0\.0\.1:\d+ .*deliver = publish, data in/);
    assert.equal((await stat(server.inside('admin.token'))).mode & 0o777, 0o600);
    assert.equal((await fetch(server.url)).status, 200);
  } finally {
    await server.stop();
  }
});

for (const deliver of ['publish', 'commit']) {
  test(`SIGTERM under deliver ${deliver}: everyone is told, all that was accepted is stored, exit 0`, async () => {
    const server = await Server.start({ args: ['--server.deliver', deliver, '--drain.seconds', '1', '--shards', '3'] });
    const ws = npmWebSocket(`${server.wsUrl}/ws?id=u&rooms=stop`);
    const sse = npmEventSource(`${server.url}/api/events?id=u&rooms=stop`);
    const writers = Array.from({ length: 4 }, (_, i) => npmWebSocket(`${server.wsUrl}/ws?id=w${i}`));
    const paused = await Raw.connect(server.port, 'paused');
    try {
      await Promise.all([ws, sse, ...writers].map((feed) => feed.event('connected')));
      paused.write(`GET /api/events?id=paused&rooms=stop HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
      const opened = await poll(server, 'id=p&rooms=quiet&wait=1');
      const waiting = poll(server, `id=p&rooms=quiet&wait=20&session=${opened.sessionId}&lastEventId=${opened.lastEventId}`)
        .catch((error) => ({ error }));
      // `accepted` is told before the disk has it: the writers go on until the server stops them.
      const accepted = [];
      const refused = [];
      let stopping = false;
      const writing = writers.map(async (feed, w) => {
        const ended = feed.until(() => feed.closed, 'the end', 60000).then(() => null);
        for (let i = 0; !feed.closed; ++i) {
          const message = { room: 'stop', content: `${w}-${i} ${'x'.repeat(2000)}`, ack: 'accepted' };
          const reply = await Promise.race([ended, feed.command('messages.send', message).catch(() => null)]);
          if (reply === null) return;
          (reply.success ? accepted : refused).push(reply.success ? reply.eventId : reply.code);
          if (!reply.success && stopping) return;
        }
      });
      await ws.until((feed) => feed.contents.length > 200, 'a good many messages', 20000);
      stopping = true;
      const began = Date.now();
      const ending = server.end('SIGTERM');
      for (const feed of [ws, sse]) {
        const bye = await feed.event('bye');
        assert.equal(bye.data.code, 'draining');
        assert.equal(bye.data.reconnect, true);
        assert.ok(bye.data.afterMs >= 0);
        feed.close();
      }
      assert.deepEqual(await ending, { code: 0, signal: null });
      assert.ok(Date.now() - began < 8000, `${Date.now() - began} ms`);
      assert.equal(ws.closeCode ?? 1012, 1012);
      writers.forEach((feed) => feed.close());
      await Promise.all(writing);
      await waiting;
      for (const code of refused) assert.ok(['draining', 'overloaded'].includes(code), code);
      assert.ok(accepted.length > 200);
      assert.match(server.log, /stopped; everything accepted is stored/);

      await server.spawn();
      const events = new Set();
      for (let after; ; ) {
        const page = await post(server, 'u', 'messages.load', { room: 'stop', limit: 256, ...(after ? { after } : { after: '2000-01-01T00:00:00Z' }) });
        page.messages.forEach((message) => events.add(message.id));
        if (!page.hasMore) break;
        after = page.messages.at(-1).id;
      }
      assert.deepEqual(accepted.filter((id) => !events.has(id)), []);
    } finally {
      [ws, sse, ...writers].forEach((feed) => feed.close());
      paused.close();
      await server.stop();
    }
  });
}

test('while it drains: readiness says so, new streams are sent away in their own way; a second signal ends at once', async () => {
  const server = await Server.start({ args: ['--drain.seconds', '30'] });
  const held = [];
  try {
    // Enough streams that the draining takes its time.
    for (let i = 0; i < 300; ++i) held.push(await Raw.connect(server.port));
    held.forEach((raw, i) => raw.write(`GET /api/events?id=u${i} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`));
    for (const raw of held) await raw.until(() => raw.bytes.includes('event: connected'), 'connected', 20000);
    process.kill(server.pid, 'SIGTERM');
    for (let status; status !== 503; await sleep(20)) status = (await fetch(`${server.adminUrl}/health/ready`)).status;
    assert.equal((await fetch(`${server.adminUrl}/health/live`)).status, 200);
    const command = await post(server, 'u', 'messages.send', { room: 'r', content: 'late' });
    assert.equal(command.code, 'draining');
    assert.equal(command.status, 503);
    const stream = await fetch(`${server.url}/api/events?id=late`);
    assert.equal(stream.status, 200, 'a native EventSource must survive it');
    const text = await stream.text();
    assert.match(text, /^retry: \d+\n\n/);
    assert.match(text, /event: bye\ndata: .*"code":"draining"/);
    process.kill(server.pid, 'SIGTERM');
    const began = Date.now();
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    assert.ok(Date.now() - began < 5000);
  } finally {
    held.forEach((raw) => raw.close());
    await server.stop();
  }
});

test('SIGHUP says what it cannot do and changes nothing', () => withDirectory(async (path) => {
  const file = join(path, 'twinwire.toml');
  await writeFile(file, '[typing]\nclear_ms = 5000\n');
  const server = await Server.start({ args: ['--config', file] });
  try {
    const hang = async (text, sentence) => {
      await writeFile(file, text);
      process.kill(server.pid, 'SIGHUP');
      for (let tries = 0; !sentence.test(server.log); ++tries, await sleep(20)) assert.ok(tries < 200, server.log);
      await sendMany(server, 'w', 'r', 'on', 3);
    };
    await hang('[typing]\nclear_ms = 7000\n', /need a restart: typing\.clear_ms$/m);
    // Tables count as well as words.
    await hang('[typing]\nclear_ms = 5000\n[sse]\nnames = { "typing" = "tippt" }\n', /need a restart: sse\.names$/m);
    await hang('[typing]\nclear_ms = 5000\n[routes]\n"/old" = "/api/events"\n', /need a restart: the tables of bridges/);
    await hang('[typing]\nclear_ms = never\n', /SIGHUP: .*twinwire\.toml:2.*stays as it was/);
  } finally {
    await server.stop();
  }
}));

for (const kind of ['a path', 'an abstract name']) {
  test(`a service manager at ${kind} is told: ready, alive as often as it asks, stopping`, () => withDirectory(async (path) => {
    const name = kind === 'a path' ? join(path, 'notify') : `@twinwire-test-${process.pid}`;
    const manager = await ServiceManager.start(name);
    const server = await Server.start({
      args: ['--drain.seconds', '1'], env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: '800000' },
    });
    try {
      const alive = (texts) => texts.filter((text) => text === 'WATCHDOG=1').length;
      await manager.until((texts) => alive(texts) >= 5, 'that it lives');
      const [first] = manager.texts();
      assert.equal(first, `READY=1;STATUS=serves at 127.0.0.1:${server.port}`);
      const beats = manager.told.filter(({ text }) => text === 'WATCHDOG=1');
      assert.ok(beats[4].at - beats[0].at >= 600, 'four times in the time it gave, not more');
      // It stands still, and the manager hears nothing: that is how a watchdog knows.
      process.kill(server.pid, 'SIGSTOP');
      await sleep(200);
      const before = alive(manager.texts());
      await sleep(800);
      assert.equal(alive(manager.texts()), before);
      process.kill(server.pid, 'SIGCONT');
      await manager.until((texts) => alive(texts) > before, 'that it lives again');
      assert.ok(!manager.texts().some((text) => text.startsWith('STOPPING')));
      // Streams that are still there are what draining waits for.
      const feeds = Array.from({ length: 20 }, (_, i) => curl(`${server.url}/api/events?id=u${i}&rooms=r`));
      await Promise.all(feeds.map((feed) => feed.event('connected')));
      assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null });
      for (const feed of feeds) feed.close();
      await manager.until((texts) => texts.includes('STOPPING=1;STATUS=draining'), 'that it stops');
      // A beat behind it would set the manager's watchdog on the last commits.
      assert.equal(manager.texts().at(-1), 'STOPPING=1;STATUS=draining');
    } finally {
      await server.stop();
      await manager.stop();
    }
  }));
}

test('a service manager without a watchdog hears of start and stop alone; one that cannot be told is no reason not to serve', () =>
  withDirectory(async (path) => {
    const manager = await ServiceManager.start(join(path, 'notify'));
    const told = await Server.start({ env: { NOTIFY_SOCKET: join(path, 'notify') } });
    await sleep(300);
    await told.stop();
    await manager.until((texts) => texts.length === 2, 'both');
    assert.deepEqual(manager.texts().map((text) => text.split(';')[0]), ['READY=1', 'STOPPING=1']);
    await manager.stop();
    for (const [name, sentence] of [
      [join(path, 'nobody'), /the service manager at NOTIFY_SOCKET cannot be told/],
      ['vsock:2:1', /NOTIFY_SOCKET "vsock:2:1" is neither a path nor an abstract name/],
    ]) {
      const server = await Server.start({ env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: '400000' } });
      for (let tries = 0; !sentence.test(server.log); ++tries, await sleep(20)) assert.ok(tries < 100, server.log);
      assert.equal((await fetch(server.url)).status, 200);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
    }
  }));
