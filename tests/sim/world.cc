#include "tests/sim/world.h"

#include <bit>
#include <cstdio>

#include "store/room_reader.h"
#include "tests/sim/client.h"

namespace twinwire::sim {

// ---- transport ----

void SimTransport::submit() {
  std::vector<Send> sends = std::move(queued_);
  queued_.clear();
  for (const Send& send : sends) {
    Pipe& pipe = pipes[index_of(send.id)];
    size_t room = pipe.capacity > pipe.buffer.size() ? pipe.capacity - pipe.buffer.size() : 0;
    size_t take = pipe.open && !pipe.closing ? std::min(room, send.size) : 0;
    pipe.buffer.append(send.bytes, take);
    pipe.received += take;
    // Its `bye` may still be on the way; anything else may not.
    bool ending = world_.shard(shard_).outboxes().at(send.id).closing;
    if (take && !ending && pipe.client && pipe.client->replaced(shard_, send.id))
      world_.broken("the old stream of " + pipe.client->user() + " sends after the new one has begun");
    if (take == send.size) continue;
    world_.coverage().hit(take == 0 ? "send: socket full" : "send: short");
    world_.shard(shard_).on_short_send(send.id, take);
  }
}

void SimTransport::close(ConnectionId id) { pipes[index_of(id)].closing = true; }

void SimTransport::reply(ConnectionId id, std::string_view tag, const Reply& reply) {
  Pipe& pipe = pipes[index_of(id)];
  if (pipe.open && !pipe.client) pipe.closing = true;  // an operator's: nobody reads it
  if (!pipe.open || !pipe.client) return;
  Form form = world_.shard(shard_).outboxes().at(id).form;
  if (form == Form::ws) {
    std::string json = "{\"type\":\"reply\",\"id\":" + std::string(tag) + "," + reply.body.substr(1);
    char header[10];
    std::string frame(header, write_ws_header(header, 1, json.size()));
    world_.shard(shard_).write(id, frame + json);
    return;
  }
  pipe.closing = true;  // a POST or a poll: one request a connection
  pipe.client->on_reply(id, shard_, tag, reply);
}

ConnectionId SimTransport::connect(Client* client, size_t capacity) {
  uint32_t at = 0;
  while (at < pipes.size() && pipes[at].open) at++;
  if (at == pipes.size()) pipes.emplace_back();
  Pipe& pipe = pipes[at];
  uint32_t generation = pipe.generation + 1;
  pipe = Pipe{};
  pipe.open = true;
  pipe.generation = generation;
  pipe.client = client;
  pipe.capacity = capacity;
  world_.shard(shard_).connection_opened(ConnectionId(at), generation);
  return ConnectionId(at);
}

void SimTransport::drop(ConnectionId id) {
  Pipe& pipe = pipes[index_of(id)];
  if (!pipe.open) return;
  pipe.open = false;
  pipe.client = nullptr;
  world_.shard(shard_).connection_closed(id);
}

// ---- a life ----

World::World(const Options& options, Coverage& coverage)
    : options_(options), coverage_(coverage), random_(options.seed * 7919 + 17), database_(options.seed) {
  bool interleaved = options.kind == Kind::interleaved;
  shard_count_ = std::array<uint32_t, 5>{1, 1, 2, 3, 5}[random_.below(5)];
  if (interleaved) shard_count_ = 1 + static_cast<uint32_t>(random_.below(2));
  if (options.kind == Kind::crowd) shard_count_ = 64;
  config_.server.deliver = random_.chance(400) ? DeliverPolicy::commit : DeliverPolicy::publish;
  config_.limits.commands_per_second = 6000;
  config_.limits.commands_burst = 6000;
  config_.store.give_up_ms = 1000;
  uint64_t rooms = interleaved ? 3 : 1 + random_.below(4);
  for (uint64_t i = 0; i < rooms; i++) rooms_.push_back("room" + std::to_string(i));
  retention_on_ = random_.chance(150);
  coverage_.hit(shard_count_ == 1    ? "one shard"
                : shard_count_ == 2  ? "two shards"
                : shard_count_ == 64 ? "64 shards"
                                     : "three or five shards");
  if (interleaved) coverage_.hit("interleaved rooms with shared members");
  if (tight()) coverage_.hit("tiny bounds");
  if (tight()) config_.presence.diff_ms = 20;
  if (identity()) config_.auth.mode = AuthMode::jwt;
  start();
  uint64_t clients = 3 + random_.below(6);
  for (uint64_t i = 0; i < clients; i++) {
    std::vector<std::string> followed;
    for (const std::string& room : rooms_)
      if (random_.chance(interleaved ? 700 : 600)) followed.push_back(room);
    std::string user = "user" + std::to_string(random_.below(clients));  // some users have several devices
    clients_.push_back(std::make_unique<Client>(*this, user, followed, random_.chance(600)));
  }
}

World::~World() {
  watched_.clear();
  stop();
}

// Before its slot is published an event holds one reference for each shard that will read it and one for the
// writer (which stores kept events and what markers say), beside the publisher's own.
void World::publishing(const Event& event, uint64_t mask) {
  auto owed = static_cast<uint32_t>(std::popcount(mask)) + (event.kept() || event.marker() ? 1 : 0) + 1;
  if (event.references() != owed)
    miscounted_ = "event " + std::to_string(event.sequence().value) + " is published with " +
                  std::to_string(event.references()) + " references, of " + std::to_string(owed);
  if (event.kind() == EventKind::ending) {
    for (Revocation& revocation : revocations_)
      if (!revocation.place && revocation.user == event.room_name().text().substr(1))
        revocation.place = event.sequence().value;
  }
  event.prepay(2);  // ours, to the end of the life: no wrong count frees it before it is seen
  counted_.push_back(&event);
}

// With engine and writer gone, nobody but us holds an event of this life.
void World::check_references() {
  for (const Event* event : counted_) {
    bool wrong = event->references() != 2;
    if (wrong && miscounted_.empty())
      miscounted_ = "event " + std::to_string(event->sequence().value) + " is left with " +
                    std::to_string(event->references()) + " references, of 2";
    if (wrong) continue;  // leaks, rather than be freed twice
    event->release();
    event->release();
  }
  counted_.clear();
}

// As the retention said, or as the disk has it where a commit failed and landed all the same.
uint64_t World::trimmed_through(const std::string& room) {
  uint64_t& known = trimmed_[room];
  if (!wide()) return known;
  auto marks = store::read_marks(database_, room_id_of(boot_.room_key, "t", room));
  if (marks) known = std::max(known, marks->trimmed.value);
  return known;
}

void World::gather() {
  Metrics sum;
  uint64_t joined = 0;
  for (uint32_t i = 0; i < shard_count_; i++) {
    sum += shard(i).metrics();
    joined += shard(i).outboxes().joined_hits;
  }
  const std::pair<const char*, uint64_t> counts[] = {
      {"live to lagging", sum.lagged},
      {"lagging to live", sum.caught_up},
      {"held overflow: another round", sum.held_overflows},
      {"steps put off to the next tick", sum.steps_put_off},
      {"delivery paused inside a member list", sum.deliveries_paused},
      {"joined run shared", joined},
      {"session forgotten", sum.sessions_forgotten},
      {"room gained by the inbox", sum.gained_by_inbox},
      {"room gained by a command", sum.gained_by_command},
      {"removal of a member", sum.removals},
      {"room forgotten by its home", sum.rooms_forgotten},
      {"tail dropped its front", sum.tail_dropped},
      {"read from the store", sum.store_reads},
      {"typing shed", sum.shed_typing},
      {"presence shed", sum.shed_presence},
      {"full ring: claim refused", sum.claims_refused},
      {"too much mail waits: command refused", sum.crowded},
      {"mailbox full", sum.mailbox_full},
      {"no credit for a reply", sum.no_credit},
      {"too many requests at the store", sum.store_queue_full},
      {"retry of a pending id", sum.retries_pending},
      {"retry answered from memory", sum.retries_memory},
      {"retry answered from the store", sum.retries_store},
      {"command behind an id that the store is asked about", sum.held_behind},
      {"unsaved: a room's creation", sum.withdrawn_created},
      {"unsaved: a membership", sum.withdrawn_added},
      {"unsaved: a membership's end", sum.withdrawn_removed},
      {"a room could not be loaded at once", sum.room_reloads},
      {"a user could not be loaded at once", sum.user_reloads},
      {"receipt written again", sum.receipts_rewritten},
  };
  for (const auto& [what, count] : counts) coverage_.hit(what, count);
}

// What holds only for a while is looked for now and then.
void World::sample() {
  for (uint32_t i = 0; i < shard_count_; i++) Client::count_states(shard(i).sessions(), coverage_);
  bool failing = durability_->failing(), full = !durability_->accepting() && !failing;
  if (failing && !failing_) coverage_.hit("store failing");
  if (!failing && failing_) coverage_.hit("store healed");
  if (full && !full_) coverage_.hit("backlog of the writer full");
  failing_ = failing, full_ = full;
  if (ring_->lease_end() != lease_end_ && lease_end_.value) coverage_.hit("lease renewed");
  lease_end_ = ring_->lease_end();
}

void World::start() {
  life_++;
  // A restart may come up with the other policy: the run that ended decides what was lost.
  if (life_ > 1 && random_.chance(200)) {
    config_.server.deliver =
        policy() == DeliverPolicy::commit ? DeliverPolicy::publish : DeliverPolicy::commit;
    coverage_.hit("restart with the other policy");
  }
  coverage_.hit(policy() == DeliverPolicy::commit ? "deliver = commit" : "deliver = publish");
  uint32_t slots = 2048;
  if (tight()) slots = std::bit_ceil(2 * shard_count_ * Ring::kBatchMax + 128);
  if (shard_count_ == 64) slots = 1 << 14;
  // Renewed at half of it: that must be more than stays free for all shards' batches, for control events and
  // where state is shed, or nothing could be claimed and so nothing be renewed. Here by a few dozen claims.
  uint64_t free = uint64_t{shard_count_} * Ring::kBatchMax + slots / 2;
  uint64_t lease_step = tight() ? 2 * (free + 32) : 1 << 15;
  shared_ = std::make_unique<store::SharedState>(store::IdempotencyFilter::Options{});
  store::BootOptions boot_options;
  boot_options.policy = policy();
  boot_options.lease_step = lease_step;
  boot_options.mutation = options_.mutation;
  auto boot = store::boot(database_, boot_options, clock_, random_, *shared_);
  if (!boot) broken("the store did not boot: " + boot.error().sentence);
  boot_ = *boot;
  Ring::Options ring_options;
  ring_options.slots = slots;
  ring_options.shards = shard_count_;
  ring_options.first = boot_.first;
  ring_options.lease_end = boot_.lease_end;
  ring_ = std::make_unique<Ring>(ring_options, waker_);
  durability_ = std::make_unique<Durability>(boot_.settled, boot_.first);
  store::WriterOptions writer_options;
  writer_options.give_up_ms = config_.store.give_up_ms;
  writer_options.settle_idle_ms = 300;
  writer_options.stall_ms = 200;
  writer_options.group_events = 1 + static_cast<uint32_t>(random_.below(40));
  writer_options.backlog_events = 64 + static_cast<uint32_t>(random_.below(400));
  if (tight()) writer_options.backlog_events = 8 + static_cast<uint32_t>(random_.below(40));
  writer_options.lease_step = lease_step;
  writer_options.room_key = boot_.room_key;
  writer_options.mutation = options_.mutation;
  writer_options.sync = options_.sync;
  writer_ = std::make_unique<store::Writer>(writer_options, database_, *ring_, *durability_, *shared_, clock_,
                                            store::WriterCallbacks{});
  store::HistoryOptions history_options;
  history_options.epoch = boot_.epoch;
  history_options.room_key = boot_.room_key;
  history_ =
      std::make_unique<store::HistoryStore>(history_options, database_, *shared_, *durability_, clock_);
  store::RetentionOptions retention_options;
  retention_options.keep_events = 40;
  retention_ = std::make_unique<store::Retention>(retention_options, database_, *durability_, *shared_,
                                                  clock_, [this](RoomId id, Sequence upto) {
                                                    for (const std::string& room : rooms_)
                                                      if (room_id_of(boot_.room_key, "t", room) == id)
                                                        trimmed_[room] = std::max(trimmed_[room], upto.value);
                                                    if (engine_) engine_->room_trimmed(id, upto);
                                                  });
  std::vector<Transport*> transports;
  std::vector<Random*> randoms;
  for (uint32_t i = 0; i < shard_count_; i++) {
    transports_.push_back(std::make_unique<SimTransport>(*this, i));
    randoms_.push_back(std::make_unique<SimRandom>(random_.next()));
    transports.push_back(transports_.back().get());
    randoms.push_back(randoms_.back().get());
  }
  engine_ = std::make_unique<Engine>(parts(), transports, randoms);
  // As the server does, which keeps the list.
  for (const Revocation& revocation : revocations_)
    engine_->revocations().add({Name("t", revocation.user), revocation.wall_ms});
  tapped_ = boot_.first - 1;
  asleep_.assign(shard_count_ + 1, 0);
  learn_fates();
}

Engine::Parts World::parts() {
  Engine::Parts parts{config_, boot_, clock_, *ring_, *durability_, *history_};
  parts.mutation = options_.mutation;
  parts.watch = this;
  bool few = random_.chance(300), little = random_.chance(300);
  parts.mailbox_requests = options_.mutation == Mutation::none && few ? 4 : 256;
  parts.mailbox_credits = little ? 6 : 256;
  if (!tight()) return parts;
  auto between = [this](uint32_t least, uint32_t most) {
    return least + static_cast<uint32_t>(random_.below(most - least + 1));
  };
  parts.mailbox_requests = between(1, 4);
  parts.mailbox_credits = between(1, 6);
  Bounds& bounds = parts.bounds;
  bounds.tail_events = between(1, 12);
  bounds.dedupe_per_room = between(1, 8);
  bounds.held_per_sender = between(2, 6);
  bounds.read_events = between(2, 20);
  bounds.held_events = between(1, 6);
  bounds.pushes_per_tick = between(1, 6);
  bounds.steps_per_tick = between(1, 3);
  bounds.outgoing = between(1, 6);
  bounds.waiting_per_room = between(4, 12);
  return parts;
}

void World::stop() {
  if (engine_) gather();
  engine_.reset();
  transports_.clear();
  randoms_.clear();
  retention_.reset();
  history_.reset();
  if (writer_) writer_->release_unconsumed();
  writer_.reset();
  ring_.reset();
  durability_.reset();
  shared_.reset();
  watched_.clear();
  check_references();
}

// kill -9 and, for the disk, a power cut: what was not synced may be gone.
void World::crash() {
  coverage_.hit(policy() == DeliverPolicy::commit ? "crash under commit" : "crash under publish");
  trace("crash");
  tap();
  watch_outcomes();
  watched_.clear();
  for (auto& client : clients_) client->server_gone();
  stop();
  if (!miscounted_.empty()) broken(miscounted_);
  database_.set_faults({});
  uint64_t lost = database_.counts().batches_lost;
  database_.crash();
  coverage_.hit("crash that lost unsynced batches", database_.counts().batches_lost - lost);
  lease_end_ = {};
  start();
}

// A room cleared in the same life shows nothing below the place: there the record of the message's id tells.
bool World::cleared_after_it_landed(const TruthEvent& event) {
  if (event.key.empty() || !event.type.starts_with("message.")) return false;
  RoomId id = room_id_of(boot_.room_key, "t", event.room);
  auto marks = store::read_marks(database_, id);
  if (!marks || marks->cleared.value <= event.sequence) return false;
  std::optional<IdempotencyRecord> record;
  history_->find_idempotent(id, Name("t", event.user), event.key,
                            [&](IdempotencyRecord got) { record = got; });
  while (!record && history_->step()) {
  }
  return record && record->found && record->sequence.value == event.sequence;
}

// What became of the events that were pending when the machine died: the history says it.
void World::learn_fates() {
  for (auto& [sequence, event] : truth_) {
    // Given up while its commit was in flight, it may have landed all the same: nobody could know.
    bool open = event.fate == TruthEvent::Fate::pending || event.fate == TruthEvent::Fate::unsaved;
    if (!open || checked_ >= sequence) continue;
    checked_ = sequence;
    RoomId id = room_id_of(boot_.room_key, "t", event.room);
    std::shared_ptr<const ReadAnswer> answer;
    history_->read({id, {sequence - 1}, {sequence}, 1, UINT32_MAX, false},
                   [&](auto got) { answer = std::move(got); });
    while (!answer && history_->step()) {
    }
    bool there = (answer && !answer->events.empty()) || cleared_after_it_landed(event);
    if (there || event.fate == TruthEvent::Fate::pending)
      event.fate = there ? TruthEvent::Fate::stored : TruthEvent::Fate::lost;
    if (there && event.type == "room.cleared")
      cleared_[event.room] = std::max(cleared_[event.room], event.sequence);
    coverage_.hit(there ? "after a crash: an open event was stored"
                        : "after a crash: an open event was lost");
  }
}

void World::broken(const std::string& what) const {
  throw Violation{"seed " + std::to_string(options_.seed) + ": " + what};
}

void World::trace(const std::string& what) const {
  if (options_.trace)
    std::fprintf(stderr, "%8llu %s\n", static_cast<unsigned long long>(clock_.now), what.c_str());
}

// ---- what is true ----

// Reads the log as it grows: every kept event, by its own account. Tails keep them alive long enough.
void World::tap() {
  while (const Slot* slot = ring_->peek(tapped_ + 1)) {
    tapped_ = tapped_ + 1;
    if (tapped_.value <= last_sequence_)
      broken("sequence " + std::to_string(tapped_.value) + " was given twice");
    last_sequence_ = tapped_.value;
    if (!slot->kept || slot->marker) {
      coverage_.hit("an event that is not kept");
      continue;
    }
    const Event& event = *slot->event;
    TruthEvent truth;
    truth.sequence = tapped_.value;
    truth.room = event.room_name().text();
    truth.type = event.type();
    truth.user = event.user().text();
    truth.key = event.client_id();
    truth.subject = event.subject().text();
    truth.shown = event.shown_room();
    truth.exclude = event.exclude();
    truth.about = event.about().value;
    truth.wall_ms = event.wall_ms();
    truth.exclude_session = event.exclude_session();
    truth_[truth.sequence] = truth;
    if (event.effect() == EventEffect::room_created) {
      coverage_.hit("closed or direct room created");
      created_.push_back(truth.room);
    }
    if (event.effect() == EventEffect::room_updated) {
      auto record = RoomRecord::decode(event.room_record());
      if (record && record->history == HistoryAccess::full) opened_.insert(truth.room);
    }
    watched_.push_back(EventRef::share(slot->event));
  }
  if (ring_->claimed() != tapped_) broken("a claim was not published");
  if (!miscounted_.empty()) broken(miscounted_);
}

// What the writer has passed is settled, one way or the other.
void World::check_shard_invariants() {
  watch_outcomes();
  Sequence durable = durability_->durable();
  for (const EventRef& event : watched_)
    if (event->sequence() <= durable) broken("durable passed an event that is not settled");
}

// Outcomes are written on the event itself: seen here before anyone can forget it.
void World::watch_outcomes() {
  std::erase_if(watched_, [this](const EventRef& event) {
    if (event->outcome() == Outcome::pending) return false;
    TruthEvent& truth = truth_.at(event->sequence().value);
    bool unsaved = event->outcome() == Outcome::unsaved;
    if (unsaved) coverage_.hit("event unsaved");
    if (unsaved) truth.given_up = true, unsaved_keys_.insert(truth.key);
    if (!unsaved && event->effect() == EventEffect::room_cleared) {
      coverage_.hit("room cleared");
      cleared_[truth.room] = std::max(cleared_[truth.room], truth.sequence);
    }
    truth.fate = unsaved ? TruthEvent::Fate::unsaved : TruthEvent::Fate::stored;
    return true;
  });
}

// ---- the turns ----

void World::shard_step(uint32_t i) {
  SimTransport& transport = *transports_[i];
  for (uint32_t id = 0; id < transport.pipes.size(); id++) {
    Pipe& pipe = transport.pipes[id];
    if (!pipe.open) continue;
    if (pipe.closing && (pipe.buffer.empty() || !pipe.client)) {
      Client* client = pipe.client;
      transport.drop(ConnectionId(id));
      if (client) client->on_bytes_end(i, ConnectionId(id));
      continue;
    }
    if (pipe.wants_writable && pipe.buffer.size() * 2 < pipe.capacity) {
      pipe.wants_writable = false;
      coverage_.hit("socket became writable");
      shard(i).on_writable(ConnectionId(id));
    }
  }
  shard(i).tick();
  tap();
  watch_outcomes();
  if (shard(i).idle()) {
    coverage_.hit("shard slept");
    shard(i).awake();
  }
}

void World::store_step() {
  switch (random_.below(6)) {
    case 0:
      writer_->consume(clock_.now);
      break;
    case 1:
      if (!writer_->in_flight()) writer_->begin(clock_.now);
      break;
    case 2:
      if (writer_->in_flight() && !database_.would_stall()) writer_->finish();
      break;
    case 3:
      if (!writer_->in_flight())
        writer_->step(clock_.now);
      else
        writer_->consume(clock_.now);
      break;
    case 4:
      for (int i = 0; i < 4; i++) history_->step();
      break;
    case 5:
      if (retention_on_) retention_->step(clock_.now);
      break;
  }
  watch_outcomes();
}

void World::faults() {
  ModelFaults now;
  switch (random_.below(12)) {
    case 0:
      now.stalled = true;
      coverage_.hit("fault: store stalls");
      break;
    case 1:
      now.full = true;
      coverage_.hit("fault: disk full");
      break;
    case 2:
      now.fail_per_mille = 400;
      now.fail_landed_per_mille = wide() ? 300 : 0;
      coverage_.hit("fault: commits fail");
      break;
    case 3:
      now.read_fail_per_mille = 300;
      coverage_.hit("fault: reads fail");
      break;
    default:
      break;
  }
  database_.set_faults(now);
  for (uint32_t& sleep : asleep_) {
    sleep = random_.chance(80) ? 30 + static_cast<uint32_t>(random_.below(200)) : 0;
    if (sleep) coverage_.hit("fault: a shard or the writer is not scheduled");
  }
}

void World::step() {
  uint64_t what = random_.below(100);
  if (what < 45) {
    // A crowd of shards takes its turns eight at a time, or a life would end before it began.
    for (uint32_t n = 0; n < (shard_count_ == 64 ? 8u : 1u); n++) {
      uint32_t i = static_cast<uint32_t>(random_.below(shard_count_));
      if (asleep_[i] > 0)
        asleep_[i]--;
      else
        shard_step(i);
    }
  } else if (what < 65) {
    if (asleep_[shard_count_] > 0)
      asleep_[shard_count_]--;
    else
      store_step();
  } else if (what < 80) {
    clients_[random_.below(clients_.size())]->act();
    observe();
  } else if (what < 97) {
    clients_[random_.below(clients_.size())]->read_some();
  } else {
    clock_.now += random_.chance(50) ? 1 + random_.below(20000) : random_.below(60);
  }
}

void World::run() {
  for (uint32_t i = 0; i < options_.steps; i++) {
    step();
    if (i % 16 == 0) check_shard_invariants(), sample();
    if (random_.chance(4)) faults();
    if (random_.chance(1)) crash();
    if (identity() && random_.chance(3)) revoke();
  }
  quiet();
  check_shard_invariants();
  check_end();
  ModelCounts counts = database_.counts();
  coverage_.hit("commit failed and landed", counts.failed_landed);
  stop();
  if (!miscounted_.empty()) broken(miscounted_);
}

// Ends all faults and lets everything come to rest.
void World::quiet() {
  quieting_ = true;
  retention_on_ = false;
  database_.set_faults({});
  asleep_.assign(shard_count_ + 1, 0);
  for (auto& client : clients_) client->settle_down();
  for (uint32_t round = 0; round < 4000; round++) {
    for (uint32_t i = 0; i < shard_count_; i++) shard_step(i);
    if (writer_->in_flight())
      writer_->finish();
    else
      writer_->step(clock_.now);
    while (history_->step()) {
    }
    bool quiet = true;
    for (auto& client : clients_) {
      client->act();
      observe();
      for (int i = 0; i < 3; i++) client->read_some();
      quiet = quiet && client->quiet();
    }
    clock_.now += 10 + round / 8;
    bool settled = durability_->durable() >= ring_->claimed();
    bool read = true;
    for (uint32_t i = 0; i < shard_count_; i++)
      read = read && ring_->consumed_position(i) >= ring_->claimed() &&
             Client::restless(shard(i).sessions()).empty();
    calm_ = quiet && settled && read ? calm_ + 1 : 0;
    if (calm_ > 60) return;  // longer than a session waits before it tries the store again
  }
  std::string who;
  for (auto& client : clients_)
    if (!client->quiet()) who += " " + client->state();
  for (uint32_t i = 0; i < shard_count_; i++) who += Client::restless(shard(i).sessions());
  broken("does not come to rest; durable " + std::to_string(durability_->durable().value) + ", claimed " +
         std::to_string(ring_->claimed().value) + "," + who);
}

// Every stored event is in history exactly once, in order, and nothing else is.
void World::check_history() {
  std::map<std::string, std::vector<uint64_t>> expected;
  for (const auto& [sequence, event] : truth_) {
    if (event.fate == TruthEvent::Fate::pending)
      broken("event " + std::to_string(sequence) + " was never settled");
    if (event.fate == TruthEvent::Fate::stored) expected[event.room].push_back(sequence);
  }
  for (const auto& [room, sequences] : expected) {
    RoomId id = room_id_of(boot_.room_key, "t", room);
    std::shared_ptr<const ReadAnswer> answer;
    history_->read({id, {0}, kSequenceMax, UINT32_MAX, UINT32_MAX, false},
                   [&](auto got) { answer = std::move(got); });
    while (!answer && history_->step()) {
    }
    if (!answer || answer->failed) broken("history of " + room + " cannot be read");
    std::vector<uint64_t> got;
    for (const EventRef& event : answer->events) got.push_back(event->sequence().value);
    std::vector<uint64_t> wanted;
    for (uint64_t sequence : sequences) {
      bool gone = sequence < cleared_below(room) && truth_.at(sequence).type.starts_with("message.");
      if (sequence > answer->trimmed_through.value && !gone) wanted.push_back(sequence);
    }
    if (answer->trimmed_through.value) coverage_.hit("room trimmed");
    if (got != wanted)
      broken("history of " + room + " has " + std::to_string(got.size()) + " events, " +
             std::to_string(wanted.size()) + " were stored");
  }
}

void World::check_end() {
  check_history();
  check_changes();
  for (auto& client : clients_) client->check_end();
}

}  // namespace twinwire::sim
