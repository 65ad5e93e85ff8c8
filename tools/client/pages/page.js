// The first page: two people in one room, one over SSE + POST, one over WebSocket.
//
// It wires the two halves (side.js) to what they share: the ledger that looks for anything missing, the picture of
// the log, and the event log. It owns the names, the room, the theme, and the tabs of a narrow screen.

import { EventLog } from './eventlog.js';
import { Ledger } from './ledger.js';
import { Ribbon } from './ribbon.js';
import { Side } from './side.js';
import { newClientId } from './twinwire-client.js';

const FRIENDS = [
  'Ada', 'Amara', 'Anouk', 'Basil', 'Bruno', 'Cleo', 'Clio', 'Cosmo', 'Dara', 'Dov', 'Edda', 'Elio', 'Enzo', 'Esme',
  'Fenn', 'Flora', 'Gil', 'Greta', 'Hana', 'Hugo', 'Ida', 'Ilse', 'Imre', 'Ines', 'Iris', 'Ivo', 'Jonas', 'Juno',
  'Kaya', 'Kit', 'Leda', 'Levi', 'Lou', 'Luca', 'Mabel', 'Maren', 'Milo', 'Mina', 'Nell', 'Nico', 'Nora', 'Odile',
  'Omar', 'Oona', 'Otis', 'Pia', 'Quinn', 'Rafi', 'Remy', 'Rhea', 'Rosa', 'Sami', 'Sol', 'Suki', 'Tamsin', 'Theo',
  'Uma', 'Vera', 'Viggo', 'Wilma', 'Xenia', 'Yara', 'Zeno', 'Zoe',
];
const SENT_KEPT = 5000; // departure times remembered
const PROOF_MESSAGES = 120;
const PROOF_PACE_MS = 20; // between two messages, so that one can watch and the changes of wire fall in between
const REFRESH_MS = 50; // the ledger is put into words so often at most
const COMING_SHOWN_AFTER_MS = 400; // what is under way for less than this is not worth a headline

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- Who and where ----

const query = new URLSearchParams(location.search);
const room = query.get('room') || nameInHash() || 'lobby';

function nameInHash() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ''; // a % that encodes nothing
  }
}

function remember(key, make) {
  const given = query.get(key);
  if (given) return given;
  try {
    const kept = sessionStorage.getItem(`twinwire-${key}`);
    if (kept) return kept;
    const made = make();
    sessionStorage.setItem(`twinwire-${key}`, made);
    return made;
  } catch {
    return make(); // storage may be forbidden: a new name on each visit
  }
}

const friend = (taken) => {
  const free = FRIENDS.filter((name) => name !== taken);
  return free[Math.floor(Math.random() * free.length)];
};
const leftName = remember('left', () => friend());
const samePerson = query.has('same');
const rightName = samePerson ? leftName : remember('right', () => friend(leftName));

$('room-name').value = room;
document.title = `${room} · Twinwire`;
$('room-form').addEventListener('submit', (submit) => {
  submit.preventDefault();
  const url = new URL(location.href);
  url.searchParams.set('room', $('room-name').value.trim() || 'lobby');
  url.hash = '';
  location.assign(url);
});

const linkTo = (change) => {
  const url = new URL(location.href);
  change(url.searchParams);
  return url.href;
};
$('elsewhere').href = linkTo((search) => ['left', 'right', 'same'].forEach((key) => search.delete(key)));
$('same').href = linkTo((search) => (samePerson ? search.delete('same') : search.set('same', '1')));
$('same').textContent = samePerson ? 'Two people on the two sides' : 'The same person on both sides';

// ---- What the halves share ----

const names = { left: leftName, right: rightName };
const ledger = new Ledger(['left', 'right']);
const log = new EventLog($('eventlog'), (side) => names[side] ?? '');
const ribbon = new Ribbon($('ribbon'), ['left', 'right'].map((name) => ({ name, label: () => names[name] })));

