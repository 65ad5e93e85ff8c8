// HTTP/1.1 as RFC 9110 and 9112 have it, where a client does everything right: keep-alive, pipelining, chunked bodies,
// HEAD, OPTIONS, the forms of a target; and each limit and time-out at its edge. What is wrong is in bad_input.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { sleep } from '../support/clients.mjs';
import { Raw } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

const timeout = 600;
let server;
let host;
before(async () => {
  server = await Server.start({
    args: ['--limits.head_timeout_ms', `${timeout}`, '--limits.body_timeout_ms', `${timeout}`],
  });
  host = `Host: 127.0.0.1:${server.port}\r\n`;
});
after(() => server?.stop());

const withRaw = (what, body) =>
  test(what, async () => {
    const raw = await Raw.connect(server.port);
    try {
      await body(raw);
    } finally {
      raw.close();
    }
  });

const json = 'Content-Type: application/json\r\n';
const send = (content, more = '') => {
  const body = JSON.stringify({ room: 'http', content });
  return `POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
};
const chunked = (body, more = '') =>
  `POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}${more}Transfer-Encoding: chunked\r\n\r\n${body}`;
const contentOf = (answer) => JSON.parse(answer.body).message?.content;
const staysOpen = async (raw) => {
  raw.write(send('still open'));
  assert.equal(contentOf(await raw.answer()), 'still open');
};
const ends = (raw) => raw.until(() => raw.closed, 'the end of the connection');

withRaw('a connection is kept, and every answer says so', async (raw) => {
  for (let i = 0; i < 5; ++i) {
    raw.write(send(`kept ${i}`));
    const answer = await raw.answer();
    assert.equal(contentOf(answer), `kept ${i}`);
    assert.equal(answer.headers.connection, 'keep-alive');
    assert.match(answer.headers['content-type'], /^application\/json/);
    assert.ok(Math.abs(Date.parse(answer.headers.date) - Date.now()) < 60000, answer.headers.date);
  }
});

withRaw('Connection: close ends it behind the answer', async (raw) => {
  raw.write(send('last', 'Connection: close\r\n') + send('never'));
  const answer = await raw.answer();
  assert.equal(contentOf(answer), 'last');
  assert.equal(answer.headers.connection, 'close');
  await ends(raw);
  assert.equal(raw.bytes.length, 0);
});

withRaw('HTTP/1.0 ends behind the answer, and needs no Host', async (raw) => {
  raw.write('GET / HTTP/1.0\r\n\r\n');
  const answer = await raw.answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.connection, 'close');
  await ends(raw);
});

withRaw('HTTP/1.0 with keep-alive is kept', async (raw) => {
  raw.write('HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  await raw.until(() => raw.bytes.includes('\r\n\r\n'), 'the head');
  assert.match(raw.bytes.toString(), /\r\nConnection: keep-alive\r\n/);
  raw.bytes = Buffer.alloc(0);
  await staysOpen(raw);
});

withRaw('two hundred requests in one write are answered in order', async (raw) => {
  const count = 200;
  let bytes = '';
  for (let i = 0; i < count; ++i) bytes += i % 4 === 3 ? `GET /nothing/${i} HTTP/1.1\r\n${host}\r\n` : send(`n${i}`);
  raw.write(bytes);
  for (let i = 0; i < count; ++i) {
    const answer = await raw.answer();
    if (i % 4 === 3) assert.ok(answer.status === 404 && answer.body.includes(`/nothing/${i}`), `${i}: ${answer.body}`);
    else assert.equal(contentOf(answer), `n${i}`);
  }
});

withRaw('requests cut anywhere are the same requests', async (raw) => {
  const bytes = Buffer.from(send('one') + chunked('5\r\n{"roo\r\n21;x=y\r\nm":"http","content":"two chunks"}\r\n0\r\n\r\n') + send('three'));
  for (let at = 0; at < bytes.length; at += 7) {
    raw.write(bytes.subarray(at, at + 7));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual([contentOf(await raw.answer()), contentOf(await raw.answer()), contentOf(await raw.answer())],
    ['one', 'two chunks', 'three']);
});

const whole = '{"room":"http","content":"in chunks"}';
const size = whole.length.toString(16);
for (const [what, body, more] of [
  ['one chunk', `${size}\r\n${whole}\r\n0\r\n\r\n`],
  ['capital digits and zeros in front', `000${size.toUpperCase()}\r\n${whole}\r\n000\r\n\r\n`],
  ['extensions', `${size};name=value;other="a b"\r\n${whole}\r\n0;last\r\n\r\n`],
  ['trailers', `${size}\r\n${whole}\r\n0\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n`, 'Trailer: X-Checksum\r\n'],
  ['a chunk a byte', `${[...whole].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`],
]) {
  withRaw(`a chunked body: ${what}`, async (raw) => {
    raw.write(chunked(body, more) + send('behind it'));
    assert.equal(contentOf(await raw.answer()), 'in chunks');
    assert.equal(contentOf(await raw.answer()), 'behind it');
  });
}

withRaw('HEAD tells the length and sends no body; GET then does', async (raw) => {
  raw.write(`HEAD / HTTP/1.1\r\n${host}\r\nGET / HTTP/1.1\r\n${host}\r\n`);
  await raw.until(() => raw.bytes.indexOf('\r\n\r\n') >= 0, 'the head');
  const at = raw.bytes.indexOf('\r\n\r\n');
  const length = Number(/Content-Length: (\d+)/.exec(raw.bytes.subarray(0, at).toString())[1]);
  raw.bytes = raw.bytes.subarray(at + 4);
  const page = await raw.answer();
  assert.equal(page.status, 200);
  assert.equal(Buffer.byteLength(page.body), length);
  assert.match(page.headers['content-type'], /^text\/html/);
});

withRaw('OPTIONS, of a path and of the server', async (raw) => {
  for (const target of ['/api/messages/send', '*']) {
    raw.write(`OPTIONS ${target} HTTP/1.1\r\n${host}\r\n`);
    const answer = await raw.answer();
    assert.equal(answer.status, 204);
    assert.equal(answer.body, '');
  }
  await staysOpen(raw);
});

withRaw('a target with scheme and host, percent escapes in a path, empty lines before a request', async (raw) => {
  raw.write(`\r\n\r\nGET http://127.0.0.1:${server.port}/ HTTP/1.1\r\n${host}\r\n`);
  assert.equal((await raw.answer()).status, 200);
  raw.write(send('escaped').replace('/api/messages/send', '/api/mess%61ges/send'));
  assert.equal(contentOf(await raw.answer()), 'escaped');
});

