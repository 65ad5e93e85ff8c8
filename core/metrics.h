// Metrics: what one shard counts. Plain numbers, added up over the shards when somebody asks (Shard::gather).
// The shard's thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace twinwire {

struct Metrics {
  uint64_t published = 0, delivered = 0, commands = 0, failed_commands = 0, duplicates = 0;
  uint64_t resumes = 0, take_overs = 0, lagged = 0, caught_up = 0, reads = 0, store_reads = 0;
  uint64_t reset_trimmed = 0, reset_unknown = 0, reset_forbidden = 0, reset_rolled_back = 0;
  uint64_t shed_typing = 0, shed_presence = 0, refused_overloaded = 0, refused_storage = 0, refused_rate = 0;
  uint64_t unsaved = 0, polls = 0, streams_opened = 0;
  // Bounds that were met, and rare turns: the simulator asks that each is reached.
  uint64_t claims_refused = 0, crowded = 0, mailbox_full = 0, no_credit = 0, store_queue_full = 0;
  uint64_t held_overflows = 0, deliveries_paused = 0, tail_dropped = 0, steps_put_off = 0;
  uint64_t gained_by_inbox = 0, gained_by_command = 0, removals = 0, rooms_forgotten = 0,
           sessions_forgotten = 0;
  uint64_t retries_pending = 0, retries_memory = 0, retries_store = 0, held_behind = 0, inbox_waited = 0;
  uint64_t withdrawn_created = 0, withdrawn_added = 0, withdrawn_removed = 0, room_reloads = 0,
           user_reloads = 0;

  Metrics& operator+=(const Metrics& other) {
    const auto* from = reinterpret_cast<const uint64_t*>(&other);
    auto* to = reinterpret_cast<uint64_t*>(this);
    for (size_t i = 0; i < sizeof(Metrics) / sizeof(uint64_t); i++) to[i] += from[i];
    return *this;
  }
};

}  // namespace twinwire
