// The page's bookkeeping: what it sent, what each side received, and whether anything is missing.
//
// Ids are one total order, so the check is exact: once a side has handled id X, every message with an id below X that
// this page sent must have arrived there. One that has not is *missing*; one above X is only *to come*.
// No DOM and no clock here.

const SEEN_MAX = 50_000; // ids remembered per side for the repeat check

export class Ledger {
  constructor(sides) {
    this.taken = 0; // messages of this page that have their place in the log, as an answer or a stream told
    this.sides = new Map(sides.map((side) => [side, newSide()]));
    this.ids = new Map(); // clientId → eventId (null until known), for messages some side still lacks or no one acked
  }

  issue(clientId) {
    this.ids.set(clientId, { eventId: null, acked: false, lacking: new Set(this.sides.keys()) });
  }

  // The message was given up: it was never taken, so no side is to expect it.
  withdraw(clientId) {
    if (this.ids.get(clientId)?.eventId) this.taken -= 1;
    this.ids.delete(clientId);
  }

  ack(clientId, eventId) {
    const entry = this.ids.get(clientId);
    if (!entry || entry.acked) return;
    entry.acked = true;
    this.#place(entry, eventId);
    this.#settle(clientId, entry);
  }

  #place(entry, eventId) {
    this.taken += entry.eventId === null ? 1 : 0;
    entry.eventId = eventId;
  }

  // A stream of `side` begins (or is set back to) `cursor`: what lies below is not expected any more.
  begin(side, cursor) {
    const state = this.sides.get(side);
    state.start = cursor;
    state.last = cursor;
  }

  // The server took back what lies above `cursor` (`reset` `rolled_back`).
  rollBack(side, cursor) {
    const state = this.sides.get(side);
    for (const id of state.seen) if (id > cursor) state.seen.delete(id);
    state.last = cursor;
  }

  // `side` was shown the message `eventId`; `clientId` is known if this page sent it. False if it had it before.
  receive(side, eventId, clientId) {
    const state = this.sides.get(side);
    if (state.seen.has(eventId)) {
      state.repeated += 1;
      return false;
    }
    state.seen.add(eventId);
    if (state.seen.size > SEEN_MAX) state.seen.delete(state.seen.values().next().value);
    if (state.last !== null && eventId <= state.last) state.disordered += 1;
    else state.last = eventId;
    const entry = clientId && this.ids.get(clientId);
    if (entry && entry.lacking.delete(side)) {
      this.#place(entry, eventId);
      state.received += 1;
      this.#settle(clientId, entry);
    }
    return true;
  }

  // How far `side` has looked, where that is known without a message.
  reach(side, cursor) {
    const state = this.sides.get(side);
    if (state.last === null || cursor > state.last) state.last = cursor;
  }

  #settle(clientId, entry) {
    if (entry.acked && entry.lacking.size === 0) this.ids.delete(clientId);
  }

  totals() {
    const sides = {};
    for (const [name, state] of this.sides) {
      const total = { received: state.received, repeated: state.repeated, disordered: state.disordered };
      sides[name] = { ...total, missing: 0, toCome: 0 };
    }
    for (const { eventId, lacking } of this.ids.values()) {
      if (eventId === null) continue;
      for (const name of lacking) {
        const { start, last } = this.sides.get(name);
        if (start !== null && eventId <= start) continue;
        if (last !== null && eventId <= last) sides[name].missing += 1;
        else sides[name].toCome += 1;
      }
    }
    return { taken: this.taken, sides };
  }
}

function newSide() {
  return { start: null, last: null, seen: new Set(), received: 0, repeated: 0, disordered: 0 };
}
