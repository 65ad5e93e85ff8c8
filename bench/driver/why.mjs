// Why a target is missed, where that is known: shown in the report beside the figure while it is missed. By the target's id.
const burst =
  'Taking in, storing and answering the messages of a burst is paid once a message, whoever reads it: at 1,000 readers a burst of sixteen takes only some milliseconds, and that part shows; see "what a message costs beyond the bare loop".';
const answers =
  'Twinwire reads each command as JSON, checks it, writes the event in both of its forms and answers; the peers here pass the bytes on as they came and answer nothing (see "not comparable" in bench/peers/README.md).';

const sessions =
  "By profile two thirds are the kernel's: sending is a quarter of the whole, accepting a sixth, receiving a tenth. A twelfth is what a peer does not have: a session that can be resumed, its user, a place in the room. The rest is HTTP, the handshake, memory and the first event.";
const syncs =
  'The writer waits for nothing: it syncs as soon as it has something, so that an answer comes soon. At 2,000 messages a second its groups are small, and a sync costs the same CPU whatever is in it; nchan writes nothing.';

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
  'publish-sockets':
    "By profile, a third is the writer's thread, which is what the bare store loop does; a fifth is the kernel's share of sockets, and half is the shard's own code: the command's JSON, the event in both of its forms, room and tail, and an answer that holds the whole message. The bare loops do none of that.",
  // Why an earlier build is the one to compare with, by its commit.
  'before-239e2c6':
    'It is the last commit that has the whole engine and nothing of identity: the next one is the first of rights. What came after it and is not of issue 4 (corrections of the engine, and quicker JSON of a message) is on the side of *after*.',
};