const hub = {
  log,
  sentAt: new Map(), // clientId → when its latest attempt left
  newClientId,
  sideOf: (userId) => (userId === leftName ? 'left' : userId === rightName ? 'right' : null),

  issued(clientId) {
    ledger.issue(clientId);
    forgetProof();
    refresh();
  },
  attempted(clientId) {
    hub.sentAt.delete(clientId);
    hub.sentAt.set(clientId, performance.now());
    if (hub.sentAt.size > SENT_KEPT) hub.sentAt.delete(hub.sentAt.keys().next().value);
  },
  acked(clientId, eventId) {
    ledger.ack(clientId, eventId);
    refresh();
  },
  withdrawn(clientId) {
    ledger.withdraw(clientId);
    refresh();
  },
  unsaved(clientId) {
    ledger.withdraw(clientId);
    refresh();
  },
  received(side, eventId, clientId, userId) {
    ribbon.add(eventId, hub.sideOf(userId));
    const isNew = ledger.receive(side.place, eventId, clientId);
    refresh();
    return isNew;
  },
  begun(side, cursor) {
    ledger.begin(side.place, cursor);
  },
  reached(side, cursor) {
    ledger.reach(side.place, cursor);
    ribbon.move(side.place, cursor);
    refresh();
  },
  resetTo(side, reason, cursor) {
    if (reason === 'rolled_back') ledger.rollBack(side.place, cursor);
    else ledger.begin(side.place, cursor);
  },
  stateChanged(side) {
    const { state } = side.client;
    ribbon.setLive(side.place, state === 'live');
    $(`tab-${side.place}`).dataset.state = state;
    forgetProof();
    refresh();
  },
};

const baseUrl = new URL('.', location.href);
const template = $('side-template');
const makeSide = (place, transport) =>
  new Side({ place, userId: names[place], room, transport, baseUrl, template, hub });
const sides = { left: makeSide('left', 'sse'), right: makeSide('right', 'ws') };
$('halves').append(sides.left.root, sides.right.root);
for (const label of document.querySelectorAll('[data-name]')) label.textContent = names[label.dataset.name];

// The hash may name a room, so the skip link goes there without one.
document.querySelector('.skip').addEventListener('click', (click) => {
  click.preventDefault();
  $('left-words').focus();
});

// ---- The ledger in words ----

let refreshTimer = 0;
let comingSince = 0;
let proofNote = '';
let proving = false;

function refresh() {
  refreshTimer ||= setTimeout(showLedger, REFRESH_MS);
}

const figure = (name) => document.querySelector(`[data-figure="${name}"]`);
const put = (node, text) => node.textContent !== text && (node.textContent = text);

function showLedger() {
  refreshTimer = 0;
  const { taken, sides: counts } = ledger.totals();
  const sum = (key) => counts.left[key] + counts.right[key];
  const number = (value) => value.toLocaleString('en');
  put(figure('sent'), number(taken));
  put(figure('left'), number(counts.left.received));
  put(figure('right'), number(counts.right.received));
  for (const key of ['missing', 'repeated', 'disordered']) {
    put(figure(key), number(sum(key)));
    document.querySelector(`[data-check="${key}"]`).classList.toggle('bad', sum(key) > 0);
  }
  const verdict = judge(taken, counts);
  document.querySelector('.ledger').dataset.tone = verdict.tone;
  put($('verdict'), verdict.title);
  put($('verdict-note'), proofNote || verdict.note);
}

function judge(taken, counts) {
  for (const [key, word] of [['missing', 'missing'], ['repeated', 'repeated'], ['disordered', 'out of order']]) {
    const count = counts.left[key] + counts.right[key];
    if (count) return { tone: 'bad', title: `${count} ${word}`, note: 'This must not happen. The event log shows where.' };
  }
  const away = ['left', 'right'].filter((place) => sides[place].client.state !== 'live');
  const behind = ['left', 'right'].filter((place) => counts[place].toCome > 0);
  if (behind.length === 0) comingSince = 0;
  else comingSince ||= performance.now();
  if (away.length > 0) return judgeAway(away, counts);
  if (behind.length > 0 && performance.now() - comingSince > COMING_SHOWN_AFTER_MS) {
    const [place] = behind;
    return { tone: 'busy', title: `${names[place]} is catching up`, note: 'In the order of the log, each message once.' };
  }
  if (behind.length > 0) setTimeout(refresh, COMING_SHOWN_AFTER_MS);
  if (taken === 0) {
    return { tone: 'calm', title: 'Two wires, one room', note: 'Say something on either side. Then cut a wire and watch what happens.' };
  }
  const note = taken === 1 ? 'The message reached both sides once.' : 'Every message reached both sides once, in order.';
  return { tone: 'good', title: 'Nothing lost', note };
}

function judgeAway(away, counts) {
  if (away.length === 2) {
    const starting = away.every((place) => !sides[place].begun);
    return starting
      ? { tone: 'calm', title: 'Connecting', note: '' }
      : { tone: 'busy', title: 'Both wires are down', note: 'Both places in the log are kept.' };
  }
  const [place] = away;
  const { toCome } = counts[place];
  const title = toCome ? `${toCome} waiting for ${names[place]}` : `${names[place]} is away`;
  return { tone: 'busy', title, note: 'The log goes on; the place in it is kept.' };
}

// ---- The proof: what one would try by hand, in one go ----

async function until(condition, timeoutMs = 60_000) {
  const end = performance.now() + timeoutMs;
  while (!condition() && performance.now() < end) await sleep(50);
}

