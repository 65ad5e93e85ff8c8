// Edits, deletions, receipts, media, signals, batches and membership against the real server and its store: what is
// told, what is loaded, and what is still so after a restart.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Raw } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';
import { secret, token } from '../support/tokens.mjs';

let server;
before(async () => {
  server = await Server.start({ args: ['--session.presence_grace_seconds', '1', '--presence.diff_ms', '200'] });
});
after(() => server?.stop());

const ws = (user, rooms = '') => npmWebSocket(`${server.wsUrl}/ws?id=${user}${rooms && `&rooms=${rooms}`}`);
const sse = (user, rooms = '', more = '') =>
  npmEventSource(`${server.url}/api/events?id=${user}${rooms && `&rooms=${rooms}`}${more}`);
const ok = async (user, command, body, headers) => {
  const answer = await post(server, user, command, body, headers);
  assert.equal(answer.success, true, `${command}: ${JSON.stringify(answer)}`);
  return answer;
};
const load = async (user, room, more = {}) => (await ok(user, 'messages.load', { room, ...more })).messages;

test('edits and deletions: told on every transport, folded when loaded, replayed as events, kept over a restart', async () => {
  const room = 'changes';
  const feeds = [sse('r1', room), ws('r2', room)];
  try {
    await Promise.all(feeds.map((feed) => feed.event('connected')));
    const first = await send(server, 'ann', room, 'frist');
    const second = await send(server, 'ann', room, 'regretted');
    await sendMany(server, 'bob', room, 'm', 3);
    const edited = await ok('ann', 'messages.edit', { room, messageId: first.message.id, content: 'first' });
    assert.equal(edited.message.id, first.message.id);
    assert.equal(edited.message.createdAt, first.message.createdAt);
    const gone = await ok('ann', 'messages.delete', { room, messageId: second.message.id, clientId: 'd' });
    assert.ok(gone.eventId > edited.eventId && edited.eventId > second.eventId);
    for (const feed of feeds) {
      assert.equal((await feed.event('message.updated')).data.message.content, 'first');
      const tombstone = (await feed.event('message.deleted')).data.message;
      assert.equal(tombstone.id, second.message.id);
      assert.equal(tombstone.content, null);
      assert.ok(tombstone.deletedAt);
    }
    const look = async () => {
      const messages = await load('r1', room);
      assert.deepEqual(messages.map((m) => m.content), ['first', null, 'm1', 'm2', 'm3']);
      assert.ok(messages[1].deletedAt && messages[0].updatedAt > messages[0].createdAt);
      assert.deepEqual((await load('r1', room, { before: messages[2].id })).map((m) => m.content), ['first', null]);
      assert.deepEqual((await load('r1', room, { after: messages[0].id, limit: 1 })).map((m) => m.deletedAt !== undefined), [true]);
    };
    await look();
    await server.restart();
    await look();
    // An old message is edited from the store, and once more on top of that.
    await ok('ann', 'messages.edit', { room, messageId: first.message.id, encryptedContent: 'c2' });
    const again = await ok('ann', 'messages.edit', { room, messageId: first.message.id, content: 'third' });
    assert.equal(again.message.encryptedContent, null);
    assert.deepEqual((await load('r1', room)).map((m) => m.content), ['third', null, 'm1', 'm2', 'm3']);
    const retry = await ok('ann', 'messages.delete', { room, messageId: second.message.id, clientId: 'd' });
    assert.equal(retry.duplicate, true);
    assert.equal(retry.eventId, gone.eventId);
    const refused = await post(server, 'ann', 'messages.edit', { room, messageId: second.message.id, content: 'x' });
    assert.equal(refused.code, 'conflict');
    assert.equal(refused.status, 409);
    // A resume gets what happened, event by event.
    const replay = await poll(server, `id=r9&rooms=${room}&lastEventId=${second.eventId}`);
    assert.deepEqual(
      replay.events.filter((e) => e.type.startsWith('message.')).map((e) => e.type),
      ['message.created', 'message.created', 'message.created', 'message.updated', 'message.deleted', 'message.updated',
        'message.updated'],
    );
    const history = await poll(server, `id=r8&rooms=${room}&history=3`);
    assert.deepEqual(history.events.slice(1).map((e) => e.type), ['message.deleted', 'message.updated', 'message.updated']);
  } finally {
    feeds.forEach((feed) => feed.close());
  }
});

