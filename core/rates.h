// UserRates and TenantRates: how many commands each user, and each tenant, may send over all shards. A bucket
// is a time (when it will be full again), so that taking is one compare-and-swap. Not here: the rate of a
// connection, and who is asked when (Shard::too_fast). Any thread, no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "core/types.h"

namespace twinwire {

// By user, whatever number of connections they use. A place belongs to somebody only while something is owed
// there, so a table of 512 KiB serves any number of users. It is a hash table of lines of eight places. Where
// a line is full of others who owe, who owes least is forgotten: a burst too much for somebody, never a
// refusal for who has sent nothing. Users whose hashes are equal in all 32 bits share a bucket.
class UserRates {
 public:
  // Each at least 1. What has been earned counts in whole commands: one more than `burst` may pass at once.
  UserRates(uint32_t per_second, uint32_t burst);

  // 0: admitted. Else the milliseconds until the next command may be.
  Millis take(const Name& user, Millis now);

  static constexpr size_t kLines = 1 << 13, kPlacesPerLine = 8;

 private:
  // A place is one word: 19 bits of the hash (the other 13 choose the line) above 45 bits of time, counted in
  // commands that the rate earns. That goes round after 400 days at the highest rate there is; compared by
  // the difference, it may.
  static constexpr unsigned kTimeBits = 45;
  static constexpr uint64_t kTimeMask = (uint64_t{1} << kTimeBits) - 1;
  // How much is owed at `now`; 0 where the time has passed.
  uint64_t owed(uint64_t place, uint64_t now) const;

  struct Free {
    void operator()(uint64_t* memory) const { std::free(memory); }
  };
  const uint64_t per_second_, burst_;
  // The most that a place can owe: another shard's clock may be ahead of the asker's by a tick, and ten
  // seconds are longer than any.
  const uint64_t owed_max_;
  const std::unique_ptr<uint64_t[], Free> places_;  // of atomics; memory that nobody touches is not taken
};

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
