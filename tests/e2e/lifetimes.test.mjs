// What ends, and what does not: heartbeats and silence, sessions without a stream, presence without one, readers that
// are slow, that stand still, and that stall for good. All times are settings, and short here.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Raw, frame, rawWebSocket } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

let quick; // short times
let patient; // short heartbeats, but slow readers have the ten minutes that they have by default
before(async () => {
  quick = await Server.start({
    args: ['--sse.heartbeat_seconds', '1', '--ws.heartbeat_seconds', '1', '--store.settle_idle_ms', '300', '--session.keep_seconds', '3', '--session.presence_grace_seconds', '1', '--slow.stall_seconds', '2'],
  });
  patient = await Server.start({
    args: ['--sse.heartbeat_seconds', '1', '--ws.heartbeat_seconds', '2', '--shards', '2'],
  });
});
after(() => Promise.all([quick?.stop(), patient?.stop()]));

const sessions = async (server) => (await (await server.admin('/admin/sessions')).json()).sessions;
const sessionOf = async (server, user) => (await sessions(server)).find((session) => session.userId === user);

/** Asks until the answer is truthy. */
async function eventually(ask, what, ms = 10000) {
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
  }
}

const pad = 'x'.repeat(30000);
async function fill(server, room, count) {
  const sent = [];
  for (let i = 0; i < count; ++i) {
    await send(server, 'w', room, `${i} ${pad}`);
    sent.push(String(i));
  }
  return sent;
}

