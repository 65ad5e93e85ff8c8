// The client side of Twinwire's wire: one session carried by Server-Sent Events, WebSocket or polling.
//
// A `Client` keeps one cursor (the id of the last event it handled) and moves it, unchanged, from stream to stream:
// after a lost connection, a pause, or a change of transport it continues from there. It hands every event to its
// listeners once and in order; what two overlapping streams bring twice is dropped by comparing ids.
//
// It knows nothing of pages: no DOM, no storage. It needs EventSource, WebSocket and fetch, as any browser has them.

export const TRANSPORTS = ['sse', 'ws', 'poll'];

// A native EventSource hears only the names it was told. These are the engine's own; `eventTypes` adds others.
const EVENT_TYPES = [
  'connected', 'bye', 'reset', 'auth.success', 'auth.error', 'auth.expiring',
  'message.created', 'message.updated', 'message.deleted', 'message.unsaved',
  'room.created', 'room.updated', 'room.member_added', 'room.member_removed', 'room.cleared',
  'typing', 'presence.joined', 'presence.left', 'presence.updated', 'presence.diff',
  'receipt.delivered', 'receipt.read', 'receipt.diff', 'media.state',
  'call.offer', 'call.answer', 'call.declined', 'call.ended', 'call.ice_candidate', 'call.timeout', 'signal',
  'bot.toggled', 'ai.requested', 'stream.started', 'stream.appended', 'stream.ended', 'message',
];

// Events that are state rather than history: they are never replayed, so they do not move the cursor.
const EPHEMERAL = /^(typing|signal|media\.state|presence\..*|receipt\..*|call\.ice_candidate|stream\.appended)$/;

// Closing codes and reasons that a command caused by itself: sending it again would only end the next connection.
const FATAL_CODES = new Set(['too_large', 'invalid_json', 'invalid_argument', 'unsupported_media_type']);
const STRAY_MS = 15_000; // how late a request may come that was given up
const CLOSED_TOO_LARGE = 1009; // RFC 6455, section 7.4.1

const BACKOFF_FIRST_MS = 400;
const BACKOFF_MAX_MS = 15_000;
const POLL_WAIT_S = 25;
const REPLY_TIMEOUT_MS = 20_000;
const DEFAULT_HEARTBEAT_S = 25;

