// Engine: the shards and what they share: ring, durability, history, configuration.
// Not here: threads. The server gives each shard a thread, the simulator runs them all in one.
// Constant after construction but for `draining`; everything mutable belongs to a shard or is an atomic of
// its own.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/clock.h"
#include "core/config.h"
#include "core/durability.h"
#include "core/history.h"
#include "core/identity.h"
#include "core/limits.h"
#include "core/mailbox.h"
#include "core/mutation.h"
#include "core/rates.h"
#include "core/revocations.h"
#include "core/ring.h"
#include "core/tenants.h"
#include "core/transport.h"

namespace twinwire {

class Shard;

// Looks at each event when its slot is about to be published, every reference prepaid. Tests only.
class LogWatch {
 public:
  virtual ~LogWatch() = default;
  virtual void publishing(const Event& event, uint64_t mask) = 0;
};

class Engine {
 public:
  struct Parts {
    const Config& config;
    const StoreBoot& boot;
    const Clock& clock;
    Ring& ring;
    Durability& durability;
    History& history;
    Mutation mutation = Mutation::none;
    uint32_t mailbox_requests = 1 << 14;  // requests that may wait at one shard
    uint32_t mailbox_credits = 1 << 14;   // replies one shard may have outstanding
    Bounds bounds = {};
    LogWatch* watch = nullptr;
  };
  // One transport and one random source per shard, by index; all of it outlives the engine.
  Engine(const Parts& parts, std::vector<Transport*> transports, std::vector<Random*> randoms);
  ~Engine();

  uint32_t shard_count() const { return static_cast<uint32_t>(shards_.size()); }
  Shard& shard(ShardIndex index) { return *shards_[index_of(index)]; }
  void reply_to(ShardIndex to, MailRef mail);
  void room_trimmed(RoomId room, Sequence trimmed_through);  // from the store's retention; any thread

  const Config& config() const { return parts_.config; }
  // In open rooms, of who brings no grants: auth.default_rights, and in mode none every right.
  Rights default_rights() const { return default_rights_; }
  const StoreBoot& boot() const { return parts_.boot; }
  const Clock& clock() const { return parts_.clock; }
  Ring& ring() { return parts_.ring; }
  Durability& durability() { return parts_.durability; }
  History& history() { return parts_.history; }
  const Parts& parts() const { return parts_; }
  const Bounds& bounds() const { return parts_.bounds; }
  UserRates& user_rates() { return user_rates_; }        // any shard
  TenantRates& tenant_rates() { return tenant_rates_; }  // any shard
  Tenants& tenants() { return tenants_; }                // any shard
  bool mutated(Mutation m) const { return parts_.mutation == m; }

  Revocations& revocations() { return revocations_; }

  // From now on streams are refused with `draining`; net ends the open ones.
  void start_draining() { draining_.store(true, std::memory_order_relaxed); }
  bool draining() const { return draining_.load(std::memory_order_relaxed); }
  uint64_t started_ms() const { return started_ms_; }

 private:
  Parts parts_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Rights default_rights_;
  Revocations revocations_;
  UserRates user_rates_;
  TenantRates tenant_rates_;
  Tenants tenants_;
  std::atomic<bool> draining_{false};
  uint64_t started_ms_;
};

}  // namespace twinwire
