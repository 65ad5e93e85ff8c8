// The report's sections about load on sockets: fan-out, chats, storms, latency, slow readers. Each takes the Report and
// returns its lines of Markdown. Not here: what is run (parts.mjs), verdicts and pictures (report.mjs).
import { against, control, ratio, shown, span, table, whole } from './figures.mjs';
import { bars, lines } from './plot.mjs';
import { isPeer, transports, word } from './report.mjs';

export function fanout(report) {
  const out = [
    '## Fan-out\n',
    'Target: CPU of the whole server process for each delivered message at most 1.10 × a bare loop that `send()`s the same bytes to each',
    "reader, one message at a time (W = 1); at most 1.15 × a bare loop that writes each reader's burst once, sixteen at a time (W = 16).\n",
    report.missing('fanout'),
  ];
  const notes = [];
  for (const readers of [1000, 10_000]) {
    const panels = [];
    for (const transport of transports) {
      const id = `${transport}-${readers}`;
      const rows = report.results.rows('fanout', id);
      if (rows.length === 0) continue;
      for (const [window, limit] of [
        [1, 1.1],
        [16, 1.15],
      ]) {
        const at = rows.filter((row) => row.window === window);
        const own = at.find((row) => row.target === 'twinwire');
        const bare = at.find((row) => row.target === 'bare');
        const { value, all } = against(own, bare, 'cpuNsPerDelivery');
        notes.push(
          report.judge(
            `fanout-${transport}-${readers}-${window}`,
            `fan-out ${word[transport]}, 1 → ${whole(readers)}, W = ${window}`,
            `≤ ${limit} × bare${window > 1 ? ', joined' : ''}`,
            value,
            limit,
            { all, noise: control(bare).all },
          ),
        );
      }
      const at = (name, window) => rows.find((row) => row.target === name && row.window === window);
      const own = (window) => at('twinwire', window);
      const cells = (name, window) => {
        const row = at(name, window);
        const over = name === 'twinwire' ? '1' : ratio(against(own(window), row, 'cpuNsPerDelivery').value);
        return [whole(row?.cpuNsPerDelivery), span(row?.samples?.cpuNsPerDelivery, whole), over];
      };
      const order = [...new Set(rows.map((row) => row.target))].sort(
        (a, b) => (at(a, 1)?.cpuNsPerDelivery ?? Infinity) - (at(b, 1)?.cpuNsPerDelivery ?? Infinity) || 0,
      );
      const noise = [1, 16].map((window) => span(control(at('bare', window)).all)).join(' and ');
      out.push(
        `**${word[transport]}, ${whole(readers)} readers** (Twinwire's frame ${whole(own(1)?.frameBytes)} bytes; A/A of the bare loop ${noise})\n`,
        table(
          ['server', '>W = 1, ns', '>least…most', '>Twinwire ÷ it', '>W = 16, ns', '>least…most', '>Twinwire ÷ it'],
          order.map((name) => [shown(name), ...cells(name, 1), ...cells(name, 16)]),
        ),
      );
      const names = [...new Set(rows.map((row) => row.target))].filter((name) => name !== 'bare-single');
      const value = (name, window) => at(name, window)?.cpuNsPerDelivery;
      panels.push({
        title: word[transport],
        rows: names
          .map((name) => ({ name, values: [value(name, 1), value(name, 16)] }))
          .sort((a, b) => (a.values[0] ?? Infinity) - (b.values[0] ?? Infinity) || 0),
      });
    }
    out.push(
      report.picture(
        `fanout-${readers}`,
        bars({
          title: `CPU of a delivered message, one room, ${whole(readers)} readers`,
          subtitle: 'Each server on the same one core, in turns. Shorter is better.',
          label: 'nanoseconds of CPU (all threads of the server) for each message that a reader got',
          keys: ['one message at a time (W = 1)', 'sixteen at once (W = 16)'],
          panels,
          format: whole,
        }),
        `CPU per delivered message at ${readers} readers, all servers`,
      ),
    );
  }
  out.push(beyondBare(report));
  out.push(...report.closing('fanout', notes));
  return out;
}

// (own − bare) × readers: what a message costs that the bare loop has not to do, however many read it.
function beyondBare(report) {
  const rows = [];
  for (const transport of transports) {
    for (const window of [1, 16]) {
      const cost = (readers) => {
        const at = (target) =>
          report.results.row('fanout', `${transport}-${readers}`, { target, window })?.cpuNsPerDelivery;
        return ((at('twinwire') - at('bare')) * readers) / 1000;
      };
      rows.push([word[transport], window, ...[1000, 10_000].map((readers) => whole(cost(readers)))]);
    }
  }
  return [
    '**What a message costs beyond the bare loop**, (Twinwire − bare) × readers: reading and checking the command, both forms of the event, the store with its sync, the answer. It is paid once for a message, so it weighs ten times less at 10,000 readers.\n',
    table(['on', '>W', '>µs a message at 1,000 readers', '>at 10,000'], rows),
  ].join('\n');
}

