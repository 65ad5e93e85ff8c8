// What a stranger, a forger, a neighbour of another tenant and a foreign web page may try. Each of these has to fail
// on the real server, over the real wire.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { curl, npmWebSocket, sleep } from '../support/clients.mjs';
import { Raw } from '../support/raw.mjs';
import { bin, Server } from '../support/server.mjs';
import { bearer, command, compact, hmac, now, pair, secret, status, token } from '../support/tokens.mjs';

const run = promisify(execFile);
const apiKey = 'a backend key that nobody guesses';
const hash = createHash('sha256').update(apiKey).digest('hex');
const issuer = 'https://id.example';
const rsa = pair('RS256');
const ec = pair('ES256');
const ed = pair('EdDSA');

let server;
let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'twinwire-security-'));
  await writeFile(join(folder, 'rsa.pem'), rsa.pem);
  await writeFile(join(folder, 'keys.json'), JSON.stringify({ keys: [ec.jwk('ec-1'), ed.jwk('ed-1')] }));
  server = await Server.start({
    args: [
      '--auth.mode', 'jwt', '--auth.algorithms', 'HS256,RS256,ES256,EdDSA', '--auth.secret', secret,
      '--auth.key_files', `${join(folder, 'rsa.pem')},${join(folder, 'keys.json')}`,
      '--auth.issuer', issuer, '--auth.audience', 'chat', '--auth.leeway_seconds', '2',
      '--auth.cookie', 'session', '--auth.timeout_ms', '700', '--origins.allow', 'https://app.example,*',
      '--auth.api_keys', `name=billing tenant=acme sha256=${hash},name=reader tenant=acme rights=read rooms=news sha256=${
        createHash('sha256').update('reader key').digest('hex')}`,
      '--log.level', 'trace', '--server.shards', '2',
    ],
  });
});
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const right = { iss: issuer, aud: 'chat' };
const mine = (user, claims = {}) => token(user, { ...right, ...claims });
const feed = (credentials, query = '') =>
  curl(`${server.url}/api/events?${query}`, '-H', `Authorization: Bearer ${credentials}`);
const socket = (credentials, query = '') =>
  npmWebSocket(`${server.wsUrl}/ws?${query}`, [], credentials ? { headers: bearer(credentials) } : {});

async function refused(credentials, why) {
  const answer = await command(server, credentials, 'rooms.load');
  assert.equal(answer.status, 401, JSON.stringify(answer));
  assert.equal(answer.code, 'unauthenticated');
  assert.equal(answer.retryable, false);
  assert.match(answer.error, why);
  // On every way in.
  const fields = typeof credentials === 'string' ? bearer(credentials) : credentials;
  assert.equal(await status(server, '/api/events?rooms=lobby', fields), 401);
  assert.equal(await status(server, '/api/poll?rooms=lobby', fields), 401);
}

test('tokens of every algorithm are taken, and tell who somebody is', async () => {
  for (const text of [mine('ann'), rsa.token('ann', right), ec.token('ann', right, { kid: 'ec-1' }), ed.token('ann', right)]) {
    const answer = await command(server, text, 'messages.send', { room: 'lobby', content: 'hello' });
    assert.equal(answer.status, 200, JSON.stringify(answer));
    assert.equal(answer.message.userId, 'ann');
  }
});

test('expired, not yet valid, issued in the future', async () => {
  await refused(mine('ann', { exp: now() - 5 }), /expired/);
  await refused(mine('ann', { nbf: now() + 30 }), /not count yet/);
  await refused(mine('ann', { iat: now() + 30 }), /future/);
  assert.equal((await command(server, mine('ann', { exp: now() - 1 }), 'rooms.load')).status, 200, 'within the leeway');
});

test('forged: alg none, HS/RS confusion, another key, another issuer, another audience, unknown kid', async () => {
  const claims = { sub: 'ann', ...right, exp: now() + 60 };
  for (const alg of ['none', 'None', 'NONE', '']) {
    await refused(compact({ alg }, claims, () => ''), /do not count here/);
    await refused(compact({ alg }, claims, hmac(secret)), /do not count here/);
  }
  await refused(compact({ alg: 'HS256' }, claims, hmac(rsa.pem)), /signature/);
  await refused(compact({ alg: 'HS256', kid: 'ec-1' }, claims, hmac(JSON.stringify(ec.jwk('ec-1')))), /signature/);
  await refused(pair('RS256').token('ann', right), /signature/);
  await refused(token('ann', { ...right, iss: 'https://evil.example' }), /issuer/);
  await refused(token('ann', { aud: 'chat' }), /issuer/);
  await refused(token('ann', { iss: issuer, aud: ['other'] }), /audience/);
  await refused(ec.token('ann', right, { kid: 'ec-2' }), /not known/);
  await refused(mine(''), /names no user/);
  await refused(mine('key:billing'), /names no user/);
});

