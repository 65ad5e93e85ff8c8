// Chromium's own EventSource and WebSocket against the server, with none of the page's code in between: receive,
// send, reconnect, resume, take-over.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { blankPage, launchBrowser, NETWORK_ERRORS, Server, sleep, until } from './harness.mjs';

let server;
let browser;

before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

// Opens an EventSource in the page as window[name], noting every event as {type, id, data}.
async function openSource(page, name, query) {
  await page.evaluate(([name, query]) => {
    const source = new EventSource(`/api/events?${query}`);
    const seen = [];
    for (const type of ['connected', 'message.created', 'typing', 'reset', 'bye', 'goal.created']) {
      source.addEventListener(type, (event) => seen.push({ type, id: event.lastEventId, data: JSON.parse(event.data) }));
    }
    window[name] = { source, seen };
  }, [name, query]);
  await until(() => page.evaluate((name) => window[name].seen.some(({ type }) => type === 'connected'), name), 'connected');
}

// Opens a WebSocket as window[name], noting every message parsed, and the code it was closed with.
async function openSocket(page, name, query, protocols) {
  await page.evaluate(([name, query, protocols]) => {
    const url = `${location.origin.replace('http', 'ws')}/ws?${query}`;
    const socket = protocols ? new WebSocket(url, protocols) : new WebSocket(url);
    const entry = { socket, seen: [], closed: null };
    socket.onmessage = ({ data }) => entry.seen.push(JSON.parse(data));
    socket.onclose = ({ code }) => (entry.closed = code);
    window[name] = entry;
  }, [name, query, protocols]);
  await until(() => page.evaluate((name) => window[name].seen.some(({ type }) => type === 'connected'), name), 'connected');
}

const seen = (page, name) => page.evaluate((name) => window[name].seen, name);
const contents = (events) =>
  events.map((event) => event.data?.message ?? event.data?.data?.message).filter(Boolean).map(({ content }) => content);
const untilSeen = (page, name, count) =>
  until(async () => contents(await seen(page, name)).length >= count, `${count} messages on ${name}`);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => `message ${from + index}`);

function assertIncreasing(ids) {
  for (let index = 1; index < ids.length; index += 1) assert.ok(ids[index - 1] < ids[index], `${ids[index - 1]} then ${ids[index]}`);
}

test('EventSource hears connected and messages, each with its id, and text comes as it was said', async () => {
  const page = await blankPage(browser, server);
  await openSource(page, 'feed', 'id=ann&rooms=native-sse');
  const texts = ['plain', 'two\nlines\r\nand three', '<i>"quoted"</i> \\ \u2028 \u{1f642}', ' data: not a field'];
  for (const text of texts) await server.say('native-sse', text);
  await untilSeen(page, 'feed', texts.length);
  const events = await seen(page, 'feed');
  const [connected, ...messages] = events;
  assert.equal(connected.type, 'connected');
  assert.match(connected.data.data.sessionId, /^[0-9a-f]{32}$/);
  assert.equal(connected.id, connected.data.data.lastEventId);
  assert.equal(connected.data.data.userId, 'ann');
  assert.equal(connected.data.data.resumed, false);
  assert.deepEqual(connected.data.data.rooms, ['native-sse']);
  assert.deepEqual(contents(messages), texts);
  for (const { id, data } of messages) assert.equal(id, data.eventId);
  assertIncreasing(events.map(({ id }) => id));
  await page.finish();
});

test('EventSource: typing comes without an id and does not move Last-Event-ID', async () => {
  const page = await blankPage(browser, server);
  await openSource(page, 'feed', 'id=ann&rooms=native-typing');
  const { eventId, message } = await server.say('native-typing', 'first');
  assert.equal((await server.command('typing.start', { room: 'native-typing' }, 'bob')).success, true);
  await until(async () => (await seen(page, 'feed')).some(({ type }) => type === 'typing'), 'typing');
  const typing = (await seen(page, 'feed')).find(({ type }) => type === 'typing');
  assert.equal(typing.data.data.userId, 'bob');
  assert.equal(typing.data.data.isTyping, true);
  assert.equal(typing.id, message.id);
  assert.equal(eventId ?? message.id, message.id);
  await page.finish();
});

test('EventSource comes back by itself after kill -9 and reads on with Last-Event-ID', async () => {
  const page = await blankPage(browser, server, { expected: NETWORK_ERRORS });
  await openSource(page, 'feed', 'id=ann&rooms=native-kill');
  for (const text of numbers(1, 20)) await server.say('native-kill', text);
  await untilSeen(page, 'feed', 20);
  await server.restart('SIGKILL');
  for (const text of numbers(21, 40)) await server.say('native-kill', text);
  await untilSeen(page, 'feed', 40);
  const events = await seen(page, 'feed');
  assert.deepEqual(contents(events), numbers(1, 40));
  const connects = events.filter(({ type }) => type === 'connected');
  assert.deepEqual(connects.map(({ data }) => data.data.resumed), [false, true]);
  assert.deepEqual(events.filter(({ type }) => type === 'reset'), []);
  assertIncreasing(events.filter(({ type }) => type === 'message.created').map(({ id }) => id));
  await page.finish();
});

test('EventSource hears bye when the server ends in order, and comes back to the next one', async () => {
  const page = await blankPage(browser, server, { expected: NETWORK_ERRORS });
  await openSource(page, 'feed', 'id=ann&rooms=native-term');
  await server.say('native-term', 'message 1');
  await untilSeen(page, 'feed', 1);
  assert.equal(await server.end('SIGTERM'), 0);
  await until(async () => (await seen(page, 'feed')).some(({ type }) => type === 'bye'), 'bye');
  await server.restart();
  await server.say('native-term', 'message 2');
  await untilSeen(page, 'feed', 2);
  assert.deepEqual(contents(await seen(page, 'feed')), numbers(1, 2));
  await page.finish();
});

