// BatchBuilder: what one group of events becomes in the database, in one atomic batch: records, idempotency
// entries, rooms, members, settled_through, the lease; and the removal of ghosts. Undo: how an event that was
// told unsaved is taken back if its batch reached the disk after all. Not here: when a batch is committed
// (writer.h). The writing thread only; buffers are kept from batch to batch.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/event.h"
#include "store/database.h"
#include "store/keys.h"
#include "store/shared_state.h"

namespace twinwire::store {

// Entries as they were before an event's batch was first handed to the database.
struct Undo {
  struct Entry {
    Table table = Table::events;
    std::string key;
    std::optional<std::string> before;  // nothing: it did not exist
  };
  Sequence sequence;
  std::vector<Entry> entries;
};

class BatchBuilder {
 public:
  // `room_key` is StoreBoot::room_key: the seed of inbox ids and idempotency keys.
  // With `for_hook` every event is put into the save hook's queue too.
  BatchBuilder(uint64_t room_key, Database& database, SharedState& shared, bool for_hook = false);

  // `settled`: everything up to it is (Durability::durable).
  void begin(Sequence settled);
  // Restores what `undo` holds.
  void bury(const Undo& undo);
  // Reads the database when the event has an effect (what the entry was before), hence the Result.
  Result<void> add(const Event& event);
  void settle(Sequence settled) { set_->put(Table::meta, kMetaSettled, encode_sequence(settled)); }
  void renew_lease(Sequence lease_end) { set_->put(Table::meta, kMetaLeaseEnd, encode_sequence(lease_end)); }
  WriteSet& writes() { return *set_; }

  // After the batch was committed, before the outcome of `event`, the group's index-th, is set.
  void extend_filters(const Event& event, size_t index);
  // Forgets how to undo the event: it is stored.
  void forget(Sequence sequence) {
    if (!before_.empty()) before_.erase(sequence.value);
  }
  // For an event given up after it was handed over.
  Undo take_undo(const Event& event);

 private:
  Result<void> add_effect(const Event& event);
  Result<void> forget_older_changes(const Event& event);
  Result<void> change(Table table, std::string_view key, std::optional<std::string_view> value,
                      std::vector<Undo::Entry>* before);

  const uint64_t room_key_;
  const bool for_hook_;
  Database& database_;
  SharedState& shared_;
  std::unique_ptr<WriteSet> set_;
  Sequence settled_;
  std::unordered_set<uint64_t> ghosts_;  // as of `settled_`
  std::string record_, hook_entry_;
  std::vector<std::optional<IdempotencyKey>> ids_;       // of the group
  std::map<uint64_t, std::vector<Undo::Entry>> before_;  // of events with effects, until settled
  std::map<std::pair<Table, std::string>, std::optional<std::string>> buried_;  // restored by this batch
};

}  // namespace twinwire::store
