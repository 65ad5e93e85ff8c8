// tools/dev bench: measures everything a two-core machine can hold, and writes the report.
//   node bench/driver/main.mjs [--quick] [--only PART[,PART]] [--million] [--soak] [--before PATH] [--render] [--list]
// Raw results go to build/bench/PART.json (a quick run's to build/bench/quick), the report to bench/REPORT.md and its
// pictures to bench/report (a quick run's beside its raw results). Status 1: a step failed or found a fault; a missed
// target is no failure. Needs Node 18; runs without a terminal.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { install, missing, names as peerNames, version } from '../peers/peer.mjs';
import { Results } from './figures.mjs';
import { parts } from './parts.mjs';
import { Report } from './report.mjs';
import { Raw, Show, parsed, run } from './run.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const build = process.env.TWINWIRE_BUILD_DIR ?? join(root, 'build');

function options(words) {
  const chosen = { quick: false, million: false, soak: false, render: false, list: false, only: [], before: undefined };
  for (let i = 0; i < words.length; ++i) {
    const flag = words[i].replace(/^--/, '');
    if (words[i] === '--only') chosen.only.push(...(words[++i] ?? '').split(','));
    else if (words[i].startsWith('--only=')) chosen.only.push(...words[i].slice(7).split(','));
    else if (words[i] === '--before') chosen.before = resolve(words[++i] ?? '');
    else if (words[i].startsWith('--before=')) chosen.before = resolve(words[i].slice(9));
    else if (typeof chosen[flag] === 'boolean' && words[i].startsWith('--')) chosen[flag] = true;
    else
      throw new Error(
        `unknown option ${words[i]}; there are --quick --only PART --million --soak --before PATH --render --list`,
      );
  }
  const unknown = chosen.only.filter((name) => !parts.some((part) => part.name === name));
  if (unknown.length) throw new Error(`no part "${unknown[0]}": ${parts.map((part) => part.name).join(', ')}`);
  if (chosen.before && !(existsSync(chosen.before) && statSync(chosen.before).isFile()))
    throw new Error(`--before: there is no program ${chosen.before}`);
  if (chosen.only.includes('before') && !chosen.before && !chosen.render)
    throw new Error('the part `before` needs --before PATH: the twinwire of an earlier build');
  return chosen;
}

function machine(peers, skipped) {
  const git = (...words) => spawnSync('git', words, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
  const changed = git(
    'status',
    '--porcelain',
    '--',
    'core',
    'net',
    'store',
    'tools/twinwire',
    'bench/twinbench',
    'bench/client',
    'bench/floor',
  );
  return {
    cores: cpus().length,
    cpu: processorName(),
    memory: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    commit: `${git('rev-parse', '--short', 'HEAD')}${changed ? ', with changes' : ''}`,
    peers: peers.map((name) => `${name} (${version(name)})`),
    skipped,
  };
}

// What /proc/cpuinfo says; its model name where there is one, else vendor and numbers.
function processorName() {
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const value = (name) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1];
  return `${value('model name') ?? 'unknown'} (${value('vendor_id') ?? ''} family ${value('cpu family')} model ${value('model')})`;
}

// The table between the markers of the top README.
function fillReadme(report) {
  const path = join(root, 'README.md');
  const text = readFileSync(path, 'utf8');
  const found = /(<!-- figures: begin[^>]*-->\n)[\s\S]*?(<!-- figures: end -->)/.exec(text);
  if (!found) return;
  writeFileSync(path, text.replace(found[0], `${found[1]}\n${report.summary()}\n${found[2]}`));
}

async function measure(context, chosen, raw, plan) {
  const expected = plan.reduce((sum, part) => sum + part.seconds[context.quick ? 'quick' : 'full'], 0);
  const show = new Show(expected || 1);
  let bad = 0;
  for (const part of plan) {
    const steps = part.steps(context);
    if (steps.length === 0) continue;
    const seconds = part.seconds[context.quick ? 'quick' : 'full'];
    show.say(`${part.name}: ${part.about}`);
    const content = { part: part.name, quick: context.quick, date: new Date().toISOString(), steps: {} };
    for (const step of steps) {
      let result;
      if (step.make) {
        const began = Date.now();
        result = await step.make().catch((error) => ({ failed: error.message }));
        result.seconds = (Date.now() - began) / 1000;
      } else {
        const limitSeconds = step.limitSeconds ?? Math.max(120, seconds * 3);
        result = parsed(await run(step.argv, { root, limitSeconds, quiet: !context.terminal }));
      }
      const faults = result.result?.faults ?? 0;
      const fault = result.failed ?? (faults ? `${faults} faults` : undefined);
      if (fault) ++bad;
      content.steps[step.id] = result;
      raw.write(part.name, content);
      show.done += seconds / steps.length;
      show.say(`  ${part.name}/${step.id}  ${Math.round(result.seconds)} s${fault ? `  FAILED: ${fault}` : ''}`);
    }
  }
  return bad;
}

async function main() {
  const chosen = options(process.argv.slice(2));
  if (chosen.list) {
    for (const part of parts)
      console.log(`${part.name.padEnd(9)} ${String(part.seconds.full).padStart(4)} s  ${part.about}`);
    return 0;
  }
  const folder = join(build, 'bench', chosen.quick ? 'quick' : '');
  const raw = new Raw(folder);
  const skipped = chosen.render
    ? peerNames().map(missing).filter(Boolean)
    : install((what) => console.error(`  ${what}`));
  for (const line of skipped) console.error(`  skipped: ${line}`);
  const context = {
    root,
    bin: join(build, 'bin'),
    quick: chosen.quick,
    before: chosen.before,
    terminal: Boolean(process.stderr.isTTY && !process.env.CI),
    peers: peerNames().filter((name) => !missing(name)),
    scratch: mkdtempSync(join(tmpdir(), 'twinwire-bench.')),
    pictures: chosen.quick ? join(folder, 'report') : join(root, 'bench/report'),
  };
  mkdirSync(context.pictures, { recursive: true });
  let bad = 0;
  try {
    if (!chosen.render) {
      const plan = parts.filter((part) =>
        chosen.only.length ? chosen.only.includes(part.name) : !part.asked || Boolean(chosen[part.name]),
      );
      bad = await measure(context, chosen, raw, plan);
      raw.write('machine', machine(context.peers, skipped));
    }
  } finally {
    rmSync(context.scratch, { recursive: true, force: true });
  }
  context.machine = raw.read('machine') ?? machine(context.peers, skipped);
  const results = new Results(
    raw,
    parts.map((part) => part.name),
  );
  for (const old of existsSync(context.pictures) ? readdirSync(context.pictures) : []) {
    if (old.endsWith('.svg')) rmSync(join(context.pictures, old));
  }
  const report = new Report(results, context);
  const path = chosen.quick ? join(folder, 'REPORT.md') : join(root, 'bench/REPORT.md');
  writeFileSync(path, report.text());
  if (!chosen.quick) fillReadme(report);
  for (const one of report.verdicts)
    console.log(`  ${one.what}: ${one.measured} (${one.target}) ${one.verdict.replaceAll('*', '')}`);
  console.log(
    `${path.replace(`${root}/`, '')}: ${report.verdicts.filter((one) => one.good).length} of ${report.verdicts.filter((one) => one.good !== undefined).length} targets met, ${report.pictures} pictures`,
  );
  return bad ? 1 : 0;
}

// What was started ends with this process: see the listeners of 'exit'.
process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143));

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error) => {
    console.error(error.message);
    process.exitCode = 2;
  },
);
