// What the system says of this process: memory, descriptors, processor time. A few reads of /proc, some tens
// of microseconds. Any thread.
#pragma once

#include <cstdint>

namespace twinwire {

struct ProcessFacts {
  uint64_t resident_bytes = 0, virtual_bytes = 0;
  uint64_t open_descriptors = 0, max_descriptors = 0;  // plain ones: sockets live in the rings' own tables
  uint64_t threads = 0;
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since 1970
};
// What cannot be read is 0.
ProcessFacts read_process();

}  // namespace twinwire
