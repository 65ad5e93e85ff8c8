// Bridges by tenant where only a token says whose a request is: the room that a bridged message lacks is the tenant's,
// by POST as over WebSocket; so are the sentences of its refusals.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { curl, npmWebSocket } from '../support/clients.mjs';
import { Server } from '../support/server.mjs';
import { bearer, secret, token } from '../support/tokens.mjs';

let server;
let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'twinwire-bridges-'));
  await writeFile(join(folder, 'twinwire.toml'), `
[auth]
mode = "jwt"
algorithms = ["HS256"]
secret = "${secret}"

[bridge]
room = "everyone"

[routes]
"/type" = { choose = "isTyping", commands = { true = "typing.start", false = "typing.stop" } }

[errors]
invalid_argument = "not like this"

[tenants.acme.bridge]
room = "acme-hall"

[tenants.acme.errors]
invalid_argument = "acme says no"
`);
  server = await Server.start({ args: ['--config', join(folder, 'twinwire.toml')] });
});
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const acme = token('ann', { tenant: 'acme' });
const other = token('ann', { tenant: 'other' });

async function post(path, fields, body) {
  const response = await fetch(server.url + path, {
    method: 'POST', headers: { 'content-type': 'application/json', ...fields }, body: JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

test('a message that names no room goes to its tenant’s, over a route and over a WebSocket', async () => {
  const stream = curl(`${server.url}/events`, '-H', `Authorization: Bearer ${acme}`);
  assert.deepEqual((await stream.event('connected')).data.rooms, ['acme-hall']);
  assert.equal((await post('/send-message', bearer(acme), { text: 'by POST' })).message.room, 'acme-hall');
  const socket = npmWebSocket(`${server.wsUrl}/ws`, [], { headers: bearer(acme) });
  await socket.event('connected');
  assert.equal((await socket.command('chat', { text: 'by WebSocket' })).message.room, 'acme-hall');
  assert.deepEqual(await stream.messages(2), ['by POST', 'by WebSocket']);
  assert.equal((await post('/send-message', bearer(other), { text: 'x' })).message.room, 'everyone');
  assert.equal((await post('/send-message', bearer(acme), { text: 'x', room: 'named' })).message.room, 'named');
  stream.close();
  socket.close();
});

test('nobody’s request is refused as such, and refusals are in the tenant’s words', async () => {
  const nobody = await post('/send-message', {}, { text: 'x' });
  assert.equal(nobody.status, 401);
  assert.equal((await post('/send-message', bearer(`${acme}x`), { text: 'x' })).status, 401);
  assert.equal((await post('/send-message', bearer(acme), {})).error, 'acme says no');
  assert.equal((await post('/send-message', bearer(other), {})).error, 'not like this');
  // Refused before there is a command.
  const unfit = await post('/type', bearer(acme), { isTyping: 'perhaps' });
  assert.equal(unfit.status, 400);
  assert.equal(unfit.error, 'acme says no');
  assert.match(unfit.detail, /isTyping/);
  assert.equal((await post('/type', bearer(acme), { isTyping: true })).success, true);
});
