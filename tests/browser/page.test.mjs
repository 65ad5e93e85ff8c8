// The first page in a real browser against the real server: what a visitor would try.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  balanced, figures, isLive, launchBrowser, NETWORK_ERRORS, openPage, openRoom, say, Server, shown, side, sleep, until,
} from './harness.mjs';

const BURST = 500;

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

const untilShown = (page, place, texts) =>
  until(async () => JSON.stringify(await shown(page, place)) === JSON.stringify(texts), `${place} shows ${texts.length} messages`);
const stateOf = (page, place) => side(page, place).locator('.state-text').textContent();
const logged = (page, place, type) => page.locator(`#eventlog-rows tr.${place}[data-type="${type}"]`).count();

test('two people talk, one over SSE + POST, one over WebSocket; both see the same', async () => {
  const page = await openRoom(browser, server, 'talk');
  assert.equal(await stateOf(page, 'left'), 'live over SSE + POST');
  assert.equal(await stateOf(page, 'right'), 'live over WebSocket');
  const texts = ['Good morning', 'Morning!\nTwo lines', '<b>bold?</b> & "quoted"'];
  await say(page, 'left', texts[0]);
  await untilShown(page, 'right', texts.slice(0, 1));
  await page.locator('#right-words').fill(texts[1]);
  await side(page, 'right').locator('.send').click();
  await untilShown(page, 'left', texts.slice(0, 2));
  await say(page, 'left', texts[2]);
  for (const place of ['left', 'right']) await untilShown(page, place, texts);
  assert.equal(await page.locator('.messages b').count(), 0, 'what people say is text, never markup');
  await balanced(page, 3);
  const ids = (place) => page.locator(`#side-${place} .messages li`).evaluateAll((rows) => rows.map((row) => row.dataset.eventId));
  assert.deepEqual(await ids('left'), await ids('right'));
  for (const place of ['left', 'right']) {
    const meta = await side(page, place).locator('.messages li .latency').allTextContents();
    for (const text of meta) assert.match(text, /^[\d.]+ m?s$/);
    assert.match(await side(page, place).locator('.median').textContent(), /^[\d.]+ m?s$/);
  }
  const marks = () => side(page, 'left').locator('.own .mark').allTextContents();
  await until(async () => (await marks()).join() === 'stored,stored', 'both are marked as stored');
  await until(async () => (await page.locator('#verdict').textContent()) === 'Nothing lost', 'the verdict');
  await page.finish();
});

test('typing and presence are shown on the other half', async () => {
  const page = await openRoom(browser, server, 'present');
  const present = (place) => side(page, place).locator('.present b').allTextContents();
  for (const place of ['left', 'right']) {
    await until(async () => (await present(place)).join() === 'Maren,Otis', `presence on ${place}`);
  }
  await page.locator('#right-words').pressSequentially('Let me thi');
  await until(async () => (await side(page, 'left').locator('.typing').textContent()) === 'Otis is typing', 'Otis types');
  assert.equal(await side(page, 'right').locator('.typing').textContent(), '');
  await say(page, 'right', 'Let me think');
  await until(async () => (await side(page, 'left').locator('.typing').textContent()) === '', 'Otis is done');
  await page.locator('#left-words').pressSequentially('So');
  await until(async () => (await side(page, 'right').locator('.typing').textContent()) === 'Maren is typing', 'Maren types');
  const other = await openPage(browser);
  await other.goto(`${server.url}?room=present&left=Wilma&right=Zeno`);
  await until(async () => (await present('left')).join() === 'Maren,Otis,Wilma,Zeno', 'two more came');
  await other.finish();
  await until(async () => (await present('right')).join() === 'Maren,Otis', 'they went', 40_000);
  await page.finish();
});

test('a cut connection comes back by itself and has missed nothing', async () => {
  const page = await openRoom(browser, server, 'cut');
  const texts = Array.from({ length: 8 }, (_, index) => `while you were away ${index + 1}`);
  await say(page, 'left', 'before');
  await balanced(page, 1);
  for (const [cut, talks] of [['right', 'left'], ['left', 'right']]) {
    await side(page, cut).locator('.drop').click();
    assert.equal(await stateOf(page, cut), 'wire cut');
    // More than the history a new stream would ask for, so that only a true resume brings them all.
    const crowd = Array.from({ length: 70 }, (_, index) => `the crowd ${cut} ${index + 1}`);
    await Promise.all(crowd.map((text) => server.say('cut', text, 'crowd')));
    for (const text of texts) await say(page, talks, text);
    await until(async () => (await figures(page))[talks] - (await figures(page))[cut] === texts.length, 'the cut half is behind');
    await until(async () => /^8 waiting for /.test(await page.locator('#verdict').textContent()), 'the page says so');
    await side(page, cut).locator('.drop').click(); // now "Reconnect"
    await isLive(page, cut);
    await untilShownEnd(page, cut, texts);
    const there = new Set(await shown(page, cut));
    assert.deepEqual(crowd.filter((text) => !there.has(text)), []);
  }
  await balanced(page, 17);
  assert.match(await side(page, 'right').locator('.caughtup .latency').first().textContent(), /^caught up after/);
  assert.match(await side(page, 'right').locator('.position').textContent(), /resumed 1×/);
  await side(page, 'right').locator('.drop').click();
  await isLive(page, 'right'); // after five seconds, with nobody's help
  await balanced(page, 17);
  await page.finish();
});

