// Pictures of figures as SVG, drawn by hand: lines over logarithmic or linear axes, and bars side by side. Each picture
// brings its own light ground, so that it reads the same on a light and on a dark page. No library, no state, no files.

const kFont = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const kInk = '#1b2733';
const kDim = '#5a6876';
const kGrid = '#e3e8ee';
const kGround = '#fbfcfe';

// Which colour a server has, in every picture.
export const colours = {
  twinwire: '#1857c4',
  'twinwire, kept': '#1857c4',
  'twinwire commit': '#6d9be8',
  bare: '#3d4752',
  'bare-single': '#8b95a1',
  'bare-uring': '#8b95a1',
  bun: '#d1622b',
  nchan: '#1d8a5b',
  'node-ws': '#a3399b',
  'node-sse': '#a3399b',
  socketio: '#8a6a12',
  centrifugo: '#c22f4a',
};
const spare = ['#1857c4', '#d1622b', '#1d8a5b', '#a3399b', '#8a6a12', '#c22f4a', '#3d4752'];

const escape = (text) =>
  String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
const round = (value) => Math.round(value * 10) / 10;

function text(x, y, words, { size = 13, colour = kInk, anchor = 'start', weight = 400, turn } = {}) {
  const rotated = turn ? ` transform="rotate(${turn} ${round(x)} ${round(y)})"` : '';
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" fill="${colour}" text-anchor="${anchor}" font-weight="${weight}"${rotated}>${escape(words)}</text>`;
}

const line = (x1, y1, x2, y2, colour = kGrid, width = 1) =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${colour}" stroke-width="${width}"/>`;

