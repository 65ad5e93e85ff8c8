// RoomReader: what the database holds of a room, a user or an idempotency key, read now, on the calling
// thread. Not here: queueing, sharing and caching of reads (history_store.h). A reader thread each has its
// own; nothing is kept between calls but the decoder's last names.
#pragma once

#include <optional>
#include <unordered_set>
#include <vector>

#include "core/history.h"
#include "store/database.h"
#include "store/record.h"
#include "store/shared_state.h"

namespace twinwire::store {

// Through where a room's past is gone (FORMAT.md, "rooms").
struct RoomMarks {
  Sequence trimmed;
  Sequence cleared;
};
Result<RoomMarks> read_marks(Database& database, RoomId room);

class RoomReader {
 public:
  RoomReader(Database& database, const SharedState& shared, const Durability& durability, Epoch epoch,
             const Bridges* bridges = nullptr)
      : database_(database), shared_(shared), durability_(durability), decoder_(epoch, bridges) {}

  // `next` is the sequence of the first event that a limit cut off (0: none): after the last, or with newest
  // before the first. The range ends at `durable` at the latest.
  struct Events {
    std::vector<EventRef> list;
    std::vector<MessageChange> changes;
    Sequence next;
    Sequence trimmed_through;
    uint32_t bytes = 0;
  };
  Result<Events> events(const ReadRequest& request);
  Result<RoomRecord> room(RoomId room);
  Result<UserRecord> user(RoomId inbox);
  // The entry under the key, expired or not, but not a ghost's.
  Result<std::optional<IdempotencyValue>> idempotent(const IdempotencyKey& key);

 private:
  Result<Events> try_events(const ReadRequest& request, Sequence durable);
  Result<void> find_changes(RoomId room, Sequence durable, const std::unordered_set<uint64_t>& ghosts,
                            Events& events);
  Result<void> read_receipts(RoomId room, std::vector<UserReceipt>& receipts);
  Result<Sequence> last_kept(RoomId room);

  Database& database_;
  const SharedState& shared_;
  const Durability& durability_;
  RecordDecoder decoder_;
};

}  // namespace twinwire::store