const settled = () => {
  const { sides: counts } = ledger.totals();
  const level = (place) => sides[place].client.state === 'live' && counts[place].toCome === 0;
  return level('left') && level('right');
};

function forgetProof() {
  if (!proving) proofNote = '';
}

async function runProof() {
  $('proof').disabled = true;
  proving = true;
  const say = (text) => {
    proofNote = text;
    refresh();
  };
  const { left, right } = sides;
  const transportBefore = left.client.transport;
  say(`${rightName}'s wire is cut. ${leftName} goes on talking.`);
  right.drop();
  await sleep(700);
  await left.burst(PROOF_MESSAGES, { label: 'while you were away', paceMs: PROOF_PACE_MS });
  say(`${rightName} comes back and reads on from the same place.`);
  await sleep(900);
  right.client.connect();
  await until(settled);
  await sleep(900);
  say(`${leftName} changes wires in the middle of ${rightName}'s burst.`);
  const burst = right.burst(PROOF_MESSAGES, { label: 'while you change wires', paceMs: PROOF_PACE_MS });
  const others = ['sse', 'ws', 'poll'].filter((transport) => transport !== transportBefore);
  for (const transport of [...others, transportBefore]) {
    await sleep(600);
    left.switchTo(transport);
  }
  await burst;
  await until(settled);
  await sleep(200);
  const { sides: counts } = ledger.totals();
  const faults = ['left', 'right'].reduce((sum, place) => {
    const { missing, repeated, disordered, toCome } = counts[place];
    return sum + missing + repeated + disordered + toCome;
  }, 0);
  say(faults === 0 ? 'One cut and three changes of wire later, every message is on both sides, once and in order.' : '');
  proving = false;
  $('proof').disabled = false;
}

$('proof').addEventListener('click', runProof);

// ---- Theme ----

const themes = ['auto', 'light', 'dark'];
const themeNow = () => document.documentElement.dataset.theme ?? 'auto';

function showTheme() {
  const says = { auto: 'as the system', light: 'light', dark: 'dark' };
  $('theme').setAttribute('aria-label', `Colours: ${says[themeNow()]}`);
  $('theme').title = `Colours: ${says[themeNow()]}`;
  ribbon.redraw();
}

$('theme').addEventListener('click', () => {
  const next = themes[(themes.indexOf(themeNow()) + 1) % themes.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === 'auto') localStorage.removeItem('twinwire-theme');
    else localStorage.setItem('twinwire-theme', next);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  showTheme();
});
showTheme();

// ---- A narrow screen shows one thing at a time, behind tabs ----

const narrow = matchMedia('(max-width: 760px)');
const panels = { left: sides.left.root, right: sides.right.root, log: $('eventlog') };
let chosen = 'left';

function showTabs() {
  const tabbed = narrow.matches;
  $('tabs').setAttribute('role', tabbed ? 'tablist' : 'none');
  if (tabbed) $('tabs').setAttribute('aria-label', 'Show');
  for (const [name, panel] of Object.entries(panels)) {
    const tab = $(`tab-${name}`);
    const isChosen = name === chosen;
    panel.hidden = tabbed && !isChosen;
    if (tabbed) {
      tab.setAttribute('role', 'tab');
      tab.setAttribute('aria-selected', String(isChosen));
      tab.setAttribute('aria-controls', panel.id);
      tab.tabIndex = isChosen ? 0 : -1;
      panel.setAttribute('role', 'tabpanel');
    } else {
      panel.removeAttribute('role');
    }
  }
  if (tabbed) speak(chosen);
}

$('tabs').addEventListener('click', ({ target }) => {
  const tab = target.closest('button');
  if (!tab) return;
  chosen = tab.id.slice('tab-'.length);
  showTabs();
});

$('tabs').addEventListener('keydown', (key) => {
  const order = Object.keys(panels);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key.key];
  const ends = { Home: 0, End: order.length - 1 }[key.key];
  if (step === undefined && ends === undefined) return;
  key.preventDefault();
  chosen = order[ends ?? (order.indexOf(chosen) + step + order.length) % order.length];
  showTabs();
  $(`tab-${chosen}`).focus();
});

function speak(place) {
  for (const [name, side] of Object.entries(sides)) side.setSpoken(name === place);
}

for (const [name, side] of Object.entries(sides)) side.root.addEventListener('focusin', () => speak(name));
narrow.addEventListener('change', showTabs);
showTabs();
if (!narrow.matches) speak('left');

// ---- Begin ----

const hurry = () => Object.values(sides).forEach((side) => side.client.hurry());
addEventListener('online', hurry);
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && hurry());
for (const side of Object.values(sides)) side.client.connect();
