// QryptChat: from WebSocket to EventSource and fetch. Its clients before, after, and both at once.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Receiver } from '../../../support/receiver.mjs';
import { call, eventSource, Once, startApp, webSocket } from '../../../support/migration.mjs';
import { bin } from '../../../support/server.mjs';

let server;
let receiver;
before(async () => {
  receiver = await Receiver.start();
  server = await startApp('qryptchat', { args: ['--hooks.save_url', receiver.url, '--typing.clear_ms', '700'] });
});
after(async () => {
  await server?.stop();
  await receiver?.stop();
});

const names = ['CONNECTED', 'NEW_MESSAGE', 'CONVERSATION_CREATED', 'USER_TYPING', 'ROOM_MEMBER_ADDED', 'RESET', 'message'];
const as = (user) => `id=${user}`;
const sse = (user) => eventSource(`${server.url}/api/events?${as(user)}`, names);
const ws = (user) => webSocket(`${server.wsUrl}/ws?${as(user)}`, { dataOf: (m) => m.payload });
const api = (user, path, body) => call(server, `/api/${path}?${as(user)}`, body);
let pairs = 0;
/** A new conversation of two users whose clients are connected. */
async function conversation(user = `ann${++pairs}`, other = `bob${pairs}`) {
  const { body } = await api(user, 'conversations/create', { participantIds: [other] });
  assert.equal(body.success, true);
  return { id: body.conversation.id, user, other };
}

test('Q9 Q11 Q36 Q42 the stream opens with CONNECTED, whose fields stand at the top', async () => {
  const client = sse('ann');
  try {
    const connected = await client.next('CONNECTED');
    assert.equal(connected.userId, 'ann');
    assert.match(client.named('CONNECTED')[0].id, /^[0-9a-f]{12}-[0-9a-f]{14}$/, 'it can be resumed from here');
    assert.equal(client.named('message').length, 0);
  } finally {
    client.close();
  }
});

test('Q12 Q16 Q17 Q44 Q45 send by POST, receive NEW_MESSAGE with its payload at data.message', async () => {
  const { id, user, other } = await conversation();
  const client = sse(other);
  try {
    await client.next('CONNECTED');
    const sent = await api(user, 'messages/send', {
      conversationId: id, encryptedContent: 'c2VjcmV0', fileUrl: 'https://f.example/a.png', fileName: 'a.png', fileSize: 12345,
    });
    assert.equal(sent.status, 200);
    assert.equal(sent.body.success, true);
    const { message } = await client.next('NEW_MESSAGE');
    assert.equal(message.conversation_id, id);
    assert.equal(message.sender_id, user);
    assert.equal(message.encrypted_content, 'c2VjcmV0');
    assert.equal(message.content, null);
    assert.equal(message.file_url, 'https://f.example/a.png');
    assert.equal(message.file_name, 'a.png');
    assert.equal(message.file_size, 12345);
    assert.equal(message.reply_to, null);
    assert.deepEqual(sent.body.message, message, 'the answer and the event show one message');
    const reply = await api(other, 'messages/send', { conversationId: id, content: 'yes', replyTo: message.id });
    assert.equal(reply.body.message.reply_to, message.id);
    const saved = await receiver.until((r) => r.events.find((e) => e.data.message?.id === message.id), 'the save hook');
    assert.equal(saved.data.message.encryptedContent, 'c2VjcmV0');
  } finally {
    client.close();
  }
});

test('Q18 Q51 errors keep their status and say the sentences its client knows', async () => {
  const missing = await api('ann', 'messages/send', { content: 'to nobody' });
  assert.equal(missing.status, 400);
  assert.equal(missing.body.error, 'Missing required fields');
  assert.match(missing.body.detail, /room/, 'the engine\'s own sentence is beside it');
  const empty = await api('ann', 'messages/send', { conversationId: 'x' });
  assert.deepEqual([empty.status, empty.body.error], [400, 'Missing required fields']);
  const load = await api('ann', 'messages/load', {});
  assert.deepEqual([load.status, load.body.error], [400, 'Missing conversationId']);
  const create = await api('ann', 'conversations/create', { participantIds: 'bob' });
  assert.deepEqual([create.status, create.body.error], [400, 'Missing or invalid participantIds']);
  const broken = await api('ann', 'messages/send', '{oops');
  assert.equal(broken.status, 400);
  assert.equal(broken.body.code, 'invalid_json');
});

