// Sessions, who they belong to: what a stream's token allows.
#include "core/json.h"
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {
namespace {

std::string expiring_data(uint64_t expires_wall_ms) {
  std::string data;
  JsonObject object(data);
  object.field("expiresAt", format_timestamp(expires_wall_ms)).end();
  return data;
}

}  // namespace

Identity Sessions::identity(uint32_t index) const {
  Identity who;
  who.user = sessions_[index].user;
  who.issued_wall_ms = Identity::kOfSession;
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
  if (session.catchup && !session.catchup->begun()) {
    session.catchup->forbidden.push_back(std::move(name));
    return;
  }
  Sequence at = session.cursor;
  if (session.state == SessionState::live)
    at = std::max(at, std::min(live_cursor(index), shard_.durability().synced()));
  tell_reset(session, "forbidden", {std::move(name)}, at);
}

bool Sessions::renew(uint32_t index, const Identity& who) {
  Session& session = sessions_[index];
  if (!with_tickets_ || session.connection == kNone) return true;
  if (!tickets_.set(index, who, shard_.wall_ms())) return false;
  std::vector<uint32_t> lost;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) {
    Subscription& sub = subscriptions_[s];
    const LocalRoom& room = rooms_[sub.room];
    if (room.joined && !has_right(index, room, Right::read)) {
      lost.push_back(sub.room);
      continue;
    }
    bool blind = !has_right(index, room, Right::presence);
    if (blind && sub.present) {
      queue_presence({room.id, room.name, session.user, -1});
      sub.present = 0;
    }
    sub.blind = blind;
    bool connected = !session.catchup || session.catchup->connected_told;
    if (connected && sub.active) count_present(index, s);
  }
  for (uint32_t room : lost) drop_forbidden(index, room);
  return true;
}

void Sessions::tell_session(uint32_t index, std::string_view type, std::string_view data) {
  const Session& session = sessions_[index];
  if (session.connection == kNone) return;
  if (session.catchup && !session.catchup->begun()) return;  // `connected` comes first
  tell(sessions_[index], type, data, false, {});
  bool waiting_poll = session.catchup && session.state == SessionState::live;
  if (waiting_poll) polls_ready_.push_back(handle(index));
}

// The end of a poll's token, in seconds, where it is near and this session has not been told: whichever
// answer comes next carries it, since a poll may end before its own notice.
uint32_t Sessions::expiry_to_tell(uint32_t index) const {
  if (!with_tickets_) return 0;
  uint32_t end = tickets_.expiring_s(index, shard_.wall_ms());
  return end != sessions_[index].told_expires_s ? end : 0;
}

void Sessions::tell_poll_expiry(uint32_t index) {
  Session& session = sessions_[index];
  uint32_t end = session.catchup && session.catchup->begun() ? expiry_to_tell(index) : 0;
  if (end == 0) return;
  session.told_expires_s = end;
  tell(session, "auth.expiring", expiring_data(uint64_t{end} * 1000), false, {});
}

void Sessions::look_at_tickets() {
  tickets_.visit_due(shard_.wall_ms(), [this](uint32_t index, Tickets::Due due) {
    ConnectionId connection{sessions_[index].connection};
    if (due == Tickets::Due::expired) {
      return end_stream(connection, word_of(Code::unauthenticated),
                        "the token has expired: come back with a new one",
                        close_code_of(Code::unauthenticated), false, 0);
    }
    if (shard_.outboxes().at(connection).form != Form::poll)
      return tell_session(index, "auth.expiring", expiring_data(identity(index).expires_wall_ms));
    bool waits = sessions_[index].state == SessionState::live && expiry_to_tell(index) != 0;
    if (waits) polls_ready_.push_back(handle(index));
  });
}

// The place in the order from which on the user is told nothing more.
void Sessions::end_all_of(uint32_t user, const Event& event) {
  bool revoked = event.type() == "revoked";
  std::vector<ConnectionId> streams;
  for (uint32_t s = users_[user].sessions; s != kNone; s = sessions_[s].next_of_user)
    streams.push_back(ConnectionId{sessions_[s].connection});
  for (ConnectionId connection : streams) {
    if (revoked)
      end_stream(connection, word_of(Code::unauthenticated), "this user's tokens have been revoked",
                 close_code_of(Code::unauthenticated), false, 0);
    else
      end_stream(connection, "kicked", "an operator ended this stream", 1000, true, 2000);
  }
}

}  // namespace twinwire
