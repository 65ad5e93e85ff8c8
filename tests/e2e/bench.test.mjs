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
  const { rows } = await bench('connect', '--hold', '--connections', '300', '--hold-seconds', '1', '--bare-pairs', '0',
    '--workers', '2', '--shards', '2');
  assert.equal(rows[0].hold.broadcastReached, 300);
  assert.equal(rows[0].hold.ended, 0);
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

test('slow and soak: nobody misses anything', async () => {
  const slow = await bench('slow', '--readers', '20', '--seconds', '1', '--rate', '100', '--bytes', '4000');
  assert.equal(slow.rows[0].incomplete, 0);
  const soak = await bench('soak', '--readers', '20', '--rooms', '4', '--seconds', '2', '--rate', '100');
  assert.ok(soak.rows[0].cuts > 0);
  assert.ok(soak.rows[0].memory.length > 0);
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
