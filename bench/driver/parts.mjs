// What is measured: each part's programs, in full and quick. A part names its steps; a step is an argv whose standard
// output is one JSON object, or a function that makes such an object. Not here: what the figures mean (report.mjs).
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { hold as holdIdle } from './hold.mjs';
import { profileRing } from './profile.mjs';

const sseAll = ['bun', 'nchan', 'node-sse', 'centrifugo'];
const wsAll = ['bun', 'nchan', 'node-ws', 'socketio', 'centrifugo'];

// Peers of a transport that can be started here, in full; two of them in quick.
const peersOn = (transport, context) =>
  (transport === 'sse' ? sseAll : wsAll).filter((name) => context.peers.includes(name)).slice(0, context.quick ? 2 : 9);

const targets = (names) => names.flatMap((name) => ['--target', name]);
const each = (name, values) => values.flatMap((value) => [name, String(value)]);

function twinbench(context, mode, ...words) {
  return [
    `${context.bin}/twinbench`,
    mode,
    ...words.flat(Infinity).map(String),
    '--json',
    ...(context.terminal ? [] : ['--quiet']),
  ];
}

// How often, and how long a turn is.
const often = (context, quick = 3) => ['--repetitions', context.quick ? quick : 5];
const slice = (context) => ['--slice-ms', context.quick ? 150 : 400];
const once = ['--repetitions', 1, '--warm-up', 0];
const transports = ['sse', 'ws'];

// Heartbeats as the server does them by default; no slab of bare pairs beside.
const byDefault = ['--heartbeat', 0, '--bare-pairs', 0];

// A step that holds idle connections on both transports at ours.
const held = (context, id, connections, ...words) => ({
  id,
  argv: twinbench(
    context,
    'connect',
    '--target',
    'twinwire',
    '--transport',
    'mixed',
    '--connections',
    connections,
    '--hold',
    once,
    words,
  ),
});

