// Sessions, opening: which session a new stream is, the user and rooms it joins, and where it continues from.
#include <algorithm>

#include "core/limits.h"
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {

// An id whose directory shard is this one: the common session never needs an entry in a directory.
SessionId Sessions::new_session_id() {
  for (;;) {
    SessionId id{shard_.random().next(), shard_.random().next()};
    if (!id.none() && shard_.home_of(id) == shard_.index() && !moved_.contains(id)) return id;
  }
}

void Sessions::open(ConnectionId connection, StreamRequest request) {
  Stream& stream = shard_.outboxes().at(connection);
  stream.form = request.form;
  if (shard_.engine().draining()) {
    if (request.form == Form::poll)
      return shard_.transport().reply(connection, "",
                                      reply_of(fail(Code::draining, "the server is going down")));
    return end_stream(connection, word_of(Code::draining), "the server is going down", 1012, true, 1000);
  }
  uint32_t generation = stream.generation;
  SessionId wanted = request.session;
  if (wanted.none() || request.observer)
    return start(connection, generation, std::move(request), new_session_id(), false, {});
  Name user = request.who.user;
  auto kept = std::make_shared<StreamRequest>(std::move(request));
  ShardIndex here = shard_.index();
  shard_.ask<Released>(
      shard_.home_of(wanted),
      [wanted, user, here](Shard& shard, Answer<Released> answer) {
        shard.sessions().take_over(wanted, user, here, std::move(answer));
      },
      [connection, generation, kept, wanted](Shard& shard, Released released) {
        Sessions& self = shard.sessions();
        SessionId id = released.found ? wanted : self.new_session_id();
        if (released.found) shard.metrics().take_overs++;
        self.start(connection, generation, std::move(*kept), id, released.found, std::move(released.present));
        if (uint32_t index = self.find(id); index != kNone)
          self.sessions_[index].told_expires_s = released.told_expires_s;
        if (released.found) self.came_home(id);
      });
}

uint32_t Sessions::make_session(SessionId id, const Name& user) {
  uint32_t index = sessions_.make();
  Session& session = sessions_[index];
  session.id = id;
  session.user = user;
  session.generation = next_generation_++;
  by_state_[static_cast<size_t>(session.state)]++;
  session.opened_ds = static_cast<uint32_t>(shard_.now() / 100);
  by_id_.insert(static_cast<uint32_t>(id.low), index);
  return index;
}

void Sessions::start(ConnectionId connection, uint32_t generation, StreamRequest request, SessionId id,
                     bool continued, std::vector<PresenceDelta> present) {
  Outboxes& outboxes = shard_.outboxes();
  bool gone = !outboxes.is_open(connection, generation) || outboxes.at(connection).closing;
  if (gone && !continued) return;
  uint32_t index = make_session(id, request.who.user);
  Session& session = sessions_[index];
  session.observer = request.observer;
  session.heartbeat_seconds = static_cast<uint16_t>(request.heartbeat_seconds);
  if (continued) {
    session.detached = std::make_unique<Detached>();
    session.detached->present = std::move(present);
  }
  if (gone) {
    session.connection = kNone;
    return detach(index, true);
  }
  session.connection = index_of(connection);
  session.catchup = std::make_unique<Catchup>();
  session.catchup->request = std::move(request);
  session.catchup->resumed = continued;
  Stream& stream = outboxes.at(connection);
  stream.session = index;
  stream.attention = true;
  count_stream(session, stream.form, +1);
  shard_.metrics().streams_opened[static_cast<size_t>(stream.form)]++;
  shard_.transport().stream_opened(connection);
  if (with_tickets_ && !session.observer &&
      !tickets_.set(index, session.catchup->request.who, shard_.wall_ms(),
                    stream.form == Form::poll ? Tickets::Half::of_life : Tickets::Half::of_rest))
    return end_stream(connection, word_of(Code::overloaded), "too many different grants", 1013, true, 5000);
  if (session.observer) {
    for (const std::string& room : std::vector<std::string>(session.catchup->request.rooms))
      follow(index, Name(session.user.tenant(), room), {0}, Homes::JoinBy::observer);
    return queue(index);
  }
  uint32_t local = find_local_user(session.user);
  if (local == kNone) {
    local = users_.make();
    users_[local].user = session.user;
    user_index_.insert(session.user.hash(), local);
  }
  session.local_user = local;
  session.next_of_user = users_[local].sessions;
  users_[local].sessions = index;
  session.catchup->joins_due++;
  // The common case, where the user's home is here and nothing must be read: no mail, and nothing to wait
  // for.
  RoomId inbox = shard_.inbox_id(session.user);
  ShardIndex here = shard_.index(), home = shard_.home_of(inbox);
  if (home == here) {
    auto known = shard_.homes().join_known_user(session.catchup->request.who, inbox, here);
    if (known) return user_answered(index, *known);
  }
  users_[local].asks++;
  shard_.ask<UserAnswer>(
      home,
      [who = session.catchup->request.who, here](Shard& shard, Answer<UserAnswer> answer) {
        shard.homes().join_user(who, here, std::move(answer));
      },
      [handle = handle(index), user = session.user](Shard& shard, const UserAnswer& answer) {
        Sessions& self = shard.sessions();
        LocalUser& asked = self.users_[self.find_local_user(user)];  // asks > 0 kept it
        asked.asks--;
        if (asked.sessions == kNone) self.user_leaves_.push_back(user);
        uint32_t session_index = self.find(handle);
        if (session_index != kNone && self.sessions_[session_index].catchup)
          self.user_answered(session_index, answer);
      });
}

void Sessions::user_answered(uint32_t index, const UserAnswer& answer) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  ConnectionId connection{session.connection};
  catchup.joins_due--;
  if (answer.code == Code::unauthenticated)
    return end_stream(connection, word_of(answer.code), "this token has been revoked", 4401, false, 0);
  if (answer.code != Code::ok)
    return end_stream(connection, word_of(answer.code),
                      "the user's rooms cannot be read now; try again shortly", 1013, true, 2000);
  catchup.cut = std::max(catchup.cut, answer.cut);
  catchup.inbox_last_kept = std::max(catchup.inbox_last_kept, answer.inbox_last_kept);
  // The order of follow() is that of `connected`: memberships as the list has them, then what was asked for.
  std::vector<Name> asked;
  for (const std::string& name : catchup.request.rooms)
    asked.push_back(room_name(session.user.tenant(), name));
  const std::vector<Membership> listed = memberships_followed(catchup, answer, asked);
  bool gained_before = session.subscriptions != kNone;
  for (const Membership& membership : listed) {
    auto named = std::find(asked.begin(), asked.end(), membership.room_name);
    bool by_name = named != asked.end();
    if (by_name) asked.erase(named);
    follow(index, membership.room_name, {0}, by_name ? Homes::JoinBy::name : Homes::JoinBy::membership);
    if (gained_before) told_by_list(index, membership.room);
  }
  for (const Name& room : asked) {
    follow(index, room, {0}, Homes::JoinBy::name);
    if (gained_before) told_by_list(index, shard_.room_id(room));
  }
  queue(index);
}

