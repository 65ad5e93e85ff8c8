// Matchbook: from EventSource with POST /send-message to WebSocket, with persistence by its main server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, eventSource, Once, startApp, webSocket } from '../../../support/migration.mjs';
import { Receiver } from '../../../support/receiver.mjs';
import { secret, token } from '../../../support/tokens.mjs';

let server;
let receiver;
before(async () => {
  receiver = await Receiver.start();
  server = await startApp('matchbook', { args: ['--hooks.save_url', receiver.url, '--hooks.retry_ms_max', '300'] });
});
after(async () => {
  await server?.stop();
  await receiver?.stop();
});

const socket = (user, on = server, more = '') => webSocket(`${on.wsUrl}/ws?id=${user}${more}`);
const events = (user) => eventSource(`${server.url}/events?id=${user}`, ['connected', 'message.created', 'receipt.read']);
const send = (user, body, on = server) => call(on, `/send-message?id=${user}`, body);
let matches = 0;
async function match() {
  const [a, b] = [`a${++matches}`, `b${matches}`];
  const { body } = await call(server, `/api/conversations/create?id=${a}`, { participantIds: [b] });
  return { a, b, id: body.room.id };
}
const text = (entry) => entry.data.message.content;

test('M1 M2 M3 /ws?id=, /events?id= and /send-message go on as they were', async () => {
  const { a, b, id } = await match();
  const [viaSocket, viaEvents] = [socket(b), events(b)];
  try {
    await Promise.all([viaSocket.next('connected'), viaEvents.next('connected')]);
    const { status, body } = await send(a, { conversationId: id, message: 'hi', senderId: a });
    assert.deepEqual([status, body.success], [200, true]);
    assert.equal((await viaSocket.next('message.created')).message.content, 'hi');
    assert.equal((await viaEvents.next('message.created')).data.message.content, 'hi');
  } finally {
    viaSocket.close();
    viaEvents.close();
  }
});

