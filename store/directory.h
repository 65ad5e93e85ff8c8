// Directory: the data directory as a whole: made on first use, marked with its format, held by one process at
// a time. Not here: what the database keeps inside (rocks_database.h, FORMAT.md). The starting thread.
#pragma once

#include <memory>
#include <string>

#include "core/status.h"

namespace twinwire::store {

class Directory {
 public:
  // Makes `path` if it is missing. Fails, with a sentence that says what to do, when it holds something else,
  // another format, is in use by another process, or cannot be written. Held until the object dies.
  static Result<std::unique_ptr<Directory>> open(const std::string& path);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // Where the database lives.
  std::string database_path() const { return path_ + "/db"; }
  // Makes the entries of the directory itself survive a crash of the machine.
  Result<void> sync() const;

 private:
  Directory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  const std::string path_;
  const int lock_;
};

}  // namespace twinwire::store