// Which commit the program of another worktree is of: that of the tree it lies in.
function commitOf(program) {
  const git = (...words) =>
    spawnSync('git', ['-C', dirname(program), ...words], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const [commit, date, subject] = git('log', '-1', '--format=%h%n%cs%n%s').split('\n');
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', ':/core', ':/net', ':/store');
  return { program, commit: commit && `${commit}${changed ? ', with changes' : ''}`, date, subject };
}

// Google Benchmark's own output.
function micro(context, program, filter, seconds) {
  const words = [`${context.bin}/micro_${program}`, '--benchmark_format=json', `--benchmark_min_time=${seconds}`];
  if (filter) words.push(`--benchmark_filter=${filter}`);
  return words;
}

export const parts = [
  {
    name: 'fanout',
    about: 'one room, 1,000 and 10,000 readers, one and sixteen messages at a time, beside every peer',
    seconds: { full: 330, quick: 45 },
    steps(context) {
      return transports.flatMap((transport) =>
        (context.quick ? [1000] : [1000, 10_000]).map((readers) => ({
          id: `${transport}-${readers}`,
          argv: twinbench(
            context,
            'fanout',
            targets(['twinwire', 'bare', 'bare-single', ...peersOn(transport, context)]),
            '--transport',
            transport,
            '--readers',
            readers,
            each('--window', [1, 16]),
            often(context),
            slice(context),
          ),
        })),
      );
    },
  },
  {
    name: 'window',
    about: 'the cost of a message against the window and against the number of readers',
    seconds: { full: 230, quick: 0 },
    steps(context) {
      if (context.quick) return [];
      const some = ['twinwire', 'bare', 'bun', 'nchan'].filter(
        (name) => name.length < 9 && (name === 'twinwire' || name === 'bare' || context.peers.includes(name)),
      );
      return transports.flatMap((transport) => [
        {
          id: `${transport}-windows`,
          argv: twinbench(
            context,
            'fanout',
            targets(some),
            '--transport',
            transport,
            '--readers',
            1000,
            each('--window', [1, 2, 4, 8, 16, 32, 64]),
            '--repetitions',
            3,
            '--slice-ms',
            250,
          ),
        },
        {
          id: `${transport}-readers`,
          argv: twinbench(
            context,
            'fanout',
            targets(some),
            '--transport',
            transport,
            each('--readers', [10, 100, 1000, 10_000]),
            '--window',
            1,
            '--repetitions',
            3,
            '--slice-ms',
            250,
          ),
        },
      ]);
    },
  },
  {
    name: 'chat',
    about: 'a thousand rooms of ten, 2,000 messages a second: nothing kept, and kept',
    seconds: { full: 290, quick: 25 },
    steps(context) {
      const shape = [
        '--rooms',
        context.quick ? 200 : 1000,
        '--members',
        10,
        '--rate',
        context.quick ? 400 : 2000,
        '--seconds',
        context.quick ? 1 : 2,
      ];
      const run = (id, transport, names, ...words) => ({
        id,
        argv: twinbench(context, 'chat', targets(names), '--transport', transport, shape, often(context, 2), words),
      });
      return transports.flatMap((transport) => [
        run(`${transport}-ephemeral`, transport, ['twinwire', ...peersOn(transport, context)], '--ephemeral'),
        ...(context.quick
          ? []
          : [
              run(`${transport}-kept`, transport, [
                'twinwire',
                ...peersOn(transport, context).filter((name) => name === 'nchan'),
              ]),
            ]),
      ]);
    },
  },
  {
    name: 'ring',
    about: "the ring's tax: a profile of two-person rooms on eight shards, and the sweep",
    seconds: { full: 75, quick: 20 },
    steps(context) {
      return [
        { id: 'profile', make: () => profileRing(context) },
        {
          id: 'sweep',
          argv: micro(context, 'ring_sweep', context.quick ? 'turn|lap|slot|interest' : '', context.quick ? 0.05 : 0.2),
        },
      ];
    },
  },
  {
    name: 'storm',
    about: 'ten thousand connections at once: accepted, asked, answered, subscribed',
    seconds: { full: 200, quick: 15 },
    steps(context) {
      return transports.map((transport) => ({
        id: transport,
        argv: twinbench(
          context,
          'connect',
          targets(['twinwire', 'bare', 'bare-uring', ...peersOn(transport, context)]),
          '--transport',
          transport,
          '--connections',
          context.quick ? 2000 : 10_000,
          often(context, 2),
        ),
      }));
    },
  },
  {
    name: 'idle',
    about: 'connections that do nothing: memory in user space and in the kernel, CPU, one broadcast to all',
    seconds: { full: 330, quick: 12 },
    steps(context) {
      const hold = (id, connections, ...words) => held(context, id, connections, ...words);
      if (context.quick) return [hold('mixed-2000', 2000, '--hold-seconds', 3)];
      return [
        hold('mixed-1000', 1000, '--hold-seconds', 10),
        hold('mixed-10000', 10_000, '--hold-seconds', 10),
        hold('mixed-45000', 45_000, '--shards', 2, '--hold-seconds', 65),
        hold('beats-45000', 45_000, '--shards', 2, '--hold-seconds', 30, byDefault),
        ...transports.flatMap((transport) =>
          ['twinwire', ...peersOn(transport, context)].map((name) => ({
            id: `${transport}-${name}`,
            make: () => holdIdle(context, name, transport, 10_000),
          })),
        ),
      ];
    },
  },
  {
    name: 'resume',
    about: 'clients are cut, messages are published, kill -9, all come back',
    seconds: { full: 150, quick: 10 },
    steps(context) {
      const clients = context.quick ? 1000 : 50_000;
      return [
        {
          id: 'kill',
          argv: twinbench(
            context,
            'resume',
            '--transport',
            'mixed',
            '--clients',
            clients,
            '--messages',
            1000,
            '--kill',
            ...(context.quick ? [] : ['--shards', 2]),
            once,
          ),
        },
      ];
    },
  },
  {
    name: 'publish',
    about: 'messages that are stored before they are answered: through the ring, and over sockets',
    seconds: { full: 120, quick: 12 },
    steps(context) {
      return [
        {
          id: 'writer',
          argv: [
            ...micro(context, 'store_writer', 'bare_loop|writer_step', context.quick ? 0.1 : 0.5),
            `--benchmark_repetitions=${context.quick ? 1 : 5}`,
            '--benchmark_enable_random_interleaving=true',
          ],
        },
        {
          id: 'sockets',
          argv: twinbench(
            context,
            'publish',
            '--publishers',
            100,
            '--depth',
            16,
            '--seconds',
            context.quick ? 1 : 2,
            '--ack',
            'stored',
            ...(context.quick ? [] : ['--ack', 'accepted']),
            often(context),
          ),
        },
      ];
    },
  },
  {
    name: 'latency',
    about: '1 to 100 readers at 10,000 and 100,000 deliveries a second',
    seconds: { full: 230, quick: 15 },
    steps(context) {
      const shape = [
        '--readers',
        100,
        each('--rate', context.quick ? [1000] : [100, 1000]),
        '--seconds',
        context.quick ? 1 : 2,
      ];
      const placed = (core, id, transport, names, ...words) => ({
        id,
        argv: twinbench(
          context,
          'rate',
          targets(names),
          '--transport',
          transport,
          shape,
          '--store-core',
          core,
          often(context, 2),
          words,
        ),
      });
      const run = (...rest) => placed(1, ...rest);
      const list = transports.map((transport) =>
        run(transport, transport, ['twinwire', 'bare', ...peersOn(transport, context)]),
      );
      if (context.quick) return list;
      list.push(placed(0, 'ws-store-beside', 'ws', ['twinwire', 'bare']));
      list.push(run('ws-commit', 'ws', ['twinwire', 'bare'], '--set=--server.deliver=commit'));
      return list;
    },
  },
  {
    name: 'slow',
    about: 'a tenth of 10,000 readers takes 1 kB a second, and all of it later',
    seconds: { full: 75, quick: 12 },
    steps(context) {
      const shape = context.quick ? ['--readers', 1000, '--seconds', 3] : ['--readers', 10_000, '--seconds', 20];
      return [
        {
          id: 'slow',
          argv: twinbench(
            context,
            'slow',
            '--transport',
            'mixed',
            shape,
            '--share',
            0.1,
            '--bytes-per-second',
            1000,
            once,
          ),
        },
      ];
    },
  },
  {
    name: 'micro',
    about: 'parts alone: ring, mailbox, frames, HTTP and WebSocket parsing, commands, outboxes',
    seconds: { full: 70, quick: 15 },
    steps(context) {
      return ['event', 'ring', 'mailbox', 'http', 'websocket', 'command', 'outbox'].map((name) => ({
        id: name,
        argv: micro(context, name, name === 'ring' || name === 'mailbox' ? '-threads' : '', context.quick ? 0.02 : 0.1),
      }));
    },
  },
  {
    name: 'million',
    about: 'a million connections, both ends on this machine (only with --million)',
    seconds: { full: 1000, quick: 0 },
    asked: true,
    steps(context) {
      const both = ['--at-once', 1100, '--shards', 2, '--no-pin', '--set=--server.rings_per_shard=26'];
      const growth = ['--growth', '--connections', 1_000_000, '--repetitions', 5, both];
      return [
        { ...held(context, 'million', 1_000_000, '--hold-seconds', 70, both), limitSeconds: 1200 },
        { ...held(context, 'beats', 1_000_000, '--hold-seconds', 30, byDefault, both), limitSeconds: 1200 },
        { id: 'growth', argv: twinbench(context, 'connect', growth), limitSeconds: 1800 },
      ];
    },
  },
  {
    name: 'soak',
    about: 'half an hour of talk, cuts and returns, the second half with kill -9 (only with --soak)',
    seconds: { full: 1810, quick: 30 },
    asked: true,
    steps(context) {
      const run = (id, ...words) => ({
        id,
        limitSeconds: 1200,
        argv: twinbench(
          context,
          'soak',
          '--transport',
          'mixed',
          '--readers',
          500,
          '--rooms',
          50,
          '--rate',
          500,
          '--cuts',
          5,
          '--seconds',
          context.quick ? 15 : 900,
          words,
        ),
      });
      return [run('calm'), run('killed', '--kills', context.quick ? 1 : 3)];
    },
  },
  {
    name: 'before',
    about: 'this build beside an earlier one, with a second process of that as the control (only with --before PATH)',
    seconds: { full: 330, quick: 60 },
    asked: true,
    steps(context) {
      const three = ['twinwire', `twinwire:before=${context.before}`, `twinwire:again=${context.before}`];
      const run = (id, mode, ...words) => ({ id, argv: twinbench(context, mode, targets(three), ...words) });
      const repeated = (full) => ['--repetitions', context.quick ? 3 : full];
      const readers = context.quick ? 200 : 1000;
      const idle = (transport, id, program) => ({
        id: `idle-${transport}-${id}`,
        make: () => holdIdle(context, 'twinwire', transport, context.quick ? 1000 : 10_000, program),
      });
      return [
        { id: 'which', make: async () => ({ result: commitOf(context.before) }) },
        ...transports.map((transport) =>
          run(
            `fanout-${transport}`,
            'fanout',
            '--transport',
            transport,
            '--readers',
            1000,
            each('--window', [1, 16]),
            repeated(11),
            '--slice-ms',
            context.quick ? 150 : 300,
          ),
        ),
        ...transports.flatMap((transport) =>
          [['ephemeral', '--ephemeral'], ['kept']].map(([kind, ...words]) =>
            run(
              `chat-${transport}-${kind}`,
              'chat',
              '--transport',
              transport,
              '--rooms',
              readers,
              '--members',
              10,
              '--rate',
              readers * 2,
              '--seconds',
              1,
              repeated(9),
              words,
            ),
          ),
        ),
        ...transports.map((transport) =>
          run(
            `storm-${transport}`,
            'connect',
            '--transport',
            transport,
            '--connections',
            context.quick ? 1000 : 5000,
            repeated(11),
          ),
        ),
        // Short turns: three servers that write as fast as they can leave the disk and the core little time to catch up.
        run('publish', 'publish', '--publishers', 100, '--depth', 16, '--seconds', 0.4, '--no-floors', repeated(9)),
        ...transports.flatMap((transport) => [
          idle(transport, 'twinwire'),
          idle(transport, 'before', context.before),
          idle(transport, 'again', context.before),
        ]),
      ];
    },
  },
];
