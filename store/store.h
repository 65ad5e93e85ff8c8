// Store: the store as the server uses it: the data directory, RocksDB, and the threads of writer, readers and
// retention around the parts that the simulator runs by hand.
// Not here: what the parts do (writer.h, history_store.h, retention.h, boot.h). main calls open, attach,
// start, stop in this order, from one thread; wake_writer() from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/history.h"
#include "core/ring.h"
#include "core/status.h"
#include "store/directory.h"
#include "store/history_store.h"
#include "store/hook_queue.h"
#include "store/retention.h"
#include "store/rocks_database.h"
#include "store/shared_state.h"
#include "store/writer.h"
#include "store/writer_thread.h"

namespace twinwire::store {

// The settings of the same names (core/config.h); 0 seconds or events: for ever, all.
struct StoreOptions {
  std::string path;
  DeliverPolicy policy = DeliverPolicy::publish;
  Millis give_up_ms = 30'000;
  uint32_t backlog_events = 65'536;
  uint64_t backlog_bytes = uint64_t{64} << 20;
  Millis settle_idle_ms = 15'000;
  uint64_t commit_delay_us = 0;  // CommitPace
  uint32_t readers = 2;
  uint64_t retention_seconds = 0;
  uint64_t retention_events = 0;
  uint64_t idempotency_keep_seconds = 86'400;
  bool save_hook = false;                     // keep a queue for the save hook
  const Bridges* bridges = nullptr;           // the styles of events (core/config.h); outlives the store
  std::function<void(std::string_view)> log;  // one sentence, from any of the store's threads; may be empty
  std::shared_ptr<rocksdb::FileSystem> file_system;  // tests
  Sync sync = Sync::yes;                             // tests: no shows that the sync matters
};

struct StoreCallbacks {
  // WriterCallbacks::on_progress, from the writer's or the minder's thread.
  std::function<void(bool settled)> on_progress;
  // A room's trimmed_through moved (it is on disk), from the retention thread.
  std::function<void(RoomId room, Sequence trimmed_through)> on_trimmed;
};

class Store {
 public:
  // Everything up to being ready: directory, database, epoch, start, lease, filters. What it says on failure
  // is for the person who started the server.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options, const Clock& clock, Random& random);
  ~Store();

  const StoreBoot& boot() const { return boot_; }
  // `ring` and `durability` were made from boot() and outlive stop(); then history() is there, and answers
  // once start() was called.
  void attach(Ring& ring, Durability& durability, const StoreCallbacks& callbacks);
  History& history() { return *history_; }
  // Of the save hook; nothing unless StoreOptions::save_hook.
  HookQueue* hook_queue() { return hook_queue_.get(); }
  void start();
  void wake_writer() { writer_thread_->wake(); }
  // Nobody publishes or reads any more. Commits everything and a last settled_through; a store that fails is
  // given `patience` ms. True when everything is stored and settled.
  bool stop(Millis patience = 5'000);

  // For operators.
  const HistoryStore::Counts& history_counts() const { return history_->counts(); }
  RocksDatabase& database() { return *database_; }

 private:
  Store(const StoreOptions& options, const Clock& clock);
  void read();
  void retain();

  const StoreOptions options_;
  const Clock& clock_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<RocksDatabase> database_;
  SharedState shared_;
  StoreBoot boot_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<WriterThread> writer_thread_;
  std::unique_ptr<HistoryStore> history_;
  std::unique_ptr<Retention> retention_;
  std::unique_ptr<HookQueue> hook_queue_;
  Durability* durability_ = nullptr;  // from attach()
  std::vector<std::thread> readers_;
  std::thread retainer_;
  Signal retainer_signal_;
  std::atomic<bool> stopping_{false};
  bool stored_all_ = true;  // once stopped
};

}  // namespace twinwire::store
