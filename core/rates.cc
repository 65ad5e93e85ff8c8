#include "core/rates.h"

#include <xxhash.h>

#include <algorithm>

#include "core/hash_key.h"
#include "core/status.h"

namespace twinwire {

UserRates::UserRates(uint32_t per_second, uint32_t burst)
    : per_second_(std::max<uint32_t>(1, per_second)),
      burst_(std::max<uint32_t>(1, burst)),
      owed_max_(burst_ + per_second_ * 10),
      places_(static_cast<uint64_t*>(std::calloc(kLines * kPlacesPerLine, sizeof(uint64_t)))) {
  TW_CHECK(places_ != nullptr);
}

uint64_t UserRates::owed(uint64_t place, uint64_t now) const {
  uint64_t ahead = (place - now) & kTimeMask;
  return ahead <= owed_max_ ? ahead : 0;
}

Millis UserRates::take(const Name& user, Millis now) {
  const uint64_t earned = now * per_second_ / 1000;
  const uint64_t tag = uint64_t{user.hash() / kLines} << kTimeBits;
  uint64_t* const line = &places_[user.hash() % kLines * kPlacesPerLine];
  // Relaxed, all of it: a place stands for itself, nothing else is published by it.
  for (;;) {
    size_t at = 0;
    uint64_t place = 0, owes = UINT64_MAX;
    for (size_t i = 0; i < kPlacesPerLine; i++) {
      uint64_t word = std::atomic_ref(line[i]).load(std::memory_order_relaxed);
      uint64_t there = owed(word, earned);
      bool own = there != 0 && (word & ~kTimeMask) == tag;
      if (own || there < owes) at = i, place = word, owes = there;
      if (own) break;
    }
    uint64_t own = (place & ~kTimeMask) == tag ? owes : 0;
    if (own >= burst_) return ((earned + own + 1 - burst_) * 1000 + per_second_ - 1) / per_second_ - now;
    uint64_t next = tag | ((earned + own + 1) & kTimeMask);
    if (std::atomic_ref(line[at]).compare_exchange_weak(place, next, std::memory_order_relaxed)) return 0;
  }
}

TenantRates::TenantRates(uint32_t per_second, uint32_t burst)
    : step_us_(per_second ? std::max<uint64_t>(1, 1'000'000 / per_second) : 0),
      burst_us_(step_us_ * std::max<uint32_t>(1, burst)) {}

TenantRates::Bucket& TenantRates::bucket(std::string_view tenant) {
  uint64_t hash = XXH3_64bits_withSeed(tenant.data(), tenant.size(), hash_key()) | 1;
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
