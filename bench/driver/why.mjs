// Why a target is missed, where that is known: shown in the report beside the figure while it is missed. By the target's id.
const burst =
  'Taking in, storing and answering the messages of a burst is paid once a message, whoever reads it: at 1,000 readers a burst of sixteen takes only some milliseconds, and that part shows; see "what a message costs beyond the bare loop".';
const answers =
  'By profile six sevenths of the CPU are the kernel\'s, nearly all of it the ten sends, which every server here pays alike; the last seventh is all that Twinwire does itself: it reads the command as JSON, checks it, writes the event in both of its forms and answers. The peers here pass the bytes on as they came and answer nothing (see "not comparable" in bench/peers/README.md).';

const sessions =
  "By profile two thirds are the kernel's: sending is a quarter of the whole, accepting a sixth, receiving a tenth. A twelfth is what a peer does not have: a session that can be resumed, its user, a place in the room. The rest is HTTP, the handshake, memory and the first event.";
const syncs =
  'A sync costs the same CPU whatever is in it, by itself more than ten deliveries do, and nchan writes nothing. Commits are put off by at most four milliseconds, and only where that slows nobody, so that a sync is shared; what remains is the store (log, memory table), a second turn of the shard, and an answer after the event, which is a send of its own.';

const latencies =
  'What a message costs before it is sent is a part of every latency: it is received, read as JSON, checked, written in both forms, and its publisher is answered, ahead of the readers; the bare loop passes on what it got and answers nobody. At 1,000 messages a second that is some 20 µs. At 100 the core has slept ten milliseconds in between, and it is twice as much: by inference, because whatever it touches has left the caches; sending one by one is dearer then for the bare loop too. With the store on the other core, its work is also in the readers\' way (the table above has both).';

export const why = {
  'fanout-sse-1000-16': burst,
  'fanout-ws-1000-16': burst,
  'fanout-sse-1000-1': burst,
  'fanout-ws-1000-1': burst,
  'chat-sse': answers,
  'chat-ws': answers,
  'chat-kept-sse': syncs,
  'chat-kept-ws': syncs,
  'storm-sse': sessions,
  'storm-ws': sessions,
  'latency-sse-100': latencies,
  'latency-sse-1000': latencies,
  'latency-ws-100': latencies,
  'latency-ws-1000': latencies,
  'publish-sockets':
    "By profile three tenths are the writer's thread and a fifth RocksDB's own threads, most of which the bare store loop has too, and a sixth is the kernel's share of sockets. A third is the shard's own code, which the bare loops have nothing of, and no part of it stands out (the largest are 2 %): memory that is moved and has left the caches since (an event's two forms, the room's tail, which keeps them, and an answer that holds the whole message) is the larger half; the command's JSON, the checks, room, ring and settling are the rest.",
  // Why an earlier build is the one to compare with, by its commit.
  'before-239e2c6':
    'It is the last commit that has the whole engine and nothing of identity: the next one is the first of rights. What came after it and is not of issue 4 (corrections of the engine, and quicker JSON of a message) is on the side of *after*.',
};
