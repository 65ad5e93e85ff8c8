// Writer: one more consumer of the ring, the one that stores. It always consumes, into a bounded backlog;
// commits what waits in groups, synced (the sync is the batching window, and pace.h may widen it); then
// settles each event, moves `durable` and `synced`, and says that there is progress. It keeps the lease of
// sequences ahead of the ring. Not here: threads and sleeping (writer_thread.h), reading (history_store.h),
// what a batch looks like (batch.h).
//
// Two callers: the writing thread calls step() (or consume/begin/finish); a minder may call consume() at any
// time, so that a commit that hangs stops neither the consuming nor the giving up. The mutex is held for
// memory work only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/mutation.h"
#include "core/ring.h"
#include "store/batch.h"
#include "store/database.h"
#include "store/pace.h"
#include "store/shared_state.h"

namespace twinwire::store {

struct WriterOptions {
  Millis give_up_ms = 30'000;        // longest wait of an event for the store; then it is unsaved
  uint32_t backlog_events = 65'536;  // at either bound kept events are refused (accepting = false)
  uint64_t backlog_bytes = uint64_t{64} << 20;
  uint32_t group_events = 1024;  // bounds of one batch; an event larger than group_bytes goes alone
  uint64_t group_bytes = uint64_t{1} << 20;
  Millis settle_idle_ms = 15'000;  // idle for so long: a bare settled_through is synced, if it would move
  Millis stall_ms = 2'000;         // a commit in flight for longer counts as failing
  Millis retry_ms_min = 10;        // back-off between commits that fail, doubled up to the maximum
  Millis retry_ms_max = 1'000;
  uint64_t commit_delay_us = 0;  // CommitPace
  uint64_t lease_step = uint64_t{1} << 24;
  uint64_t room_key = 0;  // StoreBoot::room_key
  bool for_hook = false;  // what is stored goes into the save hook's queue too
  // Tests only: ack_before_sync settles an event when it is consumed, and `sync` = no leaves the sync out.
  Mutation mutation = Mutation::none;
  Sync sync = Sync::yes;
};

struct WriterCallbacks {
  // Something waiting may go on: `settled` when events got their outcome or failing/accepting changed (acks,
  // refusals), false when only `durable` moved over slots with nothing to store (the barrier under `commit`).
  std::function<void(bool settled)> on_progress;
  // A sentence for the operator when the store begins to fail, gives up events, and has healed.
  std::function<void(std::string_view)> log;
};

class Writer {
 public:
  Writer(const WriterOptions& options, Database& database, Ring& ring, Durability& durability,
         SharedState& shared, const Clock& clock, WriterCallbacks callbacks);
  ~Writer();

  // Consumes, and commits one group if there is any. Blocks only for the database's sync. False: nothing to
  // do.
  bool step(Millis now);

  // ---- its parts ----
  // Takes published slots into the backlog (at most kConsumeMax) and gives up what waited too long.
  bool consume(Millis now);
  // Forms a group; true when one is in flight, and finish() must follow.
  bool begin(Millis now);
  // Commits the group in flight and settles it, or schedules the next try. True when it was committed.
  bool finish();
  bool in_flight() const { return in_flight_.active; }
  // The minder's part: consumes while a commit is in flight, and says whether one is. Any one thread.
  bool mind(Millis now);

  // Milliseconds until step() has something to do although nothing is published. The writing thread.
  Millis idle_for(Millis now);
  // Microseconds from now for which the next step() is better put off. The writing thread.
  uint64_t commit_wait_us() const { return failed_ ? 0 : pace_.wait_us(clock_.now_us()); }
  // For the end: the next begin() commits a bare settled_through even if no time has passed.
  void settle_now() { settle_now_ = true; }
  // Everything consumed is settled and on disk, and the ring holds nothing more. The writing thread.
  bool drained();
  // For the end, when waiting longer is of no use: everything unsettled becomes unsaved.
  void give_up_all();
  // For the very end, or a simulated death: releases the writer's references of published slots that it has
  // not consumed, so that nothing leaks with the ring.
  void release_unconsumed();

 private:
  static constexpr uint32_t kConsumeMax = 4096;
  struct Entry {
    EventRef event;
    Millis waited_from = 0;   // in patience_ time
    uint64_t claimed_us = 0;  // of the clock
  };
  struct InFlight {
    bool active = false;
    size_t events = 0;    // still at the front of the backlog
    size_t given_up = 0;  // of the group's front, since it began
    size_t buried = 0;    // ghosts removed by this batch
    Sequence settled;
    Sequence lease_end;     // 0: not renewed
    Millis began = 0;       // in patience_ time
    uint64_t began_us = 0;  // of the clock
    std::vector<EventRef>
        haunting;  // given up meanwhile; kept alive, and made ghosts when the commit returns
  };

  size_t backlog_count() const { return backlog_.size() - head_; }
  Entry& waiting(size_t i) { return backlog_[head_ + i]; }
  void pass_time(Millis now);
  void take(const Slot& slot);
  size_t give_up_old();
  void give_up_front(size_t count);
  void drop_front(size_t count);
  bool move_durable();
  bool update_flags();
  bool choose_group();
  void form_batch();
  void settle_group();
  void tell_backlog();
  void note_failure();
  void progress(bool settled);
  void say(const std::string& sentence);

  // Constant after construction.
  const WriterOptions options_;
  Database& database_;
  Ring& ring_;
  Durability& durability_;
  SharedState& shared_;
  const Clock& clock_;
  const WriterCallbacks callbacks_;

  // The writing thread only.
  CommitPace pace_;
  BatchBuilder batch_;
  std::vector<const Event*> group_;
  std::optional<Error> batch_error_;  // the batch in flight could not even be formed
  bool settle_now_ = false;

  // Guarded by the mutex (in_flight_.active is written by the writing thread only).
  std::mutex mutex_;
  std::vector<Entry> backlog_;  // from head_ on, in the order of the ring
  size_t head_ = 0;
  uint64_t backlog_bytes_ = 0;
  size_t attempted_ = 0;      // of the backlog's front: was in a batch handed to the database
  std::vector<Undo> ghosts_;  // unchanged while a batch is in flight, which reads them without the mutex
  InFlight in_flight_;
  Sequence next_;        // the slot to consume next
  Sequence durable_;     // as published
  bool failed_ = false;  // the last commit
  bool full_ = false;
  Millis failing_since_ = 0;  // in patience_ time, while failing
  Millis retry_after_ = 0;    // in patience_ time
  Millis retry_ms_ = 0;
  Millis last_now_ = 0;
  // Time in which the store had its chance: steps of the clock, each at most a quarter of give_up_ms, so that
  // a process that was stopped for a while does not give up what it never tried.
  Millis patience_ = 0;
  Millis last_commit_ = 0;  // in patience_ time
  bool told_accepting_ = true, told_failing_ = false;
};

}  // namespace twinwire::store
