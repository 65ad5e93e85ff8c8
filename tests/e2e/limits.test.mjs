// The server against small machines and old kernels: few descriptors, several rings, more shards than cores, every
// kernel probe forced off.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { curl, npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Raw } from '../support/raw.mjs';
import { Server } from '../support/server.mjs';

const stream = async (server, user) => {
  const raw = await Raw.connect(server.port);
  raw.write(`GET /api/events?id=${user}&rooms=many HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
  return raw;
};

test('a descriptor limit of 64 and three rings: 120 streams at once, history works, the next are told overloaded', async () => {
  const server = await Server.start({
    limitFiles: 64,
    args: ['--shards', '1', '--server.rings_per_shard', '3'],
  });
  const streams = [];
  try {
    await sendMany(server, 'w', 'many', 'm', 3);
    for (let i = 0; i < 120; ++i) streams.push(await stream(server, `u${i}`));
    for (const raw of streams) await raw.until(() => raw.bytes.includes('event: connected'), 'connected');
    await send(server, 'w', 'many', 'to all of you');
    for (const raw of streams) await raw.until(() => raw.bytes.includes('to all of you'), 'the message');
    const history = await post(server, 'u', 'messages.load', { room: 'many', limit: 10 });
    assert.deepEqual(history.messages.map((message) => message.content), ['m1', 'm2', 'm3', 'to all of you']);

    let overloaded;
    for (let i = 0; i < 120 && !overloaded; ++i) {
      const raw = await stream(server, `late${i}`);
      streams.push(raw);
      await raw.until(() => raw.bytes.includes('event: connected') || raw.bytes.includes('event: bye') || raw.closed,
        'connected or bye');
      if (!raw.bytes.includes('event: connected')) overloaded = raw;
    }
    assert.ok(overloaded, 'the table is full at some point');
    const text = overloaded.bytes.toString();
    assert.match(text, /^HTTP\/1\.1 200 /, 'a native EventSource must survive it');
    assert.match(text, /\nretry: ?\d+/);
    assert.match(text, /event: bye\n(id: .*\n)?data: .*"overloaded"/);

    streams.splice(0, 60).forEach((raw) => raw.close());
    // The table that a connection falls to may still be full for a moment: what `retry:` is for.
    let again;
    for (let tries = 0; tries < 100; ++tries) {
      again = await stream(server, `again${tries}`);
      streams.push(again);
      await again.until(() => /event: (connected|bye)/.test(again.bytes) || again.closed, 'connected or bye');
      if (again.bytes.includes('event: connected')) break;
      await sleep(50);
    }
    assert.ok(again.bytes.includes('event: connected'), 'a place that was freed is given again');
    await send(server, 'w', 'many', 'serves on');
    await again.until(() => again.bytes.includes('serves on'), 'the message');
  } finally {
    for (const raw of streams) raw.close();
    await server.stop();
  }
});

for (const [what, args] of [
  ['every kernel probe forced off', ['--debug.probes_off', 'true']],
  ['five shards, not pinned', ['--shards', '5', '--server.pin', 'false']],
  ['one shard', ['--shards', '1']],
  ['deliver commit', ['--server.deliver', 'commit']],
]) {
  test(`${what}: all transports, one after another`, async () => {
    const server = await Server.start({ args });
    try {
      const sse = npmEventSource(`${server.url}/api/events?id=a&rooms=r`);
      const ws = npmWebSocket(`${server.wsUrl}/ws?id=b&rooms=r`);
      const lines = curl(`${server.url}/api/events?id=c&rooms=r`);
      const feeds = [sse, ws, lines];
      await Promise.all(feeds.map((feed) => feed.event('connected')));
      const sent = await sendMany(server, 'w', 'r', 'm', 30);
      for (let i = 1; i <= 10; ++i) {
        const reply = await ws.command('messages.send', { room: 'r', content: `w${i}` });
        assert.equal(reply.stored, true);
        sent.push(`w${i}`);
      }
      for (const feed of feeds) assert.deepEqual(await feed.messages(40), sent);
      const polled = await poll(server, 'id=p&rooms=r&lastEventId=earliest');
      const contents = polled.events.filter((event) => event.type === 'message.created');
      assert.deepEqual(contents.map((event) => event.data.message.content), sent);
      for (const feed of feeds) feed.close();
      assert.deepEqual(await server.end(), { code: 0, signal: null });
    } finally {
      await server.stop();
    }
  });
}

test('a data directory in use is refused with a sentence, and so is a taken port', async () => {
  const server = await Server.start();
  try {
    await assert.rejects(Server.start({ data: server.data }), /in use|used by|another process/);
    await assert.rejects(Server.start({ listen: `127.0.0.1:${server.port}` }), /in use/i);
    await send(server, 'w', 'r', 'the first goes on');
  } finally {
    await server.stop();
  }
});
