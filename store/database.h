// Database: all that the store asks of a disk: atomic batches with or without sync, point reads, range reads.
// RocksDB in the server (rocks_database.h), a model with synced and unsynced halves in the simulator
// (tests/sim/model_database.h). Not here: what keys and values mean (keys.h, record.h, FORMAT.md).
// Any thread; a WriteSet belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"

namespace twinwire::store {

// The column families. Keys are compared as unsigned bytes.
enum class Table : uint8_t {
  events,       // room id + sequence -> record
  rooms,        // room id + tag -> what is known of a room
  membership,   // room -> members, user -> rooms
  idempotency,  // hash of (room, sender, client id) -> sequence
  meta,         // format, epoch, lease, settled_through, starts, the save hook's cursor
  hook,         // sequence -> room id and record of what the save hook has to deliver
};
inline constexpr size_t kTableCount = 6;

// Operations that take effect together or not at all, in the order given. Kept and cleared rather than made
// anew.
class WriteSet {
 public:
  virtual ~WriteSet() = default;
  virtual void put(Table table, std::string_view key, std::string_view value) = 0;
  virtual void remove(Table table, std::string_view key) = 0;
  virtual void clear() = 0;
};

// yes: on return the batch and every batch before it survive a crash of the machine.
enum class Sync : bool { no, yes };

// The keys with from <= key < to, in order or backward. An empty `to` means the end of the table.
struct Range {
  Table table = Table::events;
  std::string_view from;
  std::string_view to;
  bool backward = false;
};

// Called per entry; the views end with the call. False stops.
using Visit = std::function<bool(std::string_view key, std::string_view value)>;

class Database {
 public:
  virtual ~Database() = default;

  virtual std::unique_ptr<WriteSet> make_write_set() = 0;
  // Blocks for the sync. On failure (io error, no space: `storage_unavailable`) the batch is not visible to
  // reads, but it may have reached the disk and appear after a heal() or a restart.
  virtual Result<void> commit(WriteSet& writes, Sync sync) = 0;
  // After a failed commit, before the next: true when commits may succeed again. May reopen what lies below.
  virtual bool heal() { return true; }
  // True when a commit begun now is known not to return soon. Only models know; the writer's step() then
  // leaves the commit in flight and comes back for it.
  virtual bool would_stall() const { return false; }

  virtual Result<std::optional<std::string>> get(Table table, std::string_view key) = 0;
  // What is visible when the call begins; later commits may or may not be seen.
  virtual Result<void> scan(const Range& range, const Visit& visit) = 0;
};

}  // namespace twinwire::store
