// One half of the page: a person, their connection, and what they see of the room.
//
// It owns a Client and the panel built from the template. What concerns both halves (the ledger, the log as a
// picture, the event log, when a message left) it reports to the hub. All text from outside enters as text nodes.

import { Client } from './twinwire-client.js';
import { shortId } from './eventlog.js';

const ROWS_MAX = 250; // messages kept in the page; the ledger counts on regardless
const DROP_MS = 5000;
const TYPING_RESEND_MS = 3500; // the engine forgets a typist after 6 s
const TYPING_SHOWN_MS_MAX = 8000;
const CROWD = 200; // above this the engine counts and does not name
const PRESENCE_LIST_AFTER_MS = 1500;
const LATENCIES_KEPT = 48;
const SPARK_MS = 100; // the picture of latencies is drawn so often at most
const NAMES_SHOWN = 5;

const OVER = { sse: 'SSE + POST', ws: 'WebSocket', poll: 'polling' };
const BURST_SIZE = 500;

export class Side {
  // place: left | right. hub: what the page offers, see page.js.
  constructor({ place, userId, room, transport, baseUrl, template, hub }) {
    this.place = place;
    this.userId = userId;
    this.room = room;
    this.hub = hub;
    this.client = new Client({ baseUrl, userId, rooms: [room], transport, history: 50 });
    this.present = new Set();
    this.own = new Map(); // clientId → row, for messages whose answer or event is still to come
    this.arrivals = [];
    this.latencies = [];
    this.liveSince = Infinity;
    this.begun = false;
    this.unseen = 0;
    this.atEnd = true;
    this.#build(template);
    this.client.on('state', (change) => this.#onState(change));
    this.client.on('event', (happening) => this.#onEvent(happening));
    this.client.on('repeat', ({ event, transport }) => this.#onRepeat(event, transport));
    this.client.on('refusal', (refusal) => this.#onRefusal(refusal));
  }

  // ---- The panel ----

  #build(template) {
    this.root = template.content.firstElementChild.cloneNode(true);
    this.root.id = `side-${this.place}`;
    this.root.classList.add(this.place);
    const find = (selector) => this.root.querySelector(selector);
    this.ui = {
      state: find('.state'), stateText: find('.state-text'), drop: find('.drop'), pause: find('.pause'),
      burst: find('.burst'), present: find('.present'), position: find('.position'), progress: find('.progress'),
      bar: find('progress'), progressText: find('.progress-text'), notice: find('.notice'),
      messages: find('.messages'), list: find('.messages ol'), follow: find('.tofollow'), typing: find('.typing'),
      words: find('textarea'), composer: find('.composer'), median: find('.median'), spark: find('.spark g'),
      stop: find('.stop'),
    };
    find('.avatar').textContent = this.userId.slice(0, 1).toUpperCase();
    const heading = find('.name');
    heading.textContent = this.userId;
    heading.id = `${this.place}-name`;
    this.root.setAttribute('aria-labelledby', heading.id);
    this.ui.messages.setAttribute('aria-label', `Messages as ${this.userId} sees them`);
    this.ui.words.id = `${this.place}-words`;
    this.ui.words.placeholder = `Say something as ${this.userId}`;
    find('.composer label').htmlFor = this.ui.words.id;
    find('.composer label').textContent = `Message from ${this.userId}`;
    find('.transports legend').textContent = `Transport of ${this.userId}`;
    for (const radio of this.root.querySelectorAll('.transports input')) {
      radio.name = `${this.place}-transport`;
      radio.checked = radio.value === this.client.transport;
      radio.addEventListener('change', () => this.switchTo(radio.value));
    }
    this.#listen();
  }

  #listen() {
    const { drop, pause, burst, stop, messages, follow, words, composer } = this.ui;
    drop.addEventListener('click', () => (this.#isAway() ? this.client.connect() : this.drop(DROP_MS)));
    pause.addEventListener('click', () => {
      if (this.client.state === 'paused') this.client.resume();
      else this.client.pause();
    });
    burst.addEventListener('click', () => this.burst(BURST_SIZE));
    stop.addEventListener('click', () => this.abort?.abort());
    composer.addEventListener('submit', (submit) => {
      submit.preventDefault();
      this.#say();
    });
    words.addEventListener('keydown', (key) => {
      if (key.key !== 'Enter' || key.shiftKey || key.isComposing) return;
      key.preventDefault();
      this.#say();
    });
    words.addEventListener('input', () => this.#onInput());
    words.addEventListener('blur', () => this.#stopTyping());
    messages.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    follow.addEventListener('click', () => this.#scrollToEnd());
  }

  // Screen readers hear new messages of the half one is in, not of both.
  setSpoken(spoken) {
    this.ui.messages.setAttribute('aria-live', spoken ? 'polite' : 'off');
  }

  // ---- Connection ----

  #isAway() {
    return ['dropped', 'waiting', 'refused', 'replaced'].includes(this.client.state);
  }

  drop(outageMs) {
    this.client.drop(outageMs);
  }

  switchTo(transport) {
    if (transport === this.client.transport) return;
    this.#log({ kind: 'wire', type: 'switch', text: `from ${OVER[this.client.transport]} to ${OVER[transport]}` });
    this.client.switchTo(transport);
    for (const radio of this.root.querySelectorAll('.transports input')) radio.checked = radio.value === transport;
  }

  #onState({ state, reason, retryInMs }) {
    const over = OVER[this.client.transport];
    this.root.dataset.state = state;
    const says = {
      connecting: `connecting over ${over}`,
      live: `live over ${over}`,
      waiting: `lost (${reason})`,
      dropped: 'wire cut',
      paused: 'reading paused, place kept',
      refused: `the server says no: ${reason}`,
      replaced: 'another stream took over this session',
    };
    this.ui.stateText.textContent = says[state] ?? state;
    this.#countDown(retryInMs);
    this.ui.drop.textContent = this.#isAway() ? 'Reconnect' : 'Drop 5 s';
    this.ui.drop.disabled = state === 'paused';
    this.ui.pause.textContent = state === 'paused' ? 'Resume' : 'Pause';
    this.ui.pause.setAttribute('aria-pressed', String(state === 'paused'));
    this.ui.pause.disabled = this.#isAway();
    this.liveSince = state === 'live' ? performance.now() : Infinity;
    if (state === 'live') this.#listPresent();
    else this.#showTyping([]);
    this.hub.stateChanged(this);
    if (state === 'live') return this.#logLive();
    const tone = { connecting: 'plain', paused: 'warn', dropped: 'warn' }[state] ?? 'bad';
    const wait = retryInMs ? `back in ${(retryInMs / 1000).toFixed(1)} s` : '';
    const place = state === 'paused' ? `place kept at ${shortId(this.client.lastEventId)}` : '';
    this.#log({ kind: 'wire', type: state, text: [reason, wait, place].filter(Boolean).join('; '), tone });
  }

  // A stream begins with `connected`, which is logged as an event; a poll that continues a session has none.
  #logLive() {
    const { transport, lastEventId } = this.client;
    if (transport !== 'poll' || !this.begun) return;
    const text = `polls on after ${shortId(lastEventId)}`;
    this.#log({ kind: 'wire', type: 'connected', eventId: lastEventId, text, tone: 'good' });
  }

  #countDown(retryInMs) {
    clearInterval(this.countdown);
    this.ui.clock?.remove();
    if (!retryInMs) return;
    const until = Date.now() + retryInMs;
    this.ui.clock = element('span', 'clock');
    this.ui.clock.setAttribute('aria-hidden', 'true');
    const show = () => (this.ui.clock.textContent = `back in ${Math.max(0, (until - Date.now()) / 1000).toFixed(1)} s`);
    show();
    this.ui.state.append(this.ui.clock);
    this.countdown = setInterval(show, 100);
  }

  #onRepeat(event, transport) {
    const text = 'came again while two streams overlapped; dropped by its id';
    this.#log({ kind: 'wire', transport, type: event.type, eventId: event.eventId, text });
  }

  #onRefusal({ error, waitMs }) {
    this.refusals = (this.refusals ?? 0) + 1;
    const text = `${error.message} Again in ${formatMs(waitMs)}, with the same clientId.`;
    this.#log({ kind: 'wire', type: error.code, text, tone: 'warn' });
    if (error.code === 'rate_limited') this.notice('The server asks to slow down; refused messages are sent again.');
  }

  notice(text, tone = 'warn') {
    clearTimeout(this.noticeTimer);
    this.ui.notice.hidden = false;
    this.ui.notice.className = `notice ${tone}`;
    if (this.ui.notice.textContent !== text) this.ui.notice.textContent = text;
    this.noticeTimer = setTimeout(() => (this.ui.notice.hidden = true), 7000);
  }

  #log(entry) {
    this.hub.log.add({ side: this.place, transport: this.client.transport, ...entry });
  }

