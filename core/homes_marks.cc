// Homes, what users say of themselves in a room: up to where they have received and read, and what they show.
// Receipts are kept by the store, the last of each user; media lasts as long as the user is there.
#include <algorithm>

#include "core/homes.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {
namespace {

void append_mark(JsonObject& object, std::string_view key, const std::string& cursor, Sequence at) {
  if (at.value)
    object.field(key, cursor);
  else
    object.raw(key, "null");
}

void append_media(JsonObject& object, const Name& user, uint8_t on) {
  object.field("userId", user.text()).field("camera", (on & Marks::kCamera) != 0);
  object.field("mic", (on & Marks::kMic) != 0).field("screen", (on & Marks::kScreen) != 0).end();
}

}  // namespace

// ---- receipts ----

Result<bool> Homes::set_receipt(Room& room, const Name& user, bool read, Sequence upto, SessionId from) {
  upto = std::min(upto, room.last_kept);
  Marks& marks = room.made_marks();
  Receipt known = marks.receipts.find(user);
  if (upto <= (read ? known.read : known.delivered)) return false;
  if (marks.receipts.size() >= kReceiptsPerRoom && !marks.receipts.contains(user))
    return fail(Code::limit_exceeded, "this room keeps the receipts of no further user");
  bool large =
      std::max<size_t>(room.members.size(), room.present.size()) > shard_.config().presence.members_max;
  uint8_t kind = read ? Marks::kRead : Marks::kDelivered;
  if (auto written = write_receipt(room, user, kind, upto, large, from); !written) return written.error();
  marks.receipts.raise(user, read ? Receipt{{}, upto} : Receipt{upto, {}});
  wants_timer(room);
  if (large) marks.untold[user] |= kind;
  return true;
}

// A receipt was answered when it was told; what the store gave up of it is written again, as it is by then,
// so that it outlives the room in memory.
void Homes::settle_marks(Room& room) {
  Marks& marks = *room.marks;
  Durability& durability = shard_.durability();
  Sequence durable = durability.durable();
  for (; !marks.open.empty() && marks.open.front()->sequence() <= durable; marks.open.pop_front()) {
    const Event& event = *marks.open.front();
    if (event.outcome() == Outcome::unsaved)
      marks.unwritten[event.user()] |= event.type() == "receipt.read" ? Marks::kRead : Marks::kDelivered;
  }
  for (auto it = marks.unwritten.begin(); it != marks.unwritten.end() && durability.accepting();) {
    Receipt now = marks.receipts.find(it->first);
    for (uint8_t kind : {Marks::kDelivered, Marks::kRead}) {
      if ((it->second & kind) == 0) continue;
      Sequence upto = kind == Marks::kRead ? now.read : now.delivered;
      if (upto.value != 0) {
        if (!write_receipt(room, it->first, kind, upto, true, {})) return;
        shard_.metrics().receipts_rewritten++;
      }
      it->second &= static_cast<uint8_t>(~kind);
    }
    it = marks.unwritten.erase(it);
  }
}

// Publishes a receipt; `writer_only`: for the store, since the room is told of it otherwise or has been.
Result<void> Homes::write_receipt(Room& room, const Name& user, uint8_t kind, Sequence upto, bool writer_only,
                                  SessionId from) {
  std::string data;
  JsonObject object(data);
  object.field("userId", user.text()).field("upTo", shard_.cursor(upto).text()).end();
  EventDraft draft;
  draft.type = kind == Marks::kRead ? "receipt.read" : "receipt.delivered";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = user;
  draft.event_class = EventClass::marker;
  draft.about = upto;
  draft.writer_only = writer_only;
  draft.exclude = from.none() ? Exclude::none : Exclude::connection;
  draft.exclude_session = from;
  auto event = publish(room, draft);
  if (!event) return event.error();
  room.marks->written_by = (*event)->sequence();
  room.marks->open.push_back(std::move(*event));
  return {};
}

