// One line on stderr that says how far a run is: rewritten in place on a terminal, every few seconds
// elsewhere. Thread: its owner's.
#pragma once

#include <cstdint>
#include <string>

#include "bench/client/loop.h"

namespace twinwire::bench {

class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { clear(); }
  // Whether a line is wanted now; then call show().
  bool due(client::Nanos now) const { return !quiet_ && now >= next_; }
  void show(client::Nanos now, const std::string& line);
  // Takes the line away, so that something else can be printed.
  void clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  client::Nanos next_ = 0;
};

}  // namespace twinwire::bench
