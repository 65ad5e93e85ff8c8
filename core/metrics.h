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

  Metrics& operator+=(const Metrics& other) {
    const auto* from = reinterpret_cast<const uint64_t*>(&other);
    auto* to = reinterpret_cast<uint64_t*>(this);
    for (size_t i = 0; i < sizeof(Metrics) / sizeof(uint64_t); i++) to[i] += from[i];
    return *this;
  }
};

}  // namespace twinwire