export function window(report) {
  const out = ['## Cost against window and readers\n', report.missing('window')];
  for (const transport of transports) {
    for (const [kind, x, label] of [
      ['windows', 'window', 'messages published and not yet received by all (W); 1,000 readers'],
      ['readers', 'readers', 'readers of the room; one message at a time (W = 1)'],
    ]) {
      const rows = report.results.rows('window', `${transport}-${kind}`);
      const names = [...new Set(rows.map((row) => row.target))];
      out.push(
        report.picture(
          `cost-${kind}-${transport}`,
          lines({
            title: `Cost of a message against ${kind === 'windows' ? 'the window' : 'the number of readers'}, ${word[transport]}`,
            subtitle: 'CPU of the whole server process for each delivered message. Lower is better.',
            x: {
              label,
              scale: 'log',
              ticks: [...new Set(rows.map((row) => row[x]))].sort((a, b) => a - b),
              format: whole,
            },
            y: { label: 'ns of CPU a delivery', ...(kind === 'windows' ? { scale: 'log' } : { low: 0 }) },
            series: names.map((name) => ({
              name,
              dash: name === 'bare' ? '7 5' : undefined,
              points: rows.filter((row) => row.target === name).map((row) => [row[x], row.cpuNsPerDelivery]),
            })),
          }),
          `CPU per delivery against ${kind}, ${word[transport]}`,
        ),
      );
    }
  }
  out.push(...report.closing('window'));
  return out;
}

export function chat(report) {
  const out = [
    '## Chat: 1,000 rooms of 10, 2,000 messages a second\n',
    'Target: with nothing kept at most 1.0 × the best peer; kept and synced: below nchan, which keeps only memory. CPU of the whole process for each',
    "delivery, the sender's own included, and everything that the command costs.\n",
    report.missing('chat'),
  ];
  const notes = [];
  const shape = report.results.rows('chat', 'ws-ephemeral')[0] ?? report.results.rows('chat', 'sse-ephemeral')[0];
  const panels = [];
  for (const transport of transports) {
    const rows = report.results.rows('chat', `${transport}-ephemeral`);
    if (rows.length === 0) continue;
    const own = rows.find((row) => row.target === 'twinwire');
    const best = rows.filter((row) => isPeer(row.target)).sort((a, b) => a.cpuNsPerDelivery - b.cpuNsPerDelivery)[0];
    const { value, all } = against(own, best, 'cpuNsPerDelivery');
    notes.push(
      report.judge(
        `chat-${transport}`,
        `chat, ephemeral, ${word[transport]}`,
        `≤ 1.0 × best peer (${best?.target ?? '–'})`,
        value,
        1,
        { all },
      ),
    );
    out.push(
      `**${word[transport]}, nothing kept**\n`,
      table(
        ['server', '>ns a delivery', '>least…most', '>Twinwire ÷ it', '>p50 µs', '>p99 µs'],
        report.servers(rows, 'cpuNsPerDelivery', [
          (row) => whole(row.latencyUs?.p50),
          (row) => whole(row.latencyUs?.p99),
        ]),
      ),
    );
    panels.push({
      title: `${word[transport]}, nothing kept`,
      rows: rows
        .map((row) => ({ name: row.target, values: [row.cpuNsPerDelivery] }))
        .sort((a, b) => (a.values[0] ?? Infinity) - (b.values[0] ?? Infinity) || 0),
    });
    const kept = report.results.rows('chat', `${transport}-kept`);
    const keeps = kept.find((row) => row.target === 'twinwire');
    const nchan = kept.find((row) => row.target === 'nchan');
    if (kept.length) {
      const pair = against(keeps, nchan, 'cpuNsPerDelivery');
      notes.push(
        report.judge(
          `chat-kept-${transport}`,
          `chat, kept and synced, ${word[transport]}`,
          '< nchan, which keeps only memory',
          pair.value,
          1,
          { all: pair.all },
        ),
      );
      out.push(
        `**${word[transport]}, Twinwire with every message on disk before its answer** (nchan: in memory)\n`,
        table(
          ['server', '>ns a delivery', '>least…most', '>Twinwire ÷ it', '>p50 µs', '>p99 µs'],
          report.servers(kept, 'cpuNsPerDelivery', [
            (row) => whole(row.latencyUs?.p50),
            (row) => whole(row.latencyUs?.p99),
          ]),
        ),
      );
      const drawn = panels[panels.length - 1].rows;
      if (keeps) drawn.push({ name: 'twinwire, kept', values: [keeps.cpuNsPerDelivery] });
      drawn.sort((a, b) => (a.values[0] ?? Infinity) - (b.values[0] ?? Infinity) || 0);
    }
  }
  out.push(
    report.picture(
      'chat',
      bars({
        title: `Chat: CPU of a delivered message, ${whole(shape?.rooms)} rooms × ${shape?.members} members`,
        subtitle: `${whole(shape?.messagesPerSecond)} messages a second in all, each said by a member. Shorter is better.`,
        label: 'nanoseconds of CPU (all threads of the server) for each delivery',
        panels,
        format: whole,
      }),
      'CPU per delivery in chats, all servers',
    ),
  );
  out.push(...report.closing('chat', notes));
  return out;
}