test('truncated, oversized, broken', async () => {
  const good = mine('ann');
  for (const cut of [1, 10, good.length - 5]) await refused(good.slice(0, -cut), /./);
  await refused(`${good}x`, /./);
  await refused(good.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"eve"}').toString('base64url')}.`), /signature/);
  await refused(mine('ann', { more: 'x'.repeat(9000) }), /8192/);
  await refused('nothing', /three parts/);
  await refused(mine('ann', { rooms: { lobby: ['everything'] } }), /read, write, presence, manage/);
  await refused(mine('ann', { rooms: ['lobby'] }), /object/);
});

test('a name in the query is nobody: ?id= is no identity', async () => {
  await refused({}, /token/);
  assert.equal(await status(server, '/api/events?id=ann&rooms=lobby'), 401);
  const answer = await command(server, {}, 'messages.send', { room: 'lobby', content: 'x', id: 'ann' }, { query: '?id=ann' });
  assert.equal(answer.status, 401);
});

test('a WebSocket that says nothing is closed, 4401; one that says who it is within the time is not', async () => {
  const silent = socket('');
  await silent.until((f) => f.closed, 'the close', 5000);
  assert.equal(silent.closeCode, 4401);
  const bye = silent.of('bye')[0];
  assert.equal(bye.data.code, 'unauthenticated');
  const late = socket('');
  const early = await late.command('messages.send', { room: 'lobby', content: 'x' });
  assert.equal(early.code, 'unauthenticated');
  const wrong = await late.command('auth', { token: mine('ann', { exp: now() - 9 }) });
  assert.equal(wrong.code, 'unauthenticated');
  await late.event('auth.error');
  const answer = await late.command('auth', { token: mine('ann') });
  assert.equal(answer.success, true);
  assert.equal(answer.userId, 'ann');
  assert.match(answer.expiresAt, /^20/);
  await late.event('auth.success');
  assert.equal((await late.event('connected')).data.userId, 'ann');
  await sleep(1000);
  assert.equal(late.closed, false);
  late.close();
  // Guessing has an end.
  const guesser = socket('');
  for (let i = 0; i < 5; i++) await guesser.command('auth', { token: `a.b.${i}` });
  await guesser.until((f) => f.closed, 'the close');
  assert.equal(guesser.closeCode, 4401);
  await assert.rejects(socket('a.b.c').opened, 'a token that does not count is refused before the upgrade');
  // What a proxy in front asks for is no token of ours, and the auth message may still come.
  const behind = npmWebSocket(`${server.wsUrl}/ws`, [], { headers: { authorization: 'Basic YTpi' } });
  assert.equal((await behind.command('auth', { token: mine('ann') })).success, true);
  behind.close();
});

test('a cookie counts from our own pages, and not from another Origin', async () => {
  const cookie = { cookie: `other=1; session=${mine('ann')}; more=2` };
  const own = new URL(server.url).origin;
  const send = (fields) => command(server, { ...cookie, ...fields }, 'messages.send', { room: 'lobby', content: 'x' });
  assert.equal((await send({})).status, 200);
  assert.equal((await send({ origin: own })).status, 200);
  assert.equal((await send({ origin: 'https://app.example' })).status, 200);
  // origins.allow has "*" here: without a cookie a foreign page may come, with one it may not.
  for (const fields of [{ origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }]) {
    assert.equal((await send(fields)).status, 403, JSON.stringify(fields));
    assert.equal(await status(server, '/api/events?rooms=lobby', { ...cookie, ...fields }), 403);
    assert.equal((await command(server, { ...bearer(mine('ann')), ...fields }, 'rooms.load')).status, 200);
  }
  const stolen = npmWebSocket(`${server.wsUrl}/ws`, [], { headers: { ...cookie, origin: 'https://evil.example' } });
  await assert.rejects(stolen.opened);
  const allowed = npmWebSocket(`${server.wsUrl}/ws`, [], { headers: { ...cookie, origin: 'https://app.example' } });
  assert.equal((await allowed.event('connected')).data.userId, 'ann');
  allowed.close();
  assert.equal((await send({ cookie: `sessio=${mine('ann')}` })).status, 401, 'a cookie of another name');
});

