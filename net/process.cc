#include "net/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

namespace twinwire {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;
File open_for_reading(const char* path) { return {std::fopen(path, "re"), std::fclose}; }

// More than so many are not counted one by one.
constexpr uint64_t kDescriptorsCounted = 4096;

uint64_t count_descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.' && ++count == kDescriptorsCounted) break;
  }
  closedir(folder);
  return count > 0 ? count - 1 : 0;  // without the folder itself
}

// Seconds since 1970 at which the system started.
double boot_time() {
  File file = open_for_reading("/proc/stat");
  char line[512];
  unsigned long long seconds = 0;
  while (file && std::fgets(line, sizeof line, file.get()) != nullptr)
    if (std::sscanf(line, "btime %llu", &seconds) == 1) break;
  return static_cast<double>(seconds);
}

// Fields of proc(5), /proc/pid/stat, behind the name in brackets, which may hold anything.
void read_stat(ProcessFacts& facts) {
  File file = open_for_reading("/proc/self/stat");
  char text[1024];
  size_t size = file ? std::fread(text, 1, sizeof text - 1, file.get()) : 0;
  text[size] = '\0';
  const char* fields = std::strrchr(text, ')');
  unsigned long long threads = 0, started = 0, bytes = 0;
  long long pages = 0;
  if (fields == nullptr ||
      std::sscanf(
          fields + 1,
          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu %*d %llu %llu %lld",
          &threads, &started, &bytes, &pages) != 4) {
    return;
  }
  static const double boot = boot_time();
  facts.threads = threads;
  facts.virtual_bytes = bytes;
  facts.resident_bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  facts.start_time_seconds = boot + static_cast<double>(started) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessFacts read_process() {
  ProcessFacts facts;
  read_stat(facts);
  facts.open_descriptors = count_descriptors();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.max_descriptors = limit.rlim_cur;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    facts.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  return facts;
}

}  // namespace twinwire
