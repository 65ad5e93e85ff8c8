// What operators see and do, with real traffic: every counter moves by exactly what was done, gauges fall back to zero,
// lists page and filter, operations do what they say, a scrape holds nothing up.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { npmEventSource, npmWebSocket, poll, post, send, sendMany, sleep } from '../support/clients.mjs';
import { parse, value } from '../support/prometheus.mjs';
import { bin, Server } from '../support/server.mjs';

const run = promisify(execFile);

let server;
before(async () => {
  server = await Server.start({ args: ['--shards', '2', '--session.presence_grace_seconds', '1'] });
});
after(() => server?.stop());

const ws = (user, rooms, of = server) => npmWebSocket(`${of.wsUrl}/ws?id=${user}&rooms=${rooms}`);
const sse = (user, rooms, of = server) => npmEventSource(`${of.url}/api/events?id=${user}&rooms=${rooms}`);
const scrape = async (of = server) => parse(await (await of.admin('/metrics')).text());
const json = async (path, of = server) => (await of.admin(path)).json();
const act = async (path, body, of = server) => {
  const answer = await of.admin(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status: answer.status, ...(await answer.json()) };
};
async function until(what, find, ms = 8000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(30);
  }
}
const ctl = (of, ...words) =>
  run(join(bin, 'twinctl'), [...words, '--url', of.adminUrl, '--data', of.data], { env: { ...process.env, NO_COLOR: '1' } });
const ctlFails = (of, ...words) => ctl(of, ...words).then(
  (done) => assert.fail(`succeeded: ${done.stdout}`),
  (error) => error,
);