const untilShownEnd = (page, place, texts) =>
  until(async () => JSON.stringify((await shown(page, place)).slice(-texts.length)) === JSON.stringify(texts), 'they arrived');

test('what is said while cut off waits and is sent once', async () => {
  const page = await openRoom(browser, server, 'hold');
  for (const place of ['left', 'right']) {
    await side(page, place).locator('.drop').click();
    await say(page, place, `from ${place}, offline`);
    assert.equal(await side(page, place).locator('.pending .mark').textContent(), 'waits for the connection');
    await side(page, place).locator('.drop').click();
    await isLive(page, place);
  }
  await balanced(page, 2);
  await until(async () => (await page.locator('.messages li.pending').count()) === 0, 'nothing is left pending');
  await page.finish();
});

test('a paused reader keeps its place', async () => {
  const page = await openRoom(browser, server, 'pause');
  for (const [place, other] of [['left', 'right'], ['right', 'left']]) {
    const button = side(page, place).locator('.pause');
    await button.click();
    assert.equal(await button.getAttribute('aria-pressed'), 'true');
    await say(page, other, `unread by ${place}`);
    await say(page, place, `said by ${place} while not reading`);
    await sleep(400);
    assert.equal((await shown(page, place)).includes(`unread by ${place}`), false);
    await button.click();
    await isLive(page, place);
    await until(async () => (await shown(page, place)).includes(`unread by ${place}`), 'it is read now');
  }
  await balanced(page, 4);
  await page.finish();
});

test('a burst of 500 arrives complete on both halves, from either transport', async () => {
  const page = await openRoom(browser, server, 'burst');
  await side(page, 'right').locator('.burst').click();
  await page.waitForSelector('#side-right .progress:not([hidden])');
  await balanced(page, BURST);
  await page.waitForSelector('#side-right .progress', { state: 'hidden' });
  await side(page, 'left').locator('.burst').click();
  await balanced(page, 2 * BURST);
  await until(async () => (await page.locator('#side-left .messages li').count()) === 250, 'a bounded number of rows');
  await page.finish();
});

test('a burst that meets the rate limit waits, sends again, and can be stopped', async (t) => {
  const strict = await Server.start({ flags: ['--limits.commands_per_second=2', '--limits.commands_burst=5'] });
  t.after(() => strict.stop());
  const page = await openRoom(browser, strict, 'limit', { expected: NETWORK_ERRORS });
  for (const place of ['left', 'right']) {
    await side(page, place).locator('.burst').click();
    const progress = side(page, place).locator('.progress-text');
    await until(async () => /, \d+ sent again$/.test(await progress.textContent()), 'the limit was met');
    assert.match(await side(page, place).locator('.notice').textContent(), /slow down/);
    await side(page, place).locator('.stop').click();
    await page.waitForSelector(`#side-${place} .progress`, { state: 'hidden' });
  }
  const { sent } = await figures(page);
  assert.ok(sent >= 4 && sent < 2 * BURST, `${sent} were sent`);
  await balanced(page, sent);
  const numbers = (await shown(page, 'left')).map((text) => Number(/^burst (\d+) of/.exec(text)[1]));
  assert.ok(numbers.every((number, index) => number === 1 || number === numbers[index - 1] + 1), 'in the order of their numbers');
  await page.finish();
});

test('a half changes its transport in the middle of a burst', async () => {
  const page = await openRoom(browser, server, 'switch');
  await side(page, 'right').locator('.burst').click();
  for (const transport of ['ws', 'poll', 'sse', 'poll', 'ws', 'sse']) {
    await sleep(500);
    await side(page, 'left').locator(`.transports input[value="${transport}"]`).check();
  }
  for (const transport of ['sse', 'poll', 'ws']) {
    await sleep(500);
    await side(page, 'right').locator(`.transports input[value="${transport}"]`).check();
  }
  await balanced(page, BURST);
  for (const place of ['left', 'right']) {
    await isLive(page, place);
    assert.equal(await logged(page, place, 'reset'), 0);
    assert.equal(await logged(page, place, 'replaced'), 0);
  }
  const sessions = await page.locator('#eventlog-rows tr.left[data-type="connected"] td:last-child').allTextContents();
  const names = new Set(sessions.map((text) => /^session (\w+)/.exec(text)?.[1]).filter(Boolean));
  assert.ok(names.size <= 1, `one session throughout, not ${[...names]}`);
  await page.finish();
});

