// The service manager's end of NOTIFY_SOCKET. Node has no datagrams over Unix sockets, so perl, which every Debian
// has, binds the name and prints what comes, a line per datagram.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const script = `
use Socket; $| = 1;
my $name = $ARGV[0]; $name =~ s/^@/\\0/;
my $at; socket($at, AF_UNIX, SOCK_DGRAM, 0) && bind($at, pack_sockaddr_un($name)) or die "bind: $!";
print "bound\\n";
while (defined recv($at, my $told, 65536, 0)) { $told =~ s/\\n/;/g; print "$told\\n"; }`;

export class ServiceManager {
  /** Everything it was told, oldest first, with when: {text, at}. */
  told = [];

  /** @param {string} name a path, or "@name" in the abstract namespace, as in NOTIFY_SOCKET */
  static async start(name) {
    const manager = new ServiceManager();
    manager.child = spawn('perl', ['-e', script, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    manager.exited = new Promise((resolve) => manager.child.once('exit', resolve));
    await new Promise((resolve, reject) => {
      manager.exited.then(() => reject(new Error(`nothing could be bound at ${name}`)));
      createInterface({ input: manager.child.stdout }).on('line', (text) => {
        if (text === 'bound') resolve();
        else manager.told.push({ text, at: Date.now() });
      });
    });
    return manager;
  }

  texts() {
    return this.told.map(({ text }) => text);
  }

  async until(condition, what, ms = 5000) {
    for (const end = Date.now() + ms; !condition(this.texts()); await new Promise((next) => setTimeout(next, 10))) {
      if (Date.now() > end) throw new Error(`not told ${what}: ${JSON.stringify(this.texts())}`);
    }
  }

  async stop() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