test('metrics: strict text, and every counter moves by what was done', async () => {
  const before = await scrape();
  const moved = (now, name, labels) => value(now, name, labels) - value(before, name, labels);
  const feeds = [sse('a1', 'count'), sse('a2', 'count'), sse('a3', 'count'), ws('a4', 'count'), ws('a5', 'count')];
  await Promise.all(feeds.map((feed) => feed.event('connected')));
  let now = await scrape();
  assert.equal(value(now, 'twinwire_connections', { transport: 'sse' }), 3);
  assert.equal(value(now, 'twinwire_connections', { transport: 'ws' }), 2);
  assert.equal(moved(now, 'twinwire_streams_opened_total', { transport: 'sse' }), 3);
  assert.equal(moved(now, 'twinwire_streams_opened_total', { transport: 'ws' }), 2);
  assert.equal(moved(now, 'twinwire_http_responses_total', { status: '101' }), 2);
  assert.equal(value(now, 'twinwire_sessions', { state: 'live' }), 5);
  const tenant = 'default';
  assert.equal(value(now, 'twinwire_tenant_streams', { tenant, transport: 'sse' }), 3);
  assert.equal(value(now, 'twinwire_tenant_streams', { tenant, transport: 'ws' }), 2);

  const messages = 7;
  await sendMany(server, 'writer', 'count', 'm', messages);
  await Promise.all(feeds.map((feed) => feed.messages(messages)));
  // Presence is state and of its own number; kept events are ours alone.
  now = await scrape();
  assert.equal(moved(now, 'twinwire_events_published_total', { class: 'kept' }), messages);
  const state = moved(now, 'twinwire_events_published_total', { class: 'state' });
  const delivered = moved(now, 'twinwire_deliveries_total', { from: 'live' });
  assert.ok(delivered >= messages * 5 && delivered <= messages * 5 + state * 5, `${delivered} deliveries, ${state} of state`);
  assert.equal(moved(now, 'twinwire_write_latency_seconds_count'), delivered, 'each delivery was timed');
  assert.equal(moved(now, 'twinwire_commands_total', { command: 'messages.send', code: 'ok' }), messages);
  assert.equal(moved(now, 'twinwire_command_latency_seconds_count', { command: 'messages.send' }), messages);
  assert.equal(moved(now, 'twinwire_store_events_total'), messages);
  assert.equal(moved(now, 'twinwire_store_latency_seconds_count'), messages);
  assert.equal(moved(now, 'twinwire_store_commit_events_sum'), messages);
  assert.equal(moved(now, 'twinwire_store_commit_events_count'), moved(now, 'twinwire_store_commits_total'));
  assert.equal(value(now, 'twinwire_store_backlog_events'), 0);
  assert.equal(value(now, 'twinwire_writer_lag_seconds'), 0);
  const frames = moved(now, 'twinwire_sent_frames_total');
  assert.ok(frames >= delivered && moved(now, 'twinwire_sends_total') <= frames);
  assert.ok(moved(now, 'twinwire_sent_bytes_total') > messages * 5 * 200);

  // Refusals by command and code, over both carriers, decoded or not.
  for (let i = 0; i < 3; ++i) await post(server, 'writer', 'messages.send', { room: 'count' });
  await post(server, 'writer', 'messages.send', '{');
  assert.equal((await feeds[3].command('messages.send', { room: '' })).success, false);
  await post(server, 'writer', 'rooms.join', { room: 'direct-none' });
  await send(server, 'writer', 'count', 'once', { clientId: 'c1' });
  await send(server, 'writer', 'count', 'once', { clientId: 'c1' });
  now = await scrape();
  assert.equal(moved(now, 'twinwire_commands_total', { command: 'messages.send', code: 'invalid_argument' }), 4);
  assert.equal(moved(now, 'twinwire_commands_total', { command: 'messages.send', code: 'invalid_json' }), 1);
  assert.equal(moved(now, 'twinwire_commands_total', { command: 'rooms.join' }), 1);
  assert.equal(moved(now, 'twinwire_tenant_refusals_total', { tenant }), 6);
  assert.equal(moved(now, 'twinwire_tenant_refusals_total', { tenant: '(other)' }), 0);
  assert.equal(moved(now, 'twinwire_duplicates_total'), 1);
  assert.equal(moved(now, 'twinwire_http_responses_total', { status: '400' }) >= 4, true);

  // Receipts are a class of their own; the tenant's numbers are the sums.
  const upTo = feeds[0].of('message.created')[0].eventId;
  assert.equal((await post(server, 'a1', 'receipts.read', { room: 'count', upTo })).success, true);
  await feeds[3].event('receipt.read');
  now = await scrape();
  assert.equal(moved(now, 'twinwire_events_published_total', { class: 'marker' }), 1);
  const sum = (name, label, words) => words.reduce((all, word) => all + moved(now, name, { [label]: word }), 0);
  const published = sum('twinwire_events_published_total', 'class', ['kept', 'ephemeral', 'state', 'marker']);
  assert.equal(moved(now, 'twinwire_tenant_events_published_total', { tenant }), published);
  const taken = sum('twinwire_deliveries_total', 'from', ['live', 'history']);
  assert.equal(moved(now, 'twinwire_tenant_deliveries_total', { tenant }), taken);

  feeds.slice(0, 4).forEach((feed) => feed.close());
  feeds[4].socket.close(1001);
  now = await until('the gauges to fall', async () => {
    const text = await scrape();
    return value(text, 'twinwire_sessions', { state: 'live' }) === 0 && text;
  });
  for (const transport of ['sse', 'ws', 'poll']) {
    assert.equal(value(now, 'twinwire_connections', { transport }), 0, transport);
    assert.equal(value(now, 'twinwire_tenant_streams', { tenant, transport }), 0, transport);
  }
  assert.equal(value(now, 'twinwire_sessions', { state: 'detached' }), 5);
  assert.equal(value(now, 'twinwire_blocked_streams') + value(now, 'twinwire_held_bytes'), 0);
  await until('the closes', async () => moved(await scrape(), 'twinwire_connections_closed_total', { cause: 'client' }) >= 5);
  assert.equal(moved(await scrape(), 'twinwire_websocket_closes_total', { by: 'client', code: '1001' }), 1);
});

