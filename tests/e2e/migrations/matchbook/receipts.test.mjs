// Matchbook: receipts, which it only had as a wish.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, startApp, webSocket } from '../../../support/migration.mjs';

let server;
before(async () => {
  server = await startApp('matchbook');
});
after(() => server?.stop());

test('M28 delivered and read are told to the sender, and kept', async () => {
  const { id } = (await call(server, '/api/conversations/create?id=ann', { participantIds: ['bob'] })).body.room;
  const [ann, bob] = ['ann', 'bob'].map((user) => webSocket(`${server.wsUrl}/ws?id=${user}`));
  try {
    await Promise.all([ann.next('connected'), bob.next('connected')]);
    await ann.send({ conversationId: id, content: 'seen?' });
    const { eventId } = await bob.next('message.created');
    for (const verb of ['delivered', 'read']) {
      await bob.send({ type: `receipts.${verb}`, data: { room: id, upTo: eventId } });
      const told = await ann.next(`receipt.${verb}`);
      assert.deepEqual([told.userId, told.upTo], ['bob', eventId]);
    }
    const { body } = await call(server, '/api/messages/load?id=ann', { room: id });
    assert.ok(body.receipts.some((r) => r.userId === 'bob'));
  } finally {
    ann.close();
    bob.close();
  }
});