test('with "*" in origins.allow the server answers under any name; the operators\' listener and cookies do not care', async () => {
  const ask = async (port, head) => {
    const raw = await Raw.connect(port);
    try {
      raw.write(`${head}\r\n\r\n`);
      return (await raw.answer()).status;
    } finally {
      raw.close();
    }
  };
  const load = (fields) => ask(server.port, `GET /api/poll?wait=0&rooms=lobby HTTP/1.1\r\nHost: chat.example\r\n${fields}`);
  const bearing = `Authorization: Bearer ${mine('ann')}`;
  assert.equal(await load(bearing), 200);
  assert.equal(await load(`Origin: https://chat.example\r\n${bearing}`), 200);
  assert.equal(await load(`Origin: https://evil.example\r\n${bearing}`), 200);
  assert.equal(await load('Origin: https://evil.example'), 401, 'a name proves nothing');
  assert.equal(await load(`Origin: https://evil.example\r\nCookie: session=${mine('ann')}`), 403);
  const operators = Number(new URL(server.adminUrl).port);
  assert.equal(await ask(operators, 'GET /health/live HTTP/1.1\r\nHost: chat.example'), 403);
  assert.equal(await ask(operators, `GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:${operators}`), 200);
});

test('the rooms of a token, and their rights, on every command', async () => {
  const limited = mine('lim', { rooms: { 'news*': ['read'], lobby: ['read', 'write'] } });
  const codes = async (name, body) => (await command(server, limited, name, body)).code ?? 'ok';
  assert.equal(await codes('messages.send', { room: 'lobby', content: 'x' }), 'ok');
  assert.equal(await codes('messages.load', { room: 'news.today' }), 'ok');
  for (const [name, body] of [
    ['messages.send', { room: 'news', content: 'x' }], ['messages.load', { room: 'other' }],
    ['typing.start', { room: 'news' }], ['presence.list', { room: 'lobby' }], ['rooms.join', { room: 'other' }],
    ['presence.set', { room: 'lobby', state: 1 }], ['rooms.clear', { room: 'lobby' }],
    ['events.publish', { room: 'news', type: 'goal.created' }], ['events.publish', { user: 'ann', type: 'goal.created' }],
  ]) assert.equal(await codes(name, body), 'forbidden', name);
  const stream = feed(limited, 'rooms=lobby,news,other');
  const connected = await stream.event('connected');
  assert.deepEqual(connected.data.rooms.sort(), ['lobby', 'news']);
  const reset = await stream.event('reset');
  assert.deepEqual(reset.data.rooms, ['other']);
  assert.equal(reset.data.reason, 'forbidden');
  stream.close();
});

test('closed rooms: nobody finds out whether there is one, and history begins with the membership', async () => {
  const ann = mine('ann1');
  const created = await command(server, ann, 'rooms.create', { participantIds: ['bob1', 'cat1'], isGroup: true });
  const room = created.room.id;
  const said = await command(server, ann, 'messages.send', { room, content: 'secret' });
  assert.equal(said.status, 200);
  const missing = `group-${'0'.repeat(32)}`;
  const eve = mine('eve1');
  for (const [name, body] of [
    ['messages.load', {}], ['messages.load', { join: true }], ['messages.send', { content: 'x' }], ['rooms.join', {}],
    ['typing.start', {}], ['presence.list', {}], ['presence.set', { state: 1 }], ['rooms.clear', {}], ['rooms.leave', {}],
    ['events.publish', { type: 'goal.created' }], ['rooms.invite', { users: ['eve1'] }], ['rooms.remove', { user: 'bob1' }],
    ['rooms.update', { name: 'x' }], ['typing.stop', {}], ['media.set', { mic: true }], ['signal.send', { data: 1 }],
    ['signal.send', { to: 'bob1', data: 1 }], ['receipts.read', { upTo: said.eventId }],
    ['messages.edit', { messageId: said.eventId, content: 'x' }], ['messages.delete', { messageId: said.eventId }],
  ]) {
    const closed = await command(server, eve, name, { ...body, room });
    const none = await command(server, eve, name, { ...body, room: missing });
    assert.deepEqual(none, closed, name);
    if (name !== 'rooms.leave') assert.equal(closed.success, false, name);
  }
  const stream = feed(eve, `rooms=${room},${missing}&lastEventId=earliest`);
  assert.deepEqual((await stream.event('connected')).data.rooms, []);
  assert.deepEqual((await stream.event('reset')).data.rooms.sort(), [room, missing].sort());
  await command(server, ann, 'messages.send', { room, content: 'secret too' });
  await sleep(200);
  assert.deepEqual(stream.contents, []);
  stream.close();
});