test('Q19 Q3 the sending user is left out, and on request only the sending connection', async () => {
  const { id, user, other } = await conversation();
  const clients = [sse(user), sse(user), sse(other)];
  try {
    const connected = await Promise.all(clients.map((client) => client.next('CONNECTED')));
    await api(user, 'messages/send', { conversationId: id, content: 'not to me' });
    // As the settings say nothing else, this one is for all of the sender's devices but the one that sends.
    await call(server, `/api/messages/send?${as(user)}&session=${connected[0].sessionId}`, {
      conversationId: id, content: 'to my other device', exclude: 'connection',
    });
    assert.equal((await clients[2].next('NEW_MESSAGE', 2)).message.content, 'to my other device');
    assert.equal((await clients[1].next('NEW_MESSAGE')).message.content, 'to my other device');
    await api(user, 'messages/send', { conversationId: id, content: 'end', exclude: 'none' });
    assert.equal((await clients[0].next('NEW_MESSAGE')).message.content, 'end');
    assert.equal(clients[1].named('NEW_MESSAGE').length, 2);
  } finally {
    clients.forEach((client) => client.close());
  }
});

test('Q20 X6 load: the newest 50 before a mark, oldest first, with hasMore', async () => {
  const { id, user } = await conversation();
  for (let i = 0; i < 60; i++) await api(user, 'messages/send', { conversationId: id, content: `m${i}` });
  const newest = (await api(user, 'messages/load', { conversationId: id })).body;
  assert.deepEqual(newest.messages.map((m) => m.content), Array.from({ length: 50 }, (_, i) => `m${i + 10}`));
  assert.equal(newest.hasMore, true);
  // By eventId nothing is missed or repeated even where times collide; by time as its client does it.
  const older = (await api(user, 'messages/load', { conversationId: id, before: newest.messages[0].id })).body;
  assert.deepEqual(older.messages.map((m) => m.content), Array.from({ length: 10 }, (_, i) => `m${i}`));
  assert.equal(older.hasMore, false);
  const byTime = (await api(user, 'messages/load', { conversationId: id, before: newest.messages[0].created_at, limit: 5 })).body;
  assert.ok(byTime.messages.length <= 5 && byTime.messages.every((m) => m.created_at < newest.messages[0].created_at));
  assert.equal(newest.messages[0].conversation_id, id);
});

test('Q21 Q26 X9 loading and joining give live updates', async () => {
  const { id, user, other } = await conversation();
  const client = sse(other);
  try {
    await client.next('CONNECTED');
    assert.equal((await api(other, 'messages/load', { conversationId: id })).body.success, true);
    await api(user, 'messages/send', { conversationId: id, content: 'live' });
    assert.equal((await client.next('NEW_MESSAGE')).message.content, 'live');
    const joined = await api(other, 'conversations/join', { conversationId: 'plaza' });
    assert.equal(joined.body.success, true);
    await api(user, 'messages/send', { conversationId: 'plaza', content: 'to the plaza' });
    assert.equal((await client.next('NEW_MESSAGE', 2)).message.content, 'to the plaza');
  } finally {
    client.close();
  }
});

