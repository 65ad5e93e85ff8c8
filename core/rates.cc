#include "core/rates.h"

#include <xxhash.h>

#include <algorithm>

namespace twinwire {

TenantRates::TenantRates(uint32_t per_second, uint32_t burst)
    : step_us_(per_second ? std::max<uint64_t>(1, 1'000'000 / per_second) : 0),
      burst_us_(step_us_ * std::max<uint32_t>(1, burst)) {}

TenantRates::Bucket& TenantRates::bucket(std::string_view tenant) {
  uint64_t hash = XXH3_64bits(tenant.data(), tenant.size()) | 1;
  size_t at = hash >> 8;
  for (size_t probe = 0; probe < kProbes; probe++, at++) {
    Bucket& place = buckets_[at % kPlaces];
    // Relaxed: the hash is all that is passed on; the time in the bucket stands for itself.
    uint64_t owner = place.tenant.load(std::memory_order_relaxed);
    if (owner == hash) return place;
    if (owner == 0 &&
        (place.tenant.compare_exchange_strong(owner, hash, std::memory_order_relaxed) || owner == hash))
      return place;
  }
  return buckets_[at % kPlaces];
}

Millis TenantRates::take(std::string_view tenant, Millis now) {
  if (step_us_ == 0) return 0;
  Bucket& own = bucket(tenant);
  uint64_t now_us = now * 1000;
  uint64_t full_at = own.full_at_us.load(std::memory_order_relaxed);
  for (;;) {
    uint64_t next = std::max(full_at, now_us) + step_us_;
    if (next > now_us + burst_us_) return (next - now_us - burst_us_ + 999) / 1000;
    // Relaxed: nothing else is published by it.
    if (own.full_at_us.compare_exchange_weak(full_at, next, std::memory_order_relaxed)) return 0;
  }
}

}  // namespace twinwire