  // ---- Events ----

  #onEvent({ event, transport, cursor }) {
    const { type, eventId = '', data = {} } = event;
    const note = { transport, type, eventId, kind: 'state', text: '' };
    if (type === 'connected') Object.assign(note, this.#onConnected(data));
    else if (type === 'reset') Object.assign(note, this.#onReset(data));
    else if (type === 'bye') Object.assign(note, { kind: 'wire', tone: 'warn', text: data.reason || data.code || '' });
    else if (type === 'message.created') Object.assign(note, this.#onMessage(event));
    else if (type === 'message.unsaved') Object.assign(note, this.#onUnsaved(data));
    else if (type === 'typing') note.text = this.#onTyping(data);
    else if (type.startsWith('presence.')) note.text = this.#onPresence(type, data);
    else note.kind = 'message';
    if (event.room === undefined || event.room === this.room) this.#log(note);
    if (cursor) {
      this.hub.reached(this, cursor);
      this.#showPosition();
    }
  }

  #onConnected(data) {
    if (!this.begun) this.hub.begun(this, data.lastEventId);
    this.begun = true;
    const place = data.resumed ? `continues after ${shortId(data.lastEventId)}` : `begins at ${shortId(data.lastEventId)}`;
    return { kind: 'wire', tone: 'good', eventId: data.lastEventId, text: `session ${data.sessionId.slice(0, 8)}, ${place}` };
  }

  #onReset({ reason, lastEventId, rooms = [] }) {
    const says = {
      trimmed: 'Older messages were removed by the server; this goes on with the oldest kept.',
      unknown_cursor: 'The server does not know our place in the log; this goes on from now.',
      forbidden: `This room is closed to ${this.userId}.`,
      rolled_back: 'The server lost messages it had not stored; they are taken back here.',
    };
    if (reason === 'rolled_back') this.#takeBack(lastEventId);
    if (reason !== 'forbidden') this.hub.resetTo(this, reason, lastEventId);
    this.notice(says[reason] ?? `The server set our place back (${reason}).`, 'bad');
    return { kind: 'wire', tone: 'bad', eventId: lastEventId, text: `${reason}: ${rooms.join(', ')}` };
  }

  #takeBack(cursor) {
    this.#flush();
    for (const row of [...this.ui.list.children]) if (row.dataset.eventId > cursor) row.remove();
  }