withRaw('an upgrade to a protocol that is not known is ignored', async (raw) => {
  raw.write(send('no h2c', 'Upgrade: h2c\r\nConnection: Upgrade\r\n'));
  assert.equal(contentOf(await raw.answer()), 'no h2c');
  await staysOpen(raw);
});

withRaw('fields in any case, blanks around values, a field without value', async (raw) => {
  raw.write(send('fields', 'x-EMPTY:\r\nX-Blank: \t  \r\naCCept:  */*  \r\n').replace('Content-Length: ', 'cOnTeNt-LeNgTh:\t'));
  assert.equal(contentOf(await raw.answer()), 'fields');
});

// ---- limits at their edge ----

withRaw('a head of 16 KiB is read, one byte more is 431', async (raw) => {
  const padded = (bytes) => {
    const head = `GET /none HTTP/1.1\r\n${host}X-Pad: `;
    return `${head}${'p'.repeat(bytes - head.length - 4)}\r\n\r\n`;
  };
  raw.write(padded(16384));
  assert.equal((await raw.answer()).status, 404);
  raw.write(padded(16385));
  assert.equal((await raw.answer()).status, 431);
  await ends(raw);
});

withRaw('a hundred fields are read, one more is 431', async (raw) => {
  const fields = (count) => Array.from({ length: count }, (_, i) => `X-${i}: v\r\n`).join('');
  raw.write(`GET /none HTTP/1.1\r\n${host}${fields(99)}\r\n`);
  assert.equal((await raw.answer()).status, 404);
  raw.write(`GET /none HTTP/1.1\r\n${host}${fields(100)}\r\n`);
  assert.equal((await raw.answer()).status, 431);
});

