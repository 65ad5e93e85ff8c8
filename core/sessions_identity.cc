// Sessions, who they belong to: what a stream's token allows.
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {

Identity Sessions::identity(uint32_t index) const {
  Identity who;
  who.user = sessions_[index].user;
  if (with_tickets_) tickets_.fill(index, who);
  return who;
}

// In a room that the session follows, as far as this shard knows: in closed and direct ones the home has said
// so, and takes it back by a removal.
bool Sessions::has_right(uint32_t index, const LocalRoom& room, Right right) const {
  if (sessions_[index].observer || room.kind != RoomKind::open) return true;
  return shard_.open_rights(tickets_.grants(index), room.name.text()).has(right);
}

// The session follows the room no longer, and is told so: now, or when it is connected.
void Sessions::drop_forbidden(uint32_t index, uint32_t room_index) {
  Session& session = sessions_[index];
  const LocalRoom& room = rooms_[room_index];
  std::string name(room.name.text());
  uint32_t subscription = subscription_of(index, room_index);
  if (subscriptions_[subscription].present) queue_presence({room.id, room.name, session.user, -1});
  unsubscribe(index, room_index);
  shard_.metrics().reset_forbidden++;
  if (session.catchup && !session.catchup->connected_told) {
    session.catchup->forbidden.push_back(std::move(name));
    return;
  }
  Sequence at = session.cursor;
  if (session.state == SessionState::live)
    at = std::max(at, std::min(live_cursor(index), shard_.durability().synced()));
  tell_reset(session, "forbidden", {std::move(name)}, at);
}

}  // namespace twinwire