export function storm(report) {
  const out = [
    '## Storm: 10,000 connections at once\n',
    'Target: CPU of a connection (accept, request, answer, subscribed) at most 1.10 × the best peer.\n',
    report.missing('storm'),
  ];
  const notes = [];
  const panels = [];
  for (const transport of transports) {
    const rows = report.results.rows('storm', transport);
    if (rows.length === 0) continue;
    const own = rows.find((row) => row.target === 'twinwire');
    const bare = rows.find((row) => row.target === 'bare');
    const best = rows
      .filter((row) => isPeer(row.target))
      .sort((a, b) => a.cpuNsPerConnection - b.cpuNsPerConnection)[0];
    const { value, all } = against(own, best, 'cpuNsPerConnection');
    notes.push(
      report.judge(
        `storm-${transport}`,
        `storm of ${whole(own?.connections)}, ${word[transport]}`,
        `≤ 1.10 × best peer (${best?.target ?? '–'})`,
        value,
        1.1,
        { all, noise: control(bare).all },
      ),
    );
    out.push(
      `**${word[transport]}**\n`,
      table(
        ['server', '>ns a connection', '>least…most', '>Twinwire ÷ it', '>connections/s', '>live p50 µs', '>p99 µs'],
        report.servers(rows, 'cpuNsPerConnection', [
          (row) => whole(row.connectionsPerSecond),
          (row) => whole(row.liveUs?.p50),
          (row) => whole(row.liveUs?.p99),
        ]),
      ),
    );
    panels.push({
      title: word[transport],
      rows: rows
        .map((row) => ({ name: row.target, values: [row.cpuNsPerConnection] }))
        .sort((a, b) => (a.values[0] ?? Infinity) - (b.values[0] ?? Infinity) || 0),
    });
  }
  out.push(
    report.picture(
      'storm',
      bars({
        title: 'CPU of a new connection',
        subtitle: 'Accepted, asked, answered, subscribed. Shorter is better.',
        label: 'nanoseconds of CPU (all threads of the server) for each connection',
        panels,
        format: whole,
      }),
      'CPU per connection, all servers',
    ),
  );
  out.push(...report.closing('storm', notes));
  return out;
}

