// Lastra Chat: from EventSource with a POST per kind of message to one WebSocket. One room, short types.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, eventSource, Once, startApp, webSocket } from '../../../support/migration.mjs';

let server;
before(async () => {
  server = await startApp('lastra', { args: ['--typing.clear_ms', '700'] });
});
after(() => server?.stop());

/** Its new client: opens, then says who it is. */
async function join(name, on = server, cursor = '') {
  const client = webSocket(`${on.wsUrl}/api/chat${cursor && `?lastEventId=${cursor}`}`, { dataOf: (m) => m.data });
  await client.send({ type: 'auth', data: { userId: name, userName: name.toUpperCase() } });
  await client.next('connected');
  return client;
}
/** Its old client. */
const stream = (name) => eventSource(`${server.url}/api/chat-stream?id=${name}`, ['message']);
const post = (name, path, body) => call(server, `/api/${path}?id=${name}`, body);
const ofType = (client, type) => client.named('message').filter((e) => e.data.type === type);
const texts = (client) => client.named('chat').map((e) => e.data.message.content);

test('L1 L2 L3 L9 L43 one WebSocket: it says who it is, messages are routed by their type', async () => {
  const ada = await join('ada');
  try {
    const success = await ada.next('auth.success');
    assert.equal(success.userId, 'ada');
    assert.equal((await ada.next('connected')).userId, 'ada');
    assert.deepEqual((await ada.next('connected')).rooms, ['lobby'], 'the one room needs no name');
    await ada.send({ type: 'no-such-thing', id: 1, data: {} });
    const reply = await ada.until((heard) => heard.all.find((e) => e.message?.id === 1)?.message, 'a refusal');
    assert.deepEqual([reply.success, reply.code], [false, 'not_found']);
  } finally {
    ada.close();
  }
});

test('L10 L23 L46 L74 chat: to everyone in the room, acknowledged when stored', async () => {
  const [ada, bo] = await Promise.all([join('ada2'), join('bo2')]);
  try {
    await ada.send({ type: 'chat', id: 'a1', data: { text: 'hello over one socket' } });
    const { message } = (await bo.until((h) => h.named('chat').find((e) => e.data.message.content === 'hello over one socket'), 'chat')).data;
    assert.equal(message.userId, 'ada2');
    const ack = await ada.until((h) => h.all.find((e) => e.message?.id === 'a1')?.message, 'the acknowledgement');
    assert.deepEqual([ack.success, ack.stored, ack.message.id], [true, true, message.id]);
  } finally {
    ada.close();
    bo.close();
  }
});

test('L11 L24 L25 L47 typing per user, and it clears by itself', async () => {
  const [ada, bo] = await Promise.all([join('ada3'), join('bo3')]);
  try {
    const changes = () => bo.named('typing').filter((e) => e.data.userId === 'ada3').map((e) => e.data.isTyping);
    await ada.send({ type: 'typing', data: { isTyping: true } });
    await bo.until(() => changes().length === 1, 'typing');
    await ada.send({ type: 'typing', data: { isTyping: false } });
    await bo.until(() => changes().length === 2, 'no typing');
    await ada.send({ type: 'typing', data: { isTyping: true } });
    await bo.until(() => changes().length === 4, 'it to clear');
    assert.deepEqual(changes(), [true, false, true, false]);
  } finally {
    ada.close();
    bo.close();
  }
});

test('L4 L6 L12 L19 L48 presence: who joins, who leaves, who is there', async () => {
  const ada = await join('ada4');
  try {
    const bo = await join('bo4');
    const about = (client, user) => client.all.filter((e) => e.name.startsWith('presence') && JSON.stringify(e.data).includes(`"${user}"`));
    await ada.until(() => about(ada, 'bo4').length > 0, 'bo to join');
    await ada.send({ type: 'presence.list', id: 'who', data: { room: 'lobby' } });
    const list = await ada.until((h) => h.all.find((e) => e.message?.id === 'who')?.message, 'the list');
    const users = list.users.map((u) => (typeof u === 'string' ? u : u.userId));
    assert.ok(users.includes('ada4') && users.includes('bo4'));
    const before = about(ada, 'bo4').length;
    bo.close();
    await ada.until(() => about(ada, 'bo4').length > before, 'bo to leave');
  } finally {
    ada.close();
  }
});

