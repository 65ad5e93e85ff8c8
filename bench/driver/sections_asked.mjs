// The report's sections about parts that run only when they are asked for: a soak, and one build of Twinwire beside an
// earlier one. Each takes the Report and returns its lines of Markdown. Not here: what is run (parts.mjs), verdicts (report.mjs).
import { against, median, percent, ratio, span, table, whole } from './figures.mjs';
import { lines } from './plot.mjs';
import { transports, word } from './report.mjs';
import { why } from './why.mjs';

const mebi = (bytes) => (bytes / 2 ** 20).toFixed(1);
const kWorse = 0.03; // issue 4: no row worse by more than this, beyond the noise of its control
const kBudget = 320; // bytes of user space for an idle connection

// ------------------------------------------------------------------------------------------------- soak

const kStoreBytes = (128 + 64) << 20; // what the store may take: its block cache and the events' memtable

// The most private bytes in each half of the time. The memory of a store that is written to is a saw: it fills its memtables
// and gives them back; so the peaks are compared, not where a run happens to end.
function peaks(row) {
  const memory = row.memory ?? [];
  const last = memory.at(-1)?.[0] ?? 0;
  const most = (points) => Math.max(...points.map((point) => point[1]));
  const second = ([at]) => at > last / 2;
  return { start: memory[0]?.[1], first: most(memory.filter((point) => !second(point))), second: most(memory.filter(second)) };
}

export function soak(report) {
  const steps = report.results.steps('soak').flatMap((step) => {
    const row = step.result?.rows?.find((one) => one.target === 'twinwire');
    return row ? [{ id: step.id, row }] : [];
  });
  const out = [
    '## A soak\n',
    'Rooms of members on both transports who talk, are cut at random and come back with their cursor, for a quarter of an hour; and the same with kill -9 on the way:',
    'all are cut, messages are stored that nobody has, the server is killed and started again, and all come back and get them. Target: 0 lost, 0 repeated, 0 reordered,',
    'memory flat: its peak in the second half no more than a tenth and 8 MiB above its peak in the first. A killed server is a new process each time, which begins by reading what',
    "its clients missed into the store's block cache (at most 128 MiB) while the events' memtable fills (64 MiB): its memory is held against these.\n",
    report.results.has('soak') ? '' : '\nNot measured in this run (`tools/dev bench --only soak`).\n',
  ];
  if (steps.length) {
    out.push(
      table(
        [
          '',
          '>seconds',
          '>messages',
          '>deliveries',
          '>came back',
          '>lost',
          '>repeated',
          '>reordered',
          '>resets',
          '>ns a delivery',
          '>peak MiB, first half',
          '>second half',
        ],
        steps.map(({ id, row }) => [
          id === 'killed' ? `with ${whole(row.kills)} × kill -9` : 'as it goes',
          whole(row.seconds),
          whole(row.messages),
          whole(row.deliveries),
          whole(row.cuts),
          whole(row.lost),
          whole(row.repeated),
          whole(row.reordered),
          whole(row.resets),
          whole(row.cpuNsPerDelivery),
          mebi(peaks(row).first),
          mebi(peaks(row).second),
        ]),
      ),
      report.picture(
        'soak',
        lines({
          title: 'A soak: memory of the server',
          subtitle: 'Members of rooms on both transports talk, are cut and come back; private and resident memory',
          x: { label: 'minutes', low: 0 },
          y: { label: 'MiB', low: 0 },
          series: steps.flatMap(({ id, row }, i) =>
            [1, 2].map((column) => ({
              name: `${id === 'killed' ? 'with kill -9' : 'as it goes'}, ${column === 1 ? 'private' : 'resident'}`,
              colour: ['#1857c4', '#d1622b'][i],
              dash: column === 2 ? '3 4' : undefined,
              plain: true,
              points: (row.memory ?? [])
                .filter((point) => point[column] > 0)
                .map((point) => [point[0] / 60, point[column] / 2 ** 20]),
            })),
          ),
        }),
        'Memory of the server over a soak',
      ),
    );
    for (const { id, row } of steps) {
      const memory = peaks(row);
      report.decide(
        `soak-${id}`,
        `soak of ${whole(row.seconds)} s${row.kills ? ` with ${whole(row.kills)} × kill -9` : ''}`,
        `0 lost, repeated, reordered; memory ${row.kills ? 'within the bounds of the store' : 'flat'}`,
        `${whole(row.lost)}, ${whole(row.repeated)}, ${whole(row.reordered)}; peaks ${mebi(memory.first)}, then ${mebi(memory.second)} MiB`,
        !row.failure &&
          row.lost + row.repeated + row.reordered === 0 &&
          memory.second <= (row.kills ? memory.start + kStoreBytes : memory.first * 1.1 + (8 << 20)),
      );
    }
  }
  out.push(report.commandsOf('soak'));
  return out;
}

// ----------------------------------------------------------------------------------------------- before

// after ÷ before and again ÷ before, repetition by repetition. The noise is how far the control mostly is from 1.
function compared(what, rows, figure) {
  const of = (target) => rows.find((row) => row.target === target && !row.failure);
  const before = of('twinwire:before');
  const own = of('twinwire');
  const pair = against(own, before, figure);
  const again = against(of('twinwire:again'), before, figure);
  const noise = median(again.all.map((value) => Math.abs(value - 1)));
  return {
    what,
    figure,
    before: before?.[figure],
    after: own?.[figure],
    pair,
    again,
    noise,
    worse: pair.value - 1 > kWorse + noise,
  };
}

