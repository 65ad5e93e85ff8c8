// What somebody sees of a closed room whom others bring in, send away and bring back: on every transport, from every
// place that a client may ask for (the beginning, the last N, a cursor of its own from before the membership, the session
// it had then), and by loading. Each way is tried with each, on the real server with tokens.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { curl, npmWebSocket, sleep } from '../support/clients.mjs';
import { Server } from '../support/server.mjs';
import { bearer, command, secret, token } from '../support/tokens.mjs';

let server;
before(async () => {
  server = await Server.start({
    args: ['--auth.mode', 'jwt', '--auth.algorithms', 'HS256', '--auth.secret', secret, '--shards', '2'],
  });
});
after(() => server?.stop());

const contents = (events) => events.filter((e) => e.type === 'message.created').map((e) => e.data.message.content);

async function did(who, name, body) {
  const answer = await command(server, token(who), name, body);
  assert.equal(answer.success, true, `${name}: ${JSON.stringify(answer)}`);
  return answer;
}

// The last thing of every stream: said in a room of the user's own, so that whatever was to come before has come.
async function pollAll(user, query, mark) {
  const events = [];
  let cursor = query;
  for (let n = 0; n < 20; n++) {
    const response = await fetch(`${server.url}/api/poll?wait=2&${cursor}`, { headers: bearer(token(user)) });
    assert.equal(response.status, 200);
    const answer = await response.json();
    events.push(...answer.events);
    if (contents(events).includes(mark)) return events;
    const rooms = new URLSearchParams(cursor).get('rooms');
    cursor = `lastEventId=${answer.lastEventId}&session=${answer.sessionId}${rooms ? `&rooms=${rooms}` : ''}`;
  }
  throw new Error(`the poll never came to ${mark}`);
}

let marks = 0;
/** All that `user` gets on each transport with this query, up to a mark that is said once the stream is open. */
async function everyStream(user, query) {
  const own = `own.${user}`;
  const got = {};
  for (const form of ['sse', 'ws', 'poll']) {
    const mark = `mark ${++marks}`;
    const full = `${query}${query ? '&' : ''}`;
    const rooms = /rooms=/.test(query) ? query.replace(/rooms=([^&]*)/, `rooms=$1,${own}`) : `${full}rooms=${own}`;
    if (form === 'poll') {
      const late = sleep(300).then(() => did('marker', 'messages.send', { room: own, content: mark }));
      got[form] = await pollAll(user, rooms, mark);
      await late;
    } else {
      const stream = form === 'sse'
        ? curl(`${server.url}/api/events?${rooms}`, '-H', `Authorization: Bearer ${token(user)}`)
        : npmWebSocket(`${server.wsUrl}/ws?${rooms}`, [], { headers: bearer(token(user)) });
      await stream.event('connected');
      await did('marker', 'messages.send', { room: own, content: mark });
      await stream.until((feed) => feed.contents.includes(mark), `${form} ${query}: ${mark}`);
      got[form] = stream.events;
      stream.close();
    }
  }
  return got;
}

/** Nothing of the room but `expected`, whatever is asked for; `queries` beside the usual ones. */
async function sees(user, room, expected, queries = []) {
  const usual = ['', 'lastEventId=earliest', 'history=50', `history=50&rooms=${room}`, `lastEventId=earliest&rooms=${room}`];
  for (const query of [...usual, ...queries]) {
    for (const [form, events] of Object.entries(await everyStream(user, query))) {
      const said = contents(events.filter((e) => e.room === room));
      const fresh = query === '' ? [] : expected; // without a cursor a stream begins now
      assert.deepEqual(said, fresh, `${user} on ${form} with '${query}'`);
    }
  }
  const loaded = await command(server, token(user), 'messages.load', { room });
  if (expected.length) assert.deepEqual(loaded.messages.map((m) => m.content), expected, 'loaded');
  return loaded;
}

/** Where a stream of the user stands, and its session. */
async function standing(user) {
  const stream = curl(`${server.url}/api/events?rooms=own.${user}`, '-H', `Authorization: Bearer ${token(user)}`);
  const { lastEventId, sessionId } = (await stream.event('connected')).data;
  stream.close();
  return { lastEventId, sessionId };
}

