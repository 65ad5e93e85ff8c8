// Malformed HTTP, WebSocket frames and JSON: each row gets the error that the standard and net/PROTOCOL.md name, and
// the server serves on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { npmWebSocket, post, send } from '../support/clients.mjs';
import { Raw, frame, rawWebSocket, upgrade } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

let server;
let host;
before(async () => {
  server = await Server.start({
    args: ['--limits.head_timeout_ms', '700', '--limits.body_timeout_ms', '700', '--auth.timeout_ms', '700'],
  });
  host = `Host: 127.0.0.1:${server.port}\r\n`;
});
after(() => server?.stop());

const serves = async () => {
  const answer = await send(server, 'check', 'alive', 'still here');
  assert.equal(answer.stored, true);
};

const json = 'Content-Type: application/json\r\n';
const body = (text) => `${json}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
const good = '{"room":"bad","content":"x"}';
const target = 'POST /api/messages/send?id=u HTTP/1.1\r\n';

// [what, the bytes (a function of the Host header), the statuses allowed, the code in the body if it is a command's]
const httpRows = [
  ['no HTTP at all', () => 'hello\r\n\r\n', [400]],
  ['binary', () => Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 13, 10, 13, 10]), [400]],
  ['an empty method', (h) => ` / HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a method with a bad character', (h) => `G@T / HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a version not ours', (h) => `GET / HTTP/2.0\r\n${h}\r\n`, [505]],
  ['a version that is none', (h) => `GET / HTTX/1.1\r\n${h}\r\n`, [400]],
  ['no Host', () => 'GET / HTTP/1.1\r\n\r\n', [400]],
  ['two Hosts', (h) => `GET / HTTP/1.1\r\n${h}${h}\r\n`, [400]],
  ['a header without a colon', (h) => `GET / HTTP/1.1\r\n${h}nonsense\r\n\r\n`, [400]],
  ['a blank before the colon', (h) => `GET / HTTP/1.1\r\n${h}X-A : b\r\n\r\n`, [400]],
  ['a folded header', (h) => `GET / HTTP/1.1\r\n${h}X-A: b\r\n c\r\n\r\n`, [400]],
  ['a NUL in a header', (h) => `GET / HTTP/1.1\r\n${h}X-A: b\0c\r\n\r\n`, [400]],
  ['a bad percent escape', (h) => `GET /api/events?id=%zz HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a head too large', (h) => `GET / HTTP/1.1\r\n${h}X-A: ${'a'.repeat(20000)}\r\n\r\n`, [431]],
  ['a target too long', (h) => `GET /${'a'.repeat(20000)} HTTP/1.1\r\n${h}\r\n`, [431]],
  ['a length that is no number', (h) => `${target}${h}${json}Content-Length: ten\r\n\r\n`, [400]],
  ['a negative length', (h) => `${target}${h}${json}Content-Length: -1\r\n\r\n`, [400]],
  ['a length with a sign', (h) => `${target}${h}${json}Content-Length: +28\r\n\r\n${good}`, [400]],
  ['two different lengths', (h) => `${target}${h}Content-Length: 3\r\n${body(good)}`, [400]],
  ['a length that overflows', (h) => `${target}${h}${json}Content-Length: 99999999999999999999\r\n\r\n`, [400]],
  ['length and chunks at once', (h) => `${target}${h}Transfer-Encoding: chunked\r\n${body(good)}`, [400]],
  ['a transfer coding not known', (h) => `${target}${h}${json}Transfer-Encoding: gzip\r\n\r\n`, [400]],
  ['a transfer coding not known under chunks', (h) => `${target}${h}${json}Transfer-Encoding: gzip, chunked\r\n\r\n`, [501]],
  ['chunked not last', (h) => `${target}${h}${json}Transfer-Encoding: chunked, gzip\r\n\r\n`, [400]],
  ['a chunk size that is none', (h) => `${target}${h}${json}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, [400]],
  ['a chunk longer than it says', (h) => `${target}${h}${json}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`, [400]],
  ['a chunk size that overflows', (h) => `${target}${h}${json}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`, [400]],
  ['a body too large', (h) => `${target}${h}${json}Content-Length: 70000\r\n\r\n`, [413], 'too_large'],
  ['chunks too large', (h) => `${target}${h}${json}Transfer-Encoding: chunked\r\n\r\n11170\r\n${'x'.repeat(70000)}`, [413], 'too_large'],
  ['an unknown path', (h) => `GET /nothing/here HTTP/1.1\r\n${h}\r\n`, [404]],
  ['an unknown command', (h) => `POST /api/messages/dance?id=u HTTP/1.1\r\n${h}${body('{}')}`, [404], 'not_found'],
  ['GET of a command', (h) => `GET /api/messages/send?id=u HTTP/1.1\r\n${h}\r\n`, [405], 'method_not_allowed'],
  ['DELETE of the page', (h) => `DELETE / HTTP/1.1\r\n${h}\r\n`, [405]],
  ['POST to a stream', (h) => `POST /api/events?id=u HTTP/1.1\r\n${h}${body('{}')}`, [405]],
  ['another content type', (h) => `${target}${h}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`, [415], 'unsupported_media_type'],
  ['no user', (h) => `POST /api/messages/send HTTP/1.1\r\n${h}${body(good)}`, [401], 'unauthenticated'],
  ['no user on a stream', (h) => `GET /api/events HTTP/1.1\r\n${h}\r\n`, [401]],
  ['a user id too long', (h) => `GET /api/events?id=${'u'.repeat(129)} HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a user id with a control character', (h) => `GET /api/events?id=a%0ab HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a user id that is no UTF-8', (h) => `GET /api/events?id=%ff HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a room name that is no UTF-8', (h) => `GET /api/events?id=u&rooms=%c3%28 HTTP/1.1\r\n${h}\r\n`, [400]],
  ['a heartbeat out of range', (h) => `GET /api/events?id=u&heartbeat=abc HTTP/1.1\r\n${h}\r\n`, [400]],
  ['too many rooms', (h) => `GET /api/events?id=u&rooms=${Array.from({ length: 257 }, (_, i) => `r${i}`)} HTTP/1.1\r\n${h}\r\n`, [409], 'limit_exceeded'],
];

