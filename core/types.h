// Strong types that every floor shares: positions in the log, ids, names.
// Not here: anything with behaviour beyond comparing, hashing and text forms.
// Any thread; all are plain values, except Name, whose count is atomic.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace twinwire {

// A position in the one log of this node. 0 is "before everything"; real positions start at 1 and
// stay below 2^53, so that every JSON reader holds them exactly.
struct Sequence {
  uint64_t value = 0;
  constexpr auto operator<=>(const Sequence&) const = default;
  constexpr Sequence operator+(uint64_t n) const { return {value + n}; }
  constexpr Sequence operator-(uint64_t n) const { return {value - n}; }
  constexpr uint64_t operator-(Sequence other) const { return value - other.value; }
};
inline constexpr Sequence kSequenceMax{(uint64_t{1} << 53) - 1};

// The 48 random bits that name a data directory: cursors of another directory are never mistaken for ours.
struct Epoch {
  uint64_t value = 0;
  constexpr auto operator<=>(const Epoch&) const = default;
};

// What a client holds: `<epoch, 12 hex>-<sequence, 14 hex>`. Within one epoch the text orders like the
// sequence.
struct Cursor {
  Epoch epoch;
  Sequence sequence;
  constexpr auto operator<=>(const Cursor&) const = default;

  static constexpr size_t kTextSize = 27;
  // Exactly 27 bytes of lower-case hex and one '-', or nothing.
  static std::optional<Cursor> parse(std::string_view text);
  std::string text() const;
  void write(char out[kTextSize]) const;
  void append_to(std::string& out) const {
    char bytes[kTextSize];
    write(bytes);
    out.append(bytes, kTextSize);
  }
};

// Writes the 14 hex digits of a sequence: the part of an encoded event that is known only after the claim.
inline constexpr size_t kSequenceDigits = 14;
void write_sequence(char out[kSequenceDigits], Sequence sequence);

// A room's identity: a keyed 128-bit hash of (tenant, name). Names are compared by it everywhere; the key is
// random per data directory, so that nobody can search for collisions.
struct RoomId {
  uint64_t high = 0;
  uint64_t low = 0;
  constexpr auto operator<=>(const RoomId&) const = default;
};

// 128 random bits, shown as 32 hex digits. The all-zero id is "none".
struct SessionId {
  uint64_t high = 0;
  uint64_t low = 0;
  constexpr auto operator<=>(const SessionId&) const = default;
  bool none() const { return high == 0 && low == 0; }
  static constexpr size_t kTextSize = 32;
  static std::optional<SessionId> parse(std::string_view text);
  std::string text() const;
  void write(char out[kTextSize]) const;
};

// Index of a shard in the engine, 0…63.
enum class ShardIndex : uint8_t {};
inline constexpr uint32_t kShardsMax = 64;
constexpr uint32_t index_of(ShardIndex shard) { return static_cast<uint32_t>(shard); }
constexpr uint64_t mask_of(ShardIndex shard) { return uint64_t{1} << index_of(shard); }

// A connection of one shard: an index into that shard's slabs, meaningful on that shard only.
enum class ConnectionId : uint32_t {};
inline constexpr ConnectionId kNoConnection{UINT32_MAX};
constexpr uint32_t index_of(ConnectionId id) { return static_cast<uint32_t>(id); }

// Milliseconds, of the monotonic clock unless a name says wall.
using Millis = uint64_t;

// An immutable, shared, hashed string: a user id or a room name with its tenant. One allocation, one pointer.
// The tenant is part of the identity: two Names are equal when tenant and text are.
class Name {
 public:
  // Of the tenant and of the text, in bytes. The wire allows 128 of each (protocol, section 8); the rest is
  // for what is put in front of a name inside. Longer is a broken invariant: check what comes from outside.
  static constexpr size_t kBytesMax = 240;

  Name() = default;
  Name(std::string_view tenant, std::string_view text);
  Name(const Name& other) : body_(other.body_) {
    if (body_) body_->refs.fetch_add(1, std::memory_order_relaxed);  // partner: release() below
  }
  Name(Name&& other) noexcept : body_(std::exchange(other.body_, nullptr)) {}
  Name& operator=(Name other) noexcept {
    std::swap(body_, other.body_);
    return *this;
  }
  ~Name() { release(); }

  explicit operator bool() const { return body_ != nullptr; }
  std::string_view tenant() const {
    return body_ ? std::string_view(body_->text, body_->tenant_size) : std::string_view();
  }
  std::string_view text() const {
    return body_ ? std::string_view(body_->text + body_->tenant_size, body_->text_size) : std::string_view();
  }
  // A well-mixed 32 bits with the process's key (hash_key.h), enough to pick a bucket; equality decides.
  uint32_t hash() const { return body_ ? body_->hash : 0; }
  bool operator==(const Name& other) const {
    if (body_ == other.body_) return true;
    if (!body_ || !other.body_) return false;
    return body_->hash == other.body_->hash && text() == other.text() && tenant() == other.tenant();
  }
  bool is(std::string_view a_tenant, std::string_view a_text) const {
    return body_ && text() == a_text && tenant() == a_tenant;
  }
  static uint32_t hash_of(std::string_view tenant, std::string_view text);

 private:
  struct Body {
    std::atomic<uint32_t> refs;
    uint32_t hash;
    uint8_t tenant_size;
    uint8_t text_size;
    char text[];
  };
  void release();
  Body* body_ = nullptr;
};

// The keyed hash that names rooms, and the room that carries one user's own events (its text is "\x01" +
// user, which no client can name).
RoomId room_id_of(uint64_t room_key, std::string_view tenant, std::string_view room);
inline RoomId room_id_of(uint64_t room_key, const Name& room) {
  return room_id_of(room_key, room.tenant(), room.text());
}
Name inbox_name_of(const Name& user);
RoomId inbox_id_of(uint64_t room_key, const Name& user);
inline bool is_inbox(const Name& room) { return !room.text().empty() && room.text()[0] == '\x01'; }

}  // namespace twinwire

template <>
struct std::hash<twinwire::RoomId> {
  size_t operator()(const twinwire::RoomId& id) const noexcept { return id.low; }
};
template <>
struct std::hash<twinwire::SessionId> {
  size_t operator()(const twinwire::SessionId& id) const noexcept { return id.low; }
};
template <>
struct std::hash<twinwire::Name> {
  size_t operator()(const twinwire::Name& name) const noexcept { return name.hash(); }
};