test('Q13 Q22 Q23 Q47 create: a direct conversation is reused, a group is made, others are told CONVERSATION_CREATED', async () => {
  const client = sse('cleo');
  try {
    await client.next('CONNECTED');
    const first = await api('dan', 'conversations/create', { participantIds: ['cleo'], isGroup: false });
    const again = await api('cleo', 'conversations/create', { participantIds: ['dan'] });
    assert.equal(again.body.conversation.id, first.body.conversation.id);
    const { conversation: told } = await client.next('CONVERSATION_CREATED');
    assert.equal(told.id, first.body.conversation.id);
    const group = await api('dan', 'conversations/create', { participantIds: ['cleo', 'eve'], name: 'trip', isGroup: true });
    assert.equal(group.body.conversation.is_group, true);
    assert.equal(group.body.conversation.created_by, 'dan');
    assert.equal((await client.next('CONVERSATION_CREATED', 2)).conversation.name, 'trip');
    assert.notEqual(group.body.conversation.id, first.body.conversation.id);
    await api('eve', 'messages/send', { conversationId: group.body.conversation.id, content: 'hi all' });
    assert.equal((await client.next('NEW_MESSAGE')).message.content, 'hi all');
  } finally {
    client.close();
  }
});

test('Q24 create refuses what is no list of participants', async () => {
  for (const participantIds of ['bob', [1], { a: 1 }]) {
    const { status, body } = await api('ann', 'conversations/create', { participantIds });
    assert.deepEqual([status, body.error], [400, 'Missing or invalid participantIds']);
  }
});

test('Q25 load conversations: participants and last message, newest first', async () => {
  const a = await conversation('lister', 'x1');
  const b = await conversation('lister', 'x2');
  await api('x1', 'messages/send', { conversationId: a.id, content: 'newest' });
  const { body } = await api('lister', 'conversations/load', {});
  assert.deepEqual(body.conversations.map((c) => c.id), [a.id, b.id]);
  assert.equal(body.conversations[0].last_message.content, 'newest');
  assert.deepEqual(body.conversations[0].participants.map((p) => p.userId).sort(), ['lister', 'x1']);
  assert.ok(body.conversations[0].updated_at >= body.conversations[1].updated_at);
});

test('Q14 Q27 Q28 Q46 typing is told to the others as USER_TYPING true and false', async () => {
  const { id, user, other } = await conversation();
  const client = sse(other);
  try {
    await client.next('CONNECTED');
    assert.deepEqual((await api(user, 'typing/start', { conversationId: id })).body.success, true);
    const start = await client.next('USER_TYPING');
    assert.deepEqual([start.userId, start.conversationId, start.isTyping], [user, id, true]);
    assert.equal((await api(user, 'typing/stop', { conversationId: id })).body.success, true);
    const stop = await client.next('USER_TYPING', 2);
    assert.deepEqual([stop.userId, stop.isTyping], [user, false]);
  } finally {
    client.close();
  }
});

test('Q29 join and typing in a conversation of others are refused', async () => {
  const { id } = await conversation();
  for (const path of ['conversations/join', 'typing/start', 'messages/load', 'messages/send']) {
    const { status, body } = await api('mallory', path, { conversationId: id, content: 'x' });
    assert.deepEqual([path, status, body.code], [path, 403, 'forbidden']);
  }
});

test('Q1 Q2 Q4 Q48 many connections of one user at once: each has every message of the user\'s conversations', async () => {
  const { id, user, other } = await conversation();
  const clients = Array.from({ length: 5 }, () => sse(other));
  try {
    await Promise.all(clients.map((client) => client.next('CONNECTED')));
    await Promise.all(Array.from({ length: 20 }, (_, i) => api(user, 'messages/send', { conversationId: id, content: `m${i}` })));
    for (const client of clients) {
      await client.next('NEW_MESSAGE', 20);
      const ids = client.named('NEW_MESSAGE').map((e) => e.id);
      assert.deepEqual(ids, [...ids].sort(), 'in one order');
      assert.equal(new Set(ids).size, 20);
      assert.deepEqual(ids, clients[0].named('NEW_MESSAGE').map((e) => e.id));
    }
  } finally {
    clients.forEach((client) => client.close());
  }
});

