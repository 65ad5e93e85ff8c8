// RocksDatabase: the Database on RocksDB 7.8: one column family per table, rooms as prefixes with bloom
// filters, a write-ahead log that is synced when asked. Heals by RocksDB's Resume, or by closing and opening
// it again. Not here: what is stored (keys.h), when it is synced (writer.h). Any thread; heal() may make
// reads fail for a moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>

#include "core/durability.h"
#include "store/database.h"

namespace rocksdb {
class FileSystem;
}

namespace twinwire::store {

struct RocksOptions {
  std::string path;                                  // made if missing; its parent exists
  std::shared_ptr<rocksdb::FileSystem> file_system;  // tests; nothing: the system's
  uint64_t block_cache_bytes = uint64_t{128} << 20;
  uint64_t write_buffer_bytes = uint64_t{64} << 20;  // of the events; a quarter for each other table
  uint64_t log_bytes_max = uint64_t{256} << 20;      // write-ahead log; above it tables are flushed
};

class RocksDatabase : public Database {
 public:
  static Result<std::unique_ptr<RocksDatabase>> open(const RocksOptions& options);
  ~RocksDatabase() override;

  std::unique_ptr<WriteSet> make_write_set() override;
  Result<void> commit(WriteSet& writes, Sync sync) override;
  bool heal() override;
  Result<std::optional<std::string>> get(Table table, std::string_view key) override;
  Result<void> scan(const Range& range, const Visit& visit) override;

  // What RocksDB says of its size and its state; a few microseconds, no I/O.
  void describe(Durability::Database& out) const;
  // Writes what is in memory to the table files; tests and benchmarks.
  Result<void> flush();

 private:
  struct Opened;
  class Writes;
  explicit RocksDatabase(const RocksOptions& options);
  Result<void> open_now();
  bool disk_takes_bytes() const;

  const RocksOptions options_;
  // Guards the pointer: shared by every use, alone while it is closed and opened again.
  mutable std::shared_mutex mutex_;
  std::unique_ptr<Opened> opened_;  // nothing: closed by a heal() that could not open it
  // Set while heal() waits for the mutex, so that a stream of readers cannot keep it out.
  std::atomic<bool> reopening_{false};
};

}  // namespace twinwire::store