const commitWords = ({ commit, subject, date }) =>
  commit ? `commit ${commit} ("${subject}", ${date}). ` : 'a build of no known commit. ';

function beforeRows(report) {
  const rows = [];
  // A step that ran and failed has rows too: they say that they were not measured.
  const add = (what, step, figure, which = () => true) => {
    if (!report.results.step('before', step)) return;
    rows.push(compared(what, report.results.rows('before', step).filter(which), figure));
  };
  for (const transport of transports) {
    for (const window of [1, 16]) {
      const what = `fan-out to 1,000, ${word[transport]}, W = ${window}: CPU ns a delivery`;
      add(what, `fanout-${transport}`, 'cpuNsPerDelivery', (row) => row.window === window);
    }
  }
  for (const [kind, words] of [
    ['ephemeral', 'nothing kept'],
    ['kept', 'kept and synced'],
  ]) {
    for (const transport of transports)
      add(`chat, ${word[transport]}, ${words}: CPU ns a delivery`, `chat-${transport}-${kind}`, 'cpuNsPerDelivery');
  }
  for (const transport of transports)
    add(`storm, ${word[transport]}: CPU ns a connection`, `storm-${transport}`, 'cpuNsPerConnection');
  for (const ack of ['stored', 'accepted'])
    add(`publish over sockets, ack ${ack}: CPU ns a message`, 'publish', 'cpuNsPerMessage', (row) => row.ack === ack);
  for (const transport of transports) {
    if (!report.results.step('before', `idle-${transport}-twinwire`)) continue;
    const held = ['twinwire', 'twinwire:before', 'twinwire:again'].flatMap((target) => {
      const result = report.results.step('before', `idle-${transport}-${target.replace('twinwire:', '')}`)?.result;
      return result ? [{ ...result, target }] : [];
    });
    const what = `idle, ${word[transport]}: user-space bytes a connection`;
    rows.push(compared(what, held, 'userBytesPerConnection'));
  }
  return rows;
}

export function before(report) {
  const which = report.results.step('before', 'which')?.result;
  const out = [
    '## Before and after identity and the bridges\n',
    'Issue 4: with tokens, rights, tenants and bridges no row of this table is worse by more than 3 % beyond the noise of its control, and an idle connection stays within',
    `${kBudget} bytes. Three servers of ours take turns in one run: this build, an earlier one (*before*), and a second process of the earlier one (*A/A*). Ratios are formed inside`,
    "a repetition; the noise of a row is the median distance of the A/A ratio from 1. All in this build's default settings, mode `none`, as everywhere in this report.\n",
    which ? `*Before* is ${commitWords(which)}${why[`before-${which.commit}`] ?? ''}\n` : '',
    report.results.has('before')
      ? ''
      : '\nNot measured in this run (`tools/dev bench --only before --before PATH`, PATH being the `twinwire` of an earlier build).\n',
  ];
  const rows = beforeRows(report);
  if (rows.length) {
    const verdict = (row) => {
      if (!Number.isFinite(row.pair.value) || !Number.isFinite(row.noise)) return '**not measured**';
      if (row.worse) return `**worse by ${percent(row.pair.value - 1)}**`;
      return row.pair.value > 1 + row.noise ? 'within 3 % and the noise' : 'no worse';
    };
    out.push(
      table(
        ['what', '>before', '>after', '>after ÷ before', '>least…most', '>A/A', '>least…most', '>noise', 'verdict'],
        rows.map((row) => [
          row.what,
          whole(row.before),
          whole(row.after),
          ratio(row.pair.value),
          span(row.pair.all),
          ratio(row.again.value),
          span(row.again.all),
          percent(row.noise),
          verdict(row),
        ]),
      ),
    );
    const worse = rows.filter((row) => verdict(row).startsWith('**'));
    const most = rows.reduce((a, b) => (b.pair.value - b.noise > a.pair.value - a.noise ? b : a));
    report.decide(
      'before',
      'after identity and the bridges ÷ before, every row',
      '≤ 1.03 and the noise of its control',
      worse.length
        ? `${worse.length} of ${rows.length} rows worse or not measured`
        : `${rows.length} rows, none worse; most ${ratio(most.pair.value)} ± ${ratio(most.noise)} (${most.what.split(':')[0]})`,
      worse.length === 0,
    );
    const idle = rows.filter((row) => row.figure === 'userBytesPerConnection');
    if (idle.length)
      report.decide(
        'before-idle',
        'an idle connection after identity and the bridges',
        `≤ ${kBudget} bytes`,
        idle.map((row) => whole(row.after)).join(' and ') + ' bytes (SSE, WebSocket)',
        idle.every((row) => row.after <= kBudget),
      );
    out.push(report.faultsOf('before'));
  }
  // Where the earlier build lies is of no interest to others.
  out.push(report.commandsOf('before').replaceAll(which?.program ?? '\0', 'EARLIER/build/bin/twinwire'));
  return out;
}
