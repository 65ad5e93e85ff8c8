// Bytes on a socket, for what no well-behaved client would send.
import { randomBytes } from 'node:crypto';
import net from 'node:net';

export class Raw {
  /** `slowly`: reads 1 kB a second until hurry(), or nothing at all until then if it is 'paused'. */
  static async connect(port, slowly = '') {
    const raw = new Raw();
    raw.chunks = [];
    raw.closed = false;
    raw.slow = slowly !== '';
    const onread = {
      buffer: Buffer.alloc(1024),
      callback: (size, buffer) => {
        raw.take(Buffer.from(buffer.subarray(0, size)));
        return !raw.slow;
      },
    };
    raw.socket = net.connect({ port, host: '127.0.0.1', ...(raw.slow ? { onread } : {}) });
    raw.socket.setNoDelay(true);
    raw.wake = () => {};
    if (slowly === 'paused') raw.socket.pause();
    else if (raw.slow) raw.timer = setInterval(() => raw.socket.resume(), 1000);
    else raw.socket.on('data', (data) => raw.take(data));
    for (const event of ['end', 'close', 'error']) {
      raw.socket.on(event, () => {
        raw.closed = true;
        raw.wake();
      });
    }
    await new Promise((resolve) => raw.socket.once('connect', resolve));
    return raw;
  }

  take(data) {
    this.chunks.push(data);
    this.wake();
  }

  /** What came and was not looked at yet. */
  get bytes() {
    if (this.chunks.length !== 1) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0];
  }

  set bytes(rest) {
    this.chunks = [rest];
  }

  /** From now on it reads as fast as it can. */
  hurry() {
    clearInterval(this.timer);
    this.slow = false;
    this.socket.resume();
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  async until(find, what, ms = 8000) {
    const end = Date.now() + ms;
    for (;;) {
      const found = find();
      if (found) return found;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`waited ${ms} ms for ${what}; got: ${this.bytes.toString('latin1').slice(0, 500)}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The next HTTP answer with a Content-Length (or none): {status, headers, body}; removed from `bytes`. */
  async answer() {
    await this.until(() => this.bytes.indexOf('\r\n\r\n') >= 0 || this.closed, 'the head of an answer');
    const at = this.bytes.indexOf('\r\n\r\n');
    if (at < 0) return null;
    const [first, ...lines] = this.bytes.subarray(0, at).toString('latin1').split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers['content-length'] ?? 0);
    await this.until(() => this.bytes.length >= at + 4 + length || this.closed, 'the body of an answer');
    const body = this.bytes.subarray(at + 4, at + 4 + length).toString();
    this.bytes = this.bytes.subarray(at + 4 + length);
    return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]), headers, body };
  }

  /** The next WebSocket frame from the server: {fin, opcode, payload}, or null at the end. */
  async frame(ms = 8000) {
    const need = (size) => this.until(() => this.bytes.length >= size || this.closed, 'a frame', ms);
    await need(2);
    if (this.bytes.length < 2) return null;
    let length = this.bytes[1] & 0x7f;
    let head = 2;
    if (length === 126) {
      await need(4);
      length = this.bytes.readUInt16BE(2);
      head = 4;
    } else if (length === 127) {
      await need(10);
      length = Number(this.bytes.readBigUInt64BE(2));
      head = 10;
    }
    await need(head + length);
    if (this.bytes.length < head + length) return null; // cut within it
    const result = {
      fin: (this.bytes[0] & 0x80) !== 0,
      opcode: this.bytes[0] & 0x0f,
      masked: (this.bytes[1] & 0x80) !== 0,
      payload: this.bytes.subarray(head, head + length),
    };
    this.bytes = this.bytes.subarray(head + length);
    return result;
  }

  /** The code of the close frame that ends the connection; JSON texts before it go to `texts`. */
  async closeCode() {
    this.texts = [];
    for (;;) {
      const frame = await this.frame();
      if (frame === null) return null;
      if (frame.opcode === 1) this.texts.push(JSON.parse(frame.payload.toString()));
      if (frame.opcode === 8) return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
  }

  close() {
    clearInterval(this.timer);
    this.socket.destroy();
  }
}

/** A frame as a client sends it; every part can be wrong on purpose. */
export function frame(opcode, payload, { fin = true, rsv = 0, mask = true, length, wide } = {}) {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const size = length ?? body.length;
  const head = [];
  head.push((fin ? 0x80 : 0) | (rsv << 4) | opcode);
  const bit = mask ? 0x80 : 0;
  if (wide === 8 || size > 65535) {
    const wideSize = Buffer.alloc(8);
    wideSize.writeBigUInt64BE(BigInt.asUintN(64, BigInt(size)));
    head.push(bit | 127, ...wideSize);
  } else if (wide === 2 || size > 125) {
    head.push(bit | 126, size >> 8, size & 255);
  } else {
    head.push(bit | size);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  const masked = Buffer.from(body);
  for (let i = 0; i < masked.length; ++i) masked[i] ^= key[i % 4];
  return Buffer.concat([Buffer.from(head), key, masked]);
}

export const upgrade = (port, path, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;

/** A raw WebSocket behind its handshake. */
export async function rawWebSocket(port, path, slowly = '') {
  const raw = await Raw.connect(port, slowly);
  raw.write(upgrade(port, path));
  const answer = await raw.answer();
  if (answer?.status !== 101) throw new Error(`no upgrade: ${JSON.stringify(answer)}`);
  return raw;
}
