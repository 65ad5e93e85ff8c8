// What the four migrations share: the server under an application's own configuration, and the two bare clients that
// applications write themselves: a plain EventSource with fetch, and a plain WebSocket. Names, paths and bodies are the
// application's; nothing here knows Twinwire's own.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EventSource } from 'eventsource';
import WebSocket from 'ws';

import { Server } from './server.mjs';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../e2e/migrations');

export function startApp(name, options = {}) {
  return Server.start({ ...options, args: ['--config', join(folder, name, 'twinwire.toml'), ...(options.args ?? [])] });
}

class Heard {
  all = [];
  add(entry) {
    this.all.push({ ...entry, at: performance.now() });
  }
  named(name) {
    return this.all.filter((entry) => entry.name === name);
  }
  async until(find, what = find.toString(), ms = 10000) {
    for (const end = Date.now() + ms; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 5))) {
      const found = find(this);
      if (found) return found;
    }
    throw new Error(`waited ${ms} ms for ${what}; heard: ${JSON.stringify(this.all).slice(-1500)}`);
  }
  /** The data of the `count`-th event of that name. */
  async next(name, count = 1) {
    return (await this.until((heard) => heard.named(name)[count - 1], `${name} (${count})`)).data;
  }
}

/** `new EventSource(url)` and a listener per name, as a page writes it; 'message' is onmessage. */
export function eventSource(url, names) {
  const heard = new Heard();
  const source = new EventSource(url);
  for (const name of names) {
    source.addEventListener(name, (event) => heard.add({ name, data: JSON.parse(event.data), id: event.lastEventId }));
  }
  source.addEventListener('error', (event) => heard.add({ name: 'error', code: event.code }));
  return Object.assign(heard, { source, close: () => source.close() });
}

/** `new WebSocket(url)`, JSON both ways; `nameOf` is how the application tells its messages apart. */
export function webSocket(url, { nameOf = (message) => message.type, dataOf = (message) => message, ...options } = {}) {
  const heard = new Heard();
  const socket = new WebSocket(url, options);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    heard.add({ name: nameOf(message), data: dataOf(message), message });
  };
  socket.onclose = (event) => heard.add({ name: 'close', code: event.code });
  socket.onerror = () => {};
  heard.opened = new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('close', () => reject(new Error('closed before it opened')));
  });
  heard.opened.catch(() => {});
  heard.send = async (message) => {
    await heard.opened;
    socket.send(JSON.stringify(message));
  };
  return Object.assign(heard, { socket, close: () => socket.close() });
}

export async function call(server, path, body, init = {}) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...init.headers },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined };
}

/**
 * Both transports of one user at once, the same messages on each: the client keeps an event only if its id is greater
 * than the last it handled, and so has each exactly once whichever came first.
 */
export class Once {
  last = '';
  handled = [];
  dropped = 0;
  take(id, value) {
    if (id <= this.last) {
      this.dropped++;
      return;
    }
    this.last = id;
    this.handled.push(value);
  }
  assertExactly(expected) {
    assert.deepEqual(this.handled, expected);
    assert.ok(this.dropped > 0, 'both transports carried something');
  }
}
