// How many connections there are, in all and per address, over all shards.
// Addresses are counted in a fixed table by hash: two that fall together share a count, so memory is bounded
// and nothing locks; a limit is met early in the rare case, never late. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace twinwire {

class Admission {
 public:
  // 0: no limit.
  Admission(uint32_t connections_max, uint32_t per_address_max)
      : connections_max_(connections_max), per_address_max_(per_address_max) {}

  static uint16_t bucket_of(uint64_t address_key) {
    return static_cast<uint16_t>((address_key * 0x9e3779b97f4a7c15u) >> 48);
  }
  // Counts one in; false: beyond a limit (counted all the same, until leave()).
  bool enter(uint16_t bucket) {
    uint32_t all = all_.fetch_add(1, std::memory_order_relaxed) + 1;  // plain counts: no order is needed
    uint32_t here = per_address_[bucket].fetch_add(1, std::memory_order_relaxed) + 1;
    return (connections_max_ == 0 || all <= connections_max_) &&
           (per_address_max_ == 0 || here <= per_address_max_);
  }
  void leave(uint16_t bucket) {
    all_.fetch_sub(1, std::memory_order_relaxed);
    per_address_[bucket].fetch_sub(1, std::memory_order_relaxed);
  }
  uint32_t connections() const { return all_.load(std::memory_order_relaxed); }

 private:
  const uint32_t connections_max_;
  const uint32_t per_address_max_;
  std::atomic<uint32_t> all_{0};
  std::array<std::atomic<uint32_t>, 65536> per_address_{};
};

}  // namespace twinwire