test('talking by polling works in both directions', async () => {
  const page = await openRoom(browser, server, 'poll');
  await side(page, 'left').locator('.transports input[value="poll"]').check();
  await isLive(page, 'left');
  await until(async () => (await stateOf(page, 'left')) === 'live over polling', 'the poll is live');
  await say(page, 'right', 'do you hear me?');
  await until(async () => (await shown(page, 'left')).includes('do you hear me?'), 'the poll brought it');
  await say(page, 'left', 'every word');
  await until(async () => (await shown(page, 'right')).includes('every word'), 'the answer');
  await balanced(page, 2);
  await page.finish();
});

test('the server is killed and started again while people talk', async () => {
  const page = await openRoom(browser, server, 'kill', { expected: NETWORK_ERRORS });
  for (let index = 1; index <= 5; index += 1) await say(page, index % 2 ? 'left' : 'right', `before ${index}`);
  await balanced(page, 5);
  await server.end('SIGKILL');
  await until(async () => (await page.locator('.side[data-state="live"]').count()) === 0, 'both halves noticed');
  await until(async () => (await page.locator('#verdict').textContent()) === 'Both wires are down', 'the page says so');
  await say(page, 'left', 'into the dark, left');
  await say(page, 'right', 'into the dark, right');
  await server.restart();
  for (const place of ['left', 'right']) await isLive(page, place);
  await balanced(page, 7);
  assert.equal(await logged(page, 'left', 'reset'), 0);
  assert.equal(await logged(page, 'right', 'reset'), 0);
  await page.finish();
});

test('a message the server refuses is shown as refused, and says why', async () => {
  const page = await openRoom(browser, server, 'refuse', { expected: NETWORK_ERRORS });
  for (const place of ['left', 'right']) {
    await say(page, place, 'x'.repeat(70_000));
    await page.waitForSelector(`#side-${place} .messages li.failed`);
    assert.match(await side(page, place).locator('.notice').textContent(), /^Not sent: .*\(too_large\)$/);
    await isLive(page, place);
    await say(page, place, `${place} goes on`);
  }
  await balanced(page, 2);
  await page.finish();
});

test('a half whose session is taken over stops, says so, and comes back when asked', async () => {
  const page = await openRoom(browser, server, 'taken');
  const title = await side(page, 'right').locator('.position').getAttribute('title');
  const session = /session (\w+)/.exec(title)[1];
  const thief = new AbortController();
  const response = await fetch(`${server.url}api/events?id=Otis&rooms=taken&session=${session}`, { signal: thief.signal });
  assert.equal(response.status, 200);
  await page.waitForSelector('#side-right[data-state="replaced"]');
  thief.abort();
  await say(page, 'left', 'are you there?');
  await side(page, 'right').locator('.drop').click();
  await isLive(page, 'right');
  await balanced(page, 1);
  await page.finish();
});

test('history is there for who comes later, and another window sees the same room', async () => {
  const page = await openRoom(browser, server, 'later');
  await say(page, 'left', 'said before you came');
  await balanced(page, 1);
  const other = await openPage(browser);
  await other.goto(`${server.url}?room=later`);
  for (const place of ['left', 'right']) {
    await until(async () => (await shown(other, place)).join() === 'said before you came', 'history');
  }
  const names = await other.locator('.side .name').allTextContents();
  assert.equal(new Set(names).size, 2);
  await say(other, 'right', 'and here I am');
  for (const place of ['left', 'right']) {
    await until(async () => (await shown(page, place)).at(-1) === 'and here I am', 'it reached the first window');
  }
  await other.reload();
  assert.deepEqual(await other.locator('.side .name').allTextContents(), names, 'names last as long as the tab');
  await other.finish();
  await page.finish();
});

test('the same person on both sides', async () => {
  const page = await openRoom(browser, server, 'same', { search: '&same=1' });
  assert.deepEqual(await page.locator('.side .name').allTextContents(), ['Maren', 'Maren']);
  await say(page, 'left', 'me here');
  await say(page, 'right', 'me there');
  await balanced(page, 2);
  await until(async () => (await page.locator('.messages li.own').count()) === 4, 'all four are one\'s own');
  await page.finish();
});

test('the proof proves it', async () => {
  const page = await openRoom(browser, server, 'proof');
  await page.locator('#proof').click();
  await until(() => page.locator('#proof').isEnabled(), 'the proof ends', 90_000);
  await balanced(page, 240);
  await until(async () => /once and in order\.$/.test(await page.locator('#verdict-note').textContent()), 'it says so');
  assert.equal(await page.locator('#verdict').textContent(), 'Nothing lost');
  await page.finish();
});