export function latency(report) {
  const out = [
    '## Latency, 1 → 100 readers\n',
    'Target: p50 at most 1.15 × the bare loop in the same run at 10,000 and 100,000 deliveries a second, `deliver = publish`; p99 is reported (a bar only where the A/A',
    'control stays within 1.2). From the time a message was *due*, so that a server that stalls is charged for all that waited. The threads of the store run on the other core, beside the readers.\n',
    report.missing('latency'),
  ];
  const notes = [];
  for (const transport of transports) {
    const rows = report.results.rows('latency', transport);
    for (const rate of [...new Set(rows.map((row) => row.messagesPerSecond ?? row.rate))].sort((a, b) => a - b)) {
      const at = rows.filter((row) => (row.messagesPerSecond ?? row.rate) === rate);
      const own = at.find((row) => row.target === 'twinwire');
      const bare = at.find((row) => row.target === 'bare');
      const { all } = against(own, bare, 'p50Us');
      const value = own?.p50Ratios?.bare ?? (own?.latencyUs?.p50 ?? NaN) / (bare?.latencyUs?.p50 ?? NaN);
      notes.push(
        report.judge(
          `latency-${transport}-${rate}`,
          `latency p50, ${word[transport]}, ${whole(rate * 100)} deliveries/s`,
          '≤ 1.15 × bare',
          value,
          1.15,
          { all, noise: control(bare, 'p50Us').all },
        ),
      );
      out.push(
        `**${word[transport]}, ${whole(rate)} messages a second** (${whole(rate * 100)} deliveries)\n`,
        table(
          ['server', '>p50 µs', '>p90', '>p99', '>p99.9', '>max', '>ns a delivery'],
          [...at]
            .sort((a, b) => a.latencyUs?.p50 - b.latencyUs?.p50)
            .map((row) => [
              shown(row.target),
              ...['p50', 'p90', 'p99', 'p999', 'max'].map((p) => whole(row.latencyUs?.[p])),
              whole(row.cpuNsPerDelivery),
            ]),
        ),
      );
      out.push(
        report.picture(
          `latency-${transport}-${rate}`,
          lines({
            title: `Latency, ${word[transport]}, 1 → 100 readers, ${whole(rate * 100)} deliveries a second`,
            subtitle: 'From the time a message was due to the time a reader had it. Lower is better.',
            x: { label: 'share of the deliveries that had come', scale: 'percentile', low: 0, high: 99.99 },
            y: { label: 'microseconds', scale: 'log' },
            series: at
              .filter((row) => row.curve?.length)
              .map((row) => ({
                name: row.target,
                plain: true,
                dash: row.target === 'bare' ? '7 5' : undefined,
                points: row.curve
                  .filter(([share, us]) => us > 0 && share <= 0.9999)
                  .map(([share, us]) => [share * 100, us]),
              })),
          }),
          `Latency distribution, ${word[transport]}, ${rate} messages a second`,
        ),
      );
    }
  }
  const beside = report.results.rows('latency', 'ws-store-beside');
  if (beside.length)
    out.push(
      "**The store's threads on the server's own core** instead of the readers' (not what the target asks for; it shows what they cost there), WebSocket:\n",
      table(
        ['server', '>messages/s', '>p50 µs', '>p90', '>p99', '>÷ bare'],
        beside.map((row) => [
          shown(row.target),
          whole(row.messagesPerSecond),
          ...['p50', 'p90', 'p99'].map((p) => whole(row.latencyUs?.[p])),
          row.p50Ratios?.bare ? row.p50Ratios.bare.toFixed(2) : '',
        ]),
      ),
    );
  const commit = report.results.rows('latency', 'ws-commit');
  // A bare loop that syncs each message by itself, from the part `publish`.
  const synced = 1e6 / report.results.micro('publish', 'writer', 'bare_loop/batch:1/ids:0/real_time')?.items_per_second;
  const cells = (row, more = 0) => ['p50', 'p90', 'p99', 'p999'].map((p) => whole(row.latencyUs?.[p] + more));
  if (commit.length)
    out.push(
      '**`deliver = commit`** (nothing is shown before it is synced to this disk), WebSocket:\n',
      table(
        ['server', '>messages/s', '>p50 µs', '>p90', '>p99', '>p99.9'],
        commit.flatMap((row) => [
          [shown(row.target), whole(row.messagesPerSecond), ...cells(row)],
          ...(row.target === 'bare' && Number.isFinite(synced)
            ? [[`bare + ${whole(synced)} µs of one synced write`, whole(row.messagesPerSecond), ...cells(row, synced)]]
            : []),
        ]),
      ),
    );
  out.push(...report.closing('latency', notes));
  return out;
}

export function slow(report) {
  const out = [
    '## Slow readers\n',
    "Target: a tenth of 10,000 readers takes 1 kB a second: memory flat, the others' p50 within 1.1 ×, and when the throttle is lifted every slow reader is complete, 0 resets.\n",
    report.missing('slow'),
  ];
  const row = report.results.rows('slow', 'slow').find((one) => one.target === 'twinwire');
  if (row) {
    const note = report.judge(
      'slow-p50',
      "slow readers: the others' p50",
      '≤ 1.1 × before',
      row.p50WithSlowUs / row.p50BeforeUs,
      1.1,
    );
    report.decide(
      'slow-complete',
      'slow readers: complete at the end',
      'all, 0 resets',
      `${whole(row.incomplete)} incomplete, ${whole(row.resets)} resets, ${whole(row.lost)} lost`,
      row.incomplete === 0 && row.resets === 0 && row.lost === 0,
    );
    report.decide(
      'slow-memory',
      'slow readers: memory',
      'flat',
      `${(row.bytesBefore / 2 ** 20).toFixed(1)} → ${(row.bytesWithSlow / 2 ** 20).toFixed(1)} MiB`,
      row.bytesWithSlow <= row.bytesBefore * 1.1 + (8 << 20),
    );
    out.push(
      table(
        [
          'readers',
          '>slow',
          '>p50 before, µs',
          '>p50 with them, µs',
          '>memory before, MiB',
          '>with them',
          '>incomplete',
          '>resets',
        ],
        [
          [
            whole(row.readers),
            whole(row.slowReaders),
            whole(row.p50BeforeUs),
            whole(row.p50WithSlowUs),
            (row.bytesBefore / 2 ** 20).toFixed(1),
            (row.bytesWithSlow / 2 ** 20).toFixed(1),
            whole(row.incomplete),
            whole(row.resets),
          ],
        ],
      ),
      note,
    );
  }
  out.push(...report.closing('slow'));
  return out;
}