function frame(width, height, title, subtitle, parts) {
  const words = [title, subtitle].filter(Boolean).join('. ');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${escape(kFont)}" role="img" aria-label="${escape(words)}">
<title>${escape(words)}</title>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="${kGround}" stroke="#d5dce4"/>
${text(24, 34, title, { size: 17, weight: 600 })}
${subtitle ? text(24, 55, subtitle, { size: 13, colour: kDim }) : ''}
${parts.join('\n')}
</svg>
`;
}

// 1234567 -> "1.2 M"; for axes.
export function short(value) {
  const steps = [
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ];
  for (const [unit, word] of steps) {
    if (Math.abs(value) >= unit) return `${Number((value / unit).toPrecision(3))}${word}`;
  }
  return String(Number(value.toPrecision(3)));
}

// Ticks of an axis: 1-2-5 on linear ones, decades (with 2 and 5 where there are few) on logarithmic ones.
function ticksOf(scale, low, high) {
  if (scale === 'log') {
    const decades = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); ++e) decades.push(e);
    const marks = decades.length <= 4 ? [1, 2, 5] : [1];
    return decades.flatMap((e) => marks.map((m) => m * 10 ** e)).filter((v) => v >= low * 0.999 && v <= high * 1.001);
  }
  const rough = (high - low) / 6;
  const unit = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step / 1000; v += step) out.push(Number(v.toPrecision(12)));
  return out;
}

// A place for each label beside the end of its line, none above another.
function spread(labels, least, top, bottom) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  for (let i = 1; i < sorted.length; ++i) sorted[i].y = Math.max(sorted[i].y, sorted[i - 1].y + least);
  let beyond = sorted.length ? sorted[sorted.length - 1].y - bottom : 0;
  for (let i = sorted.length - 1; i >= 0 && beyond > 0; --i) {
    sorted[i].y -= beyond;
    if (i > 0) beyond = Math.max(0, sorted[i - 1].y + least - sorted[i].y);
  }
  for (const label of sorted) label.y = Math.max(label.y, top);
  return sorted;
}

// { title, subtitle, x: {label, scale, ticks, format, low, high}, y: likewise,
//   series: [{name, points: [[x, y]], colour, dash, plain}], mark: [{y, words}] }
// scale: 'linear', 'log', or 'percentile' (x only: 50, 90, 99, 99.9 at equal steps).
export function lines({ title, subtitle, x, y, series, mark = [], width = 800, height = 440 }) {
  series = series.filter((one) => one.points.length > 0);
  const all = series.flatMap((one) => one.points);
  if (all.length === 0) return undefined;
  const xScale = x.scale ?? 'linear';
  const yScale = y.scale ?? 'linear';
  const along =
    xScale === 'percentile'
      ? (v) => -Math.log10(1 - Math.min(v, 99.9999) / 100)
      : xScale === 'log'
        ? Math.log10
        : (v) => v;
  const up = yScale === 'log' ? Math.log10 : (v) => v;
  const marked = mark.map((one) => one.y);
  const lowX = x.low ?? Math.min(...all.map((p) => p[0]));
  const highX = x.high ?? Math.max(...all.map((p) => p[0]));
  let lowY = y.low ?? Math.min(...all.map((p) => p[1]), ...marked);
  let highY = y.high ?? Math.max(...all.map((p) => p[1]), ...marked);
  if (yScale === 'log') {
    lowY = y.low ?? lowY / 1.25;
    highY = y.high ?? highY * 1.25;
  } else {
    lowY = y.low ?? 0;
    highY = y.high ?? highY * 1.08;
  }
  const longest = Math.max(...series.map((one) => one.name.length));
  const area = { left: 78, right: width - Math.min(240, 30 + longest * 7.4), top: 78, bottom: height - 62 };
  const spanX = along(highX) - along(lowX) || 1;
  const spanY = up(highY) - up(lowY) || 1;
  const px = (v) => area.left + ((along(v) - along(lowX)) / spanX) * (area.right - area.left);
  const py = (v) => area.bottom - ((up(v) - up(lowY)) / spanY) * (area.bottom - area.top);
  const parts = [];
  for (const tick of (y.ticks ?? ticksOf(yScale, lowY, highY)).filter((v) => v >= lowY * 0.999 && v <= highY * 1.001)) {
    parts.push(line(area.left, py(tick), area.right, py(tick)));
    parts.push(text(area.left - 9, py(tick) + 4.5, (y.format ?? short)(tick), { anchor: 'end', colour: kDim }));
  }
  const xTicks =
    x.ticks ??
    (xScale === 'percentile'
      ? [50, 90, 99, 99.9].filter((v) => v <= highX && v >= lowX)
      : ticksOf(xScale, lowX, highX));
  for (const tick of xTicks) {
    parts.push(line(px(tick), area.top, px(tick), area.bottom));
    parts.push(
      text(px(tick), area.bottom + 20, (x.format ?? (xScale === 'percentile' ? (v) => `p${v}` : short))(tick), {
        anchor: 'middle',
        colour: kDim,
      }),
    );
  }
  parts.push(line(area.left, area.bottom, area.right, area.bottom, '#9aa6b2', 1.2));
  parts.push(text((area.left + area.right) / 2, height - 18, x.label, { anchor: 'middle' }));
  parts.push(text(22, (area.top + area.bottom) / 2, y.label, { anchor: 'middle', turn: -90 }));
  for (const one of mark) {
    parts.push(
      `<line x1="${area.left}" y1="${round(py(one.y))}" x2="${area.right}" y2="${round(py(one.y))}" stroke="#b03a3a" stroke-width="1.3" stroke-dasharray="3 4"/>`,
    );
    parts.push(text(area.left + 8, py(one.y) - 6, one.words, { size: 12, colour: '#b03a3a' }));
  }
  const labels = [];
  series.forEach((one, i) => {
    const colour = one.colour ?? colours[one.name] ?? spare[i % spare.length];
    const points = [...one.points].sort((a, b) => a[0] - b[0]);
    const path = points.map((p, k) => `${k ? 'L' : 'M'}${round(px(p[0]))} ${round(py(p[1]))}`).join('');
    const thick = one.name.startsWith('twinwire') ? 3 : 2;
    parts.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${thick}" stroke-linejoin="round"${one.dash ? ` stroke-dasharray="${one.dash}"` : ''}/>`,
    );
    if (!one.plain && points.length <= 20) {
      for (const p of points)
        parts.push(
          `<circle cx="${round(px(p[0]))}" cy="${round(py(p[1]))}" r="3.4" fill="${colour}" stroke="${kGround}" stroke-width="1.2"/>`,
        );
    }
    const last = points[points.length - 1];
    labels.push({ x: px(last[0]), from: py(last[1]), y: py(last[1]), words: one.name, colour });
  });
  for (const label of spread(labels, 17, area.top, area.bottom)) {
    const at = area.right + 16;
    if (Math.abs(label.y - label.from) > 3 || label.x < area.right - 1) {
      parts.push(
        `<path d="M${round(label.x + 4)} ${round(label.from)}L${area.right + 6} ${round(label.y)}L${at - 3} ${round(label.y)}" fill="none" stroke="${label.colour}" stroke-width="0.8" opacity="0.55"/>`,
      );
    }
    parts.push(
      text(at, label.y + 4.5, label.words, {
        colour: label.colour,
        weight: label.words.startsWith('twinwire') ? 700 : 500,
      }),
    );
  }
  return frame(width, height, title, subtitle, parts);
}

