// Parity by construction: every command that /api/schema names is run with good, bad, missing, forbidden and oversized
// input over POST (naming the session of an SSE stream) and over WebSocket, each on a server of its own with the same
// past; answers, errors and the events that follow are compared byte for byte, ids and times apart. A command without
// inputs here fails the test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import NpmWebSocket from 'ws';

import { post, sleep } from '../support/clients.mjs';
import { Server } from '../support/server.mjs';
import { bearer, compact, hmac, now, secret, token } from '../support/tokens.mjs';

const nobody = 'concerns nobody but the user';
// Of each command: inputs that succeed, in this order, as ann, who made the group `g`; inputs that are refused although
// each parameter has the right form; and inputs that eve, who is in none of the rooms, is refused as `forbidden`.
const inputs = {
  'messages.send': {
    good: [
      (c) => ({ room: c.g, content: 'said' }),
      (c) => ({ conversationId: c.g, content: 'é "\\\n😀', ack: 'accepted', clientId: 'p1', replyTo: c.mine }),
      (c) => ({ room: c.g, content: 'é "\\\n😀', ack: 'stored', clientId: 'p1', replyTo: c.mine }),
      (c) => ({ room: c.g, fileUrl: 'https://x/y', fileName: 'y', fileSize: 3, exclude: 'connection' }),
    ],
    bad: [(c) => ({ room: c.g }), (c) => ({ room: c.g, content: 'other', clientId: 'p1' })],
    forbidden: [(c) => ({ room: c.g, content: 'let me in' }), (c) => ({ room: 'group-0', content: 'is there one?' })],
  },
  'messages.load': {
    good: [
      (c) => ({ room: c.g, limit: 3 }),
      (c) => ({ room: c.g, before: c.mine }),
      (c) => ({ room: c.g, after: '2020-01-01T00:00:00Z', limit: 2 }),
      () => ({ room: 'nothing was said here' }),
    ],
    bad: [(c) => ({ room: c.g, before: 'yesterday' })],
    forbidden: [(c) => ({ room: c.g })],
  },
  'messages.edit': {
    good: [
      (c) => ({ room: c.g, messageId: c.mine, content: 'edited' }),
      (c) => ({ room: c.g, messageId: c.theirs, encryptedContent: 'by the manager', clientId: 'e1' }),
      (c) => ({ room: c.g, messageId: c.theirs, encryptedContent: 'by the manager', clientId: 'e1' }),
    ],
    bad: [
      (c) => ({ room: c.g, messageId: c.mine }),
      (c) => ({ room: c.g, messageId: '000000000000-00000000000001', content: 'x' }),
      (c) => ({ room: c.d, messageId: c.inDirect, content: 'of bob' }),
    ],
    forbidden: [(c) => ({ room: c.g, messageId: c.mine, content: 'x' })],
  },
  'messages.delete': {
    good: [(c) => ({ room: c.g, messageId: c.theirs })],
    bad: [(c) => ({ room: c.g, messageId: c.theirs }), (c) => ({ room: c.d, messageId: c.inDirect })],
    forbidden: [(c) => ({ room: c.g, messageId: c.mine })],
  },
  'events.publish': {
    good: [
      (c) => ({ room: c.g, type: 'goal.created', data: { a: [1, null, { b: 'x' }] } }),
      (c) => ({ room: c.g, type: 'goal.created', ephemeral: true }),
      () => ({ user: 'ann', type: 'note.to-self', data: 'x' }),
      (c) => [{ room: c.g, type: 'one' }, { room: c.g, type: 'two', data: 2 }],
    ],
    bad: [
      (c) => ({ room: c.g, user: 'ann', type: 'x' }),
      () => ({ type: 'x' }),
      (c) => ({ room: c.g, type: 'message.created' }),
      (c) => [{ room: c.g, type: 'three' }, { room: c.g, type: 'not a type' }, 7],
      () => [],
      (c) => Array(257).fill({ room: c.g, type: 'x' }),
    ],
    forbidden: [(c) => ({ room: c.g, type: 'x' })],
  },
  'rooms.create': {
    good: [
      () => ({ participantIds: ['bob'] }),
      () => ({ participantIds: ['bob', 'cat', 'bob'], name: 'a group', clientId: 'r1' }),
      () => ({ participantIds: ['bob', 'cat'], name: 'a group', clientId: 'r1' }),
      () => ({ open: true, name: 'opened' }),
    ],
    bad: [
      () => ({ participantIds: [] }),
      () => ({ participantIds: ['ann'] }),
      () => ({ open: true }),
      () => ({ open: true, name: 'group-mine' }),
    ],
    forbidden: nobody,
  },
  'rooms.load': { good: [() => ({})], bad: nobody, forbidden: nobody },
  'rooms.join': {
    good: [() => ({ room: 'joined' }), () => ({ room: 'joined' }), (c) => ({ room: c.g })],
    bad: nobody,
    forbidden: [(c) => ({ room: c.g }), () => ({ room: 'direct-0' })],
  },
  'rooms.leave': {
    good: [() => ({ room: 'joined' }), () => ({ room: 'joined' })],
    bad: nobody,
    forbidden: nobody,
  },
  'rooms.invite': {
    good: [(c) => ({ room: c.g, users: ['dan', 'bob'] }), (c) => ({ room: c.g, users: ['dan'] })],
    bad: [(c) => ({ room: c.g, users: [] }), (c) => ({ room: c.d, users: ['dan'] })],
    forbidden: [(c) => ({ room: c.g, users: ['eve'] })],
  },
  'rooms.remove': {
    good: [(c) => ({ room: c.g, user: 'dan' })],
    bad: [(c) => ({ room: c.g, user: 'dan' }), (c) => ({ room: c.d, user: 'bob' })],
    forbidden: [(c) => ({ room: c.g, user: 'bob' })],
  },
  'rooms.update': {
    good: [(c) => ({ room: c.g, name: 'renamed' }), (c) => ({ room: c.g, history: 'full' })],
    bad: [(c) => ({ room: c.g }), (c) => ({ room: c.d, name: 'x' }), () => ({ room: 'lobby', history: 'full' })],
    forbidden: [(c) => ({ room: c.g, name: 'mine' })],
  },
  'rooms.clear': { good: [(c) => ({ room: c.h })], bad: nobody, forbidden: [(c) => ({ room: c.g })] },
  'typing.start': { good: [(c) => ({ room: c.g })], bad: nobody, forbidden: [(c) => ({ room: c.g })] },
  'typing.stop': { good: [(c) => ({ room: c.g })], bad: nobody, forbidden: [(c) => ({ room: c.g })] },
  'presence.list': { good: [(c) => ({ room: c.g })], bad: nobody, forbidden: [(c) => ({ room: c.g })] },
  'presence.set': {
    good: [(c) => ({ room: c.g, state: { away: true } })],
    bad: [(c) => ({ room: c.g, state: 'x'.repeat(1100) }), () => ({ room: 'nobody is here', state: 1 })],
    forbidden: [(c) => ({ room: c.g, state: 1 })],
  },
  'receipts.delivered': {
    good: [(c) => ({ room: c.g, upTo: c.theirs }), (c) => ({ room: c.g, upTo: c.mine })],
    bad: [(c) => ({ room: c.g, upTo: '000000000000-00000000000001' })],
    forbidden: [(c) => ({ room: c.g, upTo: c.mine })],
  },
  'receipts.read': {
    good: [(c) => ({ room: c.g, upTo: c.mine })],
    bad: [(c) => ({ room: c.g, upTo: `${c.mine.slice(0, 13)}ffffffffffffff` })],
    forbidden: [(c) => ({ room: c.g, upTo: c.mine })],
  },
  'media.set': {
    good: [(c) => ({ room: c.g, camera: true, mic: true }), (c) => ({ room: c.g, camera: false }), (c) => ({ room: c.g })],
    bad: [() => ({ room: 'nobody is here', mic: true })],
    forbidden: [(c) => ({ room: c.g, mic: true })],
  },
  'signal.send': {
    good: [
      (c) => ({ room: c.g, data: { to: 'all' } }),
      (c) => ({ room: c.g, to: 'bob', data: [1] }),
      () => ({ to: 'bob', data: false, unknown: 1 }),
      (c) => ({ room: c.g, to: 'cat', data: 'nobody listens' }),
    ],
    bad: [() => ({ data: 1 }), (c) => ({ room: c.g, to: 'eve', data: 1 })],
    forbidden: [(c) => ({ room: c.g, data: 1 }), () => ({ to: 'bob', data: 1 })],
  },
  // Over a WebSocket its parameters are the identity itself, over POST the request carries that: what is wrong with
  // tokens has a test of its own below.
  'auth.refresh': { good: [() => ({ userId: 'ann' })], bad: nobody, forbidden: nobody, identity: true },
  'session.info': { good: [() => ({})], bad: nobody, forbidden: nobody },
};

