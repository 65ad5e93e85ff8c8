// boot: what happens to a database before the engine starts: format, epoch and room key on first use, the
// list of starts, the lease, the filters. Not here: the directory (directory.h), threads (store.h). The
// starting thread; the simulator calls it after every crash.
#pragma once

#include <functional>
#include <string_view>

#include "core/clock.h"
#include "core/durability.h"
#include "core/mutation.h"
#include "core/status.h"
#include "store/database.h"
#include "store/shared_state.h"

namespace twinwire::store {

struct BootOptions {
  DeliverPolicy policy = DeliverPolicy::publish;  // of the run that begins
  uint64_t lease_step = uint64_t{1} << 24;        // sequences per lease (design: "Lease")
  Millis idempotency_keep_ms = 86'400'000;
  std::function<void(std::string_view)> log;  // one sentence at a time; may be empty
  Mutation mutation = Mutation::none;         // tests only: sequence_reused
};

// Synced before it returns: the new start and its lease. `shared.filters` is filled. Fails when the database
// cannot be read or written, holds another format, or its sequences are used up.
Result<StoreBoot> boot(Database& database, const BootOptions& options, const Clock& clock, Random& random,
                       SharedState& shared);

}  // namespace twinwire::store
