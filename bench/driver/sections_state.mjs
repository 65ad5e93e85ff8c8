// The report's sections about what the server keeps: the ring, idle connections, growth, resumes, the store, parts alone.
// Each takes the Report and returns its lines of Markdown. Not here: what is run (parts.mjs), verdicts (report.mjs).
import { against, armedBytes, control, median, percent, ratio, shown, span, table, whole } from './figures.mjs';
import { bars, lines } from './plot.mjs';
import { transports, word } from './report.mjs';

export function ring(report) {
  const out = [
    "## The ring's tax\n",
    'Target: CPU in claim, consume and skip at most 10 % of the process, two-person rooms, 8 shards; by profile, and by the sweep.\n',
    report.missing('ring'),
  ];
  const profile = report.results.step('ring', 'profile')?.result;
  const sweep = (name) => report.results.micro('ring', 'sweep', name);
  if (profile?.samples) {
    const note = report.judge(
      'ring-profile',
      "ring's tax by profile, two-person rooms, 8 shards",
      '≤ 10 % of the process',
      profile.tax,
      0.1,
      { show: percent },
    );
    out.push(
      `**By profile**: ${whole(profile.samples)} samples of a server with 8 shards under ${whole(profile.rate)} messages a second in rooms of two (${whole(profile.perSecond)} deliveries a second): **${percent(profile.tax)}** in the ring`,
      `(${Object.entries(profile.parts)
        .map(([name, share]) => `${name} ${percent(share)}`)
        .join(
          ', ',
        )}); kernel ${percent(profile.where.kernel)}, Twinwire's own code ${percent(profile.where['twinwire itself'])}, libraries ${percent(profile.where.libraries)}. Taking a slot counts with its reference; waking sleepers does not.\n`,
      note,
    );
    out.push(
      '<details><summary>Where the samples are</summary>\n',
      table(
        ['function', '>share'],
        profile.top.map(([name, share]) => [`\`${name.replaceAll('|', '\\|')}\``, percent(share)]),
      ),
      '</details>\n',
    );
  } else if (report.results.has('ring')) {
    out.push(`By profile: not measured (${report.results.step('ring', 'profile')?.failed ?? 'no samples'}).\n`);
  }
  const shards = [2, 4, 8, 16, 32, 64];
  const turns = shards.map((n) => [
    n,
    ...[1, 4, 16, 64].map((batch) => sweep(`turn/shards:${n}/batch:${batch}`)?.ns_message),
  ]);
  if (turns.some((row) => Number.isFinite(row[1]))) {
    const send = report.results.row('fanout', 'ws-1000', { target: 'twinwire', window: 1 })?.cpuNsPerDelivery;
    const at8 = sweep('turn/shards:8/batch:1')?.ns_message;
    if (Number.isFinite(send)) {
      const tax = at8 / (at8 + 2 * send);
      report.judge('ring-sweep', "ring's tax by sweep (8 shards, batch of 1, beside two sends)", '≤ 10 %', tax, 0.1, {
        show: percent,
      });
      out.push(
        `**By sweep**: the ring's whole work for a message to two people on 8 shards is ${whole(at8)} ns with a batch of one (claim, publish, two takes, six skips, the writer's look); beside two sends of ${whole(send)} ns that is **${percent(tax)}**.\n`,
      );
    }
    out.push(
      table(
        ['shards', '>batch 1, ns a message', '>4', '>16', '>64'],
        turns.map((row) => [row[0], ...row.slice(1).map(whole)]),
      ),
    );
    out.push(
      report.picture(
        'ring-shards',
        lines({
          title: "The ring's whole cost of a message to two people",
          subtitle:
            'One thread plays every shard and the writer: claim, publish, two takes, and a look by everybody else',
          x: { label: 'shards', scale: 'log', ticks: shards, format: whole },
          y: { label: 'ns of CPU a message', low: 0 },
          series: [1, 4, 16, 64].map((batch, i) => ({
            name: `batch of ${batch}`,
            colour: ['#1857c4', '#1d8a5b', '#d1622b', '#a3399b'][i],
            points: turns.map((row) => [row[0], row[1 + i]]).filter((p) => Number.isFinite(p[1])),
          })),
        }),
        'Cost of the ring against the number of shards',
      ),
    );
    const figure = (name, key) => sweep(name)?.[key];
    out.push(
      table(
        ['what the design estimated', '>measured', 'reading'],
        [
          [
            'a skip, slot published by another core',
            `${ratio(figure('lap/percent_mine:0/real_time', 'ns_read'))} ns`,
            'one look at mark and mask',
          ],
          [
            'a take, a quarter of them / all of them',
            `${ratio(figure('lap/percent_mine:25/real_time', 'ns_read'))} / ${ratio(figure('lap/percent_mine:100/real_time', 'ns_read'))} ns`,
            "with the event's reference released",
          ],
          [
            'a claim and publish alone, other core reading',
            `${ratio(figure('lap/percent_mine:0/real_time', 'ns_claim'))} ns`,
            'one fetch-add, one full fence',
          ],
          [
            'slots of 32 / 64 / 128 bytes: a skip',
            `${['32', '64', '128'].map((n) => ratio(figure(`slot_bytes/${n}/real_time`, 'ns_skip'))).join(' / ')} ns`,
            'a slot is a cache line: smaller ones share lines between producers, larger ones cost more',
          ],
          [
            'interest by mask / by a set of 10,000 rooms',
            `${ratio(figure('slot_bytes/64/real_time', 'ns_skip'))} / ${ratio(figure('interest_by_set/64/real_time', 'ns_skip'))} ns`,
            'the mask saves the look-up',
          ],
        ],
      ),
    );
    const threads = (report.results.step('ring', 'sweep')?.result?.benchmarks ?? []).filter((one) =>
      one.name.startsWith('threads/'),
    );
    if (threads.length) {
      const parse = (name) => /producers:(\d+)\/consumers:(\d+)\/batch:(\d+)/.exec(name).slice(1).map(Number);
      out.push(
        '<details><summary>Producers × consumers × batch, on threads (two cores: more threads than that take turns)</summary>\n',
        table(
          ['>producers', '>consumers', '>batch', '>M slots/s', '>claim + publish, ns', '>read, ns'],
          threads.map((one) => [
            ...parse(one.name),
            (one.items_per_second / 1e6).toFixed(1),
            ratio(one.ns_claim),
            ratio(one.ns_read),
          ]),
        ),
        '</details>\n',
      );
    }
  }
  out.push(report.commandsOf('ring'));
  return out;
}

