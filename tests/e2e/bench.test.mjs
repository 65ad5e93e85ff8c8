// twinbench itself, small: each mode measures, prints its table's JSON, and counts nothing lost, repeated or reordered.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { bin } from '../support/server.mjs';

const run = promisify(execFile);

const bench = async (mode, ...options) => {
  const { stdout } = await run(join(bin, 'twinbench'), [mode, ...options, '--json', '--quiet', '--no-pin'],
    { timeout: 60000, maxBuffer: 1 << 24 });
  const report = JSON.parse(stdout);
  assert.equal(report.mode, mode);
  assert.equal(report.faults, 0);
  for (const row of report.rows) {
    assert.equal(row.failure, undefined, `${row.target}: ${row.failure}`);
    assert.deepEqual([row.lost, row.repeated, row.reordered], [0, 0, 0]);
  }
  return report;
};
const brief = ['--repetitions', '1', '--warm-up', '0'];

test('fanout: ours beside the bare loop, joined and frame by frame, on both transports', async () => {
  const { rows } = await bench('fanout', '--readers', '30', '--slice-ms', '50', '--target', 'twinwire', '--target',
    'bare', '--target', 'bare-single', ...brief);
  assert.equal(rows.length, 2 * 2 * 3);
  for (const row of rows) {
    assert.ok(row.cpuNsPerDelivery > 0 && row.deliveriesPerSecond > 0);
    if (row.target === 'bare') assert.ok(row.control > 0);
    else assert.ok(row.ratios.bare > 0);
  }
  const joined = rows.find((row) => row.target === 'bare' && row.window === 16);
  assert.equal(joined.deliveriesPerRead, 16);
});

test('rate and chat: latencies from the time a message was due', async () => {
  const rate = await bench('rate', '--readers', '20', '--rate', '100', '--seconds', '0.3', ...brief);
  for (const row of rate.rows) {
    assert.ok(row.latencyUs.p50 > 0 && row.latencyUs.p50 <= row.latencyUs.max);
    assert.ok(row.p50Us > 0 && row.curve.length > 5);
  }
  const chat = await bench('chat', '--rooms', '10', '--members', '4', '--rate', '100', '--seconds', '0.3', '--transport',
    'mixed', '--target', 'twinwire', ...brief);
  assert.equal(chat.rows.length, 1);
  assert.ok(chat.rows[0].cpuNsPerDelivery > 0);
});

test('connect: a storm, and connections that are held and all get one message', async () => {
  const storm = await bench('connect', '--connections', '200', ...brief);
  for (const row of storm.rows) assert.ok(row.cpuNsPerConnection > 0);
  const uring = await bench('connect', '--connections', '200', '--target', 'twinwire', '--target', 'bare-uring', ...brief);
  assert.deepEqual(uring.rows.map((row) => `${row.target} ${row.transport}`),
    ['twinwire sse', 'bare-uring sse', 'twinwire ws', 'bare-uring ws']);
  for (const row of uring.rows) assert.ok(row.cpuNsPerConnection > 0);
  const { rows } = await bench('connect', '--hold', '--connections', '300', '--hold-seconds', '1', '--bare-pairs', '0',
    '--workers', '2', '--shards', '2');
  assert.equal(rows[0].hold.broadcastReached, 300);
  assert.equal(rows[0].hold.ended, 0);
});

test('connect --growth: both hold a few and many readers of both kinds, and all get every message', async () => {
  const { rows } = await bench('connect', '--growth', '--connections', '600', '--few', '100', '--shards', '2', ...brief);
  assert.deepEqual(rows.map((row) => `${row.target} ${row.connections}`),
    ['twinwire 100', 'twinwire 600', 'bare-direct 100', 'bare-direct 600']);
  for (const row of rows) {
    assert.ok(row.cpuNsPerDelivery > 0 && row.broadcastMs > 0, row.target);
    assert.equal(row.frameBytes, rows[0].frameBytes, 'the very bytes of ours');
  }
  for (const many of [rows[1], rows[3]]) assert.ok(many.growth > 0);
});

test('resume: all come back with their cursor, also after a kill', async () => {
  const { rows } = await bench('resume', '--clients', '60', '--messages', '40', '--rooms', '3', '--kill', '--shards', '2');
  assert.equal(rows[0].resets, 0);
  assert.ok(rows[0].completeMs.p99 >= rows[0].connectedMs.p50);
});

test('publish: the sum of the floors beside it', async () => {
  const { rows } = await bench('publish', '--publishers', '5', '--depth', '4', '--seconds', '0.3', '--ack', 'stored',
    ...brief);
  assert.deepEqual(rows.map((row) => row.target), ['twinwire', 'floor_receive', 'floor_store', 'floors']);
  for (const row of rows) assert.ok(row.cpuNsPerMessage > 0, row.target);
});