test('Q43 Q6 the browser\'s own reconnection loses nothing and repeats nothing', async () => {
  const { id, user, other } = await conversation();
  const client = sse(other);
  try {
    await client.next('CONNECTED');
    await api(user, 'messages/send', { conversationId: id, content: 'before' });
    await client.next('NEW_MESSAGE');
    // Another stream takes the session over, and so ends this one; it comes back by itself with Last-Event-ID.
    const { sessionId } = client.named('CONNECTED')[0].data;
    const thief = eventSource(`${server.url}/api/events?${as(other)}&session=${sessionId}`, names);
    await thief.next('CONNECTED');
    thief.close();
    await api(user, 'messages/send', { conversationId: id, content: 'while away' });
    await client.next('CONNECTED', 2);
    await api(user, 'messages/send', { conversationId: id, content: 'after' });
    await client.next('NEW_MESSAGE', 3);
    assert.deepEqual(client.named('NEW_MESSAGE').map((e) => e.data.message.content), ['before', 'while away', 'after']);
    assert.equal(client.named('CONNECTED')[1].data.resumed, true);
  } finally {
    client.close();
  }
});

test('Q15 what has no listener disturbs nothing, and errors come as errors', async () => {
  const client = eventSource(`${server.url}/api/events?${as('ann')}`, ['message']);
  const refused = eventSource(`${server.url}/api/events?${as('a%00b')}`, names);
  try {
    await api('ann', 'conversations/create', { participantIds: ['quiet'] });
    const error = await refused.until((heard) => heard.named('error')[0], 'an error');
    assert.equal(error.code, 400);
    assert.equal(client.named('message').length, 0, 'named events are not messages');
  } finally {
    client.close();
    refused.close();
  }
});

test('Q7 Q35 X4 before: its WebSocket clients go on with {type, payload} both ways', async () => {
  const alice = ws('alice');
  const bruno = ws('bruno');
  try {
    await Promise.all([alice.next('CONNECTED'), bruno.next('CONNECTED')]);
    await alice.send({ type: 'CREATE_CONVERSATION', payload: { participantIds: ['bruno'] } });
    const { conversation: made } = await bruno.next('CONVERSATION_CREATED');
    await alice.send({ type: 'SEND_MESSAGE', payload: { conversationId: made.id, content: 'over the old socket' } });
    const { message } = await bruno.next('NEW_MESSAGE');
    assert.deepEqual([message.content, message.sender_id, message.conversation_id], ['over the old socket', 'alice', made.id]);
    await bruno.send({ type: 'TYPING_START', payload: { conversationId: made.id } });
    // A stream that has just gained the room may first be told who types there as a whole.
    await alice.until((heard) => heard.named('USER_TYPING').find(({ data }) => data.userId === 'bruno'), 'that bruno types');
    await bruno.send({ type: 'LOAD_MESSAGES', id: 7, payload: { conversationId: made.id } });
    const reply = await bruno.until((heard) => heard.all.find((e) => e.message?.id === 7)?.message, 'the answer');
    assert.equal(reply.messages[0].content, 'over the old socket');
  } finally {
    alice.close();
    bruno.close();
  }
});

test('Q55 X8 X7 in parallel: both transports for one user, each message handled exactly once', async () => {
  const { id, user, other } = await conversation();
  const client = new Once();
  const byEvents = sse(other);
  const bySocket = ws(other);
  try {
    await Promise.all([byEvents.next('CONNECTED'), bySocket.next('CONNECTED')]);
    const sent = [];
    for (let i = 0; i < 30; i++) {
      if (i % 2) await api(user, 'messages/send', { conversationId: id, content: `p${i}` });
      else {
        await call(server, `/api/messages/send?${as(user)}`, { conversationId: id, content: `p${i}` });
      }
      sent.push(`p${i}`);
    }
    await Promise.all([byEvents.next('NEW_MESSAGE', 30), bySocket.next('NEW_MESSAGE', 30)]);
    const both = [
      ...byEvents.named('NEW_MESSAGE').map((e) => ({ at: e.at, id: e.id, content: e.data.message.content })),
      ...bySocket.named('NEW_MESSAGE').map((e) => ({ at: e.at, id: e.message.eventId, content: e.data.message.content })),
    ].sort((a, b) => a.at - b.at);
    for (const { id: eventId, content } of both) client.take(eventId, content);
    client.assertExactly(sent);
  } finally {
    byEvents.close();
    bySocket.close();
  }
});

