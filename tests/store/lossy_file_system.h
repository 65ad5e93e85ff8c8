// LossyFileSystem: RocksDB's file system with a disk that forgets: after a crash each file keeps what was
// synced and a random part of what was not, and entries of directories that were not synced may be gone. It
// also fails on demand and counts syncs. Under the real RocksDB of the store's tests. Not here: processes
// (tests/lossyfs does it under a whole server). Any thread.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace twinwire::store {

class LossyFileSystem : public rocksdb::FileSystemWrapper {
 public:
  LossyFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "LossyFileSystem"; }

  // ---- faults ----
  // From the n-th change on (append, sync, creation, rename, removal) nothing reaches the disk. 0: at once.
  void die_after(uint64_t changes) { changes_left_.store(static_cast<int64_t>(changes)); }
  bool dead() const { return changes_left_.load() <= 0; }
  // Appends and creations say "no space".
  void set_full(bool full) { full_.store(full); }
  // The next n syncs of a file fail.
  void fail_syncs(uint32_t count) { failing_syncs_.store(count); }

  // The machine comes back: applies the loss to the real files. The database is closed. Then as new.
  void lose(uint64_t seed);

  // ---- counts ----
  std::atomic<uint64_t> syncs{0};      // fdatasync and fsync of files
  std::atomic<uint64_t> log_syncs{0};  // of the write-ahead log
  std::atomic<uint64_t> range_syncs{0};
  std::atomic<uint64_t> bytes_lost{0}, files_lost{0}, renames_lost{0};

  // ---- rocksdb::FileSystem ----
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

 private:
  friend class LossyFile;
  friend class LossyDirectory;
  struct FileState {
    uint64_t size = 0;
    uint64_t synced = 0;
    bool entry_synced = false;
  };
  struct Rename {
    std::string from, to;
    std::optional<std::string> replaced;  // what `to` held before
  };

  // One more change: fine, or why not.
  rocksdb::IOStatus change();
  rocksdb::IOStatus sync_file(const std::string& name);
  void appended(const std::string& name, uint64_t bytes);
  void truncated(const std::string& name, uint64_t size);
  void directory_synced(const std::string& name);

  std::atomic<int64_t> changes_left_{INT64_MAX};
  std::atomic<bool> full_{false};
  std::atomic<uint32_t> failing_syncs_{0};
  std::mutex mutex_;
  std::map<std::string, FileState> files_;  // written since the last loss
  std::vector<Rename> renames_;             // not yet synced, in order
};

}  // namespace twinwire::store