test('after removal from a room nothing of it is replayed, from a cursor of before either', async () => {
  const ann = mine('ann2');
  const bob = mine('bob2');
  const { room } = await command(server, ann, 'rooms.create', { participantIds: ['bob2', 'cat2'], isGroup: true });
  const stream = feed(bob);
  await stream.event('connected');
  await command(server, ann, 'messages.send', { room: room.id, content: 'one' });
  await stream.messages(1);
  const cursor = stream.of('message.created')[0].eventId;
  const session = stream.of('connected')[0].data.sessionId;
  stream.close();
  await command(server, ann, 'messages.send', { room: room.id, content: 'two' });
  assert.equal((await command(server, bob, 'rooms.leave', { room: room.id })).left, true);
  await command(server, ann, 'messages.send', { room: room.id, content: 'three' });
  for (const query of [`lastEventId=${cursor}`, `lastEventId=${cursor}&session=${session}&rooms=${room.id}`, `lastEventId=earliest&rooms=${room.id}`]) {
    const again = feed(bob, query);
    await again.event('connected');
    await sleep(200);
    assert.deepEqual(again.contents, [], query);
    again.close();
  }
  assert.equal((await command(server, bob, 'messages.load', { room: room.id })).code, 'forbidden');
});

test('who is invited to a closed room reads nothing from before, on any stream; who is removed nothing from after', async () => {
  const ann = mine('ann5');
  const { room } = await command(server, ann, 'rooms.create', { participantIds: ['bob5', 'cat5'], isGroup: true });
  await command(server, ann, 'messages.send', { room: room.id, content: 'before' });
  const dan = mine('dan5');
  assert.deepEqual((await command(server, ann, 'rooms.invite', { room: room.id, users: ['dan5'] })).added, ['dan5']);
  await command(server, ann, 'messages.send', { room: room.id, content: 'since' });
  for (const query of ['lastEventId=earliest', 'history=50', `lastEventId=earliest&rooms=${room.id}`]) {
    const stream = feed(dan, query);
    await stream.messages(1);
    await sleep(200);
    assert.deepEqual(stream.contents, ['since'], query);
    stream.close();
    const ws = socket(dan, query);
    await ws.messages(1);
    await sleep(200);
    assert.deepEqual(ws.contents, ['since'], `WebSocket ${query}`);
    ws.close();
  }
  const poll = await (await fetch(`${server.url}/api/poll?lastEventId=earliest&wait=1`, { headers: bearer(dan) })).json();
  assert.deepEqual(poll.events.filter((e) => e.type === 'message.created').map((e) => e.data.message.content), ['since']);
  const loaded = await command(server, dan, 'messages.load', { room: room.id });
  assert.deepEqual(loaded.messages.map((m) => m.content), ['since']);

  const watching = feed(dan);
  await watching.event('connected');
  assert.equal((await command(server, ann, 'rooms.remove', { room: room.id, user: 'dan5' })).removed, true);
  await command(server, ann, 'messages.send', { room: room.id, content: 'after' });
  const reset = await watching.event('reset');
  assert.equal(reset.data.reason, 'forbidden');
  await sleep(200);
  assert.deepEqual(watching.contents, []);
  watching.close();
  const again = feed(dan, 'lastEventId=earliest');
  await again.event('connected');
  await sleep(200);
  assert.deepEqual(again.contents, []);
  again.close();
});

test("somebody else's session and cursor open nothing", async () => {
  const ann = mine('ann3');
  const victim = feed(ann, 'rooms=own3');
  const { sessionId } = (await victim.event('connected')).data;
  const { room } = await command(server, ann, 'rooms.create', { participantIds: ['bob3'] });
  await command(server, ann, 'messages.send', { room: room.id, content: 'private' });
  await victim.messages(1);
  const cursor = victim.of('connected')[0].data.lastEventId;
  const eve = mine('eve3');
  const thief = feed(eve, `session=${sessionId}&lastEventId=${cursor}`);
  const connected = await thief.event('connected');
  assert.notEqual(connected.data.sessionId, sessionId);
  assert.equal(connected.data.userId, 'eve3');
  assert.equal((await command(server, eve, 'session.info', {}, { headers: { 'twinwire-session': sessionId } })).code, 'not_found');
  assert.equal((await command(server, eve, 'auth.refresh', {}, { headers: { 'twinwire-session': sessionId } })).code, 'forbidden');
  assert.equal((await command(server, eve, 'messages.load', { room: room.id, join: true }, { headers: { 'twinwire-session': sessionId } })).success, false);
  await sleep(200);
  assert.deepEqual(thief.contents, []);
  assert.equal(victim.of('bye').length, 0, 'the victim goes on');
  assert.equal(victim.of('auth.error').length, 0, 'and hears nothing of it');
  victim.close();
  thief.close();
});

