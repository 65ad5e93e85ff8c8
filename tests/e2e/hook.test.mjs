// The save hook: every kept event reaches the backend, in order, at least once, whatever either side does meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { npmWebSocket, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Receiver, signatureIsRight } from '../support/receiver.mjs';
import { Server } from '../support/server.mjs';

const hooked = (receiver, ...args) => ['--hooks.save_url', receiver.url, '--hooks.retry_ms_max', '400', ...args];

async function metric(server, name) {
  const text = await (await server.admin('/metrics')).text();
  return Number(new RegExp(`^twinwire_${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

const contents = (events) => events.filter((e) => e.type === 'message.created').map((e) => e.data.message.content);

/** The first arrivals must rise; a repetition must repeat what was there. */
function assertInOrder(events) {
  let last = '';
  const seen = new Set();
  for (const { eventId } of events) {
    if (seen.has(eventId)) continue;
    assert.ok(eventId > last, `${eventId} came after ${last}`);
    seen.add((last = eventId));
  }
}

test('M4 every kept event is saved, in batches, in order, signed; what is not kept is not sent', async () => {
  const receiver = await Receiver.start();
  const server = await Server.start({
    args: hooked(receiver, '--hooks.secret', 'hush', '--hooks.authorization', 'Bearer backend', '--hooks.batch_events', '10'),
  });
  try {
    const sent = await sendMany(server, 'ann', 'saved', 'm', 25);
    await post(server, 'ann', 'typing.start', { room: 'saved' });
    await post(server, 'ann', 'rooms.create', { participantIds: ['bob'], isGroup: false });
    await receiver.until((r) => contents(r.events).length === 25 && r.events.some((e) => e.type === 'room.created'), 'all');
    assert.deepEqual(contents(receiver.events), sent);
    assertInOrder(receiver.events);
    assert.ok(!receiver.events.some((e) => e.type === 'typing' || e.type.startsWith('presence')));
    for (const batch of receiver.batches) {
      assert.ok(batch.events.length <= 10);
      assert.equal(batch.lastEventId, batch.events.at(-1).eventId);
      assert.equal(batch.path, '/api/messages/save');
      assert.equal(batch.headers.authorization, 'Bearer backend');
      assert.equal(batch.headers['content-type'], 'application/json');
      assert.ok(signatureIsRight('hush', batch));
    }
    const saved = receiver.events.find((e) => e.type === 'message.created');
    const { messages } = await post(server, 'ann', 'messages.load', { room: 'saved', limit: 256 });
    assert.deepEqual(saved.data.message, messages[0], 'the record is the message as clients have it');
    assert.equal(await metric(server, 'hook_dropped_total'), 0);
    assert.equal(await metric(server, 'hook_queue_events'), 0);
  } finally {
    await server.stop();
    await receiver.stop();
  }
});

test('M8 delivery does not wait for the backend: a stalled receiver delays nobody', async () => {
  const receiver = await Receiver.start();
  receiver.behave = () => 'stall';
  const server = await Server.start({ args: hooked(receiver, '--hooks.timeout_ms', '600000') });
  const reader = npmWebSocket(`${server.wsUrl}/ws?id=bob&rooms=quick`);
  try {
    await reader.event('connected');
    await send(server, 'ann', 'quick', 'first');
    await receiver.until((r) => r.tries.length > 0, 'a try that stalls');
    const began = Date.now();
    const sent = await sendMany(server, 'ann', 'quick', 'm', 100);
    await reader.messages(101);
    assert.deepEqual(reader.contents.slice(1), sent);
    assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
    assert.equal(receiver.batches.length, 0);
    assert.equal(await metric(server, 'hook_queue_events'), 101);
    const stopping = Date.now();
    await server.end();
    assert.ok(Date.now() - stopping < 9000, 'a request under way does not hold up the end');
  } finally {
    reader.close();
    await server.stop();
    await receiver.stop();
  }
});

test('M32 what the backend refuses waits on disk and is sent again: errors, resets, 429 with Retry-After, 413', async () => {
  const receiver = await Receiver.start();
  const answers = [
    { status: 500 }, 'reset', { status: 429, headers: { 'retry-after': '1' } }, { status: 404 }, { status: 302 },
  ];
  receiver.behave = (n, events) => answers[n - 1] ?? (events.length > 8 ? { status: 413 } : undefined);
  const server = await Server.start({ args: hooked(receiver) });
  try {
    const sent = await sendMany(server, 'ann', 'queue', 'm', 40);
    await receiver.until((r) => contents(r.events).length >= 40, 'all');
    assert.deepEqual(contents(receiver.events), sent, 'each once, since no answer was lost');
    assertInOrder(receiver.events);
    const [, , throttled, after] = receiver.tries;
    assert.ok(after.at - throttled.at >= 1000, `Retry-After: 1 was followed after ${after.at - throttled.at} ms`);
    for (const [i, entry] of receiver.tries.slice(1, 5).entries())
      assert.equal(entry.events[0].eventId, receiver.tries[i].events[0].eventId, 'nothing is passed over');
    assert.ok((await metric(server, 'hook_failures_total')) >= 5);
    assert.match(server.log, /save hook: answered 500/);
  } finally {
    await server.stop();
    await receiver.stop();
  }
});

test('M32 a backend that is down for a while gets everything when it comes back', async () => {
  const receiver = await Receiver.start();
  const server = await Server.start({ args: hooked(receiver) });
  try {
    const sent = await sendMany(server, 'ann', 'down', 'a', 10);
    await receiver.until((r) => contents(r.events).length === 10, 'the first ten');
    await receiver.stop();
    sent.push(...(await sendMany(server, 'ann', 'down', 'b', 10)));
    await sleep(500);
    assert.ok((await metric(server, 'hook_queue_events')) >= 10);
    await receiver.listen(receiver.port);
    await receiver.until((r) => contents(r.events).length >= 20, 'the rest');
    assert.deepEqual(contents(receiver.events), sent);
  } finally {
    await server.stop();
    await receiver.stop();
  }
});

test('M20 kill -9 of the server between and in the middle of batches: at least once, in order', async () => {
  const receiver = await Receiver.start();
  // Answers that are never heard force repetitions; the first two tries after each start fail altogether.
  receiver.behave = (n) => (n % 5 === 1 ? { status: 503 } : n % 5 === 2 ? 'reset' : undefined);
  const server = await Server.start({ args: hooked(receiver, '--hooks.batch_events', '7') });
  try {
    const stored = [];
    for (let round = 0; round < 4; round++) {
      stored.push(...(await sendMany(server, 'ann', `killed${round % 2}`, `${round}-`, 40)));
      await server.restart('SIGKILL');
    }
    await receiver.until((r) => new Set(contents(r.events)).size >= stored.length, 'all of them', 30000);
    const first = [...new Set(contents(receiver.events))];
    assert.deepEqual(first, stored, 'what was answered `stored` was saved, in order');
    assertInOrder(receiver.events);
  } finally {
    await server.stop();
    await receiver.stop();
  }
});

test('a queue that grows past its bound drops the oldest and counts them', async () => {
  const receiver = await Receiver.start();
  receiver.behave = () => ({ status: 500 });
  const server = await Server.start({ args: hooked(receiver, '--hooks.queue_events', '1000') });
  const sender = npmWebSocket(`${server.wsUrl}/ws?id=ann`);
  try {
    await sender.event('connected');
    await Promise.all(Array.from({ length: 1200 }, (_, i) => sender.command('messages.send', { room: 'full', content: `${i}` })));
    for (let i = 0; i < 100 && (await metric(server, 'hook_dropped_total')) < 200; i++) await sleep(50);
    assert.equal(await metric(server, 'hook_dropped_total'), 200);
    receiver.behave = () => undefined;
    await receiver.until((r) => contents(r.events).length >= 1000, 'the rest');
    assert.equal(contents(receiver.events)[0], '200');
    assert.match(server.log, /save hook: \d+ events dropped/);
  } finally {
    sender.close();
    await server.stop();
    await receiver.stop();
  }
});
