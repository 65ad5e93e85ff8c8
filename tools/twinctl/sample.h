// Two looks at a server's counters, and what happened between them: rates and latencies. Not here: fetching,
// showing. Any thread; plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/client/event.h"

namespace twinwire::ctl {

// Of one histogram in /admin/stats: counts per bucket, the last one for what lies above all bounds.
struct Buckets {
  std::vector<uint64_t> bounds, counts;
  uint64_t sum = 0;

  uint64_t count() const;
  // The value below which the part `share` (0…1) of the observations lies, linear within its bucket; the
  // greatest bound where it lies above all of them, and nothing without observations.
  std::optional<double> quantile(double share) const;
  std::optional<double> mean() const;
  // What came since `earlier`, a look at the same counters.
  Buckets since(const Buckets& earlier) const;
};

// One answer of /admin/stats, as far as rates and gauges are drawn from it.
struct Sample {
  std::string version, epoch, deliver;
  uint64_t pid = 0, uptime_seconds = 0, now_us = 0, shards = 0;
  bool draining = false, failing = false, accepting = true;
  uint64_t sse = 0, ws = 0, poll = 0, http = 0, accepted = 0;
  uint64_t sessions = 0, detached = 0, lagging = 0, rooms = 0;
  uint64_t published = 0, delivered = 0, from_history = 0;
  uint64_t sends = 0, frames = 0, bytes = 0, blocked = 0, held_bytes = 0;
  uint64_t ring_capacity = 0, ring_occupied = 0, ring_bytes = 0, ring_bytes_max = 0;
  uint64_t lag_events = 0, lag_us = 0, backlog = 0, commits = 0;
  uint64_t commands = 0, failed = 0, refused = 0, resets = 0, shed = 0, resumes = 0;
  uint64_t resident_bytes = 0;
  double cpu_seconds = 0;
  Buckets write, command, store, commit, commit_events, tick;
};
Sample sample_of(const client::Json& stats);

// From one sample to the next. Not comparable when the server has started anew between them.
class Interval {
 public:
  Interval(const Sample& earlier, const Sample& later) : from_(earlier), to_(later) {}
  bool comparable() const {
    return from_.pid == to_.pid && from_.epoch == to_.epoch && to_.now_us > from_.now_us;
  }
  double seconds() const { return static_cast<double>(to_.now_us - from_.now_us) / 1e6; }
  double per_second(uint64_t Sample::*counter) const {
    return static_cast<double>(to_.*counter - from_.*counter) / seconds();
  }
  // Part of one core.
  double cpu() const { return (to_.cpu_seconds - from_.cpu_seconds) / seconds(); }
  double frames_per_send() const {
    const uint64_t sends = to_.sends - from_.sends;
    return sends == 0 ? 0 : static_cast<double>(to_.frames - from_.frames) / static_cast<double>(sends);
  }
  Buckets between(Buckets Sample::*of) const { return (to_.*of).since(from_.*of); }
  const Sample& now() const { return to_; }

 private:
  const Sample& from_;
  const Sample& to_;
};

}  // namespace twinwire::ctl
