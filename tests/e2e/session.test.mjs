// One session on one stream after another: resume across transports, take-over, polls, restarts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.start({ args: ['--shards', '3'] });
});
after(() => server?.stop());

// Commas stay literal: they part the rooms.
const query = (entries) => new URLSearchParams(entries).toString().replaceAll('%2C', ',');

test('SSE, WebSocket, poll, SSE: one session, every message once, in order', async () => {
  const rooms = 'walk-a,walk-b';
  const seen = [];
  let cursor;
  let session;
  const sent = [];
  const write = async (prefix) => {
    for (let i = 1; i <= 5; ++i) {
      await send(server, 'w', i % 2 ? 'walk-a' : 'walk-b', `${prefix}${i}`);
      sent.push(`${prefix}${i}`);
    }
  };
  const stream = (open) => async (prefix) => {
    const resume = cursor ? { lastEventId: cursor, session } : {};
    const feed = open(query({ id: 'walker', rooms, ...resume }));
    const connected = await feed.event('connected');
    if (session) {
      assert.equal(connected.data.resumed, true);
      assert.equal(connected.data.sessionId, session);
    }
    session = connected.data.sessionId;
    cursor ??= connected.data.lastEventId;
    await write(prefix);
    await feed.messages(sent.length - seen.length);
    seen.push(...feed.contents);
    cursor = feed.of('message.created').at(-1).eventId;
    feed.close();
    await write(`${prefix}-gap`);
  };
  const sse = stream((q) => curl(`${server.url}/api/events?${q}`));
  const ws = stream((q) => npmWebSocket(`${server.wsUrl}/ws?${q}`));
  await sse('sse');
  await ws('ws');
  const polled = await poll(server, query({ id: 'walker', rooms, lastEventId: cursor, session }));
  const contents = polled.events.filter((event) => event.type === 'message.created');
  seen.push(...contents.map((event) => event.data.message.content));
  cursor = polled.lastEventId;
  await sse('again');
  await ws('end');
  assert.deepEqual(seen, sent.slice(0, seen.length));
  assert.equal(seen.length, sent.length - 5);
});

const openers = {
  sse: (q) => curl(`${server.url}/api/events?${q}`),
  ws: (q) => npmWebSocket(`${server.wsUrl}/ws?${q}`),
};
for (const [from, to] of [['sse', 'ws'], ['ws', 'sse'], ['ws', 'ws'], ['sse', 'sse']]) {
  test(`take-over ${from} → ${to}: the first is told bye replaced, the second has the rest`, async () => {
    const room = `take-${from}-${to}`;
    const first = openers[from](query({ id: 'u', rooms: room }));
    const { sessionId, lastEventId } = (await first.event('connected')).data;
    const sent = await sendMany(server, 'w', room, 'before', 5);
    await first.messages(5);
    const third = first.of('message.created')[2].eventId;
    const second = openers[to](query({ id: 'u', rooms: room, session: sessionId, lastEventId: third }));
    try {
      const connected = await second.event('connected');
      assert.equal(connected.data.sessionId, sessionId);
      assert.equal(connected.data.resumed, true);
      assert.equal(connected.data.lastEventId, third);
      const bye = await first.event('bye');
      assert.equal(bye.data.reason, 'replaced');
      await first.until(() => first.closed, 'the first stream to end');
      sent.push(...(await sendMany(server, 'w', room, 'after', 5)));
      assert.deepEqual(await second.messages(7), sent.slice(3));
      assert.equal(first.contents.length, 5);
      assert.ok(lastEventId < first.ids[0]);
    } finally {
      first.close();
      second.close();
    }
  });
}

test('a take-over without a cursor starts now', async () => {
  const first = openers.ws(query({ id: 'u', rooms: 'take-now' }));
  const { sessionId } = (await first.event('connected')).data;
  await sendMany(server, 'w', 'take-now', 'old', 3);
  await first.messages(3);
  const second = openers.sse(query({ id: 'u', rooms: 'take-now', session: sessionId }));
  try {
    assert.equal((await second.event('connected')).data.resumed, false);
    await send(server, 'w', 'take-now', 'new');
    assert.deepEqual(await second.messages(1), ['new']);
  } finally {
    first.close();
    second.close();
  }
});

