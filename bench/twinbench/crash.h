// `twinbench crash`: a server is killed with signal 9 under load, again and again, and what it promised is
// checked: every message acknowledged `stored` is in history exactly once; under `deliver = commit` nothing
// that was ever seen is missing and no `reset` comes; under `publish` every transcript equals history once
// `rolled_back` is applied. With `lossy` the data directory is on a file system that forgets unsynced bytes
// at each kill.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace twinwire::bench {

struct CrashOptions {
  std::string program;  // the twinwire to kill
  std::string deliver = "both";
  uint32_t rounds = 20;
  uint64_t seed = 1;
  uint32_t shards = 2;
  std::string lossy;  // the lossyfs program; empty: an ordinary folder
  std::string scratch = "/tmp";
  std::vector<std::string> settings;  // further settings of the server
  bool json = false;
  bool quiet = false;
};

// 0: all promises kept; 1: not; 2: the run could not begin.
int crash(const CrashOptions& options);

}  // namespace twinwire::bench