// What twinwire's `connect --hold` steps found, the least connections first. `armed`: what a pair of ours takes in slab beyond a
// bare pair that was held in the same run.
function holdRows(report) {
  const found = ['idle', 'million'].flatMap((part) =>
    report.results.steps(part).flatMap((step) => {
      const hold = step.result?.rows?.find((row) => row.target === 'twinwire')?.hold;
      return hold ? [{ command: step.command, hold: { ...hold, armed: armedBytes(hold) } }] : [];
    }),
  );
  return found.sort((a, b) => a.hold.connections - b.hold.connections);
}

// Heartbeats came only where the connections were held for as long as one takes.
function idleCpu(hold) {
  const beats = hold.heartbeatSeconds === 0 ? '15 and 25 s' : `${hold.heartbeatSeconds} s`;
  const due = (hold.holdSeconds ?? 0) >= (hold.heartbeatSeconds || 25);
  return [due ? beats : `${beats}, none came due`, `${hold.idleCpuPercent.toFixed(2)} %`];
}

export function idle(report) {
  const out = [
    '## Connections that do nothing\n',
    'Target: at most 320 bytes of user-space memory a connection beyond the base; kernel memory for what we arm at most 300 bytes by slab at',
    '45,000, 350 at a million. Half SSE, half WebSocket, all in one room, each its own session and user.\n',
    report.missing('idle'),
  ];
  const holds = holdRows(report);
  if (holds.length) {
    out.push(
      table(
        [
          '>connections',
          '>base MiB',
          '>user bytes each',
          '>kernel bytes a pair',
          '>a bare pair',
          '>armed',
          '>heartbeat',
          '>idle CPU',
          '>broadcast reached',
          '>in ms',
          '>CPU ns each',
        ],
        holds.map(({ hold }) => [
          whole(hold.connections),
          (hold.baseBytes / 2 ** 20).toFixed(1),
          whole(hold.userBytesPerConnection),
          whole(hold.slabBytesPerPair),
          hold.slabBytesPerBarePair > 0 ? whole(hold.slabBytesPerBarePair) : '–',
          whole(hold.armed),
          ...idleCpu(hold),
          whole(hold.broadcastReached),
          whole(hold.broadcastMs),
          whole(hold.broadcastCpuNs),
        ]),
      ),
    );
    out.push(
      'User space: private memory of the server, after less before. Kernel: active objects of the slab caches of sockets, files, polls and small allocations, both ends of a connection, beside 15,000 bare pairs of the same run. *Armed*: what the server waits with, `io_kiocb` and the node of a registered file. Idle CPU: of one core, while the connections were held. By default a heartbeat comes every 15 s on SSE and every 25 s on WebSocket.\n',
    );
    const most = holds.filter(({ hold }) => hold.connections <= 45_000 && hold.slabBytesPerBarePair > 0).at(-1)?.hold;
    if (most) {
      report.judge(
        'idle-user',
        `user-space memory, ${whole(most.connections)} idle connections`,
        '≤ 320 bytes each',
        most.userBytesPerConnection,
        320,
        { show: whole, unit: ' bytes' },
      );
      if (Number.isFinite(most.armed))
        report.judge(
          'idle-kernel',
          `kernel memory for what is armed, ${whole(most.connections)}`,
          '≤ 300 bytes each',
          most.armed,
          300,
          { show: whole, unit: ' bytes' },
        );
      report.decide(
        'idle-broadcast',
        `one broadcast to ${whole(most.connections)}`,
        'reaches all, 0 lost',
        `${whole(most.broadcastReached)} reached`,
        most.broadcastReached === undefined ? undefined : most.broadcastReached >= most.connections,
      );
    }
  }
  const peers = report.results
    .steps('idle')
    .map((step) => step.result)
    .filter((one) => one?.target);
  if (peers.length) {
    const panels = transports.map((transport) => ({
      title: word[transport],
      rows: peers
        .filter((one) => one.transport === transport)
        .map((one) => ({ name: one.target, values: [one.userBytesPerConnection] }))
        .sort((a, b) => a.values[0] - b.values[0]),
    }));
    out.push(
      "**Beside the peers**, 10,000 connections, private memory of all the server's processes after less before, in one way for all (`/proc/PID/smaps_rollup`):\n",
      table(
        ['server', 'on', '>base MiB', '>bytes a connection'],
        peers
          .sort((a, b) => a.userBytesPerConnection - b.userBytesPerConnection)
          .map((one) => [
            shown(one.target),
            word[one.transport],
            (one.baseBytes / 2 ** 20).toFixed(1),
            whole(one.userBytesPerConnection),
          ]),
      ),
    );
    out.push(
      report.picture(
        'memory-peers',
        bars({
          title: 'User-space memory of an idle connection',
          subtitle: "10,000 connections; the kernel's share is the same for all. Shorter is better.",
          label: "bytes of private memory a connection, beyond the server's base",
          panels,
          format: whole,
        }),
        'Memory per idle connection, all servers',
      ),
    );
  }
  const series = [
    {
      name: 'twinwire, user space',
      points: holds.map(({ hold }) => [
        hold.connections,
        hold.baseBytes + hold.connections * hold.userBytesPerConnection,
      ]),
    },
    {
      name: 'kernel, both ends',
      colour: '#8a6a12',
      points: holds
        .filter(({ hold }) => hold.slabBytesPerBarePair > 0)
        .map(({ hold }) => [hold.connections, hold.connections * hold.slabBytesPerPair]),
    },
  ];
  if (holds.length > 1) {
    const mark = (v) => `${whole(v / 2 ** 20)} MiB`;
    out.push(
      report.picture(
        'memory-connections',
        lines({
          title: 'Memory against connections',
          subtitle:
            'Half SSE, half WebSocket, all idle in one room; the kernel holds both ends of each connection here',
          x: { label: 'connections', scale: 'log' },
          y: {
            label: 'memory',
            scale: 'log',
            format: mark,
            ticks: [1, 10, 100, 1000, 10_000, 100_000].map((v) => v * 2 ** 20),
          },
          series,
        }),
        'Memory against connections',
      ),
    );
  }
  out.push(report.commandsOf('idle'));
  return out;
}