test('resumes by where they read, resets by reason, take-overs, byes', async () => {
  const early = await send(server, 'w', 'resume', 'first');
  await sendMany(server, 'w', 'resume', 'r', 4);
  const before = await scrape();
  const moved = async (name, labels) => value(await scrape(), name, labels) - value(before, name, labels);
  const missed = npmWebSocket(`${server.wsUrl}/ws?id=back&rooms=resume&lastEventId=${early.eventId}`);
  await missed.messages(4);
  const nothing = npmWebSocket(`${server.wsUrl}/ws?id=back2&rooms=resume&lastEventId=${missed.ids.at(-1)}`);
  await nothing.event('connected');
  const unknown = npmWebSocket(`${server.wsUrl}/ws?id=back3&rooms=resume&lastEventId=000000000000-00000000000001`);
  await unknown.event('reset');
  const { sessionId } = (await missed.event('connected')).data;
  const taking = npmWebSocket(`${server.wsUrl}/ws?id=back&session=${sessionId}&lastEventId=${missed.ids.at(-1)}`);
  await taking.event('connected');
  await missed.event('bye');
  await until('all counted', async () => (await moved('twinwire_resumes_caught_up_total')) === 3);
  assert.equal(await moved('twinwire_resumes_total'), 3);
  assert.equal(await moved('twinwire_resumes_caught_up_total', { from: 'tail' }), 1);
  assert.equal(await moved('twinwire_resumes_caught_up_total', { from: 'live' }), 2);
  assert.equal(await moved('twinwire_resets_total', { reason: 'unknown_cursor' }), 1);
  assert.equal(await moved('twinwire_take_overs_total'), 1);
  assert.equal(await moved('twinwire_byes_total', { code: 'replaced' }), 1);
  assert.equal(await moved('twinwire_websocket_closes_total', { by: 'server', code: '1000' }), 1);
  assert.equal(await moved('twinwire_deliveries_total', { from: 'history' }), 4);
  [nothing, unknown, taking].forEach((feed) => feed.close());

  const polled = await poll(server, `id=p&rooms=resume&lastEventId=${early.eventId}`);
  assert.equal(polled.events.filter((event) => event.type === 'message.created').length, 4);
  assert.equal(await moved('twinwire_polls_total'), 1);
  assert.equal(await moved('twinwire_resumes_total'), 3, 'a poll is no reconnect');
});

test('a stream that comes back after a restart reads the store, and is counted so', async () => {
  const own = await Server.start({ args: ['--shards', '1'] });
  try {
    const early = await send(own, 'w', 'r', 'first');
    await sendMany(own, 'w', 'r', 'x', 3);
    await own.restart();
    const feed = npmWebSocket(`${own.wsUrl}/ws?id=back&rooms=r&lastEventId=${early.eventId}`);
    await feed.messages(3);
    await until('the count', async () => value(await scrape(own), 'twinwire_resumes_caught_up_total', { from: 'store' }) === 1);
    feed.close();
  } finally {
    await own.stop();
  }
});

test('rate limits, and connections turned away', async () => {
  const own = await Server.start({ rates: true, args: ['--limits.commands_per_second', '1', '--limits.commands_burst', '2', '--server.max_connections', '6'] });
  try {
    const feed = ws('fast', 'r', own);
    await feed.event('connected');
    const answers = [];
    for (let i = 0; i < 5; ++i) answers.push(await feed.command('typing.start', { room: 'r' }));
    const refused = answers.filter((answer) => answer.code === 'rate_limited').length;
    assert.ok(refused >= 2);
    let now = await scrape(own);
    assert.equal(value(now, 'twinwire_refusals_total', { code: 'rate_limited' }), refused);
    assert.equal(value(now, 'twinwire_commands_total', { command: 'typing.start', code: 'rate_limited' }), refused);
    const more = [];
    for (let i = 0; i < 8; ++i) more.push(sse(`m${i}`, 'r', own));
    await until('somebody sent away', async () => value(await scrape(own), 'twinwire_turned_away_total', { code: 'overloaded' }) > 0);
    more.forEach((each) => each.close());
    feed.close();
    now = await until('all gone', async () => {
      const text = await scrape(own);
      return value(text, 'twinwire_connections') === 0 && text;
    });
    assert.ok(value(now, 'twinwire_connections_closed_total', { cause: 'refused' }) > 0);
    const closed = value(now, 'twinwire_connections_closed_total');
    assert.equal(closed, value(now, 'twinwire_connections_accepted_total', { listener: 'public' }), 'each has its cause');
  } finally {
    await own.stop();
  }
});

