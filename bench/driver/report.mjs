// bench/REPORT.md and its pictures, out of raw results. Each section states its target (issue 3's table), what was measured
// and against what, the noise of the method, and the commands. Not here: what is run (parts.mjs), the page on bigger
// machines (sizing.mjs).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { against, commands, control, median, percent, ratio, shown, span, table, whole } from './figures.mjs';
import { before, soak } from './sections_asked.mjs';
import { chat, fanout, latency, slow, storm, window } from './sections_load.mjs';
import { growth, idle, micro, publish, resume, ring } from './sections_state.mjs';
import { sizingPage } from './sizing.mjs';
import { why } from './why.mjs';

export const transports = ['sse', 'ws'];
export const word = { sse: 'SSE', ws: 'WebSocket', mixed: 'both' };
export const isPeer = (name) => name !== 'twinwire' && !name.startsWith('bare');

export class Report {
  constructor(results, context) {
    this.results = results;
    this.context = context;
    this.verdicts = []; // {what, target, measured, noise, good, by}
    this.pictures = 0;
  }

  // ------------------------------------------------------------------------------------------ helpers

  picture(name, svg, words) {
    if (!svg) return '';
    writeFileSync(join(this.context.pictures, `${name}.svg`), svg);
    ++this.pictures;
    return `![${words}](report/${name}.svg)\n`;
  }

  // A target `value <= limit`; `all`: the repetitions' values; `noise`: the A/A control's.
  judge(id, what, target, value, limit, { all, noise, show = ratio, unit = '' } = {}) {
    if (!Number.isFinite(value)) {
      this.verdicts.push({ id, what, target, measured: 'not measured', noise: '–', verdict: '–' });
      return '';
    }
    const good = value <= limit;
    const by = Math.abs(value / limit - 1);
    const words = by < 0.0005 ? 'less than 0.1 %' : percent(by);
    const verdict = good ? `met, ${words} below` : `**missed by ${words}**`;
    const spread = all?.length > 1 ? ` (${span(all, show)})` : '';
    this.verdicts.push({
      id,
      what,
      target,
      measured: `${show(value)}${unit}${spread}`,
      noise: noise?.length ? span(noise) : '–',
      verdict,
      good,
    });
    return good ? '' : (why[id] ?? '');
  }

  // A target that is yes or no.
  decide(id, what, target, measured, good) {
    this.verdicts.push({
      id,
      what,
      target,
      measured,
      noise: '–',
      verdict: good === undefined ? '–' : good ? 'met' : '**missed**',
      good,
    });
  }

  // Rows of one step as a table of servers, cheapest first.
  servers(rows, figure, more = []) {
    const own = rows.find((row) => row.target === 'twinwire');
    return [...rows]
      .sort((a, b) => (a[figure] ?? Infinity) - (b[figure] ?? Infinity) || 0)
      .map((row) => [
        shown(row.target),
        whole(row[figure]),
        span(row.samples?.[figure], whole),
        row === own ? '1' : ratio(against(own, row, figure).value),
        ...more.map((one) => one(row)),
      ]);
  }

  missing(part) {
    return this.results.has(part) ? '' : `\nNot measured in this run (\`tools/dev bench --only ${part}\`).\n`;
  }

  // What a section ends with: reasons for what is missed, each once however many rows it is the reason of; faults; commands.
  closing(part, notes = []) {
    const reasons = [...new Set(notes.filter(Boolean))].map((note) => `${note}\n`);
    return [...reasons, this.faultsOf(part), this.commandsOf(part)];
  }

  commandsOf(part, ids) {
    const steps = this.results.steps(part).filter((step) => !ids || ids.includes(step.id));
    return commands(steps) ? `\n${commands(steps)}` : '';
  }

  faultsOf(part) {
    const rows = this.results.steps(part).flatMap((step) => step.result?.rows ?? []);
    const sum = (name, which) => rows.filter(which).reduce((all, row) => all + (row[name] ?? 0), 0);
    const own = (row) => row.target === 'twinwire';
    const ours = ['lost', 'repeated', 'reordered'].map((name) => `${whole(sum(name, own))} ${name}`).join(', ');
    const theirs = rows
      .filter((row) => !own(row) && (row.lost || row.repeated || row.reordered))
      .map(
        (row) => `${row.target}: ${row.lost ?? 0} lost, ${row.repeated ?? 0} repeated, ${row.reordered ?? 0} reordered`,
      );
    const busy = rows
      .filter((row) => row.harnessLimited)
      .map((row) => `${row.target} on ${word[row.transport] ?? row.transport}`);
    const notes = [`Twinwire's readers: ${ours}.`];
    if (theirs.length) notes.push(`Of others: ${[...new Set(theirs)].join('; ')}.`);
    if (busy.length)
      notes.push(
        `The harness was at its limit (rates are then its own; CPU figures stand) for: ${[...new Set(busy)].join(', ')}.`,
      );
    return rows.length ? `\n${notes.join(' ')}\n` : '';
  }

