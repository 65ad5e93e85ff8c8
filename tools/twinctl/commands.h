// What twinctl's commands do, from an answer to the printed text. Not here: the command line (main.cc).
#pragma once

#include <cstdint>
#include <string>

#include "tools/twinctl/admin.h"

namespace twinwire::ctl {

// GET `target`, and print the answer as `show` makes it, or as it is with `json`. Returns the exit status.
enum class Listing : uint8_t { stats, rooms, sessions };
int list(const Access& access, Listing what, bool json);

struct TailOptions {
  std::string room;
  std::string tenant;
  std::string from;    // a cursor, or "earliest"; empty: from now
  uint64_t count = 0;  // ends after so many events; 0: never
  bool json = false;   // one event a line
};
int tail(const Access& access, const TailOptions& options);

struct PublishOptions {
  std::string room;
  std::string tenant;
  std::string text;
  std::string type;  // with `data`: another event than a message
  std::string data;
  bool ephemeral = false;
  bool json = false;
};
int publish(const Access& access, const PublishOptions& options);

}  // namespace twinwire::ctl
