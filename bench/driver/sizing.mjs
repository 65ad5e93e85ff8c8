// What a bigger machine would do, on paper: from the figures measured here, with the arithmetic shown. Every assumption is a
// named constant. Not a measurement, and the page says so.
import { armedBytes, median, ratio, table, whole } from './figures.mjs';

const kAssumed = {
  usable: 0.7, // of a core, before latency suffers
  storeCores: { 16: 1, 64: 4 }, // for the writer, RocksDB's compaction and readers
  networkCores: { 16: 1, 64: 4 }, // for interrupts of the network card, on top of what sends cost
  nicGbit: { 16: 25, 64: 100 },
  nicMillionPackets: { 16: 6, 64: 20 }, // small packets a second such cards and drivers are good for
  wireOverhead: 90, // bytes a packet: Ethernet with preamble and gap 38, IPv4 20, TCP with timestamps 32
  segment: 1448, // bytes of a message that a packet of 1500 carries
  tlsMicros: 350, // a full handshake with ECDSA P-256 and X25519 of one core, where TLS ends on this machine
};

// What is known, each with where it comes from; the fallback is written out where a part was not run.
export function measured(results) {
  const fan = (transport, readers, window) =>
    results.row('fanout', `${transport}-${readers}`, { target: 'twinwire', window })?.cpuNsPerDelivery;
  const both = (readers, window) => median(['sse', 'ws'].map((transport) => fan(transport, readers, window)));
  const hold = ['million', 'idle']
    .flatMap((part) => results.steps(part))
    .map((step) => step.result?.rows?.[0]?.hold ?? step.result?.hold)
    .filter((one) => one?.slabBytesPerPair);
  const most = hold.sort((a, b) => b.connections - a.connections)[0];
  const storm = median(
    ['sse', 'ws'].map((transport) => results.row('storm', transport, { target: 'twinwire' })?.cpuNsPerConnection),
  );
  const publish = results.rows('publish', 'sockets').find((row) => row.target === 'twinwire' && row.ack === 'stored');
  const turn = (shards) => results.micro('ring', 'sweep', `turn/shards:${shards}/batch:4`)?.ns_message;
  const frame = results.row('fanout', 'sse-1000', { target: 'twinwire', window: 1 })?.frameBytes;
  const broadcast = most?.broadcastCpuNs;
  return {
    one: both(10_000, 1) || both(1000, 1),
    oneAt: Number.isFinite(both(10_000, 1)) ? 10_000 : 1000,
    sixteen: both(10_000, 16) || both(1000, 16),
    frame,
    hold: most,
    broadcast,
    storm,
    stored: publish?.messagesPerSecond,
    storedCpu: publish?.cpuNsPerMessage,
    skip: results.micro('ring', 'sweep', 'lap/percent_mine:0/real_time')?.ns_read,
    contended: results.micro('ring', 'sweep', 'threads/producers:2/consumers:1/batch:1/real_time')?.items_per_second,
    turn: { 2: turn(2), 8: turn(8), 16: turn(16), 64: turn(64) },
  };
}

const million = (value) => (Number.isFinite(value) ? `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M` : '–');
const gigabytes = (value) => (Number.isFinite(value) ? `${(value / 2 ** 30).toFixed(0)} GiB` : '–');

