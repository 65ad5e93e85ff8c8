#include "store/room_reader.h"

#include <algorithm>
#include <unordered_map>

#include "store/keys.h"

namespace twinwire::store {

namespace {

// A read during which the room's past changed (trimmed, cleared) is done again; so often in a row means
// something else.
constexpr int kTriesMax = 8;

Error unreadable(const char* what) { return fail(Code::internal, std::string("cannot be read: ") + what); }

}  // namespace

Result<RoomMarks> read_marks(Database& database, RoomId room) {
  RoomMarks marks;
  bool readable = true;
  std::string from = room_prefix(room), to = after_room(room);
  auto read = database.scan({Table::rooms, from, to}, [&](std::string_view key, std::string_view value) {
    if (key.size() != kRoomKeySize + 1) return true;
    Sequence* mark = nullptr;
    if (key.back() == static_cast<char>(RoomTag::trimmed)) mark = &marks.trimmed;
    if (key.back() == static_cast<char>(RoomTag::cleared)) mark = &marks.cleared;
    if (mark == nullptr) return true;
    auto sequence = decode_sequence(value);
    if (!sequence) return readable = false;
    *mark = *sequence;
    return true;
  });
  if (!read) return read.error();
  if (!readable) return unreadable("a room's marks");
  return marks;
}

Result<RoomReader::Events> RoomReader::events(const ReadRequest& request) {
  for (int tries = 0; tries < kTriesMax; tries++) {
    uint32_t version = shared_.versions.of(request.room);
    auto found = try_events(request, durability_.durable());
    if (shared_.versions.of(request.room) == version) return found;
  }
  return fail(Code::storage_unavailable, "the room's past keeps changing");
}

Result<RoomReader::Events> RoomReader::try_events(const ReadRequest& request, Sequence durable) {
  std::unordered_set<uint64_t> ghosts =
      shared_.ghosts.snapshot();  // after `durable` was taken, before reading
  auto marks = read_marks(database_, request.room);
  if (!marks) return marks.error();
  // A clearing that is not settled, or was given up and is yet to be taken back: nobody can say what the room
  // holds below it. Soon somebody can.
  if (marks->cleared > durable || ghosts.contains(marks->cleared.value))
    return fail(Code::storage_unavailable, "the room is being cleared");
  Events out;
  out.trimmed_through = marks->trimmed;
  Sequence after = std::max(request.after, marks->trimmed), upto = std::min(request.upto, durable);
  if (after >= upto) return out;
  EventKey from = event_key(request.room, after + 1), to = event_key(request.room, upto + 1);
  std::optional<Error> error;
  auto read = database_.scan({Table::events, view(from), view(to), request.newest},
                             [&](std::string_view key, std::string_view value) {
                               auto parsed = parse_event_key(key);
                               auto head = peek_record(value);
                               if (!parsed || !head) {
                                 error = unreadable("an event's record");
                                 return false;
                               }
                               Sequence sequence = parsed->second;
                               if (head->message() && sequence < marks->cleared) return true;
                               if (!ghosts.empty() && ghosts.contains(sequence.value)) return true;
                               if (out.list.size() >= request.max_events) {
                                 out.next = sequence;
                                 return false;
                               }
                               auto event = decoder_.decode(value, request.room, sequence);
                               if (!event) {
                                 error = event.error();
                                 return false;
                               }
                               if (!out.list.empty() && out.bytes + (*event)->size() > request.max_bytes) {
                                 out.next = sequence;
                                 return false;
                               }
                               out.bytes += (*event)->size();
                               out.list.push_back(std::move(*event));
                               return true;
                             });
  if (!read) return read.error();
  if (error) return *error;
  if (request.newest) std::reverse(out.list.begin(), out.list.end());
  if (request.changes && !out.list.empty()) {
    if (auto found = find_changes(request.room, durable, ghosts, out); !found) return found.error();
  }
  return out;
}

// The newest change of each message between the first and the last event of `events`.
Result<void> RoomReader::find_changes(RoomId room, Sequence durable,
                                      const std::unordered_set<uint64_t>& ghosts, Events& events) {
  std::string from = changes_from(room, events.list.front()->sequence());
  std::string to = changes_from(room, events.list.back()->sequence() + 1);
  std::vector<ChangeKey> newest;
  auto read = database_.scan({Table::membership, from, to}, [&](std::string_view key, std::string_view) {
    auto entry = parse_change(key);
    if (!entry || entry->change > durable || ghosts.contains(entry->change.value)) return true;
    if (newest.empty() || newest.back().message != entry->message) newest.emplace_back();
    newest.back() = *entry;
    return true;
  });
  if (!read) return read.error();
  for (const ChangeKey& entry : newest) {
    auto value = database_.get(Table::events, view(event_key(room, entry.change)));
    if (!value) return value.error();
    if (!*value) continue;  // removed since, and the message with it
    auto event = decoder_.decode(**value, room, entry.change);
    if (!event) return event.error();
    events.bytes += (*event)->size();
    events.changes.push_back({entry.message, std::move(*event)});
  }
  return {};
}

Result<void> RoomReader::read_receipts(RoomId room, std::vector<UserReceipt>& receipts) {
  std::unordered_map<Name, Receipt> found;
  bool readable = true;
  for (ReceiptKind kind : {ReceiptKind::delivered, ReceiptKind::read}) {
    std::string from = receipts_prefix(room, kind), to = successor(from);
    auto read =
        database_.scan({Table::membership, from, to}, [&](std::string_view key, std::string_view value) {
          auto user = parse_receipt(key);
          auto upto = decode_sequence(value);
          if (!user || !upto) return readable = false;
          Receipt& receipt = found[*user];
          (kind == ReceiptKind::read ? receipt.read : receipt.delivered) = *upto;
          return true;
        });
    if (!read) return read.error();
    if (!readable) return unreadable("a room's receipt");
  }
  receipts.reserve(found.size());
  for (auto& [user, receipt] : found) receipts.push_back({user, receipt});
  return {};
}

Result<Sequence> RoomReader::last_kept(RoomId room) {
  Sequence durable = durability_.durable();
  auto ghosts = shared_.ghosts.snapshot();
  EventKey from = event_key(room, Sequence{0}), to = event_key(room, durable + 1);
  Sequence last;
  auto read = database_.scan({Table::events, view(from), view(to), true},
                             [&](std::string_view key, std::string_view) {
                               auto parsed = parse_event_key(key);
                               if (!parsed || ghosts.contains(parsed->second.value)) return true;
                               last = parsed->second;
                               return false;
                             });
  if (!read) return read.error();
  return last;
}

Result<RoomRecord> RoomReader::room(RoomId room) {
  RoomRecord out;
  std::optional<Error> error;
  std::string from = room_prefix(room), to = after_room(room);
  auto read = database_.scan({Table::rooms, from, to}, [&](std::string_view key, std::string_view value) {
    if (key.size() != kRoomKeySize + 1 || key.back() != static_cast<char>(RoomTag::record)) return true;
    auto stored = decode_room_record(value);
    auto record =
        stored ? RoomRecord::decode(stored->record) : Result<RoomRecord>(unreadable("a room's record"));
    if (!record) {
      error = record.error();
      return false;
    }
    out = std::move(*record);
    out.updated_wall_ms = stored->updated_wall_ms;
    out.exists = true;
    return true;
  });
  if (!read) return read.error();
  if (error) return *error;
  auto marks = read_marks(database_, room);
  if (!marks) return marks.error();
  out.trimmed_through = marks->trimmed;
  out.cleared_through = marks->cleared;
  from = members_prefix(room), to = successor(from);
  read = database_.scan({Table::membership, from, to}, [&](std::string_view key, std::string_view value) {
    auto user = parse_member(key);
    auto since = decode_sequence(value);
    if (!user || !since) {
      error = unreadable("a room's member");
      return false;
    }
    out.members.push_back({std::move(*user), *since});
    return true;
  });
  if (!read) return read.error();
  if (error) return *error;
  if (auto receipts = read_receipts(room, out.receipts); !receipts) return receipts.error();
  auto last = last_kept(room);
  if (!last) return last.error();
  // Of a room that was trimmed to nothing readers behind the mark must still be asked for, to be told so.
  out.last_kept = std::max(*last, out.trimmed_through);
  out.exists = out.exists || out.last_kept.value || out.trimmed_through.value || !out.members.empty();
  return out;
}

Result<UserRecord> RoomReader::user(RoomId inbox) {
  UserRecord out;
  std::optional<Error> error;
  std::string from = user_rooms_prefix(inbox), to = successor(from);
  auto read = database_.scan({Table::membership, from, to}, [&](std::string_view key,
                                                                std::string_view value) {
    auto pair = parse_user_room(key);
    auto stored = decode_user_room(value);
    if (!pair || !stored) {
      error = unreadable("a user's room");
      return false;
    }
    out.memberships.push_back({pair->second, std::move(stored->room_name), RoomKind::open, stored->since});
    return true;
  });
  if (!read) return read.error();
  if (error) return *error;
  for (Membership& membership : out.memberships) {
    auto value = database_.get(Table::rooms, view(room_key_of(membership.room, RoomTag::record)));
    if (!value) return value.error();
    if (!*value) continue;  // never created: an open room
    auto stored = decode_room_record(**value);
    auto record =
        stored ? RoomRecord::decode(stored->record) : Result<RoomRecord>(unreadable("a room's record"));
    if (!record) return record.error();
    membership.kind = record->kind;
  }
  auto last = last_kept(inbox);
  if (!last) return last.error();
  out.inbox_last_kept = *last;
  return out;
}

Result<std::optional<IdempotencyValue>> RoomReader::idempotent(const IdempotencyKey& key) {
  auto ghosts = shared_.ghosts.snapshot();
  auto bytes = key.bytes();
  auto value = database_.get(Table::idempotency, view(bytes));
  if (!value) return value.error();
  if (!*value) return std::optional<IdempotencyValue>();
  auto entry = decode_idempotency(**value);
  if (!entry) return unreadable("an idempotency entry");
  if (ghosts.contains(entry->sequence.value)) return std::optional<IdempotencyValue>();
  return entry;
}

}  // namespace twinwire::store
