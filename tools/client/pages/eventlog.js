// The page's event log: the last few hundred things that happened on either side, as rows of a table.
// Rows are gathered and put into the page a few times a second, so that a burst does not stall it.

const ROWS_MAX = 400;
const GATHER_MS = 120;

export class EventLog {
  constructor(section, sideName) {
    this.section = section;
    this.body = section.querySelector('tbody');
    this.scroller = section.querySelector('.rows');
    this.sideName = sideName; // side → the name to show
    this.waiting = [];
    this.timer = 0;
    for (const box of section.querySelectorAll('.filters input')) {
      box.addEventListener('change', () => this.#filter());
    }
    section.querySelector('#eventlog-clear').addEventListener('click', () => {
      this.waiting.length = 0;
      this.body.replaceChildren();
    });
    this.#filter();
  }

  #filter() {
    for (const box of this.section.querySelectorAll('.filters input')) {
      this.section.classList.toggle(`hide-${box.name}`, !box.checked);
    }
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // kind: wire | message | state; tone: plain | good | warn | bad
  add({ side, transport = '', kind, type, eventId = '', text = '', tone = 'plain' }) {
    this.waiting.push({ at: new Date(), side, transport, kind, type, eventId, text, tone });
    if (this.waiting.length > ROWS_MAX) this.waiting.shift();
    this.timer ||= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush() {
    this.timer = 0;
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const following = scrollHeight - scrollTop - clientHeight < 40;
    this.body.append(...this.waiting.map((entry) => this.#row(entry)));
    this.waiting.length = 0;
    while (this.body.rows.length > ROWS_MAX) this.body.deleteRow(0);
    if (following) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #row({ at, side, transport, kind, type, eventId, text, tone }) {
    const row = document.createElement('tr');
    row.setAttribute('role', 'row');
    row.dataset.kind = kind;
    row.dataset.side = side;
    row.dataset.type = type;
    row.className = `${side} ${tone}`;
    const time = at.toTimeString().slice(0, 8) + '.' + String(at.getMilliseconds()).padStart(3, '0');
    for (const value of [time, this.sideName(side), transport, type, shortId(eventId), text]) {
      const cell = row.insertCell();
      cell.setAttribute('role', 'cell');
      cell.textContent = value;
    }
    if (eventId) row.cells[4].title = eventId;
    return row;
  }
}

// The part of an id that changes: the sequence without its leading zeros.
export function shortId(eventId) {
  return eventId ? eventId.slice(13).replace(/^0+(?=.)/, '') : '';
}