// The Name of a room, shared with whoever follows it here already.
Name Sessions::room_name(std::string_view tenant, std::string_view text) const {
  uint32_t known = find_room(room_id_of(shard_.engine().boot().room_key, tenant, text));
  return known == kNone ? Name(tenant, text) : rooms_[known].name;
}

// What of the user's list a stream follows: all of it, or where that is too much beside the rooms it asked
// for, the newest. What others make a user a member of never keeps the user from opening a stream.
std::vector<Membership> Sessions::memberships_followed(Catchup& catchup, const UserAnswer& answer,
                                                       const std::vector<Name>& asked) const {
  std::vector<Membership> listed = answer.memberships;
  size_t most = shard_.config().limits.rooms_per_stream;
  if (listed.size() + asked.size() <= most) return listed;
  auto named = [&](const Membership& m) {
    return std::find(asked.begin(), asked.end(), m.room_name) != asked.end();
  };
  std::vector<Sequence> since;
  for (const Membership& m : listed)
    if (!named(m)) since.push_back(m.since);
  size_t left = most - std::min(most, asked.size());
  if (since.size() <= left) return listed;
  catchup.rooms_left_out = static_cast<uint32_t>(since.size() - left);
  std::nth_element(since.begin(), since.begin() + catchup.rooms_left_out, since.end());
  // Everything from `oldest` on stays; places in the order are given once, so that is as many as there is
  // room.
  Sequence oldest = left > 0 ? since[catchup.rooms_left_out] : kSequenceMax;
  std::erase_if(listed, [&](const Membership& m) { return m.since < oldest && !named(m); });
  return listed;
}

