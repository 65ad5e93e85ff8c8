// Reading raw results, and writing numbers and tables. Nothing here decides what is measured.

export const median = (values) => {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

export const whole = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString('en') : '–');
export const ratio = (value) => (Number.isFinite(value) ? value.toFixed(value >= 10 ? 1 : 2) : '–');
export const percent = (value) =>
  Number.isFinite(value) ? `${(value * 100).toFixed(Math.abs(value) < 0.1 ? 1 : 0)} %` : '–';
export const span = (values, show = ratio) => {
  const known = (values ?? []).filter(Number.isFinite);
  return known.length ? `${show(Math.min(...known))}…${show(Math.max(...known))}` : '–';
};

// A server's name in a table: ours stands out.
export const shown = (name) => (name === 'twinwire' ? '**twinwire**' : name);

export function table(heads, rows) {
  if (rows.length === 0) return '';
  const names = heads.map((head) => head.replace(/^>/, ''));
  const bars = heads.map((head) => (head.startsWith('>') ? '---:' : '---'));
  return [`| ${names.join(' | ')} |`, `|${bars.join('|')}|`, ...rows.map((row) => `| ${row.join(' | ')} |`), ''].join(
    '\n',
  );
}

export const commands = (steps) => {
  const list = steps.filter((step) => step?.command).map((step) => `    ${step.command}`);
  return list.length ? `${list.join('\n')}\n` : '';
};

// All raw results of a run: step(part, id), rows(part, id), and the value of a Google Benchmark row.
export class Results {
  constructor(raw, names) {
    this.parts = Object.fromEntries(names.map((name) => [name, raw.read(name)]).filter(([, content]) => content));
  }
  has(part) {
    return part in this.parts;
  }
  steps(part) {
    return Object.entries(this.parts[part]?.steps ?? {}).map(([id, step]) => ({ id, ...step }));
  }
  step(part, id) {
    return this.parts[part]?.steps?.[id];
  }
  rows(part, id) {
    return this.step(part, id)?.result?.rows ?? [];
  }
  row(part, id, wanted) {
    return this.rows(part, id).find((row) => Object.entries(wanted).every(([key, value]) => row[key] === value));
  }
  // A row of Google Benchmark's JSON: its median where it was repeated.
  micro(part, id, name) {
    const list = this.step(part, id)?.result?.benchmarks ?? [];
    return list.find((one) => one.name === `${name}_median`) ?? list.find((one) => one.name === name);
  }
  // Steps without a result, targets that failed within one, faults.
  failures() {
    return Object.keys(this.parts).flatMap((part) =>
      this.steps(part).flatMap((step) => {
        const where = `${part}/${step.id}`;
        const targets = (step.result?.rows ?? []).filter((row) => row.failure);
        const out = targets.map((row) => ({ where, why: `${row.target}: ${row.failure}`, command: step.command }));
        if (step.failed) out.push({ where, why: step.failed.trim().split('\n').pop(), command: step.command });
        if (step.result?.faults) out.push({ where, why: `${step.result.faults} faults`, command: step.command });
        return out;
      }),
    );
  }
}

// The ratio of two rows of one step, repetition by repetition: { value (median), all }.
export function against(rowA, rowB, figure) {
  const a = rowA?.samples?.[figure];
  const b = rowB?.samples?.[figure];
  if (a && b && a.length && b.length) {
    const all = a.slice(0, b.length).map((value, i) => value / b[i]);
    return { value: median(all), all };
  }
  const value = (rowA?.[figure] ?? NaN) / (rowB?.[figure] ?? NaN);
  return { value, all: Number.isFinite(value) ? [value] : [] };
}

// What the bare loop's second turn was to its first, repetition by repetition: the noise of the method. `figure`: 'p50Us'
// and the like; without it, the row's main figure.
export function control(bare, figure) {
  const one = figure === 'p50Us' ? bare?.p50Control : bare?.control;
  const main = ['cpuNsPerDelivery', 'cpuNsPerConnection', 'cpuNsPerMessage'].find(
    (name) => bare?.controlSamples?.[name],
  );
  const all = bare?.controlSamples?.[figure ?? main] ?? (Number.isFinite(one) ? [one] : []);
  return { value: median(all), all };
}

// Slab of what a connection of ours arms, beyond a bare pair in the same run: the poll (io_kiocb) and the node of its
// registered file (kmalloc-32). The other caches move with whatever else the machine does.
export function armedBytes(hold) {
  const beyond = (cache) => (hold.slab?.[cache]?.[0] ?? 0) - (hold.slab?.[cache]?.[1] ?? 0);
  return hold.slabBytesPerBarePair > 0 ? beyond('io_kiocb') + beyond('kmalloc-32') : NaN;
}
