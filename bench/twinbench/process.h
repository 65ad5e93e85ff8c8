// Other processes, seen through /proc: CPU time and memory of the server under test.
// Linux only. Any thread; plain functions.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire::bench {

struct ProcessUse {
  uint64_t cpu_nanos = 0;  // of all threads, user and system, from the scheduler's own clock
  uint64_t resident_bytes = 0;
  uint64_t private_bytes = 0;  // Private_Clean + Private_Dirty + Private_Hugetlb of smaps_rollup
};
// Nothing where there is no such process or it may not be read.
std::optional<uint64_t> cpu_nanos_of(pid_t pid);
// The process and its living descendants.
std::vector<pid_t> tree_of(pid_t pid);
std::optional<ProcessUse> use_of(pid_t pid);

// What the kernel's slab holds for sockets, files, polls and small allocations, by cache, in bytes. File
// system caches are left out: others on the machine move them. Needs root; empty otherwise.
struct SlabUse {
  std::map<std::string, uint64_t> caches;
  uint64_t total() const;
};
SlabUse slab_use();
SlabUse growth(const SlabUse& before, const SlabUse& after);

// The machine's TCP sockets; 0 where the kernel does not say.
uint64_t sockets_here();
// Until at most so many are left; the kernel takes a while over those of a million that ended. Gives up after
// three minutes.
void wait_for_sockets_to_go(uint64_t left);

void pin_this_thread(const std::vector<int>& cores);
// Moves the threads of a process whose name does not begin with `name_prefix` to a core.
void pin_other_threads(pid_t pid, std::string_view name_prefix, int core);
int cores_here();
// Raises this process's soft limit of descriptors to the hard one, and says what it is.
uint64_t take_all_descriptors();

}  // namespace twinwire::bench