  // ------------------------------------------------------------------------------------------ the whole

  targets() {
    return table(
      ['what', 'target', 'measured (least…most)', 'A/A control', 'verdict'],
      this.verdicts.map((one) => [one.what, one.target, one.measured, one.noise, one.verdict]),
    );
  }

  text() {
    const all = [fanout, window, chat, ring, growth, storm, idle, resume, publish, latency, slow, soak, before];
    const sections = all.map((one) => one(this));
    const tail = [['## What a bigger machine would do\n', sizingPage(this.results)], micro(this)];
    const { machine, quick } = this.context;
    const met = this.verdicts.filter((one) => one.good === true).length;
    const judged = this.verdicts.filter((one) => one.good !== undefined).length;
    const failures = this.results.failures();
    const loads = Object.values(this.results.parts)
      .flatMap((part) => Object.values(part.steps).map((step) => step.load))
      .filter(Number.isFinite);
    const head = [
      '# Report\n',
      `Written by \`tools/dev bench${quick ? ' --quick' : ''}\` from raw results in \`build/bench${quick ? '/quick' : ''}\`; not by hand. ${met} of ${judged} targets met.${quick ? ' **A quick run: few repetitions, short turns; the full one counts.**' : ''}\n`,
      table(
        ['machine', ''],
        [
          ['processor', `${machine.cores} cores, ${machine.cpu}`],
          ['memory, kernel', `${machine.memory} GiB, Linux ${machine.kernel}`],
          ['run', `${machine.date}, commit ${machine.commit}`],
          [
            'load of others',
            `load average when a step began: median ${ratio(median(loads))}, most ${ratio(Math.max(...loads))}`,
          ],
          ['peers', machine.peers.join('; ') || 'none'],
          ...(machine.skipped.length ? [['not here', machine.skipped.join('; ')]] : []),
        ],
      ),
      '## Method\n',
      'The server under test has one core for itself (core 0), the harness the other. Servers take turns inside one run, in an order that rotates, each with its own readers that stay',
      'connected; each turn gives one value, the first of each is thrown away, and what is shown is the **median** of the rest. Ratios are formed inside a repetition, so',
      "that the machine's drift falls out. CPU is the scheduler's own count for all threads and processes of a server (our store's threads, Go's collector, nginx's master); on loopback the receiver's half",
      "of TCP runs on the sender's core and is in every figure alike. **A/A control**: the bare loop's second turn over its first, in each repetition: what the method's own noise is. Presence and rate limits are off,",
      'heartbeats beyond the run. What peers are, how they were tuned and what is not comparable: `bench/peers/README.md`. Every reader counts what was lost, repeated or reordered.\n',
      '## Targets\n',
      this.targets(),
    ];
    if (failures.length) {
      head.push(
        'Steps that failed or found faults:\n',
        ...failures.map((one) => `* ${one.where}: ${one.why}${one.command ? ` (\`${one.command}\`)` : ''}`),
        '\n',
      );
    }
    const again = [
      '## Again\n',
      '    tools/dev bench                  everything but the million, about half an hour',
      '    tools/dev bench --quick          three minutes, to build/bench/quick',
      '    tools/dev bench --only fanout    one part; the report is written anew from all raw results',
      '    tools/dev bench --million        with the million connections',
      '    tools/dev bench --soak           with half an hour of soak',
      '    tools/dev bench --before PATH    with the twinwire at PATH beside this one',
      '    tools/dev bench --render         only the report, from what was measured\n',
    ];
    return [...head, ...sections.flat(), ...tail.flat(), ...again]
      .filter((one) => one !== '')
      .join('\n')
      .replace(/\n{3,}/g, '\n\n');
  }

  // The short table of the top README.
  summary() {
    const pick = (ids) =>
      ids
        .map((id) => this.verdicts.find((one) => one.id === id))
        .filter((one) => one && one.measured !== 'not measured');
    const chosen = pick([
      'fanout-sse-10000-1',
      'fanout-ws-10000-1',
      'fanout-sse-10000-16',
      'fanout-ws-10000-16',
      'chat-sse',
      'chat-ws',
      'chat-kept-sse',
      'chat-kept-ws',
      'ring-profile',
      'idle-user',
      'million-user',
      'million-broadcast',
      'growth-million',
      'storm-sse',
      'storm-ws',
      'resume',
      'publish-writer-1024-0',
      'publish-sockets',
      'latency-sse-1000',
      'latency-ws-1000',
      'slow-complete',
    ]);
    return table(
      ['what', 'target', 'measured', 'verdict'],
      chosen.map((one) => [one.what, one.target, one.measured, one.verdict]),
    );
  }
}
