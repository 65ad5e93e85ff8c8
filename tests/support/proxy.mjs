// A TCP proxy between a client and the server that a test can cut, hold or point elsewhere: the network that fails.
import net from 'node:net';

export class Proxy {
  static async start(port) {
    const proxy = new Proxy();
    proxy.target = port;
    proxy.pairs = new Set();
    proxy.refusing = false;
    proxy.listener = net.createServer((client) => proxy.join(client));
    await new Promise((resolve) => proxy.listener.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.listener.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    proxy.wsUrl = `ws://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  join(client) {
    if (this.refusing) return client.destroy();
    const server = net.connect(this.target, '127.0.0.1');
    const pair = { client, server };
    this.pairs.add(pair);
    const end = () => {
      this.pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', end).on('close', end);
    client.pipe(server);
    server.pipe(client);
  }

  /** Resets every connection that is open now. */
  cut() {
    for (const { client, server } of this.pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    this.pairs.clear();
  }

  stop() {
    this.cut();
    return new Promise((resolve) => this.listener.close(resolve));
  }
}
