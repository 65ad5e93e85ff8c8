#include "tests/store/lossy_file_system.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace twinwire::store {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class LossyFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LossyFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::string name, LossyFileSystem& system)
      : FSWritableFileOwnerWrapper(std::move(file)), name_(std::move(name)), system_(system) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    if (IOStatus ok = may_append(); !ok.ok()) return ok;
    IOStatus done = target()->Append(data, options, debug);
    if (done.ok()) system_.appended(name_, data.size());
    return done;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    if (IOStatus ok = system_.change(); !ok.ok()) return ok;
    IOStatus done = target()->Truncate(size, options, debug);
    if (done.ok()) system_.truncated(name_, size);
    return done;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus done = target()->Sync(options, debug);
    return done.ok() ? system_.sync_file(name_) : done;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus done = target()->Fsync(options, debug);
    return done.ok() ? system_.sync_file(name_) : done;
  }
  IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    system_.range_syncs++;  // starts writing back; promises nothing
    return target()->RangeSync(offset, bytes, options, debug);
  }

 private:
  IOStatus may_append() {
    if (system_.full_.load()) return IOStatus::NoSpace("the disk is full");
    return system_.change();
  }
  const std::string name_;
  LossyFileSystem& system_;
};

class LossyDirectory : public rocksdb::FSDirectoryWrapper {
 public:
  LossyDirectory(std::unique_ptr<rocksdb::FSDirectory>&& directory, std::string name, LossyFileSystem& system)
      : FSDirectoryWrapper(std::move(directory)), name_(std::move(name)), system_(system) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    if (IOStatus ok = system_.change(); !ok.ok()) return ok;
    system_.directory_synced(name_);
    return FSDirectoryWrapper::Fsync(options, debug);
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    if (IOStatus ok = system_.change(); !ok.ok()) return ok;
    system_.directory_synced(name_);
    return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how);
  }

 private:
  const std::string name_;
  LossyFileSystem& system_;
};

IOStatus LossyFileSystem::change() {
  // Once dead it stays so: the count only falls.
  if (changes_left_.fetch_sub(1) <= 0) {
    changes_left_.store(0);
    return IOStatus::IOError("the machine is dead");
  }
  return IOStatus::OK();
}

IOStatus LossyFileSystem::sync_file(const std::string& name) {
  if (IOStatus ok = change(); !ok.ok()) return ok;
  uint32_t failing = failing_syncs_.load();
  if (failing > 0) {
    failing_syncs_.store(failing - 1);
    return IOStatus::IOError("the sync failed");
  }
  syncs++;
  if (name.ends_with(".log")) log_syncs++;
  std::lock_guard lock(mutex_);
  FileState& file = files_[name];
  file.synced = file.size;
  return IOStatus::OK();
}

void LossyFileSystem::appended(const std::string& name, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  files_[name].size += bytes;
}

void LossyFileSystem::truncated(const std::string& name, uint64_t size) {
  std::lock_guard lock(mutex_);
  FileState& file = files_[name];
  file.size = size;
  file.synced = std::min(file.synced, size);
}

void LossyFileSystem::directory_synced(const std::string& name) {
  std::filesystem::path directory(name);
  auto inside = [&](const std::string& file) {
    return std::filesystem::path(file).parent_path() == directory;
  };
  std::lock_guard lock(mutex_);
  for (auto& [file, state] : files_) {
    if (inside(file)) state.entry_synced = true;
  }
  std::erase_if(renames_, [&](const Rename& rename) { return inside(rename.to); });
}

IOStatus LossyFileSystem::NewWritableFile(const std::string& name, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          IODebugContext* debug) {
  if (full_.load()) return IOStatus::NoSpace("the disk is full");
  if (IOStatus ok = change(); !ok.ok()) return ok;
  IOStatus done = target()->NewWritableFile(name, options, result, debug);
  if (!done.ok()) return done;
  {
    std::lock_guard lock(mutex_);
    files_[name] = FileState();
  }
  *result = std::make_unique<LossyFile>(std::move(*result), name, *this);
  return done;
}

IOStatus LossyFileSystem::ReopenWritableFile(const std::string& name, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                                             IODebugContext* debug) {
  if (IOStatus ok = change(); !ok.ok()) return ok;
  IOStatus done = target()->ReopenWritableFile(name, options, result, debug);
  if (!done.ok()) return done;
  {
    std::lock_guard lock(mutex_);
    if (!files_.contains(name)) {
      uint64_t size = std::filesystem::file_size(name);
      files_[name] = {size, size, true};
    }
  }
  *result = std::make_unique<LossyFile>(std::move(*result), name, *this);
  return done;
}

IOStatus LossyFileSystem::NewDirectory(const std::string& name, const IOOptions& options,
                                       std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* debug) {
  IOStatus done = target()->NewDirectory(name, options, result, debug);
  if (done.ok()) *result = std::make_unique<LossyDirectory>(std::move(*result), name, *this);
  return done;
}

IOStatus LossyFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                     IODebugContext* debug) {
  if (IOStatus ok = change(); !ok.ok()) return ok;
  Rename rename{from, to, std::nullopt};
  if (std::ifstream old(to, std::ios::binary); old)
    rename.replaced.emplace(std::istreambuf_iterator<char>(old), std::istreambuf_iterator<char>());
  IOStatus done = target()->RenameFile(from, to, options, debug);
  if (!done.ok()) return done;
  std::lock_guard lock(mutex_);
  if (auto it = files_.find(from); it != files_.end()) {
    files_[to] = it->second;
    files_.erase(from);
  }
  renames_.push_back(std::move(rename));
  return done;
}

IOStatus LossyFileSystem::DeleteFile(const std::string& name, const IOOptions& options,
                                     IODebugContext* debug) {
  if (IOStatus ok = change(); !ok.ok()) return ok;
  {
    std::lock_guard lock(mutex_);
    files_.erase(name);
  }
  return target()->DeleteFile(name, options, debug);
}

void LossyFileSystem::lose(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::lock_guard lock(mutex_);
  for (const auto& [name, file] : files_) {
    if (file.synced == file.size) continue;
    uint64_t kept = file.synced + random() % (file.size - file.synced + 1);
    std::error_code error;
    std::filesystem::resize_file(name, kept, error);
    bytes_lost += file.size - kept;
  }
  // A rename that was not synced may be undone, and then those after it too.
  size_t renames_kept = renames_.empty() ? 0 : random() % (renames_.size() + 1);
  for (size_t i = renames_.size(); i > renames_kept; i--) {
    const Rename& rename = renames_[i - 1];
    std::error_code error;
    std::filesystem::rename(rename.to, rename.from, error);
    if (rename.replaced) std::ofstream(rename.to, std::ios::binary) << *rename.replaced;
    if (auto it = files_.find(rename.to); it != files_.end()) {
      files_[rename.from] = it->second;
      files_.erase(rename.to);
    }
    renames_lost++;
  }
  for (const auto& [name, file] : files_) {
    if (file.entry_synced || random() % 2 == 0) continue;
    std::error_code error;
    if (std::filesystem::remove(name, error)) files_lost++;
  }
  files_.clear();
  renames_.clear();
  changes_left_.store(INT64_MAX);
  full_.store(false);
  failing_syncs_.store(0);
}

}  // namespace twinwire::store
