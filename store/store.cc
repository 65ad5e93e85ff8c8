#include "store/store.h"

#include <pthread.h>

#include "store/boot.h"

namespace twinwire::store {

namespace {
constexpr Millis kReaderNap = 1'000;
// Between pieces of retention: about 512 entries each, so some percent of a core while it has work.
constexpr Millis kRetentionPace = 5;
constexpr Millis kRetentionNap = 1'000;
constexpr Millis kDescribeMs = 1'000;
}  // namespace

Store::Store(const StoreOptions& options, const Clock& clock)
    : options_(options),
      clock_(clock),
      shared_(IdempotencyFilter::Options{.keep_ms = options.idempotency_keep_seconds * 1000}) {}

Store::~Store() { stop(0); }

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options, const Clock& clock, Random& random) {
  std::unique_ptr<Store> store(new Store(options, clock));
  auto directory = Directory::open(options.path);
  if (!directory) return directory.error();
  store->directory_ = std::move(*directory);
  RocksOptions rocks;
  rocks.path = store->directory_->database_path();
  rocks.file_system = options.file_system;
  auto database = RocksDatabase::open(rocks);
  if (!database) return database.error();
  store->database_ = std::move(*database);
  if (auto synced = store->directory_->sync(); !synced) return synced.error();
  BootOptions boot;
  boot.policy = options.policy;
  boot.idempotency_keep_ms = options.idempotency_keep_seconds * 1000;
  boot.log = options.log;
  auto booted = store::boot(*store->database_, boot, clock, random, store->shared_);
  if (!booted) return booted.error();
  store->boot_ = std::move(*booted);
  return store;
}

void Store::attach(Ring& ring, Durability& durability, const StoreCallbacks& callbacks) {
  WriterOptions writer;
  writer.give_up_ms = options_.give_up_ms;
  writer.backlog_events = options_.backlog_events;
  writer.backlog_bytes = options_.backlog_bytes;
  writer.settle_idle_ms = options_.settle_idle_ms;
  writer.commit_delay_us = options_.commit_delay_us;
  writer.room_key = boot_.room_key;
  writer.for_hook = options_.save_hook;
  writer.sync = options_.sync;
  writer_ = std::make_unique<Writer>(writer, *database_, ring, durability, shared_, clock_,
                                     WriterCallbacks{callbacks.on_progress, options_.log});
  writer_thread_ = std::make_unique<WriterThread>(*writer_, ring, clock_);
  durability_ = &durability;
  HistoryOptions history;
  history.epoch = boot_.epoch;
  history.room_key = boot_.room_key;
  history.bridges = options_.bridges;
  history.idempotency_keep_ms = options_.idempotency_keep_seconds * 1000;
  history_ = std::make_unique<HistoryStore>(history, *database_, shared_, durability, clock_);
  if (options_.save_hook)
    hook_queue_ = std::make_unique<HookQueue>(*database_, shared_, durability, boot_.epoch);
  RetentionOptions retention;
  retention.keep_ms = options_.retention_seconds * 1000;
  retention.keep_events = options_.retention_events;
  retention.idempotency_keep_ms = options_.idempotency_keep_seconds * 1000;
  retention_ =
      std::make_unique<Retention>(retention, *database_, durability, shared_, clock_, callbacks.on_trimmed);
}

void Store::start() {
  writer_thread_->start();
  for (uint32_t i = 0; i < options_.readers; i++) {
    readers_.emplace_back([this] { read(); });
    pthread_setname_np(readers_.back().native_handle(), "tw-reader");
  }
  retainer_ = std::thread([this] { retain(); });
  pthread_setname_np(retainer_.native_handle(), "tw-retention");
}

bool Store::stop(Millis patience) {
  if (!retainer_.joinable()) return stored_all_;
  writer_thread_->stop(patience);
  stored_all_ = writer_->drained();
  writer_->release_unconsumed();
  stopping_.store(true, std::memory_order_release);  // partner: read(), retain()
  history_->signal().raise(true);
  retainer_signal_.raise();
  for (std::thread& reader : readers_) reader.join();
  readers_.clear();
  retainer_.join();
  return stored_all_;
}

void Store::read() {
  while (!stopping_.load(std::memory_order_acquire)) {
    uint32_t epoch = history_->signal().epoch();
    if (!history_->step()) history_->signal().wait(epoch, kReaderNap);
  }
}

void Store::retain() {
  Millis describe_at = 0;
  while (!stopping_.load(std::memory_order_acquire)) {
    uint32_t epoch = retainer_signal_.epoch();
    bool worked = retention_->step(clock_.now_ms());
    if (clock_.now_ms() >= describe_at) {
      describe_at = clock_.now_ms() + kDescribeMs;
      database_->describe(durability_->database);
    }
    if (!stopping_.load(std::memory_order_acquire))
      retainer_signal_.wait(epoch, worked ? kRetentionPace : kRetentionNap);
  }
}

}  // namespace twinwire::store
