// lossyfs MOUNTPOINT: mounts a file system that forgets what was not synced, when told to (tree.h).
// The control file `.lossy` in its root: writing "lose" to it forgets; reading it gives the counts as JSON.
// Runs in the foreground until it is unmounted or gets SIGTERM. One thread. For tests only: everything is in
// memory.
#define FUSE_USE_VERSION 31
#include <fuse3/fuse.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/lossyfs/tree.h"

namespace {

using twinwire::lossy::Counts;
using twinwire::lossy::Node;
using twinwire::lossy::Tree;

constexpr const char* kControl = "/.lossy";

Tree& tree() { return *static_cast<Tree*>(fuse_get_context()->private_data); }

// An open file keeps its node alive, also when its name is gone.
using Handle = std::shared_ptr<Node>;
Handle* handle_of(const fuse_file_info* info) {
  return info == nullptr ? nullptr : reinterpret_cast<Handle*>(info->fh);
}

// By name, or where only the open file is given, by its missing node.
bool is_control(const char* path, const fuse_file_info* info = nullptr) {
  if (path != nullptr) return std::strcmp(path, kControl) == 0;
  return info != nullptr && info->fh == 0;
}

Handle node_of(const char* path, const fuse_file_info* info) {
  if (const Handle* handle = handle_of(info)) return *handle;
  return path == nullptr ? nullptr : tree().find(path);
}

std::string counts_text() {
  const Counts& c = tree().counts();
  char out[512];
  std::snprintf(
      out, sizeof out,
      "{\"writes\":%llu,\"bytesWritten\":%llu,\"fileSyncs\":%llu,\"folderSyncs\":%llu,\"losses\":%llu,"
      "\"bytesLost\":%llu,\"namesLost\":%llu}\n",
      static_cast<unsigned long long>(c.writes), static_cast<unsigned long long>(c.bytes_written),
      static_cast<unsigned long long>(c.file_syncs), static_cast<unsigned long long>(c.folder_syncs),
      static_cast<unsigned long long>(c.losses), static_cast<unsigned long long>(c.bytes_lost),
      static_cast<unsigned long long>(c.names_lost));
  return out;
}

int read_from(const std::string& bytes, char* out, size_t size, off_t offset) {
  const auto at = static_cast<size_t>(offset);
  if (at >= bytes.size()) return 0;
  return static_cast<int>(bytes.copy(out, size, at));
}

void* lossy_init(fuse_conn_info*, fuse_config* config) {
  // Nothing of a file may survive in the kernel's caches: what is lost must be lost to a reader too.
  config->kernel_cache = 0;
  config->direct_io = 0;
  config->entry_timeout = 0;
  config->attr_timeout = 0;
  config->negative_timeout = 0;
  config->nullpath_ok = 1;
  config->hard_remove = 1;
  config->use_ino = 0;
  return fuse_get_context()->private_data;
}

int lossy_getattr(const char* path, struct stat* out, fuse_file_info* info) {
  std::memset(out, 0, sizeof *out);
  if (is_control(path, info)) {
    out->st_mode = S_IFREG | 0600;
    out->st_nlink = 1;
    out->st_size = static_cast<off_t>(counts_text().size());
    return 0;
  }
  const Handle node = node_of(path, info);
  if (!node) return -ENOENT;
  out->st_mode = node->mode;
  out->st_nlink = node->folder ? 2 : 1;
  out->st_uid = fuse_get_context()->uid;
  out->st_gid = fuse_get_context()->gid;
  out->st_size = static_cast<off_t>(node->now.size());
  out->st_blocks = (out->st_size + 511) / 512;
  out->st_mtim = out->st_ctim = out->st_atim = node->changed;
  return 0;
}

int lossy_readdir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info* info,
                  fuse_readdir_flags) {
  const Handle node = node_of(path, info);
  if (!node || !node->folder) return -ENOTDIR;
  constexpr auto plain = static_cast<fuse_fill_dir_flags>(0);
  fill(buffer, ".", nullptr, 0, plain);
  fill(buffer, "..", nullptr, 0, plain);
  for (const auto& [name, child] : node->names) fill(buffer, name.c_str(), nullptr, 0, plain);
  return 0;
}

int lossy_open(const char* path, fuse_file_info* info) {
  if (is_control(path)) {
    info->direct_io = 1;
    return 0;
  }
  const Handle node = tree().find(path);
  if (!node) return -ENOENT;
  if (info->flags & O_TRUNC) tree().truncate(*node, 0);
  info->fh = reinterpret_cast<uint64_t>(new Handle(node));
  return 0;
}

int lossy_create(const char* path, mode_t mode, fuse_file_info* info) {
  Handle node;
  if (const int error = tree().create(path, mode, node); error != 0) return error;
  info->fh = reinterpret_cast<uint64_t>(new Handle(node));
  return 0;
}

