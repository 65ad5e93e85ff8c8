// Counts of durations in buckets of at most 1.6 % width: percentiles without keeping the samples.
// Thread: its owner's. Owns 30 KiB.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace twinwire::client {

class Histogram {
 public:
  void add(uint64_t value) {
    ++buckets_[bucket_of(value)];
    ++count_;
    if (value > max_) max_ = value;
  }
  void clear() { *this = Histogram(); }
  void add(const Histogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    if (other.max_ > max_) max_ = other.max_;
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  // The upper edge of the bucket that holds the fraction (0…1) of all samples, at most the largest; 0 without
  // any.
  uint64_t at(double fraction) const {
    const auto rank = static_cast<uint64_t>(fraction * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > rank) return edge_of(i) < max_ ? edge_of(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr unsigned kBits = 6;  // 64 buckets for each power of two
  static constexpr uint64_t kExact = uint64_t{1} << kBits;
  static size_t bucket_of(uint64_t value) {
    if (value < kExact) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return (shift + 1) * kExact + ((value >> shift) - kExact);
  }
  static uint64_t edge_of(size_t bucket) {
    if (bucket < kExact) return bucket;
    const uint64_t shift = bucket / kExact - 1;
    return ((bucket % kExact + kExact + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kBits + 1) * kExact> buckets_{};  // for every 64-bit value
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace twinwire::client
