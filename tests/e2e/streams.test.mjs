// What net/PROTOCOL.md says of streams and their sessions, line by line, where no other file says it: parameters, the
// first event, good-byes, resets, whose session it is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { frame, rawWebSocket } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.start({ args: ['--shards', '3', '--limits.rooms_per_stream', '8', '--limits.rooms_per_user', '12'] });
});
after(() => server?.stop());

const ws = (query) => npmWebSocket(`${server.wsUrl}/ws?${query}`);
const sse = (query) => npmEventSource(`${server.url}/api/events?${query}`);
const texts = (raw) => raw.texts.filter((event) => event.type !== 'connected');

test('rooms= is split at commas, then decoded, and may be repeated', async () => {
  const feed = ws('id=u&rooms=one,with%2Ccomma&rooms=gr%C3%BC%C3%9Fe%20da,one');
  try {
    assert.deepEqual((await feed.event('connected')).data.rooms.sort(), ['grüße da', 'one', 'with,comma']);
    await send(server, 'w', 'with,comma', 'heard');
    assert.deepEqual(await feed.messages(1), ['heard']);
  } finally {
    feed.close();
  }
});

test('each form of the cursor is understood, and a header goes first', async () => {
  const { eventId } = await send(server, 'w', 'forms', 'one');
  const later = await send(server, 'w', 'forms', 'two');
  for (const name of ['lastEventId', 'last_event_id', 'since']) {
    const answer = await poll(server, `id=p&rooms=forms&${name}=${eventId}&wait=1`);
    assert.deepEqual(answer.events.filter((e) => e.eventId).map((e) => e.eventId), [later.eventId], name);
  }
  const headed = await poll(server, `id=p&rooms=forms&since=${eventId}&wait=1`, { headers: { 'last-event-id': later.eventId } });
  assert.deepEqual(headed.events.filter((event) => event.type === 'message.created'), []);
});

test('history is ignored beside a cursor, and cut to what it may be', async () => {
  const { eventId } = await send(server, 'w', 'past', 'first');
  await sendMany(server, 'w', 'past', 'p', 3);
  const resumed = ws(`id=u&rooms=past&lastEventId=${eventId}&history=256`);
  assert.deepEqual(await resumed.messages(3), ['p1', 'p2', 'p3']);
  assert.equal((await resumed.event('connected')).data.lastEventId, eventId);
  resumed.close();
  const many = ws('id=u&rooms=past&history=999999');
  assert.deepEqual(await many.messages(4), ['first', 'p1', 'p2', 'p3']);
  many.close();
});

test('a session that is none, or garbage, is no error: a new id and the same resume', async () => {
  const { eventId } = await send(server, 'w', 'unknown-session', 'one');
  await send(server, 'w', 'unknown-session', 'two');
  for (const session of ['0123456789abcdef0123456789abcdef', 'garbage', '']) {
    const feed = sse(`id=u&rooms=unknown-session&session=${session}&lastEventId=${eventId}`);
    const connected = await feed.event('connected');
    assert.notEqual(connected.data.sessionId, session);
    assert.equal(connected.data.resumed, true);
    assert.deepEqual(await feed.messages(1), ['two']);
    feed.close();
  }
});

test('a forbidden room is left out of connected and told by reset, and the rest of the stream goes on', async () => {
  const { room } = await post(server, 'owner', 'rooms.create', { participantIds: ['friend'], isGroup: true });
  const feed = ws(`id=stranger&rooms=open-one,${room.id}`);
  try {
    const connected = await feed.event('connected');
    assert.deepEqual(connected.data.rooms, ['open-one']);
    const reset = await feed.event('reset');
    assert.deepEqual(reset.data.rooms, [room.id]);
    assert.equal(reset.data.reason, 'forbidden');
    assert.equal(reset.data.lastEventId, connected.data.lastEventId);
    await send(server, 'owner', room.id, 'secret');
    await send(server, 'owner', 'open-one', 'public');
    assert.deepEqual(await feed.messages(1), ['public']);
  } finally {
    feed.close();
  }
});