const growthRows = (report) => report.results.rows('million', 'growth').filter((row) => !row.failure);

// The row of the million, where the run has it: the growth of ours beside that of the bare loop which held as many.
function growthToMillion(report) {
  const of = (target) => {
    const [few, many] = growthRows(report)
      .filter((row) => row.target === target)
      .sort((a, b) => a.connections - b.connections);
    return many && { few, many, growth: many.cpuNsPerDelivery / few.cpuNsPerDelivery };
  };
  const [own, bare] = [of('twinwire'), of('bare-direct')];
  if (!own || !bare) return undefined;
  report.judge(
    'growth-million',
    "growth of a delivery's cost, 1,000 → 1,000,000",
    "≤ 1.1 × the bare loop's growth",
    own.growth / bare.growth,
    1.1,
  );
  return [
    'both',
    `${whole(own.few.connections)} → ${whole(own.many.connections)}`,
    `× ${ratio(own.growth)}`,
    `× ${ratio(bare.growth)}`,
    ratio(own.growth / bare.growth),
  ];
}

function growthTable(report) {
  return table(
    ['server', '>connections', '>CPU ns a delivery', '>from … to', '>turns', '>a broadcast, ms', '>lost', '>repeated'],
    growthRows(report).map((row) => [
      shown(row.target),
      whole(row.connections),
      whole(row.cpuNsPerDelivery),
      span(row.samples?.cpuNsPerDelivery, whole),
      whole(row.samples?.cpuNsPerDelivery?.length),
      row.broadcastMs < 100 ? row.broadcastMs.toFixed(1) : whole(row.broadcastMs),
      whole(row.lost),
      whole(row.repeated),
    ]),
  );
}

