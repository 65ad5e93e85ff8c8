#include "store/writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace twinwire::store {

Writer::Writer(const WriterOptions& options, Database& database, Ring& ring, Durability& durability,
               SharedState& shared, const Clock& clock, WriterCallbacks callbacks)
    : options_(options),
      database_(database),
      ring_(ring),
      durability_(durability),
      shared_(shared),
      clock_(clock),
      callbacks_(std::move(callbacks)),
      pace_(options.commit_delay_us),
      batch_(options.room_key, database, shared, options.for_hook),
      next_(ring.consumed_position(ring.writer_consumer()) + 1),
      durable_(durability.durable()),
      last_now_(clock.now_ms()) {
  TW_CHECK(options_.group_events > 0 && options_.lease_step >= 2);
}

Writer::~Writer() = default;

bool Writer::step(Millis now) {
  bool did = consume(now);
  if (!in_flight() && !begin(now)) return did;
  if (database_.would_stall()) return did;
  finish();
  return true;
}

// ---- consuming ----

bool Writer::consume(Millis now) {
  bool moved = false, flags = false;
  size_t given_up = 0;
  uint32_t taken = 0;
  {
    std::lock_guard lock(mutex_);
    pass_time(now);
    uint64_t bytes = 0;
    for (; taken < kConsumeMax; taken++) {
      const Slot* slot = ring_.peek(next_);
      if (slot == nullptr) break;
      bytes += slot->bytes;
      take(*slot);
      next_ = next_ + 1;
    }
    if (taken) ring_.consumed(ring_.writer_consumer(), next_ - 1, bytes);
    given_up = give_up_old();
    flags = update_flags();
    moved = move_durable();
    tell_backlog();
  }
  if (given_up)
    say(fmt::format("store: gave up {} events after {} ms; they are unsaved", given_up, options_.give_up_ms));
  if (given_up || flags || moved) progress(given_up || flags);
  return taken != 0 || given_up || flags || moved;
}

bool Writer::mind(Millis now) {
  {
    std::lock_guard lock(mutex_);
    if (!in_flight_.active) return false;
  }
  consume(now);
  return true;
}

void Writer::pass_time(Millis now) {
  if (now <= last_now_) return;
  patience_ += std::min(now - last_now_, std::max<Millis>(1, options_.give_up_ms / 4));
  last_now_ = now;
}

// The writer's prepaid reference of a kept slot becomes the backlog's.
void Writer::take(const Slot& slot) {
  if (!slot.kept || slot.event == nullptr) return;
  if (options_.mutation == Mutation::ack_before_sync) slot.event->settle(Outcome::stored);
  backlog_bytes_ += slot.event->size();
  backlog_.push_back({EventRef::adopt(slot.event), patience_, slot.claimed_us});
}

size_t Writer::give_up_old() {
  size_t count = 0;
  while (count < backlog_count() && patience_ - waiting(count).waited_from >= options_.give_up_ms) count++;
  if (count) give_up_front(count);
  return count;
}

// What was handed to the database may have landed: it is hidden from readers first, and removed by the next
// batch.
void Writer::give_up_front(size_t count) {
  for (size_t i = 0; i < count; i++) {
    const Event& event = *waiting(i).event;
    if (i < attempted_) {
      shared_.ghosts.add(event.sequence());
      if (in_flight_.active) {
        in_flight_.haunting.push_back(waiting(i).event);
      } else {
        ghosts_.push_back(batch_.take_undo(event));
      }
    }
    event.settle(Outcome::unsaved);
  }
  durability_.unsaved_events.fetch_add(count, std::memory_order_relaxed);
  size_t of_group = std::min(count, in_flight_.events);
  in_flight_.events -= of_group;
  in_flight_.given_up += of_group;
  drop_front(count);
}