// The room's event came by the inbox before this list did: the stream has the room from its cursor on all the
// same. In a closed one only the home knows from where: what it has said stands.
void Sessions::told_by_list(uint32_t index, RoomId id) {
  uint32_t room = find_room(id);
  uint32_t subscription = room == kNone ? kNone : subscription_of(index, room);
  if (subscription == kNone) return;  // refused already
  Subscription& sub = subscriptions_[subscription];
  if (!sub.active || !sub.gained) return;
  if (rooms_[room].joined && rooms_[room].kind != RoomKind::open) return;
  sub.since = 0;
  sub.gained = 0;
}

// From the session's next catch-up on, the room is among those it gets; events below `since` are not this
// stream's.
void Sessions::follow(uint32_t index, const Name& name, Sequence since, Homes::JoinBy by) {
  RoomId id = shard_.room_id(name);
  uint32_t room_index = local_room(id, name);
  if (subscription_of(index, room_index) != kNone) return;
  subscribe(index, room_index, since, true);
  LocalRoom& room = rooms_[room_index];
  Catchup& catchup = *sessions_[index].catchup;
  if (room.joined && room.kind == RoomKind::open && by != Homes::JoinBy::membership) {
    if (!has_right(index, room, Right::read)) return drop_forbidden(index, room_index);
    // The shard is in the room's mask already, and nobody needs asking: what it consumed is the cut.
    catchup.cut = std::max({catchup.cut, room.cut, shard_.consumed()});
    return;
  }
  catchup.joins_due++;
  ask_join(index, room_index, by, [name](Shard& shard, uint32_t session, const JoinAnswer& answer) {
    if (session != kNone) shard.sessions().join_answered(session, name, answer);
  });
}

// `then` runs when the home has answered, with the session, or with kNone if that has gone: whoever waits
// for the answer of a command is told either way.
void Sessions::ask_join(uint32_t index, uint32_t room_index, Homes::JoinBy by,
                        std::function<void(Shard&, uint32_t, const JoinAnswer&)> then) {
  LocalRoom& room = rooms_[room_index];
  room.asks++;
  ShardIndex here = shard_.index();
  shard_.ask<JoinAnswer>(
      shard_.home_of(room.id),
      [id = room.id, name = room.name, who = identity(index), by, here](Shard& shard,
                                                                        Answer<JoinAnswer> answer) {
        shard.homes().join_room(id, name, who, here, by, std::move(answer));
      },
      [id = room.id, handle = handle(index), then](Shard& shard, const JoinAnswer& answer) {
        Sessions& self = shard.sessions();
        uint32_t local = self.find_room(id);
        LocalRoom& joined = self.rooms_[local];  // asks > 0 kept it
        joined.asks--;
        if (answer.code == Code::ok) {
          joined.joined = true;
          joined.kind = answer.kind;
          joined.stateful = joined.stateful || answer.stateful;
          joined.cut = std::max(joined.cut, answer.cut);
          joined.last_kept = std::max(joined.last_kept, answer.last_kept);
        }
        then(shard, self.find(handle), answer);
        self.drop_room_if_unused(local);
      });
}

void Sessions::join_answered(uint32_t index, const Name& name, const JoinAnswer& answer) {
  Session& session = sessions_[index];
  if (!session.catchup) return;  // the stream went meanwhile
  Catchup& catchup = *session.catchup;
  catchup.joins_due--;
  uint32_t room = find_room(shard_.room_id(name));
  uint32_t subscription = subscription_of(index, room);
  // Asked with the token of that time: a newer one may allow less.
  bool allowed = answer.code == Code::ok && has_right(index, rooms_[room], Right::read);
  if (!allowed) {
    if (subscription != kNone) drop_forbidden(index, room);
  } else if (subscription != kNone) {
    catchup.cut = std::max(catchup.cut, answer.cut);
    Subscription& sub = subscriptions_[subscription];
    sub.since = std::max<uint64_t>(sub.since, answer.readable_from.value);
    if (catchup.connected_told) count_present(index, subscription);
  }
  queue(index);
}

