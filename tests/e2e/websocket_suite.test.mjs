// RFC 6455 through /debug/echo, in the order of the public conformance suites (categories 1 to 7 and 10; 9 in small):
// framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closing, large messages, automatic fragments.
// Every row says which bytes a client writes and which frames come back, the last being the close.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { frame, rawWebSocket } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.start({ args: ['--debug.echo', 'true', '--shards', '2'] });
});
after(() => server?.stop());

const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const closing = (code, reason = '') => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
const end = frame(CLOSE, closing(1000));
const close = (code) => [CLOSE, code];

/** Cuts bytes into pieces that are written one by one, so that the server reads them apart. */
const pieces = (bytes, size) => {
  const out = [];
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size));
  return out;
};
const all = (...parts) => [Buffer.concat(parts)];
const octets = (...parts) => pieces(Buffer.concat(parts), 1);

async function run({ writes, expected }) {
  const raw = await rawWebSocket(server.port, '/debug/echo');
  try {
    for (const piece of writes) {
      raw.write(piece);
      if (writes.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const [opcode, payload] of expected) {
      const got = await raw.frame();
      assert.ok(got, `a frame of opcode ${opcode}, not the end`);
      assert.equal(got.masked, false, 'a server masks nothing');
      assert.equal(got.fin, true);
      assert.equal(got.opcode, opcode, `opcode; payload ${got.payload.subarray(0, 40).toString('latin1')}`);
      if (opcode === CLOSE) {
        assert.equal(got.payload.length >= 2 ? got.payload.readUInt16BE(0) : 1005, payload, 'close code');
      } else {
        assert.ok(got.payload.equals(Buffer.from(payload)), `payload of ${got.payload.length} bytes`);
      }
    }
    // Behind a close nothing comes but the end.
    await raw.until(() => raw.closed, 'the end of the connection');
    assert.equal(raw.bytes.length, 0, 'bytes behind the close');
  } finally {
    raw.close();
  }
}

// [what, writes, expected frames]
function suite(name, rows) {
  describe(name, () => {
    for (const [what, writes, expected] of rows) test(what, () => run({ writes, expected }));
  });
}

const sized = (opcode) =>
  [0, 125, 126, 127, 128, 65535, 65536].map((size) => {
    const payload = Buffer.alloc(size, opcode === TEXT ? '*' : '\xfe', 'latin1');
    return [`${size} bytes`, all(frame(opcode, payload), end), [[opcode, payload], close(1000)]];
  });
const chopped = (opcode) => {
  const payload = Buffer.alloc(65536, opcode === TEXT ? '*' : '\xfe', 'latin1');
  return ['65536 bytes in pieces of 997', pieces(Buffer.concat([frame(opcode, payload), end]), 997),
    [[opcode, payload], close(1000)]];
};
suite('1.1 text messages', [...sized(TEXT), chopped(TEXT)]);
suite('1.2 binary messages', [...sized(BINARY), chopped(BINARY)]);

const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
suite('2 pings and pongs', [
  ['a ping without payload', all(frame(PING, ''), end), [[PONG, ''], close(1000)]],
  ['a ping with text', all(frame(PING, 'Hello, world!'), end), [[PONG, 'Hello, world!'], close(1000)]],
  ['a ping with bytes that are no text', all(frame(PING, Buffer.from([0, 0xff, 0xfe, 0xfd, 0])), end),
    [[PONG, Buffer.from([0, 0xff, 0xfe, 0xfd, 0])], close(1000)]],
  ['a ping of 125 bytes', all(frame(PING, Buffer.alloc(125, 0xfe)), end), [[PONG, Buffer.alloc(125, 0xfe)], close(1000)]],
  ['a ping of 126 bytes', all(frame(PING, Buffer.alloc(126, 0xfe))), [close(1002)]],
  ['a ping of 125 bytes, byte by byte', octets(frame(PING, Buffer.alloc(125, 0xfe)), end),
    [[PONG, Buffer.alloc(125, 0xfe)], close(1000)]],
  ['a pong nobody asked for', all(frame(PONG, ''), end), [close(1000)]],
  ['a pong with payload nobody asked for', all(frame(PONG, 'unsolicited'), end), [close(1000)]],
  ['such a pong, then a ping', all(frame(PONG, 'unsolicited'), frame(PING, 'asked'), end), [[PONG, 'asked'], close(1000)]],
  ['ten pings', all(...ten.map((text) => frame(PING, text)), end), [...ten.map((text) => [PONG, text]), close(1000)]],
  ['ten pings, byte by byte', octets(...ten.map((text) => frame(PING, text)), end),
    [...ten.map((text) => [PONG, text]), close(1000)]],
]);

suite('3 reserved bits', [1, 2, 3, 4, 5, 6, 7].flatMap((rsv) => [
  [`${rsv} on a text`, all(frame(TEXT, 'hello', { rsv })), [close(1002)]],
  [`${rsv} behind a good text`, all(frame(TEXT, 'hello'), frame(TEXT, 'hello', { rsv }), frame(PING, '')),
    [[TEXT, 'hello'], close(1002)]],
  [`${rsv} behind a good text, byte by byte`, octets(frame(TEXT, 'hello'), frame(TEXT, 'hello', { rsv })),
    [[TEXT, 'hello'], close(1002)]],
  [`${rsv} on a binary`, all(frame(BINARY, 'hello', { rsv })), [close(1002)]],
  [`${rsv} on a ping`, all(frame(PING, 'hello', { rsv })), [close(1002)]],
  [`${rsv} on a close`, all(frame(CLOSE, closing(1000), { rsv })), [close(1002)]],
]));

suite('4 opcodes that mean nothing', [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => [
  [`${opcode} without payload`, all(frame(opcode, '')), [close(1002)]],
  [`${opcode} with payload`, all(frame(opcode, 'reserved')), [close(1002)]],
  [`${opcode} behind a good text`, all(frame(TEXT, 'hello'), frame(opcode, ''), frame(PING, '')),
    [[TEXT, 'hello'], close(1002)]],
  [`${opcode} behind a good text, byte by byte`, octets(frame(TEXT, 'hello'), frame(opcode, 'x')),
    [[TEXT, 'hello'], close(1002)]],
]));

const part = (opcode, text) => frame(opcode, text, { fin: false });
const both = (...frames) => [['in one piece', all(...frames)], ['frame by frame', frames], ['byte by byte', octets(...frames)]];
suite('5 fragmentation', [
  ['a fragmented ping', [part(PING, 'frag'), frame(0, 'ment')], [close(1002)]],
  ['a fragmented pong', [part(PONG, 'frag'), frame(0, 'ment')], [close(1002)]],
  ...both(part(TEXT, 'frag'), frame(0, 'ment'), end).map(([how, writes]) =>
    [`two fragments, ${how}`, writes, [[TEXT, 'fragment'], close(1000)]]),
  ...both(part(TEXT, 'frag'), frame(PING, 'between'), frame(0, 'ment'), end).map(([how, writes]) =>
    [`a ping between two fragments, ${how}`, writes, [[PONG, 'between'], [TEXT, 'fragment'], close(1000)]]),
  ...both(part(BINARY, 'a'), part(0, ''), part(0, 'b'), frame(PONG, 'x'), part(0, 'c'), frame(0, ''), end).map(([how, writes]) =>
    [`five fragments, some empty, ${how}`, writes, [[BINARY, 'abc'], close(1000)]]),
  ...both(part(TEXT, '1'), frame(PING, 'p1'), part(0, '2'), frame(PING, 'p2'), part(0, '3'), frame(0, '4'), end).map(([how, writes]) =>
    [`pings between fragments, ${how}`, writes, [[PONG, 'p1'], [PONG, 'p2'], [TEXT, '1234'], close(1000)]]),
  ['three empty fragments', all(part(TEXT, ''), part(0, ''), frame(0, ''), end), [[TEXT, ''], close(1000)]],
  ['empty fragments around one', all(part(TEXT, ''), part(0, 'middle'), frame(0, ''), end), [[TEXT, 'middle'], close(1000)]],
  ['a continuation of nothing, with FIN', [frame(0, 'non-continuation'), frame(TEXT, 'hello')], [close(1002)]],
  ['a continuation of nothing, without FIN', [part(0, 'non-continuation'), frame(TEXT, 'hello')], [close(1002)]],
  ['a continuation behind a whole message', [frame(TEXT, 'whole'), frame(0, 'more')], [[TEXT, 'whole'], close(1002)]],
  ['a whole text inside a fragmented one', all(part(TEXT, 'frag'), frame(TEXT, 'ment')), [close(1002)]],
  ['a binary inside a fragmented text', all(part(TEXT, 'frag'), part(BINARY, 'ment')), [close(1002)]],
  ['two fragmented messages, then a continuation too many',
    all(part(TEXT, 'a'), frame(0, 'b'), part(TEXT, 'c'), frame(0, 'd'), frame(0, 'e')),
    [[TEXT, 'ab'], [TEXT, 'cd'], close(1002)]],
]);

// UTF-8 (RFC 3629): the edges of each length, and what only looks like it.
const points = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x1f9f5, 0x1ffff, 0x10fffe, 0x10ffff];
const good = [
  ...points.map((point) => [`U+${point.toString(16)}`, Buffer.from(String.fromCodePoint(point))]),
  ['Greek', Buffer.from('κόσμε')],
  ['mixed', Buffer.from('Hello-µ@ßöäüàá-UTF-8!! 🧵')],
  ['a byte order mark', Buffer.from([0xef, 0xbb, 0xbf, 0x61])],
];
const bad = [
  ['a lone continuation', [0x80]], ['continuations only', [0x80, 0xbf, 0x80]], ['a lone lead of two', [0xc3]],
  ['a lead of two, then ASCII', [0xc3, 0x28]], ['two of three bytes', [0xe2, 0x82]], ['three of four bytes', [0xf0, 0x9f, 0xa7]],
  ['a lead of three, then ASCII', [0xe2, 0x82, 0x28]], ['FE', [0xfe]], ['FF', [0xff]], ['C0 80', [0xc0, 0x80]],
  ['C1 BF', [0xc1, 0xbf]], ['E0 80 AF, overlong', [0xe0, 0x80, 0xaf]], ['E0 9F BF, overlong', [0xe0, 0x9f, 0xbf]],
  ['F0 80 80 AF, overlong', [0xf0, 0x80, 0x80, 0xaf]], ['F0 8F BF BF, overlong', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]], ['six bytes', [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]],
  ['U+110000', [0xf4, 0x90, 0x80, 0x80]], ['F5', [0xf5, 0x80, 0x80, 0x80]],
  ['U+D800', [0xed, 0xa0, 0x80]], ['U+DBFF', [0xed, 0xaf, 0xbf]], ['U+DC00', [0xed, 0xb0, 0x80]], ['U+DFFF', [0xed, 0xbf, 0xbf]],
  ['a surrogate pair', [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80]], ['good, then bad', [...Buffer.from('κόσμε'), 0xed, 0xa0, 0x80]],
].map(([what, bytes]) => [what, Buffer.from(bytes)]);
const perByte = (bytes) =>
  [...bytes].map((byte, i) => frame(i === 0 ? TEXT : 0, Buffer.from([byte]), { fin: i === bytes.length - 1 }));