  #onUnsaved({ clientId, eventId, reason }) {
    const row = this.ui.list.querySelector(`[data-event-id="${CSS.escape(eventId)}"]`);
    row?.classList.add('failed');
    this.hub.unsaved(clientId);
    return { kind: 'message', eventId, tone: 'bad', text: `was shown but could not be stored: ${reason ?? ''}` };
  }

  #onMessage(event) {
    const message = event.data.message;
    const { clientId } = message;
    const isNew = this.hub.received(this, event.eventId, clientId, message.userId);
    const sentAt = this.hub.sentAt.get(clientId);
    const model = { message, eventId: event.eventId, latencyMs: null, caughtUp: false };
    if (sentAt !== undefined) {
      model.latencyMs = performance.now() - sentAt;
      model.caughtUp = sentAt < this.liveSince;
      if (!model.caughtUp) this.#addLatency(model.latencyMs);
    }
    if (isNew) {
      this.arrivals.push(model);
      this.frame ||= requestAnimationFrame(() => this.#flush());
    }
    const by = message.userId === this.userId ? 'own' : `from ${message.userId}`;
    const pace = model.latencyMs === null ? '' : `, ${model.caughtUp ? 'caught up after ' : ''}${formatMs(model.latencyMs)}`;
    return { kind: 'message', text: `${by}${pace}: ${clip(message.content ?? '')}` };
  }

  // ---- Presence, typing, position ----

  async #listPresent() {
    try {
      const { users, count } = await this.client.command('presence.list', { room: this.room });
      this.present = new Set(users.map(userIdOf));
      this.present.add(this.userId);
      this.presentCount = count;
      this.#showPresent();
    } catch (error) {
      this.#log({ kind: 'wire', type: error.code, text: `presence.list: ${error.message}`, tone: 'warn' });
    }
  }

  #onPresence(type, data) {
    const joined = (data.joined ?? []).map(userIdOf);
    const left = (data.left ?? []).map(userIdOf);
    if (type === 'presence.joined') joined.push(userIdOf(data));
    if (type === 'presence.left') left.push(userIdOf(data));
    for (const user of joined) this.present.add(user);
    for (const user of left) this.present.delete(user);
    this.present.add(this.userId);
    this.presentCount = data.count ?? this.present.size;
    this.#showPresent();
    // A diff may name only some, or only count: after a lag, or in a crowd.
    if (data.truncated || (this.presentCount !== this.present.size && this.presentCount < CROWD)) this.#listPresentSoon();
    if (type === 'presence.joined' || type === 'presence.left') return userIdOf(data);
    const told = [joined.length && `came: ${joined.join(', ')}`, left.length && `went: ${left.join(', ')}`];
    return told.filter(Boolean).join('; ') || `${this.presentCount} here`;
  }

  #listPresentSoon() {
    this.listTimer ??= setTimeout(() => {
      this.listTimer = undefined;
      if (this.client.state === 'live') this.#listPresent();
    }, PRESENCE_LIST_AFTER_MS);
  }

  #showPresent() {
    const names = [...this.present].filter(Boolean).sort((a, b) => a.localeCompare(b));
    const shown = names.slice(0, NAMES_SHOWN).map((name) => element('b', '', name));
    const more = Math.max(names.length, this.presentCount ?? 0) - shown.length;
    this.ui.present.replaceChildren(element('span', 'label', 'Here'), ...shown);
    if (more > 0) this.ui.present.append(element('span', '', `and ${more} more`));
  }

  #onTyping({ users = [], userId, isTyping }) {
    const typing = users.map(userIdOf).filter((user) => user !== this.userId);
    this.#showTyping(typing);
    if (userId) return isTyping ? `${userId} types` : `${userId} stopped`;
    return typing.length > 0 ? `now: ${typing.join(', ')}` : 'nobody now';
  }

  #showTyping(users) {
    clearTimeout(this.typingTimer);
    this.ui.typing.replaceChildren();
    if (users.length === 0) return;
    const who = users.length > 3 ? `${users.length} people are typing` : `${users.join(' and ')} ${users.length > 1 ? 'are' : 'is'} typing`;
    const dots = element('span', 'dots');
    dots.append(element('i'), element('i'), element('i'));
    dots.setAttribute('aria-hidden', 'true');
    this.ui.typing.append(who, dots);
    this.typingTimer = setTimeout(() => this.#showTyping([]), TYPING_SHOWN_MS_MAX);
  }

  #showPosition() {
    this.positionFrame ||= requestAnimationFrame(() => {
      this.positionFrame = 0;
      const { lastEventId, connects } = this.client;
      const resumed = connects > 1 ? `, resumed ${connects - 1}×` : '';
      this.ui.position.textContent = `cursor ${shortId(lastEventId)}${resumed}`;
      this.ui.position.title = `Cursor ${lastEventId}, session ${this.client.sessionId}`;
    });
  }

  #onInput() {
    const { words } = this.ui;
    words.style.height = 'auto';
    words.style.height = `${Math.min(words.scrollHeight, 132)}px`;
    if (words.value.trim() === '') return this.#stopTyping();
    if (this.client.state !== 'live' || performance.now() - (this.typingSentAt ?? -Infinity) < TYPING_RESEND_MS) return;
    this.typingSentAt = performance.now();
    this.#quietly('typing.start');
  }

  #stopTyping() {
    if (this.typingSentAt === undefined) return;
    this.typingSentAt = undefined;
    if (this.client.state === 'live') this.#quietly('typing.stop');
  }

  // Typing is state, not content: a refusal is written down and not tried again.
  #quietly(name) {
    this.client.command(name, { room: this.room }).catch((error) => {
      this.#log({ kind: 'state', type: error.code, text: `${name}: ${error.message}`, tone: 'warn' });
    });
  }

  // ---- Saying things ----

  #say() {
    const content = this.ui.words.value.trim();
    if (content === '') return;
    this.ui.words.value = '';
    this.#onInput();
    this.#stopTyping();
    this.#scrollToEnd();
    const clientId = this.hub.newClientId();
    const row = this.#row({ message: { userId: this.userId, content, clientId }, eventId: '' });
    this.own.set(clientId, row);
    this.ui.list.append(row);
    this.#scrollToEnd();
    this.#send(content, clientId);
  }

  // Sends one message until the server has it; resolves to true if it took it.
  async #send(content, clientId, signal) {
    const row = this.own.get(clientId);
    this.hub.issued(clientId);
    if (row && this.client.state === 'dropped') mark(row, 'waits for the connection');
    try {
      const onAttempt = (attempt) => {
        this.hub.attempted(clientId);
        if (row && attempt > 0) mark(row, 'trying again');
      };
      const answer = await this.client.send({ room: this.room, content, clientId }, { onAttempt, signal });
      this.hub.acked(clientId, answer.message?.id ?? answer.eventId);
      if (row) mark(row, answer.stored ? 'stored' : 'accepted');
      if (!row?.dataset.eventId) return true;
      this.own.delete(clientId);
      return true;
    } catch (error) {
      this.hub.withdrawn(clientId);
      if (row) {
        row.classList.add('failed');
        mark(row, `not sent: ${error.message}`);
      }
      if (error.code !== 'aborted') {
        this.notice(`Not sent: ${error.message} (${error.code})`, 'bad');
        this.#log({ kind: 'message', type: error.code, text: error.message, tone: 'bad' });
      }
      return false;
    }
  }

  // Sends `count` messages as fast as they are stored, slowing down where the server asks for it. One at a time, so
  // that they stand in the log in the order of their numbers, also those that were refused and sent again.
  async burst(count, { label = 'burst', paceMs = 0 } = {}) {
    if (this.abort) return;
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.ui.burst.disabled = true;
    this.ui.progress.hidden = false;
    const began = performance.now();
    const refusedBefore = this.refusals ?? 0;
    let done = 0;
    const show = () => {
      const refused = (this.refusals ?? 0) - refusedBefore;
      this.ui.bar.max = count;
      this.ui.bar.value = done;
      const again = refused ? `, ${refused} sent again` : '';
      this.ui.progressText.textContent = `${done} of ${count} stored${again}`;
    };
    show();
    for (let number = 1; number <= count && !signal.aborted; number += 1) {
      const early = began + number * paceMs - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      if (await this.#send(`${label} ${number} of ${count}`, this.hub.newClientId(), signal)) done += 1;
      show();
    }
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    this.#log({ kind: 'wire', type: 'burst', text: `${done} messages stored in ${seconds} s`, tone: 'good' });
    this.abort = null;
    this.ui.burst.disabled = false;
    this.ui.progress.hidden = true;
  }

  // ---- The list of messages ----

  #flush() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.arrivals.length === 0) return;
    const { messages, list } = this.ui;
    messages.setAttribute('aria-busy', String(this.arrivals.length > 10));
    const models = this.arrivals.splice(0).slice(-ROWS_MAX);
    for (const model of models) this.#place(model);
    while (list.children.length > ROWS_MAX) list.firstElementChild.remove();
    if (!this.atEnd) this.#showUnseen(models.length);
    messages.setAttribute('aria-busy', 'false');
  }

  // Rows stand in the order of the log; what the server has not placed yet stays below them.
  #place(model) {
    const { list } = this.ui;
    const { clientId, userId } = model.message;
    let row = userId === this.userId ? this.own.get(clientId) : undefined;
    if (row) {
      if (row.dataset.mark === 'stored' || row.classList.contains('failed')) this.own.delete(clientId);
      fill(row, model);
    } else {
      row = this.#row(model);
      if (this.hub.sentAt.has(clientId) && userId === this.userId) mark(row, 'stored');
    }
    let before = list.lastElementChild;
    while (before && (before === row || before.dataset.eventId === '')) before = before.previousElementSibling;
    if (row.parentNode !== list || row.previousElementSibling !== before) {
      if (before) before.after(row);
      else list.prepend(row);
    }
    const follows = before && before.dataset.user === userId;
    row.classList.toggle('follows', Boolean(follows));
    const next = row.nextElementSibling;
    if (next) next.classList.toggle('follows', next.dataset.user === userId);
  }

  #row(model) {
    const { userId, content } = model.message;
    const row = element('li', userId === this.userId ? 'own' : 'other');
    const last = this.ui.list.lastElementChild;
    row.classList.toggle('follows', last?.dataset.user === userId);
    row.classList.add(this.hub.sideOf(userId) ?? 'guest');
    row.dataset.user = userId;
    const text = typeof content === 'string' ? content : '(encrypted)';
    const meta = element('p', 'meta');
    meta.append(element('span', 'id'), element('span', 'latency'), element('span', 'mark'));
    row.append(element('p', 'author', userId), element('p', 'bubble', text), meta);
    fill(row, model);
    return row;
  }

  // The list is laid out from its end (page.css), so it follows new messages by itself while one is at the end:
  // scrollTop is 0 there and negative above.
  #onScroll() {
    this.atEnd = this.ui.messages.scrollTop > -60;
    if (this.atEnd) this.#showUnseen(-this.unseen);
  }

  #showUnseen(more) {
    this.unseen += more;
    this.ui.follow.hidden = this.unseen <= 0;
    this.ui.follow.textContent = `${this.unseen} new below`;
  }

  #scrollToEnd() {
    this.ui.messages.scrollTop = 0;
    this.#showUnseen(-this.unseen);
  }

  // ---- Latency ----

  #addLatency(ms) {
    this.latencies.push(ms);
    if (this.latencies.length > LATENCIES_KEPT) this.latencies.shift();
    this.sparkTimer ||= setTimeout(() => this.#showLatency(), SPARK_MS);
  }

  #showLatency() {
    this.sparkTimer = 0;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    this.ui.median.textContent = formatMs(sorted[sorted.length >> 1]);
    const top = Math.max(sorted.at(-1), 4);
    const bars = this.latencies.map((ms, index) => {
      const bar = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      const height = Math.max(1.5, (Math.sqrt(ms) / Math.sqrt(top)) * 24);
      const box = { x: (LATENCIES_KEPT - this.latencies.length + index) * 2, y: 24 - height, width: 1.3, height };
      for (const [name, value] of Object.entries(box)) bar.setAttribute(name, value.toFixed(2));
      return bar;
    });
    this.ui.spark.replaceChildren(...bars);
  }
}

// ---- Small helpers ----

function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function fill(row, { message, eventId, latencyMs = null, caughtUp = false }) {
  row.dataset.eventId = eventId;
  const id = row.querySelector('.id');
  id.textContent = shortId(eventId);
  id.title = eventId;
  let pace = '';
  if (latencyMs !== null) pace = caughtUp ? `caught up after ${formatMs(latencyMs)}` : formatMs(latencyMs);
  else if (message.createdAt) pace = clockTime(message.createdAt);
  row.querySelector('.latency').textContent = pace;
  row.classList.toggle('caughtup', caughtUp);
  row.classList.toggle('pending', eventId === '');
}

function mark(row, text) {
  row.dataset.mark = text;
  row.querySelector('.mark').textContent = text;
}

function clockTime(timestamp) {
  const time = new Date(timestamp);
  return Number.isNaN(time.getTime()) ? '' : time.toTimeString().slice(0, 5);
}

function userIdOf(user) {
  return typeof user === 'string' ? user : user.userId ?? user.id ?? '';
}

function clip(text) {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

export function formatMs(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}