test('tenants see nothing of each other: history, presence, rooms, direct rooms, sessions, inboxes', async () => {
  const acme = (user) => mine(user, { tenant: 'acme' });
  const rival = (user) => mine(user, { tenant: 'rival' });
  const sent = await command(server, acme('ann'), 'messages.send', { room: 'plans', content: 'acme only', clientId: 'k1' });
  assert.equal(sent.status, 200);
  const stream = feed(acme('ann'), 'rooms=plans');
  const { sessionId, lastEventId } = (await stream.event('connected')).data;
  assert.equal(stream.of('connected')[0].tenantId, 'acme');
  const other = feed(rival('ann'), `rooms=plans&session=${sessionId}&lastEventId=earliest`);
  assert.notEqual((await other.event('connected')).data.sessionId, sessionId);
  assert.deepEqual((await command(server, rival('ann'), 'messages.load', { room: 'plans' })).messages, []);
  assert.deepEqual((await command(server, rival('ann'), 'messages.load', { room: 'plans', after: lastEventId })).messages, []);
  await sleep(1300);
  const present = await command(server, rival('bob'), 'presence.list', { room: 'plans' });
  assert.deepEqual(present.users.map((u) => u.userId), ['ann'], "rival's own ann alone");
  // The same clientId of the same names is another tenant's, not a retry.
  const again = await command(server, rival('ann'), 'messages.send', { room: 'plans', content: 'rival', clientId: 'k1' });
  assert.equal(again.duplicate, undefined);
  const direct = await command(server, acme('ann'), 'rooms.create', { participantIds: ['bob'] });
  const theirs = await command(server, rival('ann'), 'rooms.create', { participantIds: ['bob'] });
  assert.notEqual(direct.room.id, theirs.room.id);
  await command(server, acme('ann'), 'messages.send', { room: direct.room.id, content: 'direct' });
  assert.equal((await command(server, rival('ann'), 'messages.load', { room: direct.room.id })).code, 'forbidden');
  const rooms = (await command(server, rival('ann'), 'rooms.load')).rooms.map((room) => room.id);
  assert.deepEqual(rooms, [theirs.room.id]);
  // Whoever knows the names and ids of the other tenant gets no further with them.
  for (const [name, body] of [
    ['messages.edit', { messageId: sent.eventId, content: 'x' }], ['messages.delete', { messageId: sent.eventId }],
    ['messages.load', { before: sent.eventId }], ['receipts.read', { upTo: sent.eventId }],
    ['messages.edit', { room: direct.room.id, messageId: sent.eventId, content: 'x' }],
    ['rooms.invite', { room: direct.room.id, users: ['eve'] }], ['rooms.remove', { room: direct.room.id, user: 'bob' }],
    ['receipts.read', { room: direct.room.id, upTo: sent.eventId }], ['presence.list', { room: direct.room.id }],
    ['signal.send', { room: direct.room.id, data: 1 }], ['typing.start', { room: direct.room.id }],
    ['messages.load', { room: direct.room.id, join: true }], ['rooms.join', { room: direct.room.id }],
  ]) {
    const answer = await command(server, rival('ann'), name, { room: 'plans', ...body }, { headers: { 'twinwire-session': sessionId } });
    const nothing = answer.success && (answer.messages?.length === 0 || name === 'receipts.read');
    assert.ok(nothing || ['forbidden', 'not_found'].includes(answer.code) || body.join, `${name} ${JSON.stringify(answer)}`);
  }
  // What is fleeting stays inside too: typing, states, media, receipts, signals.
  const before = other.events.length;
  const live = socket(acme('bob'), 'rooms=plans');
  await live.event('connected');
  for (const [name, body] of [
    ['typing.start', {}], ['presence.set', { state: 'acme state' }], ['media.set', { mic: true }],
    ['receipts.read', { upTo: sent.eventId }], ['signal.send', { data: 'acme signal' }], ['signal.send', { to: 'ann', data: 'acme too' }],
  ]) assert.equal((await live.command(name, { room: 'plans', ...body })).success, true, name);
  await stream.event('signal', 2);
  await stream.event('media.state');
  await stream.event('typing');
  await stream.event('receipt.read');
  await sleep(200);
  const leaked = other.events.slice(before).filter((e) => e.type !== 'presence.diff' && e.userId !== 'ann');
  assert.deepEqual(leaked, []);
  assert.equal((await command(server, rival('ann'), 'presence.list', { room: 'plans' })).users.some((u) => u.userId === 'bob'), false);
  live.close();
  // A backend's key reaches its own tenant alone.
  const key = { 'x-api-key': apiKey };
  assert.equal((await command(server, key, 'events.publish', { user: 'ann', type: 'goal.created', data: { n: 1 } })).status, 200);
  assert.equal((await command(server, bearer(apiKey), 'events.publish', { room: 'plans', type: 'goal.created' })).status, 200);
  await stream.event('goal.created', 2);
  await sleep(200);
  assert.equal(other.of('goal.created').length, 0);
  assert.ok(!other.contents.includes('acme only') && !other.contents.includes('direct'));
  assert.ok(!stream.contents.includes('rival'));
  // What operators see can be kept to one tenant.
  const seen = await (await server.admin('/admin/sessions?tenant=rival')).json();
  assert.ok(seen.sessions.length > 0);
  assert.ok(seen.sessions.every((one) => one.tenant === 'rival'));
  const seenRooms = await (await server.admin('/admin/rooms?tenant=acme')).json();
  assert.ok(seenRooms.rooms.length > 0 && seenRooms.rooms.every((one) => one.tenant === 'acme'));
  const numbers = (await (await server.admin('/admin/stats?tenant=rival')).json()).tenant;
  assert.deepEqual(numbers.streams, { sse: 1, ws: 0, poll: 0 });
  assert.ok(numbers.published >= 2 && numbers.refused >= 10, JSON.stringify(numbers));
  assert.equal(numbers.delivered, other.events.filter((e) => e.eventId).length, 'what its one stream has got');
  const missing = await (await server.admin('/admin/room?room=direct-0&tenant=rival')).json();
  assert.equal(missing.code, 'not_found');
  // Refused commands leave no more than a name there.
  const tried = (await (await server.admin(`/admin/room?room=${direct.room.id}&tenant=rival`)).json()).room;
  assert.deepEqual([tried.members, tried.published, tried.lastEventId], [0, 0, null]);
  stream.close();
  other.close();
});