test('rooms of a stream are limited: too many in the request are refused, and so is one more by a command', async () => {
  const nine = Array.from({ length: 9 }, (_, i) => `n${i}`).join();
  const response = await fetch(`${server.url}/api/events?id=u&rooms=${nine}`);
  assert.equal(response.status, 409);
  assert.equal((await response.json()).code, 'limit_exceeded');
  for (let i = 0; i < 6; ++i) assert.equal((await post(server, 'joiner', 'rooms.join', { room: `mine${i}` })).success, true);
  const fits = ws('id=joiner&rooms=a,b');
  const connected = (await fits.event('connected')).data;
  assert.equal(connected.rooms.length, 8);
  assert.equal('roomsLeftOut' in connected, false);
  // The ninth, by a command, is refused; the stream goes on.
  const ninth = await fits.command('rooms.join', { room: 'mine-too-many' });
  assert.equal(ninth.code, 'limit_exceeded', JSON.stringify(ninth));
  fits.close();
});

test('memberships never keep a stream from opening: the newest are followed, and how many are not is told', async () => {
  // Others make the user a member of more rooms than a stream follows.
  const groups = [];
  for (let i = 0; i < 10; ++i) {
    const made = await post(server, `host${i % 3}`, 'rooms.create', { participantIds: ['crowded'], isGroup: true });
    assert.equal(made.success, true, JSON.stringify(made));
    groups.push(made.room.id);
  }
  for (const open of [ws, sse]) {
    const feed = open('id=crowded&rooms=asked');
    const connected = (await feed.event('connected')).data;
    assert.deepEqual([...connected.rooms].sort(), ['asked', ...groups.slice(3)].sort());
    assert.equal(connected.roomsLeftOut, 3);
    feed.close();
  }
  // A room that was left out is followed by naming it.
  const feed = ws(`id=crowded&rooms=${groups[0]}`);
  try {
    assert.ok((await feed.event('connected')).data.rooms.includes(groups[0]));
    await send(server, 'host0', groups[0], 'after all');
    assert.deepEqual(await feed.messages(1), ['after all']);
  } finally {
    feed.close();
  }
});

test('a user is a member of so many rooms: who makes one more is told whose list is full', async () => {
  for (let i = 0; i < 12; ++i) assert.equal((await post(server, 'full', 'rooms.join', { room: `of-full-${i}` })).success, true);
  const joined = await post(server, 'full', 'rooms.join', { room: 'one-more' });
  assert.equal(joined.code, 'limit_exceeded', JSON.stringify(joined));
  const direct = await post(server, 'other', 'rooms.create', { participantIds: ['full'] });
  assert.equal(direct.code, 'limit_exceeded');
  assert.match(direct.error, /"full" is a member of 12 rooms already/);
  const group = await post(server, 'other', 'rooms.create', { participantIds: ['third'], isGroup: true });
  const invited = await post(server, 'other', 'rooms.invite', { room: group.room.id, users: ['fourth', 'full'] });
  assert.equal(invited.code, 'limit_exceeded');
  const rooms = await post(server, 'fourth', 'rooms.load', {});
  assert.deepEqual(rooms.rooms, []);
  assert.equal((await post(server, 'full', 'rooms.leave', { room: 'of-full-0' })).success, true);
  assert.equal((await post(server, 'other', 'rooms.invite', { room: group.room.id, users: ['full'] })).success, true);
});

test('retry: differs from stream to stream, and the head leaves before anything happens', async () => {
  const feeds = Array.from({ length: 8 }, (_, i) => curl(`${server.url}/api/events?id=r${i}`));
  try {
    await Promise.all(feeds.map((feed) => feed.event('connected')));
    const waits = feeds.map((feed) => Number(/^retry: ?(\d+)$/.exec(feed.lines.find((line) => line.startsWith('retry')))[1]));
    assert.ok(new Set(waits).size >= 4, waits.join());
    for (const wait of waits) assert.ok(wait >= 1000 && wait <= 10000, `${wait}`);
    // It stands before the first event.
    const [feed] = feeds;
    assert.ok(feed.lines.findIndex((l) => l.startsWith('retry')) < feed.lines.findIndex((l) => l.startsWith('event')));
  } finally {
    feeds.forEach((feed) => feed.close());
  }
});

