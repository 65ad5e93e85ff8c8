// The benchmark's report, without measuring: verdicts, tables and pictures out of made-up results, and the peers' files.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Results, against, control, median } from '../../bench/driver/figures.mjs';
import { bars, lines } from '../../bench/driver/plot.mjs';
import { Report } from '../../bench/driver/report.mjs';
import { Raw } from '../../bench/driver/run.mjs';
import { describe, names } from '../../bench/peers/peer.mjs';

const folder = mkdtempSync(join(tmpdir(), 'twinwire-report.'));
after(() => rmSync(folder, { recursive: true }));

const row = (target, window, samples, more = {}) => ({
  target,
  transport: 'ws',
  readers: 1000,
  window,
  cpuNsPerDelivery: median(samples),
  samples: { cpuNsPerDelivery: samples },
  lost: 0,
  repeated: 0,
  reordered: 0,
  ...more,
});

function reportOf(rows, extra = {}) {
  return reportOfSteps('fanout', { 'ws-1000': { rows, faults: 0, ...extra } });
}

// results: what each step of the part said, by its id.
function reportOfSteps(part, results) {
  const raw = new Raw(mkdtempSync(join(folder, 'raw.')));
  const steps = Object.entries(results).map(([id, result]) => [id, { command: 'x', status: 0, load: 0, result }]);
  raw.write(part, { part, steps: Object.fromEntries(steps) });
  const machine = { cores: 2, cpu: 'x', memory: 1, kernel: 'x', date: 'x', commit: 'x', peers: [], skipped: [] };
  return new Report(new Results(raw, [part]), { machine, quick: false, pictures: folder });
}

test('a ratio is formed inside each repetition, then the median is taken', () => {
  // The machine was twice as slow in the second repetition: both sides were.
  const pair = against(row('twinwire', 1, [110, 220, 105]), row('bare', 1, [100, 200, 100]), 'cpuNsPerDelivery');
  assert.deepEqual(
    pair.all.map((v) => v.toFixed(2)),
    ['1.10', '1.10', '1.05'],
  );
  assert.equal(pair.value.toFixed(2), '1.10');
  assert.deepEqual(control({ controlSamples: { cpuNsPerDelivery: [1, 1.02], p50Us: [2] } }).all, [1, 1.02]);
});

test('met and missed are told apart, and nothing that was not measured is met', () => {
  const met = reportOf([
    row('twinwire', 1, [109]),
    row('bare', 1, [100]),
    row('twinwire', 16, [116]),
    row('bare', 16, [100]),
  ]);
  const text = met.text();
  const verdict = (id) => met.verdicts.find((one) => one.id === id);
  assert.equal(verdict('fanout-ws-1000-1').good, true);
  assert.equal(verdict('fanout-ws-1000-16').good, false);
  assert.match(verdict('fanout-ws-1000-16').verdict, /missed/);
  assert.equal(verdict('growth-ws').good, undefined);
  assert.match(text, /1 of 2 targets met/);
});

test('lost messages and faults stand in the report', () => {
  const text = reportOf([row('twinwire', 1, [100], { lost: 3 }), row('bare', 1, [100])], { faults: 1 }).text();
  assert.match(text, /3 lost/);
  assert.match(text, /fanout\/ws-1000: 1 faults/);
});

test('a reason is given once, however many rows it is the reason of', () => {
  const missed = [1, 16].flatMap((window) => [row('twinwire', window, [200]), row('bare', window, [100])]);
  const text = reportOf(missed).text();
  assert.equal(text.split('Taking in, storing and answering').length, 2);
});

