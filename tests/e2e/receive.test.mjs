// Third-party clients, unmodified: each receives what others send, sends in its own way, reconnects by itself or by
// hand, and misses nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as undici from 'undici';

import {
  curl, npmEventSource, npmWebSocket, post, send, sendMany, undiciEventSource, undiciWebSocket,
} from '../support/clients.mjs';
import { Proxy } from '../support/proxy.mjs';
import { Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.stop());

const rising = (ids) => ids.every((id, i) => i === 0 || ids[i - 1] < id);

// One row per client: how it opens a stream of `room` at `base`.
const receivers = {
  'npm eventsource': (base, room, user) => npmEventSource(`${base.url}/api/events?id=${user}&rooms=${room}`),
  'undici EventSource': (base, room, user) => undiciEventSource(`${base.url}/api/events?id=${user}&rooms=${room}`),
  'curl -N': (base, room, user) => curl(`${base.url}/api/events?id=${user}&rooms=${room}`),
  'npm ws': (base, room, user) => npmWebSocket(`${base.wsUrl}/ws?id=${user}&rooms=${room}`),
  'undici WebSocket': (base, room, user) => undiciWebSocket(`${base.wsUrl}/ws?id=${user}&rooms=${room}`),
};

for (const [name, open] of Object.entries(receivers)) {
  test(`${name}: connected, then every message in order, with its envelope`, async () => {
    const room = `receive-${name.replaceAll(' ', '-')}`;
    const feed = open(server, room, 'reader');
    try {
      const connected = await feed.event('connected');
      assert.match(connected.data.sessionId, /^[0-9a-f]{32}$/);
      assert.equal(connected.data.userId, 'reader');
      assert.equal(connected.data.resumed, false);
      assert.ok(connected.data.rooms.includes(room));
      assert.match(connected.data.lastEventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
      assert.equal(connected.eventId, undefined);

      const sent = await sendMany(server, 'writer', room, 'm', 20);
      assert.deepEqual(await feed.messages(20), sent);
      const event = feed.of('message.created')[0];
      assert.match(event.eventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
      assert.equal(event.room, room);
      assert.equal(event.userId, 'writer');
      assert.equal(event.tenantId, 'default');
      assert.ok(Math.abs(Date.parse(event.timestamp) - Date.now()) < 60000);
      assert.equal(event.data.message.id, event.eventId);
      assert.equal(event.data.message.room, room);
      assert.ok(rising(feed.ids));
      for (const { type, eventId, sseType, sseId } of feed.events) {
        if (sseType === undefined) continue;
        assert.equal(sseType, type);
        if (type === 'message.created') assert.equal(sseId, eventId);
        if (type === 'connected') assert.equal(sseId, connected.data.lastEventId);
      }
    } finally {
      feed.close();
    }
  });
}

for (const [name, Source] of [['npm eventsource', npmEventSource], ['undici EventSource', undiciEventSource]]) {
  test(`${name}: reconnects by itself through a failing network and resumes without loss`, async () => {
    const proxy = await Proxy.start(server.port);
    const room = `cut-${name.replaceAll(' ', '-')}`;
    const feed = Source(`${proxy.url}/api/events?id=reader&rooms=${room}`);
    try {
      await feed.event('connected');
      const sent = [];
      for (let round = 1; round <= 3; ++round) {
        sent.push(...(await sendMany(server, 'writer', room, `r${round}-`, 10)));
        if (round === 1) await feed.messages(10);
        proxy.cut();
        sent.push(...(await sendMany(server, 'writer', room, `gap${round}-`, 10)));
        await feed.event('connected', round + 1);
      }
      assert.deepEqual(await feed.messages(sent.length), sent);
      assert.ok(rising(feed.ids));
      assert.equal(feed.of('connected')[1].data.resumed, true);
      assert.equal(feed.of('reset').length, 0);
    } finally {
      feed.close();
      await proxy.stop();
    }
  });
}

for (const [name, open] of [['npm ws', npmWebSocket], ['undici WebSocket', undiciWebSocket]]) {
  test(`${name}: sends, is cut, comes back with its session and its last id, and misses nothing`, async () => {
    const proxy = await Proxy.start(server.port);
    const room = `again-${name.replace(' ', '-')}`;
    const sent = [];
    const seen = [];
    let resume = '';
    try {
      for (let round = 1; round <= 3; ++round) {
        const feed = open(`${proxy.wsUrl}/ws?id=walker&rooms=${room}${resume}`);
        const connected = await feed.event('connected');
        assert.equal(connected.data.resumed, round > 1);
        const reply = await feed.command('messages.send', { room, content: `mine ${round}` });
        assert.equal(reply.stored, true, JSON.stringify(reply));
        sent.push(`mine ${round}`, ...(await sendMany(server, 'other', room, `r${round}-`, 10)));
        await feed.until(() => seen.length + feed.contents.length >= sent.length, 'what was sent');
        seen.push(...feed.contents);
        resume = `&session=${connected.data.sessionId}&lastEventId=${feed.of('message.created').at(-1).eventId}`;
        proxy.cut();
        await feed.until(() => feed.closed, 'the cut');
        sent.push(...(await sendMany(server, 'other', room, `gap${round}-`, 10)));
      }
      assert.deepEqual(seen, sent.slice(0, -10));
    } finally {
      await proxy.stop();
    }
  });
}

test('npm eventsource: a cut before the first event loses nothing', async () => {
  const proxy = await Proxy.start(server.port);
  const feed = npmEventSource(`${proxy.url}/api/events?id=reader&rooms=early-cut`);
  try {
    await feed.event('connected');
    proxy.cut();
    const sent = await sendMany(server, 'writer', 'early-cut', 'e', 5);
    assert.deepEqual(await feed.messages(5), sent);
  } finally {
    feed.close();
    await proxy.stop();
  }
});

test('curl: Last-Event-ID beats the query, and both resume', async () => {
  const room = 'curl-resume';
  const [first, second] = [await send(server, 'w', room, 'one'), await send(server, 'w', room, 'two')];
  await send(server, 'w', room, 'three');
  const resumes = [
    [[`lastEventId=${first.eventId}`], [], ['two', 'three']],
    [[`last_event_id=${first.eventId}`], [], ['two', 'three']],
    [[`since=${second.eventId}`], [], ['three']],
    [[`lastEventId=${first.eventId}`], ['-H', `Last-Event-ID: ${second.eventId}`], ['three']],
    [['lastEventId=earliest'], [], ['one', 'two', 'three']],
  ];
  for (const [query, options, expected] of resumes) {
    const feed = curl(`${server.url}/api/events?id=r&rooms=${room}&${query.join('&')}`, ...options);
    try {
      assert.deepEqual(await feed.messages(expected.length), expected, query.join());
      const fromAnEvent = !query.includes('lastEventId=earliest');
      assert.equal((await feed.event('connected')).data.resumed, fromAnEvent);
    } finally {
      feed.close();
    }
  }
});

test('curl: the answer to a stream has the headers that keep proxies and caches away', async () => {
  const feed = curl(`${server.url}/api/events?id=r&rooms=headers`);
  try {
    await feed.event('connected');
    assert.match(feed.lines[0], /^HTTP\/1\.1 200 /);
    const headers = feed.lines.map((line) => line.toLowerCase());
    assert.ok(headers.includes('content-type: text/event-stream; charset=utf-8'));
    assert.ok(headers.includes('cache-control: no-store, no-transform'));
    assert.ok(headers.includes('x-accel-buffering: no'));
    assert.ok(feed.lines.some((line) => /^retry: ?\d+$/.test(line)), 'a retry: line');
  } finally {
    feed.close();
  }
});

test('history=N sends the last N of each room, merged, then live', async () => {
  await sendMany(server, 'w', 'history-a', 'a', 5);
  await sendMany(server, 'w', 'history-b', 'b', 5);
  await send(server, 'w', 'history-a', 'a6');
  const feed = npmEventSource(`${server.url}/api/events?id=r&rooms=history-a,history-b&history=3`);
  try {
    assert.deepEqual(await feed.messages(6), ['a4', 'a5', 'b3', 'b4', 'b5', 'a6']);
    const connected = await feed.event('connected');
    assert.ok(connected.data.lastEventId < feed.ids[0]);
    await send(server, 'w', 'history-b', 'live');
    assert.equal((await feed.messages(7))[6], 'live');
    assert.ok(rising(feed.ids));
  } finally {
    feed.close();
  }
});

test('npm ws: commands and events on one socket; replies carry the command id', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=ann&rooms=ws-room`);
  try {
    await feed.event('connected');
    const reply = await feed.command('messages.send', { room: 'ws-room', content: 'over ws' });
    assert.equal(reply.success, true);
    assert.equal(reply.stored, true);
    assert.equal(reply.message.content, 'over ws');
    assert.equal(reply.message.userId, 'ann');
    const event = await feed.event('message.created');
    assert.equal(event.eventId, reply.eventId);
    feed.socket.send(JSON.stringify({ type: 'ping' }));
    await feed.event('pong');
    const wrong = await feed.command('messages.dance', {});
    assert.equal(wrong.success, false);
    assert.equal(wrong.code, 'not_found');
    assert.equal(wrong.retryable, false);
  } finally {
    feed.close();
  }
});

test('npm ws: protocol ping is answered, the subprotocol echoed, compression not, fragments joined', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=ann&rooms=ws-frames`, ['other', 'twinwire.v1']);
  try {
    await feed.event('connected');
    assert.equal(feed.socket.protocol, 'twinwire.v1');
    assert.equal(feed.socket.extensions, '');
    const pong = new Promise((resolve) => feed.socket.once('pong', resolve));
    feed.socket.ping('payload');
    assert.equal((await pong).toString(), 'payload');
    const text = JSON.stringify({ type: 'messages.send', id: 'f', data: { room: 'ws-frames', content: 'grüße 🧵' } });
    const bytes = Buffer.from(text);
    const cut = bytes.indexOf(0xbc); // in the middle of a character
    feed.socket.send(bytes.subarray(0, cut), { fin: false, binary: false });
    feed.socket.ping('between');
    feed.socket.send(bytes.subarray(cut), { fin: true, binary: false });
    assert.deepEqual(await feed.messages(1), ['grüße 🧵']);
  } finally {
    feed.close();
  }
});