// Ids by the order in which they appear, times by being times.
class Naming {
  #names = new Map();
  plain(text) {
    return text
      .replace(/\b(?:group|direct)-[0-9a-f]{32}\b|\b[0-9a-f]{12}-[0-9a-f]{14}\b|\b[0-9a-f]{32}\b/g, (id) => {
        if (!this.#names.has(id)) this.#names.set(id, `<${this.#names.size}>`);
        return this.#names.get(id);
      })
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>');
  }
}

// When presence is told, and whether a stream had to come back to the live end and is told the state of its rooms
// (without an eventId), is a matter of milliseconds.
const untimely = (text) =>
  /"type":"presence\.(joined|left|diff)"/.test(text) || /^\{"type":"(typing|presence\.diff|media\.state|receipt\.diff)"/.test(text);

// A stream as the texts that came, and the commands of its user.
class Stream {
  texts = [];
  async until(find, what) {
    for (let waited = 0; waited < 15000; waited += 5) {
      const found = find(this.texts);
      if (found) return found;
      await sleep(5);
    }
    throw new Error(`waited for ${what}; ${this.texts.slice(-3).join('\n')}`);
  }
  start() {
    return this.until((texts) => texts.find((text) => text.includes('"type":"connected"')), 'connected');
  }
}

class OverWebSocket extends Stream {
  #next = 0;
  constructor(server, user, rooms, headers = {}) {
    super();
    this.socket = new NpmWebSocket(`${server.wsUrl}/ws?id=${user}&rooms=${rooms}`, { headers });
    this.socket.on('message', (data) => this.texts.push(data.toString()));
    this.socket.on('error', () => {});
  }
  async command(name, data) {
    const head = `{"type":"reply","id":"n${++this.#next}",`;
    this.socket.send(JSON.stringify({ type: name, id: `n${this.#next}`, data }));
    const reply = await this.until((texts) => texts.find((text) => text.startsWith(head)), `the reply to ${name}`);
    return `{${reply.slice(head.length)}`;
  }
  get events() {
    return this.texts.filter((text) => !text.startsWith('{"type":"reply"'));
  }
  close() {
    this.socket.terminate();
  }
}

class OverPost extends Stream {
  #abort = new AbortController();
  constructor(server, user, rooms, headers = {}) {
    super();
    Object.assign(this, { server, user });
    this.reading = this.#read(`${server.url}/api/events?id=${user}&rooms=${rooms}`, headers);
  }
  async #read(url, headers) {
    try {
      const response = await fetch(url, { headers, signal: this.#abort.signal });
      let rest = '';
      for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + bytes).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line.startsWith('data: ')) this.texts.push(line.slice(6));
      }
    } catch {
      // closed by the test
    }
  }
  async command(name, data) {
    const { sessionId } = JSON.parse(this.texts[0]).data;
    const response = await fetch(`${this.server.url}/api/${name.replace('.', '/')}?id=${this.user}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'twinwire-session': sessionId },
      body: JSON.stringify(data),
    });
    const text = await response.text();
    const answer = JSON.parse(text);
    const expected = answer.success ? 200 : this.statuses[answer.code].status;
    assert.equal(response.status, expected, `${name}: ${text}`);
    return text;
  }
  get events() {
    return this.texts;
  }
  close() {
    this.#abort.abort();
  }
}

// Wrong, missing and oversized input, made from the schema.
function generated(name, { properties, required = [] }, defs) {
  const cases = [];
  const right = {};
  const value = (schema) => {
    if (schema.$ref) return '000000000000-00000000000001';
    if (schema.enum) return schema.enum[0];
    if (schema.type === 'integer') return 1;
    if (schema.type === 'boolean') return true;
    if (schema.type === 'array') return ['x'];
    return schema.type === 'string' ? 'x' : {};
  };
  for (const parameter of required) right[parameter] = value(properties[parameter]);
  for (const parameter of required) {
    const { [parameter]: _, ...rest } = right;
    cases.push([`missing ${parameter}`, rest]);
    // Where any JSON is asked for, null is one.
    const any = !properties[parameter].type && !properties[parameter].$ref && !properties[parameter].enum;
    if (!any) cases.push([`${parameter} null`, { ...rest, [parameter]: null }]);
  }
  for (const [parameter, schema] of Object.entries(properties)) {
    const wrong = (what, bad) => cases.push([`${parameter} ${what}`, { ...right, [parameter]: bad }]);
    const shape = schema.$ref ? defs[schema.$ref.split('/').pop()] : schema;
    if (!shape.type) continue; // any JSON
    wrong('of another type', shape.type === 'string' ? 7 : 'text');
    wrong('an object', { a: 1 });
    if (shape.enum) wrong('no word of it', 'another');
    if (shape.minLength) wrong('empty', '');
    if (shape.maximum) wrong('too great', shape.maximum + 1);
    if (shape.maxItems) wrong('too many', Array(shape.maxItems + 1).fill('x'));
    if (shape.pattern) wrong('of another form', 'é!'.repeat(40));
    if (shape.maxLength && shape.maxLength < 60000) wrong('too long', 'x'.repeat(shape.maxLength + 1));
  }
  assert.ok(cases.length > 0 || Object.keys(properties).length === 0, name);
  return cases;
}

// What the answer holds is what the schema says.
function conforms(name, answer, { properties, required }) {
  for (const key of Object.keys(answer)) assert.ok(properties[key], `${name} answers ${key}, which the schema does not know`);
  for (const key of required) assert.ok(key in answer, `${name} answers without ${key}`);
}

async function world(Carrier, schema) {
  const server = await Server.start({ args: ['--shards', '1', '--presence.diff_ms', '50'] });
  const open = [];
  const stream = async (Kind, user) => {
    const made = new Kind(server, user, 'lobby');
    made.statuses = schema.errors;
    open.push(made);
    await made.start();
    return made;
  };
  const did = async (user, command, body) => {
    const answer = await post(server, user, command, body);
    assert.equal(answer.success, true, JSON.stringify(answer));
    return answer;
  };
  try {
    const c = {};
    c.g = (await did('ann', 'rooms.create', { participantIds: ['bob', 'cat'], name: 'g' })).room.id;
    c.h = (await did('ann', 'rooms.create', { participantIds: ['bob'], isGroup: true, name: 'h' })).room.id;
    c.d = (await did('ann', 'rooms.create', { participantIds: ['bob'] })).room.id;
    c.mine = (await did('ann', 'messages.send', { room: c.g, content: 'of ann' })).eventId;
    c.theirs = (await did('bob', 'messages.send', { room: c.g, content: 'of bob' })).eventId;
    c.inDirect = (await did('bob', 'messages.send', { room: c.d, content: 'to ann' })).eventId;
    await did('bob', 'messages.send', { room: c.h, content: 'to be cleared' });
    const naming = new Naming();
    naming.plain(Object.values(c).join(' '));
    const ann = await stream(Carrier, 'ann');
    const eve = await stream(Carrier, 'eve');
    const bob = await stream(OverWebSocket, 'bob');
    await sleep(300); // presence has been told
    const seen = new Map([ann, bob].map((one) => [one, one.events.length]));
    const lines = [];
    let marks = 0;
    const run = async (kind, name, who, data, expected) => {
      // Its lastEventId moves over what is not kept when the store has come past it, which is a matter of
      // milliseconds: after a stored message it is that message's.
      if (kind === 'good' && name === 'session.info') {
        const { eventId } = await did('marker', 'messages.send', { room: 'lobby', content: 'the newest', ack: 'stored' });
        await who.until(() => who.events.some((text) => text.includes(eventId)), 'the newest message');
      }
      const answer = await who.command(name, data);
      const { success, code } = JSON.parse(answer);
      expected({ success, code }, `${kind} ${name} ${JSON.stringify(data).slice(0, 300)}: ${answer.slice(0, 400)}`);
      if (success && name.startsWith('presence.')) await sleep(150);
      const mark = `"type":"mark","tenantId":"default","room":"lobby","userId":"marker"`;
      await did('marker', 'events.publish', { room: 'lobby', type: 'mark', ephemeral: true, data: ++marks });
      const told = [];
      for (const [one, from] of seen) {
        const reached = () => one.events.slice(from).some((text) => text.includes(mark) && text.endsWith(`"data":${marks}}`));
        await one.until(reached, `mark ${marks} after ${name}`);
        told.push(one.events.slice(from).filter((text) => !text.includes(mark) && !untimely(text)).map((text) => naming.plain(text)));
        seen.set(one, one.events.length);
      }
      lines.push({ kind, name, data: naming.plain(JSON.stringify(data)).slice(0, 200), answer: naming.plain(answer), told });
    };
    for (const [name, spec] of Object.entries(schema.commands)) {
      const given = inputs[name];
      for (const make of given.good) {
        const data = make(c);
        await run('good', name, ann, data, (got, what) => assert.equal(got.success, true, what));
        if (!Array.isArray(data)) conforms(name, JSON.parse(lines.at(-1).answer), spec.result);
      }
      for (const make of given.bad === nobody ? [] : given.bad)
        await run('bad', name, ann, make(c), (got, what) => assert.equal(got.success, false, what));
      for (const make of given.forbidden === nobody ? [] : given.forbidden)
        await run('forbidden', name, eve, make(c), (got, what) => assert.equal(got.code, 'forbidden', what));
      for (const [kind, data] of given.identity ? [] : generated(name, spec.parameters, schema.$defs))
        await run(kind, name, ann, data, (got, what) =>
          assert.ok(got.code === 'invalid_argument' || got.code === 'too_large', what));
    }
    return lines;
  } finally {
    open.forEach((one) => one.close());
    await server.stop();
  }
}

let schema;
let scout;
before(async () => {
  scout = await Server.start();
  const response = await fetch(`${scout.url}/api/schema`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/schema\+json/);
  schema = await response.json();
});
after(() => scout?.stop());

test('every command of the schema has inputs here, and none is left over', () => {
  assert.deepEqual(Object.keys(inputs).sort(), Object.keys(schema.commands).sort());
  for (const [name, { good, bad, forbidden }] of Object.entries(inputs)) {
    assert.ok(good.length > 0, name);
    for (const list of [bad, forbidden]) assert.ok(list === nobody || list.length > 0, name);
  }
});

// Who is present is listed in no order: that of a table whose hashes each server keys anew.
const inOrder = (one) => {
  if (one.name !== 'presence.list' || one.kind !== 'good') return one;
  return { ...one, answer: one.answer.replace(/\{"userId":.*\}(?=\])/, (users) => users.split(/(?<=\}),(?=\{)/).sort().join(',')) };
};

test('answers, errors and events are the same bytes over POST with a session and over WebSocket', async () => {
  const [byPost, bySocket] = await Promise.all([world(OverPost, schema), world(OverWebSocket, schema)]);
  assert.equal(byPost.length, bySocket.length);
  assert.ok(byPost.length > 150, `${byPost.length} inputs`);
  for (const [i, one] of byPost.entries())
    assert.deepEqual(inOrder(one), inOrder(bySocket[i]), `${one.kind} ${one.name} ${one.data}`);
  const told = byPost.filter(({ kind, told: streams }) => kind === 'good' && streams.some((texts) => texts.length > 0));
  assert.ok(told.length > 25, 'the good ones are told somebody');
});

test('a message above the limit is too_large on both, and ends what cannot go on', async () => {
  const content = 'x'.repeat(70000);
  const refused = await post(scout, 'ann', 'messages.send', { room: 'lobby', content });
  assert.equal(refused.status, 413);
  assert.equal(refused.code, 'too_large');
  const stream = new OverWebSocket(scout, 'ann', 'lobby');
  try {
    await stream.start();
    const closed = new Promise((resolve) => stream.socket.on('close', resolve));
    stream.socket.send(JSON.stringify({ type: 'messages.send', data: { room: 'lobby', content } }));
    assert.equal(await closed, 1009);
    assert.ok(stream.texts.some((text) => text.includes('"type":"bye"') && text.includes('"code":"too_large"')));
  } finally {
    stream.close();
  }
});

test('what no row answers is answered the same: an unknown command, a wrong method', async () => {
  const stream = new OverWebSocket(scout, 'ann', 'lobby');
  try {
    await stream.start();
    assert.equal(JSON.parse(await stream.command('no.such', {})).code, 'not_found');
    assert.equal((await post(scout, 'ann', 'no.such', {})).code, 'not_found');
    assert.equal((await fetch(`${scout.url}/api/messages/send?id=ann`)).status, 405);
    assert.equal((await fetch(`${scout.url}/api/schema`, { method: 'POST', body: '{}' })).status, 405);
  } finally {
    stream.close();
  }
});

// Tokens that do not count, in the body of a POST that names the session and carries nothing else, and in `auth.refresh`
// on the WebSocket itself.
test('auth.refresh is answered with the same bytes over POST and over WebSocket, whatever the token', async () => {
  const args = ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', secret, '--auth.issuer', 'https://id', '--shards', '1'];
  const server = await Server.start({ args });
  const claims = { iss: 'https://id' };
  const mine = token('ann', { ...claims, exp: now() + 600 });
  const all = { sub: 'ann', ...claims, iat: now(), exp: now() + 60 };
  const tokens = {
    expired: token('ann', { ...claims, iat: now() - 120, exp: now() - 60 }),
    'not valid yet': token('ann', { ...claims, nbf: now() + 600 }),
    forged: compact({ alg: 'HS256' }, all, hmac('some other secret, also longer than 32 bytes')),
    'of alg none': compact({ alg: 'none' }, all, () => ''),
    'of another issuer': token('ann', { iss: 'https://evil' }),
    "another user's": token('eve', claims),
    "another tenant's": token('ann', { ...claims, tenant: 'other' }),
    'nobody’s': token('', claims),
    'no token': 'a.b',
    'too long': token('ann', { ...claims, more: 'x'.repeat(9000) }),
    empty: '',
    missing: undefined,
    'a number': 7,
    right: token('ann', { ...claims, exp: now() + 300 }),
  };
  const streams = { post: new OverPost(server, 'ann', 'lobby', bearer(mine)), ws: new OverWebSocket(server, 'ann', 'lobby', bearer(mine)) };
  try {
    for (const stream of Object.values(streams)) {
      stream.statuses = schema.errors;
      await stream.start();
    }
    const codes = {};
    for (const [what, text] of Object.entries(tokens)) {
      const answers = {};
      for (const [way, stream] of Object.entries(streams)) answers[way] = await stream.command('auth.refresh', { token: text });
      assert.equal(answers.ws, answers.post, what);
      codes[what] = JSON.parse(answers.ws).code ?? 'ok';
    }
    const { right, ...wrong } = codes;
    assert.equal(right, 'ok');
    for (const [what, code] of Object.entries(wrong)) assert.equal(code, /another (user|tenant)/.test(what) ? 'forbidden' : 'unauthenticated', what);
    // Both streams go on, and are told what was taken; what was refused only on the connection that brought it.
    for (const [way, stream] of Object.entries(streams)) {
      const told = (type) => stream.events.map((text) => JSON.parse(text)).filter((e) => e.type === type);
      await stream.until(() => told('auth.success').length === 1, `auth.success on ${way}`);
      assert.equal(told('auth.error').length, way === 'ws' ? Object.keys(wrong).length : 0, way);
      assert.equal(told('bye').length, 0, way);
    }
    const success = Object.values(streams).map((stream) => stream.events.find((text) => text.includes('"type":"auth.success"')));
    assert.equal(success[0].replace(/"timestamp":"[^"]*"/, ''), success[1].replace(/"timestamp":"[^"]*"/, ''));
  } finally {
    Object.values(streams).forEach((stream) => stream.close());
    await server.stop();
  }
});

// What the walk above leaves out because it comes when it comes: here each step waits until the one before is told.
async function comingsAndGoings(Carrier) {
  const server = await Server.start({ args: ['--shards', '1', '--presence.diff_ms', '50', '--session.presence_grace_seconds', '0'] });
  const open = [];
  const stream = async (Kind, user) => {
    const made = new Kind(server, user, 'hall');
    open.push(made);
    await made.start();
    return made;
  };
  try {
    const ann = await stream(Carrier, 'ann');
    const tells = (one, ...parts) => one.until((texts) => texts.find((text) => parts.every((part) => text.includes(part))), parts.join(' '));
    await sleep(200); // ann's own coming has been told to nobody
    const bob = await stream(OverWebSocket, 'bob');
    await tells(ann, '"presence.joined"', '"bob"');
    await bob.command('presence.set', { room: 'hall', state: { mood: 'well' } });
    await tells(ann, '"presence.updated"');
    await bob.command('typing.start', { room: 'hall' });
    await tells(ann, '"typing"', '"isTyping":true');
    await bob.command('media.set', { room: 'hall', camera: true });
    await tells(ann, '"media.state"', '"camera":true');
    // Who comes now is told how it stands.
    const dan = await stream(Carrier, 'dan');
    await tells(dan, '"typing"', '"users":["bob"]');
    await tells(dan, '"media.state"', '"users":[{');
    await tells(ann, '"presence.joined"', '"dan"');
    await bob.command('typing.stop', { room: 'hall' });
    for (const one of [ann, dan]) await tells(one, '"typing"', '"isTyping":false');
    bob.close();
    for (const one of [ann, dan]) {
      await tells(one, '"media.state"', '"camera":false');
      await tells(one, '"presence.left"', '"bob"');
    }
    const naming = new Naming();
    return [ann, dan].map((one) => one.events.filter((text) => !text.includes('"type":"connected"')).map((text) => naming.plain(text)));
  } finally {
    open.forEach((one) => one.close());
    await server.stop();
  }
}

test('presence, and the state that a stream is told on coming in, are the same bytes on both', async () => {
  const [bySse, bySocket] = await Promise.all([comingsAndGoings(OverPost), comingsAndGoings(OverWebSocket)]);
  assert.deepEqual(bySse, bySocket);
  assert.equal(bySse[0].length, 8, bySse[0].join('\n'));
  assert.equal(bySse[1].length, 5, bySse[1].join('\n'));
});