test('keys of backends: kept to their rooms and rights, nobody in particular, no streams', async () => {
  await refused({ 'x-api-key': 'not a key' }, /auth.api_keys/);
  const key = { 'x-api-key': apiKey };
  assert.equal((await command(server, key, 'typing.start', { room: 'plans' })).code, 'forbidden');
  assert.equal(await status(server, '/api/events?rooms=plans', key), 403);
  const reader = { 'x-api-key': 'reader key' };
  assert.equal((await command(server, reader, 'messages.load', { room: 'news' })).status, 200);
  assert.equal((await command(server, reader, 'messages.load', { room: 'plans' })).code, 'forbidden');
  assert.equal((await command(server, reader, 'events.publish', { room: 'news', type: 'goal.created' })).code, 'forbidden');
});

test('a backend creates rooms for users, if it may manage them', async () => {
  const acme = (user) => mine(user, { tenant: 'acme' });
  const stream = feed(acme('ann9'));
  await stream.event('connected');
  const key = { 'x-api-key': apiKey };
  const made = await command(server, key, 'rooms.create', { participantIds: ['ann9', 'bob9', 'cat9'], name: 'case 9', clientId: 'case-9' });
  assert.equal(made.status, 200, JSON.stringify(made));
  assert.deepEqual(made.room.participants.map((one) => one.userId), ['ann9', 'bob9', 'cat9']);
  assert.equal(made.room.createdBy, 'key:billing');
  assert.equal((await stream.event('room.created')).data.room.id, made.room.id);
  assert.equal((await command(server, acme('bob9'), 'messages.send', { room: made.room.id, content: 'hello' })).status, 200);
  assert.deepEqual(await stream.messages(1), ['hello']);
  assert.equal((await command(server, mine('ann9', { tenant: 'rival' }), 'messages.load', { room: made.room.id })).code, 'forbidden');
  assert.equal((await command(server, { 'x-api-key': 'reader key' }, 'rooms.create', { participantIds: ['ann9', 'bob9'] })).code, 'forbidden');
  stream.close();
});

test('refresh on a live stream of either kind; without it the end, 4401', async () => {
  const short = (user) => mine(user, { exp: now() + 4 });
  const brought = short('polls');
  const polls = (query) => fetch(`${server.url}/api/poll?rooms=quiet&${query}`, { headers: bearer(brought) }).then((r) => r.json());
  const opened = await polls('wait=0');
  const told = polls(`wait=20&session=${opened.sessionId}&lastEventId=${opened.lastEventId}`);
  const sse = feed(short('ref'), 'rooms=refresh');
  const ws = socket(short('ref'), 'rooms=refresh');
  const lost = socket(short('lost'), 'rooms=refresh');
  const { sessionId } = (await sse.event('connected')).data;
  await ws.event('connected');
  await sse.event('auth.expiring');
  await ws.event('auth.expiring');
  // A poll that waits is answered with it, and the next is not told again.
  const answered = await told;
  assert.deepEqual(answered.events.map((e) => e.type), ['auth.expiring']);
  assert.match(answered.events[0].data.expiresAt, /^20/);
  assert.equal(answered.events[0].eventId, undefined);
  const next = await polls(`wait=1&session=${answered.sessionId}&lastEventId=${answered.lastEventId}`);
  assert.deepEqual(next.events, []);
  // Another user's token refreshes nothing.
  assert.equal((await ws.command('auth', { token: mine('eve') })).code, 'forbidden');
  await ws.event('auth.error');
  const renewed = await ws.command('auth.refresh', { token: mine('ref') });
  assert.equal(renewed.success, true);
  assert.equal(renewed.userId, 'ref');
  const posted = await command(server, {}, 'auth.refresh', { token: mine('ref'), session: sessionId });
  assert.equal(posted.status, 200, JSON.stringify(posted));
  assert.equal(posted.userId, 'ref');
  await sse.event('auth.success');
  await ws.event('auth.success');
  await lost.until((f) => f.closed, 'the end of the token');
  assert.equal(lost.closeCode, 4401);
  assert.equal(lost.of('bye')[0].data.code, 'unauthenticated');
  await sleep(1500);
  await command(server, mine('ref2'), 'messages.send', { room: 'refresh', content: 'after' });
  assert.deepEqual(await sse.messages(1), ['after']);
  assert.deepEqual(await ws.messages(1), ['after']);
  sse.close();
  ws.close();
});