test('before and after: worse is more than 3 % beyond the noise of the control', () => {
  const rows = (after, again) =>
    [1, 16].flatMap((window) => [
      row('twinwire', window, after),
      row('twinwire:before', window, [100, 100, 100]),
      row('twinwire:again', window, again),
    ]);
  const which = { program: '/somewhere/twinwire', commit: 'abc1234', subject: 'Before', date: '2026-01-02' };
  const of = (after, again) => reportOfSteps('before', { which, 'fanout-ws': { rows: rows(after, again), faults: 0 } });
  const verdict = (report) => {
    const text = report.text();
    return { text, good: report.verdicts.find((one) => one.id === 'before').good };
  };
  assert.equal(verdict(of([102, 103, 102], [100, 100, 100])).good, true);
  assert.equal(verdict(of([104, 104, 104], [100, 100, 100])).good, false);
  // The control itself is off by two of a hundred, to either side.
  assert.equal(verdict(of([104, 104, 104], [98, 102, 98])).good, true);
  assert.equal(verdict(of([106, 106, 106], [98, 102, 98])).good, false);
  const { text } = verdict(of([110, 110, 110], [100, 100, 100]));
  assert.match(text, /worse by 10 %/);
  // A row whose control failed is not met by what is left of it.
  const failed = verdict(of([100, 100, 100], []));
  assert.equal(failed.good, false);
  assert.match(failed.text, /not measured/);
  assert.match(text, /commit abc1234 \("Before", 2026-01-02\)/);
});

test('a soak is met where nothing is lost and memory is flat after it settled', () => {
  const memory = (last) => [...Array(20).keys()].map((i) => [i, i < 19 ? 50e6 : last, 60e6]);
  const soaked = (more) => ({
    rows: [{ target: 'twinwire', seconds: 20, lost: 0, repeated: 0, reordered: 0, resets: 0, kills: 0, ...more }],
  });
  const verdict = (more) => {
    const report = reportOfSteps('soak', { calm: soaked(more) });
    report.text();
    return report.verdicts.find((one) => one.id === 'soak-calm').good;
  };
  assert.equal(verdict({ memory: memory(51e6) }), true);
  assert.equal(verdict({ memory: memory(90e6) }), false);
  assert.equal(verdict({ memory: memory(51e6), lost: 1 }), false);
  assert.equal(verdict({ memory: memory(90e6), kills: 1 }), true);
  assert.equal(verdict({ memory: memory(270e6), kills: 1 }), false);
  assert.equal(verdict({ memory: memory(51e6), failure: '3 streams ended' }), false);
});

test('pictures are well-formed, whatever is in them', () => {
  const one = lines({
    title: 'a < b & "c"',
    x: { label: 'x', scale: 'log' },
    y: { label: 'y', scale: 'log' },
    series: [{ name: 's', points: [[1, 5]] }],
  });
  const two = bars({
    title: 't',
    label: 'l',
    keys: ['a', 'b'],
    panels: [{ title: 'p', rows: [{ name: 'r', values: [1, NaN] }] }],
  });
  for (const svg of [one, two]) {
    assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
    // Every tag that is opened is closed, in order.
    const open = [];
    for (const [, end, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (end) assert.equal(open.pop(), name);
      else if (!self) open.push(name);
    }
    assert.deepEqual(open, []);
  }
  assert.equal(lines({ title: 't', x: { label: '' }, y: { label: '' }, series: [] }), undefined);
});

test('each peer says how it is started and spoken to', () => {
  assert.ok(names().length >= 6);
  for (const name of names()) {
    const peer = describe(name);
    assert.equal(peer.name, name);
    assert.ok(peer.start.length > 0 && peer.publish.via === 'post' && Object.keys(peer.readers).length > 0, name);
  }
  const locked = JSON.parse(readFileSync(new URL('../../bench/peers/package-lock.json', import.meta.url), 'utf8'));
  const wanted = JSON.parse(
    readFileSync(new URL('../../bench/peers/package.json', import.meta.url), 'utf8'),
  ).dependencies;
  assert.deepEqual(locked.packages[''].dependencies, wanted);
});

test('the pictures of a report are those it names', () => {
  const report = reportOf([row('twinwire', 1, [100]), row('bare', 1, [100])]);
  const named = [...report.text().matchAll(/\]\(report\/([a-z0-9-]+\.svg)\)/g)].map((found) => found[1]);
  assert.ok(named.length > 0);
  for (const name of named) assert.ok(readdirSync(folder).includes(name), name);
});