test('L5 errors on a socket are told, and end it only where nothing else is possible', async () => {
  const ada = await join('ada9');
  try {
    ada.socket.send('{oops');
    const refused = await ada.until((h) => h.all.find((e) => e.message?.success === false)?.message, 'a refusal');
    assert.equal(refused.code, 'invalid_json');
    await ada.send({ type: 'ping' });
    await ada.until((h) => h.named('pong')[0], 'pong: it is still open');
    ada.socket.send('x'.repeat(100000));
    await ada.until((h) => h.named('close')[0]?.code === 1009, 'too much');
    assert.equal((await ada.next('bye')).code, 'too_large');
  } finally {
    ada.close();
  }
});

test('L7 L18 ping is answered with pong', async () => {
  const ada = await join('ada5');
  try {
    await ada.send({ type: 'ping' });
    await ada.until((h) => h.named('pong').length === 1, 'pong');
  } finally {
    ada.close();
  }
});

test('L8 X5 a client from which nothing comes is disconnected', async () => {
  const socket = webSocket(`${server.wsUrl}/api/chat?id=still&heartbeat=10`, { autoPong: false });
  const began = Date.now();
  const closed = await socket.until((h) => h.named('close')[0], 'the end', 40000);
  assert.ok(Date.now() - began >= 19000, 'two heartbeats');
  assert.ok(closed.code > 0);
});

test('L20 L21 L22 L49 a new connection first gets the last 256 messages, as they were before the restart too', async () => {
  const own = await startApp('lastra');
  try {
    const ada = await join('ada', own);
    for (let i = 0; i < 300; i++) await ada.send({ type: 'chat', id: i, data: { text: `h${i}` } });
    await ada.until((h) => texts(h).includes('h299'), 'all');
    ada.close();
    await own.restart('SIGKILL');
    const bo = await join('bo', own);
    await bo.until((h) => texts(h).includes('h299'), 'the history');
    assert.deepEqual(texts(bo), Array.from({ length: 256 }, (_, i) => `h${i + 44}`));
    bo.close();
  } finally {
    await own.stop();
  }
});

test('L16 L33 clear: the history goes, everyone is told', async () => {
  const own = await startApp('lastra');
  try {
    const [ada, bo] = await Promise.all([join('ada', own), join('bo', own)]);
    await ada.send({ type: 'chat', data: { text: 'gone soon' } });
    await bo.next('chat');
    await ada.send({ type: 'clear', id: 'c', data: {} });
    await bo.until((h) => h.named('clear')[0], 'clear');
    await ada.until((h) => h.all.find((e) => e.message?.id === 'c')?.message.success, 'its answer');
    const late = await join('late', own);
    await late.send({ type: 'chat', data: { text: 'after' } });
    await late.until((h) => texts(h).includes('after'), 'the next');
    assert.deepEqual(texts(late), ['after']);
    [ada, bo, late].forEach((c) => c.close());
  } finally {
    await own.stop();
  }
});

test('L34 L75 before: its EventSource and its endpoints, one post each', async () => {
  const ada = stream('ada6');
  const bo = await join('bo6');
  try {
    await ada.until((h) => ofType(h, 'connected')[0], 'connected');
    assert.equal((await post('bo6', 'chat-message', { text: 'posted' })).body.success, true);
    const heard = await ada.until((h) => ofType(h, 'message.created').find((e) => e.data.data.message.content === 'posted'), 'the message');
    assert.equal(heard.data.channel, 'lobby');
    await bo.until((h) => texts(h).includes('posted'), 'the same on the socket');
    assert.equal((await post('bo6', 'chat-typing', { isTyping: true })).body.success, true);
    await ada.until((h) => ofType(h, 'typing').some((e) => e.data.data.userId === 'bo6' && e.data.data.isTyping), 'typing');
    assert.equal((await post('bo6', 'chat-typing', { isTyping: false })).body.success, true);
    const refused = await post('bo6', 'bot-toggle', { botId: 'helper', enabled: true });
    assert.ok(refused.body.success || /bots\.toggle/.test(refused.body.error), 'a command that is not there says its name');
  } finally {
    ada.close();
    bo.close();
  }
});