suite('6 UTF-8', [
  ...good.flatMap(([what, bytes]) => [
    [`${what}`, all(frame(TEXT, bytes), end), [[TEXT, bytes], close(1000)]],
    [`${what}, a fragment a byte`, all(...perByte(bytes), end), [[TEXT, bytes], close(1000)]],
    [`${what}, byte by byte`, octets(frame(TEXT, bytes), end), [[TEXT, bytes], close(1000)]],
  ]),
  ...bad.flatMap(([what, bytes]) => [
    [`bad: ${what}`, all(frame(TEXT, bytes), frame(PING, '')), [close(1007)]],
    [`bad: ${what}, a fragment a byte`, all(...perByte(bytes), frame(PING, '')), [close(1007)]],
    [`bad: ${what}, byte by byte`, octets(frame(TEXT, bytes)), [close(1007)]],
    [`bad as text, good as binary: ${what}`, all(frame(BINARY, bytes), end), [[BINARY, bytes], close(1000)]],
  ]),
  // As it arrives: the frame is announced longer than it ever gets.
  ['told before the frame ends', [frame(TEXT, Buffer.from([0x61, 0xff, 0x61]), { length: 3000 })], [close(1007)]],
  ['told before the message ends', [part(TEXT, Buffer.from('κόσμε')), part(0, Buffer.from([0xf4, 0x90]))], [close(1007)]],
  ['a character cut by a ping is whole', all(part(TEXT, Buffer.from([0xe2, 0x82])), frame(PING, Buffer.from([0xff])),
    frame(0, Buffer.from([0xac])), end), [[PONG, Buffer.from([0xff])], [TEXT, '€'], close(1000)]],
]);

