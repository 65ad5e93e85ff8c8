// Keys of every table and the small values: how they are made and taken apart. Byte by byte: FORMAT.md.
// Not here: the record of an event (record.h). Any thread; plain functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/durability.h"
#include "core/event.h"
#include "core/types.h"

namespace twinwire::store {

// ---- events: room id (16) + sequence (8), both big-endian, so that a room is a range in order ----
inline constexpr size_t kRoomKeySize = 16;
inline constexpr size_t kEventKeySize = 24;
using EventKey = std::array<char, kEventKeySize>;
EventKey event_key(RoomId room, Sequence sequence);
std::optional<std::pair<RoomId, Sequence>> parse_event_key(std::string_view key);
template <size_t N>
std::string_view view(const std::array<char, N>& bytes) {
  return {bytes.data(), N};
}

// ---- rooms: room id (16) + tag (1) ----
enum class RoomTag : char {
  cleared = 'c',  // messages below this sequence are no longer read
  name = 'n',     // tenant and name; written with the room's first event
  purged = 'p',   // messages below this sequence are gone from the disk
  record = 'r',   // RoomRecord as the engine encoded it
  trimmed = 't',  // events up to and including this sequence may be gone
};
using RoomKey = std::array<char, kRoomKeySize + 1>;
RoomKey room_key_of(RoomId room, RoomTag tag);
std::string room_prefix(RoomId room);  // 16 bytes: the first key of a room in `rooms` and `events`
std::string after_room(
    RoomId room);  // the least key above every key of the room; empty at the end of the table
std::optional<RoomId> parse_room(std::string_view key);

// Eight bytes, big-endian: trimmed, cleared, purged, lease, settled, since.
std::string encode_sequence(Sequence sequence);
std::optional<Sequence> decode_sequence(std::string_view value);

std::string encode_room_name(const Name& name);
std::optional<Name> decode_room_name(std::string_view value);

// Value of `record`: when it was last changed (wall clock, ms), and the engine's opaque bytes.
std::string encode_room_record(uint64_t updated_wall_ms, std::string_view record);
struct StoredRoomRecord {
  uint64_t updated_wall_ms = 0;
  std::string_view record;
};
std::optional<StoredRoomRecord> decode_room_record(std::string_view value);

// ---- membership: 'm' room user -> since; 'u' inbox room -> since, name of the room; 'd' and 'r' room user
// -> up to where delivered and read; 'c' room message change -> nothing ----
std::string member_key(RoomId room, const Name& user);
std::string members_prefix(RoomId room);
std::optional<Name> parse_member(std::string_view key);
std::string user_room_key(RoomId inbox, RoomId room);
std::string user_rooms_prefix(RoomId inbox);
std::optional<std::pair<RoomId, RoomId>> parse_user_room(std::string_view key);  // inbox, room
std::string encode_user_room(Sequence since, const Name& room_name);
struct UserRoom {
  Sequence since;
  Name room_name;
};
std::optional<UserRoom> decode_user_room(std::string_view value);

// Up to where a user has received ('d') or read ('r') a room.
enum class ReceiptKind : char { delivered = 'd', read = 'r' };
std::string receipts_prefix(RoomId room, ReceiptKind kind);
std::string receipt_key(RoomId room, ReceiptKind kind, const Name& user);
std::optional<Name> parse_receipt(std::string_view key);

// That the message at `message` was edited or deleted by the event at `change`: in order of both.
std::string change_key(RoomId room, Sequence message, Sequence change);
std::string changes_from(RoomId room, Sequence message);  // the first key of the message's changes
struct ChangeKey {
  Sequence message, change;
};
std::optional<ChangeKey> parse_change(std::string_view key);

// ---- idempotency: 128-bit hash -> sequence, content hash, wall clock ----
struct IdempotencyKey {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const IdempotencyKey&) const = default;
  std::array<char, 16> bytes() const;
};
// `seed` is the data directory's room key, so that nobody outside can search for two ids with one hash.
IdempotencyKey idempotency_key(uint64_t seed, RoomId room, const Name& sender, std::string_view client_id);
std::optional<IdempotencyKey> parse_idempotency_key(std::string_view key);
struct IdempotencyValue {
  Sequence sequence;
  uint64_t content_hash = 0;
  uint64_t wall_ms = 0;  // of the event; it expires idempotency.keep_seconds later
};
using IdempotencyBytes = std::array<char, 24>;
IdempotencyBytes encode_idempotency(const IdempotencyValue& value);
std::optional<IdempotencyValue> decode_idempotency(std::string_view value);

// ---- meta ----
inline constexpr std::string_view kMetaFormat = "format";
inline constexpr std::string_view kMetaEpoch = "epoch";
inline constexpr std::string_view kMetaRoomKey = "room_key";
inline constexpr std::string_view kMetaLeaseEnd = "lease_end";
inline constexpr std::string_view kMetaSettled = "settled";
inline constexpr std::string_view kMetaHookCursor = "hook_cursor";
inline constexpr std::string_view kMetaStarts = "start/";  // + index (8, big-endian)
inline constexpr uint64_t kFormatVersion = 1;
std::string start_key(uint64_t index);
struct StoredStart {
  StartRecord start;
  DeliverPolicy policy = DeliverPolicy::publish;  // of this run: the next start's `previous`
  uint64_t wall_ms = 0;
};
std::string encode_start(const StoredStart& start);
std::optional<StoredStart> decode_start(std::string_view value);

// The least string above every string that begins with `prefix`; empty when there is none.
std::string successor(std::string_view prefix);

}  // namespace twinwire::store
