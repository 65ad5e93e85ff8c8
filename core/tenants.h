// Tenants: which of them are counted by name, and what one shard counts of each. A bounded number gets a
// place of its own, the first that come, and keeps it, so that counters only rise; all others share place 0.
// Not here: rates (rates.h), how the numbers are shown (net/metrics_text, net/admin_json).
// place() from any thread: without a lock, but for the first time that a tenant is seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire {

// Plain numbers of one shard, added up like Metrics.
struct TenantCounts {
  uint64_t sse = 0, ws = 0, poll = 0;                  // streams that are open now
  uint64_t published = 0, delivered = 0, refused = 0;  // delivered: (event, stream) pairs, history included

  TenantCounts& operator+=(const TenantCounts& other) {
    sse += other.sse, ws += other.ws, poll += other.poll;
    published += other.published, delivered += other.delivered, refused += other.refused;
    return *this;
  }
};

class Tenants {
 public:
  static constexpr uint32_t kOthers = 0;

  // At most `max` tenants are told apart; below 65,536.
  explicit Tenants(uint32_t max);

  uint32_t places() const { return max_ + 1; }
  // Of this tenant, given now if there is one left; kOthers if not.
  uint16_t place(std::string_view tenant);
  // Its place, if it has one; kOthers if not.
  uint16_t find(std::string_view tenant) const;
  // By place; that of kOthers is "(other)".
  std::vector<std::string> names() const;

 private:
  struct Entry {
    std::string name;
    uint16_t place;
  };
  size_t first_of(std::string_view tenant) const;

  const uint32_t max_;
  std::vector<std::atomic<const Entry*>> table_;  // open addressing, at most half full
  std::atomic<uint32_t> count_{0};
  mutable std::mutex adding_;
  std::vector<std::unique_ptr<const Entry>> entries_;  // under adding_
};

}  // namespace twinwire
