#include "tests/sim/coverage.h"

#include <cstdio>
#include <iterator>

#include "core/status.h"

namespace twinwire::sim {
namespace {

// A chapter begins where the first is given.
struct Line {
  const char* chapter;
  const char* what;
};
constexpr Line kLines[] = {
    {"Shape", "one shard"},
    {"", "two shards"},
    {"", "three or five shards"},
    {"", "64 shards"},
    {"", "deliver = publish"},
    {"", "deliver = commit"},
    {"", "interleaved rooms with shared members"},
    {"", "tiny bounds"},

    {"Sessions", "session joining"},
    {"", "session replaying"},
    {"", "session live"},
    {"", "session lagging"},
    {"", "session without a stream"},
    {"", "session forgotten"},
    {"", "live to lagging"},
    {"", "lagging to live"},
    {"", "held overflow: another round"},
    {"", "steps put off to the next tick"},
    {"", "delivery paused inside a member list"},
    {"", "resumed"},
    {"", "history=N"},
    {"", "from earliest"},
    {"", "transport switch"},
    {"", "take-over within a shard"},
    {"", "take-over across shards"},
    {"", "replaced by another stream"},
    {"", "id-only block"},
    {"", "poll with events"},
    {"", "poll without"},
    {"", "joined run shared"},
    {"", "excluded: user"},
    {"", "excluded: connection"},
    {"", "an event that is not kept"},

    {"Resets", "reset: trimmed"},
    {"", "reset: forbidden"},
    {"", "reset: rolled_back"},
    {"", "reset: unknown_cursor"},

    {"Rooms", "room gained by the inbox"},
    {"", "room gained by a command"},
    {"", "removal of a member"},
    {"", "closed or direct room created"},
    {"", "room cleared"},
    {"", "message edited"},
    {"", "message deleted"},
    {"", "newest state checked"},
    {"", "receipt"},
    {"", "room trimmed"},
    {"", "room forgotten by its home"},
    {"", "tail dropped its front"},
    {"", "read from the store"},
    {"", "typing shed"},
    {"", "presence shed"},
    {"", "shard slept"},

    {"Identity", "invited to a room"},
    {"", "removed by another"},
    {"", "history = full: read from before"},
    {"", "user revoked"},
    {"", "stream ended: revoked"},
    {"", "stream ended: its token has expired"},
    {"", "token renewed"},
    {"", "told that a token ends"},
    {"", "command with a revoked token"},
    {"", "receipt written again"},

    {"Clients", "client vanishes"},
    {"", "client stops reading"},
    {"", "send: short"},
    {"", "send: socket full"},
    {"", "socket became writable"},

    {"Bounds", "full ring: claim refused"},
    {"", "answered overloaded"},
    {"", "answered storage_unavailable"},
    {"", "answered forbidden"},
    {"", "answered conflict"},
    {"", "too much mail waits: command refused"},
    {"", "mailbox full"},
    {"", "no credit for a reply"},
    {"", "too many requests at the store"},
    {"", "backlog of the writer full"},
    {"", "lease renewed"},

    {"Ids", "retry of a pending id"},
    {"", "retry answered from memory"},
    {"", "retry answered from the store"},
    {"", "retry after it was unsaved"},
    {"", "command behind an id that the store is asked about"},
    {"", "retry after a loss"},

    {"Store", "fault: store stalls"},
    {"", "fault: disk full"},
    {"", "fault: commits fail"},
    {"", "commit failed and landed"},
    {"", "fault: reads fail"},
    {"", "fault: a shard or the writer is not scheduled"},
    {"", "store failing"},
    {"", "store healed"},
    {"", "event unsaved"},
    {"", "unsaved: a room's creation"},
    {"", "unsaved: a membership"},
    {"", "unsaved: a membership's end"},
    {"", "a room could not be loaded at once"},
    {"", "a user could not be loaded at once"},

    {"Crashes", "crash under publish"},
    {"", "crash under commit"},
    {"", "crash that lost unsynced batches"},
    {"", "restart with the other policy"},
    {"", "after a crash: an open event was stored"},
    {"", "after a crash: an open event was lost"},
};

bool listed(std::string_view what) {
  for (const Line& line : kLines)
    if (what == line.what) return true;
  return false;
}

}  // namespace

void Coverage::hit(std::string_view what, uint64_t n) {
  if (n == 0) return;
  auto known = counts_.find(what);
  if (known == counts_.end()) {
    if (!listed(what)) {
      std::fprintf(stderr, "not in the list of coverage.cc: %.*s\n", static_cast<int>(what.size()),
                   what.data());
      TW_CHECK(false);
    }
    known = counts_.emplace(what, 0).first;
  }
  known->second += n;
}

uint32_t Coverage::print() const {
  uint32_t zero = 0;
  std::printf("%-9s %-52s %14s\n", "", "state, fault or bound", "times");
  for (const Line& line : kLines) {
    auto found = counts_.find(line.what);
    uint64_t count = found == counts_.end() ? 0 : found->second;
    zero += count == 0;
    std::printf("%-9s %-52s %14llu%s\n", line.chapter, line.what, static_cast<unsigned long long>(count),
                count ? "" : "  NEVER");
  }
  std::printf("%zu of %zu reached\n", std::size(kLines) - zero, std::size(kLines));
  return zero;
}

}  // namespace twinwire::sim