void Writer::drop_front(size_t count) {
  attempted_ -= std::min(attempted_, count);
  for (size_t i = 0; i < count; i++) {
    backlog_bytes_ -= waiting(i).event->size();
    waiting(i).event = EventRef();
  }
  head_ += count;
  if (head_ == backlog_.size()) {
    backlog_.clear();
    head_ = 0;
  } else if (head_ > kConsumeMax && head_ > backlog_.size() / 2) {
    backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
}

// Over slots with nothing to store, and over settled ones.
bool Writer::move_durable() {
  Sequence reached = backlog_count() ? waiting(0).event->sequence() - 1 : next_ - 1;
  if (reached <= durable_) return false;
  durable_ = reached;
  durability_.set_durable(reached);
  return true;
}

bool Writer::update_flags() {
  bool stalled = in_flight_.active && patience_ - in_flight_.began > options_.stall_ms;
  bool failing = failed_ || stalled;
  uint64_t events = backlog_count();
  if (events >= options_.backlog_events || backlog_bytes_ >= options_.backlog_bytes) {
    full_ = true;
  } else if (events <= options_.backlog_events / 8 * 7 && backlog_bytes_ <= options_.backlog_bytes / 8 * 7) {
    full_ = false;
  }
  bool accepting = !failing && !full_;
  if (failing && !told_failing_) failing_since_ = patience_;
  bool gave_up = failing && patience_ - failing_since_ >= options_.give_up_ms;
  durability_.given_up.store(gave_up, std::memory_order_relaxed);
  bool changed = failing != told_failing_ || accepting != told_accepting_;
  if (!changed) return false;
  durability_.set_failing(told_failing_ = failing);
  durability_.set_accepting(told_accepting_ = accepting);
  return true;
}

// ---- committing ----

bool Writer::begin(Millis now) {
  {
    std::lock_guard lock(mutex_);
    pass_time(now);
    if (in_flight_.active || !choose_group()) return false;
  }
  form_batch();
  return true;
}

// Decides what the next batch holds: under the mutex, no bytes are touched.
bool Writer::choose_group() {
  if (failed_ && patience_ < retry_after_) return false;
  size_t count = 0;
  uint64_t bytes = 0;
  group_.clear();
  while (count < backlog_count() && count < options_.group_events) {
    const Event* event = waiting(count).event.get();
    if (count && bytes + event->size() > options_.group_bytes) break;
    bytes += event->size();
    group_.push_back(event);
    count++;
  }
  Sequence lease_end = ring_.lease_end(), claimed = ring_.claimed();
  bool renew = claimed + options_.lease_step / 2 >= lease_end && lease_end < kSequenceMax;
  bool moves = durable_ > durability_.synced();
  bool idle = moves && patience_ - last_commit_ >= options_.settle_idle_ms;
  bool last = moves && settle_now_;
  if (!count && !renew && !idle && !last && ghosts_.empty() && !failed_) return false;
  in_flight_.active = true;
  in_flight_.events = count;
  in_flight_.given_up = 0;
  in_flight_.buried = ghosts_.size();
  in_flight_.settled = count < backlog_count() ? waiting(count).event->sequence() - 1 : next_ - 1;
  in_flight_.lease_end =
      renew ? Sequence{std::min(claimed.value + options_.lease_step, kSequenceMax.value)} : Sequence{};
  in_flight_.began = patience_;
  in_flight_.began_us = clock_.now_us();
  attempted_ = std::max(attempted_, count);
  return true;
}

void Writer::form_batch() {
  batch_.begin(durability_.durable());
  batch_error_.reset();
  // The youngest first, so that what was there before the oldest is what remains.
  for (size_t i = in_flight_.buried; i-- > 0;) batch_.bury(ghosts_[i]);
  for (const Event* event : group_) {
    if (auto added = batch_.add(*event); !added) {
      batch_error_ = added.error();
      return;
    }
  }
  batch_.settle(in_flight_.settled);
  if (in_flight_.lease_end.value) batch_.renew_lease(in_flight_.lease_end);
}

bool Writer::finish() {
  Result<void> done;
  if (batch_error_) {
    done = *batch_error_;
  } else if (failed_ && !database_.heal()) {  // failed_ is written by this thread only
    done = fail(Code::storage_unavailable, "the store has not healed");
  } else {
    done = database_.commit(batch_.writes(), options_.sync);
  }
  bool flags, failed_before = failed_;
  {
    std::lock_guard lock(mutex_);
    pass_time(clock_.now_ms());
    if (done) {
      settle_group();
    } else {
      note_failure();
    }
    for (EventRef& event : in_flight_.haunting) ghosts_.push_back(batch_.take_undo(*event));
    in_flight_.haunting.clear();
    in_flight_.events = 0;
    in_flight_.active = false;
    flags = update_flags();
    move_durable();
    tell_backlog();
  }
  if (!done && !failed_before) say(done.error().sentence + "; kept events are refused until it heals");
  if (done && failed_before) say("store: healed");
  if (done || flags) progress(true);
  return static_cast<bool>(done);
}

// For operators: what waits, and since when.
void Writer::tell_backlog() {
  durability_.backlog_events.store(backlog_count(), std::memory_order_relaxed);
  durability_.backlog_bytes.store(backlog_bytes_, std::memory_order_relaxed);
  durability_.oldest_us.store(backlog_count() ? waiting(0).claimed_us : 0, std::memory_order_relaxed);
}

// Filters first, then outcomes, then `durable`, then `synced`: whoever sees one sees what comes before it.
void Writer::settle_group() {
  size_t count = in_flight_.events, kept = 0;
  for (size_t i = 0; i < count; i++) {
    const Event& event = *waiting(i).event;
    if (!event.marker()) kept++;
    batch_.extend_filters(event, in_flight_.given_up + i);
    batch_.forget(event.sequence());
    if (event.effect() == EventEffect::room_cleared) shared_.cleared.add(event.room());
    if (event.effect() == EventEffect::room_cleared || event.effect() == EventEffect::message_changed)
      shared_.versions.changed(event.room());
  }
  for (size_t i = 0; i < count; i++) waiting(i).event->settle(Outcome::stored);
  uint64_t now_us = clock_.now_us();
  durability_.commit_time.observe(now_us - std::min(now_us, in_flight_.began_us));
  durability_.commit_events.observe(kept);
  if (count) pace_.committed(count, in_flight_.began_us, now_us);
  for (size_t i = 0; i < count; i++) {
    if (uint64_t claimed_us = waiting(i).claimed_us)
      durability_.store_latency.observe(now_us - std::min(now_us, claimed_us));
  }
  for (size_t i = 0; i < in_flight_.buried; i++) shared_.ghosts.remove(ghosts_[i].sequence);
  ghosts_.erase(ghosts_.begin(), ghosts_.begin() + static_cast<ptrdiff_t>(in_flight_.buried));
  drop_front(count);
  failed_ = false;
  retry_ms_ = 0;
  last_commit_ = patience_;
  move_durable();
  if (in_flight_.settled > durability_.synced()) durability_.set_synced(in_flight_.settled);
  if (in_flight_.lease_end.value) ring_.extend_lease(in_flight_.lease_end);
  durability_.stored_events.fetch_add(kept, std::memory_order_relaxed);
  // As many as batch.cc has put into the queue: receipts are not among them.
  if (options_.for_hook) durability_.hook.queued.fetch_add(kept, std::memory_order_relaxed);
  durability_.syncs.fetch_add(1, std::memory_order_relaxed);
}

void Writer::note_failure() {
  failed_ = true;
  retry_ms_ = std::clamp(retry_ms_ * 2, options_.retry_ms_min, options_.retry_ms_max);
  retry_after_ = patience_ + retry_ms_;
  durability_.commit_failures.fetch_add(1, std::memory_order_relaxed);
}

// ---- the rest ----

Millis Writer::idle_for(Millis now) {
  std::lock_guard lock(mutex_);
  pass_time(now);
  if (failed_) return retry_after_ > patience_ ? retry_after_ - patience_ : 0;
  if (in_flight_.active || backlog_count() || !ghosts_.empty()) return 0;
  if (durable_ <= durability_.synced()) return options_.settle_idle_ms;
  Millis waited = patience_ - last_commit_;
  return waited < options_.settle_idle_ms ? options_.settle_idle_ms - waited : 0;
}

bool Writer::drained() {
  std::lock_guard lock(mutex_);
  return ring_.claimed() < next_ && !backlog_count() && !in_flight_.active && ghosts_.empty() &&
         durable_ <= durability_.synced();
}

void Writer::give_up_all() {
  bool any;
  {
    std::lock_guard lock(mutex_);
    any = backlog_count() != 0;
    give_up_front(backlog_count());
    move_durable();
  }
  if (any) progress(true);
}

void Writer::release_unconsumed() {
  std::lock_guard lock(mutex_);
  for (const Slot* slot = ring_.peek(next_); slot != nullptr; slot = ring_.peek(next_ = next_ + 1)) {
    if (slot->kept && slot->event != nullptr) slot->event->release();
  }
}

void Writer::say(const std::string& sentence) {
  if (callbacks_.log) callbacks_.log(sentence);
}

void Writer::progress(bool settled) {
  if (callbacks_.on_progress) callbacks_.on_progress(settled);
}

}  // namespace twinwire::store
