// What twinctl's commands do, from an answer to the printed text. Not here: the command line (main.cc).
#pragma once

#include <cstdint>
#include <string>

#include "tools/twinctl/admin.h"

namespace twinwire::ctl {

// All return the exit status: 0 done, 1 refused or not there.
enum class Listing : uint8_t { stats, rooms, room, sessions };
struct ListOptions {
  Listing what = Listing::stats;
  // What the server sorts and filters by; empty: not given.
  std::string tenant, sort, order, contains, user, room, transport, state;
  uint32_t limit = 0, offset = 0;  // limit 0: the server's
  bool json = false;               // the answer as it is
};
int list(const Access& access, const ListOptions& options);

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

// What changes something: each is one POST with a JSON body, and one line about what it did.
struct KickOptions {
  std::string user, session;  // one of them
  std::string tenant, reason;
  bool stay_away = false;  // the clients are told not to come back
  bool json = false;
};
int kick(const Access& access, const KickOptions& options);

struct NamedOptions {
  std::string name, tenant;
  bool json = false;
};
int clear(const Access& access, const NamedOptions& options);
int revoke(const Access& access, const NamedOptions& options);

// Says whether the server would start with this configuration: the file, and the environment over it.
int check_config(const std::string& path, bool json);

}  // namespace twinwire::ctl
