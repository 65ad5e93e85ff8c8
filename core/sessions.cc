// Sessions, opening and ending: identity, take-over, joining rooms, `connected`, `bye`, what is kept when a
// stream goes. Catching up is in sessions_catchup.cc, delivery in sessions_deliver.cc.
#include "core/sessions.h"

#include <algorithm>

#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {
namespace {

// A frame for one stream alone, in its form: never in the log, no eventId. `id` gives an SSE stream its
// cursor.
std::string direct_frame(Form form, const WireStyle& style, std::string_view type, std::string_view json,
                         const std::string& id) {
  std::string out;
  if (form == Form::ws) {
    char header[10];
    out.append(header, write_ws_header(header, 1, json.size()));
    out += json;
  } else if (form == Form::sse) {
    if (!id.empty()) out += "id: " + id + "\n";
    append_sse_head(out, style.sse, type);
    out += json;
    out += "\n\n";
  }
  return out;
}

std::string direct_json(Form form, const WireStyle& style, std::string_view type, std::string_view tenant,
                        std::string_view data, uint64_t wall_ms) {
  std::string timestamp = format_timestamp(wall_ms);
  Envelope envelope;
  envelope.type = type;
  envelope.tenant = tenant;
  envelope.timestamp = timestamp;
  envelope.data = data;
  Body body;
  write_body(body, envelope, form == Form::sse ? style.sse : style.ws);
  return std::move(body.json);
}

std::string name_list(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& name : names) {
    if (out.size() > 1) out += ',';
    append_json_string(out, name);
  }
  return out + "]";
}

}  // namespace

std::string_view word_of(SessionState state) {
  switch (state) {
    case SessionState::joining:
      return "joining";
    case SessionState::replaying:
      return "replaying";
    case SessionState::live:
      return "live";
    case SessionState::lagging:
      return "lagging";
    case SessionState::detached:
      return "detached";
  }
  return "joining";
}

Sessions::Sessions(Shard& shard)
    : shard_(shard),
      by_id_(HashSession{&sessions_}),
      room_index_(HashRoom{&rooms_}),
      user_index_(HashUser{&users_}),
      with_tickets_(shard.config().auth.mode == AuthMode::jwt),
      tickets_(shard.config().auth.expiring_seconds) {}

Sessions::~Sessions() {
  by_id_.for_each([this](uint32_t i) { sessions_.drop(i); });
  room_index_.for_each([this](uint32_t i) { rooms_.drop(i); });
  user_index_.for_each([this](uint32_t i) { users_.drop(i); });
}

uint32_t Sessions::find(SessionId id) const {
  return by_id_.find(static_cast<uint32_t>(id.low), [&](uint32_t i) { return sessions_[i].id == id; });
}

uint32_t Sessions::find(const Handle& handle) const {
  uint32_t session = find(handle.id);
  return session != kNone && sessions_[session].generation == handle.generation ? session : kNone;
}

uint32_t Sessions::on_connection(ConnectionId connection) const {
  auto& outboxes = shard_.outboxes();
  return outboxes.is_open(connection) ? outboxes.at(connection).session : kNone;
}

// An id whose directory shard is this one: the common session never needs an entry in a directory.
SessionId Sessions::new_session_id() {
  for (;;) {
    SessionId id{shard_.random().next(), shard_.random().next()};
    if (!id.none() && shard_.home_of(id) == shard_.index() && !moved_.contains(id)) return id;
  }
}

