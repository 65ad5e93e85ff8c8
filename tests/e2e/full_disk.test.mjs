// A disk that is really full: a small file system under the data directory, filled up while the server runs. What
// cannot be stored is refused or told, everything else goes on, and it heals by itself when there is room again.
import assert from 'node:assert/strict';
import { open, rm } from 'node:fs/promises';
import { test } from 'node:test';

import { npmEventSource, npmWebSocket, post, send, sendMany, sleep } from '../support/clients.mjs';
import { Server, canMount } from '../support/server.mjs';

const giveUp = 1500;
const pad = 'x'.repeat(40000);

/** Writes until the disk takes no byte more. */
async function fill(server) {
  const file = await open(server.inside('ballast'), 'w');
  try {
    for (let size = 1 << 20; size >= 1; size >>= 1) {
      for (;;) {
        const { bytesWritten } = await file.write(Buffer.alloc(size)).catch((error) => {
          if (error.code !== 'ENOSPC') throw error;
          return { bytesWritten: 0 };
        });
        if (bytesWritten < size) break;
      }
    }
  } finally {
    await file.close();
  }
}

for (const deliver of ['publish', 'commit']) {
  test(`a full disk under deliver ${deliver}`, { skip: !canMount && 'nothing can be mounted here' }, async () => {
    const server = await Server.start({
      disk: 48,
      args: ['--server.deliver', deliver, '--store.give_up_ms', `${giveUp}`, '--drain.seconds', '1'],
    });
    const reader = npmWebSocket(`${server.wsUrl}/ws?id=reader&rooms=disk`);
    const sender = npmEventSource(`${server.url}/api/events?id=sender`);
    try {
      await Promise.all([reader.event('connected'), sender.event('connected')]);
      const stored = await sendMany(server, 'sender', 'disk', 'before', 5);
      await fill(server);

      // What the log has room for is still stored; then one is not.
      let refused;
      for (let i = 0; !refused; ++i) {
        assert.ok(i < 1000, 'the disk is full at some point');
        const content = `full${i} ${pad}`;
        const answer = await post(server, 'sender', 'messages.send', { room: 'disk', content, clientId: `c${i}` });
        if (answer.success) stored.push(content);
        else refused = { answer, content, clientId: `c${i}` };
      }
      assert.equal(refused.answer.code, 'storage_unavailable', JSON.stringify(refused.answer));
      assert.equal(refused.answer.status, 503);
      assert.equal(refused.answer.retryable, true);
      assert.ok(Number(refused.answer.headers.get('retry-after')) >= 1);

      // The sender's other streams are told; where everyone saw it, so is the room.
      const unsaved = await sender.event('message.unsaved');
      assert.equal(unsaved.data.clientId, refused.clientId);
      if (deliver === 'publish') {
        await reader.until((feed) => feed.contents.includes(refused.content), 'it was seen');
        assert.equal((await reader.event('message.unsaved')).data.eventId, unsaved.data.eventId);
      } else {
        assert.ok(!reader.contents.includes(refused.content), 'nobody saw it');
      }

      // Kept events are refused at once; what need not be kept goes on; so does reading.
      const began = Date.now();
      const next = await post(server, 'sender', 'messages.send', { room: 'disk', content: 'no' });
      assert.equal(next.code, 'storage_unavailable');
      assert.ok(Date.now() - began < giveUp, 'at once');
      const fleeting = await post(server, 'sender', 'events.publish',
        { room: 'disk', type: 'goal.created', data: { still: true }, ephemeral: true });
      assert.equal(fleeting.success, true, JSON.stringify(fleeting));
      await reader.event('goal.created');
      const { messages } = await post(server, 'reader', 'messages.load', { room: 'disk', limit: 3 });
      assert.deepEqual(messages.map((message) => message.content), stored.slice(-3));
      const stats = await (await server.admin('/admin/stats')).json();
      assert.equal(stats.store.failing, true);
      assert.ok(stats.events.unsaved >= 1);
      assert.equal((await fetch(`${server.adminUrl}/health/live`)).status, 200);
      // Not ready for more, and it says why.
      let ready;
      for (const until = Date.now() + 15000; ; await sleep(50)) {
        ready = await fetch(`${server.adminUrl}/health/ready`);
        if (ready.status === 503 || Date.now() > until) break;
      }
      assert.deepEqual((await ready.json()).reasons.map((reason) => reason.code), ['storage_unavailable']);

      // Room again: it heals by itself, and the same id may be sent anew.
      await rm(server.inside('ballast'));
      let healed;
      for (const until = Date.now() + 15000; !healed; await sleep(100)) {
        assert.ok(Date.now() < until, 'it heals');
        const again = await post(server, 'sender', 'messages.send',
          { room: 'disk', content: refused.content, clientId: refused.clientId });
        if (again.success) healed = again;
        else assert.equal(again.code, 'storage_unavailable');
      }
      assert.equal(healed.stored, true);
      assert.notEqual(healed.duplicate, true);
      assert.notEqual(healed.eventId, unsaved.data.eventId);
      stored.push(refused.content, ...(await sendMany(server, 'sender', 'disk', 'after', 5)));

      // Readers have what history has, but for what they were told is unsaved.
      await reader.until((feed) => feed.contents.at(-1) === 'after5', 'the last');
      const lost = new Set(reader.of('message.unsaved').map((event) => event.data.eventId));
      const kept = reader.of('message.created').filter((event) => !lost.has(event.eventId));
      assert.deepEqual(kept.map((event) => event.data.message.content), stored);
      const late = npmWebSocket(`${server.wsUrl}/ws?id=late&rooms=disk&lastEventId=earliest`);
      assert.deepEqual(await late.messages(stored.length), stored);
      late.close();
      assert.deepEqual(await server.end(), { code: 0, signal: null });
      assert.match(server.log, /store: healed/);
    } finally {
      reader.close();
      sender.close();
      await server.stop();
    }
  });
}