test('rooms and sessions: pages, order, filters, one room', async () => {
  const own = await Server.start({ args: ['--shards', '2'] });
  try {
    for (let i = 0; i < 25; ++i) await send(own, 'w', `room${String(i).padStart(2, '0')}`, 'x');
    for (let i = 0; i < 4; ++i) await send(own, 'w', 'room07', 'more');
    const first = await json('/admin/rooms?limit=10', own);
    assert.deepEqual(first.rooms.map((room) => room.room), Array.from({ length: 10 }, (_, i) => `room0${i}`));
    assert.equal(first.total, 25);
    assert.equal(first.more, true);
    const last = await json('/admin/rooms?limit=10&offset=20', own);
    assert.deepEqual(last.rooms.map((room) => room.room), ['room20', 'room21', 'room22', 'room23', 'room24']);
    assert.equal(last.more, false);
    const busiest = await json('/admin/rooms?sort=published&limit=1', own);
    assert.equal(busiest.rooms[0].room, 'room07');
    assert.equal(busiest.rooms[0].published, 5);
    assert.equal((await json('/admin/rooms?contains=m1', own)).total, 10);
    assert.equal((await json('/admin/rooms?tenant=other', own)).total, 0);
    for (const wrong of ['limit=0', 'limit=1001', 'limit=x', 'sort=size', 'order=up', 'offset=10000']) {
      const answer = await own.admin(`/admin/rooms?${wrong}`);
      assert.equal(answer.status, 400, wrong);
      assert.match((await answer.json()).error, new RegExp(wrong.split('=')[0]), wrong);
    }

    const feeds = [ws('ann', 'room00', own), sse('ann', 'room01', own), ws('bob', 'room00,room01', own)];
    await Promise.all(feeds.map((feed) => feed.event('connected')));
    await until('live', async () => (await json('/admin/sessions?state=live', own)).total === 3);
    const all = await json('/admin/sessions', own);
    assert.deepEqual(all.sessions.map((session) => session.userId), ['ann', 'ann', 'bob']);
    assert.equal((await json('/admin/sessions?user=ann', own)).total, 2);
    assert.equal((await json('/admin/sessions?user=an', own)).total, 0);
    assert.equal((await json('/admin/sessions?room=room00', own)).total, 2);
    assert.equal((await json('/admin/sessions?transport=sse', own)).sessions[0].userId, 'ann');
    assert.equal((await json('/admin/sessions?sort=rooms&limit=1', own)).sessions[0].userId, 'bob');
    assert.equal((await own.admin('/admin/sessions?transport=tcp')).status, 400);
    // Readers are counted over all shards.
    assert.equal((await json('/admin/rooms?contains=room00', own)).rooms[0].readers, 2);

    const { room } = await post(own, 'ann', 'rooms.create', { participantIds: ['bob', 'cid'], name: 'three', isGroup: true });
    const detail = await json(`/admin/room?room=${encodeURIComponent(room.id)}`, own);
    assert.equal(detail.name, 'three');
    assert.equal(detail.room.kind, 'closed');
    assert.deepEqual(detail.members.map((member) => member.userId).sort(), ['ann', 'bob', 'cid']);
    assert.equal((await own.admin('/admin/room?room=nowhere')).status, 404);
    assert.equal((await own.admin('/admin/room')).status, 400);
    feeds.forEach((feed) => feed.close());
  } finally {
    await own.stop();
  }
});

