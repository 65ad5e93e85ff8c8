#include "tests/lossyfs/tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace twinwire::lossy {
namespace {

timespec now() {
  timespec out{};
  clock_gettime(CLOCK_REALTIME, &out);
  return out;
}

std::shared_ptr<Node> new_node(bool folder, mode_t mode) {
  auto node = std::make_shared<Node>();
  node->folder = folder;
  node->mode = mode;
  node->changed = now();
  return node;
}

}  // namespace

Tree::Tree() : root_(new_node(true, S_IFDIR | 0755)) {}

std::shared_ptr<Node> Tree::find(std::string_view path) const {
  std::shared_ptr<Node> node = root_;
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty()) {
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    const auto found = node->names.find(name);
    if (found == node->names.end()) return nullptr;
    node = found->second;
  }
  return node;
}

Tree::Place Tree::place_of(std::string_view path) const {
  const size_t slash = path.rfind('/');
  return {find(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

int Tree::create(std::string_view path, mode_t mode, std::shared_ptr<Node>& out) {
  const Place place = place_of(path);
  if (!place.folder) return -ENOENT;
  if (place.folder->names.contains(place.name)) return -EEXIST;
  out = new_node(false, S_IFREG | (mode & 07777));
  place.folder->names[place.name] = out;
  return 0;
}

int Tree::make_folder(std::string_view path, mode_t mode) {
  const Place place = place_of(path);
  if (!place.folder) return -ENOENT;
  if (place.folder->names.contains(place.name)) return -EEXIST;
  const auto node = new_node(true, S_IFDIR | (mode & 07777));
  place.folder->names[place.name] = node;
  place.folder->synced_names[place.name] = node;
  return 0;
}

int Tree::remove(std::string_view path, bool folder) {
  const Place place = place_of(path);
  if (!place.folder) return -ENOENT;
  const auto found = place.folder->names.find(place.name);
  if (found == place.folder->names.end()) return -ENOENT;
  if (found->second->folder != folder) return folder ? -ENOTDIR : -EISDIR;
  if (folder && !found->second->names.empty()) return -ENOTEMPTY;
  place.folder->names.erase(found);
  return 0;
}

int Tree::rename(std::string_view from, std::string_view to, bool replace) {
  const Place source = place_of(from);
  const Place target = place_of(to);
  if (!source.folder || !target.folder) return -ENOENT;
  const auto found = source.folder->names.find(source.name);
  if (found == source.folder->names.end()) return -ENOENT;
  if (!replace && target.folder->names.contains(target.name)) return -EEXIST;
  const std::shared_ptr<Node> node = found->second;
  source.folder->names.erase(found);
  target.folder->names[target.name] = node;
  return 0;
}

void Tree::write(Node& file, std::string_view bytes, size_t at) {
  ++counts_.writes;
  counts_.bytes_written += bytes.size();
  file.dirty_from = std::min({file.dirty_from, at, file.now.size()});
  if (file.now.size() < at + bytes.size()) file.now.resize(at + bytes.size());
  file.now.replace(at, bytes.size(), bytes);
  file.dirty_to = std::max(file.dirty_to, at + bytes.size());
  file.changed = now();
}

void Tree::truncate(Node& file, size_t size) {
  const size_t before = file.now.size();
  file.now.resize(size);
  file.dirty_from = std::min({file.dirty_from, before, size});
  file.dirty_to = std::max(file.dirty_to, size);
  file.changed = now();
}

void Tree::sync(Node& node) {
  if (node.folder) {
    ++counts_.folder_syncs;
    node.synced_names = node.names;
    return;
  }
  ++counts_.file_syncs;
  node.synced.resize(node.now.size());
  const size_t to = std::min(node.dirty_to, node.now.size());
  if (node.dirty_from < to) {
    std::copy(node.now.begin() + static_cast<std::ptrdiff_t>(node.dirty_from),
              node.now.begin() + static_cast<std::ptrdiff_t>(to),
              node.synced.begin() + static_cast<std::ptrdiff_t>(node.dirty_from));
  }
  node.dirty_from = SIZE_MAX;
  node.dirty_to = 0;
}

void Tree::lose() {
  ++counts_.losses;
  lose_in(*root_);
}

void Tree::lose_in(Node& node) {
  if (!node.folder) {
    if (node.dirty_from < node.dirty_to) counts_.bytes_lost += node.dirty_to - node.dirty_from;
    node.now = node.synced;
    node.dirty_from = SIZE_MAX;
    node.dirty_to = 0;
    return;
  }
  for (const auto& [name, child] : node.names) {
    const auto kept = node.synced_names.find(name);
    if (kept == node.synced_names.end() || kept->second != child) ++counts_.names_lost;
  }
  node.names = node.synced_names;
  for (const auto& [name, child] : node.names) lose_in(*child);
}

}  // namespace twinwire::lossy