test('rooms.load shows the last message in its newest state, past events that are none', async () => {
  const { room } = await ok('lea', 'rooms.create', { participantIds: ['max'] });
  const sent = await send(server, 'lea', room.id, 'draft');
  await ok('lea', 'messages.edit', { room: room.id, messageId: sent.message.id, content: 'final' });
  for (let i = 0; i < 40; ++i) await ok('max', 'events.publish', { room: room.id, type: 'noise', ack: 'accepted' });
  const [entry] = (await ok('max', 'rooms.load', {})).rooms;
  assert.equal(entry.lastMessage?.content, 'final');
  assert.deepEqual(entry.receipt, { delivered: null, read: null });
});

test('receipts: told, own devices too, never back, kept over a restart, none in history', async () => {
  const { room } = await ok('ria', 'rooms.create', { participantIds: ['sam'] });
  const ria = sse('ria');
  const phone = ws('sam');
  const desk = sse('sam');
  try {
    await Promise.all([ria, phone, desk].map((feed) => feed.event('connected')));
    const one = await send(server, 'ria', room.id, '1');
    const two = await send(server, 'ria', room.id, '2');
    const marked = await phone.command('receipts.read', { room: room.id, upTo: two.eventId });
    assert.deepEqual(marked.receipt, { delivered: two.eventId, read: two.eventId });
    for (const feed of [ria, desk]) {
      const told = await feed.until((f) => f.of('receipt.read')[0], 'the receipt');
      assert.deepEqual(told.data, { userId: 'sam', upTo: two.eventId });
      assert.ok(!told.sseId || told.sseId !== told.eventId);
    }
    const back = await ok('sam', 'receipts.read', { room: room.id, upTo: one.eventId });
    assert.equal(back.receipt.read, two.eventId);
    await sleep(200);
    assert.equal(ria.of('receipt.read').length, 1);
    assert.equal(phone.of('receipt.read').length, 0);
    await server.restart();
    assert.deepEqual((await ok('ria', 'messages.load', { room: room.id })).receipts, [
      { userId: 'sam', delivered: two.eventId, read: two.eventId },
    ]);
    assert.deepEqual((await ok('sam', 'rooms.load', {})).rooms[0].receipt, { delivered: two.eventId, read: two.eventId });
    const replay = await poll(server, `id=ria&lastEventId=earliest`);
    assert.equal(replay.events.filter((e) => e.type.startsWith('receipt.')).length, 0);
  } finally {
    [ria, phone, desk].forEach((feed) => feed.close());
  }
});

test('a removed member: delivery ends exactly there on every stream, also for a stream that was away', async () => {
  const { room } = await ok('boss', 'rooms.create', { participantIds: ['tom', 'una'], isGroup: true });
  const feeds = [ws('tom'), sse('tom')];
  const una = sse('una');
  try {
    await Promise.all([...feeds, una].map((feed) => feed.event('connected')));
    const away = await poll(server, 'id=tom&wait=0');
    await send(server, 'boss', room.id, 'before');
    await ok('boss', 'rooms.remove', { room: room.id, user: 'tom' });
    await send(server, 'boss', room.id, 'after');
    assert.deepEqual(await una.messages(2), ['before', 'after']);
    for (const feed of feeds) {
      const reset = await feed.event('reset');
      assert.equal(reset.data.reason, 'forbidden');
      assert.deepEqual(reset.data.rooms, [room.id]);
      await feed.event('room.member_removed');
      assert.deepEqual(feed.contents, ['before']);
    }
    const back = await poll(server, `id=tom&wait=0&lastEventId=${away.lastEventId}`);
    assert.ok(!JSON.stringify(back.events).includes('after'));
    assert.equal((await post(server, 'tom', 'messages.load', { room: room.id })).code, 'forbidden');
    await ok('boss', 'rooms.invite', { room: room.id, users: ['tom'] });
    await send(server, 'boss', room.id, 'again');
    assert.deepEqual(await feeds[0].messages(2), ['before', 'again']);
    // What was said while he was out is not his; a change of the rule opens it to streams that open later.
    assert.deepEqual((await load('tom', room.id)).map((m) => m.content), ['again']);
    await ok('boss', 'rooms.update', { room: room.id, history: 'full', name: 'all of it' });
    assert.equal((await una.event('room.updated')).data.room.name, 'all of it');
    assert.deepEqual((await load('tom', room.id)).map((m) => m.content), ['before', 'after', 'again']);
    await server.restart();
    assert.equal((await ok('tom', 'rooms.load', {})).rooms[0].name, 'all of it');
    assert.deepEqual((await load('tom', room.id)).map((m) => m.content), ['before', 'after', 'again']);
  } finally {
    [...feeds, una].forEach((feed) => feed.close());
  }
});