test('npm ws: mode none takes its user from the auth message', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws`);
  try {
    await feed.opened;
    const reply = await feed.command('auth', { userId: 'late', userName: 'Late' });
    assert.equal(reply.success, true);
    assert.equal(reply.userId, 'late');
    await feed.event('auth.success');
    const sent = await feed.command('messages.send', { room: 'auth-room', content: 'hi' });
    assert.equal(sent.message.userId, 'late');
  } finally {
    feed.close();
  }
});

test('npm ws: a clean close is answered with the same code', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=ann&rooms=close`);
  await feed.event('connected');
  feed.socket.close(1000, 'done');
  await feed.until(() => feed.closed, 'the close');
  assert.equal(feed.closeCode, 1000);
});

test('undici: pipelined POSTs on one connection are answered in order, a sender keeps its order', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=r&rooms=pipeline`);
  const client = new undici.Client(server.url, { pipelining: 16 });
  try {
    await feed.event('connected');
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const { statusCode, body } = await client.request({
          path: '/api/messages/send?id=piper',
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ room: 'pipeline', content: `p${i}` }),
          idempotent: true,
          blocking: false,
        });
        return { statusCode, ...(await body.json()) };
      }),
    );
    answers.forEach((answer, i) => {
      assert.equal(answer.statusCode, 200);
      assert.equal(answer.message.content, `p${i}`);
    });
    assert.deepEqual(await feed.messages(40), answers.map((answer) => answer.message.content));
  } finally {
    await client.close();
    feed.close();
  }
});

test('undici: a chunked body of many pieces is one command', async () => {
  async function* pieces() {
    for (const byte of JSON.stringify({ room: 'chunks', content: 'in pieces' })) yield Buffer.from(byte);
  }
  const { statusCode, body } = await undici.request(`${server.url}/api/messages/send?id=c`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: pieces(),
  });
  assert.equal(statusCode, 200);
  assert.equal((await body.json()).message.content, 'in pieces');
});

test('both transports get the same JSON of the same event', async () => {
  const sse = curl(`${server.url}/api/events?id=a&rooms=same`);
  const ws = npmWebSocket(`${server.wsUrl}/ws?id=b&rooms=same`);
  try {
    await Promise.all([sse.event('connected'), ws.event('connected')]);
    await send(server, 'w', 'same', 'text with "quotes", \\, ünïcode, \u0001 and </script>', { clientId: 'id-1' });
    const [one, two] = await Promise.all([sse.event('message.created'), ws.event('message.created')]);
    delete one.sseType;
    delete one.sseId;
    assert.deepEqual(one, two);
  } finally {
    sse.close();
    ws.close();
  }
});

test('a poll carries them too', async () => {
  const first = await post(server, 'w', 'messages.send', { room: 'poll-same', content: 'x' });
  const response = await fetch(`${server.url}/api/poll?id=p&rooms=poll-same&lastEventId=earliest`);
  const answer = await response.json();
  const events = answer.events.filter((event) => event.type === 'message.created');
  assert.equal(events.length, 1);
  assert.equal(events[0].eventId, first.eventId);
  assert.equal(answer.lastEventId, first.eventId);
});