int lossy_opendir(const char* path, fuse_file_info* info) {
  const Handle node = tree().find(path);
  if (!node) return -ENOENT;
  info->fh = reinterpret_cast<uint64_t>(new Handle(node));
  return 0;
}

int lossy_release(const char*, fuse_file_info* info) {
  delete handle_of(info);
  return 0;
}

int lossy_read(const char* path, char* out, size_t size, off_t offset, fuse_file_info* info) {
  if (is_control(path, info)) return read_from(counts_text(), out, size, offset);
  const Handle node = node_of(path, info);
  return node ? read_from(node->now, out, size, offset) : -EBADF;
}

int lossy_write(const char* path, const char* bytes, size_t size, off_t offset, fuse_file_info* info) {
  if (is_control(path, info)) {
    if (!std::string_view(bytes, size).starts_with("lose")) return -EINVAL;
    tree().lose();
    return static_cast<int>(size);
  }
  const Handle node = node_of(path, info);
  if (!node) return -EBADF;
  tree().write(*node, {bytes, size}, static_cast<size_t>(offset));
  return static_cast<int>(size);
}

int lossy_truncate(const char* path, off_t size, fuse_file_info* info) {
  if (is_control(path, info)) return 0;
  const Handle node = node_of(path, info);
  if (!node) return -ENOENT;
  tree().truncate(*node, static_cast<size_t>(size));
  return 0;
}

// New space reads as zeros and counts as written; only FALLOC_FL_KEEP_SIZE leaves the size alone.
int lossy_fallocate(const char* path, int mode, off_t offset, off_t length, fuse_file_info* info) {
  const Handle node = node_of(path, info);
  if (!node) return -EBADF;
  constexpr int keep_size = 1;
  if ((mode & ~keep_size) != 0) return -EOPNOTSUPP;
  const auto end = static_cast<size_t>(offset + length);
  if (!(mode & keep_size) && end > node->now.size()) tree().truncate(*node, end);
  return 0;
}

int lossy_fsync(const char* path, int, fuse_file_info* info) {
  if (is_control(path, info)) return 0;
  const Handle node = node_of(path, info);
  if (!node) return -EBADF;
  tree().sync(*node);
  return 0;
}

int lossy_mkdir(const char* path, mode_t mode) { return tree().make_folder(path, mode); }
int lossy_unlink(const char* path) { return tree().remove(path, false); }
int lossy_rmdir(const char* path) { return tree().remove(path, true); }

int lossy_rename(const char* from, const char* to, unsigned flags) {
  constexpr unsigned no_replace = 1;
  if ((flags & ~no_replace) != 0) return -EINVAL;
  return tree().rename(from, to, (flags & no_replace) == 0);
}

int lossy_chmod(const char* path, mode_t mode, fuse_file_info* info) {
  const Handle node = node_of(path, info);
  if (!node) return -ENOENT;
  node->mode = (node->mode & S_IFMT) | (mode & 07777);
  return 0;
}

int lossy_chown(const char*, uid_t, gid_t, fuse_file_info*) { return 0; }

int lossy_utimens(const char* path, const timespec times[2], fuse_file_info* info) {
  const Handle node = node_of(path, info);
  if (!node) return -ENOENT;
  if (times != nullptr) node->changed = times[1];
  return 0;
}

int lossy_statfs(const char*, struct statvfs* out) {
  std::memset(out, 0, sizeof *out);
  out->f_bsize = out->f_frsize = 4096;
  out->f_blocks = 16u << 20;
  out->f_bfree = out->f_bavail = 8u << 20;
  out->f_namemax = 255;
  return 0;
}

fuse_operations operations() {
  fuse_operations out{};
  out.init = lossy_init;
  out.getattr = lossy_getattr;
  out.readdir = lossy_readdir;
  out.open = lossy_open;
  out.create = lossy_create;
  out.opendir = lossy_opendir;
  out.release = lossy_release;
  out.releasedir = lossy_release;
  out.read = lossy_read;
  out.write = lossy_write;
  out.truncate = lossy_truncate;
  out.fallocate = lossy_fallocate;
  out.fsync = lossy_fsync;
  out.fsyncdir = lossy_fsync;
  out.mkdir = lossy_mkdir;
  out.unlink = lossy_unlink;
  out.rmdir = lossy_rmdir;
  out.rename = lossy_rename;
  out.chmod = lossy_chmod;
  out.chown = lossy_chown;
  out.utimens = lossy_utimens;
  out.statfs = lossy_statfs;
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: lossyfs MOUNTPOINT   (then: echo lose > MOUNTPOINT/.lossy)\n");
    return 2;
  }
  Tree files;
  std::string arguments[] = {argv[0], argv[1], "-f",
                             "-s",    "-o",    "fsname=lossyfs,subtype=lossyfs,default_permissions"};
  char* pointers[6];
  std::transform(std::begin(arguments), std::end(arguments), pointers,
                 [](std::string& text) { return text.data(); });
  const fuse_operations all = operations();
  return fuse_main(6, pointers, &all, &files);
}