test('Q59 X7 polling where streams are blocked: the same session goes on', async () => {
  const { id, user, other } = await conversation();
  const ask = async (query) => (await fetch(`${server.url}/api/poll?${as(other)}&wait=5${query}`)).json();
  const first = await ask('');
  await api(user, 'messages/send', { conversationId: id, content: 'polled' });
  const second = await ask(`&session=${first.sessionId}&lastEventId=${first.lastEventId}`);
  assert.deepEqual(second.events.filter((e) => e.type === 'NEW_MESSAGE').map((e) => e.payload.message.content), ['polled']);
  assert.equal(second.sessionId, first.sessionId);
});

test('Q57 connections by transport and events delivered are counted', async () => {
  const client = sse('counted');
  try {
    await client.next('CONNECTED');
    const text = await (await server.admin('/metrics')).text();
    assert.ok(Number(/^twinwire_connections\{transport="sse"\} (\d+)$/m.exec(text)[1]) >= 1);
    assert.ok(Number(/^twinwire_deliveries_total\{from="live"\} (\d+)$/m.exec(text)[1]) > 0);
  } finally {
    client.close();
  }
});

test('Q5 Q49 X5 the server keeps the stream alive: something comes within the heartbeat it announced', async () => {
  const response = await fetch(`${server.url}/api/events?${as('quiet2')}&heartbeat=10`);
  const reader = response.body.getReader();
  const began = Date.now();
  let text = '';
  try {
    while (!/\n\n:\n\n|\nid: [^\n]*\n\n$/.test(text) && Date.now() - began < 15000) {
      text += Buffer.from((await reader.read()).value).toString();
    }
    assert.ok(Date.now() - began < 12000, `${Date.now() - began} ms`);
    assert.match(text, /"heartbeat":10/);
  } finally {
    await reader.cancel();
  }
});

test('Q37 PORT names the port', async () => {
  const { stdout } = await promisify(execFile)(join(bin, 'twinwire'), ['print-config'], { env: { ...process.env, PORT: '3123' } });
  assert.match(stdout, /^listen = "127\.0\.0\.1:3123"$/m);
});

test('Q37 Q38 the log names the address, and SIGTERM and SIGINT end it with 0', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const own = await startApp('qryptchat', { args: ['--drain.seconds', '0'] });
    const client = eventSource(`${own.url}/api/events?id=ann`, ['CONNECTED', 'BYE']);
    try {
      await client.next('CONNECTED');
      assert.match(own.log, new RegExp(`serves at ${own.url.slice(7)}`));
      const { code } = await own.end(signal);
      assert.equal(code, 0);
      assert.equal((await client.next('BYE')).code, 'draining');
    } finally {
      client.close();
      await own.stop();
    }
  }
});

test('Q39 old messages are removed after a time, and a client that is behind is told', async () => {
  const own = await startApp('qryptchat', { args: ['--store.retention_seconds', '1'] });
  const as2 = (path, body) => call(own, `/api/${path}?id=ann`, body);
  try {
    const { eventId } = (await as2('messages/send', { conversationId: 'old', content: 'soon gone', exclude: 'none' })).body;
    const [epoch] = eventId.split('-');
    let left = 1;
    for (const end = Date.now() + 40000; left && Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 300))) {
      left = (await as2('messages/load', { conversationId: 'old' })).body.messages.length;
    }
    assert.equal(left, 0);
    const client = eventSource(`${own.url}/api/events?id=ann&rooms=old&lastEventId=${epoch}-${'0'.repeat(14)}`, names);
    assert.equal((await client.next('RESET')).reason, 'trimmed');
    client.close();
  } finally {
    await own.stop();
  }
});
