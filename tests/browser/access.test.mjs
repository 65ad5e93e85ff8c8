// The page for everyone: names and roles, contrast in both themes, the keyboard alone, and a phone's width.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { balanced, isLive, launchBrowser, openPage, openRoom, say, Server, shown, side, until } from './harness.mjs';

const CONTRAST_MIN = 4.5; // WCAG 2.2, 1.4.3; 3 for large text
const CONTRAST_MIN_LARGE = 3;
const TOUCH_PX_MIN = 24; // WCAG 2.2, 2.5.8

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

// Every text on the page whose contrast with what lies behind it is too low, as "ratio text".
function weakTexts([ordinaryMin, largeMin]) {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const backdrop = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(':disabled, template, script, style, noscript, .unseen')) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const behind = backdrop(element);
    const [high, low] = [luminance(over(rgba(style.color), behind)), luminance(behind)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? largeMin : ordinaryMin)) weak.push(`${ratio.toFixed(2)} ${node.data.trim()}`);
  }
  return weak;
}

for (const colorScheme of ['light', 'dark']) {
  test(`text stands out enough: ${colorScheme}`, async () => {
    const page = await openRoom(browser, server, `contrast-${colorScheme}`, { colorScheme, reducedMotion: 'reduce' });
    await page.locator('#eventlog .filters input[name="state"]').check();
    for (const place of ['left', 'right', 'left']) await say(page, place, `words of the ${place}`);
    await balanced(page, 3);
    const check = async (what) => assert.deepEqual(await page.evaluate(weakTexts, [CONTRAST_MIN, CONTRAST_MIN_LARGE]), [], what);
    await check('live');
    await page.locator('#left-words').pressSequentially('hm');
    await side(page, 'right').locator('.drop').click();
    await say(page, 'left', 'one more');
    await check('cut');
    await side(page, 'right').locator('.drop').click();
    await isLive(page, 'right');
    await side(page, 'left').locator('.pause').click();
    await side(page, 'right').locator('.burst').click();
    await page.waitForSelector('#side-right .progress:not([hidden])');
    await check('paused, and a burst');
    await page.finish();
  });
}

test('everything one can operate has a name, and ids are unique', async () => {
  const page = await openRoom(browser, server, 'names');
  await say(page, 'left', 'hello');
  await balanced(page, 1);
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const operable = new Set(['button', 'textbox', 'radio', 'checkbox', 'link', 'tab', 'searchbox', 'combobox']);
  const named = new Set([...operable, 'log', 'region', 'table', 'group', 'progressbar', 'radiogroup']);
  const operated = nodes.filter(({ ignored, role }) => !ignored && operable.has(role?.value));
  assert.ok(operated.length >= 20, `found ${operated.length} things to operate`);
  const nameless = nodes.filter(({ ignored, role, name }) =>
    !ignored && (operable.has(role?.value) || (named.has(role?.value) && role.value !== 'table')) && !name?.value);
  assert.deepEqual(nameless.map(({ role }) => role.value), []);
  const headings = nodes.filter(({ ignored, role }) => !ignored && role?.value === 'heading').map(({ name }) => name.value);
  for (const name of ['Twinwire', 'Maren', 'Otis', 'Event log']) assert.ok(headings.includes(name), `heading ${name}`);
  const ids = await page.locator('[id]').evaluateAll((elements) => elements.map(({ id }) => id));
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  const logs = await page.locator('[role="log"]').evaluateAll((elements) => elements.map(({ ariaLive }) => ariaLive));
  assert.deepEqual(logs, ['polite', 'off'], 'new messages are read out once, not on both halves');
  await page.locator('#right-words').focus();
  assert.equal(await side(page, 'right').locator('[role="log"]').getAttribute('aria-live'), 'polite');
  await page.finish();
});

