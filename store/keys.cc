#include "store/keys.h"

#include <xxhash.h>

#include "store/bytes.h"

namespace twinwire::store {

namespace {

void put_room(char* out, RoomId room) {
  put_big64(out, room.high);
  put_big64(out + 8, room.low);
}

RoomId get_room(const char* in) { return {get_big64(in), get_big64(in + 8)}; }

std::string tagged_room(char tag, RoomId room) {
  std::string out(1 + kRoomKeySize, tag);
  put_room(out.data() + 1, room);
  return out;
}

void append_name(std::string& out, const Name& name) {
  append_short(out, name.tenant());
  append_short(out, name.text());
}

Name take_name(ByteReader& in) {
  std::string_view tenant = in.name_text();
  std::string_view text = in.name_text();
  return in.ok() ? Name(tenant, text) : Name();
}

}  // namespace

std::string successor(std::string_view prefix) {
  std::string out(prefix);
  while (!out.empty() && static_cast<uint8_t>(out.back()) == 0xff) out.pop_back();
  if (!out.empty()) out.back() = static_cast<char>(static_cast<uint8_t>(out.back()) + 1);
  return out;
}

EventKey event_key(RoomId room, Sequence sequence) {
  EventKey key;
  put_room(key.data(), room);
  put_big64(key.data() + kRoomKeySize, sequence.value);
  return key;
}

std::optional<std::pair<RoomId, Sequence>> parse_event_key(std::string_view key) {
  if (key.size() != kEventKeySize) return std::nullopt;
  return std::pair{get_room(key.data()), Sequence{get_big64(key.data() + kRoomKeySize)}};
}

RoomKey room_key_of(RoomId room, RoomTag tag) {
  RoomKey key;
  put_room(key.data(), room);
  key[kRoomKeySize] = static_cast<char>(tag);
  return key;
}

std::string room_prefix(RoomId room) {
  std::string out(kRoomKeySize, '\0');
  put_room(out.data(), room);
  return out;
}

std::string after_room(RoomId room) { return successor(room_prefix(room)); }

std::optional<RoomId> parse_room(std::string_view key) {
  if (key.size() < kRoomKeySize) return std::nullopt;
  return get_room(key.data());
}

std::string encode_sequence(Sequence sequence) {
  std::string out;
  append_big64(out, sequence.value);
  return out;
}

std::optional<Sequence> decode_sequence(std::string_view value) {
  if (value.size() != 8) return std::nullopt;
  return Sequence{get_big64(value.data())};
}

std::string encode_room_name(const Name& name) {
  std::string out;
  append_name(out, name);
  return out;
}

std::optional<Name> decode_room_name(std::string_view value) {
  ByteReader in(value);
  Name name = take_name(in);
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return name;
}

std::string encode_room_record(uint64_t updated_wall_ms, std::string_view record) {
  std::string out;
  append_big64(out, updated_wall_ms);
  out.append(record);
  return out;
}

std::optional<StoredRoomRecord> decode_room_record(std::string_view value) {
  ByteReader in(value);
  uint64_t updated = in.big64();
  if (!in.ok()) return std::nullopt;
  return StoredRoomRecord{updated, in.rest()};
}

std::string members_prefix(RoomId room) { return tagged_room('m', room); }

std::string member_key(RoomId room, const Name& user) {
  std::string out = members_prefix(room);
  append_name(out, user);
  return out;
}

std::optional<Name> parse_member(std::string_view key) {
  if (key.size() < 1 + kRoomKeySize || key[0] != 'm') return std::nullopt;
  return decode_room_name(key.substr(1 + kRoomKeySize));
}

std::string receipts_prefix(RoomId room, ReceiptKind kind) {
  return tagged_room(static_cast<char>(kind), room);
}

std::string receipt_key(RoomId room, ReceiptKind kind, const Name& user) {
  std::string out = receipts_prefix(room, kind);
  append_name(out, user);
  return out;
}

std::optional<Name> parse_receipt(std::string_view key) {
  if (key.size() < 1 + kRoomKeySize || (key[0] != 'd' && key[0] != 'r')) return std::nullopt;
  return decode_room_name(key.substr(1 + kRoomKeySize));
}

std::string changes_from(RoomId room, Sequence message) {
  std::string out = tagged_room('c', room);
  append_big64(out, message.value);
  return out;
}

std::string change_key(RoomId room, Sequence message, Sequence change) {
  std::string out = changes_from(room, message);
  append_big64(out, change.value);
  return out;
}

std::optional<ChangeKey> parse_change(std::string_view key) {
  if (key.size() != 1 + kRoomKeySize + 16 || key[0] != 'c') return std::nullopt;
  ByteReader in(key.substr(1 + kRoomKeySize));
  Sequence message{in.big64()}, change{in.big64()};
  return ChangeKey{message, change};
}

std::string user_rooms_prefix(RoomId inbox) { return tagged_room('u', inbox); }

std::string user_room_key(RoomId inbox, RoomId room) { return user_rooms_prefix(inbox) + room_prefix(room); }

std::optional<std::pair<RoomId, RoomId>> parse_user_room(std::string_view key) {
  if (key.size() != 1 + 2 * kRoomKeySize || key[0] != 'u') return std::nullopt;
  return std::pair{get_room(key.data() + 1), get_room(key.data() + 1 + kRoomKeySize)};
}

std::string encode_user_room(Sequence since, const Name& room_name) {
  std::string out;
  append_big64(out, since.value);
  append_name(out, room_name);
  return out;
}

std::optional<UserRoom> decode_user_room(std::string_view value) {
  ByteReader in(value);
  Sequence since{in.big64()};
  Name name = take_name(in);
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return UserRoom{since, std::move(name)};
}

std::array<char, 16> IdempotencyKey::bytes() const {
  std::array<char, 16> out;
  put_big64(out.data(), high);
  put_big64(out.data() + 8, low);
  return out;
}

IdempotencyKey idempotency_key(uint64_t seed, RoomId room, const Name& sender, std::string_view client_id) {
  // room, sizes and texts of tenant and sender, client id: no two different triples give the same bytes.
  thread_local std::string bytes;
  bytes.resize(kRoomKeySize);
  put_room(bytes.data(), room);
  append_name(bytes, sender);
  bytes.append(client_id);
  XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.high64, hash.low64};
}