export function sizingPage(results) {
  const m = measured(results);
  const out = [];
  const say = (...words) => out.push(...words, '');
  if (!Number.isFinite(m.one))
    return 'Not computed: it needs the parts `fanout`, `storm`, `idle`, `ring` and `publish`.\n';
  say(
    'On paper, from the figures of this report. Nothing on this page was measured on such a machine. The largest unknown is the',
    "network card: here the receiver's half of TCP runs on the sender's core (about 40 % of a send), there the card's interrupts and",
    'its driver take its place; we take one for the other and lower nothing. A burst is one segment on loopback and seven packets',
    'on Ethernet, which a card cuts itself (TSO): its CPU is taken as measured.',
  );
  const user = m.hold?.userBytesPerConnection;
  const pair = m.hold?.slabBytesPerPair;
  // pair = twice a bare end + what the server arms: so a server's end with what is armed is (pair + armed) / 2.
  const found = m.hold ? armedBytes(m.hold) : NaN;
  const armed = Number.isFinite(found) ? found : 300;
  const kernel = (pair + armed) / 2;
  say('**What was measured, and is used below**');
  say(
    table(
      ['figure', '>value', 'from'],
      [
        [`CPU of a delivered message, one at a time, ${whole(m.oneAt)} readers`, `${whole(m.one)} ns`, 'fan-out'],
        ['the same, sixteen at once', `${whole(m.sixteen)} ns`, 'fan-out'],
        ['bytes of such a message on the wire, SSE', `${whole(m.frame)}`, 'fan-out'],
        ['CPU of a connection: accepted, asked, answered, subscribed', `${whole(m.storm)} ns`, 'storm'],
        [
          `user-space memory of an idle connection, ${whole(m.hold?.connections)} of them`,
          `${whole(user)} bytes`,
          'idle',
        ],
        ["kernel memory of a connection's two ends", `${whole(pair)} bytes`, 'idle'],
        ['one look at a slot that another core published, and skipped', `${ratio(m.skip)} ns`, 'ring'],
        [
          "the ring's whole cost of a message to two people, 8 / 16 / 64 shards",
          `${[8, 16, 64].map((s) => whole(m.turn[s])).join(' / ')} ns`,
          'ring',
        ],
        ["messages stored a second over sockets, this machine's disk", `${whole(m.stored)}`, 'publish'],
      ],
    ),
  );
  const shape = (cores) => {
    const store = kAssumed.storeCores[cores];
    const network = kAssumed.networkCores[cores];
    const shards = Math.min(64, cores - store - network);
    const nanos = shards * kAssumed.usable * 1e9;
    const packets = kAssumed.nicMillionPackets[cores] * 1e6;
    const wire = (kAssumed.nicGbit[cores] * 1e9) / 8;
    const single = nanos / m.one;
    const bursts = nanos / m.sixteen;
    const bytesOne = wire / (m.frame + kAssumed.wireOverhead);
    const bytesSixteen = wire / (m.frame + (kAssumed.wireOverhead * m.frame) / kAssumed.segment);
    return { cores, store, network, shards, single, bursts, packets, bytesOne, bytesSixteen, storm: nanos / m.storm };
  };
  const sizes = [16, 64].map(shape);
  say(
    '**Deliveries.** shards = cores − store − interrupts; deliveries a second = shards × ' +
      kAssumed.usable +
      ' × 10⁹ ns ÷ cost of one. The lowest of the three bounds counts.',
  );
  say(
    table(
      ['', ...sizes.map((s) => `>${s.cores} cores`)],
      [
        [
          'shards (cores − store − interrupts)',
          ...sizes.map((s) => `${s.cores} − ${s.store} − ${s.network} = ${s.shards}`),
        ],
        [
          'CPU bound, one message at a time',
          ...sizes.map((s) => `${s.shards} × ${kAssumed.usable} × 10⁹ ÷ ${whole(m.one)} = **${million(s.single)}/s**`),
        ],
        [
          'CPU bound, sixteen at once',
          ...sizes.map(
            (s) => `${s.shards} × ${kAssumed.usable} × 10⁹ ÷ ${whole(m.sixteen)} = **${million(s.bursts)}/s**`,
          ),
        ],
        ['packets of the card (assumed), one message each', ...sizes.map((s) => `${million(s.packets)}/s`)],
        [
          'bytes of the card, one message each',
          ...sizes.map(
            (s) =>
              `${kAssumed.nicGbit[s.cores]} Gbit/s ÷ (${whole(m.frame)} + ${kAssumed.wireOverhead}) bytes = ${million(s.bytesOne)}/s`,
          ),
        ],
        [
          `bytes of the card, sixteen at once in full packets`,
          ...sizes.map(
            (s) =>
              `${kAssumed.nicGbit[s.cores]} Gbit/s ÷ (${whole(m.frame)} + ${kAssumed.wireOverhead} × ${whole(m.frame)} ÷ ${kAssumed.segment}) = ${million(s.bytesSixteen)}/s`,
          ),
        ],
        [
          '**what holds: one at a time**',
          ...sizes.map(
            (s) =>
              `**${million(Math.min(s.single, s.packets, s.bytesOne))}/s** (${boundOf([
                ['CPU', s.single],
                ['packets', s.packets],
                ['bytes', s.bytesOne],
              ])})`,
          ),
        ],
        [
          '**what holds: sixteen at once**',
          ...sizes.map(
            (s) =>
              `**${million(Math.min(s.bursts, s.bytesSixteen))}/s** (${boundOf([
                ['CPU', s.bursts],
                ['bytes', s.bytesSixteen],
              ])})`,
          ),
        ],
        [
          'new connections, without TLS',
          ...sizes.map((s) => `${s.shards} × ${kAssumed.usable} × 10⁹ ÷ ${whole(m.storm)} = ${million(s.storm)}/s`),
        ],
      ],
    ),
  );
  say(
    "**The ring.** Every shard looks at every slot, so a node's messages cost each of its cores one look: at 1 million messages a",
    `second that is 10⁶ × ${ratio(m.skip)} ns = ${ratio(m.skip / 10)} % of each core, whatever the number of shards, and the claims (one fetch-add) stay`,
    `far below what contended cores can do (here, two producers and two readers: ${million(m.contended)} slots a second). For chats of two people the whole ring costs ${whole(m.turn[8])} ns a message`,
    `with 8 shards and ${whole(m.turn[64])} ns with 64, beside two sends of ${whole(m.one)} ns: ${ratio((100 * m.turn[8]) / (m.turn[8] + 2 * m.one))} % and ${ratio((100 * m.turn[64]) / (m.turn[64] + 2 * m.one))} %. So one log`,
    'is not what ends growth inside one machine; 64 shards are, since the mask has 64 bits.',
  );
  const ten = 1e7;
  const beats = ten / 60;
  const beatCost = m.broadcast ?? m.one * 1.8;
  say(
    '**Ten million connections** on one machine (64 cores), all in one room, a heartbeat every 60 s:',
    '',
    table(
      ['', '>arithmetic', '>'],
      [
        ['user-space memory', `10⁷ × ${whole(user)} bytes`, gigabytes(ten * user)],
        [
          "kernel memory, this side's half of the pair and what is armed",
          `10⁷ × ${whole(kernel)} bytes`,
          gigabytes(ten * kernel),
        ],
        ['heartbeats', `10⁷ ÷ 60 s × ${whole(beatCost)} ns`, `${ratio((beats * beatCost) / 1e9)} cores`],
        [
          'one message to all (one send each; the cost at the most connections measured)',
          `10⁷ × ${whole(beatCost)} ns ÷ (${sizes[1].shards} × ${kAssumed.usable})`,
          `${ratio((ten * beatCost) / 1e9 / (sizes[1].shards * kAssumed.usable))} s`,
        ],
        [
          'the same through a card of 100 Gbit/s',
          `10⁷ ÷ ${million(Math.min(sizes[1].packets, sizes[1].bytesOne))}/s`,
          `${ratio(ten / Math.min(sizes[1].packets, sizes[1].bytesOne))} s`,
        ],
        [
          'all come back at once, without TLS',
          `10⁷ × ${whole(m.storm)} ns ÷ (${sizes[1].shards} × ${kAssumed.usable})`,
          `${ratio((ten * m.storm) / 1e9 / (sizes[1].shards * kAssumed.usable))} s`,
        ],
        [
          `the same with TLS on the machine (${kAssumed.tlsMicros} µs a handshake, assumed)`,
          `10⁷ × ${kAssumed.tlsMicros} µs ÷ (${sizes[1].shards} × ${kAssumed.usable})`,
          `${ratio((ten * kAssumed.tlsMicros) / 1e6 / (sizes[1].shards * kAssumed.usable))} s`,
        ],
        [
          'places in direct tables',
          `10⁷ ÷ ${sizes[1].shards} shards`,
          `${whole(ten / sizes[1].shards)} each: a hard limit of descriptors (ulimit -n) of that size, or several rings a shard`,
        ],
      ],
    ),
  );
  say(
    'So ten million idle connections are a question of memory (take a machine with twice the sum), a message to all of them is a matter of',
    'seconds by the card as much as by the cores, and a restart of such a machine is the worst moment: clients must come back',
    'spread out (`retry:` carries jitter, drains are spread over `drain.seconds`). Persistence does not grow with connections: it grows with',
    `messages, one writer each node, measured here at ${whole(m.stored)} a second on a virtual disk.`,
  );
  return `${out.join('\n')}\n`;
}

function boundOf(bounds) {
  return bounds.reduce((least, one) => (one[1] < least[1] ? one : least))[0];
}