test('WebSocket sends commands, hears events, and its ping is answered', async () => {
  const page = await blankPage(browser, server);
  await openSocket(page, 'line', 'id=bob&rooms=native-ws', ['twinwire.v1']);
  assert.equal(await page.evaluate(() => window.line.socket.protocol), 'twinwire.v1');
  await page.evaluate(() => {
    const { socket } = window.line;
    const data = { room: 'native-ws', content: 'over the socket', clientId: 'once' };
    socket.send(JSON.stringify({ type: 'messages.send', id: 'a', data }));
    socket.send(JSON.stringify({ type: 'messages.send', id: 'b', data }));
    socket.send(JSON.stringify({ type: 'no.such', id: 'c' }));
    socket.send(JSON.stringify({ type: 'ping' }));
  });
  const replyTo = async (id) => (await seen(page, 'line')).find((message) => message.type === 'reply' && message.id === id);
  await until(async () => (await replyTo('a')) && (await replyTo('b')) && (await replyTo('c')), 'three replies');
  await until(async () => (await seen(page, 'line')).some(({ type }) => type === 'pong'), 'pong');
  await untilSeen(page, 'line', 1);
  await sleep(200);
  const first = await replyTo('a');
  const second = await replyTo('b');
  assert.equal(first.success, true);
  assert.equal(first.stored, true);
  assert.equal(second.duplicate, true);
  assert.equal(second.message.id, first.message.id);
  assert.equal((await replyTo('c')).success, false);
  const events = (await seen(page, 'line')).filter(({ type }) => type === 'message.created');
  assert.deepEqual(events.map(({ eventId, data }) => [eventId, data.message.content]), [[first.message.id, 'over the socket']]);
  await page.finish();
});

test('WebSocket resumes from lastEventId: none lost, none twice', async () => {
  const page = await blankPage(browser, server);
  await openSocket(page, 'line', 'id=bob&rooms=native-resume');
  for (const text of numbers(1, 5)) await server.say('native-resume', text);
  await untilSeen(page, 'line', 5);
  const before = await seen(page, 'line');
  await page.evaluate(() => window.line.socket.close());
  for (const text of numbers(6, 10)) await server.say('native-resume', text);
  await openSocket(page, 'again', `id=bob&rooms=native-resume&lastEventId=${before.at(-1).eventId}`);
  await server.say('native-resume', 'message 11');
  await untilSeen(page, 'again', 6);
  assert.deepEqual(contents(await seen(page, 'again')), numbers(6, 11));
  assert.equal((await seen(page, 'again'))[0].data.resumed, true);
  await page.finish();
});

test('a session moves from EventSource to WebSocket and back; the old stream is told so', async () => {
  const page = await blankPage(browser, server);
  await openSource(page, 'feed', 'id=ann&rooms=native-move');
  for (const text of numbers(1, 5)) await server.say('native-move', text);
  await untilSeen(page, 'feed', 5);
  const opened = await seen(page, 'feed');
  const session = opened[0].data.data.sessionId;
  // As a client must: it closes the EventSource when it is told `bye`, or the browser would take the session back.
  await page.evaluate(() => window.feed.source.addEventListener('bye', () => window.feed.source.close()));
  await openSocket(page, 'line', `id=ann&rooms=native-move&session=${session}&lastEventId=${opened.at(-1).id}`);
  await until(async () => (await seen(page, 'feed')).some(({ type }) => type === 'bye'), 'bye on the old stream');
  const bye = (await seen(page, 'feed')).find(({ type }) => type === 'bye');
  assert.ok([bye.data.data.code, bye.data.data.reason].includes('replaced'));
  assert.equal(bye.data.data.reconnect, false);
  for (const text of numbers(6, 10)) await server.say('native-move', text);
  await untilSeen(page, 'line', 5);
  const onSocket = await seen(page, 'line');
  assert.equal(onSocket[0].data.sessionId, session);
  assert.deepEqual(contents(onSocket), numbers(6, 10));
  const cursor = onSocket.filter(({ eventId }) => eventId).at(-1).eventId;
  await openSource(page, 'back', `id=ann&rooms=native-move&session=${session}&lastEventId=${cursor}`);
  await until(() => page.evaluate(() => window.line.closed !== null), 'the socket is closed');
  await server.say('native-move', 'message 11');
  await untilSeen(page, 'back', 1);
  assert.deepEqual(contents(await seen(page, 'back')), ['message 11']);
  assert.deepEqual(contents(await seen(page, 'feed')), numbers(1, 5));
  await page.finish();
});

test('EventSource and WebSocket in one room hear the same events with the same ids', async () => {
  const page = await blankPage(browser, server);
  await openSource(page, 'feed', 'id=ann&rooms=native-same');
  await openSocket(page, 'line', 'id=bob&rooms=native-same');
  await Promise.all(numbers(1, 40).map((text) => server.say('native-same', text)));
  await untilSeen(page, 'feed', 40);
  await untilSeen(page, 'line', 40);
  const messages = (events) => events.filter(({ type }) => type === 'message.created');
  const bySource = messages(await seen(page, 'feed')).map(({ data }) => data);
  const bySocket = messages(await seen(page, 'line'));
  assert.deepEqual(bySource, bySocket);
  assertIncreasing(bySocket.map(({ eventId }) => eventId));
  await page.finish();
});
