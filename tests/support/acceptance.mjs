// The table of acceptance: reads migrations/rows.json, runs the tests named on the command line with node's runner, and
// prints for every row what it is, how it is met, and by which test. Ends with 1 when a row of the engine is not met.
//   node tests/support/acceptance.mjs [--all] FILE.test.mjs…      (--all: the rows that wait for others too)
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const { rows } = JSON.parse(await readFile(join(here, '../e2e/migrations/rows.json'), 'utf8'));
const args = process.argv.slice(2);
const all = args.includes('--all');
const files = args.filter((arg) => !arg.startsWith('--'));
const waits = {
  client: 'waits: JavaScript client and pages',
  later: 'waits: calls, bots, streams, binary',
  report: 'a figure of the benchmark report',
  guide: "the application's own, or the guide",
};

/** One file's tests as {name, ok}; a file that ends without a plan counts as failed. */
async function run(file) {
  const child = spawn(process.execPath, ['--test', '--test-reporter=tap', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const tests = [];
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    const found = /^\s*(not )?ok \d+ - (.*?)(?: # (SKIP|TODO).*)?$/.exec(line);
    if (!found || found[2].endsWith('.mjs')) continue;
    tests.push({ name: found[2].replace(/\\(.)/g, '$1'), ok: !found[1] && !found[3], file });
  }
  if (tests.some((t) => !t.ok) || tests.length === 0) process.stderr.write(`${file}:\n${lines.filter((l) => /not ok|error:|expected|actual|failureType/.test(l)).join('\n')}\n`);
  return tests;
}

const tests = [];
for (const file of files) tests.push(...(await run(file)));

const shownBy = new Map();
for (const test of tests) {
  for (const id of /^((?:[QLPMX]\d+ )+)/.exec(test.name)?.[1].trim().split(' ') ?? []) {
    shownBy.set(id, [...(shownBy.get(id) ?? []), test]);
  }
}
const known = new Set(rows.map(([id]) => id));
const strangers = [...shownBy.keys()].filter((id) => !known.has(id));

let unmet = 0;
const table = rows.map(([id, kind, what, also]) => {
  const by = shownBy.get(id) ?? [];
  const ok = by.length > 0 && by.every((test) => test.ok);
  let status = by.length ? (ok ? 'met' : 'FAILS') : (waits[kind] ?? 'NOT MET');
  if (kind === 'engine' && !ok) unmet++;
  if (ok && also) status = `met; ${also}`;
  const where = by.map((t) => `${basename(t.file).replace('.test.mjs', '')}: ${t.name.replace(/^(?:[QLPMX]\d+ )+/, '')}`);
  return { id, kind, what, status, by: where[0] ?? '', more: where.length - 1 };
});
const width = (key) => Math.max(...table.map((row) => row[key].length));
const [w, s] = [width('what'), 36];
for (const row of table) {
  if (!all && row.kind !== 'engine' && !row.by) continue;
  const more = row.more > 0 ? ` (+${row.more})` : '';
  console.log(`${row.id.padEnd(4)} ${row.what.padEnd(w)}  ${row.status.padEnd(s)}  ${row.by}${more}`.trimEnd());
}
const count = (test) => table.filter(test).length;
console.log(
  `\n${rows.length} rows: ${count((r) => r.status.startsWith('met'))} met, ${unmet} of the engine's not met, ` +
    `${count((r) => r.status.startsWith('waits: calls'))} wait for calls, bots and streams, ` +
    `${count((r) => r.status.startsWith('waits: J'))} for the client and its pages, ` +
    `${count((r) => r.status.startsWith('a figure'))} are figures of the benchmark report, ` +
    `${count((r) => r.status.startsWith('the app'))} the application's own or the guide's`,
);
if (strangers.length) console.log(`tests that name unknown rows: ${strangers.join(' ')}`);
process.exitCode = unmet || strangers.length || tests.some((test) => !test.ok) ? 1 : 0;
