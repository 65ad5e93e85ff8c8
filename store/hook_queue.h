// HookQueue: the kept events that the save hook has not delivered yet, on disk, in the order of the log. The
// writer puts each in with the batch that stores it (batch.h); the hook's thread takes from the front and
// moves the durable cursor. Entries are whole records, so that neither retention nor a cleared room makes a
// hole. Not here: sending (tools/twinwire/save_hook.h). One thread calls; the counters are for everyone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/durability.h"
#include "core/status.h"
#include "core/types.h"
#include "store/database.h"
#include "store/record.h"
#include "store/shared_state.h"

namespace twinwire::store {

// Key of an entry: sequence (8, big-endian). Value: room id (16), then the record.
std::string hook_key(Sequence sequence);
void append_hook_entry(std::string& out, RoomId room, std::string_view record);

class HookQueue {
 public:
  HookQueue(Database& database, const SharedState& shared, Durability& durability, Epoch epoch);

  // Reads the cursor and counts what waits; once, before anything else.
  Result<void> open();

  // The next events behind the cursor that are settled: at most `events` of them (what cannot be read counts)
  // and `bytes` of JSON, but one whatever its size.
  struct Batch {
    std::vector<std::string> json;  // native envelopes
    Sequence last;                  // 0: nothing waits
    uint64_t entries = 0;           // how many of those that wait: json.size() + unreadable
    uint64_t unreadable = 0;  // passed over: their record says nothing, and the others do not wait for it
    Sequence first_unreadable;
    uint64_t oldest_wall_ms = 0;
  };
  Result<Batch> next(uint32_t events, uint64_t bytes);
  // Through `last` everything was delivered: moves the cursor and removes `entries`. Not synced: what a crash
  // takes back is delivered again.
  Result<void> taken(Sequence last, uint64_t entries);
  // Removes from the front until at most `max` wait; returns how many went.
  Result<uint64_t> cut(uint64_t max);

  uint64_t waiting() const { return durability_.hook.queued.load(std::memory_order_relaxed); }

 private:
  Result<void> remove_through(Sequence last, uint64_t entries);

  Database& database_;
  const SharedState& shared_;
  Durability& durability_;
  RecordDecoder decoder_;
  std::unique_ptr<WriteSet> writes_;
  Sequence cursor_;
};

}  // namespace twinwire::store