test('the keyboard alone is enough', async () => {
  const page = await openRoom(browser, server, 'keys');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
  const reached = [];
  for (let step = 0; step < 60 && !reached.includes('eventlog-clear'); step += 1) {
    reached.push(await focused());
    await page.keyboard.press('Tab');
  }
  for (const stop of ['right-words', 'drop', 'pause', 'burst', 'eventlog-clear']) assert.ok(reached.includes(stop), `Tab reaches ${stop}`);
  await page.locator('#left-words').focus();
  await page.keyboard.type('typed');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('on two lines');
  await page.keyboard.press('Enter');
  await until(async () => (await shown(page, 'right')).join() === 'typed\non two lines', 'it was sent');
  await side(page, 'left').locator('.transports input:checked').focus();
  await page.keyboard.press('ArrowRight');
  await until(async () => (await side(page, 'left').locator('.state-text').textContent()) === 'live over WebSocket', 'switched');
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement.nextElementSibling).outlineStyle);
  assert.equal(ring, 'solid', 'the focus is visible');
  await page.finish();
});

for (const [width, height] of [[320, 640], [390, 844], [768, 1024], [1024, 700]]) {
  test(`nothing sticks out at ${width} × ${height}`, async () => {
    const page = await openRoom(browser, server, `narrow-${width}`, { viewport: { width, height }, hasTouch: width < 700 });
    const long = 'Donaudampfschifffahrtsgesellschaft'.repeat(6);
    await server.say(`narrow-${width}`, long, 'a-visitor-with-quite-a-long-name-for-a-small-screen');
    await until(async () => (await shown(page, 'left')).includes(long), 'the long word');
    const check = async (what) => {
      const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= view, `${what}: ${wide} px in a window of ${view}`);
    };
    await check('the first half');
    if (width < 760) {
      const visible = () => page.locator('#side-left, #side-right, #eventlog').evaluateAll((all) => all.filter((e) => e.checkVisibility()).map((e) => e.id));
      assert.deepEqual(await visible(), ['side-left']);
      if (height > 800) {
        const box = await page.locator('#left-words').boundingBox();
        assert.ok(box.y + box.height <= height, 'the words field is in view');
      }
      await page.locator('#tab-right').click();
      assert.deepEqual(await visible(), ['side-right']);
      await check('the other half');
      await page.keyboard.press('ArrowRight');
      assert.deepEqual(await visible(), ['eventlog']);
      assert.equal(await page.locator('#tab-log').getAttribute('aria-selected'), 'true');
      await check('the event log');
      await page.locator('#tab-left').click();
      await say(page, 'left', 'from a phone');
      await balanced(page, 1);
      const small = await page.locator('button:visible, input:visible, textarea:visible').evaluateAll((all, least) =>
        all.filter((e) => e.getBoundingClientRect().height < least && !e.closest('.filters')).map((e) => e.className || e.id), TOUCH_PX_MIN);
      assert.deepEqual(small, []);
    }
    await page.finish();
  });
}

test('the theme follows the system until one chooses, and the choice lasts', async () => {
  const page = await openPage(browser, { colorScheme: 'dark' });
  await page.goto(server.url);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await paper();
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await paper();
  assert.notEqual(dark, light);
  await page.locator('#theme').click();
  await page.locator('#theme').click();
  assert.equal(await page.locator('#theme').getAttribute('aria-label'), 'Colours: dark');
  assert.equal(await paper(), dark);
  await page.reload();
  assert.equal(await paper(), dark);
  await page.locator('#theme').click();
  assert.equal(await paper(), light);
  await page.finish();
});

test('the room is chosen by address or by name, and is in neither case markup', async () => {
  const page = await openPage(browser);
  await page.goto(`${server.url}#from-the-hash`);
  assert.equal(await page.locator('#room-name').inputValue(), 'from-the-hash');
  await page.locator('#room-name').fill('<img src=x>');
  await page.locator('#room-name').press('Enter');
  await page.waitForURL(/room=/);
  assert.equal(await page.locator('#room-name').inputValue(), '<img src=x>');
  await isLive(page, 'right');
  assert.equal(await page.locator('img').count(), 0);
  await page.finish();
});