std::optional<IdempotencyKey> parse_idempotency_key(std::string_view key) {
  if (key.size() != 16) return std::nullopt;
  return IdempotencyKey{get_big64(key.data()), get_big64(key.data() + 8)};
}

IdempotencyBytes encode_idempotency(const IdempotencyValue& value) {
  IdempotencyBytes out;
  put_big64(out.data(), value.sequence.value);
  put_big64(out.data() + 8, value.content_hash);
  put_big64(out.data() + 16, value.wall_ms);
  return out;
}

std::optional<IdempotencyValue> decode_idempotency(std::string_view value) {
  if (value.size() != 24) return std::nullopt;
  return IdempotencyValue{
      {get_big64(value.data())}, get_big64(value.data() + 8), get_big64(value.data() + 16)};
}

std::string start_key(uint64_t index) {
  std::string out(kMetaStarts);
  append_big64(out, index);
  return out;
}

std::string encode_start(const StoredStart& start) {
  std::string out;
  append_big64(out, start.start.settled.value);
  append_big64(out, start.start.first.value);
  out += static_cast<char>(start.start.previous);
  out += static_cast<char>(start.policy);
  append_big64(out, start.wall_ms);
  return out;
}

std::optional<StoredStart> decode_start(std::string_view value) {
  ByteReader in(value);
  StoredStart out;
  out.start.settled = {in.big64()};
  out.start.first = {in.big64()};
  uint8_t previous = in.byte(), policy = in.byte();
  out.wall_ms = in.big64();
  constexpr auto kLast = static_cast<uint8_t>(DeliverPolicy::commit);
  if (!in.ok() || !in.rest().empty() || previous > kLast || policy > kLast) return std::nullopt;
  out.start.previous = static_cast<DeliverPolicy>(previous);
  out.policy = static_cast<DeliverPolicy>(policy);
  return out;
}

}  // namespace twinwire::store
