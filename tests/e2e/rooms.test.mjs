// The commands as third-party clients use them: rooms, membership, typing, presence, events; each over POST and over
// WebSocket with the same answer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { npmEventSource, npmWebSocket, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.start({ args: ['--typing.clear_ms', '800', '--session.presence_grace_seconds', '1'] });
});
after(() => server?.stop());

const ws = (user, rooms = '') => npmWebSocket(`${server.wsUrl}/ws?id=${user}${rooms && `&rooms=${rooms}`}`);
const sse = (user, rooms = '') => npmEventSource(`${server.url}/api/events?id=${user}${rooms && `&rooms=${rooms}`}`);

test('typing is told to the room and clears by itself', async () => {
  const feeds = [sse('reader', 'typing'), ws('reader2', 'typing')];
  try {
    await Promise.all(feeds.map((feed) => feed.event('connected')));
    assert.equal((await post(server, 'ann', 'typing.start', { room: 'typing' })).success, true);
    for (const feed of feeds) {
      // What is sent to one stream as its state when it begins names no user.
      const changes = () => feed.of('typing').filter((event) => event.data.userId !== undefined);
      const started = await feed.until(() => changes()[0], 'typing to start');
      assert.equal(started.data.userId, 'ann');
      assert.equal(started.data.isTyping, true);
      assert.deepEqual(started.data.users, ['ann']);
      const cleared = await feed.until(() => changes()[1], 'typing to end');
      assert.equal(cleared.data.isTyping, false);
      assert.deepEqual(cleared.data.users, []);
      assert.ok(!started.sseId || started.sseId !== started.eventId, 'no id line: it is never replayed');
    }
    const { messages } = await post(server, 'ann', 'messages.load', { room: 'typing' });
    assert.deepEqual(messages, []);
  } finally {
    feeds.forEach((feed) => feed.close());
  }
});

test('presence: joined, listed, and left only after the grace', async () => {
  const reader = sse('reader', 'presence');
  try {
    await reader.event('connected');
    const ann = ws('ann', 'presence');
    await ann.event('connected');
    const here = (feed) => feed.events.filter((e) => e.type.startsWith('presence.')).map((e) => JSON.stringify(e)).join();
    await reader.until(() => here(reader).includes('"ann"'), 'ann to be present');
    const list = await post(server, 'reader', 'presence.list', { room: 'presence' });
    assert.equal(list.count, 2);
    const ids = list.users.map((user) => (typeof user === 'string' ? user : user.userId));
    assert.deepEqual(ids.sort(), ['ann', 'reader']);
    ann.close();
    await sleep(300);
    assert.equal((await post(server, 'reader', 'presence.list', { room: 'presence' })).count, 2);
    await reader.until(() => reader.of('presence.left').length > 0 || reader.of('presence.diff').length > 1, 'ann to leave');
    assert.equal((await post(server, 'reader', 'presence.list', { room: 'presence' })).count, 1);
  } finally {
    reader.close();
  }
});

test('a direct room is the same for both, whoever creates it, even at once', async () => {
  const answers = await Promise.all([
    post(server, 'ann', 'rooms.create', { participantIds: ['bob'] }),
    post(server, 'bob', 'rooms.create', { participantIds: ['ann'] }),
    post(server, 'ann', 'rooms.create', { participantIds: ['bob'] }),
  ]);
  for (const answer of answers) assert.equal(answer.success, true, JSON.stringify(answer));
  assert.equal(new Set(answers.map((answer) => answer.room.id)).size, 1);
});

test('a created room reaches all streams of its members, live and without rooms=', async () => {
  const feeds = [ws('m1'), sse('m2'), sse('m2')];
  const outsider = ws('m9');
  try {
    await Promise.all([...feeds, outsider].map((feed) => feed.event('connected')));
    const { room } = await post(server, 'm1', 'rooms.create', { participantIds: ['m2', 'm3'], name: 'three', isGroup: true });
    for (const feed of feeds) await feed.event('room.created');
    const sent = await sendMany(server, 'm3', room.id, 'g', 5);
    for (const feed of feeds) assert.deepEqual(await feed.messages(5), sent);
    const later = sse('m3');
    assert.ok((await later.event('connected')).data.rooms.includes(room.id));
    later.close();

    const refused = await post(server, 'm9', 'messages.send', { room: room.id, content: 'let me in' });
    assert.equal(refused.status, 403);
    assert.equal(refused.code, 'forbidden');
    const peeking = ws('m9', room.id);
    const reset = await peeking.event('reset');
    assert.equal(reset.data.reason, 'forbidden');
    assert.deepEqual(reset.data.rooms, [room.id]);
    peeking.close();
    assert.deepEqual(outsider.contents, []);
    const { rooms } = await post(server, 'm2', 'rooms.load', {});
    assert.ok(rooms.some((entry) => entry.id === room.id));
  } finally {
    [...feeds, outsider].forEach((feed) => feed.close());
  }
});

