#include "store/rocks_database.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <vector>

#include "store/keys.h"

namespace twinwire::store {

namespace {

constexpr size_t kReadAhead = 2 << 20;  // of reads through a whole table
constexpr size_t kProbeSize =
    1 << 20;  // what a disk must take before the database is closed to be opened again

// Bytes of a key that are its prefix (0: none): the room, with the letter before it in `membership`.
constexpr std::array<size_t, kTableCount> kPrefix{kRoomKeySize, kRoomKeySize, 1 + kRoomKeySize, 0, 0, 0};
constexpr std::array<const char*, kTableCount> kNames{"events",      "rooms",   "membership",
                                                      "idempotency", "default", "hook"};

// RocksDB asserts that even an empty slice points somewhere.
rocksdb::Slice slice(std::string_view text) {
  return text.empty() ? rocksdb::Slice() : rocksdb::Slice(text.data(), text.size());
}
std::string_view text(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

Error error_of(const rocksdb::Status& status) {
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kNoSpace)
    return fail(Code::storage_unavailable, "no space left for the store: " + status.ToString());
  return fail(Code::storage_unavailable, "the store failed: " + status.ToString());
}

rocksdb::CompressionType lower_compression() {
  for (rocksdb::CompressionType type : rocksdb::GetSupportedCompressions()) {
    if (type == rocksdb::kLZ4Compression) return type;
  }
  return rocksdb::kNoCompression;
}

// A quarter of what the process may open at most; RocksDB needs 20 at least.
int open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 4, 20, 1024));
}

rocksdb::DBOptions database_options(const RocksOptions& o, rocksdb::Env* env) {
  rocksdb::DBOptions out;
  out.create_if_missing = true;
  out.create_missing_column_families = true;
  if (env != nullptr) out.env = env;
  out.max_background_jobs = 2;
  out.max_open_files = open_files();
  out.max_total_wal_size = o.log_bytes_max;
  out.bytes_per_sync = 1 << 20;  // table files are written back as they grow, not all at once at their end
  // One thread writes nearly all: what RocksDB does for many at once only costs.
  out.allow_concurrent_memtable_write = false;
  out.enable_write_thread_adaptive_yield = false;
  out.avoid_flush_during_shutdown = true;  // the log is synced; the next start reads it
  out.avoid_unnecessary_blocking_io = true;
  out.skip_stats_update_on_db_open = true;
  out.info_log_level = rocksdb::WARN_LEVEL;
  out.max_log_file_size = 4 << 20;
  out.keep_log_file_num = 2;
  out.stats_dump_period_sec = 0;
  out.stats_persist_period_sec = 0;
  return out;
}

rocksdb::ColumnFamilyOptions table_options(const RocksOptions& o, Table table,
                                           const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions out;
  bool events = table == Table::events;
  size_t prefix = kPrefix[static_cast<size_t>(table)];
  if (prefix != 0) out.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(prefix));
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = cache;
  blocks.cache_index_and_filter_blocks = true;  // so that the cache bounds them too
  blocks.pin_l0_filter_and_index_blocks_in_cache = true;
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  blocks.whole_key_filtering = !events;  // events are read by room, never one by one
  blocks.block_size = events ? 16 << 10 : 4 << 10;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  out.write_buffer_size = events ? o.write_buffer_bytes : o.write_buffer_bytes / 4;
  // A room's events come in order: each is inserted next to the one before (a third less CPU per event).
  // RocksDB keeps one hint per prefix for entries and range deletions alike, in lists that are not the same:
  // never DeleteRange here.
  if (events) out.memtable_insert_with_hint_prefix_extractor = out.prefix_extractor;
  out.max_write_buffer_number = 3;
  out.level_compaction_dynamic_level_bytes = true;
  out.compression = rocksdb::kNoCompression;
  out.bottommost_compression = lower_compression();
  return out;
}

}  // namespace

struct RocksDatabase::Opened {
  std::unique_ptr<rocksdb::Env> env;  // only with a file system of the caller's; outlives the database
  std::unique_ptr<rocksdb::DB> database;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  // by Table