test('a revoked user is ended everywhere, and comes back only with a newer token', async () => {
  const old = mine('rev', { iat: now() - 5 });
  const streams = [feed(old, 'rooms=revoked'), socket(old, 'rooms=revoked')];
  const neighbour = feed(mine('rev', { tenant: 'rival' }), 'rooms=revoked');
  for (const stream of [...streams, neighbour]) await stream.event('connected');
  const answer = await (
    await server.admin('/admin/revoke', { method: 'POST', body: JSON.stringify({ user: 'rev' }) })
  ).json();
  assert.equal(answer.success, true);
  assert.match(answer.eventId, /^[0-9a-f]{12}-[0-9a-f]{14}$/);
  for (const stream of streams) assert.equal((await stream.event('bye')).data.code, 'unauthenticated');
  await command(server, mine('other'), 'messages.send', { room: 'revoked', content: 'after' });
  await refused(old, /revoked/);
  await sleep(1100);
  assert.deepEqual(streams[0].contents, []);
  assert.equal(neighbour.closed, false);
  assert.equal((await command(server, mine('rev'), 'rooms.load')).status, 200);
  // It holds over a restart.
  await server.restart();
  await refused(old, /revoked/);
  assert.equal((await command(server, mine('rev'), 'rooms.load')).status, 200);
  const kicked = socket(mine('kick'), '');
  await kicked.event('connected');
  await server.admin('/admin/kick', { method: 'POST', body: JSON.stringify({ user: 'kick' }) });
  assert.equal((await kicked.event('bye')).data.code, 'kicked');
});

test('the operators’ listener: nothing without the token, and no browser page', async () => {
  for (const path of ['/metrics', '/admin/stats', '/admin/rooms', '/admin/sessions', '/admin/tail?room=lobby']) {
    assert.equal((await fetch(server.adminUrl + path)).status, 401, path);
    assert.equal((await fetch(server.adminUrl + path, { headers: bearer(mine('ann')) })).status, 401, path);
    assert.equal((await fetch(server.adminUrl + path, { headers: bearer(apiKey) })).status, 401, path);
  }
  for (const path of ['/admin/revoke', '/admin/kick', '/admin/publish'])
    assert.equal((await fetch(server.adminUrl + path, { method: 'POST', body: '{"user":"ann"}' })).status, 401, path);
  assert.equal((await server.admin('/admin/stats', { headers: { origin: 'https://evil.example' } })).status, 403);
  assert.equal((await server.admin('/admin/revoke')).status, 405);
});

test('tokens in the query count only where they are allowed, and are in no log', async () => {
  const text = mine('ann');
  assert.equal(await status(server, `/api/events?token=${text}`), 401);
  const allowing = await Server.start({
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', secret, '--auth.query_token', 'true', '--log.level', 'trace'],
  });
  try {
    const stream = curl(`${allowing.url}/api/events?rooms=lobby&token=${text}`);
    assert.equal((await stream.event('connected')).data.userId, 'ann');
    await fetch(`${allowing.url}/api/nothing?token=${text}`);
    await fetch(`${allowing.url}/api/events?token=${text}x`);
    await command(allowing, {}, 'messages.send', { nothing: 1 }, { query: `?token=${text}` });
    const shown = [];
    for (const path of ['/admin/sessions', '/admin/stats', '/metrics', '/admin/rooms'])
      shown.push(await (await allowing.admin(path)).text());
    stream.close();
    process.kill(allowing.pid, 'SIGHUP');
    await sleep(200);
    await allowing.end();
    const signature = text.split('.')[2];
    for (const out of [allowing.log, ...shown, server.log]) assert.ok(!out.includes(signature), 'a token was shown');
    assert.ok(!allowing.log.includes(secret));
    assert.match(allowing.log, /SIGHUP/);
  } finally {
    await allowing.stop();
  }
});