export function growth(report) {
  const out = [
    '## From a thousand to a million\n',
    "Target: the cost of a delivered message grows no faster than 1.1 × the bare loop's own growth.\n",
  ];
  const rows = [];
  for (const transport of transports) {
    const at = (readers, target) =>
      report.results.row('window', `${transport}-readers`, { readers, target })?.cpuNsPerDelivery ??
      report.results.row('fanout', `${transport}-${readers}`, { readers, target, window: 1 })?.cpuNsPerDelivery;
    const own = at(10_000, 'twinwire') / at(1000, 'twinwire');
    const bare = at(10_000, 'bare') / at(1000, 'bare');
    rows.push([word[transport], '1,000 → 10,000', `× ${ratio(own)}`, `× ${ratio(bare)}`, ratio(own / bare)]);
    report.judge(
      `growth-${transport}`,
      `growth of a delivery's cost, 1,000 → 10,000, ${word[transport]}`,
      "≤ 1.1 × the bare loop's growth",
      own / bare,
      1.1,
    );
  }
  const million = growthToMillion(report);
  if (million) rows.push(million);
  out.push(table(['on', 'connections', '>Twinwire', '>bare loop', '>ratio'], rows));
  if (million) {
    out.push(
      'To a million, both hold all connections in one process of as many threads as the server has shards: the bare loop of that row is `floor_direct` (io_uring, direct descriptors), given the very bytes that Twinwire',
      'sends. They do not fit into memory together, so they come one after the other; each is measured at the few before and after the many. Nothing is kept. One message at a time goes to all, and the next when all have it.\n',
      growthTable(report),
    );
  }
  const hold = report.results.rows('million', 'million').find((row) => row.target === 'twinwire')?.hold;
  if (hold) {
    report.judge(
      'million-user',
      'a million idle connections: user-space memory',
      '≤ 320 bytes each',
      hold.userBytesPerConnection,
      320,
      { show: whole, unit: ' bytes' },
    );
    if (Number.isFinite(armedBytes(hold)))
      report.judge(
        'million-kernel',
        'a million idle connections: kernel memory for what is armed',
        '≤ 350 bytes each',
        armedBytes(hold),
        350,
        { show: whole, unit: ' bytes' },
      );
    report.decide(
      'million-broadcast',
      'a million: one broadcast',
      'reaches all, 0 lost',
      `${whole(hold.broadcastReached)} reached`,
      hold.broadcastReached >= hold.connections,
    );
    out.push(
      `**A million idle connections**, held by one server process: ${whole(hold.connections)}, user space ${whole(hold.userBytesPerConnection)} bytes each beyond ${(hold.baseBytes / 2 ** 20).toFixed(0)} MiB, slab ${whole(hold.slabBytesPerPair)} bytes a pair, idle CPU ${idleCpu(hold)[1]} of a core (heartbeat ${idleCpu(hold)[0]}), one broadcast reached ${whole(hold.broadcastReached)} in ${whole(hold.broadcastMs)} ms.\n`,
    );
  } else {
    out.push(
      'The million is not in this run: `tools/dev bench --million --only million` (some twenty minutes, 14 GiB).\n',
    );
  }
  out.push(report.commandsOf('million'));
  return out;
}

