// A twinwire of the driver's own: for the profile and for memory, where its pid must be known. Ended by its pid.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const kToken = 'bench-operators-token-0123456789abcdef';

// core: -1 for any. program: another build of it. Resolves when it is ready: {pid, pids, url, admin, stop}.
export function startTwinwire(context, settings = [], core = 0, program = `${context.bin}/twinwire`) {
  const folder = mkdtempSync(join(tmpdir(), 'twinwire-bench.'));
  const words = [
    program,
    'serve',
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--data',
    join(folder, 'data'),
    `--admin.token=${kToken}`,
    '--server.shards=1',
    ...settings,
  ];
  const argv = core < 0 ? words : ['taskset', '-c', String(core), ...words];
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = new Promise((done) => child.on('exit', done).on('error', done));
  // Also where this process ends by a fault.
  const orphan = () => child.kill('SIGTERM');
  process.once('exit', orphan);
  const stop = async () => {
    process.removeListener('exit', orphan);
    if (child.exitCode === null) child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await end;
    clearTimeout(late);
    rmSync(folder, { recursive: true, force: true });
  };
  return new Promise((done, failed) => {
    let out = '';
    let errors = '';
    child.stderr.on('data', (part) => (errors = (errors + part).slice(-2000)));
    child.stdout.on('data', (part) => {
      out += part;
      const ready = /^twinwire ready: (http:\/\/[^\s/]+)\/ +admin (http:\/\/[^\s/]+)/m.exec(out);
      if (ready) done({ pid: child.pid, pids: [child.pid], url: ready[1], admin: ready[2], stop });
    });
    end.then(() => failed(new Error(`twinwire did not start: ${errors.trim()}`)));
  });
}