test('leaving ends delivery; joining an open room brings its history by load', async () => {
  const feed = ws('walker');
  try {
    await feed.event('connected');
    await sendMany(server, 'w', 'open-room', 'old', 3);
    assert.equal((await feed.command('rooms.join', { room: 'open-room' })).success, true);
    await send(server, 'w', 'open-room', 'seen');
    assert.deepEqual(await feed.messages(1), ['seen']);
    const left = await feed.command('rooms.leave', { room: 'open-room' });
    assert.equal(left.success, true);
    await send(server, 'w', 'open-room', 'unseen');
    await sleep(300);
    assert.deepEqual(feed.contents, ['seen']);
    const loaded = await feed.command('messages.load', { room: 'open-room', limit: 2 });
    assert.deepEqual(loaded.messages.map((message) => message.content), ['seen', 'unseen']);
    assert.equal(loaded.hasMore, true);
    const before = await feed.command('messages.load', { room: 'open-room', limit: 2, before: loaded.messages[0].id });
    assert.deepEqual(before.messages.map((message) => message.content), ['old2', 'old3']);
  } finally {
    feed.close();
  }
});

test('load with join leaves no hole between history and live', async () => {
  const feed = ws('joiner');
  let writing = true;
  try {
    await feed.event('connected');
    const sent = [];
    const writer = (async () => {
      for (let i = 0; writing; ++i) {
        await send(server, 'w', 'hole', `h${i}`);
        sent.push(`h${i}`);
      }
    })();
    await sleep(200);
    const loaded = await feed.command('messages.load', { room: 'hole', limit: 256, join: true });
    await feed.messages(30);
    writing = false;
    await writer;
    await feed.until(() => feed.contents.at(-1) === sent.at(-1), 'the last message');
    const loadedContents = loaded.messages.map((message) => message.content);
    const both = [...loadedContents, ...feed.contents];
    assert.deepEqual(both, sent.slice(sent.indexOf(both[0])));
    assert.ok(feed.ids.every((id) => id > loaded.lastEventId));
  } finally {
    writing = false;
    feed.close();
  }
});

test('clearing a room empties its history and tells it', async () => {
  const feed = ws('ann', 'cleared');
  try {
    await feed.event('connected');
    await sendMany(server, 'ann', 'cleared', 'c', 3);
    const cleared = await feed.command('rooms.clear', { room: 'cleared' });
    assert.equal(cleared.success, true, JSON.stringify(cleared));
    await feed.event('room.cleared');
    await send(server, 'ann', 'cleared', 'fresh');
    const { messages } = await feed.command('messages.load', { room: 'cleared' });
    assert.deepEqual(messages.map((message) => message.content), ['fresh']);
  } finally {
    feed.close();
  }
});

test('exclude: connection leaves out the naming session, also in replays; user leaves out the user', async () => {
  const one = ws('ann', 'exclude');
  const two = sse('ann', 'exclude');
  const other = sse('bob', 'exclude');
  try {
    const [{ data }] = await Promise.all([one, two, other].map((feed) => feed.event('connected')));
    await one.command('messages.send', { room: 'exclude', content: 'by connection', exclude: 'connection' });
    await one.command('messages.send', { room: 'exclude', content: 'by user', exclude: 'user' });
    await one.command('messages.send', { room: 'exclude', content: 'to all' });
    assert.deepEqual(await other.messages(3), ['by connection', 'by user', 'to all']);
    await two.until((feed) => feed.contents.includes('to all'), 'the last');
    await one.until((feed) => feed.contents.includes('to all'), 'the last');
    assert.deepEqual(two.contents, ['by connection', 'to all']);
    assert.deepEqual(one.contents, ['to all']);
    const again = npmWebSocket(
      `${server.wsUrl}/ws?id=ann&rooms=exclude&session=${data.sessionId}&lastEventId=${data.lastEventId}`);
    await again.until((feed) => feed.contents.includes('to all'), 'the replay');
    assert.ok(!again.contents.includes('by connection'));
    again.close();
  } finally {
    [one, two, other].forEach((feed) => feed.close());
  }
});

