// Histogram: how often a value fell into which bucket. Bounds are powers of two, so that finding a bucket is
// one instruction, and counting one is three additions. SharedHistogram is the same for one writing thread
// and readers anywhere. Not here: what is measured (metrics.h, durability.h), how it is shown
// (net/metrics_text).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace twinwire {

// Buckets `value <= 2^Low`, `<= 2^(Low+1)`, …, `<= 2^High`, and one for all above. Only numbers of 64 bits
// inside, so that Metrics can be added up as an array of them.
template <uint32_t Low, uint32_t High>
struct Histogram {
  static constexpr uint32_t kBounds = High - Low + 1;
  std::array<uint64_t, kBounds + 1> buckets{};
  uint64_t sum = 0;

  static constexpr uint64_t bound(uint32_t bucket) { return uint64_t{1} << (Low + bucket); }
  static constexpr uint32_t bucket_of(uint64_t value) {
    auto power = static_cast<uint32_t>(value <= 1 ? 0 : std::bit_width(value - 1));
    return power <= Low ? 0 : std::min(power - Low, kBounds);
  }
  void observe(uint64_t value, uint64_t times = 1) {
    buckets[bucket_of(value)] += times;
    sum += value * times;
  }
  uint64_t count() const {
    uint64_t all = 0;
    for (uint64_t n : buckets) all += n;
    return all;
  }
};

// Microseconds, from 16 us to 16.8 s.
using LatencyHistogram = Histogram<4, 24>;
// How many of something at once, from 1 to 1024.
using GroupHistogram = Histogram<0, 10>;

// One thread observes, any thread takes a snapshot: relaxed loads and stores, nothing is locked. A snapshot
// may be between two of an observation's additions.
template <typename Plain>
class SharedHistogram {
 public:
  void observe(uint64_t value, uint64_t times = 1) {
    add(buckets_[Plain::bucket_of(value)], times);
    add(sum_, value * times);
  }
  Plain snapshot() const {
    Plain out;
    for (size_t i = 0; i < buckets_.size(); i++) out.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
    out.sum = sum_.load(std::memory_order_relaxed);
    return out;
  }

 private:
  static void add(std::atomic<uint64_t>& to, uint64_t n) {
    to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);  // the only writer
  }
  std::array<std::atomic<uint64_t>, Plain::kBounds + 1> buckets_{};
  std::atomic<uint64_t> sum_{0};
};

}  // namespace twinwire