test('media state: told, given to who comes, ended with presence; signals go to all devices of one user', async () => {
  const room = 'call-room';
  const ann = ws('ann', room);
  const bob = sse('bob', room);
  const bob2 = ws('bob', room);
  try {
    await Promise.all([ann, bob, bob2].map((feed) => feed.event('connected')));
    await bob.until(() => true);
    let set;
    for (let tries = 0; tries < 50 && !set?.success; ++tries) {
      set = await ann.command('media.set', { room, camera: true, mic: true });
      if (!set.success) await sleep(20);
    }
    assert.equal(set.success, true, JSON.stringify(set));
    const told = await bob.until((f) => f.of('media.state')[0], 'media.state');
    assert.deepEqual(told.data, { userId: 'ann', camera: true, mic: true, screen: false });
    const late = sse('late', room);
    const state = await late.until((f) => f.of('media.state')[0], 'media.state for who comes');
    assert.deepEqual(state.data.users, [{ userId: 'ann', camera: true, mic: true, screen: false }]);
    late.close();
    const sent = await ann.command('signal.send', { room, to: 'bob', data: { sdp: 'v=0' } });
    assert.equal(sent.delivered, true);
    for (const feed of [bob, bob2]) {
      const signal = await feed.until((f) => f.of('signal')[0], 'the signal');
      assert.deepEqual(signal.data, { from: 'ann', to: 'bob', data: { sdp: 'v=0' } });
    }
    assert.equal(ann.of('signal').length, 0);
    assert.equal((await ann.command('signal.send', { to: 'bob', data: 1 })).code, 'forbidden');
    ann.close();
    const ended = await bob.until((f) => f.of('media.state')[1], 'media to end with presence');
    assert.deepEqual(ended.data, { userId: 'ann', camera: false, mic: false, screen: false });
  } finally {
    [ann, bob, bob2].forEach((feed) => feed.close());
  }
});

test('a batch over a WebSocket is answered in order, each for itself', async () => {
  const feed = ws('batcher', 'batched');
  try {
    await feed.event('connected');
    const answer = await feed.command('events.publish', [
      { room: 'batched', type: 'goal.created', data: { n: 1 } },
      { room: 'batched', type: 'no such type!' },
      { room: 'batched', type: 'goal.created', data: { n: 2 } },
    ]);
    assert.equal(answer.success, false);
    assert.deepEqual(answer.results.map((r) => r.code ?? 'ok'), ['ok', 'invalid_argument', 'ok']);
    assert.ok(answer.results[0].eventId < answer.results[2].eventId);
    await feed.until((f) => f.of('goal.created').length === 2, 'both events');
    const many = await feed.command('events.publish', Array(257).fill({ room: 'batched', type: 'x' }));
    assert.equal(many.code, 'limit_exceeded');
  } finally {
    feed.close();
  }
});