// ---- opening ----

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
  session.detached = std::make_unique<Detached>();
  session.detached->present = std::move(present);
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
      !tickets_.set(index, session.catchup->request.who, shard_.wall_ms()))
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
  users_[local].asks++;
  Name user = session.user;
  ShardIndex here = shard_.index();
  shard_.ask<UserAnswer>(
      shard_.home_of(shard_.inbox_id(session.user)),
      [who = session.catchup->request.who, here](Shard& shard, Answer<UserAnswer> answer) {
        shard.homes().join_user(who, here, std::move(answer));
      },
      [handle = handle(index), user](Shard& shard, const UserAnswer& answer) {
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
  std::vector<std::pair<Name, Homes::JoinBy>> rooms;
  for (const Membership& membership : answer.memberships)
    rooms.emplace_back(membership.room_name, Homes::JoinBy::membership);
  for (const std::string& name : catchup.request.rooms) {
    Name room(session.user.tenant(), name);
    auto listed = std::find_if(rooms.begin(), rooms.end(), [&](const auto& r) { return r.first == room; });
    if (listed == rooms.end())
      rooms.emplace_back(room, Homes::JoinBy::name);
    else
      listed->second = Homes::JoinBy::name;
  }
  if (rooms.size() > shard_.config().limits.rooms_per_stream)
    return end_stream(connection, word_of(Code::limit_exceeded),
                      "too many rooms for one stream, memberships included", 1008, false, 0);
  for (const auto& [room, by] : rooms) {
    follow(index, room, {0}, by);
    // Its event came by the inbox before this list did: the stream has the room from its cursor on all the
    // same. In a closed one only the home knows from where: what it has said stands.
    uint32_t room_index = find_room(shard_.room_id(room));
    uint32_t subscription = room_index == kNone ? kNone : subscription_of(index, room_index);
    if (subscription == kNone) continue;  // refused already
    Subscription& sub = subscriptions_[subscription];
    if (!sub.active || !sub.gained) continue;
    if (rooms_[room_index].joined && rooms_[room_index].kind != RoomKind::open) continue;
    sub.since = 0;
    sub.gained = 0;
  }
  queue(index);
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
  if (!(catchup.request.form == Form::poll && continued)) tell_connected(index, base);
  std::vector<std::string> rooms;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    rooms.emplace_back(rooms_[subscriptions_[s].room].name.text());
  if (!reset.empty()) {
    (reset == "rolled_back" ? shard_.metrics().reset_rolled_back : shard_.metrics().reset_unknown)++;
    tell_reset(session, reset, rooms, base);
  }
  if (!catchup.forbidden.empty()) tell_reset(session, "forbidden", catchup.forbidden, base);
  catchup.forbidden.clear();
}

void Sessions::tell_connected(uint32_t index, Sequence base) {
  Session& session = sessions_[index];
  std::vector<std::string> rooms;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    // A room gained while opening is told by its event or its command's answer, unless the stream begins
    // above.
    if (subscriptions_[s].active && (!subscriptions_[s].gained || subscriptions_[s].since <= base.value))
      rooms.emplace_back(rooms_[subscriptions_[s].room].name.text());
  std::reverse(rooms.begin(), rooms.end());
  std::string data;
  JsonObject object(data);
  object.field("sessionId", session.id.text()).field("userId", session.user.text());
  object.field("lastEventId", shard_.cursor(base).text()).field("resumed", session.catchup->resumed);
  object.field("heartbeat", uint32_t{session.heartbeat_seconds}).raw("rooms", name_list(rooms)).end();
  tell(session, "connected", data, true, base);
}

void Sessions::tell_reset(Session& session, std::string_view reason, const std::vector<std::string>& rooms,
                          Sequence at) {
  std::string data;
  JsonObject object(data);
  object.raw("rooms", name_list(rooms)).field("reason", reason);
  object.field("lastEventId", shard_.cursor(at).text()).end();
  tell(session, "reset", data, reason == "rolled_back" || reason == "unknown_cursor", at);
}

void Sessions::tell(Session& session, std::string_view type, std::string_view data, bool with_id,
                    Sequence id) {
  if (session.connection == kNone) return;
  ConnectionId connection{session.connection};
  Form form = shard_.outboxes().at(connection).form;
  const WireStyle& style = shard_.style_of(session.user.tenant());
  std::string json = direct_json(form, style, type, session.user.tenant(), data, shard_.wall_ms());
  if (form == Form::poll) {
    std::string& frames = session.catchup->poll_frames;
    if (!frames.empty()) frames += ',';
    frames += json;
    return;
  }
  shard_.outboxes().push_raw(connection,
                             direct_frame(form, style, type, json, with_id ? shard_.cursor(id).text() : ""));
}

// ---- presence ----

void Sessions::count_present(uint32_t index, uint32_t subscription) {
  Session& session = sessions_[index];
  Subscription& sub = subscriptions_[subscription];
  const LocalRoom& room = rooms_[sub.room];
  sub.blind = !has_right(index, room, Right::presence);
  if (sub.present || sub.blind || session.observer) return;
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

// ---- ending ----

void Sessions::say_bye(ConnectionId connection, std::string_view code, std::string_view reason,
                       int close_code, bool reconnect, uint32_t after_ms) {
  Outboxes& outboxes = shard_.outboxes();
  Form form = outboxes.at(connection).form;
  std::string data;
  JsonObject object(data);
  object.field("code", code)
      .field("reason", reason)
      .field("reconnect", reconnect)
      .field("afterMs", after_ms)
      .end();
  shard_.metrics().count_bye(code);
  if (form == Form::ws) shard_.metrics().count_ws_close(true, close_code);
  uint32_t session = on_connection(connection);
  const WireStyle& style = shard_.style_of(session == kNone ? "" : sessions_[session].user.tenant());
  std::string json = direct_json(form, style, "bye", "", data, shard_.wall_ms());
  outboxes.push_raw(connection, direct_frame(form, style, "bye", json, ""));
  if (form == Form::ws) {
    std::string payload{static_cast<char>(close_code >> 8), static_cast<char>(close_code)};
    payload += code.substr(0, 120);
    char header[10];
    std::string frame(header, write_ws_header(header, 8, payload.size()));
    outboxes.push_raw(connection, frame + payload);
  }
  outboxes.close_when_flushed(connection);
}

void Sessions::end_stream(ConnectionId connection, std::string_view code, std::string_view reason,
                          int close_code, bool reconnect, uint32_t after_ms) {
  Outboxes& outboxes = shard_.outboxes();
  if (!outboxes.is_open(connection)) return;
  uint32_t index = outboxes.at(connection).session;
  if (outboxes.at(connection).form == Form::poll && index != kNone) {
    if (sessions_[index].catchup && sessions_[index].catchup->begun()) return answer_poll(index);
    detach(index, true);
    outboxes.at(connection).form = Form::none;
    Code refused = Code::storage_unavailable;
    for (Code known : {Code::limit_exceeded, Code::unauthenticated, Code::overloaded})
      if (word_of(known) == code) refused = known;
    return shard_.transport().reply(connection, "", reply_of(fail(refused, std::string(reason))));
  }
  if (index != kNone) outboxes.drop_events(connection);
  say_bye(connection, code, reason, close_code, reconnect, after_ms);
  if (index != kNone) detach(index, true);
}

uint32_t Sessions::kick(const Kick& kick) {
  std::vector<ConnectionId> connections;
  auto add = [&](uint32_t index) {
    if (sessions_[index].connection != kNone)
      connections.push_back(ConnectionId{sessions_[index].connection});
  };
  if (kick.user) {
    uint32_t user = find_local_user(kick.user);
    if (user == kNone) return 0;
    for (uint32_t s = users_[user].sessions; s != kNone; s = sessions_[s].next_of_user) add(s);
  } else if (uint32_t index = find(kick.session); index != kNone) {
    add(index);
  }
  constexpr uint32_t kAfterMs = 2000;
  for (ConnectionId connection : connections)
    end_stream(connection, "kicked", kick.reason, kick.reconnect ? 1000 : 4403, kick.reconnect,
               kick.reconnect ? kAfterMs : 0);
  return static_cast<uint32_t>(connections.size());
}

void Sessions::connection_closed(ConnectionId connection) {
  uint32_t index = on_connection(connection);
  if (index != kNone) detach(index, true);
}

void Sessions::count_stream(const Session& session, Form form, int by) {
  auto step = [by](uint32_t& count) { count = static_cast<uint32_t>(static_cast<int>(count) + by); };
  if (session.observer) return step(counts_.tails);
  if (form == Form::sse) step(counts_.sse);
  if (form == Form::ws) step(counts_.ws);
  if (form == Form::poll) step(counts_.poll);
}

void Sessions::set_state(Session& session, SessionState state) {
  by_state_[static_cast<size_t>(session.state)]--;
  by_state_[static_cast<size_t>(state)]++;
  session.state = state;
}

// Where a continued stream got what it had missed, once it is at the live end.
void Sessions::count_resume(Catchup& catchup) {
  if (!catchup.resume_open) return;
  catchup.resume_open = false;
  Metrics& metrics = shard_.metrics();
  (catchup.read_store  ? metrics.resumed_store
   : catchup.read_tail ? metrics.resumed_tail
                       : metrics.resumed_live)++;
}

// The stream is gone; the session stays for a while, and its presence for a shorter one.
void Sessions::detach(uint32_t index, bool keep_presence) {
  Session& session = sessions_[index];
  if (session.connection != kNone) {
    Stream& stream = shard_.outboxes().at(ConnectionId{session.connection});
    count_stream(session, stream.form, -1);
    stream.session = kNone;
    stream.attention = false;
    session.connection = kNone;
  }
  if (!session.detached) session.detached = std::make_unique<Detached>();
  session.detached->since = shard_.now();
  while (session.subscriptions != kNone) {
    Subscription& sub = subscriptions_[session.subscriptions];
    const LocalRoom& room = rooms_[sub.room];
    if (sub.present) session.detached->present.push_back({room.id, room.name, session.user, +1});
    unsubscribe(index, sub.room);
  }
  unlink_user(index);
  tickets_.drop(index);
  if (session.catchup && session.catchup->resume_open) shard_.metrics().resumed_cut++;
  session.catchup.reset();
  set_state(session, SessionState::detached);
  if (session.observer) return forget(index);
  if (!keep_presence) session.detached->present.clear();
  detached_.push_back({shard_.now(), session.id});
  kept_.push_back({shard_.now(), session.id});
}

void Sessions::unlink_user(uint32_t index) {
  Session& session = sessions_[index];
  if (session.local_user == kNone) return;
  LocalUser& user = users_[session.local_user];
  uint32_t* link = &user.sessions;
  while (*link != index) link = &sessions_[*link].next_of_user;
  *link = session.next_of_user;
  if (user.sessions == kNone) user_leaves_.push_back(user.user);
  session.local_user = kNone;
  session.next_of_user = kNone;
}

void Sessions::forget(uint32_t index) {
  SessionId id = sessions_[index].id;
  shard_.metrics().sessions_forgotten++;
  by_id_.erase(static_cast<uint32_t>(id.low), index);
  by_state_[static_cast<size_t>(sessions_[index].state)]--;
  sessions_.drop(index);
  ShardIndex directory = shard_.home_of(id);
  if (directory == shard_.index()) return;
  shard_.post(directory,
              [id, host = shard_.index()](Shard& shard) { shard.sessions().forget_moved(id, host); });
}

// ---- the directory ----

void Sessions::take_over(SessionId id, const Name& user, ShardIndex new_host, Answer<Released> answer) {
  auto it = moved_.find(id);
  if (it == moved_.end()) {
    Released released = release(id, user);
    // Until its new host has it, nobody else may take it: a host that is this shard says so in start().
    if (released.found) moved_[id] = Moved{new_host, new_host == shard_.index(), {}};
    return answer(shard_, std::move(released));
  }
  Moved& moved = it->second;
  if (moved.busy) {
    moved.waiting.push_back([this, id, user, new_host, answer] { take_over(id, user, new_host, answer); });
    return;
  }
  moved.busy = true;
  bool early = shard_.engine().mutated(Mutation::take_over_writes_early);
  if (early) answer(shard_, Released{true, {}});
  // By mail there and back, and not by an ask: who serves an ask must not need a credit for it, or two shards
  // whose credits all serve take-overs of each other's sessions would wait for ever.
  shard_.post(moved.host, [id, user, new_host, answer, early, directory = shard_.index()](Shard& host) {
    host.post(directory, [id, new_host, answer, early,
                          released = host.sessions().release(id, user)](Shard& shard) mutable {
      shard.sessions().moved_on(id, new_host, std::move(released), early ? Answer<Released>() : answer);
    });
  });
}

// The host has answered: whoever waits at the directory asks next.
void Sessions::moved_on(SessionId id, ShardIndex new_host, Released released,
                        const Answer<Released>& answer) {
  auto entry = moved_.find(id);
  bool here = released.found && new_host == shard_.index();
  auto waiting = here ? std::deque<std::function<void()>>() : std::move(entry->second.waiting);
  entry->second.busy = here;
  if (released.found) entry->second.host = new_host;
  if (!here) entry->second.waiting.clear();
  if (answer) answer(shard_, std::move(released));
  for (auto& next : waiting) next();
}

// A session taken over has come home: whoever waits for it may ask now.
void Sessions::came_home(SessionId id) {
  auto entry = moved_.find(id);
  if (entry == moved_.end() || entry->second.host != shard_.index()) return;
  auto waiting = std::move(entry->second.waiting);
  moved_.erase(entry);
  for (auto& next : waiting) next();
}

// The old stream ends here and writes no more; what moves is who it is and where it is present.
Released Sessions::release(SessionId id, const Name& user) {
  uint32_t index = find(id);
  if (index == kNone || sessions_[index].user != user) return {};
  Session& session = sessions_[index];
  if (session.connection != kNone) {
    ConnectionId connection{session.connection};
    Outboxes& outboxes = shard_.outboxes();
    if (outboxes.at(connection).form == Form::poll) {
      answer_poll(index);  // the first poll ends at once
    } else {
      outboxes.drop_events(connection);
      bool stuck = outboxes.at(connection).blocked;
      say_bye(connection, "replaced", "replaced", 1000, false, 0);
      detach(index, true);
      if (stuck)
        shard_.transport().close(connection);  // a partial frame that the socket does not take ends here
    }
  }
  Released released{true, {}};
  if (session.detached && !session.detached->presence_given_up)
    released.present = std::move(session.detached->present);
  by_id_.erase(static_cast<uint32_t>(id.low), index);
  by_state_[static_cast<size_t>(session.state)]--;
  sessions_.drop(index);
  return released;
}

void Sessions::forget_moved(SessionId id, ShardIndex host) {
  auto it = moved_.find(id);
  if (it != moved_.end() && it->second.host == host && !it->second.busy) moved_.erase(it);
}

ShardIndex Sessions::located(SessionId id) const {
  auto it = moved_.find(id);
  return it == moved_.end() ? shard_.index() : it->second.host;
}

}  // namespace twinwire