test('another build of ours stands beside this one, in every mode that compares', async () => {
  const two = ['--target', 'twinwire', '--target', `twinwire:before=${join(bin, 'twinwire')}`, ...brief];
  const names = ['twinwire', 'twinwire:before'];
  const fanout = await bench('fanout', '--readers', '10', '--window', '1', '--slice-ms', '50', '--transport', 'ws', ...two);
  assert.deepEqual(fanout.rows.map((row) => row.target), names);
  assert.ok(fanout.rows[0].ratios['twinwire:before'] > 0);
  const publish = await bench('publish', '--publishers', '3', '--seconds', '0.2', '--ack', 'stored', '--no-floors', ...two);
  assert.deepEqual(publish.rows.map((row) => row.target), names);
  for (const row of publish.rows) assert.ok(row.cpuNsPerMessage > 0 && row.eventsPerSync > 0, row.target);
  await assert.rejects(bench('fanout', '--target', 'twinwire:before', ...brief), /twinwire:LABEL=PROGRAM/);
});

// A server whose operators' listener has no figures, as an older or newer one may lack some.
test('a figure that the server does not have is an error with its name, not a zero', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'twinwire-bench-test.'));
  try {
    const program = join(folder, 'mute.mjs');
    await writeFile(program, `#!/usr/bin/env node
      import { spawn } from 'node:child_process';
      import { createServer } from 'node:http';
      const admin = createServer((request, response) => response.end('{"store":{}}')).listen(0, '127.0.0.1', () => {
        const server = spawn(${JSON.stringify(join(bin, 'twinwire'))}, process.argv.slice(2), { stdio: ['ignore', 'pipe', 'inherit'] });
        const here = 'admin http://127.0.0.1:' + admin.address().port;
        server.stdout.on('data', (part) => process.stdout.write(String(part).replace(/admin http:\\S+/, here)));
        process.on('SIGTERM', () => server.kill());
        server.on('exit', (status) => process.exit(status));
      });
    `, { mode: 0o755 });
    const mute = ['--program', program, '--quiet', '--no-pin'];
    const says = (mode, options, words) => assert.rejects(run(join(bin, 'twinbench'), [mode, ...options, ...mute]),
      (error) => error.code === 1 && words.test(error.stdout + error.stderr));
    await says('publish', ['--publishers', '2', '--seconds', '0.1', '--ack', 'stored', '--no-floors', ...brief],
      /\/admin\/stats of twinwire has no number at store\.syncs/);
    await says('slow', ['--readers', '5', '--seconds', '0.2'], /no number at streams\.lagged/);
    await says('soak', ['--readers', '4', '--rooms', '2', '--seconds', '1'], /no number at resets\.trimmed/);
    await says('resume', ['--clients', '4', '--messages', '2'], /no number at reads\.scans/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('slow and soak: nobody misses anything', async () => {
  const slow = await bench('slow', '--readers', '20', '--seconds', '1', '--rate', '100', '--bytes', '4000');
  assert.equal(slow.rows[0].incomplete, 0);
  const soak = await bench('soak', '--readers', '20', '--rooms', '4', '--seconds', '2', '--rate', '100');
  assert.ok(soak.rows[0].cuts > 0);
  assert.ok(soak.rows[0].memory.length > 0);
  const killed = await bench('soak', '--readers', '20', '--rooms', '4', '--seconds', '4', '--rate', '100', '--kills', '1');
  assert.equal(killed.rows[0].kills, 1);
  assert.ok(killed.rows[0].cuts >= 20, 'all came back with their cursor');
});

test('a peer that closes idle publishers is measured all the same', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'twinwire-bench-test.'));
  try {
    const server = join(folder, 'hasty.mjs');
    await writeFile(server, `
      import { createServer } from 'node:http';
      const readers = new Set();
      const server = createServer((request, response) => {
        if (request.method === 'GET') {
          request.socket.setTimeout(0);
          response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(':\\n\\n');
          return readers.add(response);
        }
        let body = '';
        request.on('data', (part) => (body += part)).on('end', () => {
          for (const reader of readers) reader.write('data: ' + body + '\\n\\n');
          response.writeHead(202, { 'Content-Length': 0 }).end();
        });
      });
      server.timeout = 150; // of a connection on which nothing happens
      server.listen(Number(process.argv[2]), '127.0.0.1');
    `);
    const peer = join(folder, 'hasty.json');
    await writeFile(peer, JSON.stringify({
      name: 'hasty',
      start: ['node', server, '{port}'],
      readers: { sse: { target: '/{room}', live: ':\n\n' } },
      publish: { via: 'post', target: '/{room}', body: '{content}' },
    }));
    const { rows } = await bench('fanout', '--readers', '5', '--window', '1', '--slice-ms', '700', '--transport', 'sse',
      '--target', 'twinwire', '--target', peer, '--repetitions', '2', '--warm-up', '0');
    assert.ok(rows.find((row) => row.target === 'hasty').cpuNsPerDelivery > 0);
  } finally {
    await rm(folder, { recursive: true });
  }
});