test('ephemeral events have an eventId and no id line; connected has an id line and no eventId', async () => {
  const feed = curl(`${server.url}/api/events?id=u&rooms=fleeting`);
  try {
    const connected = await feed.event('connected');
    assert.equal(connected.eventId, undefined);
    assert.match(connected.sseId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
    await post(server, 'w', 'events.publish', { room: 'fleeting', type: 'goal.created', data: {}, ephemeral: true });
    const fleeting = await feed.event('goal.created');
    assert.match(fleeting.eventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
    assert.equal(fleeting.sseId, undefined);
  } finally {
    feed.close();
  }
});

test('a message has its members, no more and no less, and absent ones are null', async () => {
  const answer = await send(server, 'ann', 'shape', 'words', { clientId: 'c1', replyTo: '9c1f00d2ab37-0000002a91c4e1' });
  assert.deepEqual(Object.keys(answer.message).sort(), [
    'clientId', 'content', 'createdAt', 'encryptedContent', 'fileName', 'fileSize', 'fileUrl', 'id', 'replyTo', 'room',
    'updatedAt', 'userId']);
  assert.deepEqual(
    { ...answer.message, createdAt: 0, updatedAt: 0 },
    { id: answer.eventId, room: 'shape', userId: 'ann', content: 'words', encryptedContent: null, fileUrl: null, fileName: null,
      fileSize: null, replyTo: '9c1f00d2ab37-0000002a91c4e1', clientId: 'c1', createdAt: 0, updatedAt: 0 });
  assert.match(answer.message.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const file = await send(server, 'ann', 'shape', undefined, { fileUrl: 'https://f.example/x', fileName: 'x', fileSize: 7 });
  assert.equal(file.message.content, null);
  assert.equal(file.message.fileSize, 7);
});

test('too large a message: bye says so, then 1009; broken frames: the close alone, with its code', async () => {
  const large = await rawWebSocket(server.port, '/ws?id=u');
  large.write(frame(1, '', { length: 65537 }));
  assert.equal(await large.closeCode(), 1009);
  const bye = texts(large).find((event) => event.type === 'bye');
  assert.equal(bye.data.code, 'too_large');
  assert.equal(bye.data.reconnect, true);
  large.close();
  for (const [bytes, code] of [[frame(1, '{}', { rsv: 1 }), 1002], [frame(1, Buffer.from([0xff])), 1007]]) {
    const broken = await rawWebSocket(server.port, '/ws?id=u');
    broken.write(bytes);
    assert.equal(await broken.closeCode(), code);
    assert.ok(!broken.texts.some((event) => event.type === 'bye'));
    broken.close();
  }
});

test('a good-bye names code and reason, whether to come back, and after how long', async () => {
  const first = ws('id=u&rooms=bye');
  const { sessionId } = (await first.event('connected')).data;
  const second = ws(`id=u&rooms=bye&session=${sessionId}`);
  const bye = await first.event('bye');
  assert.deepEqual(Object.keys(bye.data).sort(), ['afterMs', 'code', 'reason', 'reconnect']);
  assert.equal(bye.data.code, 'replaced');
  assert.equal(bye.data.reconnect, false);
  await first.until((feed) => feed.closed, 'the end');
  assert.equal(first.closeCode, 1000);
  second.close();
});

test('identity on a WebSocket: commands wait for auth; the same user may say it again, another may not', async () => {
  const feed = ws('rooms=identity');
  try {
    await feed.opened;
    const early = await feed.command('messages.send', { room: 'identity', content: 'x' });
    assert.equal(early.code, 'unauthenticated');
    const wrong = await feed.command('auth', { userId: 'a\u0007b' });
    assert.equal(wrong.success, false);
    assert.equal((await feed.event('auth.error')).data.success, false);
    assert.equal((await feed.command('auth', { userId: 'ann' })).userId, 'ann');
    const connected = await feed.event('connected');
    assert.deepEqual(connected.data.rooms, ['identity']);
    assert.equal((await feed.command('auth.refresh', { userId: 'ann' })).success, true);
    assert.equal(feed.of('auth.success').length, 2);
    assert.equal(feed.of('connected').length, 1);
    const other = await feed.command('auth', { userId: 'bob' });
    assert.equal(other.code, 'forbidden');
    assert.equal((await feed.command('session.info', {})).userId, 'ann');
    const refreshed = await post(server, 'ann', 'auth.refresh', {});
    assert.deepEqual([refreshed.success, refreshed.userId, refreshed.expiresAt], [true, 'ann', null]);
  } finally {
    feed.close();
  }
});

test('a POST may name only its own session', async () => {
  const mine = ws('id=mine&rooms=whose');
  try {
    const { sessionId } = (await mine.event('connected')).data;
    const theirs = { 'twinwire-session': sessionId };
    assert.equal((await post(server, 'mine', 'session.info', {}, theirs)).sessionId, sessionId);
    assert.equal((await post(server, 'other', 'session.info', {}, theirs)).code, 'not_found');
    assert.equal((await post(server, 'other', 'messages.load', { room: 'whose', join: true }, theirs)).code, 'invalid_argument');
    assert.equal((await post(server, 'mine', 'session.info', { session: 'nonsense' })).code, 'invalid_argument');
    // To leave out a stranger's stream is nobody's right.
    const sent = await post(server, 'other', 'messages.send', { room: 'whose', content: 'for you too', exclude: 'connection' }, theirs);
    assert.equal(sent.success, true);
    assert.deepEqual(await mine.messages(1), ['for you too']);
    await post(server, 'mine', 'messages.send', { room: 'whose', content: 'by myself', exclude: 'connection' }, theirs);
    await send(server, 'other', 'whose', 'end');
    assert.deepEqual(await mine.messages(2), ['for you too', 'end']);
  } finally {
    mine.close();
  }
});

test('presence: a state is told and listed; too large a one is refused; off per pattern it is nowhere', async () => {
  const quiet = await Server.start({ args: ['--presence.off_patterns', 'quiet-*', '--presence.diff_ms', '50'] });
  const open = (user, room) => npmWebSocket(`${quiet.wsUrl}/ws?id=${user}&rooms=${room}`);
  const [ann, bob, hush] = [open('ann', 'loud'), open('bob', 'loud'), open('eve', 'quiet-room')];
  try {
    await Promise.all([ann, bob, hush].map((feed) => feed.event('connected')));
    assert.equal((await ann.command('presence.set', { room: 'loud', state: { mood: 'busy' } })).success, true);
    // One change is told with its state, several at once by name: the state is then asked for.
    await bob.until((feed) => feed.events.some((event) =>
      (/^presence\.(joined|updated)$/.test(event.type) && event.data.state?.mood === 'busy') ||
      (event.type === 'presence.diff' && [...event.data.joined, ...event.data.updated].includes('ann'))), 'the change');
    const list = await bob.command('presence.list', { room: 'loud' });
    assert.equal(list.count, 2);
    assert.deepEqual(list.users.find((user) => user.userId === 'ann').state, { mood: 'busy' });
    const large = await ann.command('presence.set', { room: 'loud', state: 'x'.repeat(1100) });
    assert.equal(large.code, 'too_large');
    assert.equal((await hush.command('presence.set', { room: 'quiet-room', state: 1 })).code, 'conflict');
    await open('mallory', 'quiet-room').event('connected');
    await sleep(300);
    assert.deepEqual(hush.events.filter((event) => event.type.startsWith('presence.')), []);
    // Nobody is told of their own coming.
    assert.ok(!ann.of('presence.joined').some((event) => event.data.userId === 'ann'));
  } finally {
    [ann, bob, hush].forEach((feed) => feed.close());
    await quiet.stop();
  }
});

test('messages.load: before and after an id or a time, in pages, oldest first', async () => {
  const sent = [];
  for (let i = 0; i < 10; ++i) sent.push(await send(server, 'w', 'pages', `p${i}`));
  await sleep(20);
  const middle = new Date().toISOString();
  await sleep(20);
  for (let i = 10; i < 20; ++i) sent.push(await send(server, 'w', 'pages', `p${i}`));
  const load = async (more) => {
    const answer = await post(server, 'r', 'messages.load', { room: 'pages', ...more });
    assert.equal(answer.success, true, JSON.stringify(answer));
    return [answer.messages.map((message) => Number(message.content.slice(1))), answer.hasMore];
  };
  const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
  assert.deepEqual(await load({}), [range(0, 20), false]);
  assert.deepEqual(await load({ limit: 5 }), [range(15, 20), true]);
  assert.deepEqual(await load({ limit: 5, before: sent[15].eventId }), [range(10, 15), true]);
  assert.deepEqual(await load({ before: sent[3].eventId }), [range(0, 3), false]);
  assert.deepEqual(await load({ limit: 5, after: sent[2].eventId }), [range(3, 8), true]);
  assert.deepEqual(await load({ after: sent[17].eventId }), [range(18, 20), false]);
  assert.deepEqual(await load({ after: sent[4].eventId, before: sent[8].eventId }), [range(5, 8), false]);
  assert.deepEqual(await load({ before: middle }), [range(0, 10), false]);
  assert.deepEqual(await load({ after: middle }), [range(10, 20), false]);
  assert.deepEqual(await load({ after: middle, limit: 3 }), [range(10, 13), true]);
  for (const bad of ['yesterday', '2026-13-45T00:00:00Z', '']) {
    assert.equal((await post(server, 'r', 'messages.load', { room: 'pages', before: bad })).code, 'invalid_argument', bad);
  }
  assert.equal((await post(server, 'r', 'messages.load', { room: 'pages', limit: 257 })).code, 'invalid_argument');
});

test('ack: accepted answers with its place in the order, stored when it is synced', async () => {
  const accepted = await send(server, 'w', 'acks', 'a', { ack: 'accepted' });
  assert.match(accepted.eventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
  assert.equal(typeof accepted.stored, 'boolean');
  const stored = await send(server, 'w', 'acks', 'b', { ack: 'stored' });
  assert.equal(stored.stored, true);
  assert.ok(accepted.eventId < stored.eventId);
});

test('poll: wait=0 answers at once, and more than poll.wait_seconds is not waited', async () => {
  const few = await Server.start({ args: ['--poll.wait_seconds', '1'] });
  try {
    const { lastEventId, sessionId } = await poll(few, 'id=p&rooms=waits');
    for (const [wait, from, to] of [['0', 0, 900], ['600', 900, 8000]]) {
      const began = Date.now();
      const answer = await poll(few, `id=p&rooms=waits&session=${sessionId}&lastEventId=${lastEventId}&wait=${wait}`);
      assert.deepEqual(answer.events, []);
      const took = Date.now() - began;
      assert.ok(took >= from && took <= to, `wait=${wait}: ${took} ms`);
    }
    assert.equal((await poll(few, 'id=p&wait=soon')).code, 'invalid_argument');
  } finally {
    await few.stop();
  }
});

test('a cursor older than what is kept: reset trimmed, then everything kept, and other rooms whole', async () => {
  const short = await Server.start({ args: ['--store.retention_events', '10'] });
  try {
    const { eventId } = await send(short, 'w', 'trimmed', 'first');
    await sendMany(short, 'w', 'trimmed', 't', 40);
    const whole = await sendMany(short, 'w', 'whole', 'w', 5);
    let answer;
    for (let tries = 0; tries < 60; ++tries, await sleep(500)) {
      answer = await poll(short, `id=p&rooms=trimmed,whole&lastEventId=${eventId}&wait=1`);
      if (answer.events.some((event) => event.type === 'reset')) break;
    }
    const reset = answer.events.find((event) => event.type === 'reset');
    assert.ok(reset, 'the room was trimmed');
    assert.deepEqual(reset.data, { rooms: ['trimmed'], reason: 'trimmed', lastEventId: eventId });
    const contents = answer.events.filter((e) => e.type === 'message.created').map((e) => e.data.message.content);
    assert.deepEqual(contents.filter((content) => content.startsWith('w')), whole);
    const kept = contents.filter((content) => content.startsWith('t'));
    assert.deepEqual(kept, Array.from({ length: kept.length }, (_, i) => `t${40 - kept.length + 1 + i}`));
    assert.ok(kept.length >= 10 && kept.length < 40, `${kept.length} kept`);
    // The reset stands before the first event it concerns.
    const at = (find) => answer.events.findIndex(find);
    assert.ok(at((e) => e.type === 'reset') < at((e) => e.room === 'trimmed'));
    // A cursor that lies within what is kept is told nothing.
    const near = answer.events.filter((event) => event.room === 'trimmed').at(-3).eventId;
    const feed = npmWebSocket(`${short.wsUrl}/ws?id=u&rooms=trimmed,whole&lastEventId=${near}`);
    await feed.until((f) => f.contents.includes('w5'), 'the rest');
    assert.deepEqual(feed.contents, ['t39', 't40', ...whole]);
    assert.equal(feed.of('reset').length, 0);
    feed.close();
  } finally {
    await short.stop();
  }
});