for (const [what, bytes, statuses, code] of httpRows) {
  test(`HTTP: ${what}`, async () => {
    const raw = await Raw.connect(server.port);
    try {
      raw.write(bytes(host));
      const answer = await raw.answer();
      assert.ok(answer, 'an answer');
      assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.body}`);
      if (answer.status === 405) assert.ok(answer.headers.allow, 'Allow');
      if (code) {
        const told = JSON.parse(answer.body);
        assert.equal(told.success, false);
        assert.equal(told.code, code);
        assert.equal(typeof told.error, 'string');
        assert.equal(told.retryable, false);
      }
      await serves();
    } finally {
      raw.close();
    }
  });
}

test('HTTP: a head that never ends is 408', async () => {
  const raw = await Raw.connect(server.port);
  raw.write('GET / HTTP/1.1\r\nHost:');
  assert.equal((await raw.answer()).status, 408);
  await raw.until(() => raw.closed, 'the end');
  await serves();
});

test('HTTP: a body that never ends is 408', async () => {
  const raw = await Raw.connect(server.port);
  raw.write(`${target}${host}${json}Content-Length: 100\r\n\r\n{"room"`);
  assert.equal((await raw.answer()).status, 408);
  await raw.until(() => raw.closed, 'the end');
  await serves();
});

test('HTTP: a good request in single bytes is served', async () => {
  const raw = await Raw.connect(server.port);
  for (const byte of Buffer.from(`${target}${host}${body(good)}`)) {
    raw.write(Buffer.from([byte]));
    if (byte === 10) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal((await raw.answer()).status, 200);
  raw.close();
});

test('HTTP: the wrong request ends a pipeline, the good ones before it are answered', async () => {
  const raw = await Raw.connect(server.port);
  raw.write(`${target}${host}${body(good)}${target}${host}${body(good)}nonsense\r\n\r\n${target}${host}${body(good)}`);
  const statuses = [];
  for (let answer; (answer = await raw.answer()) !== null; ) statuses.push(answer.status);
  assert.deepEqual(statuses, [200, 200, 400]);
  await serves();
});

test('HTTP: Expect: 100-continue is answered', async () => {
  const raw = await Raw.connect(server.port);
  raw.write(`${target}${host}Expect: 100-continue\r\n${json}Content-Length: ${good.length}\r\n\r\n`);
  assert.equal((await raw.answer()).status, 100);
  raw.write(good);
  assert.equal((await raw.answer()).status, 200);
  raw.close();
});

const deep = '{"room":"r","content":'.concat('['.repeat(5000), ']'.repeat(5000), '}');
// [what, the body, the code]
const jsonRows = [
  ['nothing', '', 'invalid_json'],
  ['half an object', '{"room":', 'invalid_json'],
  ['two values', '{} {}', 'invalid_json'],
  ['a bare word', 'room', 'invalid_json'],
  ['a number', '42', 'invalid_argument'],
  ['a trailing comma', '{"room":"r",}', 'invalid_json'],
  ['single quotes', "{'room':'r'}", 'invalid_json'],
  ['bytes that are no UTF-8', Buffer.from([...Buffer.from('{"room":"r","content":"'), 0xff, 0xfe, ...Buffer.from('"}')]), 'invalid_json'],
  ['a lone surrogate', '{"room":"r","content":"\\ud800"}', 'invalid_json'],
  ['a raw control character', '{"room":"r","content":"a\u0001b"}', 'invalid_json'],
  ['very deep nesting', deep, 'invalid_json'],
  ['no room', '{"content":"x"}', 'invalid_argument'],
  ['an empty room', '{"room":"","content":"x"}', 'invalid_argument'],
  ['a room that is a number', '{"room":1,"content":"x"}', 'invalid_argument'],
  ['a room name too long', JSON.stringify({ room: 'r'.repeat(129), content: 'x' }), 'invalid_argument'],
  ['a room name with a control character', '{"room":"a\\u0007","content":"x"}', 'invalid_argument'],
  ['a room name with a NUL', '{"room":"a\\u0000b","content":"x"}', 'invalid_argument'],
  ['no content', '{"room":"r"}', 'invalid_argument'],
  ['content that is an object', '{"room":"r","content":{}}', 'invalid_argument'],
  ['an unknown ack', '{"room":"r","content":"x","ack":"perhaps"}', 'invalid_argument'],
  ['an unknown exclude', '{"room":"r","content":"x","exclude":"all"}', 'invalid_argument'],
];

for (const [what, bytes, code] of jsonRows) {
  test(`JSON over POST: ${what}`, async () => {
    const response = await fetch(`${server.url}/api/messages/send?id=u`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: bytes,
    });
    const answer = await response.json();
    assert.equal(response.status, 400, JSON.stringify(answer));
    assert.ok([code].flat().includes(answer.code), JSON.stringify(answer));
    await serves();
  });
}

test('JSON over WebSocket: every row of the same table is refused with the same code, and the socket stays', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws?id=u`);
  try {
    await feed.event('connected');
    for (const [what, text, code] of jsonRows) {
      if (Buffer.isBuffer(text) || [code].flat().includes('invalid_json')) continue;
      const reply = await feed.command('messages.send', JSON.parse(text));
      assert.equal(reply.success, false, what);
      assert.ok([code].flat().includes(reply.code), `${what}: ${JSON.stringify(reply)}`);
    }
    for (const text of ['', '{', 'null', '[]', '{"type":1}', '{"id":"x"}', '{"type":"messages.send","id":{}}']) {
      const before = feed.events.length + feed.replies.size;
      feed.replies.clear();
      feed.events.length = 0;
      feed.socket.send(text);
      const reply = await feed.until(
        () => [...feed.replies.values()].at(-1) ?? feed.events.find((event) => event.code), `an error for ${text} ${before}`);
      assert.equal(reply.success, false);
      assert.ok(['invalid_json', 'invalid_argument', 'not_found'].includes(reply.code), JSON.stringify(reply));
    }
    const reply = await feed.command('messages.send', { room: 'ok', content: 'still' });
    assert.equal(reply.success, true);
  } finally {
    feed.close();
  }
});

// [what, bytes after the handshake, close code]
const frameRows = [
  ['not masked', frame(1, '{}', { mask: false }), 1002],
  ['a reserved bit', frame(1, '{}', { rsv: 4 }), 1002],
  ['opcode 3', frame(3, '{}'), 1002],
  ['opcode 11', frame(11, ''), 1002],
  ['a fragmented ping', frame(9, 'x', { fin: false }), 1002],
  ['a ping of 126 bytes', frame(9, 'x'.repeat(126)), 1002],
  ['a continuation of nothing', frame(0, 'x'), 1002],
  ['a text inside a text', Buffer.concat([frame(1, '{', { fin: false }), frame(1, '}')]), 1002],
  ['a length with the top bit', frame(1, '', { wide: 8, length: -1 }), 1002],
  ['text that is no UTF-8', frame(1, Buffer.from([0xc3, 0x28])), 1007],
  ['text that ends inside a character', frame(1, Buffer.from([0xe2, 0x82])), 1007],
  ['an overlong character', frame(1, Buffer.from([0xc0, 0x80])), 1007],
  ['a surrogate in UTF-8', frame(1, Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ['bad UTF-8 in the first of two fragments', frame(1, Buffer.from([0xff]), { fin: false }), 1007],
  ['a frame too large', frame(1, '', { length: 70000 }), 1009],
  ['fragments too large', Buffer.concat([frame(1, 'x'.repeat(40000), { fin: false }), frame(0, 'x'.repeat(40000))]), 1009],
  ['a close of one byte', frame(8, 'x'), 1002],
  ['a close with code 1005', frame(8, Buffer.from([0x03, 0xed])), 1002],
  ['a close with code 999', frame(8, Buffer.from([0x03, 0xe7])), 1002],
  ['a close whose reason is no UTF-8', frame(8, Buffer.from([0x03, 0xe8, 0xff])), 1007],
];

for (const [what, bytes, codes] of frameRows) {
  test(`WebSocket: ${what}`, async () => {
    const raw = await rawWebSocket(server.port, '/ws?id=u');
    raw.write(bytes);
    const code = await raw.closeCode();
    assert.ok([codes].flat().includes(code), `close code ${code}`);
    await raw.until(() => raw.closed, 'the end of the connection');
    raw.close();
    await serves();
  });
}

const withoutHeader = (name) => () => upgrade(server.port, '/ws?id=u').replace(new RegExp(`${name}:[^\r]*\r\n`), '');
// [what, request, statuses]
const upgradeRows = [
  ['no key', withoutHeader('Sec-WebSocket-Key'), [400]],
  ['a key that is too short', () => upgrade(server.port, '/ws?id=u').replace(/Key: [^\r]*/, 'Key: abcd'), [400]],
  ['no version', withoutHeader('Sec-WebSocket-Version'), [426]],
  ['version 8', () => upgrade(server.port, '/ws?id=u').replace('Version: 13', 'Version: 8'), [426]],
  ['no Upgrade', withoutHeader('Upgrade'), [426]],
  ['another Upgrade', () => upgrade(server.port, '/ws?id=u').replace('websocket', 'h2c'), [426]],
  ['no Connection', withoutHeader('Connection'), [426]],
  ['POST', () => upgrade(server.port, '/ws?id=u').replace('GET', 'POST'), [405]],
];
for (const [what, request, statuses] of upgradeRows) {
  test(`WebSocket handshake: ${what}`, async () => {
    const raw = await Raw.connect(server.port);
    raw.write(request(host));
    const answer = await raw.answer();
    assert.ok(statuses.includes(answer?.status), JSON.stringify(answer));
    if (answer.status === 426) assert.equal(answer.headers['sec-websocket-version'], '13');
    raw.close();
    await serves();
  });
}

test('WebSocket: without an identity it is closed with 4401 after the time-out', async () => {
  const feed = npmWebSocket(`${server.wsUrl}/ws`);
  await feed.opened;
  await feed.until(() => feed.closed, 'the close');
  assert.equal(feed.closeCode, 4401);
  assert.equal(feed.of('bye')[0].data.code, 'unauthenticated');
});

test('the rate limit tells how long to wait, over both carriers', async () => {
  // So slow that what is earned meanwhile counts for little, on any machine.
  const limited = await Server.start({ rates: true, args: ['--limits.commands_per_second', '1'] });
  try {
    const feed = npmWebSocket(`${limited.wsUrl}/ws?id=fast`);
    await feed.event('connected');
    const replies = await Promise.all(
      Array.from({ length: 150 }, () => feed.command('typing.start', { room: 'rate' })),
    );
    const refused = replies.filter((reply) => !reply.success);
    assert.ok(refused.length >= 30 && refused.length <= 50, `${refused.length} refused of 150`);
    for (const reply of refused) {
      assert.equal(reply.code, 'rate_limited');
      assert.equal(reply.retryable, true);
    }
    feed.close();
    const raw = await Raw.connect(limited.port);
    const one = `POST /api/typing/start?id=fast HTTP/1.1\r\nHost: 127.0.0.1:${limited.port}\r\n${body('{"room":"rate"}')}`;
    raw.write(one.repeat(120));
    let told;
    for (let i = 0; i < 120; ++i) {
      const answer = await raw.answer();
      if (answer.status === 429) told = answer;
    }
    assert.ok(told, 'a 429');
    assert.ok(Number(told.headers['retry-after']) >= 1);
    assert.equal(JSON.parse(told.body).code, 'rate_limited');
    raw.close();
  } finally {
    await limited.stop();
  }
});

test('Origin and Host are checked, since any page can reach a loopback server', async () => {
  const raw = await Raw.connect(server.port);
  raw.write(`GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n`);
  assert.equal((await raw.answer()).status, 403, 'a foreign Host');
  raw.close();
  const evil = { origin: 'https://evil.example' };
  const posted = await post(server, 'u', 'messages.send', { room: 'o', content: 'x' }, evil);
  assert.equal(posted.status, 403);
  assert.equal(posted.code, 'forbidden');
  const streamed = await fetch(`${server.url}/api/events?id=u`, { headers: evil });
  assert.equal(streamed.status, 403);
  const socket = await Raw.connect(server.port);
  socket.write(upgrade(server.port, '/ws?id=u', 'Origin: https://evil.example\r\n'));
  assert.equal((await socket.answer()).status, 403);
  socket.close();
  const own = await post(server, 'u', 'messages.send', { room: 'o', content: 'x' }, { origin: server.url });
  assert.equal(own.status, 200);
});

test('CORS: an allowed origin may preflight, post and stream', async () => {
  const open = await Server.start({ args: ['--origins.allow', 'https://app.example'] });
  try {
    const origin = 'https://app.example';
    const preflight = await fetch(`${open.url}/api/messages/send`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /content-type/i);
    const answer = await post(open, 'u', 'messages.send', { room: 'o', content: 'x' }, { origin });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('access-control-allow-origin'), origin);
    assert.match(answer.headers.get('vary') ?? '', /origin/i);
  } finally {
    await open.stop();
  }
});

test('the operators\' listener: health for all, the rest for the token only', async () => {
  for (const path of ['/health/live', '/health/ready']) {
    assert.equal((await fetch(server.adminUrl + path)).status, 200, path);
  }
  for (const path of ['/metrics', '/admin/stats', '/admin/rooms', '/admin/sessions']) {
    assert.equal((await fetch(server.adminUrl + path)).status, 401, path);
    const wrong = await fetch(server.adminUrl + path, { headers: { authorization: 'Bearer wrong' } });
    assert.equal(wrong.status, 401, path);
    assert.equal((await server.admin(path)).status, 200, path);
  }
  assert.equal((await fetch(`${server.url}/admin/stats`)).status, 404);
});