test("a foreign session is no error and not taken: a new id, the first stream goes on", async () => {
  const mine = openers.ws(query({ id: 'mine', rooms: 'foreign' }));
  const { sessionId } = (await mine.event('connected')).data;
  const other = openers.ws(query({ id: 'other', rooms: 'foreign', session: sessionId }));
  try {
    assert.notEqual((await other.event('connected')).data.sessionId, sessionId);
    await send(server, 'w', 'foreign', 'both');
    assert.deepEqual(await mine.messages(1), ['both']);
    assert.deepEqual(await other.messages(1), ['both']);
  } finally {
    mine.close();
    other.close();
  }
});

test('POST names the stream it belongs to by header, query or body', async () => {
  const feed = openers.sse(query({ id: 'u', rooms: 'named' }));
  try {
    const { sessionId } = (await feed.event('connected')).data;
    const asked = [
      await post(server, 'u', 'session.info', {}, { 'twinwire-session': sessionId }),
      await post(server, 'u', 'session.info', { session: sessionId }),
    ];
    for (const info of asked) {
      assert.equal(info.success, true, JSON.stringify(info));
      assert.ok(info.rooms.includes('named'));
    }
  } finally {
    feed.close();
  }
});

test('poll: answers at once, waits, and is woken by an event', async () => {
  const opened = await poll(server, query({ id: 'p', rooms: 'poll', wait: 1 }));
  const connected = opened.events.find((event) => event.type === 'connected');
  assert.ok(connected, JSON.stringify(opened));
  const { sessionId, lastEventId } = connected.data;

  let began = Date.now();
  const idle = await poll(server, query({ id: 'p', rooms: 'poll', session: sessionId, lastEventId, wait: 1 }));
  assert.deepEqual(idle.events, []);
  assert.ok(Date.now() - began > 700, 'it waited');

  began = Date.now();
  const waiting = poll(server, query({ id: 'p', rooms: 'poll', session: sessionId, lastEventId, wait: 20 }));
  await sleep(200);
  const { eventId } = await send(server, 'w', 'poll', 'wake');
  const woken = await waiting;
  assert.ok(Date.now() - began < 5000);
  assert.deepEqual(woken.events.map((event) => event.eventId), [eventId]);
  assert.equal(woken.lastEventId, eventId);

  // The answer was lost: asking again repeats it.
  const again = await poll(server, query({ id: 'p', rooms: 'poll', session: sessionId, lastEventId, wait: 1 }));
  assert.deepEqual(again.events.map((event) => event.eventId), [eventId]);
});

test('poll: a second poll of the session ends the first at once, empty', async () => {
  const opened = await poll(server, query({ id: 'p', rooms: 'poll-two', wait: 1 }));
  const { sessionId, lastEventId } = opened.events.find((event) => event.type === 'connected').data;
  const q = query({ id: 'p', rooms: 'poll-two', session: sessionId, lastEventId, wait: 20 });
  const began = Date.now();
  const first = poll(server, q);
  await sleep(200);
  const second = poll(server, q);
  assert.deepEqual((await first).events, []);
  assert.ok(Date.now() - began < 5000);
  await send(server, 'w', 'poll-two', 'x');
  assert.equal((await second).events.length, 1);
});

test('poll: many events come in pieces that say more', async () => {
  const { eventId } = await send(server, 'w', 'poll-many', 'first');
  const batch = Array.from({ length: 150 }, (_, i) => ({ type: 'goal.created', room: 'poll-many', data: { i } }));
  for (let i = 0; i < 2; ++i) {
    const answer = await post(server, 'w', 'events.publish', batch);
    assert.equal(answer.success, true, JSON.stringify(answer).slice(0, 300));
  }
  const seen = [];
  let cursor = eventId;
  for (let more = true, asked = 0; more; ++asked) {
    assert.ok(asked < 10, 'it ends');
    const answer = await poll(server, query({ id: 'p', rooms: 'poll-many', lastEventId: cursor, wait: 1 }));
    const events = answer.events.filter((event) => event.type === 'goal.created');
    assert.ok(events.length <= 256);
    seen.push(...events.map((event) => event.data.i));
    cursor = answer.lastEventId;
    more = answer.more === true;
  }
  assert.deepEqual(seen, [...batch, ...batch].map((event) => event.data.i));
});