test('events.publish: kept ones are replayed, ephemeral ones are not, our own types are refused', async () => {
  const feed = ws('ann', 'backend');
  try {
    await feed.event('connected');
    const kept = await post(server, 'b', 'events.publish', { room: 'backend', type: 'goal.created', data: { n: 1 } });
    const fleeting = await post(server, 'b', 'events.publish', { room: 'backend', type: 'goal.created', data: { n: 2 }, ephemeral: true });
    assert.equal(kept.success && fleeting.success, true);
    await feed.event('goal.created', 2);
    assert.deepEqual(feed.of('goal.created').map((event) => event.data.n), [1, 2]);
    const replay = ws('ann', 'backend&lastEventId=earliest');
    await replay.event('goal.created');
    await send(server, 'w', 'backend', 'end');
    await replay.messages(1);
    assert.deepEqual(replay.of('goal.created').map((event) => event.data.n), [1]);
    replay.close();
    for (const type of ['message.created', 'connected', 'bad type', '', 'x'.repeat(65)]) {
      const refused = await post(server, 'b', 'events.publish', { room: 'backend', type, data: {} });
      assert.equal(refused.code, 'invalid_argument', type);
    }
  } finally {
    feed.close();
  }
});

test('every command answers the same over POST and over WebSocket', async () => {
  // Each carrier has a user and a room of its own, so that both begin from the same state.
  const feed = ws('carrier-ws', 'room-ws');
  const stream = ws('carrier-post', 'room-post');
  try {
    await feed.event('connected');
    const { sessionId } = (await stream.event('connected')).data;
    const commands = (room) => [
      ['messages.send', { room, content: 'same' }],
      ['messages.send', { conversationId: room, content: 'same', ack: 'accepted' }],
      ['messages.send', {}],
      ['messages.load', { room, limit: 3 }],
      ['messages.load', { room, limit: -1 }],
      ['rooms.create', { participantIds: ['x'], name: 'n', isGroup: true }],
      ['rooms.create', { participantIds: 'x' }],
      ['rooms.load', {}],
      ['rooms.join', { room }],
      ['rooms.join', { room }],
      ['rooms.leave', { room: 'elsewhere' }],
      ['typing.start', { room }],
      ['typing.stop', { room }],
      ['typing.start', { room: '' }],
      ['presence.list', { room }],
      ['presence.set', { room, state: 'away' }],
      ['session.info', {}],
      ['events.publish', { room, type: 'goal.created', data: { a: [1, null, 'x'] } }],
      ['events.publish', { room, type: 'no such type!', data: {} }],
      ['rooms.leave', { room }],
      ['rooms.clear', { room }],
      ['no.such', {}],
    ];
    // What differs by nature: ids, times, positions, and the two names above.
    const shape = (value, key = '') => {
      if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
      if (value !== null && typeof value === 'object') {
        return Object.fromEntries(Object.keys(value).sort().map((name) => [name, shape(value[name], name)]));
      }
      if (/eventid$|^id$|sessionid$|at$|timestamp|error|seconds|cursor|age/i.test(key)) return typeof value;
      return typeof value === 'string' ? value.replace(/-(ws|post)$|[0-9a-f]{32}$/, '') : value;
    };
    const overWs = commands('room-ws');
    for (const [i, [command, data]] of commands('room-post').entries()) {
      const { type, id, ...reply } = await feed.command(...overWs[i]);
      const { status, headers, ...answer } = await post(server, 'carrier-post', command, data, {
        'twinwire-session': sessionId,
      });
      assert.equal(status === 200, answer.success, command);
      assert.equal(type, 'reply');
      assert.deepEqual(shape(reply), shape(answer), `${command} ${JSON.stringify(data)}`);
    }
  } finally {
    feed.close();
    stream.close();
  }
});