/** A raw stream's events until `count` messages came; pings are answered when they are reached. */
class SlowReader {
  static async open(server, kind, user, room, slowly, more = '') {
    const reader = new SlowReader();
    reader.got = [];
    reader.ids = [];
    reader.types = [];
    const query = `id=${user}&rooms=${room}${more}`;
    if (kind === 'ws') {
      reader.raw = await rawWebSocket(server.port, `/ws?${query}`, slowly === 'paused' ? '' : slowly);
      if (slowly === 'paused') {
        reader.raw.socket.pause();
        reader.raw.slow = true;
      }
      reader.reading = reader.frames();
    } else {
      reader.raw = await Raw.connect(server.port, slowly);
      reader.raw.write(`GET /api/events?${query} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
      reader.reading = Promise.resolve();
    }
    return reader;
  }

  note(event) {
    this.types.push(event.type);
    if (event.type !== 'message.created') return;
    this.got.push(event.data.message.content.split(' ')[0]);
    this.ids.push(event.eventId);
  }

  async frames() {
    for (;;) {
      const got = await this.raw.frame(300000);
      if (got === null) return;
      if (got.opcode === 9) this.raw.write(frame(10, got.payload));
      if (got.opcode === 1) this.note(JSON.parse(got.payload));
    }
  }

  /** All messages up to `count`, reading on as fast as it goes. */
  async rest(count, ms = 30000) {
    this.raw.hurry();
    for (const until = Date.now() + ms; this.got.length < count && Date.now() < until; await sleep(50)) {
      if (this.sse === undefined && this.raw.bytes.toString('latin1', 0, 4) !== 'HTTP') continue;
      this.sse = true;
      this.got = [];
      this.ids = [];
      this.types = [];
      for (const block of this.raw.bytes.toString().split('\n\n').slice(0, -1)) {
        const data = /^data: (.*)$/m.exec(block);
        if (data) this.note(JSON.parse(data[1]));
      }
    }
    return this.got;
  }

  close() {
    this.raw.close();
    this.reading.catch(() => {});
  }
}

// Most of their time they wait, so several run at once.
describe('lifetimes', { concurrency: 5 }, () => {
// ---- heartbeats ----

test('SSE: a comment a second, and an id alone where the cursor moved without anything to show', async () => {
  // A server of its own: where others write, the cursor always moves.
  const still = await Server.start({ args: ['--sse.heartbeat_seconds', '1', '--store.settle_idle_ms', '300'] });
  const feed = curl(`${still.url}/api/events?id=beat&rooms=beat`);
  try {
    const connected = await feed.event('connected');
    await eventually(() => feed.lines.filter((line) => line === ':').length >= 2, 'two comments');
    await send(still, 'w', 'elsewhere', 'not for this stream');
    const alone = await eventually(
      () => feed.lines.find((line, i) => line.startsWith('id: ') && feed.lines[i + 1] === '' && feed.lines[i - 1] === ''),
      'an id alone');
    assert.ok(alone.slice(4) > connected.sseId, 'it moves forward');
    // It is a cursor: who resumes from it misses nothing.
    const sent = await sendMany(still, 'w', 'beat', 'b', 3);
    const again = curl(`${still.url}/api/events?id=beat2&rooms=beat`, '-H', `Last-Event-ID: ${alone.slice(4)}`);
    assert.deepEqual(await again.messages(3), sent);
    assert.equal(again.of('reset').length, 0);
    again.close();
  } finally {
    feed.close();
    await still.stop();
  }
});

test('EventSource: heartbeats fire nothing, and its Last-Event-ID moves', async () => {
  const feed = npmEventSource(`${quick.url}/api/events?id=quiet&rooms=quiet`);
  const heard = [];
  feed.source.addEventListener('message', (message) => heard.push(message));
  try {
    await feed.event('connected');
    await send(quick, 'w', 'elsewhere', 'x');
    await sleep(2500);
    assert.deepEqual(heard, []);
    assert.equal(feed.events.length, feed.of('connected').length + feed.events.filter((e) => /^(presence|typing)/.test(e.type)).length);
  } finally {
    feed.close();
  }
});

test('WebSocket: pinged every second; who answers stays, who is silent for two is told and closed', async () => {
  const alive = npmWebSocket(`${quick.wsUrl}/ws?id=alive&rooms=pings`);
  const silent = await rawWebSocket(quick.port, '/ws?id=silent&rooms=pings');
  let pings = 0;
  alive.opened.then(() => alive.socket.on('ping', () => ++pings));
  try {
    const began = Date.now();
    const seen = [];
    for (let got; (got = await silent.frame()) !== null; ) {
      seen.push(got);
      if (got.opcode === 8) break;
    }
    const took = Date.now() - began;
    assert.ok(took > 1000 && took < 20000, `${took} ms`);
    assert.ok(seen.some((got) => got.opcode === 9), 'it was pinged');
    const bye = seen.filter((got) => got.opcode === 1).map((got) => JSON.parse(got.payload)).find((event) => event.type === 'bye');
    assert.match(bye.data.reason, /two heartbeats/);
    assert.equal(bye.data.reconnect, true);
    await silent.until(() => silent.closed, 'the end');
    await sleep(1500);
    assert.ok(pings >= 3, `${pings} pings`);
    assert.equal(alive.closed, false);
    assert.equal(alive.of('bye').length, 0);
  } finally {
    alive.close();
    silent.close();
  }
});

test('a client may ask for another heartbeat, from 10 to 600 seconds', async () => {
  for (const [asked, told] of [['300', 300], ['600', 600], ['5', 10], ['100000', 600]]) {
    const feed = npmWebSocket(`${quick.wsUrl}/ws?id=u&heartbeat=${asked}`);
    assert.equal((await feed.event('connected')).data.heartbeat, told);
    feed.close();
  }
});

// ---- sessions and presence without a stream ----

test('a session without a stream is kept, then forgotten: a new id and the same resume', async () => {
  const first = npmWebSocket(`${quick.wsUrl}/ws?id=kept&rooms=kept`);
  const { sessionId, lastEventId } = (await first.event('connected')).data;
  first.close();
  await eventually(async () => (await sessionOf(quick, 'kept'))?.state === 'detached', 'the session to be without a stream');
  const sent = await sendMany(quick, 'w', 'kept', 'k', 3);
  const soon = npmEventSource(`${quick.url}/api/events?id=kept&rooms=kept&session=${sessionId}&lastEventId=${lastEventId}`);
  assert.equal((await soon.event('connected')).data.sessionId, sessionId);
  assert.deepEqual(await soon.messages(3), sent);
  soon.close();
  const began = Date.now();
  await eventually(async () => !(await sessionOf(quick, 'kept')), 'the session to be forgotten');
  const took = Date.now() - began;
  assert.ok(took > 2000 && took < 20000, `${took} ms`);
  const late = npmEventSource(`${quick.url}/api/events?id=kept&rooms=kept&session=${sessionId}&lastEventId=${lastEventId}`);
  try {
    const connected = await late.event('connected');
    assert.notEqual(connected.data.sessionId, sessionId);
    assert.equal(connected.data.resumed, true);
    assert.deepEqual(await late.messages(3), sent);
    assert.equal(late.of('reset').length, 0);
  } finally {
    late.close();
  }
});

test('a poll names a session that was forgotten: a new one is told by connected, nothing is lost', async () => {
  const created = await poll(quick, 'id=polled&rooms=polled&wait=1');
  const { sessionId } = created.events.find((event) => event.type === 'connected').data;
  const q = `id=polled&rooms=polled&wait=1&lastEventId=${created.lastEventId}&session=${sessionId}`;
  const again = await poll(quick, q);
  assert.equal(again.sessionId, sessionId);
  assert.equal(again.events.filter((event) => event.type === 'connected').length, 0);
  await eventually(async () => !(await sessionOf(quick, 'polled')), 'the session to be forgotten');
  await send(quick, 'w', 'polled', 'meanwhile');
  const late = await poll(quick, q);
  const connected = late.events.find((event) => event.type === 'connected');
  assert.notEqual(connected.data.sessionId, sessionId);
  assert.equal(connected.data.resumed, true);
  assert.deepEqual(late.events.filter((e) => e.type === 'message.created').map((e) => e.data.message.content), ['meanwhile']);
});

test('presence says left only after the grace, and not at all when the session comes back in it', async () => {
  const watcher = npmWebSocket(`${quick.wsUrl}/ws?id=watcher&rooms=grace`);
  const gone = (user) => (feed) =>
    feed.events.some((event) => event.type.startsWith('presence.') && new RegExp(`"left"[^}]*"${user}"|left.*"${user}"`).test(
      `${event.type} ${JSON.stringify(event.data)}`) && !new RegExp(`"joined":\\[[^\\]]*"${user}"`).test(JSON.stringify(event.data)));
  try {
    await watcher.event('connected');
    const mover = npmWebSocket(`${quick.wsUrl}/ws?id=mover&rooms=grace`);
    const { sessionId, lastEventId } = (await mover.event('connected')).data;
    await eventually(async () => (await post(quick, 'watcher', 'presence.list', { room: 'grace' })).count === 2, 'both');
    mover.close();
    await sleep(400);
    const moved = npmEventSource(`${quick.url}/api/events?id=mover&rooms=grace&session=${sessionId}&lastEventId=${lastEventId}`);
    await moved.event('connected');
    await sleep(1800);
    assert.equal((await post(quick, 'watcher', 'presence.list', { room: 'grace' })).count, 2);
    assert.ok(!gone('mover')(watcher), JSON.stringify(watcher.events));
    const left = Date.now();
    moved.close();
    await watcher.until(gone('mover'), 'mover to leave');
    const took = Date.now() - left;
    assert.ok(took >= 900 && took < 20000, `${took} ms`);
    assert.equal((await post(quick, 'watcher', 'presence.list', { room: 'grace' })).count, 1);
  } finally {
    watcher.close();
  }
});

// ---- slow readers ----

test('readers that stand still or take 1 kB/s live, on both transports, and end complete', async () => {
  const readers = {};
  for (const kind of ['sse', 'ws'])
    for (const slowly of ['paused', 'slow'])
      readers[`${kind}-${slowly}`] = await SlowReader.open(patient, kind, `${kind}-${slowly}`, 'slow', slowly);
  try {
    await eventually(async () => {
      const here = await sessions(patient);
      return Object.keys(readers).every((user) => here.some((session) => session.userId === user && session.state === 'live'));
    }, 'all to be live');
    const sent = await fill(patient, 'slow', 250); // 7.5 MB: no socket buffer holds it
    // Many heartbeats: not one of them is cut, and no other reader is held up.
    const quickly = npmWebSocket(`${patient.wsUrl}/ws?id=quickly&rooms=slow`);
    await quickly.event('connected');
    await sleep(9000);
    sent.push(...(await fill(patient, 'slow', 5)));
    assert.equal((await quickly.messages(5)).length, 5);
    quickly.close();
    const here = await sessions(patient);
    for (const [user, reader] of Object.entries(readers)) {
      const session = here.find((each) => each.userId === user);
      assert.ok(session && session.state === 'lagging', `${user}: ${JSON.stringify(session)}`);
      assert.equal(reader.raw.closed, false, user);
    }
    for (const [user, reader] of Object.entries(readers)) {
      assert.deepEqual(await reader.rest(sent.length), sent, user);
      assert.ok(reader.ids.every((id, i) => i === 0 || reader.ids[i - 1] < id), `${user}: rising`);
      for (const type of ['reset', 'bye']) assert.ok(!reader.types.includes(type), `${user}: ${type}`);
      assert.equal(reader.types.filter((type) => type === 'connected').length, 1, user);
    }
  } finally {
    Object.values(readers).forEach((reader) => reader.close());
  }
});

for (const kind of ['sse', 'ws']) {
  test(`${kind}: a socket that takes no byte for slow.stall_seconds is cut, and its client resumes`, async () => {
    const user = `stall-${kind}`;
    const sent = await fill(quick, user, 250);
    const began = Date.now();
    const reader = await SlowReader.open(quick, kind, user, user, 'paused', '&lastEventId=earliest');
    try {
      await eventually(async () => (await sessionOf(quick, user))?.state === 'replaying', 'the stream');
      await eventually(async () => (await sessionOf(quick, user))?.state === 'detached', 'the cut');
      assert.ok(Date.now() - began >= 1900, 'not before the time');
      // What was on its way is still there: a part, then the end without a word, for no word would go through.
      await reader.rest(sent.length, 1000);
      assert.ok(reader.got.length > 0 && reader.got.length < sent.length, `${reader.got.length} messages`);
      assert.ok(!reader.types.includes('bye'));
      const lastEventId = reader.ids.at(-1);
      const resumed = npmWebSocket(`${quick.wsUrl}/ws?id=${user}&rooms=${user}&lastEventId=${lastEventId}`);
      const contents = await resumed.messages(sent.length - reader.got.length);
      assert.deepEqual([...reader.got, ...contents.map((content) => content.split(' ')[0])], sent);
      assert.equal(resumed.of('reset').length, 0);
      resumed.close();
    } finally {
      reader.close();
    }
  });
}
});
