// QryptChat with its sessions: cookie, header, query and message, and what a request without one is told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { EventSource } from 'eventsource';

import { call, eventSource, startApp, webSocket } from '../../../support/migration.mjs';
import { now, secret, token } from '../../../support/tokens.mjs';

let server;
before(async () => {
  server = await startApp('qryptchat', {
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', secret, '--auth.cookie', 'session',
      '--auth.query_token=true'],
  });
});
after(() => server?.stop());

const paths = ['messages/send', 'messages/load', 'conversations/create', 'conversations/load', 'conversations/join',
  'typing/start', 'typing/stop'];
const names = ['CONNECTED', 'NEW_MESSAGE'];
const cookieOf = (user) => ({ cookie: `session=${token(user)}`, origin: server.url });

test('Q8 Q51 without a session every request is 401 {"error":"Unauthorized"}', async () => {
  for (const headers of [{}, { authorization: 'Bearer nonsense' }, { authorization: `Bearer ${token('ann', { exp: now() - 100 })}` }]) {
    for (const path of paths) {
      const { status, body } = await call(server, `/api/${path}`, {}, { headers });
      assert.deepEqual([path, status, body.error], [path, 401, 'Unauthorized']);
    }
    const events = await fetch(`${server.url}/api/events`, { headers });
    assert.deepEqual([events.status, (await events.json()).error], [401, 'Unauthorized']);
  }
});

test('Q9 Q50 the cookie of a page of its own opens the stream and sends', async () => {
  const headers = cookieOf('ann');
  const source = new EventSource(`${server.url}/api/events`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
  });
  try {
    const connected = await new Promise((resolve, reject) => {
      source.addEventListener('CONNECTED', (event) => resolve(JSON.parse(event.data)));
      source.addEventListener('error', reject);
    });
    assert.equal(connected.userId, 'ann');
    const made = await call(server, '/api/conversations/create', { participantIds: ['bob'] }, { headers });
    assert.equal(made.body.success, true);
    const foreign = await call(server, '/api/conversations/load', {}, { headers: { ...headers, origin: 'https://evil.example' } });
    assert.equal(foreign.status, 403);
  } finally {
    source.close();
  }
});

test('Q10 Q50 the token in the query opens the stream', async () => {
  const client = eventSource(`${server.url}/api/events?token=${token('bob')}`, names);
  const made = await call(server, '/api/conversations/create', { participantIds: ['bob'] }, { headers: { authorization: `Bearer ${token('ann')}` } });
  try {
    assert.equal((await client.next('CONNECTED')).userId, 'bob');
    await call(server, `/api/messages/send?token=${token('ann')}`, { conversationId: made.body.conversation.id, content: 'hi' });
    assert.equal((await client.next('NEW_MESSAGE')).message.sender_id, 'ann');
    assert.ok(!server.log.includes(token('bob').split('.')[2]), 'and is not in the log');
  } finally {
    client.close();
  }
});

test('X3 cookie, header, query and message say who somebody is; ?id= alone never', async () => {
  const named = await fetch(`${server.url}/api/events?id=ann`);
  assert.equal(named.status, 401);
  assert.equal((await call(server, '/api/conversations/load?id=ann', { id: 'ann' })).status, 401);
  const both = await call(server, '/api/messages/send?id=mallory', { conversationId: 'x3', content: 'me' }, { headers: cookieOf('ann') });
  assert.equal(both.body.message.sender_id, 'ann', 'the id is not looked at');
  const socket = webSocket(`${server.wsUrl}/ws?id=mallory`, { dataOf: (m) => m.payload });
  try {
    await socket.send({ type: 'auth', data: { userId: 'mallory' } });
    await socket.next('AUTH_ERROR');
    await socket.send({ type: 'auth', data: { token: token('cleo') } });
    assert.equal((await socket.next('CONNECTED')).userId, 'cleo');
  } finally {
    socket.close();
  }
});