const seconds = (curve) => [[0, 0], ...(curve ?? []).map(([ms, share]) => [ms / 1000, share])];

export function resume(report) {
  const out = [
    '## Resume storm\n',
    'Target: clients are cut, 1,000 messages are published, kill -9, all come back: 0 lost, 0 repeated, one store read for a room, not for a client.\n',
    report.missing('resume'),
  ];
  const row = report.results.rows('resume', 'kill').find((one) => one.target === 'twinwire');
  if (row) {
    report.decide(
      'resume',
      `resume storm of ${whole(row.clients)} with kill -9`,
      '0 lost, 0 repeated',
      `${whole(row.lost)} lost, ${whole(row.repeated)} repeated, ${whole(row.reordered)} reordered, ${whole(row.resets)} resets`,
      row.lost === 0 && row.repeated === 0 && row.reordered === 0,
    );
    report.decide(
      'resume-reads',
      'reads from disk in that storm',
      'one for a room, not for a client',
      `${whole(row.storeReads)} for ${whole(row.clients)} clients of ${whole(row.rooms)} room${row.rooms > 1 ? 's' : ''}`,
      Number.isFinite(row.storeReads) ? row.storeReads < row.clients / 10 : undefined,
    );
    out.push(
      table(
        ['', '>p50', '>p90', '>p99', '>last'],
        [
          ['connected again, ms', ...['p50', 'p90', 'p99', 'max'].map((p) => whole(row.connectedMs?.[p]))],
          ['has everything, ms', ...['p50', 'p90', 'p99', 'max'].map((p) => whole(row.completeMs?.[p]))],
        ],
      ),
    );
    out.push(
      `${whole(row.clients)} clients, ${whole(row.messages)} messages each: ${whole(row.lost)} lost, ${whole(row.repeated)} repeated, ${whole(row.reordered)} reordered, ${whole(row.resets)} resets; ${whole(row.storeReads)} reads of a room from disk.\n`,
    );
    out.push(
      report.picture(
        'resume',
        lines({
          title: `Resume: ${whole(row.clients)} clients come back after kill -9`,
          subtitle: `Each has ${whole(row.messages)} messages to get; the time counts from when the first may come back`,
          x: { label: 'seconds' },
          y: {
            label: 'share of the clients',
            low: 0,
            high: 1,
            ticks: [0, 0.25, 0.5, 0.75, 1],
            format: (v) => `${Math.round(v * 100)} %`,
          },
          series: [
            {
              name: 'connected again',
              colour: '#8b95a1',
              plain: true,
              dash: '7 5',
              points: seconds(row.connectedCurve),
            },
            { name: 'complete', colour: '#1857c4', plain: true, points: seconds(row.curve) },
          ],
        }),
        'Share of clients that are complete, over time',
      ),
    );
  }
  out.push(report.commandsOf('resume'));
  return out;
}