// Horizontal bars: { title, subtitle, unit, keys: ['one at a time', '16 at once'],
//   panels: [{title, rows: [{name, values: [a, b]}]}] }. The second bar of a row is the lighter one.
export function bars({ title, subtitle, label, keys = [], panels, format = short, width = 800 }) {
  // A server that could not be measured is told in the report, and has no bar.
  const measured = (row) => row.values.some(Number.isFinite);
  panels = panels
    .map((panel) => ({ ...panel, rows: panel.rows.filter(measured) }))
    .filter((panel) => panel.rows.length > 0);
  if (panels.length === 0) return undefined;
  const many = Math.max(...panels.flatMap((panel) => panel.rows.map((row) => row.values.length)));
  const thick = many > 1 ? 13 : 18;
  const pitch = many * thick + 14;
  const longest = Math.max(...panels.flatMap((panel) => panel.rows.map((row) => row.name.length)));
  const nameWidth = 24 + longest * 7.6;
  const panelWidth = (width - 24 - 24 * panels.length) / panels.length;
  const rowsHeight = Math.max(...panels.map((panel) => panel.rows.length)) * pitch;
  const top = keys.length > 1 ? 118 : 96;
  const height = top + rowsHeight + 46;
  const highest = Math.max(
    ...panels.flatMap((panel) => panel.rows.flatMap((row) => row.values.filter(Number.isFinite))),
  );
  const parts = [];
  if (keys.length > 1) {
    let at = 24;
    keys.forEach((key, i) => {
      parts.push(
        `<rect x="${round(at)}" y="70" width="14" height="12" rx="2" fill="${colours.twinwire}" opacity="${i === 0 ? 1 : 0.45}"/>`,
      );
      parts.push(text(at + 20, 81, key, { size: 12.5, colour: kDim }));
      at += 46 + key.length * 6.9;
    });
  }
  panels.forEach((panel, index) => {
    const left = 24 + index * (panelWidth + 24);
    const barLeft = left + nameWidth;
    const room = panelWidth - nameWidth - 62;
    if (panel.title) parts.push(text(left, top - 10, panel.title, { weight: 600, size: 14 }));
    panel.rows.forEach((row, r) => {
      const y = top + r * pitch + 6;
      const colour = colours[row.name] ?? row.colour ?? spare[r % spare.length];
      const own = row.name.startsWith('twinwire');
      parts.push(
        text(barLeft - 10, y + (row.values.length * thick) / 2 + 4, row.name, {
          anchor: 'end',
          weight: own ? 700 : 400,
        }),
      );
      row.values.forEach((value, i) => {
        if (!Number.isFinite(value)) return;
        const long = Math.max(1, (value / highest) * room);
        parts.push(
          `<rect x="${round(barLeft)}" y="${round(y + i * thick)}" width="${round(long)}" height="${thick - 2}" rx="2" fill="${colour}" opacity="${i === 0 ? 1 : 0.45}"/>`,
        );
        parts.push(
          text(barLeft + long + 6, y + i * thick + thick - 4, format(value), {
            size: 11.5,
            colour: own ? kInk : kDim,
            weight: own ? 600 : 400,
          }),
        );
      });
    });
    parts.push(line(barLeft, top + 2, barLeft, top + panel.rows.length * pitch, '#9aa6b2', 1.2));
  });
  parts.push(text(24, height - 18, label, { size: 12.5, colour: kDim }));
  return frame(width, height, title, subtitle, parts);
}
