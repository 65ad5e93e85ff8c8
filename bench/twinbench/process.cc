#include "bench/twinbench/process.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace twinwire::bench {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// utime + stime of the whole process, threads that ended included, in ticks of 10 ms.
std::optional<uint64_t> ticks_of(pid_t pid) {
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0;
  uint64_t system = 0;
  fields >> user >> system;
  return user + system;
}

// The sum of se.sum_exec_runtime over the living threads: exact, where ticks are sampled.
uint64_t runtime_of(pid_t pid) {
  uint64_t out = 0;
  const std::string folder = fmt::format("/proc/{}/task", pid);
  DIR* threads = opendir(folder.c_str());
  if (threads == nullptr) return 0;
  while (const dirent* entry = readdir(threads)) {
    if (entry->d_name[0] == '.') continue;
    uint64_t running = 0;
    std::istringstream(read_file(fmt::format("{}/{}/schedstat", folder, entry->d_name))) >> running;
    out += running;
  }
  closedir(threads);
  return out;
}

uint64_t kilobytes_after(const std::string& text, const std::string& name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace

std::optional<uint64_t> cpu_nanos_of(pid_t pid) {
  const std::optional<uint64_t> ticks = ticks_of(pid);
  if (!ticks) return std::nullopt;
  const uint64_t exact = runtime_of(pid);
  return exact != 0 ? exact : *ticks * 10'000'000;
}

std::optional<ProcessUse> use_of(pid_t pid) {
  const std::optional<uint64_t> cpu = cpu_nanos_of(pid);
  if (!cpu) return std::nullopt;
  ProcessUse out;
  out.cpu_nanos = *cpu;
  const std::string memory = read_file(fmt::format("/proc/{}/smaps_rollup", pid));
  out.resident_bytes = kilobytes_after(memory, "\nRss:") * 1024;
  out.private_bytes =
      (kilobytes_after(memory, "\nPrivate_Clean:") + kilobytes_after(memory, "\nPrivate_Dirty:") +
       kilobytes_after(memory, "\nPrivate_Hugetlb:")) *
      1024;
  return out;
}

namespace {

bool counts(std::string_view cache) {
  static constexpr std::string_view whole[] = {"TCP",
                                               "sock_inode_cache",
                                               "filp",
                                               "io_kiocb",
                                               "request_sock_TCP",
                                               "tcp_bind_bucket",
                                               "tcp_bind2_bucket",
                                               "skbuff_head_cache",
                                               "skbuff_fclone_cache",
                                               "skbuff_small_head",
                                               "eventpoll_epi",
                                               "eventpoll_pwq"};
  for (const std::string_view name : whole) {
    if (cache == name) return true;
  }
  return cache.starts_with("kmalloc-") || cache.starts_with("lsm_") || cache.starts_with("apparmor");
}

}  // namespace

uint64_t SlabUse::total() const {
  uint64_t out = 0;
  for (const auto& [name, bytes] : caches) out += bytes;
  return out;
}

SlabUse slab_use() {
  SlabUse out;
  std::ifstream in("/proc/slabinfo");
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string name;
    uint64_t active = 0;
    uint64_t all = 0;
    uint64_t size = 0;
    if (fields >> name >> active >> all >> size && counts(name)) out.caches[name] = active * size;
  }
  return out;
}

SlabUse growth(const SlabUse& before, const SlabUse& after) {
  SlabUse out;
  for (const auto& [name, bytes] : after.caches) {
    const auto old = before.caches.find(name);
    const uint64_t was = old == before.caches.end() ? 0 : old->second;
    if (bytes > was) out.caches[name] = bytes - was;
  }
  return out;
}

std::vector<pid_t> tree_of(pid_t pid) {
  std::vector<pid_t> out{pid};
  for (size_t i = 0; i < out.size(); ++i) {
    const std::string folder = fmt::format("/proc/{}/task", out[i]);
    DIR* threads = opendir(folder.c_str());
    if (threads == nullptr) continue;
    while (const dirent* entry = readdir(threads)) {
      if (entry->d_name[0] == '.') continue;
      std::istringstream children(read_file(fmt::format("{}/{}/children", folder, entry->d_name)));
      for (pid_t child = 0; children >> child;) out.push_back(child);
    }
    closedir(threads);
  }
  return out;
}

uint64_t sockets_here() {
  std::ifstream in("/proc/net/sockstat");
  for (std::string word; in >> word;) {
    uint64_t count = 0;
    if (word == "alloc" && in >> count) return count;
  }
  return 0;
}

void wait_for_sockets_to_go(uint64_t left) {
  constexpr int kLooks = 1800;
  for (int i = 0; i < kLooks && sockets_here() > left; ++i) usleep(100'000);
}

void pin_this_thread(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void pin_other_threads(pid_t pid, std::string_view name_prefix, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  const std::string folder = fmt::format("/proc/{}/task", pid);
  DIR* threads = opendir(folder.c_str());
  if (threads == nullptr) return;
  while (const dirent* entry = readdir(threads)) {
    if (entry->d_name[0] == '.') continue;
    const std::string name = read_file(fmt::format("{}/{}/comm", folder, entry->d_name));
    const pid_t thread = std::atoi(entry->d_name);
    if (thread != pid && !name.starts_with(name_prefix)) sched_setaffinity(thread, sizeof set, &set);
  }
  closedir(threads);
}

int cores_here() { return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

uint64_t take_all_descriptors() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur;
}

}  // namespace twinwire::bench
