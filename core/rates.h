// TenantRates: how many commands each tenant may send over all shards: one bucket a tenant, as a time (when
// it will be full again), so that taking is one compare-and-swap. Not here: connections' own rates
// (Shard::too_fast). Any thread, no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/types.h"

namespace twinwire {

class TenantRates {
 public:
  // `per_second` 0: no limit.
  TenantRates(uint32_t per_second, uint32_t burst);

  // 0: admitted. Else the milliseconds until the next command may be.
  Millis take(std::string_view tenant, Millis now);

 private:
  // More tenants than places share the last ones looked at, and so a limit: a bound, not a surprise.
  static constexpr size_t kPlaces = 4096, kProbes = 64;
  struct Bucket {
    std::atomic<uint64_t> tenant{0};      // hash; 0: nobody's yet
    std::atomic<uint64_t> full_at_us{0};  // when nothing of what was taken is owed any more
  };
  Bucket& bucket(std::string_view tenant);

  const uint64_t step_us_;   // what one command costs
  const uint64_t burst_us_;  // what may be owed
  std::array<Bucket, kPlaces> buckets_;
};

}  // namespace twinwire