suite('7 closing', [
  ['a close behind a message', all(frame(TEXT, 'hello'), end), [[TEXT, 'hello'], close(1000)]],
  ['two closes', all(end, end), [close(1000)]],
  ['a ping behind the close is not answered', all(end, frame(PING, 'late')), [close(1000)]],
  ['a message behind the close is not answered', all(end, frame(TEXT, 'late')), [close(1000)]],
  ['a close between fragments', all(part(TEXT, 'frag'), end, frame(0, 'ment')), [close(1000)]],
  ['256 KiB, a close, a ping', all(frame(TEXT, Buffer.alloc(262144, 'B')), end, frame(PING, '')),
    [[TEXT, Buffer.alloc(262144, 'B')], close(1000)]],
  ['a close without code', all(frame(CLOSE, '')), [close(1005)]],
  ['a close of one byte', all(frame(CLOSE, 'x')), [close(1002)]],
  ['a close with a reason', all(frame(CLOSE, closing(1000, 'Hello, world!'))), [close(1000)]],
  ['a reason of 123 bytes', all(frame(CLOSE, closing(1000, '*'.repeat(123)))), [close(1000)]],
  ['a reason of 124 bytes', all(frame(CLOSE, closing(1000, '*'.repeat(124)))), [close(1002)]],
  ['a reason that is no UTF-8', all(frame(CLOSE, Buffer.concat([closing(1000), Buffer.from([0xce, 0xba, 0xed, 0xa0, 0x80])]))),
    [close(1007)]],
  ['a close, byte by byte', octets(frame(CLOSE, closing(1001, 'bye'))), [close(1001)]],
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) =>
    [`code ${code} comes back`, all(frame(CLOSE, closing(code))), [close(code)]]),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) =>
    [`code ${code} may not be sent`, all(frame(CLOSE, closing(code))), [close(1002)]]),
]);

