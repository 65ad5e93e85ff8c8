#include "store/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "store/keys.h"

namespace twinwire::store {

namespace {

constexpr std::string_view kMark = "twinwire store ";  // then the format and a line feed
constexpr const char* kFormatFile = "FORMAT";
constexpr const char* kLockFile = "LOCK";

Error trouble(const std::string& what, const std::string& path) {
  return fail(Code::storage_unavailable, fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

std::optional<std::string> read_small_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char bytes[256];
  ssize_t size = ::read(fd, bytes, sizeof bytes);
  ::close(fd);
  if (size < 0) return std::nullopt;
  return std::string(bytes, static_cast<size_t>(size));
}

Result<void> sync_path(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return trouble("open", path);
  int done = ::fsync(fd);
  ::close(fd);
  // A file system that cannot sync a directory says EINVAL: there is nothing more to ask of it.
  return done == 0 || errno == EINVAL ? Result<void>() : Result<void>(trouble("sync", path));
}

// Written aside, synced and renamed, so that the mark is there whole or not at all.
Result<void> write_mark(const std::string& directory) {
  std::string path = directory + "/" + kFormatFile, aside = path + ".new";
  std::string text = fmt::format("{}{}\n", kMark, kFormatVersion);
  int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return trouble("write", aside);
  bool written =
      ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  Error error = written ? Error() : trouble("write", aside);
  ::close(fd);
  if (!written) return error;
  if (::rename(aside.c_str(), path.c_str()) != 0) return trouble("write", path);
  return sync_path(directory);
}

// The name of something that is not ours, if there is any.
std::optional<std::string> foreign_entry(const std::string& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    std::string name = entry.path().filename();
    if (name != kLockFile && name != "FORMAT.new" && name != "admin.token" && name != "lost+found")
      return name;
  }
  return std::nullopt;
}

Result<void> check_mark(const std::string& path) {
  auto mark = read_small_file(path + "/" + kFormatFile);
  if (!mark) {
    if (auto name = foreign_entry(path))
      return fail(Code::conflict,
                  fmt::format("{} holds something else than a Twinwire store (\"{}\"): name a new or empty "
                              "directory with store.path",
                              path, *name));
    return write_mark(path);
  }
  std::string ours = fmt::format("{}{}\n", kMark, kFormatVersion);
  if (*mark == ours) return {};
  if (!mark->starts_with(kMark))
    return fail(
        Code::conflict,
        fmt::format("{} is not a Twinwire store: name a new or empty directory with store.path", path));
  std::string theirs = mark->substr(kMark.size());
  while (!theirs.empty() && theirs.back() == '\n') theirs.pop_back();
  return fail(
      Code::conflict,
      fmt::format("{} was written in store format {} and this server reads format {}: use the version of "
                  "Twinwire that wrote it, or name another directory with store.path",
                  path, theirs, kFormatVersion));
}

}  // namespace

Result<std::unique_ptr<Directory>> Directory::open(const std::string& path) {
  std::error_code error;
  bool made = std::filesystem::create_directories(path, error);
  if (error)
    return fail(Code::storage_unavailable,
                fmt::format("cannot make the data directory {}: {}", path, error.message()));
  if (made) {
    ::chmod(path.c_str(), 0700);  // it holds what people wrote to one another
    auto parent = std::filesystem::absolute(path).parent_path();
    if (auto synced = sync_path(parent.string()); !synced) return synced.error();
  }
  std::string lock_path = path + "/" + kLockFile;
  int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return trouble("write", lock_path);
  std::unique_ptr<Directory> directory(new Directory(path, lock));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    auto holder = read_small_file(lock_path);
    std::string who = holder && !holder->empty() ? fmt::format("process {}", *holder) : "another process";
    while (who.back() == '\n') who.pop_back();
    return fail(Code::conflict, fmt::format("{} is in use by {}: stop it, or name another directory with "
                                            "store.path",
                                            path, who));
  }
  std::string pid = fmt::format("{}\n", ::getpid());
  // Only a hint for the sentence above; the lock itself is the kernel's.
  if (::ftruncate(lock, 0) != 0 || ::pwrite(lock, pid.data(), pid.size(), 0) < 0)
    return trouble("write", lock_path);
  if (auto checked = check_mark(path); !checked) return checked.error();
  return directory;
}

Directory::~Directory() { ::close(lock_); }

Result<void> Directory::sync() const { return sync_path(path_); }

}  // namespace twinwire::store