// A command's refusal. `code` is the engine's stable word, or one of two of our own: `disconnected` (the connection
// went away before the answer came) and `unreachable` (no answer from the server at all). Both may be tried again.
export class CommandError extends Error {
  constructor({ code, message, retryable, retryAfterMs }) {
    super(message);
    this.name = 'CommandError';
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

// Exponential, capped, and spread over the upper half of the interval, so that clients which lost the same server
// do not come back in the same instant.
export function backoffMs(attempt, random = Math.random) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return Math.round(ceiling * (0.5 + random() / 2));
}

// True if `id` is not past `cursor`. Ids of one epoch (the 12 digits in front) compare as strings; ids of different
// epochs are not ordered, and only a `reset` leads from one epoch to another.
export function isHandled(id, cursor) {
  return cursor !== null && id.slice(0, 12) === cursor.slice(0, 12) && id <= cursor;
}

// Random bytes rather than crypto.randomUUID, which a page served by plain HTTP from another machine does not have.
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- The three carriers. Each reports to `sink` ({opened, event, moved, heard, reply, closed}) and can be closed. ----

function openSse(url, sink, extraTypes) {
  const source = new EventSource(url);
  const onEvent = (message) => sink.event(JSON.parse(message.data), message.lastEventId);
  for (const type of new Set([...EVENT_TYPES, ...extraTypes])) source.addEventListener(type, onEvent);
  source.onopen = () => sink.opened();
  // A native EventSource would reconnect by itself, but with its first URL: without the session it was given since.
  source.onerror = () => {
    source.close();
    sink.closed({});
  };
  return { close: () => source.close() };
}

function openWs(url, sink) {
  const socket = new WebSocket(url);
  socket.onopen = () => sink.opened();
  socket.onmessage = ({ data }) => {
    sink.heard();
    const message = JSON.parse(data);
    if (message.type === 'reply') sink.reply(message);
    else if (message.type !== 'pong') sink.event(message, null);
  };
  socket.onclose = ({ code, reason }) => sink.closed({ code, reason });
  return {
    close: () => socket.close(1000),
    send: (text) => socket.readyState === WebSocket.OPEN && (socket.send(text), true),
  };
}

function openPoll(urlFor, sink) {
  const abort = new AbortController();
  const loop = async () => {
    // The first poll does not wait: its answer says that the server is there and took the session.
    for (let waitS = 0; ;) {
      const asked = performance.now();
      const response = await fetch(urlFor(waitS), { signal: abort.signal, cache: 'no-store' });
      const answer = await response.json().catch(() => ({}));
      if (!response.ok) return sink.closed({ status: response.status, answer, retryAfterMs: retryAfterMs(response) });
      sink.opened();
      for (const event of answer.events ?? []) sink.event(event, null);
      if (answer.lastEventId) sink.moved(answer.lastEventId);
      const hurried = waitS > 0 && !answer.events?.length && performance.now() - asked < 1000;
      if (hurried) await sleep(500);
      waitS = answer.more ? 0 : POLL_WAIT_S;
    }
  };
  loop().catch(() => sink.closed({}));
  return { close: () => abort.abort() };
}

function retryAfterMs(response) {
  const seconds = Number(response.headers.get('Retry-After'));
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}

// ---- The session ----
//
// States: idle → connecting → live; `waiting` for the next attempt after a loss; `dropped` and `paused` on purpose;
// `refused` and `replaced` are ends from which only connect() leads back.
//
// Listeners, by on(name, fn):
//   state   {state, reason, retryInMs}         the connection changed
//   event   {event, transport, cursor}         an event, once, in order
//   repeat  {event, transport}                 an event dropped because its id was handled before
//   refusal {name, error, clientId, waitMs}    a command was refused and will be tried again
export class Client {
  // Options: baseUrl, userId, rooms (array), transport; history (events before now on the first stream, at most 256),
  // eventTypes (names a backend publishes, for SSE).
  constructor({ baseUrl, userId, rooms, transport = 'sse', history = 0, eventTypes = [] }) {
    this.baseUrl = new URL(baseUrl);
    this.userId = userId;
    this.rooms = rooms;
    this.transport = transport;
    this.history = history;
    this.eventTypes = eventTypes;
    this.state = 'idle';
    this.sessionId = null;
    this.lastEventId = null;
    this.connects = 0; // streams that reached `connected`
    this.heartbeatS = DEFAULT_HEARTBEAT_S;
    this.#listeners = new Map();
  }

  #listeners;
  #stream = null; // the stream in use; what an older one still says is handled only while it is #retiring
  #retiring = null; // the stream being replaced by a change of transport, kept until the new one is connected
  #switchedAt = -Infinity; // when the transport was last changed
  #attempt = 0;
  #timer = null;
  #watchdog = null;
  #heardAt = 0;
  #bye = null;
  #pending = new Map(); // WebSocket commands without a reply: id → {resolve, reject, timer}
  #commandSeq = 0;
  #holdUntil = 0; // no reliable send before this: the server asked to slow down
  #outage = new AbortController(); // aborted by drop(), so that requests under way are lost as in a real outage

  on(name, listener) {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set.add(listener));
    return () => set.delete(listener);
  }

