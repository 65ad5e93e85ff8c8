#include "store/hook_queue.h"

#include "store/bytes.h"
#include "store/keys.h"

namespace twinwire::store {
namespace {
constexpr uint64_t kCutAtOnce = 4096;
}  // namespace

std::string hook_key(Sequence sequence) { return encode_sequence(sequence); }

void append_hook_entry(std::string& out, RoomId room, std::string_view record) {
  append_big64(out, room.high);
  append_big64(out, room.low);
  out.append(record);
}

HookQueue::HookQueue(Database& database, const SharedState& shared, Durability& durability, Epoch epoch)
    : database_(database),
      shared_(shared),
      durability_(durability),
      decoder_(epoch),
      writes_(database.make_write_set()) {}

Result<void> HookQueue::open() {
  auto found = database_.get(Table::meta, kMetaHookCursor);
  if (!found) return found.error();
  if (*found) {
    auto sequence = decode_sequence(**found);
    if (!sequence) return fail(Code::internal, "the store's entry of the save hook cannot be read");
    cursor_ = *sequence;
  }
  // What the writer has counted meanwhile lies above this mark.
  Sequence durable = durability_.durable();
  uint64_t waiting = 0;
  auto counted = database_.scan({Table::hook, hook_key(cursor_ + 1), hook_key(durable + 1)},
                                [&](std::string_view key, std::string_view) {
                                  if (decode_sequence(key)) waiting++;
                                  return true;
                                });
  if (!counted) return counted.error();
  durability_.hook.queued.fetch_add(waiting, std::memory_order_relaxed);
  return {};
}

Result<HookQueue::Batch> HookQueue::next(uint32_t events, uint64_t bytes) {
  // In this order, as for readers (shared_state.h).
  Sequence durable = durability_.durable();
  auto ghosts = shared_.ghosts.snapshot();
  Batch batch;
  uint64_t size = 0;
  bool newer = false;
  if (durable <= cursor_) return batch;
  auto read = database_.scan({Table::hook, hook_key(cursor_ + 1), hook_key(durable + 1)},
                             [&](std::string_view key, std::string_view value) {
                               auto sequence = decode_sequence(key);
                               if (!sequence) return true;  // no entry: goes with what is behind it
                               if (ghosts.contains(sequence->value)) return true;  // never counted as waiting
                               if (batch.entries >= events) return false;
                               ByteReader in(value);
                               RoomId room{in.big64(), in.big64()};
                               // Not damaged: a server that knows it will come again.
                               newer = in.ok() && is_newer_record(in.rest());
                               if (newer) return false;
                               auto event = decoder_.decode(in.rest(), room, *sequence);
                               if (!in.ok() || !event) {
                                 if (batch.unreadable++ == 0) batch.first_unreadable = *sequence;
                               } else {
                                 std::string_view json = (*event)->json();
                                 if (!batch.json.empty() && size + json.size() > bytes) return false;
                                 size += json.size();
                                 if (batch.json.empty()) batch.oldest_wall_ms = (*event)->wall_ms();
                                 batch.json.emplace_back(json);
                               }
                               batch.entries++;
                               batch.last = *sequence;
                               return true;
                             });
  // What was read in front of a block that the disk does not give back can still go.
  if (!read && batch.entries == 0) return read.error();
  if (newer && batch.entries == 0)
    return fail(Code::storage_unavailable,
                "the next event for the save hook was written by a newer server; it waits for one");
  return batch;
}

Result<void> HookQueue::taken(Sequence last, uint64_t entries) { return remove_through(last, entries); }

Result<void> HookQueue::remove_through(Sequence last, uint64_t entries) {
  writes_->clear();
  auto read = database_.scan({Table::hook, hook_key(cursor_ + 1), hook_key(last + 1)},
                             [&](std::string_view key, std::string_view) {
                               writes_->remove(Table::hook, key);
                               return true;
                             });
  if (!read) return read;
  writes_->put(Table::meta, kMetaHookCursor, encode_sequence(last));
  if (auto done = database_.commit(*writes_, Sync::no); !done) return done;
  cursor_ = last;
  durability_.hook.queued.fetch_sub(entries, std::memory_order_relaxed);
  return {};
}

Result<uint64_t> HookQueue::cut(uint64_t max) {
  uint64_t gone = 0;
  while (waiting() > max) {
    uint64_t want = std::min(waiting() - max, kCutAtOnce), seen = 0;
    Sequence last, durable = durability_.durable();
    auto ghosts = shared_.ghosts.snapshot();
    auto read = database_.scan({Table::hook, hook_key(cursor_ + 1), hook_key(durable + 1)},
                               [&](std::string_view key, std::string_view) {
                                 auto sequence = decode_sequence(key);
                                 if (!sequence || ghosts.contains(sequence->value)) return true;
                                 last = *sequence;
                                 return ++seen < want;
                               });
    if (!read) return read.error();
    if (seen == 0) break;
    if (auto done = remove_through(last, seen); !done) return done.error();
    gone += seen;
  }
  return gone;
}

}  // namespace twinwire::store
