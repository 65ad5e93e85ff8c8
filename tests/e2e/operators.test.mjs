// What operators are told: counts over all shards; and what a backend may count on: its numbers stay as they are, a
// batch is one command.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sleep } from '../support/clients.mjs';
import { Raw, frame, rawWebSocket } from '../support/raw.mjs';
import { Server, bin } from '../support/server.mjs';

let server;
before(async () => {
  // Without presence: its events would end the poll that waits.
  server = await Server.start({ args: ['--shards', '3', '--presence.enabled', 'false'] });
});
after(() => server?.stop());

const json = async (path) => (await server.admin(path)).json();

test('stats count the connections of each kind, and rooms their readers, over all shards', async () => {
  const feeds = [];
  const raws = [];
  try {
    for (let i = 0; i < 6; ++i) feeds.push(npmEventSource(`${server.url}/api/events?id=s${i}&rooms=counted`));
    for (let i = 0; i < 5; ++i) feeds.push(npmWebSocket(`${server.wsUrl}/ws?id=w${i}&rooms=counted`));
    await Promise.all(feeds.map((feed) => feed.event('connected')));
    for (let i = 0; i < 4; ++i) raws.push(await Raw.connect(server.port));
    for (const raw of raws) raw.write(`GET /api/nothing HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
    for (const raw of raws) await raw.answer();
    const created = await poll(server, 'id=p&rooms=counted', { headers: { connection: 'close' } });
    const waiting = await Raw.connect(server.port);
    raws.push(waiting);
    waiting.write(`GET /api/poll?id=p&rooms=counted&session=${created.sessionId}&lastEventId=${created.lastEventId} ` +
      `HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
    let stats;
    for (let tries = 0; tries < 100; ++tries, await sleep(50)) {
      stats = await json('/admin/stats');
      if (stats.connections.poll === 1 && stats.connections.http === 4) break;
    }
    assert.deepEqual(stats.connections, { sse: 6, ws: 5, poll: 1, http: 4 });
    assert.equal(stats.shards, 3);
    const room = (await json('/admin/rooms')).rooms.find((each) => each.room === 'counted');
    assert.equal(room.readers, 12);
    assert.ok(room.readingShards >= 1 && room.readingShards <= 3);
    const sessions = (await json('/admin/sessions')).sessions;
    assert.equal(new Set(sessions.map((session) => session.sessionId)).size, 12);
    assert.deepEqual(new Set(sessions.map((session) => session.transport)), new Set(['sse', 'ws', 'poll']));
    const metrics = await (await server.admin('/metrics')).text();
    assert.match(metrics, /^twinwire_connections\{transport="http"\} 4$/m);
    assert.match(metrics, /^twinwire_connections\{transport="ws"\} 5$/m);
  } finally {
    feeds.forEach((feed) => feed.close());
    raws.forEach((raw) => raw.close());
  }
});

test('what the operators see matches what happened', async () => {
  const before = await json('/admin/stats');
  for (let i = 0; i < 5; ++i) await send(server, 'w', 'matching', `m${i}`);
  await send(server, 'w', 'matching', 'once', { clientId: 'c' });
  await send(server, 'w', 'matching', 'once', { clientId: 'c' });
  await post(server, 'w', 'messages.send', { room: '' });
  const now = await json('/admin/stats');
  assert.equal(now.events.published - before.events.published >= 6, true);
  assert.equal(now.events.stored - before.events.stored, 6);
  assert.equal(now.commands.duplicates - before.commands.duplicates, 1);
  assert.ok(now.store.syncs > before.store.syncs);
  assert.equal(now.store.failing, false);
});

// Beyond 64 bits, beyond a double's digits and range, and forms that another reader would write differently.
const numbers = '{"big":123456789012345678901234567890,"long":3.14159265358979323846264338327950288,"far":1e400,' +
  '"near":-1E-400,"form":1.10,"list":[18446744073709551616,-9223372036854775809,-0]}';

test('numbers in data stay as they were written, over every way in and out, and in history', async () => {
  const lines = curl(`${server.url}/api/events?id=r&rooms=numbers`);
  const ws = await rawWebSocket(server.port, '/ws?id=r2&rooms=numbers');
  const texts = [];
  const until = async (find) => {
    for (let text; !(text = texts.find(find)); ) {
      const got = await ws.frame();
      assert.ok(got, 'a frame');
      if (got.opcode === 1) texts.push(got.payload.toString());
    }
  };
  try {
    await lines.event('connected');
    await until((text) => text.includes('"connected"'));
    const event = (n) => `{"room":"numbers","type":"goal.created","data":${numbers.replace('{', `{"n":${n},`)}}`;
    const byPost = await post(server, 'b', 'events.publish', event(1));
    assert.equal(byPost.success, true, JSON.stringify(byPost));
    const byBatch = await post(server, 'b', 'events.publish', `[${event(2)}, ${event(3)}]`);
    assert.equal(byBatch.success, true, JSON.stringify(byBatch));
    ws.write(frame(1, `{"type":"events.publish","id":12345678901234567890123,"data":${event(4)}}`));
    await until((text) => text.startsWith('{"type":"reply","id":12345678901234567890123,"success":true'));
    const all = [1, 2, 3, 4].map((n) => numbers.replace('{', `{"n":${n},`));
    for (const data of all) {
      await until((text) => text.includes(data));
      await lines.until(() => lines.lines.some((line) => line.startsWith('data: ') && line.includes(data)), 'the SSE line');
    }
    const polled = await (await fetch(`${server.url}/api/poll?id=p&rooms=numbers&lastEventId=earliest`)).text();
    for (const data of all) assert.ok(polled.includes(data));
  } finally {
    lines.close();
    ws.close();
  }
});

test('a batch counts as one command for the rate, and is refused whole when there is none left', async () => {
  const limited = await Server.start({ rates: true, args: ['--limits.commands_per_second', '1', '--limits.commands_burst', '3'] });
  const raw = await Raw.connect(limited.port);
  try {
    const batch = JSON.stringify(Array.from({ length: 200 }, (_, n) => ({ room: 'batch', type: 'goal.created', data: { n } })));
    for (let i = 0; i < 4; ++i)
      raw.write(`POST /api/events/publish?id=b HTTP/1.1\r\nHost: 127.0.0.1:${limited.port}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${batch.length}\r\n\r\n${batch}`);
    for (let i = 0; i < 3; ++i) {
      const answer = JSON.parse((await raw.answer()).body);
      assert.equal(answer.success, true, JSON.stringify(answer).slice(0, 200));
      assert.equal(answer.results.length, 200);
    }
    const refused = await raw.answer();
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.equal(JSON.parse(refused.body).code, 'rate_limited');
  } finally {
    raw.close();
    await limited.stop();
  }
});

// ---- twinctl ----

const twinctl = (...args) => {
  const { status, stdout, stderr } = spawnSync(join(bin, 'twinctl'), args, { encoding: 'utf8', timeout: 20000 });
  return { status, out: stdout, err: stderr };
};
const here = (...args) => twinctl(...args, '--url', server.adminUrl, '--data', server.data);

test('twinctl: stats, rooms and sessions, as tables and as JSON', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=ctl-user&rooms=ctl-room`);
  try {
    await feed.event('connected');
    await send(server, 'w', 'ctl-room', 'x');
    const stats = here('stats');
    assert.equal(stats.status, 0, stats.err);
    assert.match(stats.out, /^server\n/);
    assert.match(stats.out, /\n  shards +3\n/);
    assert.match(stats.out, /\nconnections\n  sse +\d+\n  ws +1\n/);
    assert.ok(!stats.out.includes('\x1b'), 'no colours on a pipe');
    assert.equal(JSON.parse(here('stats', '--json').out).shards, 3);

    const rooms = here('rooms');
    assert.match(rooms.out, /^TENANT +ROOM +MEMBERS +PRESENT +READERS +EVENTS\/S +TAIL +LAST EVENT\n/);
    assert.match(rooms.out, /\ndefault +ctl-room +0 +0 +1 +[\d.]+ +1 +[0-9a-f]{12}-[0-9a-f]{14}\n/);
    assert.match(rooms.out, /\n\d+ rooms\n$/);
    assert.equal(JSON.parse(here('rooms', '--json').out).rooms.find((room) => room.room === 'ctl-room').readers, 1);

    const sessions = here('sessions');
    assert.match(sessions.out, /\n[0-9a-f]{32} +default +ctl-user +ws +live +1 +\d +\d+ +\d+ s +[0-9a-f]{12}-/);
    assert.equal(JSON.parse(here('sessions', '--json').out).sessions.find((each) => each.userId === 'ctl-user').transport, 'ws');
  } finally {
    feed.close();
  }
});

test('twinctl: publish reaches the room, tail shows it, also a number that few can read', async () => {
  // Nobody else is in the room, so that no presence is told between.
  const tail = spawn(join(bin, 'twinctl'),
    ['tail', 'ctl-tail', '--from', 'earliest', '--count', '3', '--url', server.adminUrl, '--data', server.data],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  let shown = '';
  tail.stdout.setEncoding('utf8').on('data', (text) => (shown += text));
  const ended = once(tail, 'exit');
  try {
    const published = here('publish', 'ctl-tail', 'two\nlines');
    assert.equal(published.status, 0, published.err);
    assert.match(published.out, /^published [0-9a-f]{12}-[0-9a-f]{14} to ctl-tail, stored\n$/);
    const { messages } = await post(server, 'u', 'messages.load', { room: 'ctl-tail' });
    assert.equal(messages[0].content, 'two\nlines');
    const event = JSON.parse(here('publish', 'ctl-tail', '--type', 'goal.created', '--event-data', '{"n":1e999}', '--json').out);
    assert.equal(event.success, true);
    await send(server, 'ann', 'ctl-tail', 'by ann');
    assert.deepEqual(await ended, [0, null]);
    assert.match(shown, /^\d\d:\d\d:\d\d\.\d{3}  operator  two lines\n.*  operator  goal\.created \{"n":1e999\}\n.*  ann  by ann\n$/);
    const lines = here('tail', 'ctl-tail', '--from', 'earliest', '--count', '3', '--json').out.trim().split('\n');
    assert.equal(JSON.parse(lines[2]).data.message.content, 'by ann');
  } finally {
    tail.kill();
  }
});

test('twinctl: what goes wrong is said in a sentence', async () => {
  for (const [got, status, sentence] of [
    [twinctl('stats', '--url', 'http://127.0.0.1:1'), 1, /Cannot connect to http:\/\/127\.0\.0\.1:1/],
    [twinctl('stats', '--url', server.adminUrl, '--token', 'wrong'), 1, /did not accept the token/],
    [twinctl('dance'), 2, /there is no command "dance"/],
    [twinctl('tail'), 2, /ROOM is required/],
    [here('publish', 'ctl-tail', '--type', 'message.created'), 1, /own event types/],
    [here('tail', 'x'.repeat(129), '--count', '1'), 1, /must be at most 128 bytes/],
  ]) {
    assert.equal(got.status, status, got.err);
    assert.match(got.err, sentence);
  }
});