/** Polls on from `cursor` until `count` goals came: what each answer held. */
async function pollAll(at, room, cursor, count) {
  const answers = [];
  for (let seen = 0, asked = 0; seen < count; ++asked) {
    assert.ok(asked < 200, 'it ends');
    const answer = await poll(at, query({ id: 'p', rooms: room, lastEventId: cursor, wait: 5 }));
    const events = answer.events.filter((event) => event.type === 'goal.created');
    answers.push({ events, more: answer.more === true });
    seen += events.length;
    cursor = answer.lastEventId;
  }
  return answers;
}
const goals = (room, count, pad = '') =>
  Array.from({ length: count }, (_, n) => ({ type: 'goal.created', room, data: { n, pad } }));

test('poll: an answer holds at most poll.bytes', async () => {
  const { eventId } = await send(server, 'w', 'poll-large', 'first');
  for (const goal of goals('poll-large', 20, 'x'.repeat(60000)))
    assert.equal((await post(server, 'w', 'events.publish', goal)).success, true);
  const answers = await pollAll(server, 'poll-large', eventId, 20);
  assert.deepEqual(answers.flatMap(({ events }) => events.map((event) => event.data.n)), goals('', 20).map((goal) => goal.data.n));
  for (const { events } of answers) assert.ok(JSON.stringify(events).length <= 256 << 10, `${events.length} events`);
  assert.ok(answers.slice(0, -1).every(({ more }) => more));
});

test('poll: an answer holds at most poll.events, also when they come all at once while it waits', async () => {
  const few = await Server.start({ args: ['--poll.events', '10'] });
  try {
    const opened = await poll(few, query({ id: 'p', rooms: 'few', wait: 1 }));
    const waiting = poll(few, query({ id: 'p', rooms: 'few', session: opened.sessionId, lastEventId: opened.lastEventId, wait: 20 }));
    await sleep(200);
    await post(few, 'w', 'events.publish', goals('few', 55));
    const first = await waiting;
    const got = first.events.filter((event) => event.type === 'goal.created');
    assert.ok(got.length >= 1 && got.length <= 10, `${got.length} events`);
    const rest = await pollAll(few, 'few', first.lastEventId, 55 - got.length);
    for (const { events } of rest) assert.ok(events.length <= 10);
    const all = [...got, ...rest.flatMap(({ events }) => events)];
    assert.deepEqual(all.map((event) => event.data.n), goals('', 55).map((goal) => goal.data.n));
  } finally {
    await few.stop();
  }
});