const postOn = async (raw, server, path) => {
  const json = '{"room":"r"}';
  raw.write(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`);
  const answer = await raw.answer();
  return { status: answer.status, wait: Number(answer.headers['retry-after']), ...JSON.parse(answer.body) };
};

// One POST on a connection of its own.
const alone = async (server, path) => {
  const raw = await Raw.connect(server.port);
  try {
    return await postOn(raw, server, path);
  } finally {
    raw.close();
  }
};

test('who writes now and then is never too fast, however long the core slept that takes it', async () => {
  const server = await Server.start({
    rates: true, args: ['--shards', '4', '--limits.commands_per_second', '100000', '--limits.commands_burst', '100'],
  });
  const connections = await Promise.all(Array.from({ length: 8 }, () => Raw.connect(server.port)));
  try {
    // One is in use for a while, so that the others' cores sleep; most of them are not its own. At this rate a
    // millisecond that a clock is behind counts as a hundred commands.
    for (let i = 0; i < 8; ++i, await sleep(250)) await postOn(connections[0], server, '/api/typing/stop?id=calm');
    for (const raw of connections) {
      const { success, error } = await postOn(raw, server, '/api/typing/stop?id=calm');
      assert.ok(success, error);
    }
  } finally {
    for (const raw of connections) raw.close();
    await server.stop();
  }
});

test('the rate is the user\'s: a fresh connection for each POST brings nothing new, on any core', async () => {
  const limited = await Server.start({
    rates: true, args: ['--shards', '4', '--limits.commands_per_second', '1', '--limits.commands_burst', '5'],
  });
  try {
    const answers = [];
    for (let i = 0; i < 20; ++i) answers.push(await alone(limited, '/api/typing/stop?id=busy'));
    const admitted = answers.filter((a) => a.success).length;
    assert.ok(admitted >= 5 && admitted <= 10, `${admitted} admitted of 20`);
    const refused = answers.filter((a) => !a.success);
    for (const answer of refused) {
      assert.equal(answer.status, 429);
      assert.equal(answer.code, 'rate_limited');
      assert.match(answer.error, /of this user/);
      assert.ok(answer.wait >= 1);
    }
    // A WebSocket of the same user shares it, another user has one of their own.
    const feed = npmWebSocket(`${limited.wsUrl}/ws?id=busy`);
    await feed.event('connected');
    const over = await Promise.all([1, 2, 3, 4].map(() => feed.command('typing.stop', { room: 'r' })));
    assert.ok(over.some((answer) => answer.code === 'rate_limited'));
    feed.close();
    assert.equal((await alone(limited, '/api/typing/stop?id=quiet')).success, true);
  } finally {
    await limited.stop();
  }
});

test('users whose POSTs come over one connection each have their own rate, where they are proved', async () => {
  const limited = await Server.start({
    rates: true,
    args: ['--limits.commands_per_second', '1', '--limits.commands_burst', '3', '--auth.mode', 'jwt',
      '--auth.algorithms', 'HS256', '--auth.secret', secret, '--auth.default_rights', 'read,write'],
  });
  const raw = await Raw.connect(limited.port);
  try {
    const json = '{"room":"r"}';
    const answers = { ann: [], bob: [], cyd: [] };
    for (const user of Object.keys(answers)) {
      for (let i = 0; i < 8; ++i) {
        raw.write(`POST /api/typing/stop HTTP/1.1\r\nHost: 127.0.0.1:${limited.port}\r\n` +
          `Authorization: Bearer ${token(user)}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`);
        answers[user].push(JSON.parse((await raw.answer()).body));
      }
    }
    for (const [user, told] of Object.entries(answers)) {
      const admitted = told.filter((a) => a.success).length;
      assert.ok(admitted >= 3 && admitted < 8, `${admitted} of ${user}'s: ${JSON.stringify(told[0])}`);
    }
  } finally {
    raw.close();
    await limited.stop();
  }
});

test('a tenant has a rate of its own, over all its connections', async () => {
  const limited = await Server.start({
    args: ['--limits.tenant_commands_per_second', '1', '--limits.tenant_commands_burst', '5'],
  });
  try {
    const answers = [];
    for (let i = 0; i < 8; ++i) answers.push(await post(limited, `u${i}`, 'typing.stop', { room: 'r' }));
    assert.deepEqual(answers.slice(0, 5).map((a) => a.success), Array(5).fill(true));
    const refused = answers.find((a) => !a.success);
    assert.equal(refused.status, 429);
    assert.equal(refused.code, 'rate_limited');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  } finally {
    await limited.stop();
  }
});