  #emit(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) listener(detail);
  }

  #setState(state, detail = {}) {
    this.state = state;
    this.#emit('state', { state, ...detail });
  }

  // ---- What the application may ask of the connection ----

  connect() {
    this.#cutStreams();
    this.#open();
  }

  close() {
    this.#cutStreams();
    this.#setState('idle');
  }

  // Cuts the connection without a word, as a lost network does, and comes back by itself after `outageMs`; without it
  // connect() brings it back.
  drop(outageMs) {
    this.#outage.abort();
    this.#outage = new AbortController();
    this.#cutStreams();
    this.#setState('dropped', { reason: 'cut by hand', retryInMs: outageMs });
    if (outageMs !== undefined) this.#timer = setTimeout(() => this.#open(), outageMs);
  }

  // Stops reading and keeps the place; commands still work, as POST.
  pause() {
    this.#cutStreams();
    this.#setState('paused');
  }

  resume() {
    if (this.state === 'paused') this.#open();
  }

  // Moves the session to another transport. The old stream is read until the new one has taken over.
  switchTo(transport) {
    if (!TRANSPORTS.includes(transport)) throw new TypeError(`unknown transport: ${transport}`);
    if (transport === this.transport) return;
    this.transport = transport;
    this.#switchedAt = performance.now();
    if (this.state === 'live') {
      this.#retire();
      // A poll that went on asking would take the session back; its answers lose nothing by being dropped.
      if (this.#stream.transport === 'poll') this.#end(this.#stream);
      this.#retiring = this.#stream;
      this.#stream = null;
      this.#open();
    } else if (this.state === 'connecting' || this.state === 'waiting') {
      this.connect();
    }
  }

  // The network may be back: do not sit out the rest of the back-off.
  hurry() {
    if (this.state === 'waiting') this.#open();
  }

  // ---- Streams ----

  #url(path, extra = {}) {
    const url = new URL(path, this.baseUrl);
    // One by one: within a value a comma is written as %2C, which is a comma of the name.
    for (const room of this.rooms) url.searchParams.append('rooms', room);
    url.searchParams.set('id', this.userId);
    if (this.sessionId) url.searchParams.set('session', this.sessionId);
    if (this.lastEventId) url.searchParams.set('lastEventId', this.lastEventId);
    else if (this.history) url.searchParams.set('history', this.history);
    for (const [key, value] of Object.entries(extra)) url.searchParams.set(key, value);
    return url;
  }

  #open() {
    clearTimeout(this.#timer);
    this.#bye = null;
    const transport = this.transport;
    const stream = { transport, ready: false, over: false, carrier: null };
    this.#stream = stream;
    const guard = (handler) => (...args) => stream.over || handler(...args);
    const sink = {
      opened: guard(() => transport === 'poll' && this.sessionId && this.#connected(stream)),
      event: guard((event, sseId) => this.#onEvent(stream, event, sseId)),
      moved: guard((cursor) => stream === this.#stream && (this.lastEventId = cursor)),
      heard: guard(() => (this.#heardAt = Date.now())),
      reply: guard((reply) => this.#onReply(reply)),
      closed: guard((why) => this.#onClosed(stream, why)),
    };
    this.#setState('connecting');
    if (transport === 'sse') {
      stream.carrier = openSse(this.#url('api/events'), sink, this.eventTypes);
    } else if (transport === 'ws') {
      const url = this.#url('ws');
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      stream.carrier = openWs(url, sink);
    } else {
      stream.carrier = openPoll((waitS) => this.#url('api/poll', { wait: waitS }), sink);
    }
  }

  #end(stream) {
    if (!stream || stream.over) return;
    stream.over = true;
    stream.carrier?.close();
  }

  #retire() {
    this.#end(this.#retiring);
    this.#retiring = null;
  }

  #cutStreams() {
    clearTimeout(this.#timer);
    clearInterval(this.#watchdog);
    this.#retire();
    this.#end(this.#stream);
    this.#stream = null;
    this.#failPending();
  }

  #connected(stream) {
    if (stream.ready || stream !== this.#stream) return;
    stream.ready = true;
    this.#retire();
    this.#attempt = 0;
    this.connects += 1;
    this.#watch(stream);
    this.#setState('live');
  }

  // A page cannot see the server's protocol pings, so it sends its own; two heartbeats of silence end the socket.
  #watch(stream) {
    clearInterval(this.#watchdog);
    if (stream.transport !== 'ws') return;
    this.#heardAt = Date.now();
    this.#watchdog = setInterval(() => {
      if (Date.now() - this.#heardAt > this.heartbeatS * 2000) this.#onClosed(stream, { reason: 'silent' });
      else stream.carrier.send('{"type":"ping"}');
    }, this.heartbeatS * 1000);
  }

  // `sseId` is EventSource's lastEventId: it also carries ids that came without an event.
  #onEvent(stream, event, sseId) {
    const { type, eventId, data = {} } = event;
    if (type === 'connected') {
      this.sessionId = data.sessionId;
      this.heartbeatS = data.heartbeat || DEFAULT_HEARTBEAT_S;
      this.lastEventId ??= data.lastEventId;
      this.#connected(stream);
    } else if (type === 'reset') {
      this.lastEventId = data.lastEventId;
    } else if (type === 'bye') {
      if (stream === this.#stream) this.#bye = data;
    } else if (eventId) {
      if (isHandled(eventId, this.lastEventId)) {
        this.#emit('repeat', { event, transport: stream.transport });
        return;
      }
      if (!EPHEMERAL.test(type)) this.lastEventId = eventId;
    }
    if (sseId && !isHandled(sseId, this.lastEventId) && type !== 'reset') this.lastEventId = sseId;
    this.#emit('event', { event, transport: stream.transport, cursor: this.lastEventId });
    if (type === 'bye' && stream.transport === 'poll') this.#onClosed(stream, {});
  }

  #onClosed(stream, why) {
    this.#end(stream);
    if (stream !== this.#stream) return;
    this.#stream = null;
    this.#retire();
    clearInterval(this.#watchdog);
    const bye = this.#bye;
    this.#failPending(why.code === CLOSED_TOO_LARGE ? 'too_large' : bye?.code);
    if ([bye?.code, bye?.reason].includes('replaced')) {
      // A request that was given up when the transport changed may still reach the server, after its successor, and
      // take the session from it. That is no other client: take it back, once for each change.
      const ours = performance.now() - this.#switchedAt < STRAY_MS;
      this.#switchedAt = -Infinity;
      if (ours) return this.#comeBack(0, 'a request given up before arrived late');
      return this.#setState('replaced', { reason: 'another stream took over' });
    }
    if (bye && bye.reconnect === false) return this.#setState('refused', { reason: bye.reason || bye.code });
    if (stream.ready || bye) return this.#comeBack(bye?.afterMs, bye?.reason || why.reason);
    if (why.status) return this.#onRefused(why);
    this.#probe();
  }

  // Neither EventSource nor WebSocket tells a page why it was refused. A poll of the same session does.
  async #probe() {
    const stream = (this.#stream = { transport: this.transport, ready: false, over: false, carrier: null });
    try {
      const response = await fetch(this.#url('api/poll', { wait: 0 }), { cache: 'no-store' });
      const answer = await response.json().catch(() => ({}));
      if (stream !== this.#stream) return;
      this.#stream = null;
      if (response.ok) this.#comeBack(undefined, 'the stream could not be opened');
      else this.#onRefused({ status: response.status, answer, retryAfterMs: retryAfterMs(response) });
    } catch {
      if (stream !== this.#stream) return;
      this.#stream = null;
      this.#comeBack(undefined, 'the server does not answer');
    }
  }

  #onRefused({ status, answer, retryAfterMs: afterMs }) {
    const reason = answer.code ? `${answer.code}: ${answer.error}` : `HTTP ${status}`;
    if (status === 429 || status >= 500) this.#comeBack(afterMs, reason);
    else this.#setState('refused', { reason });
  }

  #comeBack(afterMs, reason) {
    const waitMs = Math.max(afterMs ?? 0, backoffMs(this.#attempt));
    this.#attempt += 1;
    this.#setState('waiting', { reason: reason || 'connection lost', retryInMs: waitMs });
    this.#timer = setTimeout(() => this.#open(), waitMs);
  }

  // ---- Commands ----

  // One attempt: over the socket where there is one, else as POST. Resolves with the answer or rejects with a
  // CommandError.
  command(name, data = {}) {
    const stream = this.#stream;
    if (stream?.transport === 'ws' && stream.ready) return this.#commandBySocket(stream, name, data);
    return this.#commandByPost(name, data);
  }

  // The same until the server has it, with one `clientId` throughout, so that a retry can never post twice. Respects
  // the server's wish to slow down and waits out a dropped connection. `onAttempt(attempt)` is told of each try.
  async send(data, { onAttempt, signal } = {}) {
    const body = { clientId: newClientId(), ...data };
    for (let attempt = 0; ; attempt += 1) {
      await this.#sendable(signal);
      onAttempt?.(attempt);
      try {
        return await this.command('messages.send', body);
      } catch (error) {
        if (!error.retryable || signal?.aborted) throw error;
        const waitMs = error.retryAfterMs ?? backoffMs(Math.min(attempt, 5));
        if (error.code === 'rate_limited') this.#holdUntil = Math.max(this.#holdUntil, Date.now() + waitMs);
        this.#emit('refusal', { name: 'messages.send', error, clientId: body.clientId, waitMs });
        await sleep(waitMs);
      }
    }
  }

  async #sendable(signal) {
    for (;;) {
      if (signal?.aborted) throw new CommandError({ code: 'aborted', message: 'given up', retryable: false });
      const holdMs = this.#holdUntil - Date.now();
      if (holdMs > 0) await sleep(holdMs);
      else if (this.state === 'dropped' || this.state === 'connecting') await this.#nextState();
      else return;
    }
  }

  #nextState() {
    return new Promise((done) => {
      const off = this.on('state', () => {
        off();
        done();
      });
    });
  }

  #commandBySocket(stream, name, data) {
    const id = String(++this.#commandSeq);
    return new Promise((resolve, reject) => {
      const lost = (code) => {
        this.#pending.delete(id);
        const fatal = FATAL_CODES.has(code);
        const message = fatal ? 'The server ended the connection because of it.' : 'The connection was lost.';
        reject(new CommandError({ code: fatal ? code : 'disconnected', message, retryable: !fatal }));
      };
      if (!stream.carrier.send(JSON.stringify({ type: name, id, data }))) return lost();
      this.#pending.set(id, { resolve, reject, lost, timer: setTimeout(() => lost(), REPLY_TIMEOUT_MS) });
    });
  }

  #onReply(reply) {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    this.#pending.delete(reply.id);
    clearTimeout(pending.timer);
    if (reply.success) pending.resolve(reply);
    else pending.reject(refusalOf(reply, reply.retryAfterMs));
  }

  #failPending(code) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { timer, lost } of pending) {
      clearTimeout(timer);
      lost(code);
    }
  }

  async #commandByPost(name, data) {
    const url = new URL(`api/${name.replace('.', '/')}`, this.baseUrl);
    url.searchParams.set('id', this.userId);
    const headers = { 'Content-Type': 'application/json' };
    if (this.sessionId) headers['Twinwire-Session'] = this.sessionId;
    let response;
    let answer;
    try {
      const timeout = AbortSignal.timeout(REPLY_TIMEOUT_MS);
      const signal = AbortSignal.any ? AbortSignal.any([this.#outage.signal, timeout]) : this.#outage.signal;
      response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(data), signal });
      answer = await response.json();
    } catch {
      throw new CommandError({ code: 'unreachable', message: 'The server does not answer.', retryable: true });
    }
    if (answer.success) return answer;
    throw refusalOf(answer, retryAfterMs(response));
  }
}

function refusalOf(answer, afterMs) {
  const { code = 'internal', error = 'The command failed.', retryable = false } = answer;
  return new CommandError({ code, message: error, retryable, retryAfterMs: afterMs });
}