test('an unknown cursor is told by reset, and the stream goes on from now', async () => {
  await send(server, 'w', 'unknown', 'old');
  const feed = openers.sse(query({ id: 'u', rooms: 'unknown', lastEventId: '000000000000-00000000000001' }));
  try {
    const reset = await feed.event('reset');
    assert.equal(reset.data.reason, 'unknown_cursor');
    assert.match(reset.data.lastEventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
    assert.equal(reset.sseId, reset.data.lastEventId);
    await send(server, 'w', 'unknown', 'new');
    assert.deepEqual(await feed.messages(1), ['new']);
  } finally {
    feed.close();
  }
});

test('idempotency: the same clientId over POST, WebSocket and header is one message', async () => {
  const ws = openers.ws(query({ id: 'u', rooms: 'once' }));
  try {
    await ws.event('connected');
    const first = await post(server, 'u', 'messages.send', { room: 'once', content: 'x', clientId: 'k1' });
    assert.equal(first.duplicate ?? false, false);
    const byPost = await post(server, 'u', 'messages.send', { room: 'once', content: 'x', clientId: 'k1' });
    const byHeader = await post(server, 'u', 'messages.send', { room: 'once', content: 'x' }, { 'idempotency-key': 'k1' });
    const byWs = await ws.command('messages.send', { room: 'once', content: 'x', clientId: 'k1' });
    for (const again of [byPost, byHeader, byWs]) {
      assert.equal(again.success, true, JSON.stringify(again));
      assert.equal(again.duplicate, true);
      assert.equal(again.eventId, first.eventId);
    }
    const other = await post(server, 'u', 'messages.send', { room: 'once', content: 'y', clientId: 'k1' });
    assert.equal(other.status, 409);
    assert.equal(other.code, 'conflict');
    const elsewhere = await post(server, 'v', 'messages.send', { room: 'once', content: 'x', clientId: 'k1' });
    assert.equal(elsewhere.duplicate ?? false, false);
    await ws.messages(2);
    await sleep(200);
    assert.deepEqual(ws.contents, ['x', 'x']);
  } finally {
    ws.close();
  }
});

for (const deliver of ['publish', 'commit']) {
  test(`restart under deliver ${deliver}: SIGTERM says bye and exits 0; kill -9 loses nothing stored`, async () => {
    const own = await Server.start({ args: ['--server.deliver', deliver, '--drain.seconds', '1'] });
    try {
      const ws = npmWebSocket(`${own.wsUrl}/ws?id=u&rooms=r`);
      const sse = npmEventSource(`${own.url}/api/events?id=v&rooms=r`);
      await Promise.all([ws.event('connected'), sse.event('connected')]);
      const sent = await sendMany(own, 'w', 'r', 'a', 20);
      await Promise.all([ws.messages(20), sse.messages(20)]);
      const cursor = ws.of('message.created')[9].eventId;

      const ending = own.end('SIGTERM');
      const byes = await Promise.all([ws.event('bye'), sse.event('bye')]);
      for (const bye of byes) assert.equal(bye.data.reconnect, true);
      sse.close();
      assert.deepEqual(await ending, { code: 0, signal: null });
      await own.spawn();

      sent.push(...(await sendMany(own, 'w', 'r', 'b', 20)));
      const keyed = await send(own, 'w', 'r', 'keyed', { clientId: 'k' });
      sent.push('keyed');
      await own.end('SIGKILL');
      await own.spawn();

      const again = await send(own, 'w', 'r', 'keyed', { clientId: 'k' });
      assert.equal(again.duplicate, true);
      assert.equal(again.eventId, keyed.eventId);
      sent.push((await send(own, 'w', 'r', 'last')).message.content);
      const resumed = npmWebSocket(`${own.wsUrl}/ws?id=u&rooms=r&lastEventId=${cursor}`);
      assert.deepEqual(await resumed.messages(sent.length - 10), sent.slice(10));
      assert.equal(resumed.of('reset').length, 0);
      resumed.close();
      const whole = await post(own, 'u', 'messages.load', { room: 'r', limit: 256 });
      assert.deepEqual(whole.messages.map((message) => message.content), sent);
    } finally {
      await own.stop();
    }
  });
}

test('a reader that stops reading is not cut and ends complete', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=slow&rooms=slow`);
  const quick = npmWebSocket(`${server.wsUrl}/ws?id=quick&rooms=slow`);
  try {
    await Promise.all([feed.event('connected'), quick.event('connected')]);
    feed.socket.pause();
    const pad = 'x'.repeat(30000);
    const sent = [];
    const writers = Array.from({ length: 8 }, async (_, w) => {
      const writer = npmWebSocket(`${server.wsUrl}/ws?id=w${w}`);
      await writer.event('connected');
      for (let i = 0; i < 50; ++i) {
        const reply = await writer.command('messages.send', { room: 'slow', content: `${w}-${i} ${pad}` });
        assert.equal(reply.success, true, JSON.stringify(reply).slice(0, 300));
        sent.push(reply.eventId);
        if (i >= 40) await sleep(20);
      }
      writer.close();
    });
    await Promise.all(writers);
    await quick.messages(400);
    feed.socket.resume();
    await feed.messages(400);
    assert.deepEqual(feed.ids.filter((id) => sent.includes(id)), sent.sort());
    assert.equal(feed.of('connected').length, 1);
    assert.equal(feed.of('reset').length, 0);
  } finally {
    feed.close();
    quick.close();
  }
});
