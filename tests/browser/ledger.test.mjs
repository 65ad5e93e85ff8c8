// The page's books and the client's arithmetic, without a browser: would a fault be seen at all?

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// The pages' modules are plain .js for browsers; read as data they are modules for node too.
const load = (name) => {
  const source = readFileSync(new URL(`../../tools/client/pages/${name}`, import.meta.url), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
};
const { Ledger } = await load('ledger.js');
const { Client, backoffMs, isHandled } = await load('twinwire-client.js');

const id = (sequence, epoch = '9c1f00d2ab37') => `${epoch}-${sequence.toString(16).padStart(14, '0')}`;

// A ledger whose sides began at 0 and to which messages 1…count were sent and acked.
function ledgerWith(count) {
  const ledger = new Ledger(['left', 'right']);
  for (const side of ['left', 'right']) ledger.begin(side, id(0));
  for (let n = 1; n <= count; n += 1) {
    ledger.issue(`c${n}`);
    ledger.ack(`c${n}`, id(n));
  }
  return ledger;
}
const receive = (ledger, side, ...numbers) => numbers.forEach((n) => ledger.receive(side, id(n), `c${n}`));

test('what came once and in order on both sides leaves nothing to say', () => {
  const ledger = ledgerWith(3);
  receive(ledger, 'left', 1, 2, 3);
  receive(ledger, 'right', 1, 2, 3);
  const fine = { received: 3, repeated: 0, disordered: 0, missing: 0, toCome: 0 };
  assert.deepEqual(ledger.totals(), { taken: 3, sides: { left: fine, right: fine } });
  assert.equal(ledger.ids.size, 0);
});

test('a gap is missing, what lies ahead is to come', () => {
  const ledger = ledgerWith(5);
  receive(ledger, 'left', 1, 3);
  const { left, right } = ledger.totals().sides;
  assert.deepEqual([left.missing, left.toCome], [1, 2]);
  assert.deepEqual([right.missing, right.toCome], [0, 5]);
  ledger.reach('right', id(4)); // its stream says it has looked that far
  assert.deepEqual([ledger.totals().sides.right.missing, ledger.totals().sides.right.toCome], [4, 1]);
});

test('a repeat and a disorder are counted', () => {
  const ledger = ledgerWith(3);
  receive(ledger, 'left', 2, 2, 1, 3);
  const { repeated, disordered, received, missing } = ledger.totals().sides.left;
  assert.deepEqual({ repeated, disordered, received, missing }, { repeated: 1, disordered: 1, received: 3, missing: 0 });
});

test('an event that overtakes its answer counts, and so does one whose answer was lost', () => {
  const ledger = ledgerWith(0);
  ledger.issue('early');
  ledger.receive('left', id(1), 'early');
  assert.equal(ledger.totals().taken, 1);
  assert.equal(ledger.totals().sides.right.toCome, 1);
  ledger.receive('right', id(1), 'early');
  ledger.ack('early', id(1));
  assert.deepEqual([ledger.totals().taken, ledger.totals().sides.right.received], [1, 1]);
});

test('what was given up is expected nowhere', () => {
  const ledger = ledgerWith(1);
  ledger.issue('given-up');
  ledger.withdraw('given-up');
  receive(ledger, 'left', 1);
  receive(ledger, 'right', 1);
  assert.equal(ledger.totals().taken, 1);
  assert.equal(ledger.ids.size, 0);
});

test('after rolled_back the same ids may come again, and count as no repeat', () => {
  const ledger = ledgerWith(2);
  receive(ledger, 'left', 1, 2);
  ledger.rollBack('left', id(1));
  receive(ledger, 'left', 2);
  const { repeated, disordered } = ledger.totals().sides.left;
  assert.deepEqual([repeated, disordered], [0, 0]);
});

test('a side that begins late expects nothing from before', () => {
  const ledger = ledgerWith(3);
  ledger.begin('right', id(2));
  assert.deepEqual([ledger.totals().sides.right.toCome, ledger.totals().sides.right.missing], [1, 0]);
});

test('ids compare within an epoch only', () => {
  assert.equal(isHandled(id(1), id(1)), true);
  assert.equal(isHandled(id(2), id(1)), false);
  assert.equal(isHandled(id(255), id(4096)), true);
  assert.equal(isHandled(id(1), null), false);
  assert.equal(isHandled(id(1, '000000000001'), id(2)), false);
});

test('back-off grows, has a ceiling, and is spread', () => {
  const lowest = () => 0;
  const highest = () => 1;
  assert.deepEqual([0, 1, 2].map((attempt) => backoffMs(attempt, highest)), [400, 800, 1600]);
  assert.deepEqual([0, 1, 2].map((attempt) => backoffMs(attempt, lowest)), [200, 400, 800]);
  assert.equal(backoffMs(40, highest), 15_000);
});

test('every room of a client is asked for by its own name, commas and all', () => {
  const opened = [];
  globalThis.EventSource = class {
    constructor(url) {
      opened.push(new URL(url));
    }
    addEventListener() {}
    close() {}
  };
  const rooms = ['lobby', 'a,b', 'c&d'];
  new Client({ baseUrl: 'http://127.0.0.1/', userId: 'ann', rooms, transport: 'sse' }).connect();
  // As the server reads it: split at literal commas, then decoded.
  const values = opened[0].search.slice(1).split('&').filter((pair) => pair.startsWith('rooms='));
  const read = values.flatMap((pair) => pair.slice(6).split(',')).map((part) => decodeURIComponent(part));
  assert.deepEqual(read, rooms);
});
