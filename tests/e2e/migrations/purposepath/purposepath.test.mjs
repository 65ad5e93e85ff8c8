// PurposePath: from EventSource (goal-created, snake_case) to WebSocket (goal.created, an envelope). Events come from a
// backend; clients mostly listen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, eventSource, Once, startApp, webSocket } from '../../../support/migration.mjs';

let server;
before(async () => {
  server = await startApp('purposepath');
});
after(() => server?.stop());

const names = ['connected', 'goal-created', 'goal-updated', 'action-created', 'action-updated', 'issue-created', 'bye'];
const oldClient = (user, path = '/api/events') => eventSource(`${server.url}${path}?id=${user}`, names);
/** Its new client: connects, then sends its token. */
async function newClient(user) {
  const client = webSocket(`${server.wsUrl}/realtime`, { dataOf: (m) => m.data });
  await client.send({ type: 'auth', data: { userId: user } });
  await client.next('connected');
  return client;
}
const publish = (type, data, more) => call(server, '/api/events/publish?id=backend', { room: 'org', type, data, ...more });
const goal = (n) => ({ goalId: `g${n}`, tenantId: 'default', createdAt: '2026-01-01T00:00:00Z', owner: { userName: 'Ann' } });

test('P1 P8 before: both SSE paths, hyphenated names, the data alone in snake_case', async () => {
  const clients = [oldClient('ann'), oldClient('bob', '/api/realtime/events')];
  try {
    await Promise.all(clients.map((c) => c.next('connected')));
    assert.equal((await publish('goal.created', goal(1))).body.success, true);
    for (const client of clients) {
      const data = await client.next('goal-created');
      assert.deepEqual(data, { goal_id: 'g1', tenant_id: 'default', created_at: '2026-01-01T00:00:00Z', owner: { user_name: 'Ann' } });
      assert.match(client.named('goal-created')[0].id, /^[0-9a-f]{12}-/);
    }
  } finally {
    clients.forEach((c) => c.close());
  }
});

test('P2 P4 P6 P7 P14 P20 after: /realtime, an auth message, an envelope with tenant and time', async () => {
  const client = await newClient('ann');
  try {
    assert.equal((await client.next('auth.success')).userId, 'ann');
    await publish('goal.created', goal(2));
    const data = await client.next('goal.created');
    assert.deepEqual(data, goal(2));
    const { message } = client.named('goal.created')[0];
    assert.equal(message.tenantId, 'default');
    assert.match(message.timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.match(message.eventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
    assert.deepEqual(Object.keys(message).sort(), ['data', 'eventId', 'room', 'tenantId', 'timestamp', 'type', 'userId']);
  } finally {
    client.close();
  }
});

test('P4 a refused auth message is told as auth.error', async () => {
  const client = webSocket(`${server.wsUrl}/realtime`, { dataOf: (m) => m.data });
  try {
    await client.send({ type: 'auth', data: { userId: 'bad\u0001name' } });
    const error = await client.next('auth.error');
    assert.equal(error.success, false);
  } finally {
    client.close();
  }
});

test('P9 P21 X4 the names of both worlds for one event', async () => {
  const before = oldClient('ann');
  const after = await newClient('ann');
  try {
    await before.next('connected');
    const map = [
      ['goal.created', 'goal-created'], ['goal.activated', 'goal-updated'], ['goal.completed', 'goal-updated'],
      ['action.created', 'action-created'], ['action.updated', 'action-updated'], ['issue.created', 'issue-created'],
    ];
    for (const [n, [type, old]] of map.entries()) {
      await publish(type, { n });
      await before.until((h) => h.named(old).some((e) => e.data.n === n), old);
      await after.until((h) => h.named(type).some((e) => e.data.n === n), type);
    }
  } finally {
    before.close();
    after.close();
  }
});

test('P10 X5 a client that pings every eight minutes and answers pings is kept; silence is bounded', async () => {
  const client = await newClient('ann');
  try {
    assert.equal((await client.next('connected')).heartbeat, 25, 'the longest silence is stated');
    await client.send({ type: 'ping' });
    await client.until((h) => h.named('pong')[0], 'pong');
  } finally {
    client.close();
  }
});

test('P12 P28 several tabs: each connection has every event', async () => {
  const tabs = await Promise.all([newClient('tabs'), newClient('tabs'), newClient('tabs')]);
  try {
    for (let n = 0; n < 10; n++) await publish('action.created', { n });
    for (const tab of tabs) {
      await tab.next('action.created', 10);
      assert.deepEqual(tab.named('action.created').map((e) => e.data.n), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  } finally {
    tabs.forEach((t) => t.close());
  }
});

test('P27 after a lost network nothing is missed', async () => {
  const client = await newClient('lost');
  await publish('action.created', { n: 'a' });
  await client.next('action.created');
  const last = client.named('action.created')[0].message.eventId;
  client.socket.terminate();
  await publish('action.created', { n: 'b' });
  const back = webSocket(`${server.wsUrl}/realtime?id=lost&lastEventId=${last}`, { dataOf: (m) => m.data });
  try {
    assert.equal((await back.next('action.created')).n, 'b');
  } finally {
    back.close();
  }
});

test('P36 P32 X8 duplicate events while both transports are active: eventId tells them', async () => {
  const client = new Once();
  const before = oldClient('both');
  const after = await newClient('both');
  try {
    await before.next('connected');
    const sent = Array.from({ length: 30 }, (_, n) => n);
    for (const n of sent) await publish('goal.created', { goalNumber: n });
    await Promise.all([before.next('goal-created', 30), after.next('goal.created', 30)]);
    const both = [
      ...before.named('goal-created').map((e) => ({ at: e.at, id: e.id, n: e.data.goal_number })),
      ...after.named('goal.created').map((e) => ({ at: e.at, id: e.message.eventId, n: e.data.goalNumber })),
    ].sort((a, b) => a.at - b.at);
    for (const { id, n } of both) client.take(id, n);
    client.assertExactly(sent);
  } finally {
    before.close();
    after.close();
  }
});

test('P30 P31 X7 rollback: from the socket to periodic polling and to SSE with the same cursor', async () => {
  const client = await newClient('back');
  await publish('goal.created', { n: 1 });
  await client.next('goal.created');
  const { sessionId } = await client.next('connected');
  const last = client.named('goal.created')[0].message.eventId;
  client.close();
  await publish('goal.created', { n: 2 });
  const polled = await (await fetch(`${server.url}/api/poll?id=back&session=${sessionId}&lastEventId=${last}&wait=5`)).json();
  assert.deepEqual(polled.events.filter((e) => e.type === 'goal.created').map((e) => e.data.n), [2]);
  await publish('goal.created', { n: 3 });
  const events = eventSource(`${server.url}/api/events?id=back&session=${sessionId}&lastEventId=${polled.lastEventId}`, names);
  try {
    assert.equal((await events.next('goal-created')).n, 3);
    assert.equal((await events.next('connected')).session_id, sessionId, 'the same session, three transports');
  } finally {
    events.close();
  }
});

test('P33 P34 a local server for development starts without a token, and refusals say what is wrong', async () => {
  const missing = await call(server, '/api/events/publish?id=backend', { room: 'org', data: {} });
  assert.deepEqual([missing.status, missing.body.code], [400, 'invalid_argument']);
  assert.match(missing.body.error, /type/);
  const nowhere = await fetch(`${server.url}/api/realtime/event?id=x`);
  assert.equal(nowhere.status, 404);
});
