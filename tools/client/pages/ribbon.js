// The picture of the idea: the log as a row of ticks, and each side's cursor on it.
//
// It draws and nothing else; what it shows is said in words by the ledger beside it, so the canvas is hidden from
// assistive technology.

const KNOWN_MAX = 4000; // ticks remembered; older ones leave the picture
const WINDOW_MIN = 40; // ticks shown at least, so that a quiet room does not look crowded
const SIDE_MARGIN = 6; // px, so that a cursor at the very beginning is seen whole
const HEAD_ROOM = 0.04; // share of the width kept free right of the newest tick

export class Ribbon {
  constructor(canvas, sides) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.sides = sides; // [{name, label}]
    this.ids = [];
    this.owners = new Map(); // id → side name, or null for somebody else's
    this.cursors = new Map(sides.map(({ name }) => [name, { id: null, at: 0, live: false }]));
    this.shown = { from: 0, width: WINDOW_MIN };
    this.frame = 0;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    new ResizeObserver(() => this.#wake()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#wake());
  }

  add(id, owner) {
    if (this.owners.has(id)) return;
    this.owners.set(id, owner);
    let at = this.ids.length;
    while (at > 0 && this.ids[at - 1] > id) at -= 1;
    this.ids.splice(at, 0, id);
    if (this.ids.length > KNOWN_MAX) this.#forget(this.ids.length - KNOWN_MAX);
    this.#wake();
  }

  #forget(count) {
    for (const id of this.ids.splice(0, count)) this.owners.delete(id);
    for (const cursor of this.cursors.values()) cursor.at = Math.max(0, cursor.at - count);
    this.shown.from = Math.max(0, this.shown.from - count);
  }

  move(side, id) {
    this.cursors.get(side).id = id;
    this.#wake();
  }

  setLive(side, live) {
    this.cursors.get(side).live = live;
    this.#wake();
  }

  redraw() {
    this.#wake();
  }

  #wake() {
    this.frame ||= requestAnimationFrame(() => this.#paint());
  }

  // How many ticks a cursor has passed.
  #passed(id) {
    if (id === null) return 0;
    let low = 0;
    let high = this.ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ids[middle] <= id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Moves everything a step towards where it belongs. True while something still moves.
  #step() {
    let moving = false;
    const glide = (now, target, share) => {
      const next = this.still.matches || Math.abs(target - now) < 0.05 ? target : now + (target - now) * share;
      moving ||= next !== target;
      return next;
    };
    let behind = 0;
    for (const cursor of this.cursors.values()) {
      cursor.at = glide(cursor.at, this.#passed(cursor.id), 0.35);
      behind = Math.max(behind, this.ids.length - cursor.at);
    }
    const width = Math.max(WINDOW_MIN, behind * 1.25);
    this.shown.width = glide(this.shown.width, width, 0.25);
    this.shown.from = glide(this.shown.from, Math.max(0, this.ids.length - width), 0.25);
    return moving;
  }

  #paint() {
    this.frame = 0;
    const moving = this.#step();
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const context = this.context;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const middle = height / 2;
    const x = (at) => SIDE_MARGIN + ((at - this.shown.from) / this.shown.width) * width * (1 - HEAD_ROOM);

    context.fillStyle = colour('line');
    context.fillRect(0, middle - 0.5, width, 1);
    this.#paintTicks(context, x, middle, width, colour);
    this.sides.forEach((side, index) => this.#paintCursor(context, side, index === 0, x, middle, width, colour, style));
    if (moving) this.#wake();
  }

  #paintTicks(context, x, middle, width, colour) {
    const thick = Math.max(1, Math.min(3, (width / this.shown.width) * 0.45));
    for (let at = Math.max(0, Math.floor(this.shown.from) - 1); at < this.ids.length; at += 1) {
      const owner = this.owners.get(this.ids[at]);
      context.fillStyle = colour(owner ?? 'muted');
      context.fillRect(x(at + 0.5) - thick / 2, middle - 7, thick, 14);
    }
  }

  // Each side's wire runs along its edge of the log up to the cursor, where a flag names it; what it has yet to read
  // is shaded.
  #paintCursor(context, { name, label }, above, x, middle, width, colour, style) {
    const cursor = this.cursors.get(name);
    const sign = above ? -1 : 1;
    const at = Math.max(SIDE_MARGIN, x(cursor.at));
    const head = x(this.ids.length);
    const edge = middle + sign * 13;
    if (head - at > 2) {
      context.globalAlpha = 0.16;
      context.fillStyle = colour(name);
      context.fillRect(at, above ? edge : middle, head - at, 13);
      context.globalAlpha = 1;
    }
    context.strokeStyle = colour(name);
    context.fillStyle = colour(name);
    context.lineWidth = 2;
    context.setLineDash(cursor.live ? [] : [2, 5]);
    context.beginPath();
    context.moveTo(0, edge);
    context.lineTo(at, edge);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(at, middle + sign * 2);
    context.lineTo(at, middle + sign * 20);
    context.stroke();
    context.beginPath();
    context.arc(at, edge, 4, 0, Math.PI * 2);
    context.fill();
    context.font = `600 12px ${style.fontFamily}`;
    context.textBaseline = above ? 'bottom' : 'top';
    const text = label();
    const textWidth = context.measureText(text).width;
    context.fillText(text, Math.min(Math.max(0, at - textWidth / 2), width - textWidth), middle + sign * 21);
  }
}