  rocksdb::ColumnFamilyHandle* of(Table table) const { return handles[static_cast<size_t>(table)]; }
  ~Opened() {
    if (!database) return;
    for (rocksdb::ColumnFamilyHandle* handle : handles) database->DestroyColumnFamilyHandle(handle);
    database->Close();
  }
};

class RocksDatabase::Writes : public WriteSet {
 public:
  explicit Writes(RocksDatabase& database) : database_(database) {}
  void put(Table table, std::string_view key, std::string_view value) override {
    with(table, [&](auto* handle) { return batch.Put(handle, slice(key), slice(value)); });
  }
  void remove(Table table, std::string_view key) override {
    with(table, [&](auto* handle) { return batch.Delete(handle, slice(key)); });
  }
  void clear() override {
    batch.Clear();
    whole = true;
  }

  rocksdb::WriteBatch batch;  // knows tables by number, so that it survives closing and opening
  bool whole = true;          // false: something was put while the database was closed

 private:
  template <typename Do>
  void with(Table table, const Do& change) {
    std::shared_lock lock(database_.mutex_);
    whole = whole && database_.opened_ && change(database_.opened_->of(table)).ok();
  }
  RocksDatabase& database_;
};

RocksDatabase::RocksDatabase(const RocksOptions& options) : options_(options) {}
RocksDatabase::~RocksDatabase() = default;

Result<std::unique_ptr<RocksDatabase>> RocksDatabase::open(const RocksOptions& options) {
  std::unique_ptr<RocksDatabase> database(new RocksDatabase(options));
  if (auto opened = database->open_now(); !opened) return opened.error();
  return database;
}

Result<void> RocksDatabase::open_now() {
  auto opened = std::make_unique<Opened>();
  if (options_.file_system) opened->env = rocksdb::NewCompositeEnv(options_.file_system);
  auto cache = rocksdb::NewLRUCache(options_.block_cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kTableCount; i++)
    families.emplace_back(kNames[i], table_options(options_, static_cast<Table>(i), cache));
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(database_options(options_, opened->env.get()), options_.path,
                                             families, &opened->handles, &raw);
  opened->database.reset(raw);
  if (!status.ok()) return error_of(status);
  opened_ = std::move(opened);
  return {};
}

std::unique_ptr<WriteSet> RocksDatabase::make_write_set() { return std::make_unique<Writes>(*this); }

Result<void> RocksDatabase::commit(WriteSet& writes, Sync sync) {
  std::shared_lock lock(mutex_);
  Writes& set = static_cast<Writes&>(writes);
  if (!opened_ || !set.whole) return fail(Code::storage_unavailable, "the store is closed");
  rocksdb::WriteOptions options;
  options.sync = sync == Sync::yes;
  rocksdb::Status status = opened_->database->Write(options, &set.batch);
  if (!status.ok()) return error_of(status);
  return {};
}

bool RocksDatabase::heal() {
  {
    std::shared_lock lock(mutex_);
    if (opened_ && opened_->database->Resume().ok()) return true;
  }
  // While the disk takes nothing an open database can still be read; closed, it could not even be opened.
  if (!disk_takes_bytes()) return false;
  // Some failures of the log are final for an open database. What was synced is in the log, so closing loses
  // nothing.
  reopening_.store(true, std::memory_order_release);
  std::unique_lock lock(mutex_);
  opened_.reset();
  bool open = static_cast<bool>(open_now());
  reopening_.store(false, std::memory_order_release);
  return open;
}

bool RocksDatabase::disk_takes_bytes() const {
  rocksdb::FileSystem* disk =
      options_.file_system ? options_.file_system.get() : rocksdb::FileSystem::Default().get();
  std::string probe = options_.path + "/probe", bytes(kProbeSize, 'p');
  bool takes = rocksdb::WriteStringToFile(disk, bytes, probe, /*should_sync=*/true).ok();
  (void)disk->DeleteFile(probe, rocksdb::IOOptions(), nullptr);
  return takes;
}