const mib = Buffer.alloc(1 << 20, 'x');
const fragments = (payload, size) =>
  pieces(payload, size).map((piece, i, list) => frame(i === 0 ? TEXT : 0, piece, { fin: i === list.length - 1 }));
suite('9 and 10 large messages and automatic fragments', [
  ['4 MiB', all(frame(BINARY, Buffer.alloc(4 << 20, 0xfe)), end), [[BINARY, Buffer.alloc(4 << 20, 0xfe)], close(1000)]],
  ['1 MiB in fragments of 64 bytes', all(...fragments(mib, 64), end), [[TEXT, mib], close(1000)]],
  ['1 MiB in fragments of 64 KiB', fragments(mib, 65536).concat(end), [[TEXT, mib], close(1000)]],
  ['1 MiB in pieces of 1,300 bytes', pieces(Buffer.concat([frame(TEXT, mib), end]), 1300), [[TEXT, mib], close(1000)]],
  ['65536 bytes in fragments of 1,300', fragments(Buffer.alloc(65536, '*'), 1300).concat(end),
    [[TEXT, Buffer.alloc(65536, '*')], close(1000)]],
  ['a thousand small messages', all(...Array.from({ length: 1000 }, (_, i) => frame(TEXT, `${i}`)), end),
    [...Array.from({ length: 1000 }, (_, i) => [TEXT, `${i}`]), close(1000)]],
]);

suite('beyond the suites: masks and lengths', [
  ['a frame without mask', all(frame(TEXT, 'hello', { mask: false })), [close(1002)]],
  ['a close without mask', all(frame(CLOSE, closing(1000), { mask: false })), [close(1002)]],
  ['a length of 5 in two bytes', all(frame(TEXT, 'hello', { wide: 2 })), [close(1002)]],
  ['a length of 5 in eight bytes', all(frame(TEXT, 'hello', { wide: 8 })), [close(1002)]],
  ['a length of 65535 in eight bytes', all(frame(TEXT, Buffer.alloc(65535, 'x'), { wide: 8 })), [close(1002)]],
  ['a length with the top bit', all(frame(BINARY, '', { wide: 8, length: -1 })), [close(1002)]],
  ['a length beyond the echo', all(frame(BINARY, '', { wide: 8, length: 2 ** 40 })), [close(1009)]],
]);