export function publish(report) {
  const out = [
    '## Published and stored\n',
    'Target: the writer fed through the ring at least 0.9 × a bare synced RocksDB loop writing the same keys and bytes; over sockets, CPU of a stored message at',
    'most 1.15 × (bare receive and reply + that loop).\n',
    report.missing('publish'),
  ];
  const notes = [];
  const rows = [];
  for (const [ids, words] of [
    [0, 'events'],
    [1, 'events with a client id'],
  ]) {
    for (const batch of [1, 32, 1024]) {
      const name = (what) => `${what}/batch:${batch}/ids:${ids}/real_time`;
      const all = (what) =>
        (report.results.step('publish', 'writer')?.result?.benchmarks ?? [])
          .filter((one) => one.name === name(what) && one.run_type === 'iteration')
          .map((one) => one.items_per_second);
      const own = all('writer_step');
      const bare = all('bare_loop');
      if (!own.length || !bare.length) continue;
      const value = median(own) / median(bare);
      rows.push([words, whole(batch), whole(median(own)), whole(median(bare)), ratio(value), span(bare, whole)]);
      if (batch > 1)
        notes.push(
          report.judge(
            `publish-writer-${batch}-${ids}`,
            `writer through the ring, ${batch} a batch, ${words}`,
            '≥ 0.9 × bare synced RocksDB loop',
            1 / value,
            1 / 0.9,
            { show: (v) => ratio(1 / v), noise: bare.map((v) => v / median(bare)) },
          ),
        );
    }
  }
  out.push(
    table(['what', '>a batch', '>writer, events/s', '>bare loop, events/s', '>ratio', '>bare, least…most'], rows),
  );
  const sockets = report.results.rows('publish', 'sockets');
  if (sockets.length) {
    const names = {
      twinwire: '**twinwire**',
      floor_receive: 'bare receive and reply',
      floor_store: "bare store loop, in groups as large as Twinwire's were",
      floors: 'both bare loops together',
    };
    out.push(
      '**Over sockets**: 100 publishers, 16 commands under way on each WebSocket. A refused message (`overloaded`, where the disk cannot follow) does not count, and its cost is in the cost of those that do.\n',
      table(
        ['', 'ack', '>ns a message', '>least…most', '>messages/s', '>refused', '>answer p50 µs', '>p99 µs'],
        sockets.map((row) => [
          names[row.target] ?? row.target,
          row.ack ?? '–',
          whole(row.cpuNsPerMessage),
          span(row.samples?.cpuNsPerMessage, whole),
          whole(row.messagesPerSecond),
          whole(row.refused),
          whole(row.answerUs?.p50),
          whole(row.answerUs?.p99),
        ]),
      ),
    );
    const own = sockets.find((row) => row.target === 'twinwire' && row.ack === 'stored');
    const bare = sockets.find((row) => row.target === 'floors' && row.ack === 'stored');
    const pair = against(own, bare, 'cpuNsPerMessage');
    notes.push(
      report.judge(
        'publish-sockets',
        'stored over sockets, CPU of a message',
        '≤ 1.15 × (bare receive + reply + store loop)',
        pair.value,
        1.15,
        { all: pair.all },
      ),
    );
  }
  out.push(...report.closing('publish', notes));
  return out;
}

export function micro(report) {
  const out = [
    '## Parts alone\n',
    'Google Benchmark, CPU time of one operation. For comparing two builds on one machine; absolute times drift with the machine.\n',
    report.missing('micro'),
  ];
  for (const step of report.results.steps('micro')) {
    const rows = (step.result?.benchmarks ?? []).filter((one) => one.run_type !== 'aggregate' && !one.error_occurred);
    if (rows.length)
      out.push(
        `<details><summary>micro_${step.id}</summary>\n`,
        table(
          ['benchmark', '>ns', '>million/s'],
          rows.map((one) => [
            `\`${one.name}\``,
            one.time_unit === 'ns' ? one.cpu_time.toFixed(1) : `${one.cpu_time.toFixed(2)} ${one.time_unit}`,
            one.items_per_second ? (one.items_per_second / 1e6).toFixed(2) : '–',
          ]),
        ),
        '</details>\n',
      );
  }
  return out;
}