std::string Homes::receipt_json(const Room& room, const Name& user) const {
  Receipt receipt;
  if (room.marks) receipt = room.marks->receipts.find(user);
  std::string out;
  JsonObject object(out);
  // Who has read has received.
  Sequence delivered = std::max(receipt.delivered, receipt.read);
  append_mark(object, "delivered", shard_.cursor(delivered).text(), delivered);
  append_mark(object, "read", shard_.cursor(receipt.read).text(), receipt.read);
  object.end();
  return out;
}

std::string Homes::receipts_json(const Room& room) const {
  std::string out = "[";
  if (!room.marks) return out + "]";
  for (const Receipts::Line& line : room.marks->receipts.newest()) {
    if (out.size() > 1) out += ',';
    out += "{\"userId\":" + json_string(line.user.text()) + ",";
    out += receipt_json(room, line.user).substr(1);
  }
  return out + "]";
}

// Of a large room: at most one telling per room and second, of as many users as fit; the rest the next time.
void Homes::tell_receipts(Room& room) {
  Marks& marks = *room.marks;
  std::string data = "{\"receipts\":[";
  uint32_t told = 0;
  auto it = marks.untold.begin();
  for (; it != marks.untold.end() && told < kReceiptsTold; ++it, ++told) {
    if (told) data += ',';
    data += "{\"userId\":" + json_string(it->first.text()) + "," + receipt_json(room, it->first).substr(1);
  }
  data += "]}";
  EventDraft draft;
  draft.type = "receipt.diff";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.event_class = EventClass::state;
  if (room.mask != 0) {
    bool shed = shard_.durability().failing() && shard_.config().server.deliver == DeliverPolicy::commit;
    if (shed || !publish(room, draft, Ring::Priority::state)) return;  // stays to be told
  }
  marks.untold.erase(marks.untold.begin(), it);
  marks.told_at = shard_.now();
}

// ---- media ----

Result<void> Homes::set_media(Room& room, const Name& user, uint8_t on, SessionId from) {
  Marks& marks = room.made_marks();
  auto known = marks.media.find(user);
  if ((known == marks.media.end() ? 0 : known->second) == on) return {};
  if (known == marks.media.end() && marks.media.size() >= kMediaMax)
    return fail(Code::limit_exceeded, "too many users of this room show something already");
  if (auto told = tell_media(room, user, on, from); !told) return told;
  if (on)
    marks.media[user] = on;
  else
    marks.media.erase(user);
  return {};
}

void Homes::end_media(Room& room, const Name& user) {
  // Said once and never again, so it may use the ring's reserve.
  if (room.marks && room.marks->media.erase(user))
    (void)tell_media(room, user, 0, {}, Ring::Priority::control);
}

Result<void> Homes::tell_media(Room& room, const Name& user, uint8_t on, SessionId from,
                               Ring::Priority priority) {
  if (room.mask == 0) return {};
  std::string data;
  JsonObject object(data);
  append_media(object, user, on);
  EventDraft draft;
  draft.type = "media.state";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = user;
  draft.event_class = EventClass::state;
  draft.exclude = from.none() ? Exclude::none : Exclude::connection;
  draft.exclude_session = from;
  auto event = publish(room, draft, priority);
  return event ? Result<void>() : Result<void>(event.error());
}

// ---- as a whole ----

void Homes::add_marks(const Room& room, RoomState& state) const {
  if (!room.marks) return;
  state.anyone_shows = !room.marks->media.empty();
  std::string& out = state.media_json = "{\"users\":[";
  for (const auto& [user, on] : room.marks->media) {
    if (out.back() != '[') out += ',';
    JsonObject entry(out);
    append_media(entry, user, on);
  }
  out += "]}";
  if (!room.marks->receipts.empty()) state.receipts_json = "{\"receipts\":" + receipts_json(room) + "}";
}

}  // namespace twinwire