withRaw('a body of 64 KiB is read, by length and in chunks; one byte more is 413', async (raw) => {
  const frame = '{"room":"http","content":""}';
  const of = (bytes) => frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`);
  const full = of(65536);
  const inChunks = (text) => `8000\r\n${text.slice(0, 32768)}\r\n${(text.length - 32768).toString(16)}\r\n${text.slice(32768)}\r\n0\r\n\r\n`;
  raw.write(`POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}Content-Length: 65536\r\n\r\n${full}`);
  assert.equal((await raw.answer()).status, 200);
  raw.write(chunked(inChunks(full)));
  assert.equal((await raw.answer()).status, 200);
  raw.write(chunked(inChunks(of(65537))));
  const refused = await raw.answer();
  assert.equal(refused.status, 413);
  assert.equal(JSON.parse(refused.body).code, 'too_large');
  await ends(raw);
});

withRaw('Expect: 100-continue asks for a good body, and not for one that is too large', async (raw) => {
  const body = '{"room":"http","content":"asked for"}';
  raw.write(`POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
  assert.equal((await raw.answer()).status, 100);
  raw.write(body);
  assert.equal(contentOf(await raw.answer()), 'asked for');
  raw.write(`POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n`);
  assert.equal((await raw.answer()).status, 413);
});

withRaw('another expectation is 417', async (raw) => {
  raw.write(send('x', 'Expect: the-unexpected\r\n'));
  assert.equal((await raw.answer()).status, 417);
});

// ---- time-outs ----

// Writes a byte now and then until the connection ends; the answer, and how long it took.
async function drip(raw, first, bytes) {
  raw.write(first);
  const began = Date.now();
  for (const byte of bytes) {
    if (raw.closed || raw.bytes.length > 0) break;
    await sleep(60);
    raw.write(byte);
  }
  const answer = await raw.answer();
  return { answer, took: Date.now() - began };
}

for (const [what, first, byte] of [
  ['head', 'GET / HTTP/1.1\r\nX-Slow: ', 'h'],
  ['body', null, ' '],
  ['chunked body', null, '1\r\nx\r\n'],
]) {
  withRaw(`a ${what} that drips is 408 at its time-out, however much comes`, async (raw) => {
    const start = {
      head: first,
      body: `POST /api/messages/send?id=u HTTP/1.1\r\n${host}${json}Content-Length: 1000\r\n\r\n`,
      'chunked body': chunked(''),
    }[what];
    const { answer, took } = await drip(raw, start, Array.from({ length: 100 }, () => byte));
    assert.equal(answer.status, 408);
    assert.equal(answer.headers.connection, 'close');
    assert.ok(took >= timeout - 150 && took < timeout * 4, `${took} ms`);
    await ends(raw);
  });
}

withRaw('the second request of a connection has the same time-out', async (raw) => {
  raw.write(send('first'));
  assert.equal((await raw.answer()).status, 200);
  await sleep(timeout + 200);
  await staysOpen(raw); // between requests none runs
  const { answer } = await drip(raw, 'POST /api', ['/']);
  assert.equal(answer.status, 408);
});

withRaw('a connection on which nothing ever comes is closed without a word', async (raw) => {
  const began = Date.now();
  await ends(raw);
  assert.ok(Date.now() - began >= timeout - 150);
  assert.equal(raw.bytes.length, 0);
});
