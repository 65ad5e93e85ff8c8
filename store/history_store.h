// HistoryStore: History over the Database. Shards put requests into a lock-free intake; step(), called by a
// few reader threads or by the simulator, answers them. Equal reads share one scan and one set of decoded
// events, whether they wait for it, join it under way, or come within moments of it (a small cache of
// chunks). Not here: threads (store.h), what is read and how (room_reader.h), tails (core/room.h).
#pragma once

#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/history.h"
#include "store/database.h"
#include "store/room_reader.h"
#include "store/shared_state.h"
#include "store/signal.h"

namespace twinwire::store {

struct HistoryOptions {
  Epoch epoch;
  uint64_t room_key = 0;
  const Bridges* bridges = nullptr;  // the styles of events; none: native
  Millis idempotency_keep_ms = 86'400'000;
  uint64_t cache_bytes = uint64_t{16} << 20;  // of decoded events; the oldest chunks go first
  Millis cache_ms = 2'000;                    // a chunk is used for so long
  uint32_t requests_max = 1 << 20;            // waiting; above it the answer is `failed` at once
};

class HistoryStore : public History {
 public:
  HistoryStore(const HistoryOptions& options, Database& database, const SharedState& shared,
               const Durability& durability, const Clock& clock);
  // Requests still waiting are forgotten without an answer. No step() may be under way.
  ~HistoryStore() override;

  void read(const ReadRequest& request, Done<std::shared_ptr<const ReadAnswer>> done) override;
  void load_room(RoomId room, const Name& name, Done<std::unique_ptr<RoomRecord>> done) override;
  void load_user(const Name& user, RoomId inbox, Done<std::unique_ptr<UserRecord>> done) override;
  void find_idempotent(RoomId room, const Name& sender, std::string_view client_id,
                       Done<IdempotencyRecord> done) override;
  bool may_know_room(RoomId room) const override;
  bool may_know_user(RoomId inbox) const override;
  bool may_know_idempotent(RoomId room, const Name& sender, std::string_view client_id) const override;
  uint64_t scans() const override { return counts_.scans.load(std::memory_order_relaxed); }

  // Takes in what was asked and does one piece of work. False: nothing to do. Any number of threads.
  bool step();
  // Raised per request, for threads that wait between steps.
  Signal& signal() { return signal_; }

  struct Counts {
    std::atomic<uint64_t> requests{0}, scans{0}, shared{0}, cached{0}, failures{0};
  };
  const Counts& counts() const { return counts_; }

 private:
  using ReadDone = Done<std::shared_ptr<const ReadAnswer>>;
  struct ReadAsk {
    ReadRequest request;
    ReadDone done;
  };
  struct RoomAsk {
    RoomId room;
    Name name;
    Done<std::unique_ptr<RoomRecord>> done;
  };
  struct UserAsk {
    RoomId inbox;
    Done<std::unique_ptr<UserRecord>> done;
  };
  struct IdempotencyAsk {
    IdempotencyKey key;
    Done<IdempotencyRecord> done;
  };
  struct Ask {
    std::variant<ReadAsk, RoomAsk, UserAsk, IdempotencyAsk> what;
    Ask* next = nullptr;
  };

  // What makes two reads equal. Forward reads from one place differ only in `upto`, and share a longer one.
  struct ReadKey {
    RoomId room;
    Sequence after;
    Sequence newest_upto;  // 0 for forward reads
    uint32_t max_events = 0, max_bytes = 0;
    bool changes = false;
    auto operator<=>(const ReadKey&) const = default;
  };
  struct Waiter {
    Sequence upto;
    ReadDone done;
  };
  // What one scan found: right for every upto ≤ covered, and for any upto when a limit cut it (next).
  struct Chunk {
    std::shared_ptr<const ReadAnswer> answer;
    Sequence covered;
    Sequence next;
    uint32_t version = 0;  // of the room before the scan
    Millis read_at = 0;
    uint64_t bytes = 0;
    std::shared_ptr<const ReadAnswer> for_upto(Sequence upto) const;
  };
  struct ReadJob {
    ReadKey key;
    std::vector<Waiter> waiters;
    Sequence limit;        // once it runs: how far it reads
    uint32_t version = 0;  // once it runs
    bool hot = false;      // asked for more than once lately: worth reading past what was asked
  };
  using Job = std::variant<std::shared_ptr<ReadJob>, Ask*>;
  struct CachedChunk {
    Chunk chunk;
    std::list<ReadKey>::iterator age;
  };

  bool admit();
  void enqueue(std::unique_ptr<Ask> ask);
  bool take_in(std::vector<std::pair<ReadDone, std::shared_ptr<const ReadAnswer>>>& answered);
  void route(ReadAsk& ask, std::vector<std::pair<ReadDone, std::shared_ptr<const ReadAnswer>>>& answered);
  const Chunk* cached(const ReadKey& key, Sequence upto);
  void remember(const ReadKey& key, Chunk chunk);
  void forget_oldest();
  void run(ReadJob& job, const std::shared_ptr<ReadJob>& owner);
  void run(Ask& ask);
  std::optional<Job> next_job();

  // Constant after construction.
  const HistoryOptions options_;
  Database& database_;
  const SharedState& shared_;
  const Durability& durability_;
  const Clock& clock_;

  // Shared atomics.
  std::atomic<Ask*> intake_{nullptr};  // newest first
  std::atomic<uint32_t> waiting_{0};
  Signal signal_;
  Counts counts_;

  // Guarded by the mutex; reader threads only, never a shard.
  std::mutex mutex_;
  std::deque<Job> queue_;
  std::map<ReadKey, std::shared_ptr<ReadJob>> pending_;
  std::map<ReadKey, std::shared_ptr<ReadJob>> running_;
  std::map<ReadKey, CachedChunk> cache_;
  std::list<ReadKey> ages_;  // oldest first
  uint64_t cached_bytes_ = 0;
};

}  // namespace twinwire::store
