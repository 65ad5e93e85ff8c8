// PurposePath with its tokens and its tenants.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { call, eventSource, startApp, webSocket } from '../../../support/migration.mjs';
import { Server } from '../../../support/server.mjs';
import { now, secret, token } from '../../../support/tokens.mjs';

const jwt = ['--auth.secret', secret, '--auth.leeway_seconds', '0'];
const names = ['connected', 'goal-created', 'auth-expiring', 'bye'];
let server;
let shared;
before(async () => {
  server = await startApp('purposepath', {
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.query_token=true', '--auth.expiring_seconds', '2', ...jwt],
  });
  const config = join(dirname(fileURLToPath(import.meta.url)), 'tenants.toml');
  shared = await Server.start({ args: ['--config', config, ...jwt] });
});
after(async () => {
  await server?.stop();
  await shared?.stop();
});

const bearer = (text) => ({ headers: { authorization: `Bearer ${text}` } });
const publish = (on, text, type, data) => call(on, '/api/events/publish', { room: 'org', type, data }, bearer(text));

test('P3 the old ways: a token in the header, or in the query', async () => {
  assert.equal((await fetch(`${server.url}/api/realtime/events`)).status, 401);
  const header = await fetch(`${server.url}/api/realtime/events`, bearer(token('ann')));
  assert.equal(header.status, 200);
  await header.body.cancel();
  const client = eventSource(`${server.url}/api/events?token=${token('ann')}`, names);
  try {
    assert.equal((await client.next('connected')).user_id, 'ann');
  } finally {
    client.close();
  }
});

test('P4 P5 auth message after connecting, and the token refreshed on the live connection', async () => {
  const client = webSocket(`${server.wsUrl}/realtime`, { dataOf: (m) => m.data });
  const left = webSocket(`${server.wsUrl}/realtime`, { dataOf: (m) => m.data });
  try {
    await client.send({ type: 'auth', data: { token: 'nonsense' } });
    await client.next('auth.error');
    const until = now() + 4;
    for (const c of [client, left]) await c.send({ type: 'auth', data: { token: token('ann', { exp: until }) } });
    await Promise.all([client.next('auth.success'), left.next('connected')]);
    await client.next('auth.expiring');
    await client.send({ type: 'auth', data: { token: token('ann', { exp: now() + 60 }) } });
    await client.next('auth.success', 2);
    // The other does nothing, and is closed at the end of its token.
    const closed = await left.until((h) => h.named('close')[0], 'the end');
    assert.equal(closed.code, 4401);
    assert.ok(now() >= until - 1);
    await publish(server, token('backend'), 'goal.created', { n: 1 });
    assert.equal((await client.next('goal.created')).n, 1);
    assert.equal(client.named('connected').length, 1, 'without a reconnect');
    assert.equal(client.named('close').length, 0);
  } finally {
    client.close();
    left.close();
  }
});

test('P7 X4 each tenant has its own names, and hears nothing of the other', async () => {
  const of = (tenant, user = 'ann') => token(user, { tenant });
  const a = eventSource(`${shared.url}/api/events?token=${of('purpose')}`, names);
  const b = eventSource(`${shared.url}/api/events?token=${of('other')}`, ['CONNECTED', 'NEW_GOAL']);
  const c = eventSource(`${shared.url}/api/events?token=${of('third')}`, ['connected', 'goal.created']);
  const socket = webSocket(`${shared.wsUrl}/ws?token=${of('other', 'bob')}`);
  try {
    await Promise.all([a.next('connected'), b.next('CONNECTED'), c.next('connected'), socket.until((h) => h.named('connected')[0])]);
    for (const tenant of ['purpose', 'other', 'third']) await publish(shared, of(tenant), 'goal.created', { goalId: tenant });
    assert.deepEqual(await a.next('goal-created'), { goal_id: 'purpose' });
    const envelope = await b.next('NEW_GOAL');
    assert.deepEqual([envelope.type, envelope.tenantId, envelope.data], ['NEW_GOAL', 'other', { goalId: 'other' }]);
    assert.equal((await c.next('goal.created')).data.goalId, 'third');
    await socket.send({ type: 'goal', data: { goalId: 'by socket' } });
    await b.next('NEW_GOAL', 2);
    assert.equal(a.named('goal-created').length + c.named('goal.created').length, 2);
  } finally {
    [a, b, c, socket].forEach((client) => client.close());
  }
});