// Where the stream continues from, and the reset that says so if it is not where the client asked.
Sequence Sessions::base_cursor(Session& session, std::string& reset_reason) {
  const StreamRequest& request = session.catchup->request;
  Sequence now = std::min(shard_.consumed(), shard_.durability().synced());
  if (request.earliest) {
    session.catchup->from_earliest = true;
    return {0};
  }
  if (request.bad_cursor) reset_reason = "unknown_cursor";
  if (!request.cursor || request.bad_cursor) return now;
  Sequence cursor = request.cursor->sequence;
  if (request.cursor->epoch != shard_.epoch() || cursor > shard_.ring().claimed()) {
    reset_reason = "unknown_cursor";
    return now;
  }
  session.catchup->resumed = true;
  // The first start after the cursor was given decides: below its settled position nothing was lost.
  for (const StartRecord& start : shard_.engine().boot().starts) {
    if (start.first <= cursor) continue;
    if (start.settled < cursor && start.previous == DeliverPolicy::publish) {
      reset_reason = "rolled_back";
      return start.settled;
    }
    break;
  }
  if (shard_.engine().mutated(Mutation::reset_when_possible) && cursor + 20 < shard_.consumed()) {
    reset_reason = "unknown_cursor";
    return now;
  }
  return cursor;
}

// Every room has answered and the shard has consumed the cut: the stream begins.
void Sessions::connected(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  catchup.connected_told = true;
  settle_presence(index);
  bool has_cursor = catchup.request.cursor || catchup.request.earliest || catchup.request.bad_cursor;
  set_state(session, SessionState::replaying);
  if (!has_cursor && catchup.request.history > 0) return read_history(index);
  bool continued = catchup.resumed;
  catchup.resumed = false;
  std::string reset;
  Sequence base = base_cursor(session, reset);
  // Every poll but the first continues; what counts is who had lost a stream.
  catchup.resume_open = catchup.resumed && catchup.request.form != Form::poll;
  if (catchup.resume_open) shard_.metrics().resumes++;
  session.cursor = catchup.base = base;
  std::vector<std::string> forbidden = std::exchange(catchup.forbidden, {});
  if (!(catchup.request.form == Form::poll && continued)) tell_connected(index, base);
  std::vector<std::string> rooms;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    rooms.emplace_back(rooms_[subscriptions_[s].room].name.text());
  if (!reset.empty()) {
    (reset == "rolled_back" ? shard_.metrics().reset_rolled_back : shard_.metrics().reset_unknown)++;
    tell_reset(session, reset, rooms, base);
  }
  if (forbidden.empty()) return;
  bool alone = catchup.poll_frames.empty();
  tell_reset(session, "forbidden", forbidden, base);
  // A poll that continues may name such a room each time: that alone does not answer it, or its client would
  // ask without end (frames_wait).
  if (catchup.request.form == Form::poll && continued && alone) catchup.forbidden = std::move(forbidden);
}

// ---- presence ----

void Sessions::count_present(uint32_t index, uint32_t subscription) {
  Session& session = sessions_[index];
  Subscription& sub = subscriptions_[subscription];
  const LocalRoom& room = rooms_[sub.room];
  sub.blind = !has_right(index, room, Right::presence);
  if (sub.present || sub.blind || session.observer || !shard_.config().presence.enabled) return;
  sub.present = 1;
  if (session.detached) {
    // Counted already under its former stream: the count moves with the session.
    size_t found =
        std::erase_if(session.detached->present, [&](const PresenceDelta& p) { return p.room == room.id; });
    if (found) return;
  }
  queue_presence({room.id, room.name, session.user, +1});
}

void Sessions::settle_presence(uint32_t index) {
  Session& session = sessions_[index];
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    count_present(index, s);
  if (!session.detached) return;
  for (PresenceDelta& delta : session.detached->present) {
    delta.sessions = -1;
    queue_presence(std::move(delta));
  }
  session.detached.reset();
}

}  // namespace twinwire