test('kick: a user\'s streams, or one session\'s, with the reason', async () => {
  const feeds = [ws('kim', 'k'), sse('kim', 'k'), ws('lee', 'k')];
  await Promise.all(feeds.map((feed) => feed.event('connected')));
  const kicked = await act('/admin/kick', { user: 'kim', reason: 'be nice', reconnect: false });
  assert.deepEqual({ status: kicked.status, success: kicked.success, ended: kicked.ended }, { status: 200, success: true, ended: 2 });
  for (const feed of feeds.slice(0, 2)) {
    const bye = await feed.event('bye');
    assert.equal(bye.data.code, 'kicked');
    assert.equal(bye.data.reason, 'be nice');
    assert.equal(bye.data.reconnect, false);
  }
  await feeds[0].until((feed) => feed.closed, 'the close');
  assert.equal(feeds[0].closeCode, 4403);
  feeds[1].close();
  const { sessions } = await json('/admin/sessions?user=lee');
  const one = await act('/admin/kick', { session: sessions[0].sessionId });
  assert.equal(one.ended, 1);
  assert.equal((await feeds[2].event('bye')).data.reconnect, true);
  await feeds[2].until((feed) => feed.closed, 'the close');
  assert.equal(feeds[2].closeCode, 1000);
  assert.equal((await act('/admin/kick', { user: 'nobody' })).status, 404);
  assert.equal((await act('/admin/kick', {})).status, 400);
  assert.equal((await act('/admin/kick', { user: 'a', session: 'b' })).status, 400);
  assert.equal((await act('/admin/kick', { session: 'zz' })).status, 400);
  assert.equal((await server.admin('/admin/kick')).status, 405);
  const without = await fetch(`${server.adminUrl}/admin/kick`, { method: 'POST', body: '{"user":"lee"}' });
  assert.equal(without.status, 401);
});

test('clear: nothing of before is read any more, and the readers are told', async () => {
  const feed = ws('reader', 'wipe');
  await feed.event('connected');
  await sendMany(server, 'w', 'wipe', 'm', 3);
  const cleared = await act('/admin/clear', { room: 'wipe' });
  assert.equal(cleared.success, true, JSON.stringify(cleared));
  assert.equal((await feed.event('room.cleared')).eventId, cleared.eventId);
  assert.deepEqual((await post(server, 'w', 'messages.load', { room: 'wipe' })).messages, []);
  assert.equal((await act('/admin/clear', {})).status, 400);
  feed.close();
});

test('a tenant named in the body is the one published to', async () => {
  const sent = await act('/admin/publish', { room: 'x', text: 'hello', tenant: 'acme' });
  assert.equal(sent.success, true, JSON.stringify(sent));
  assert.equal((await json('/admin/rooms?tenant=acme')).rooms[0].room, 'x');
});

test('ready: reasons in JSON, not while draining; the drain is spread', async () => {
  const own = await Server.start({ args: ['--drain.seconds', '2', '--shards', '1'] });
  const ready = await fetch(`${own.adminUrl}/health/ready`);
  assert.equal(ready.status, 200);
  assert.deepEqual(await ready.json(), { status: 'ready', reasons: [] });
  const count = 200;
  const feeds = Array.from({ length: count }, (_, i) => ws(`u${i}`, 'r', own));
  await Promise.all(feeds.map((feed) => feed.event('connected')));
  const told = feeds.map((feed) => feed.event('bye').then((bye) => ({ at: Date.now(), bye })));
  const keptOpen = await fetch(`${own.adminUrl}/health/live`);  // a connection that asks again while draining
  assert.equal(keptOpen.status, 200);
  const began = Date.now();
  process.kill(own.pid, 'SIGTERM');
  await sleep(200);
  const draining = await fetch(`${own.adminUrl}/health/ready`);
  assert.equal(draining.status, 503);
  const { status, reasons } = await draining.json();
  assert.equal(status, 'not_ready');
  assert.deepEqual(reasons.map((reason) => reason.code), ['draining']);
  const byes = await Promise.all(told);
  assert.equal((await own.exited).code, 0);
  const times = byes.map(({ at }) => at - began).sort((a, b) => a - b);
  assert.ok(times[count - 1] - times[0] > 1000, `spread over ${times[count - 1] - times[0]} ms`);
  const firstHalf = times.filter((time) => time < 1000).length;
  assert.ok(firstHalf > count / 5 && firstHalf < (count * 4) / 5, `${firstHalf} of ${count} in the first second`);
  const after = new Set(byes.map(({ bye }) => bye.data.afterMs));
  assert.ok(after.size > count / 4, `afterMs has jitter: ${after.size} different ones`);
  for (const { bye } of byes) assert.deepEqual([bye.data.code, bye.data.reconnect], ['draining', true]);
  await rm(own.data, { recursive: true, force: true });
});

