// A file system in memory that knows, for every byte and every name, whether it was synced; and can forget
// the rest. What it keeps after a loss is the least that POSIX promises: file contents as of their last fsync
// or fdatasync, directory entries as of the directory's last fsync. Only new folders are durable at once:
// nobody syncs the parent of a database's folder, and losing all of it would test nothing. Not here: FUSE
// (lossyfs.cc). One thread. Owns all nodes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace twinwire::lossy {

struct Node {
  bool folder = false;
  mode_t mode = 0;
  timespec changed{};

  // A file: what a reader sees now, and what a loss leaves. `dirty_from`…`dirty_to` is where they may differ.
  std::string now;
  std::string synced;
  size_t dirty_from = SIZE_MAX;
  size_t dirty_to = 0;

  // A folder: its names now, and what a loss leaves.
  std::map<std::string, std::shared_ptr<Node>> names;
  std::map<std::string, std::shared_ptr<Node>> synced_names;
};

struct Counts {
  uint64_t writes = 0;
  uint64_t bytes_written = 0;
  uint64_t file_syncs = 0;
  uint64_t folder_syncs = 0;
  uint64_t losses = 0;
  uint64_t bytes_lost = 0;
  uint64_t names_lost = 0;
};

class Tree {
 public:
  Tree();

  // Null where there is none. Paths as FUSE gives them: "/a/b".
  std::shared_ptr<Node> find(std::string_view path) const;

  // All return 0 or a negative errno.
  int create(std::string_view path, mode_t mode, std::shared_ptr<Node>& out);
  int make_folder(std::string_view path, mode_t mode);
  int remove(std::string_view path, bool folder);
  int rename(std::string_view from, std::string_view to, bool replace);

  void write(Node& file, std::string_view bytes, size_t at);
  void truncate(Node& file, size_t size);
  void sync(Node& node);

  // Forgets everything that was not synced.
  void lose();
  const Counts& counts() const { return counts_; }

 private:
  struct Place {
    std::shared_ptr<Node> folder;
    std::string name;
  };
  Place place_of(std::string_view path) const;
  void lose_in(Node& node);

  std::shared_ptr<Node> root_;
  Counts counts_;
};

}  // namespace twinwire::lossy
