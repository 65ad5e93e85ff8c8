// What the browser tests share: the real server as a child process, Chromium, and pages that must stay clean.
// A server is ended by its own process id; a page that logs an error or asks another origin fails its test.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const READY_MS_MAX = 60_000;
const ACTION_MS_MAX = 90_000; // two cores may serve four browsers
const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

const newClientId = () => randomBytes(12).toString('hex');
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// TWINWIRE_BIN names the program, or the folder it lies in; else what `tools/dev build` made.
function serverProgram() {
  const given = process.env.TWINWIRE_BIN || path.join(root, 'build/bin');
  const program = statSync(given, { throwIfNoEntry: false })?.isDirectory() ? path.join(given, 'twinwire') : given;
  assert.ok(existsSync(program), `no server at ${program}: build it, or set TWINWIRE_BIN`);
  return program;
}

export class Server {
  static async start({ flags = [] } = {}) {
    const server = new Server();
    server.data = mkdtempSync(path.join(tmpdir(), 'twinwire-browser-'));
    server.flags = flags;
    server.listen = '127.0.0.1:0';
    await server.#run();
    return server;
  }

  async #run() {
    const args = ['serve', '--listen', this.listen, '--admin', '127.0.0.1:0', '--data', this.data, ...this.flags];
    this.child = spawn(serverProgram(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.child, 'exit');
    this.complaints = '';
    this.child.stderr.on('data', (bytes) => (this.complaints = (this.complaints + bytes).slice(-20_000)));
    this.url = await this.#ready();
    this.listen = new URL(this.url).host; // a restart comes back at the same address
  }

  #ready() {
    return new Promise((resolve, reject) => {
      const give = (why) => reject(new Error(`the server did not get ready (${why}):\n${this.complaints}`));
      const timer = setTimeout(() => give('time'), READY_MS_MAX);
      this.child.once('exit', (code, signal) => give(`exit ${code ?? signal}`));
      this.child.once('error', reject);
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        const match = /^twinwire ready: (http:\/\/\S+)/.exec(line);
        if (!match) return;
        clearTimeout(timer);
        resolve(match[1]);
      });
    });
  }

  // Ends the process and waits for it. Resolves to its exit code, or null if the signal ended it.
  async end(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    const [code] = await this.exited;
    return code;
  }

  async restart(signal) {
    await this.end(signal);
    await this.#run();
  }

  async stop() {
    await this.end('SIGKILL');
    rmSync(this.data, { recursive: true, force: true });
  }

  // A command as POST from this process. Resolves to the answer; refusals are answers too.
  async command(name, data, user = 'harness') {
    const url = new URL(`api/${name.replace('.', '/')}`, this.url);
    url.searchParams.set('id', user);
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(data) });
    return response.json();
  }

  async say(room, content, user = 'harness') {
    const answer = await this.command('messages.send', { room, content, clientId: newClientId() }, user);
    assert.equal(answer.success, true, JSON.stringify(answer));
    return answer;
  }
}

export async function launchBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: CHROMIUM_FLAGS });
}

// A page that remembers what went wrong on it. `expected` are patterns of console errors a test causes on purpose.
export async function openPage(browser, { expected = [], ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(ACTION_MS_MAX);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.stack));
  page.on('console', (message) => {
    const text = message.text();
    if (message.location().url.endsWith('/favicon.ico')) return; // asked for by the browser where no page names an icon
    if (message.type() === 'error' && !expected.some((pattern) => pattern.test(text))) page.faults.push(text);
  });
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (!['data:', 'blob:'].includes(protocol) && hostname !== '127.0.0.1') page.faults.push(`asked ${request.url()}`);
  });
  page.finish = async () => {
    await context.close();
    assert.deepEqual(page.faults, []);
  };
  return page;
}

// What a browser itself writes to the console when a server goes away or refuses.
export const NETWORK_ERRORS = [/^Failed to load resource/, /WebSocket connection to .* failed/, /net::ERR_/];

// A document of the server's origin without scripts: native EventSource and WebSocket, none of our code. (A document
// made up by the test would not do: Chromium lets only pages that came from loopback talk to loopback.)
export async function blankPage(browser, server, options) {
  const page = await openPage(browser, options);
  await page.goto(new URL('favicon.svg', server.url).href);
  return page;
}

// The first page, in a room of its own, once both halves are live.
export async function openRoom(browser, server, room, options = {}) {
  const { search = '', ...rest } = options;
  const page = await openPage(browser, { viewport: { width: 1366, height: 900 }, ...rest });
  await page.goto(`${server.url}?room=${encodeURIComponent(room)}&left=Maren&right=Otis${search}`);
  await isLive(page, 'left');
  await isLive(page, 'right');
  return page;
}

export const side = (page, place) => page.locator(`#side-${place}`);

export async function isLive(page, place) {
  await page.waitForSelector(`#side-${place}[data-state="live"]`, { state: 'attached' });
}

export async function say(page, place, text) {
  await page.locator(`#${place}-words`).fill(text);
  await page.locator(`#${place}-words`).press('Enter');
}

// The texts a half shows, in its order, without those the server has not placed yet.
export async function shown(page, place) {
  return page.locator(`#side-${place} .messages li[data-event-id]:not([data-event-id=""]) .bubble`).allTextContents();
}

export async function figures(page) {
  return page.locator('[data-figure]').evaluateAll((nodes) =>
    Object.fromEntries(nodes.map((node) => [node.dataset.figure, Number(node.textContent.replaceAll(',', ''))])));
}

// Waits until the page's own books say that `sent` messages are on both sides, and that nothing is wrong.
export async function balanced(page, sent, timeoutMs = 180_000) {
  const end = Date.now() + timeoutMs;
  let now = {};
  while (Date.now() < end) {
    now = await figures(page);
    if (now.sent === sent && now.left === sent && now.right === sent) break;
    await sleep(100);
  }
  assert.deepEqual(now, { sent, left: sent, right: sent, missing: 0, repeated: 0, disordered: 0 });
}

export async function until(condition, what, timeoutMs = 45_000) {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await sleep(50);
  }
}
