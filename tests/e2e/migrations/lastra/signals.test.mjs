// Lastra Chat: signalling and media state over the one socket, and by its old endpoints.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, eventSource, startApp, webSocket } from '../../../support/migration.mjs';

let server;
before(async () => {
  server = await startApp('lastra');
});
after(() => server?.stop());

async function join(name) {
  const client = webSocket(`${server.wsUrl}/api/chat`, { dataOf: (m) => m.data });
  await client.send({ type: 'auth', data: { userId: name, userName: name } });
  await client.next('connected');
  return client;
}

test('L13 L30 L31 L52 L53 offer, answer and ICE candidates reach the one peer, in order, and nobody else', async () => {
  const [ada, bo, eve] = await Promise.all([join('ada'), join('bo'), join('eve')]);
  try {
    await ada.send({ type: 'webrtc-signal', id: 1, data: { targetId: 'bo', kind: 'offer', sdp: 'v=0 offer' } });
    const offer = await bo.next('webrtc-signal');
    assert.deepEqual([offer.from, offer.data.kind, offer.data.sdp], ['ada', 'offer', 'v=0 offer']);
    await bo.send({ type: 'webrtc-signal', data: { targetId: offer.from, kind: 'answer', sdp: 'v=0 answer' } });
    for (let n = 0; n < 10; n++) await bo.send({ type: 'webrtc-signal', data: { targetId: 'ada', kind: 'ice', candidate: n } });
    await ada.next('webrtc-signal', 11);
    const heard = ada.named('webrtc-signal').map((e) => e.data.data);
    assert.equal(heard[0].kind, 'answer');
    assert.deepEqual(heard.slice(1).map((s) => s.candidate), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const reply = await ada.until((h) => h.all.find((e) => e.message?.id === 1)?.message, 'the answer');
    assert.deepEqual([reply.success, reply.delivered], [true, true]);
    assert.equal(eve.named('webrtc-signal').length, 0);
  } finally {
    [ada, bo, eve].forEach((c) => c.close());
  }
});

test('L14 L32 L50 L51 camera, microphone and screen are told to all, and to who comes later', async () => {
  const [ada, bo] = await Promise.all([join('ada2'), join('bo2')]);
  try {
    const of = (client) => client.named('media-state').map((e) => e.data).filter((d) => d.userId === 'ada2');
    await ada.send({ type: 'media-state', data: { video: true, audio: true, screenShare: false } });
    await bo.until(() => of(bo).length === 1, 'camera and microphone');
    await ada.send({ type: 'media-state', data: { camera: true, mic: false, screen: true } });
    await bo.until(() => of(bo).length === 2, 'the screen');
    assert.deepEqual(of(bo).map((d) => [d.camera, d.mic, d.screen]), [[true, true, false], [true, false, true]]);
    const late = await join('late');
    await late.until((h) => h.named('media-state').some((e) => JSON.stringify(e.data).includes('ada2')), 'the state of those who are there');
    late.close();
  } finally {
    [ada, bo].forEach((c) => c.close());
  }
});

test('L34 before: signals by POST reach the old stream', async () => {
  const old = eventSource(`${server.url}/api/chat-stream?id=ada3`, ['message']);
  try {
    await old.until((h) => h.named('message').some((e) => e.data.type === 'connected'), 'connected');
    for (const path of ['chat-signal', 'screen-share-signal']) {
      const { body } = await call(server, `/api/${path}?id=bo3`, { target: 'ada3', sdp: path });
      assert.equal(body.success, true, JSON.stringify(body));
      await old.until((h) => h.named('message').some((e) => e.data.type === 'signal' && e.data.data.data.sdp === path), path);
    }
  } finally {
    old.close();
  }
});
