// Starts the real server for a test: free ports, a data directory of its own, ended by its process id.
// The programs are looked for in TWINWIRE_BIN, else in build/bin.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const bin = process.env.TWINWIRE_BIN ?? join(dirname(fileURLToPath(import.meta.url)), '../../build/bin');

// A mount that only the server sees: as root, else as root of a user namespace; neither is possible everywhere.
const mountFlags = process.getuid() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount'];
export const canMount = spawnSync('unshare', [...mountFlags, 'mount', '-t', 'tmpfs', 'twinwire', '/mnt']).status === 0;

export class Server {
  /**
   * `rates`: keep the default command rates; most tests send faster than a person would.
   * `disk`: the data directory is a file system of its own, of so many MiB (see canMount, inside).
   * `shell`: words of sh that go before the server, such as limits.
   * @param {{args?: string[], data?: string, listen?: string, limitFiles?: number, shell?: string, disk?: number,
   *   env?: object, rates?: boolean}} options
   */
  static async start(options = {}) {
    const server = new Server();
    server.options = options;
    server.ownsData = options.data === undefined;
    server.data = options.data ?? (await mkdtemp(join(tmpdir(), 'twinwire-test-')));
    await server.spawn();
    return server;
  }

  async spawn() {
    const { args = [], listen = '127.0.0.1:0', limitFiles, disk, env = {}, rates = false } = this.options;
    const shell = this.options.shell ?? (limitFiles ? `ulimit -n ${limitFiles}` : '');
    const program = join(bin, 'twinwire');
    const quick = rates ? [] : ['--limits.commands_per_second', '100000', '--limits.commands_burst', '100000'];
    const all = ['serve', '--listen', listen, '--admin', '127.0.0.1:0', '--data', this.data, ...quick, ...args];
    const [command, words] = shell
      ? ['sh', ['-c', `${shell}; exec "$0" "$@"`, program, ...all]]
      : disk
        ? ['unshare', [...mountFlags, 'sh', '-c',
          `mount -t tmpfs -o size=${disk}m twinwire '${this.data}' && exec "$0" "$@"`, program, ...all]]
        : [program, all];
    this.log = '';
    this.child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.exited = once(this.child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.log = (this.log + text).slice(-65536);
    });
    const lines = createInterface({ input: this.child.stdout });
    const ready = new Promise((resolve) => {
      lines.on('line', (line) => {
        const found = /^twinwire ready: (http:\/\/\S+?)\/?\s+admin (http:\/\/\S+?)\/?\s*$/.exec(line);
        if (found) resolve(found);
      });
    });
    const found = await Promise.race([
      ready,
      this.exited.then(({ code, signal }) => {
        throw new Error(`twinwire ended before it was ready (${code ?? signal}):\n${this.log}`);
      }),
      new Promise((_, reject) => {
        this.readyTimer = setTimeout(() => reject(new Error(`twinwire was not ready in 20 s:\n${this.log}`)), 20000);
      }),
    ]);
    clearTimeout(this.readyTimer);
    [, this.url, this.adminUrl] = found;
    this.wsUrl = this.url.replace('http', 'ws');
    this.port = Number(new URL(this.url).port);
    this.pid = this.child.pid;
  }

  /** Ends the process and waits for it; the data stays. */
  async end(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(this.pid, signal);
    return this.exited;
  }

  /** Starts again on the same data (and a new port, unless `listen` names one). */
  async restart(signal = 'SIGTERM') {
    await this.end(signal);
    await this.spawn();
  }

  /** Ends the process, removes the data it made. */
  async stop() {
    const result = await this.end();
    if (this.ownsData) await rm(this.data, { recursive: true, force: true });
    return result;
  }

  /** Where a file of the data directory is, also on a disk of the server's own, as long as it runs. */
  inside(name) {
    return this.options.disk ? `/proc/${this.pid}/root${this.data}/${name}` : join(this.data, name);
  }

  async adminToken() {
    return (await readFile(this.inside('admin.token'), 'utf8')).trim();
  }

  async admin(path, init = {}) {
    const headers = { authorization: `Bearer ${await this.adminToken()}`, ...init.headers };
    return fetch(this.adminUrl + path, { ...init, headers });
  }
}