Result<std::optional<std::string>> RocksDatabase::get(Table table, std::string_view key) {
  if (reopening_.load(std::memory_order_acquire))
    return fail(Code::storage_unavailable, "the store is being opened");
  std::shared_lock lock(mutex_);
  if (!opened_) return fail(Code::storage_unavailable, "the store is closed");
  rocksdb::PinnableSlice value;
  rocksdb::Status status =
      opened_->database->Get(rocksdb::ReadOptions(), opened_->of(table), slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return error_of(status);
  return std::optional<std::string>(value.ToString());
}

Result<void> RocksDatabase::scan(const Range& range, const Visit& visit) {
  if (reopening_.load(std::memory_order_acquire))
    return fail(Code::storage_unavailable, "the store is being opened");
  std::shared_lock lock(mutex_);
  if (!opened_) return fail(Code::storage_unavailable, "the store is closed");
  rocksdb::ReadOptions options;
  rocksdb::Slice lower = slice(range.from), upper = slice(range.to);
  options.iterate_lower_bound = &lower;
  if (!range.to.empty()) options.iterate_upper_bound = &upper;
  // Within one prefix the filters help; anything else must be told to ignore them.
  size_t prefix = kPrefix[static_cast<size_t>(range.table)];
  bool within = prefix != 0 && !range.backward && range.from.size() >= prefix && !range.to.empty() &&
                range.to <= successor(range.from.substr(0, prefix));
  options.prefix_same_as_start = within;
  options.total_order_seek = !within;
  if (range.from.empty() && range.to.empty()) {
    options.readahead_size = kReadAhead;
    options.fill_cache = false;
  }
  std::unique_ptr<rocksdb::Iterator> it(opened_->database->NewIterator(options, opened_->of(range.table)));
  if (!range.backward) {
    for (it->Seek(lower); it->Valid() && visit(text(it->key()), text(it->value())); it->Next()) {
    }
  } else {
    if (range.to.empty()) {
      it->SeekToLast();
    } else {
      it->SeekForPrev(upper);
      if (it->Valid() && it->key() == upper) it->Prev();
    }
    while (it->Valid() && visit(text(it->key()), text(it->value()))) it->Prev();
  }
  if (!it->status().ok()) return error_of(it->status());
  return {};
}

void RocksDatabase::describe(Durability::Database& out) const {
  if (reopening_.load(std::memory_order_acquire)) return;
  std::shared_lock lock(mutex_);
  if (!opened_) return;
  rocksdb::DB& database = *opened_->database;
  using Properties = rocksdb::DB::Properties;
  auto sum = [&](const std::string& property) {
    uint64_t value = 0;
    return database.GetAggregatedIntProperty(property, &value) ? value : 0;
  };
  // Properties of the whole database: asked once.
  auto one = [&](const std::string& property) {
    uint64_t value = 0;
    return database.GetIntProperty(property, &value) ? value : 0;
  };
  auto set = [](std::atomic<uint64_t>& to, uint64_t value) { to.store(value, std::memory_order_relaxed); };
  set(out.table_bytes, sum(Properties::kTotalSstFilesSize));
  set(out.memory_bytes, sum(Properties::kCurSizeAllMemTables));
  set(out.cache_bytes, one(Properties::kBlockCacheUsage));
  set(out.compaction_pending_bytes, sum(Properties::kEstimatePendingCompactionBytes));
  set(out.estimated_keys, sum(Properties::kEstimateNumKeys));
  set(out.compactions_running, one(Properties::kNumRunningCompactions));
  set(out.flushes_running, one(Properties::kNumRunningFlushes));
  set(out.errors, sum(Properties::kBackgroundErrors));
  set(out.write_rate_limit, one(Properties::kActualDelayedWriteRate));
  out.writes_stopped.store(one(Properties::kIsWriteStopped) != 0, std::memory_order_relaxed);
}

Result<void> RocksDatabase::flush() {
  std::shared_lock lock(mutex_);
  if (!opened_) return fail(Code::storage_unavailable, "the store is closed");
  rocksdb::Status status = opened_->database->Flush(rocksdb::FlushOptions(), opened_->handles);
  if (!status.ok()) return error_of(status);
  return {};
}

}  // namespace twinwire::store