test('M5 the old /api/sse answers JSON that names the new address', async () => {
  const response = await fetch(`${server.url}/api/sse`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.equal(response.headers.get('link'), '</ws>; rel="successor-version"');
  const hint = await response.json();
  assert.deepEqual([hint.moved, hint.path, hint.url], [true, '/ws', `${server.wsUrl}/ws`]);
  // Behind a proxy that speaks TLS, a page may open nothing but wss://.
  assert.equal(response.headers.get('cache-control'), 'no-store', 'the address is for who asked');
  const host = new URL(server.url).host;
  for (const [headers, scheme] of [
    [{ 'x-forwarded-proto': 'https' }, 'wss'], [{ 'x-forwarded-proto': 'HTTPS, http' }, 'wss'],
    [{ referer: `https://${host}/chat` }, 'wss'], [{ referer: `http://${host}/chat` }, 'ws'],
    [{ referer: `https://${host}.example/` }, 'ws'], [{ referer: 'https://chat.example/' }, 'ws'],
    [{ 'x-forwarded-proto': 'http, https' }, 'ws'], [{ 'x-forwarded-proto': 'http', referer: `https://${host}/` }, 'ws'],
  ]) {
    const { url } = await (await fetch(`${server.url}/api/sse`, { headers })).json();
    assert.equal(url, `${scheme}://${host}/ws`, JSON.stringify(headers));
  }
});

test('M4 M6 M7 M9 M14 M15 M31 by socket: a bare message, delivered at once, confirmed by its tempId, saved', async () => {
  const { a, b, id } = await match();
  const [from, to] = [socket(a), socket(b)];
  try {
    await Promise.all([from.next('connected'), to.next('connected')]);
    await from.send({ conversationId: id, senderId: a, content: 'bare', tempId: 'tmp-1' });
    const got = await to.next('message.created');
    assert.equal(got.message.content, 'bare');
    assert.ok(got.eventId, 'the body alone still carries its place in the log');
    const own = await from.next('message.created');
    assert.equal(own.message.clientId, 'tmp-1', 'the optimistic message finds its confirmation');
    const saved = await receiver.until((r) => r.events.find((e) => e.eventId === got.eventId), 'the save');
    assert.equal(saved.data.message.content, 'bare');
    assert.equal(saved.type, 'message.created', 'the backend gets the native event, whatever clients see');
  } finally {
    from.close();
    to.close();
  }
});

test('M8 M32 the backend fails and stalls: delivery goes on, and it gets everything later, in order', async () => {
  const { a, b, id } = await match();
  const to = socket(b);
  try {
    await to.next('connected');
    const from = receiver.tries.length;
    receiver.behave = (n) => (n - from < 4 ? { status: 503 } : undefined);
    const sent = Array.from({ length: 20 }, (_, i) => `s${i}`);
    for (const content of sent) assert.equal((await send(a, { conversationId: id, content })).body.success, true);
    await to.next('message.created', 20);
    await receiver.until((r) => r.events.filter((e) => e.room === id && e.type === 'message.created').length >= 20, 'the saves');
    const saved = receiver.events.filter((e) => e.room === id && e.type === 'message.created');
    assert.deepEqual(saved.map((e) => e.data.message.content), sent);
    const text = await (await server.admin('/metrics')).text();
    assert.match(text, /^twinwire_hook_failures_total [1-9]/m);
  } finally {
    receiver.behave = () => undefined;
    to.close();
  }
});

test('M18 X2 all instances of a user receive, the sender\'s own too', async () => {
  const { a, b, id } = await match();
  const all = [socket(a), socket(a), socket(b), socket(b), socket(b)];
  try {
    await Promise.all(all.map((c) => c.next('connected')));
    await all[0].send({ conversationId: id, content: 'to all' });
    for (const client of all) assert.equal((await client.next('message.created')).message.content, 'to all');
  } finally {
    all.forEach((c) => c.close());
  }
});

test('M16 fallback to REST when the socket fails, retried without a second message', async () => {
  const { a, b, id } = await match();
  const to = socket(b);
  try {
    await to.next('connected');
    const body = { conversationId: id, content: 'by REST', tempId: 'tmp-2' };
    const first = await send(a, body);
    const again = await send(a, body);
    assert.equal(again.body.duplicate, true);
    assert.equal(again.body.eventId, first.body.eventId);
    await send(a, { conversationId: id, content: 'next' });
    await to.next('message.created', 2);
    assert.deepEqual(to.named('message.created').map(text), ['by REST', 'next']);
  } finally {
    to.close();
  }
});

test('M10 M11 pings are answered, and a closed socket leaves nothing behind', async () => {
  const stats = async () => (await (await server.admin('/admin/stats')).json()).connections.ws;
  const before = await stats();
  const client = socket('pinger');
  await client.next('connected');
  const pong = new Promise((resolve) => client.socket.once('pong', (data) => resolve(data.toString())));
  client.socket.ping('are you there');
  assert.equal(await pong, 'are you there');
  assert.equal(await stats(), before + 1);
  client.close();
  for (let i = 0; i < 100 && (await stats()) !== before; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await stats(), before);
});

test('M19 M20 the server is killed and comes back: the socket that reconnects has missed nothing', async () => {
  const own = await startApp('matchbook', { args: ['--hooks.save_url', receiver.url] });
  try {
    const room = (await call(own, '/api/conversations/create?id=ann', { participantIds: ['bob'] })).body.room.id;
    let to = socket('bob', own);
    await to.next('connected');
    await send('ann', { conversationId: room, content: 'one' }, own);
    const { eventId } = await to.next('message.created');
    await own.restart('SIGKILL');
    await to.until((h) => h.named('close')[0], 'the end');
    await send('ann', { conversationId: room, content: 'two' }, own);
    to = socket('bob', own, `&lastEventId=${eventId}`);
    assert.equal((await to.next('message.created')).message.content, 'two');
    assert.equal((await fetch(`${own.adminUrl}/health/ready`)).status, 200);
    to.close();
  } finally {
    await own.stop();
  }
});

test('M22 connection counts and errors of both transports can be watched', async () => {
  const client = events('watched');
  try {
    await client.next('connected');
    const text = await (await server.admin('/metrics')).text();
    for (const name of ['connections{transport="ws"}', 'connections{transport="sse"}', 'sends_total', 'hook_queue_events'])
      assert.ok(text.includes(`twinwire_${name} `), name);
  } finally {
    client.close();
  }
});

test('M29 typing indicators on the same socket', async () => {
  const { a, b, id } = await match();
  const [from, to] = [socket(a), socket(b)];
  try {
    await Promise.all([from.next('connected'), to.next('connected')]);
    await from.send({ type: 'typing', conversationId: id, isTyping: true });
    const typing = await to.until((h) => h.named('typing').find((e) => e.data.userId === a), 'typing');
    assert.equal(typing.data.isTyping, true);
  } finally {
    from.close();
    to.close();
  }
});

test('X8 X2 in parallel: EventSource and WebSocket of one user, each message exactly once', async () => {
  const { a, b, id } = await match();
  const client = new Once();
  const [old, now] = [events(b), socket(b)];
  try {
    await Promise.all([old.next('connected'), now.next('connected')]);
    const sent = Array.from({ length: 30 }, (_, i) => `e${i}`);
    for (const content of sent) await send(a, { conversationId: id, content });
    await Promise.all([old.next('message.created', 30), now.next('message.created', 30)]);
    const both = [
      ...old.named('message.created').map((e) => ({ at: e.at, id: e.id, content: e.data.data.message.content })),
      ...now.named('message.created').map((e) => ({ at: e.at, id: e.data.eventId, content: text(e) })),
    ].sort((x, y) => x.at - y.at);
    for (const { id: eventId, content } of both) client.take(eventId, content);
    client.assertExactly(sent);
  } finally {
    old.close();
    now.close();
  }
});

test('M17 persistence fails: the message is delivered all the same, and its sender is told', async () => {
  // Files may not grow past 256 KiB: the log of the store soon cannot be written.
  const own = await startApp('matchbook', {
    shell: "trap '' XFSZ; ulimit -f 512",
    args: ['--store.give_up_ms', '500'],
  });
  const [from, to] = [socket('ann', own), socket('bob', own)];
  try {
    await Promise.all([from.next('connected'), to.next('connected')]);
    const room = (await call(own, '/api/conversations/create?id=ann', { participantIds: ['bob'] })).body.room.id;
    const content = 'x'.repeat(30000);
    const write = (i) => from.send({ type: 'chat', id: i, data: { room, content: `${i} ${content}`, clientId: `c${i}` } });
    const answers = (count) =>
      from.until((h) => {
        const list = h.all.filter((e) => e.message?.type === 'reply').map((e) => e.message);
        return list.length === count && list;
      }, `${count} answers`);
    // The first alone: all twenty in one batch of the writer would be too big a file at once.
    await write(0);
    assert.ok((await answers(1))[0].stored, 'what was written before');
    for (let i = 1; i < 20; i++) await write(i);
    const unsaved = await from.next('message.unsaved');
    const all = await answers(20);
    assert.ok(all.some((a) => !a.success && a.code === 'storage_unavailable'));
    assert.ok(/^c\d+$/.test(unsaved.clientId), 'it says which');
    const told = to.named('message.created').map((e) => e.data.message.clientId);
    assert.ok(told.includes(unsaved.clientId), 'it was delivered');
    assert.equal((await fetch(`${own.adminUrl}/health/live`)).status, 200);
  } finally {
    from.close();
    to.close();
    await own.end('SIGKILL');
    await own.stop();
  }
});

test('X1 persist then deliver, or deliver then persist: a setting, and both deliver', async () => {
  for (const policy of ['commit', 'publish']) {
    const own = await startApp('matchbook', { args: ['--server.deliver', policy] });
    try {
      const room = (await call(own, '/api/conversations/create?id=ann', { participantIds: ['bob'] })).body.room.id;
      const to = socket('bob', own);
      await to.next('connected');
      const { body } = await send('ann', { conversationId: room, content: policy }, own);
      assert.equal(body.stored, true);
      const got = await to.next('message.created');
      if (policy === 'commit') {
        // Whatever was seen is on disk: a kill at once takes nothing back.
        await own.restart('SIGKILL');
        const again = socket('bob', own, '&lastEventId=earliest');
        await again.until((h) => h.named('message.created').some((e) => e.data.eventId === got.eventId), 'the same');
        again.close();
      }
      to.close();
    } finally {
      await own.stop();
    }
  }
});

test('M27 tokens on connections: then ?id= is not looked at', async () => {
  const own = await startApp('matchbook', {
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', secret, '--auth.query_token=true'],
  });
  const client = webSocket(`${own.wsUrl}/ws?id=mallory&token=${token('ann')}`);
  try {
    assert.equal((await client.next('connected')).userId, 'ann');
    assert.equal((await call(own, '/send-message?id=ann', { conversationId: 'x', content: 'x' })).status, 401);
  } finally {
    client.close();
    await own.stop();
  }
});
