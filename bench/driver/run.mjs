// Runs one program after the other, keeps what it said as JSON, and shows how far things are: a line that is written over
// on a terminal, one line a step elsewhere. Ends a step that outlives its limit, by its pid. Not here: which programs.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadavg } from 'node:os';

const terminal = process.stderr.isTTY && !process.env.CI;

export class Show {
  constructor(expectedSeconds) {
    this.began = Date.now();
    this.expected = expectedSeconds;
    this.done = 0; // seconds of the plan that are behind us
  }
  clock() {
    const seconds = Math.round((Date.now() - this.began) / 1000);
    return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
  }
  share() {
    return `${String(Math.min(99, Math.round((100 * this.done) / this.expected))).padStart(2)} %`;
  }
  say(words) {
    process.stderr.write(`${terminal ? '\r\x1b[K' : ''}[${this.clock()} ${this.share()}] ${words}\n`);
  }
}

// As a person would type it, from the tree's root.
export function typed(argv, root) {
  return argv
    .map((word) => word.replaceAll(`${root}/`, ''))
    .map((word) => (/^[A-Za-z0-9_.,:/@=+-]+$/.test(word) ? word : `'${word}'`))
    .join(' ');
}

// Runs argv; resolves to {command, seconds, status, load, output, errors}. Never rejects.
export function run(argv, { root, limitSeconds = 600, quiet = true, env = {} } = {}) {
  return new Promise((done) => {
    const load = loadavg()[0];
    const began = Date.now();
    const child = spawn(argv[0], argv.slice(1), {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', quiet || !terminal ? 'pipe' : 'inherit'],
    });
    const orphan = () => child.kill('SIGTERM');
    process.once('exit', orphan);
    let output = '';
    let errors = '';
    let late = false;
    child.stdout.setEncoding('utf8').on('data', (part) => (output += part));
    child.stderr?.setEncoding('utf8').on('data', (part) => (errors = (errors + part).slice(-4000)));
    const limit = setTimeout(() => {
      late = true;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 5000).unref();
    }, limitSeconds * 1000);
    const end = (status) => {
      clearTimeout(limit);
      process.removeListener('exit', orphan);
      const seconds = (Date.now() - began) / 1000;
      if (late) errors += `\nended after ${limitSeconds} s`;
      done({ command: typed(argv, root), seconds, status, load, output, errors: errors.trim() });
    };
    child.on('error', (error) => {
      errors += String(error);
      end(127);
    });
    child.on('close', (code, signal) => end(code ?? signal));
  });
}

// What a step gave: its JSON, and why not where there is none.
export function parsed(step) {
  const { output, ...rest } = step;
  try {
    return { ...rest, result: JSON.parse(output) };
  } catch {
    return {
      ...rest,
      failed: step.errors.split('\n').filter(Boolean).slice(-3).join(' / ') || `status ${step.status}`,
    };
  }
}

export class Raw {
  constructor(folder) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }
  path(part) {
    return join(this.folder, `${part}.json`);
  }
  write(part, content) {
    writeFileSync(this.path(part), `${JSON.stringify(content, null, 1)}\n`);
  }
  read(part) {
    try {
      return JSON.parse(readFileSync(this.path(part), 'utf8'));
    } catch {
      return undefined;
    }
  }
}
