#include "core/shard.h"

#include <algorithm>
#include <utility>

#include "core/json.h"
#include "core/limits.h"

namespace twinwire {

Shard::Shard(Engine& engine, ShardIndex index, Transport& transport, Random& random)
    : engine_(engine),
      index_(index),
      transport_(transport),
      random_(random),
      now_(engine.clock().now_ms()),
      consumed_(engine.ring().consumed_position(index_of(index))),
      tenants_(engine.tenants().places()),
      outboxes_(transport, {}),
      homes_(*this),
      sessions_(*this),
      credits_(engine.parts().mailbox_credits),
      history_due_max_(engine.parts().mailbox_credits),
      mailbox_(engine.parts().mailbox_requests, engine.parts().mailbox_credits * 2) {
  outboxes_.mutate_join_by_ends = engine.mutated(Mutation::joined_by_ends);
}

// What this shard never came to keeps the reference that was prepaid for it: given back, so that an engine
// that is destroyed behind its ring's head leaks nothing. A paused event's is held already.
Shard::~Shard() {
  Sequence next = consumed_ + (paused_event_ ? 2 : 1);
  for (const Slot* slot = ring().peek(next); slot != nullptr; slot = ring().peek(next = next + 1)) {
    if (slot->mask & mask_of(index_)) slot->event->release();
  }
}

Ring& Shard::ring() { return engine_.ring(); }
Durability& Shard::durability() { return engine_.durability(); }
History& Shard::history() { return engine_.history(); }
const Config& Shard::config() const { return engine_.config(); }
const WireStyle& Shard::style_of(std::string_view tenant) const {
  return engine_.config().bridges.of(tenant).style;
}
uint16_t Shard::tenant_place(std::string_view tenant) { return engine_.tenants().place(tenant); }
uint64_t Shard::now_us() const { return engine_.clock().now_us(); }
uint64_t Shard::wall_ms() const { return engine_.clock().wall_ms(); }
Epoch Shard::epoch() const { return engine_.boot().epoch; }
RoomId Shard::room_id(std::string_view tenant, std::string_view room) const {
  return room_id_of(engine_.boot().room_key, tenant, room);
}
RoomId Shard::inbox_id(const Name& user) const { return inbox_id_of(engine_.boot().room_key, user); }
ShardIndex Shard::home_of(RoomId room) const { return ShardIndex(room.high % engine_.shard_count()); }
ShardIndex Shard::home_of(SessionId session) const {
  return ShardIndex(session.high % engine_.shard_count());
}

Rights Shard::open_rights(const Grants* grants, std::string_view room) const {
  return grants ? grants->of(room) : engine_.default_rights();
}

bool Shard::crowded() const { return outgoing_count_ > engine_.bounds().outgoing; }

Sequence Shard::barrier() const {
  bool commit = engine_.config().server.deliver == DeliverPolicy::commit;
  return commit ? engine_.durability().durable() : engine_.ring().claimed();
}

// ---- connections ----

void Shard::connection_opened(ConnectionId connection, uint32_t generation) {
  outboxes_.open(connection, generation);
  Stream& stream = outboxes_.at(connection);
  stream.tokens = static_cast<uint16_t>(std::min<uint32_t>(config().limits.commands_burst, 6000) * 10);
  stream.tokens_at_ds = static_cast<uint32_t>(now_ / 100);
}

void Shard::connection_closed(ConnectionId connection) {
  sessions_.connection_closed(connection);
  outboxes_.close(connection);
}

// ---- mail ----

void Shard::dispatch(ShardIndex to, bool credit, MailRef mail) {
  if (to == index_) {
    soon_.push_back(std::move(mail));
    return;
  }
  Outgoing& waiting = outgoing_[index_of(to)];
  bool first = waiting.posts.empty() && (!credit || waiting.asks.empty());
  if (first && send_now(to, credit, mail)) return;
  (credit ? waiting.asks : waiting.posts).push_back(std::move(mail));
  outgoing_count_++;
  metrics_.mail_waited++;
}

bool Shard::send_now(ShardIndex to, bool credit, MailRef& mail) {
  if (credit && credits_ == 0) return metrics_.no_credit++, false;
  if (!engine_.shard(to).mailbox_.try_post(mail)) return metrics_.mailbox_full++, false;
  if (credit) credits_--;
  metrics_.mail_sent++;
  posted_mask_ |= mask_of(to);
  return true;
}

void Shard::send_waiting() {
  if (outgoing_count_ == 0) return;
  for (uint32_t to = 0; to < outgoing_.size(); to++) {
    Outgoing& waiting = outgoing_[to];
    auto send_all = [&](std::deque<MailRef>& mails, bool credit) {
      while (!mails.empty() && send_now(ShardIndex(to), credit, mails.front())) {
        mails.pop_front();
        outgoing_count_--;
      }
    };
    send_all(waiting.posts, false);
    if (waiting.posts.empty()) send_all(waiting.asks, true);
  }
}

void Shard::wake_posted() {
  for (uint64_t mask = std::exchange(posted_mask_, 0); mask; mask &= mask - 1)
    ring().wake_if_sleeping(static_cast<uint32_t>(__builtin_ctzll(mask)));
}

// Where a core is shared (with shards, or with readers on the same machine), a writer that begins during a
// short flush takes the time of those whom it is sent to. It does not wait for a long one; nor for any where
// nothing is delivered before it is synced.
bool Shard::store_before_flush() const {
  return config().server.deliver == DeliverPolicy::commit || outboxes_.dirty_count() > kShortFlush;
}

// Homes publish without waking the writer. Were it woken by the first of a tick's events, it would take that
// one alone where it shares the core, and each further one would be told to a thread that is awake already.
void Shard::wake_writer() {
  if (std::exchange(writer_due_, false)) ring().wake_if_sleeping(ring().writer_consumer());
}

bool Shard::drain_mail() {
  bool any = false;
  for (uint32_t n = 0; n < 1024; n++) {
    MailRef mail = mailbox_.take();
    if (!mail) break;
    any = true;
    mail->run(*this);
  }
  return any;
}

// What parts of this shard asked of each other: run one after the other, never within the asker.
void Shard::run_soon() {
  for (uint32_t n = 0; n < 65536 && !soon_.empty(); n++) {
    MailRef mail = std::move(soon_.front());
    soon_.pop_front();
    mail->run(*this);
  }
}

// ---- the ring ----

bool Shard::consume_ring() {
  Ring& log = ring();
  bool commit = config().server.deliver == DeliverPolicy::commit;
  uint64_t limit = commit ? durability().durable().value : UINT64_MAX;
  uint64_t bytes = 0;
  uint32_t budget = engine_.bounds().pushes_per_tick;
  Sequence start = consumed_;
  // Only what is delivered here counts against the tick: what merely passes takes nanoseconds, and a shard
  // that publishes more in a turn than it passes would fall behind until the ring is full.
  constexpr uint32_t kPassedPerTick = 32768;
  for (uint32_t taken = 0, passed = 0; taken < kSlotsPerTick && passed < kPassedPerTick; passed++) {
    Sequence next = consumed_ + 1;
    const Slot* slot = next.value <= limit ? log.peek(next) : nullptr;
    if (!slot) break;
    if (slot->mask & mask_of(index_)) {
      taken++;
      // The prepaid reference is ours from here: kept to the end of the tick, since outboxes borrow it. A
      // delivery that paused has it already.
      if (!paused_event_) paused_event_ = EventRef::adopt(slot->event);
      bool unsaved = commit && paused_event_->outcome() == Outcome::unsaved;
      uint64_t before = metrics_.delivered;
      bool whole = unsaved || sessions_.deliver(*paused_event_, budget);
      if (metrics_.delivered != before && slot->claimed_us)
        tick_pushes_.push_back({slot->claimed_us, metrics_.delivered - before});
      if (!whole) {
        tick_events_.push_back(paused_event_);
        break;
      }
      tick_events_.push_back(std::move(paused_event_));
    }
    bytes += slot->bytes;
    consumed_ = next;
  }
  if (consumed_ == start) return false;
  log.consumed(index_of(index_), consumed_, bytes);
  return true;
}

// ---- the tick ----

// The flush has returned, so the kernel has what this tick pushed (but for full sockets, whose streams lag
// now): one look at the clock for all of it.
void Shard::observe_writes() {
  if (tick_pushes_.empty()) return;
  uint64_t now = now_us();
  for (const Pushed& pushed : tick_pushes_)
    metrics_.write_latency.observe(now - std::min(now, pushed.claimed_us), pushed.streams);
  tick_pushes_.clear();
}

bool Shard::add_chore(std::function<bool(Shard&)> step) {
  if (chores_.size() >= kChoresMax) return false;
  chores_.push_back(std::move(step));
  return true;
}

// One step of one chore a tick, in turn.
void Shard::run_chores() {
  if (chores_.empty()) return;
  auto step = std::move(chores_.front());
  chores_.pop_front();
  if (!step(*this)) chores_.push_back(std::move(step));
}

void Shard::tick() {
  uint64_t began_us = now_us();
  now_ = began_us / 1000;
  drain_mail();
  run_soon();
  consume_ring();
  durable_seen_ = durability().durable();
  homes_.settle();
  homes_.run_timers();
  sessions_.run_timers();
  sessions_.move_on();
  sessions_.send_presence();  // on its way before `connected` is: who was told that is present
  run_soon();
  sessions_.answer_polls();
  if (store_before_flush()) wake_writer();
  for (const FlushResult& result : outboxes_.flush()) sessions_.flushed(result);
  wake_writer();
  observe_writes();
  run_chores();
  sessions_.send_leaves();
  sessions_.send_presence();
  send_waiting();
  wake_posted();
  wake_writer();
  tick_events_.clear();
  metrics_.ticks++;
  metrics_.tick_time.observe(now_us() - began_us);
}

bool Shard::idle() {
  auto busy = [this] {
    bool commit = config().server.deliver == DeliverPolicy::commit;
    bool readable = ring().peek(consumed_ + 1) && (!commit || consumed_ < durability().durable());
    bool progress = homes_.waits_for_store() && durability().durable() != durable_seen_;
    // A claimed slot that a session waits for is about to be published: tens of nanoseconds, unless the store
    // holds it.
    bool imminent = !commit && sessions_.waits_for_ring() && ring().claimed() > consumed_;
    return readable || progress || imminent || !mailbox_.empty() || !soon_.empty() || sessions_.runnable() ||
           sessions_.paused() || outboxes_.anything_dirty() || !chores_.empty();
  };
  if (busy()) return false;
  bool commit = config().server.deliver == DeliverPolicy::commit;
  if (homes_.waits_for_store() || (commit && ring().claimed() > consumed_))
    durability().wait_for_progress(index_);
  ring().set_sleeping(index_of(index_), true);
  if (!busy()) return true;
  ring().set_sleeping(index_of(index_), false);
  return false;
}

void Shard::awake() { ring().set_sleeping(index_of(index_), false); }

Millis Shard::next_deadline() const {
  Millis next = std::min(homes_.next_deadline(), sessions_.next_deadline());
  return outgoing_count_ ? std::min(next, now_ + 1) : next;
}

// ---- commands ----

// Takes one command from what its user and its tenant may send now, unless it is paid for: a refusal that
// says how long to wait, or nothing. Where clients name themselves a name costs nothing, and so no more does
// its bucket: there a connection has one too. Where users are proved it has none, since many may share it (a
// proxy that sends their POSTs). `now` is the clock's: the buckets are all shards', and this one may have
// slept for long since its tick.
std::optional<Reply> Shard::too_fast(const Command& command, Millis now) {
  if (command.who.backend || command.paid) return std::nullopt;
  auto refused = [this](const char* sentence, Millis wait) {
    metrics_.refused_rate++;
    Reply reply = reply_of(fail(Code::rate_limited, sentence));
    reply.retry_after_seconds = static_cast<uint32_t>(std::min<Millis>(3600, (wait + 999) / 1000));
    return reply;
  };
  Stream& stream = outboxes_.at(command.connection);
  bool named = config().auth.mode == AuthMode::none;
  if (named) {
    auto now_ds = static_cast<uint32_t>(now / 100);
    uint32_t full = std::min<uint32_t>(config().limits.commands_burst, 6000) * 10;
    uint64_t earned = uint64_t{now_ds - stream.tokens_at_ds} * config().limits.commands_per_second;
    stream.tokens = static_cast<uint16_t>(std::min<uint64_t>(full, stream.tokens + earned));
    stream.tokens_at_ds = now_ds;
    if (stream.tokens < 10) return refused("too many commands on this connection; slow down", 1000);
  }
  if (Millis wait = engine_.user_rates().take(command.who.user, now))
    return refused("too many commands of this user; slow down", wait);
  if (Millis wait = engine_.tenant_rates().take(command.who.user.tenant(), now))
    return refused("too many commands of this tenant; slow down", wait);
  if (named) stream.tokens = static_cast<uint16_t>(stream.tokens - 10);
  return std::nullopt;
}

void Shard::command(Command command) {
  command.received_us = now_us();
  if (engine_.revocations().refuses(command.who))
    return reply(command, reply_of(fail(Code::unauthenticated, "this token has been revoked")));
  if (command.who.backend && command.row->by == By::users) {
    return reply(command, reply_of(fail(Code::forbidden, "a backend acts as nobody: this is for users")));
  }
  if (auto refusal = too_fast(command, command.received_us / 1000))
    return reply(command, std::move(*refusal));
  if (crowded()) {
    metrics_.refused_overloaded++;
    metrics_.crowded++;
    return reply(command, reply_of(fail(Code::overloaded, "the server is overloaded; try again shortly")));
  }
  route(std::move(command));
}

void Shard::run_on(ShardIndex to, Command&& command) {
  if (to == index_) {
    auto run = command.row->run;
    return run(*this, std::move(command));
  }
  post(to, [command = std::make_shared<Command>(std::move(command))](Shard& shard) {
    auto run = command->row->run;
    run(shard, std::move(*command));
  });
}

void Shard::route(Command&& command) {
  switch (command.row->where) {
    case Where::here:
      return run_on(index_, std::move(command));
    case Where::room: {
      RoomId room = room_id(command.who.user.tenant(), command.args.text(Field::room));
      return run_on(home_of(room), std::move(command));
    }
    case Where::user: {
      ShardIndex home = home_of(inbox_id(command.who.user));  // before the command is moved from
      return run_on(home, std::move(command));
    }
    case Where::session: {
      SessionId session = command.session;
      if (session.none() || sessions_.find(session) != kNone) return run_on(index_, std::move(command));
      auto kept = std::make_shared<Command>(std::move(command));
      return ask<ShardIndex>(
          home_of(session),
          [session](Shard& shard, const Answer<ShardIndex>& answer) {
            answer(shard, shard.sessions().located(session));
          },
          [kept](Shard& shard, ShardIndex host) { shard.run_on(host, std::move(*kept)); });
    }
  }
}

void Shard::batch(const Command& like, const std::vector<std::string>& elements, const NameLimits& names) {
  uint64_t received_us = now_us();
  if (auto refusal = too_fast(like, received_us / 1000)) {
    Command refused = like;
    refused.received_us = received_us;
    return reply(refused, std::move(*refusal));
  }
  auto batch = std::make_shared<Batch>();
  batch->answers.resize(elements.size());
  batch->missing = static_cast<uint32_t>(elements.size());
  for (uint32_t place = 0; place < elements.size(); place++) {
    Command element = like;
    element.batch = batch;
    element.place = place;
    element.paid = true;
    auto args = decode_args(*like.row, elements[place], names);
    if (!args) {
      element.received_us = now_us();
      reply(element, reply_of(args.error()));
      continue;
    }
    element.args = std::move(*args);
    command(std::move(element));
  }
}

void Shard::reply(const Command& command, Reply reply) {
  if (reply.code != Code::ok) tenant_of(command.who.user.tenant()).refused++;
  Asked asked{command.row,         command.connection, command.connection_generation,
              command.received_us, command.tag,        command.batch,
              command.place};
  if (command.origin == index_) return deliver_reply(asked, reply);
  post(command.origin, [asked = std::move(asked), reply = std::move(reply)](Shard& shard) {
    shard.deliver_reply(asked, reply);
  });
}

void Shard::deliver_reply(const Asked& asked, const Reply& reply) {
  size_t row = command_index(*asked.row);
  metrics_.count_command(row, reply.code);
  uint64_t now = now_us();
  metrics_.command_latency[std::min(row, kCountedCommands - 1)].observe(now -
                                                                        std::min(now, asked.received_us));
  bool open = outboxes_.is_open(asked.connection, asked.generation);
  if (!asked.batch) {
    if (open) transport_.reply(asked.connection, asked.tag, reply);
    return;
  }
  auto whole = asked.batch->take(asked.place, reply);
  if (whole && open) transport_.reply(asked.connection, asked.tag, *whole);
}

}  // namespace twinwire
