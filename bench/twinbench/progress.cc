#include "bench/twinbench/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace twinwire::bench {

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::show(client::Nanos now, const std::string& line) {
  next_ = now + (terminal_ ? client::kSecond / 5 : 5 * client::kSecond);
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", line);
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (shown_ && terminal_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
}

}  // namespace twinwire::bench