test('a scrape under load holds no tick up', async () => {
  const own = await Server.start({ args: ['--shards', '1', '--presence.enabled', 'false'] });
  try {
    // Rooms that are read stay in memory: twelve streams of 250 each.
    const names = (i) => Array.from({ length: 250 }, (_, k) => `many${i * 250 + k}`).join(',');
    const holders = Array.from({ length: 12 }, (_, i) => ws(`h${i}`, names(i), own));
    await Promise.all(holders.map((feed) => feed.event('connected')));
    const reader = ws('r', 'load', own);
    await reader.event('connected');
    const before = await scrape(own);
    let scraping = true;
    const scraper = (async () => {
      let scrapes = 0;
      for (; scraping; ++scrapes) {
        await Promise.all([scrape(own), json('/admin/rooms?sort=rate', own), json('/admin/stats', own)]);
      }
      return scrapes;
    })();
    const sent = await sendMany(own, 'w', 'load', 'm', 150);
    scraping = false;
    assert.ok((await scraper) > 3);
    assert.deepEqual(await reader.messages(150), sent);
    const now = await scrape(own);
    assert.equal(value(now, 'twinwire_rooms'), 3001);
    const slow = (text) => value(text, 'twinwire_tick_seconds_count') - value(text, 'twinwire_tick_seconds_bucket', { le: '0.524288' });
    assert.equal(slow(now) - slow(before), 0, 'no tick took half a second');
    // A list is made in pieces, one a tick: some 500 rooms each.
    const ticks = async () => value(await scrape(own), 'twinwire_tick_seconds_count');
    const first = await ticks();
    assert.equal((await json('/admin/rooms?sort=rate', own)).total, 3001);
    const passed = (await ticks()) - first;
    assert.ok(passed >= 6, `${passed} ticks`);
    [reader, ...holders].forEach((feed) => feed.close());
  } finally {
    await own.stop();
  }
});

test('twinctl: tables, JSON, errors that say what to do, exit codes', async () => {
  const own = await Server.start({ args: ['--shards', '1'] });
  try {
    const feed = ws('ann', 'lobby', own);
    await feed.event('connected');
    await send(own, 'bob', 'lobby', 'hello');
    const { stdout: rooms } = await ctl(own, 'rooms');
    assert.match(rooms, /TENANT +ROOM/);
    assert.match(rooms, /default +lobby/);
    assert.equal(JSON.parse((await ctl(own, 'rooms', '--json')).stdout).rooms[0].room, 'lobby');
    assert.match((await ctl(own, 'room', 'lobby')).stdout, /default\/lobby[^]*present\n {2}ann/);
    assert.match((await ctl(own, 'sessions', '--user', 'ann')).stdout, /ann[^]*1 session\n/);
    assert.match((await ctl(own, 'stats')).stdout, /connections[^]*LATENCY/);

    const lines = (await ctl(own, 'top', '--interval', '0.2', '--count', '3')).stdout.trimEnd().split('\n');
    assert.equal(lines.length, 3);
    for (const line of lines) assert.match(line, /^\d\d:\d\d:\d\d {2}sse 0 {2}ws 1 {2}poll 0 {2}published .*\/s/);
    const look = JSON.parse((await ctl(own, 'top', '-i', '0.2', '-n', '1', '--json')).stdout);
    assert.equal(look.ws, 1);
    assert.equal(look.busiestRooms[0].room, 'lobby');

    assert.match((await ctl(own, 'clear', 'lobby')).stdout, /^cleared lobby/);
    assert.match((await ctl(own, 'kick', 'ann', '--reason', 'night')).stdout, /^kicked 1 stream of ann; the clients may come back\n$/);
    assert.equal((await feed.event('bye')).data.reason, 'night');

    const gone = await ctlFails(own, 'kick', 'ann');
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /nobody of that name has a stream now \(not_found\)\.\n$/);
    const token = await ctlFails(own, 'stats', '--token', 'wrong');
    assert.equal(token.code, 1);
    assert.match(token.stderr, /admin\.token/);
    const listener = await run(join(bin, 'twinctl'), ['stats', '--url', own.url, '--data', own.data]).catch((error) => error);
    assert.equal(listener.code, 1);
    assert.match(listener.stderr, /admin address/);
    const nobody = await run(join(bin, 'twinctl'), ['top', '--url', 'http://127.0.0.1:1']).catch((error) => error);
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /Is the server running/);
    assert.equal((await ctlFails(own, 'rooms', '--limit', '0')).code, 2);
    assert.equal((await ctlFails(own, 'rooms', '--sort', 'size')).code, 1);
    assert.equal((await ctlFails(own, 'dance')).code, 2);
  } finally {
    await own.stop();
  }
});

