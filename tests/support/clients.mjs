// Third-party clients behind one shape, unmodified: a Feed gathers the events of a stream in the order they came,
// and a test waits for what it expects. Nothing here knows how a transport resumes: that is the clients' business.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { EventSource as NpmEventSource } from 'eventsource';
import * as undici from 'undici';
import NpmWebSocket from 'ws';

// Every type of event that a test here looks at; an EventSource hears only what it listens for.
const types = [
  'connected', 'bye', 'reset', 'auth.success', 'auth.error', 'auth.expiring', 'message.created', 'message.unsaved', 'room.created',
  'room.member_added', 'room.member_removed', 'room.cleared', 'typing', 'presence.joined', 'presence.left',
  'presence.updated', 'presence.diff', 'goal.created', 'message.updated', 'message.deleted', 'room.updated',
  'receipt.delivered', 'receipt.read', 'receipt.diff', 'media.state', 'signal',
];

export class Feed {
  events = [];
  replies = new Map();
  closed = false;
  #waiting = new Set();

  add(event) {
    if (event.type === 'reply') this.replies.set(event.id, event);
    else this.events.push(event);
    for (const check of this.#waiting) check();
  }

  end() {
    this.closed = true;
    for (const check of this.#waiting) check();
  }

  /** Waits until `find(this)` is true or an object, and returns it. */
  async until(find, what = find.toString(), ms = 10000) {
    const found = find(this);
    if (found) return found;
    let check;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        check = () => {
          const value = find(this);
          if (value) resolve(value);
        };
        timer = setTimeout(
          () => reject(new Error(`waited ${ms} ms for ${what}; events: ${JSON.stringify(this.events).slice(-2000)}`)),
          ms,
        );
        this.#waiting.add(check);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(check);
    }
  }

  of(type) {
    return this.events.filter((event) => event.type === type);
  }

  event(type, count = 1) {
    return this.until((feed) => feed.of(type)[count - 1], `${type} (${count})`);
  }

  /** The contents of all messages, in the order they came. */
  get contents() {
    return this.of('message.created').map((event) => event.data.message.content);
  }

  async messages(count) {
    await this.until((feed) => feed.contents.length >= count, `${count} messages`, 20000);
    return this.contents;
  }

  /** Events of the log must rise strictly. */
  get ids() {
    return this.events.filter((event) => event.eventId).map((event) => event.eventId);
  }
}

function listen(feed, source) {
  for (const type of types) {
    source.addEventListener(type, (message) => {
      feed.add({ ...JSON.parse(message.data), sseType: type, sseId: message.lastEventId });
    });
  }
  return feed;
}

export function npmEventSource(url, options) {
  const source = new NpmEventSource(url, options);
  return Object.assign(listen(new Feed(), source), { source, close: () => source.close() });
}

export function undiciEventSource(url) {
  const source = new undici.EventSource(url);
  return Object.assign(listen(new Feed(), source), { source, close: () => source.close() });
}

function socketFeed(socket, textOf) {
  const feed = new Feed();
  let next = 0;
  socket.addEventListener('message', (message) => feed.add(JSON.parse(textOf(message))));
  socket.addEventListener('close', (event) => {
    feed.closeCode = event.code;
    feed.end();
  });
  socket.addEventListener('error', () => {});
  feed.socket = socket;
  feed.opened = new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('close', () => reject(new Error('closed before it opened')), { once: true });
  });
  feed.opened.catch(() => {});
  feed.command = async (type, data) => {
    const id = `c${++next}`;
    await feed.opened;
    socket.send(JSON.stringify({ type, id, data }));
    return feed.until(() => feed.replies.get(id), `the reply to ${type}`);
  };
  feed.close = () => socket.close();
  return feed;
}

export function npmWebSocket(url, protocols, options) {
  return socketFeed(new NpmWebSocket(url, protocols, options), (message) => message.data.toString());
}

export function undiciWebSocket(url, protocols) {
  return socketFeed(new undici.WebSocket(url, protocols), (message) => message.data);
}

/** curl -N: the bytes as they come, parsed by nothing but lines. */
export function curl(url, ...options) {
  const feed = new Feed();
  const child = spawn('curl', ['-N', '-s', '-S', '-i', ...options, url], { stdio: ['ignore', 'pipe', 'ignore'] });
  feed.lines = [];
  let block = {};
  createInterface({ input: child.stdout, crlfDelay: Infinity }).on('line', (line) => {
    feed.lines.push(line);
    if (line === '') {
      if (block.data !== undefined) {
        feed.add({ ...JSON.parse(block.data), sseType: block.event, sseId: block.id });
      }
      block = {};
    } else {
      const [, field, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
      if (field === 'id' || field === 'event' || field === 'data') block[field] = value;
    }
  });
  feed.ended = once(child, 'exit').then(() => feed.end());
  feed.close = () => child.kill();
  return feed;
}

/** POST a command as `user`; the answer's JSON with its HTTP status. */
export async function post(server, user, command, body, headers = {}) {
  const path = `/api/${command.replace('.', '/')}?id=${encodeURIComponent(user)}`;
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, ...JSON.parse(text) };
}

export async function send(server, user, room, content, more = {}) {
  const answer = await post(server, user, 'messages.send', { room, content, ...more });
  if (!answer.success) throw new Error(`send failed: ${JSON.stringify(answer)}`);
  return answer;
}

/** Sends `count` messages one after another: `${prefix}1`… */
export async function sendMany(server, user, room, prefix, count) {
  const sent = [];
  for (let i = 1; i <= count; ++i) {
    await send(server, user, room, `${prefix}${i}`);
    sent.push(`${prefix}${i}`);
  }
  return sent;
}

export async function poll(server, query, init) {
  const response = await fetch(`${server.url}/api/poll?${query}`, init);
  return { status: response.status, ...(await response.json()) };
}

export { sleep };