test('SIGHUP: keys are changed, a broken file keeps the old ones and says so', async () => {
  const next = pair('RS256');
  await refused(next.token('ann', right), /signature/);
  await writeFile(join(folder, 'rsa.pem'), 'broken');
  process.kill(server.pid, 'SIGHUP');
  await until(() => server.log.includes('stay as they were'));
  assert.equal((await command(server, rsa.token('ann', right), 'rooms.load')).status, 200);
  await writeFile(join(folder, 'new.pem'), next.pem);
  await rename(join(folder, 'new.pem'), join(folder, 'rsa.pem'));
  process.kill(server.pid, 'SIGHUP');
  await until(() => server.log.includes('are as configured now'));
  assert.equal((await command(server, next.token('ann', right), 'rooms.load')).status, 200);
  await refused(rsa.token('ann', right), /signature/);
});

async function until(check) {
  for (let i = 0; i < 100 && !check(); i++) await sleep(50);
  assert.ok(check(), check.toString());
}

test('a foreign web page cannot drive a server of mode none on the visitor’s machine', async () => {
  const open = await Server.start();
  try {
    const body = { room: 'lobby', content: 'x' };
    const fields = { origin: 'https://evil.example' };
    assert.equal((await command(open, fields, 'messages.send', body, { query: '?id=eve' })).status, 403);
    assert.equal((await command(open, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 'messages.send', body, { query: '?id=eve' })).status, 403);
    assert.equal(await status(open, '/api/events?id=eve', fields), 403);
    const page = npmWebSocket(`${open.wsUrl}/ws?id=eve`, [], { headers: fields });
    await assert.rejects(page.opened);
    // A name that the page's owner makes point to 127.0.0.1.
    await assert.rejects(run('curl', ['-sf', '-H', 'Host: evil.example', `${open.url}/api/poll?id=eve&wait=0`]), { code: 22 });
    assert.equal((await command(open, {}, 'messages.send', body, { query: '?id=key:billing' })).status, 400);
  } finally {
    await open.stop();
  }
});

test('twinwire token mints what the server takes; check-config says what is missing', async () => {
  const settings = ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256,ES256', '--auth.secret', secret, '--auth.issuer', issuer, '--auth.audience', 'chat'];
  const twinwire = (...words) => run(join(bin, 'twinwire'), words);
  const minted = (await twinwire('token', '--sub', 'dev', '--tenant', 'acme', '--rooms', 'lobby=read,write', '--rooms', 'n*=read', '--ttl', '2m', ...settings, '--auth.key_files', join(folder, 'keys.json'))).stdout.trim();
  const claims = JSON.parse(Buffer.from(minted.split('.')[1], 'base64url'));
  assert.deepEqual(claims.rooms, { lobby: ['read', 'write'], 'n*': ['read'] });
  assert.equal(claims.exp - claims.iat, 120);
  assert.equal((await command(server, minted, 'messages.send', { room: 'lobby', content: 'x' })).status, 200);
  assert.equal((await command(server, minted, 'messages.send', { room: 'news', content: 'x' })).code, 'forbidden');
  await writeFile(join(folder, 'private.pem'), ec.privatePem);
  const signed = (await twinwire('token', '--sub', 'dev', '--key', join(folder, 'private.pem'), '--kid', 'ec-1', ...settings, '--auth.key_files', join(folder, 'keys.json'))).stdout.trim();
  assert.equal((await command(server, signed, 'rooms.load')).status, 200);
  const wrong = async (words, why) => {
    const failed = await twinwire(...words).then(() => null, (error) => error);
    assert.ok(failed, words.join(' '));
    assert.match(failed.stderr, why);
    assert.ok(!failed.stderr.includes(secret));
  };
  await wrong(['check-config', '--auth.mode', 'jwt'], /needs auth.algorithms/);
  await wrong(['check-config', '--auth.mode', 'jwt', '--auth.algorithms', 'ES256', '--auth.key_files', join(folder, 'none')], /cannot read/);
  await wrong(['check-config', '--auth.mode', 'jwt', '--auth.algorithms', 'none', '--auth.secret', secret], /HS256, RS256/);
  await wrong(['check-config', '--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', 'short'], /32 bytes/);
  await wrong(['check-config', '--auth.mode', 'jwt', '--auth.algorithms', 'ES256', '--auth.secret', secret], /no key for it/);
  await wrong(['check-config', '--auth.api_keys', 'name=x sha256=12'], /64 hex digits/);
  await wrong(['token', '--sub', 'dev', '--ttl', 'soon', ...settings], /--ttl/);
  const printed = (await twinwire('print-config', '--auth.secret', secret)).stdout;
  assert.ok(!printed.includes(secret));
});