test('the operators\' listener and twinctl speak IPv6 too', async () => {
  const own = await Server.start({ args: ['--admin', '[::1]:0', '--shards', '2'] });
  try {
    assert.match(own.adminUrl, /^http:\/\/\[::1\]:\d+$/);
    assert.equal((await fetch(`${own.adminUrl}/health/ready`)).status, 200);
    assert.equal((await own.admin('/admin/stats')).status, 200);
    await send(own, 'bob', 'lobby', 'hello');
    const bare = own.adminUrl.replace('http://', '');
    for (const where of [['--url', own.adminUrl], ['--admin', bare], ['--admin', `${own.adminUrl}/`]]) {
      const { stdout } = await run(join(bin, 'twinctl'), ['rooms', '--json', ...where, '--data', own.data]);
      assert.equal(JSON.parse(stdout).rooms[0].room, 'lobby', where.join(' '));
    }
    const feed = ws('ann', 'lobby', own);
    await feed.event('connected');
    await ctl(own, 'publish', 'lobby', 'by IPv6');
    await feed.until((f) => f.contents.includes('by IPv6'), 'what was published');
    const tail = await ctl(own, 'tail', 'lobby', '--from', 'earliest', '--count', '2');
    assert.match(tail.stdout, /hello[^]*by IPv6/);
    feed.close();
    const unbracketed = await run(join(bin, 'twinctl'), ['stats', '--admin', bare.replace(/[[\]]/g, '')]).catch((error) => error);
    assert.equal(unbracketed.code, 2);
    assert.match(unbracketed.stderr, /an IPv6 address stands in brackets, like \[::1\]:8081/);
  } finally {
    await own.stop();
  }
});

test('twinctl check-config says what the server would say', async () => {
  const path = join(server.data, 'check.toml');
  const check = (...words) => run(join(bin, 'twinctl'), ['check-config', path, ...words]).catch((error) => error);
  await writeFile(path, '[server]\ndeliver = "commit"\n');
  const fine = await check();
  assert.match(fine.stdout, /^fine/);
  assert.equal(JSON.parse((await check('--json')).stdout).ok, true);
  await writeFile(path, '[server]\ndeliverr = "commit"\n');
  const wrong = await check();
  assert.equal(wrong.code, 1);
  const said = await run(join(bin, 'twinwire'), ['check-config', '--config', path]).catch((error) => error);
  assert.notEqual(said.code, 0);
  assert.equal(wrong.stderr.replace('wrong ', '').trim(), said.stderr.replace('twinwire: ', '').trim());
  const read = JSON.parse((await check('--json')).stdout);
  assert.equal(read.ok, false);
  assert.equal(read.mistakes.length, 1);
});

test('twinctl top draws on a terminal, and q leaves it as it was', async () => {
  const words = [join(bin, 'twinctl'), 'top', '-i', '0.2', '--url', server.adminUrl, '--data', server.data];
  const child = spawn('script', ['-qfec', words.join(' '), '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] });
  let seen = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (seen += text));
  await until('the picture', () => seen.includes('BUSIEST ROOMS') && seen.includes('LATENCY'));
  child.stdin.write('q');
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
  assert.ok(seen.includes('\x1b[?1049h') && seen.endsWith('\x1b[?25h\x1b[?1049l'), 'the other screen, and back');
});