test('who is invited sees what came since, whatever they ask for; who was removed nothing; who comes back not what lay between', async () => {
  // Cursors and a session from before there was a room, or a membership in it.
  const early = await standing('dan');
  const { room } = await did('ann', 'rooms.create', { participantIds: ['bob', 'cat'], isGroup: true });
  await did('ann', 'messages.send', { room: room.id, content: 'before' });
  const late = await standing('dan');
  const resumes = [early, late].flatMap(({ lastEventId, sessionId }) => [
    `lastEventId=${lastEventId}`,
    `lastEventId=${lastEventId}&session=${sessionId}`,
    `lastEventId=${lastEventId}&rooms=${room.id}`,
  ]);
  assert.equal((await sees('dan', room.id, [], resumes)).code, 'forbidden');

  assert.deepEqual((await did('ann', 'rooms.invite', { room: room.id, users: ['dan'] })).added, ['dan']);
  await did('ann', 'messages.send', { room: room.id, content: 'since' });
  const loaded = await sees('dan', room.id, ['since'], resumes);
  assert.equal(loaded.hasMore, false, 'and nothing says that there was more');
  for (const more of [{ before: loaded.messages[0].id }, { after: early.lastEventId }, { after: '2020-01-01T00:00:00Z' }]) {
    const page = await command(server, token('dan'), 'messages.load', { room: room.id, ...more });
    assert.ok(page.messages.every((m) => m.content === 'since'), JSON.stringify(more));
  }
  // Who was there from the beginning has both.
  await sees('bob', room.id, ['before', 'since']);

  const member = await standing('dan');
  const watching = curl(`${server.url}/api/events`, '-H', `Authorization: Bearer ${token('dan')}`);
  await watching.event('connected');
  await did('ann', 'rooms.remove', { room: room.id, user: 'dan' });
  await did('ann', 'messages.send', { room: room.id, content: 'without dan' });
  assert.deepEqual((await watching.event('reset')).data, { ...(await watching.event('reset')).data, rooms: [room.id], reason: 'forbidden' });
  resumes.push(`lastEventId=${member.lastEventId}`, `lastEventId=${member.lastEventId}&session=${member.sessionId}&rooms=${room.id}`);
  assert.equal((await sees('dan', room.id, [], resumes)).code, 'forbidden');
  assert.deepEqual(watching.contents, []);
  watching.close();

  await did('ann', 'rooms.invite', { room: room.id, users: ['dan'] });
  await did('ann', 'messages.send', { room: room.id, content: 'again' });
  await sees('dan', room.id, ['again'], resumes);

  // history = full opens all of it to who is a member, for streams that open from then on.
  await did('ann', 'rooms.update', { room: room.id, history: 'full' });
  const whole = ['before', 'since', 'without dan', 'again'];
  await sees('dan', room.id, whole);
  await did('ann', 'rooms.update', { room: room.id, history: 'since_joined' });
  await sees('dan', room.id, ['again'], resumes);
});

test('an invitation to a stream that is open begins there, on each transport', async () => {
  const { room } = await did('ann', 'rooms.create', { participantIds: ['bob', 'cat'], isGroup: true });
  await did('ann', 'messages.send', { room: room.id, content: 'before' });
  const headers = bearer(token('guest'));
  const sse = curl(`${server.url}/api/events?lastEventId=earliest`, '-H', `Authorization: ${headers.authorization}`);
  const ws = npmWebSocket(`${server.wsUrl}/ws?lastEventId=earliest`, [], { headers });
  for (const stream of [sse, ws]) await stream.event('connected');
  const first = await (await fetch(`${server.url}/api/poll?wait=0&lastEventId=earliest`, { headers })).json();
  await did('ann', 'rooms.invite', { room: room.id, users: ['guest'] });
  await did('ann', 'messages.send', { room: room.id, content: 'welcome' });
  for (const stream of [sse, ws]) {
    await stream.event('room.member_added');
    assert.deepEqual(await stream.messages(1), ['welcome']);
  }
  const polled = await (
    await fetch(`${server.url}/api/poll?wait=5&lastEventId=${first.lastEventId}&session=${first.sessionId}`, { headers })
  ).json();
  assert.deepEqual(contents(polled.events), ['welcome']);
  await did('ann', 'rooms.remove', { room: room.id, user: 'guest' });
  await did('ann', 'messages.send', { room: room.id, content: 'gone' });
  for (const stream of [sse, ws]) await stream.event('reset');
  await sleep(200);
  for (const stream of [sse, ws]) {
    assert.deepEqual(stream.contents, ['welcome']);
    stream.close();
  }
});

test('polls that go on naming a room they may not read wait like any other', async () => {
  const headers = bearer(token('poller'));
  const ask = async (query) => (await fetch(`${server.url}/api/poll?rooms=group-none,polled&${query}`, { headers })).json();
  const first = await ask('wait=5');
  assert.deepEqual(first.events.map((e) => e.type), ['connected', 'reset']);
  const began = Date.now();
  const second = await ask(`wait=1&session=${first.sessionId}&lastEventId=${first.lastEventId}`);
  assert.ok(Date.now() - began > 800, 'it waited');
  assert.deepEqual(second.events.map((e) => e.type), ['reset']);
  const waiting = ask(`wait=10&session=${first.sessionId}&lastEventId=${second.lastEventId}`);
  await sleep(100);
  await did('marker', 'messages.send', { room: 'polled', content: 'something else' });
  assert.deepEqual((await waiting).events.filter((e) => !e.type.startsWith('presence')).map((e) => e.type), ['reset', 'message.created']);
});
