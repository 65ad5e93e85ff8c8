// Homes, presence and typing: state that is told at a bounded rate and shed first.
#include <algorithm>

#include "core/homes.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/pattern.h"
#include "core/shard.h"

namespace twinwire {
namespace {

std::string typists_json(const Room& room) {
  std::string out = "[";
  for (const Typist& typist : room.typing) {
    if (out.size() > 1) out += ',';
    append_json_string(out, typist.user.text());
  }
  return out + "]";
}

std::string state_or_null(const Room& room, const std::string& user) {
  const std::string& state = room.present.state(Name(room.name.tenant(), user));
  return state.empty() ? "null" : state;
}

std::string_view change_type(Room::Change change) {
  switch (change) {
    case Room::Change::joined:
      return "presence.joined";
    case Room::Change::left:
      return "presence.left";
    case Room::Change::updated:
      return "presence.updated";
  }
  return "presence.updated";
}

// `joined`, `left` and `updated` names, at most kPresenceNames of them; the count is always right.
std::string diff_json(const Room& room, bool names) {
  std::string out;
  JsonObject object(out);
  uint32_t told = 0;
  for (Room::Change kind : {Room::Change::joined, Room::Change::left, Room::Change::updated}) {
    if (!names) break;
    std::string list = "[";
    for (const auto& [user, change] : room.presence_changes) {
      if (change != kind || told >= kPresenceNames) continue;
      if (list.size() > 1) list += ',';
      append_json_string(list, user);
      told++;
    }
    object.raw(change_type(kind).substr(9), list + "]");
  }
  if (names && told < room.presence_changes.size()) object.field("truncated", true);
  object.field("count", static_cast<uint64_t>(room.present.size())).end();
  return out;
}

}  // namespace

bool Homes::presence_on(const Room& room) const {
  const auto& settings = shard_.config().presence;
  if (!settings.enabled || room.kind == RoomKind::inbox) return false;
  return std::none_of(settings.off_patterns.begin(), settings.off_patterns.end(),
                      [&](const std::string& pattern) { return matches_pattern(pattern, room.name.text()); });
}

void Homes::wants_timer(Room& room) {
  if (room.in_timed) return;
  room.in_timed = true;
  timed_.push_back(room.id);
}

void Homes::presence(std::vector<PresenceDelta> deltas) {
  for (PresenceDelta& delta : deltas) {
    auto known = rooms_.find(delta.room);
    if (known != rooms_.end() && known->second->loaded) {
      count_present(*known->second, delta.user, delta.sessions);
      continue;
    }
    with_room(delta.room, delta.room_name, [this, user = delta.user, sessions = delta.sessions](Room& room) {
      count_present(room, user, sessions);
    });
  }
}

// So many sessions of the user came, or went.
void Homes::count_present(Room& room, const Name& user, int32_t sessions) {
  if (!presence_on(room)) return;
  uint32_t before = room.present.sessions(user);
  // A session's going may overtake its coming only within one batch, so the sum never falls below zero.
  auto now = static_cast<uint32_t>(std::max<int64_t>(0, int64_t{before} + sessions));
  room.present.set_sessions(user, now);
  bool now_present = now > 0;
  if (!now_present) end_media(room, user);
  if ((before > 0) == now_present) return;
  std::string name(user.text());
  auto change = now_present ? Room::Change::joined : Room::Change::left;
  auto known = room.presence_changes.find(name);
  if (known != room.presence_changes.end() && known->second != change &&
      known->second != Room::Change::updated)
    room.presence_changes.erase(known);  // came and went between two tellings
  else
    room.presence_changes[name] = change;
  wants_timer(room);
}

void Homes::set_presence_state(Room& room, const Name& user, std::string state) {
  if (!room.present.set_state(user, std::move(state))) return;
  room.presence_changes.emplace(std::string(user.text()), Room::Change::updated);
  wants_timer(room);
}

std::string Homes::presence_list(const Room& room, uint32_t max) const {
  std::string out;
  JsonObject object(out);
  std::string& list = object.begin("users");
  list += '[';
  uint32_t told = 0;
  room.present.for_each([&](const Name& user) {
    if (told == max) return false;
    if (told++) list += ',';
    const std::string& state = room.present.state(user);
    JsonObject entry(list);
    entry.field("userId", user.text()).raw("state", state.empty() ? "null" : state).end();
    return true;
  });
  list += ']';
  object.field("count", static_cast<uint64_t>(room.present.size())).end();
  return out;
}

// At most one telling per room and presence.diff_ms: a single change by its own name, several as one diff.
void Homes::tell_presence(Room& room) {
  const auto& settings = shard_.config().presence;
  EventDraft draft;
  std::string data;
  bool small = room.present.size() <= settings.members_max;
  if (room.presence_changes.size() == 1 && small) {
    const auto& [user, change] = *room.presence_changes.begin();
    draft.type = change_type(change);
    draft.user = Name(room.name.tenant(), user);
    if (change == Room::Change::joined)
      draft.exclude = Exclude::user;  // no event for the reader's own coming
    JsonObject object(data);
    object.field("userId", user).field("count", static_cast<uint64_t>(room.present.size()));
    object.raw("state", state_or_null(room, user)).end();
  } else {
    draft.type = "presence.diff";
    data = diff_json(room, small);
  }
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.event_class = EventClass::state;
  if (room.mask != 0) {
    bool shed = shard_.durability().failing() && shard_.config().server.deliver == DeliverPolicy::commit;
    if (shed || !publish(room, draft, Ring::Priority::state)) {
      shard_.metrics().shed_presence++;
      return;  // stays to be told: it is state
    }
  }
  room.presence_changes.clear();
  room.presence_told_at = shard_.now();
}

void Homes::set_typing(Room& room, const Name& user, bool typing) {
  auto it =
      std::find_if(room.typing.begin(), room.typing.end(), [&](const Typist& t) { return t.user == user; });
  if (typing) {
    Millis until = shard_.now() + shard_.config().typing.clear_ms;
    if (it != room.typing.end()) {
      it->until = until;
      return;
    }
    if (room.typing.size() >= kTypistsMax) return;  // more could not be shown anyway
    room.typing.push_back({user, until});
    wants_timer(room);
  } else {
    if (it == room.typing.end()) return;
    room.typing.erase(it);
  }
  tell_typing(room, user, typing);
}

void Homes::tell_typing(Room& room, const Name& user, bool is_typing) {
  std::string data;
  JsonObject object(data);
  if (user) object.field("userId", user.text()).field("isTyping", is_typing);
  object.raw("users", typists_json(room)).end();
  EventDraft draft;
  draft.type = "typing";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = user;
  draft.event_class = EventClass::state;
  draft.exclude = user ? Exclude::user : Exclude::none;
  bool shed = shard_.durability().failing() && shard_.config().server.deliver == DeliverPolicy::commit;
  room.typing_dirty = room.mask != 0 && (shed || !publish(room, draft, Ring::Priority::state));
  if (!room.typing_dirty) return;
  shard_.metrics().shed_typing++;
  wants_timer(room);  // told as a whole when there is room
}

RoomState Homes::room_state(RoomId id) {
  RoomState state;
  state.room = id;
  auto it = rooms_.find(id);
  if (it == rooms_.end()) return state;
  Room& room = *it->second;
  state.anyone_types = !room.typing.empty();
  state.typing_json = "{\"users\":" + typists_json(room) + "}";
  if (presence_on(room)) state.presence_json = "{\"count\":" + std::to_string(room.present.size()) + "}";
  add_marks(room, state);
  return state;
}

// True while the room has something that time will bring.
bool Homes::room_timers(Room& room) {
  Millis now = shard_.now();
  for (size_t i = 0; i < room.typing.size();) {
    if (room.typing[i].until > now) {
      i++;
      continue;
    }
    Name user = room.typing[i].user;
    room.typing.erase(room.typing.begin() + static_cast<ptrdiff_t>(i));
    tell_typing(room, user, false);
  }
  if (room.typing_dirty) tell_typing(room, Name(), false);
  bool due = room.presence_told_at == 0 || now >= room.presence_told_at + shard_.config().presence.diff_ms;
  if (!room.presence_changes.empty() && due) tell_presence(room);
  if (room.marks) settle_marks(room);
  bool untold = room.marks && !room.marks->untold.empty();
  if (untold && now >= room.marks->told_at + shard_.config().presence.diff_ms) tell_receipts(room);
  room.in_timed = !room.typing.empty() || room.typing_dirty || !room.presence_changes.empty() ||
                  (room.marks && !room.marks->written());
  return room.in_timed;
}

}  // namespace twinwire