test('L57 L58 L44 tabs and cut networks: a socket that comes back with its cursor misses nothing', async () => {
  const tabs = [await join('tab'), await join('tab')];
  const bo = await join('bo7');
  try {
    await bo.send({ type: 'chat', data: { text: 't1' } });
    for (const tab of tabs) await tab.until((h) => texts(h).includes('t1'), 't1');
    const last = tabs[0].named('chat').at(-1).message.eventId;
    tabs[0].socket.terminate();
    for (const text of ['t2', 't3']) await bo.send({ type: 'chat', data: { text } });
    await tabs[1].until((h) => texts(h).includes('t3'), 't3 on the other tab');
    const back = await join('tab', server, last);
    await back.until((h) => texts(h).includes('t3'), 't3');
    assert.deepEqual(texts(back), ['t2', 't3']);
    back.close();
  } finally {
    tabs[1].close();
    bo.close();
  }
});

test('L45 L59 L70 the server restarts while messages flow: none is lost, none twice', async () => {
  const own = await startApp('lastra', { args: ['--drain.seconds', '0'] });
  try {
    const got = [];
    let last = '';
    let reader = await join('reader', own);
    const drainReader = () => {
      for (const e of reader.named('chat')) {
        got.push(e.data.message.content);
        last = e.message.eventId;
      }
    };
    const sent = [];
    for (let round = 0; round < 3; round++) {
      const sender = await join('sender', own);
      for (let i = 0; i < 50; i++) {
        const id = `${round}-${i}`;
        await sender.send({ type: 'chat', id, data: { text: id, clientId: id } });
        sent.push(id);
      }
      await sender.until((h) => h.all.filter((e) => e.message?.type === 'reply' && e.message.stored).length === 50, 'the acknowledgements');
      sender.close();
      if (round === 1) reader.socket.terminate();
      await own.restart(round ? 'SIGKILL' : 'SIGTERM');
      drainReader();
      reader = await join('reader', own, last);
    }
    const missing = sent.length - got.length;
    await reader.until((h) => texts(h).length >= missing, 'the rest');
    drainReader();
    assert.deepEqual(got, sent);
    reader.close();
  } finally {
    await own.stop();
  }
});

test('L65 L71 X8 in parallel: old stream and new socket for one user, each message exactly once', async () => {
  const client = new Once();
  const old = stream('both');
  await old.until((h) => ofType(h, 'connected')[0], 'connected');
  const socket = await join('both');
  const bo = await join('bo8');
  try {
    const sent = Array.from({ length: 30 }, (_, i) => `x${i}`);
    for (const [i, text] of sent.entries()) {
      if (i % 2) await bo.send({ type: 'chat', data: { text } });
      else await post('bo8', 'chat-message', { text });
    }
    const mine = (list, of) => list.filter((e) => of(e).startsWith('x'));
    const fromOld = () => mine(ofType(old, 'message.created'), (e) => e.data.data.message.content);
    const fromNew = () => mine(socket.named('chat'), (e) => e.data.message.content);
    await old.until(() => fromOld().length === 30 && fromNew().length === 30, 'all on both');
    const both = [
      ...fromOld().map((e) => ({ at: e.at, id: e.data.eventId, content: e.data.data.message.content })),
      ...fromNew().map((e) => ({ at: e.at, id: e.message.eventId, content: e.data.message.content })),
    ].sort((a, b) => a.at - b.at);
    for (const { id, content } of both) client.take(id, content);
    assert.deepEqual([...client.handled].sort(), [...sent].sort());
    assert.ok(client.dropped > 0);
  } finally {
    [old, socket, bo].forEach((c) => c.close());
  }
});
