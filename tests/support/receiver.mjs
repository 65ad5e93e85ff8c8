// The backend's side of the save hook: an HTTP server that keeps what it gets, and fails, stalls or throttles as it
// is told.
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

export class Receiver {
  batches = [];
  tries = [];
  /** (try number from 1, events) → {status, headers} or 'stall' or 'reset'; undefined means 200. */
  behave = () => undefined;

  static async start(port = 0) {
    const receiver = new Receiver();
    await receiver.listen(port);
    return receiver;
  }

  async listen(port) {
    this.server = createServer((request, response) => this.#take(request, response));
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/api/messages/save`;
  }

  async #take(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts).toString();
    const { events, lastEventId } = JSON.parse(body);
    const entry = { at: Date.now(), headers: request.headers, path: request.url, body, events, lastEventId };
    this.tries.push(entry);
    const how = this.behave(this.tries.length, events);
    if (how === 'stall') return;
    if (how === 'reset') return void request.socket.destroy();
    if (!how || how.status < 300) this.batches.push(entry);
    response.writeHead(how?.status ?? 200, how?.headers ?? {});
    // Now with a size, now in chunks, the last of them cut.
    if (this.tries.length % 3) return void response.end('{}');
    response.write('{');
    setTimeout(() => response.end('}'), 5);
  }

  /** Everything that was accepted, in the order it came. */
  get events() {
    return this.batches.flatMap((batch) => batch.events);
  }

  async until(find, what, ms = 20000) {
    for (const end = Date.now() + ms; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const found = find(this);
      if (found) return found;
    }
    throw new Error(`waited ${ms} ms for ${what}; ${this.tries.length} tries, ${this.events.length} events`);
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

export function signatureIsRight(secret, entry) {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(entry.headers['twinwire-signature']);
  return createHmac('sha256', secret).update(`${t}.${entry.body}`).digest('hex') === v1;
}
