// Sessions, the live side: events of the ring to their readers, polls, heartbeats, following rooms, timers.
#include <algorithm>

#include "core/json.h"
#include "core/limits.h"
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {

// ---- delivery ----

bool Sessions::wants(const Session& session, const Event& event) {
  switch (event.exclude()) {
    case Exclude::none:
      return true;
    case Exclude::connection:
      // A session that a POST names counts only where it is the sender's own.
      return session.id != event.exclude_session() || session.user != event.user();
    case Exclude::user:
      return session.user != event.user();
  }
  return true;
}

// The members of a room lie anywhere in memory. What a delivery touches of each is fetched some members
// ahead, so that the waits for memory overlap: the subscription, behind it the session, behind that the
// stream.
void Sessions::fetch_ahead(const LocalRoom& room, size_t at) const {
  constexpr size_t kSubscription = 12, kSession = 8, kStream = 4;
  const size_t size = room.subscriptions.size();
  auto subscription = [&](size_t i) -> const Subscription& { return subscriptions_[room.subscriptions[i]]; };
  if (at + kSubscription < size) __builtin_prefetch(&subscription(at + kSubscription));
  if (at + kSession < size) __builtin_prefetch(&sessions_[subscription(at + kSession).session], 1);
  if (at + kStream >= size) return;
  const Session& session = sessions_[subscription(at + kStream).session];
  if (session.connection != kNone) shard_.outboxes().fetch(ConnectionId{session.connection});
}

bool Sessions::deliver(const Event& event, uint32_t& budget) {
  if (is_inbox(event.room_name())) {
    deliver_inbox(event);
    return true;
  }
  uint32_t index = find_room(event.room());
  if (index == kNone) return true;  // its last reader has left meanwhile
  LocalRoom& room = rooms_[index];
  uint32_t at = paused_room_ == index ? paused_at_ : 0;
  const uint64_t before = shard_.metrics().delivered;
  auto count = [&] { shard_.tenant(room.tenant).delivered += shard_.metrics().delivered - before; };
  bool of_presence = event.event_class() == EventClass::state && event.type().starts_with("presence.");
  for (size_t i = at, end = std::min<size_t>(at + 12, room.subscriptions.size()); i < end; i++)
    __builtin_prefetch(&subscriptions_[room.subscriptions[i]]);
  for (size_t i = at, end = std::min<size_t>(at + 8, room.subscriptions.size()); i < end; i++)
    __builtin_prefetch(&sessions_[subscriptions_[room.subscriptions[i]].session], 1);
  for (; at < room.subscriptions.size(); at++) {
    fetch_ahead(room, at);
    if (budget == 0) {
      paused_room_ = index;
      paused_at_ = at;
      shard_.metrics().deliveries_paused++;
      count();
      return false;
    }
    budget--;
    const Subscription& sub = subscriptions_[room.subscriptions[at]];
    if (sub.active && !(of_presence && sub.blind)) deliver_one(sub.session, event);
  }
  count();
  paused_room_ = kNone;
  if (event.event_class() == EventClass::state && !event.type().starts_with("presence."))
    room.stateful = true;
  // A join's answer may know of newer ones than the ring has brought here yet.
  if (event.kept()) room.last_kept = std::max(room.last_kept, event.sequence());
  if (event.kind() == EventKind::removal) removed(index, event);
  return true;
}

void Sessions::deliver_one(uint32_t index, const Event& event) {
  Session& session = sessions_[index];
  if (session.state != SessionState::live) return hold(session, event);
  if (!wants(session, event)) return;
  ConnectionId connection{session.connection};
  shard_.outboxes().push(connection, Entry::borrow(&event));
  shard_.metrics().delivered++;
  if (event.kept()) session.cursor = event.sequence();
  if (session.catchup) polls_ready_.push_back(handle(index));  // live with a catchup: a waiting poll
}

void Sessions::hold(Session& session, const Event& event) {
  if (!session.catchup) return;
  Catchup& catchup = *session.catchup;
  if (event.event_class() == EventClass::state || event.marker()) catchup.state_skipped = true;
  bool dropped = !catchup.holding || event.sequence() <= catchup.target;
  if (dropped && !event.kept() && session.state == SessionState::lagging) shard_.metrics().shed_slow++;
  if (dropped) return;
  if (catchup.held.size() < shard_.engine().bounds().held_events) {
    catchup.held.push_back(EventRef::share(&event));
    return;
  }
  shard_.metrics().held_overflows++;
  catchup.holding = false;  // the gap does not fit: another round
  catchup.held.clear();
}

void Sessions::deliver_inbox(const Event& event) {
  Name owner(event.room_name().tenant(), event.room_name().text().substr(1));
  uint32_t user = find_local_user(owner);
  if (user == kNone) return;
  if (event.kind() == EventKind::ending) return end_all_of(user, event);
  bool gains = event.type() == "room.member_added" || event.type() == "room.created";
  const uint64_t before = shard_.metrics().delivered;
  for (uint32_t s = users_[user].sessions; s != kNone;) {
    uint32_t next = sessions_[s].next_of_user;
    Session& session = sessions_[s];
    deliver_one(s, event);
    if (event.kept() && session.catchup)
      session.catchup->inbox_last_kept = std::max(session.catchup->inbox_last_kept, event.sequence());
    if (gains) gained(s, event);
    s = next;
  }
  shard_.tenant_of(owner.tenant()).delivered += shard_.metrics().delivered - before;
}

// The user's list of rooms grew: this session follows it from here on, by the ordinary catch-up.
void Sessions::gained(uint32_t index, const Event& event) {
  Session& session = sessions_[index];
  Name name(session.user.tenant(), event.shown_room());
  uint32_t known = find_room(shard_.room_id(name));
  uint32_t followed = known == kNone ? kNone : subscription_of(index, known);
  if (followed != kNone && subscriptions_[followed].active) return;
  shard_.metrics().gained_by_inbox++;
  bool careless = shard_.engine().mutated(Mutation::inbox_room_without_catch_up);
  bool was_live = session.state == SessionState::live;
  if (was_live) {
    fall_back(index, event.sequence());
    // What is queued must be out before the first read: only the flush knows whether all of it went.
    session.catchup->pushed = shard_.outboxes().queued(ConnectionId{session.connection}) > 0;
    session.catchup->pushed_through = event.sequence();
  }
  // A read under way ends below this event, and what the room publishes before this shard has joined it comes
  // by no push: that read must not be the last.
  session.catchup->holding = false;
  session.catchup->held.clear();
  // A command that is about to gain it finds it gained: from here on, whatever becomes of its answer.
  if (followed != kNone) unsubscribe(index, known);
  follow(index, name, event.sequence(), Homes::JoinBy::membership);
  if (uint32_t made = subscription_of(index, find_room(shard_.room_id(name))); made != kNone)
    subscriptions_[made].gained = 1;
  if (careless && was_live) set_state(session, SessionState::live);
}

// The user is no longer a member from this place on. Who stood behind it is told, since it may not see the
// rest; and whoever did not leave by themselves.
void Sessions::removed(uint32_t room_index, const Event& event) {
  uint32_t user = find_local_user(event.subject());
  if (user == kNone) return;
  std::string name(rooms_[room_index].name.text());
  for (uint32_t index = users_[user].sessions; index != kNone; index = sessions_[index].next_of_user) {
    Session& session = sessions_[index];
    uint32_t subscription = subscription_of(index, room_index);
    if (subscription == kNone) continue;
    shard_.metrics().removals++;
    if (subscriptions_[subscription].present)
      queue_presence({rooms_[room_index].id, rooms_[room_index].name, session.user, -1});
    unsubscribe(index, room_index);
    bool live = session.state == SessionState::live;
    if (live ? event.user() == event.subject() : !session.catchup) continue;
    shard_.metrics().reset_forbidden++;
    if (live || session.catchup->begun())
      tell_reset(session, "forbidden", {name}, live ? event.sequence() : session.cursor);
    else
      session.catchup->forbidden.push_back(name);
  }
}

// ---- polls ----

void Sessions::answer_polls() {
  for (size_t i = 0; i < polls_ready_.size(); i++) {
    uint32_t index = find(polls_ready_[i]);
    if (index != kNone && sessions_[index].connection != kNone) answer_poll(index);
  }
  polls_ready_.clear();
}

// {"events":[…],"lastEventId":"…"}: the session then waits for its next poll without a stream.
void Sessions::answer_poll(uint32_t index) {
  Session& session = sessions_[index];
  ConnectionId connection{session.connection};
  Catchup* catchup = session.catchup.get();
  bool live = session.state == SessionState::live;
  std::vector<EventRef> events = shard_.outboxes().take_events(connection);
  tell_poll_expiry(index);
  Reply reply;
  std::string& body = reply.body;
  body = "{\"events\":[";
  if (catchup) body += catchup->poll_frames;
  bool first = !catchup || catchup->poll_frames.empty();
  Sequence last_kept{0}, cut{0};  // cut: the first event that is left for the next poll
  const auto& limits = shard_.config().poll;
  uint64_t bytes = 0, count = 0;
  for (const EventRef& event : events) {
    bytes += event->json().size();
    if (count > 0 && (count == limits.events || bytes > limits.bytes)) {
      cut = event->sequence();
      break;
    }
    count++;
    if (!first) body += ',';
    first = false;
    body += event->json();
    if (event->kept()) last_kept = event->sequence();
  }
  // The position looked through; never past what is synced unless it is a kept event's own.
  bool begun = catchup && catchup->begun();
  Sequence through = live || !begun    ? shard_.consumed()
                     : catchup->pushed ? catchup->pushed_through
                                       : session.cursor;
  if (live && paused()) through = live_cursor(index);
  if (cut.value) through = cut - 1;
  Sequence last = std::max(std::min(through, shard_.durability().synced()), last_kept);
  Cursor told = shard_.cursor(last);
  if (catchup && catchup->begun())
    told.sequence = std::max(last, catchup->base);
  else if (catchup && catchup->request.cursor)
    told = *catchup->request.cursor;  // replaced before it began
  body += "],\"lastEventId\":\"" + told.text() + "\"";
  if (cut.value || (!live && catchup && catchup->pushed)) body += ",\"more\":true";
  body += ",\"sessionId\":\"" + session.id.text() + "\"}";
  shard_.metrics().polls++;
  detach(index, true);
  shard_.outboxes().at(connection).form = Form::none;
  shard_.transport().reply(connection, "", reply);
}

// ---- heartbeats ----

// A comment, or where the cursor moved without anything to show an id-only block: it moves Last-Event-ID and
// fires nothing (WHATWG, 9.2.6).
void Sessions::heartbeat(ConnectionId connection) {
  uint32_t index = on_connection(connection);
  Outboxes& outboxes = shard_.outboxes();
  if (index == kNone || outboxes.at(connection).form != Form::sse) return;
  Session& session = sessions_[index];
  Sequence position = std::min(shard_.consumed(), shard_.durability().synced());
  bool moved = session.state == SessionState::live && !paused() && position > session.cursor &&
               outboxes.queued(connection) == 0;
  if (!moved) return outboxes.push_raw(connection, ":\n\n");
  session.cursor = position;
  outboxes.push_raw(connection, "id: " + shard_.cursor(position).text() + "\n\n");
}

// ---- following ----

uint32_t Sessions::find_room(RoomId id) const {
  return room_index_.find(static_cast<uint32_t>(id.low), [&](uint32_t i) { return rooms_[i].id == id; });
}

uint32_t Sessions::readers_of(RoomId id) const {
  uint32_t room = find_room(id);
  return room == kNone ? 0 : static_cast<uint32_t>(rooms_[room].subscriptions.size());
}

uint32_t Sessions::find_local_user(const Name& user) const {
  return user_index_.find(user.hash(), [&](uint32_t i) { return users_[i].user == user; });
}

uint32_t Sessions::local_room(RoomId id, const Name& name) {
  uint32_t index = find_room(id);
  if (index != kNone) return index;
  index = rooms_.make();
  rooms_[index].id = id;
  rooms_[index].name = name;
  rooms_[index].tenant = shard_.tenant_place(name.tenant());
  room_index_.insert(static_cast<uint32_t>(id.low), index);
  return index;
}

uint32_t Sessions::subscription_of(uint32_t session, uint32_t room) const {
  for (uint32_t s = sessions_[session].subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    if (subscriptions_[s].room == room) return s;
  return kNone;
}

uint32_t Sessions::subscribe(uint32_t session, uint32_t room, Sequence since, bool active) {
  uint32_t index = subscriptions_.make();
  Subscription& sub = subscriptions_[index];
  sub.session = session;
  sub.room = room;
  sub.since = since.value;
  sub.active = active;
  sub.next_of_session = sessions_[session].subscriptions;
  sessions_[session].subscriptions = index;
  sub.place = static_cast<uint32_t>(rooms_[room].subscriptions.size());
  rooms_[room].subscriptions.push_back(index);
  return index;
}

void Sessions::unsubscribe(uint32_t session, uint32_t room) {
  uint32_t* link = &sessions_[session].subscriptions;
  while (subscriptions_[*link].room != room) link = &subscriptions_[*link].next_of_session;
  uint32_t index = *link;
  *link = subscriptions_[index].next_of_session;
  auto& list = rooms_[room].subscriptions;
  uint32_t hole = subscriptions_[index].place;
  auto move_to = [&](uint32_t from, uint32_t to) {
    list[to] = list[from];
    subscriptions_[list[to]].place = to;
  };
  // A delivery paused in this list has passed the places below paused_at_: keep the two parts apart.
  if (paused_room_ == room && hole < paused_at_) {
    paused_at_--;
    move_to(paused_at_, hole);
    hole = paused_at_;
  }
  // The last one, unless it is the hole: what lies there may have moved just now, and keeps that place.
  if (auto last = static_cast<uint32_t>(list.size()) - 1; last != hole) move_to(last, hole);
  list.pop_back();
  subscriptions_.drop(index);
  drop_room_if_unused(room);
}

// The leave is told at the end of the tick, and not at all if somebody joins before.
void Sessions::drop_room_if_unused(uint32_t index) {
  LocalRoom& room = rooms_[index];
  if (!room.subscriptions.empty() || room.asks > 0 || room.leaving) return;
  room.leaving = true;
  leaves_.push_back(room.id);
}

void Sessions::send_leaves() {
  for (RoomId id : std::exchange(leaves_, {})) {
    uint32_t index = find_room(id);
    LocalRoom& room = rooms_[index];
    room.leaving = false;
    bool used = !room.subscriptions.empty() || room.asks > 0;
    bool regardless = shard_.engine().mutated(Mutation::old_leave_after_join);
    if (used && !regardless) continue;
    shard_.post(shard_.home_of(id),
                [id, here = shard_.index()](Shard& shard) { shard.homes().leave_room(id, here); });
    if (used) continue;
    if (paused_room_ == index) paused_room_ = kNone;
    room_index_.erase(static_cast<uint32_t>(id.low), index);
    rooms_.drop(index);
  }
  for (const Name& name : std::exchange(user_leaves_, {})) {
    uint32_t index = find_local_user(name);
    if (index == kNone || users_[index].sessions != kNone || users_[index].asks > 0) continue;
    shard_.post(shard_.home_of(shard_.inbox_id(name)),
                [name, here = shard_.index()](Shard& shard) { shard.homes().leave_user(name, here); });
    user_index_.erase(name.hash(), index);
    users_.drop(index);
  }
}

void Sessions::send_presence() {
  if (presence_.empty()) return;
  std::vector<std::vector<PresenceDelta>> by_home(shard_.engine().shard_count());
  for (PresenceDelta& delta : presence_)
    by_home[index_of(shard_.home_of(delta.room))].push_back(std::move(delta));
  presence_.clear();
  for (uint32_t home = 0; home < by_home.size(); home++) {
    if (by_home[home].empty()) continue;
    shard_.post(ShardIndex(home), [deltas = std::move(by_home[home])](Shard& shard) mutable {
      shard.homes().presence(std::move(deltas));
    });
  }
}

// A command of this session gains a room: live from the cut on; what lies before is the command's answer's.
void Sessions::follow_by_command(uint32_t index, const Name& name,
                                 std::function<void(Shard&, JoinAnswer)> then) {
  Session& session = sessions_[index];
  RoomId id = shard_.room_id(name);
  uint32_t room = local_room(id, name);
  if (session.state == SessionState::detached) {
    drop_room_if_unused(room);
    return then(shard_, JoinAnswer::failed(Code::not_found));
  }
  uint32_t known = subscription_of(index, room);
  if (known != kNone && subscriptions_[known].active) {
    JoinAnswer already;
    already.cut = shard_.consumed();
    already.followed = true;
    return then(shard_, already);
  }
  uint32_t count = 0;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) count++;
  if (known == kNone && count >= shard_.config().limits.rooms_per_stream) {
    drop_room_if_unused(room);
    return then(shard_, JoinAnswer::failed(Code::limit_exceeded));
  }
  if (known == kNone) subscribe(index, room, {0}, false);  // else another command is about to gain it
  ask_join(index, room, Homes::JoinBy::name,
           [id, then](Shard& shard, uint32_t joined, const JoinAnswer& answer) {
             if (joined == kNone) return then(shard, JoinAnswer::failed(Code::not_found));
             Sessions& self = shard.sessions();
             uint32_t local = self.find_room(id);
             if (answer.code != Code::ok) {
               uint32_t waiting = self.subscription_of(joined, local);
               bool gained = waiting != kNone && self.subscriptions_[waiting].active;
               if (waiting != kNone && !gained) self.unsubscribe(joined, local);
               return then(shard, answer);
             }
             self.activations_.push_back({self.handle(joined), id, answer.cut, then, answer});
           });
}

void Sessions::activate(uint32_t index, uint32_t room, const std::function<void(Shard&, JoinAnswer)>& then,
                        JoinAnswer answer) {
  uint32_t subscription = subscription_of(index, room);
  if (subscription == kNone) return then(shard_, JoinAnswer::failed(Code::not_found));
  if (!has_right(index, rooms_[room], Right::read)) {  // a newer token came meanwhile
    unsubscribe(index, room);
    return then(shard_, JoinAnswer::failed(Code::forbidden));
  }
  Subscription& sub = subscriptions_[subscription];
  if (!sub.active) {
    sub.active = true;
    sub.since = live_cursor(index).value + 1;
    const Catchup* opening = sessions_[index].catchup.get();
    sub.gained = opening && !opening->begun();  // the answer names it, not `connected`
    shard_.metrics().gained_by_command++;
    count_present(index, subscription);
  }
  // Gained meanwhile by the inbox or another command: the stream has the room from there on.
  answer.cut = sub.since ? Sequence{sub.since - 1} : shard_.consumed();
  then(shard_, answer);
  if (rooms_[room].stateful) ask_state(index, room, true);
}

void Sessions::gained_in_vain(SessionId id, RoomId room_id, Sequence cut) {
  uint32_t index = find(id), room = find_room(room_id);
  uint32_t subscription = index == kNone || room == kNone ? kNone : subscription_of(index, room);
  if (subscription == kNone) return;
  Subscription& sub = subscriptions_[subscription];
  if (sub.gained || sub.since != cut.value + 1) return;
  if (sub.present) queue_presence({room_id, rooms_[room].name, sessions_[index].user, -1});
  unsubscribe(index, room);
}

// ---- time ----

Millis Sessions::next_deadline() const {
  Millis next = UINT64_MAX;
  const auto& settings = shard_.config().session;
  if (!detached_.empty())
    next = std::min(next, detached_.front().first + settings.presence_grace_seconds * 1000);
  if (!kept_.empty()) next = std::min(next, kept_.front().first + settings.keep_seconds * 1000);
  if (!poll_deadlines_.empty()) next = std::min(next, poll_deadlines_.top().at);
  if (!queue_.empty() || waits_for_ring()) next = std::min(next, shard_.now() + kTimerStepMs);
  if (uint64_t due = tickets_.next_due_wall_ms(); due != UINT64_MAX) {
    uint64_t wall = shard_.wall_ms();
    next = std::min(next, shard_.now() + (due > wall ? due - wall : 0));
  }
  return next;
}

void Sessions::give_up_presence(Detached& detached) {
  detached.presence_given_up = true;
  for (PresenceDelta& delta : detached.present) {
    delta.sessions = -1;
    queue_presence(std::move(delta));
  }
  detached.present.clear();
}

void Sessions::run_timers() {
  Millis now = shard_.now();
  if (with_tickets_) look_at_tickets();
  const auto& settings = shard_.config().session;
  while (!detached_.empty() && detached_.front().first + settings.presence_grace_seconds * 1000 <= now) {
    auto [since, id] = detached_.front();
    detached_.pop_front();
    uint32_t index = find(id);
    if (index == kNone || !sessions_[index].detached || sessions_[index].detached->since != since) continue;
    if (sessions_[index].state != SessionState::detached) continue;
    give_up_presence(*sessions_[index].detached);
  }
  // Whoever opens streams and leaves them, thousands a second, fills no memory: beyond the bound the oldest
  // session goes. The list also names sessions that have a stream again, a few for each that has none.
  uint32_t bound = shard_.engine().bounds().detached;
  auto too_many = [&] {
    return in_state(SessionState::detached) > bound || kept_.size() > size_t{bound} * 4;
  };
  while (!kept_.empty() && (kept_.front().first + settings.keep_seconds * 1000 <= now || too_many())) {
    auto [since, id] = kept_.front();
    kept_.pop_front();
    uint32_t index = find(id);
    if (index == kNone || sessions_[index].state != SessionState::detached) continue;
    if (sessions_[index].detached->since != since) continue;
    give_up_presence(*sessions_[index].detached);
    forget(index);
  }
  while (!poll_deadlines_.empty() && poll_deadlines_.top().at <= now) {
    Handle waiting = poll_deadlines_.top().session;
    poll_deadlines_.pop();
    uint32_t index = find(waiting);
    if (index != kNone && sessions_[index].connection != kNone) polls_ready_.push_back(waiting);
  }
}

// ---- for people ----

std::string Sessions::info_json(uint32_t index) {
  Session& session = sessions_[index];
  std::string out;
  JsonObject object(out);
  Sequence cursor = session.state == SessionState::live
                        ? std::max(session.cursor, std::min(live_cursor(index), shard_.durability().synced()))
                        : session.cursor;
  object.field("sessionId", session.id.text()).field("userId", session.user.text());
  object.field("state", word_of(session.state)).field("lastEventId", shard_.cursor(cursor).text());
  std::string rooms = "[";
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) {
    if (rooms.size() > 1) rooms += ',';
    append_json_string(rooms, rooms_[subscriptions_[s].room].name.text());
  }
  object.raw("rooms", rooms + "]");
  uint64_t expires = identity(index).expires_wall_ms;
  object.raw("expiresAt", expires ? json_string(format_timestamp(expires)) : "null").end();
  return out;
}

uint32_t Sessions::rooms_followed(const Session& session) const {
  uint32_t rooms = 0;
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) rooms++;
  return rooms;
}

bool Sessions::follows(const Session& session, RoomId room) const {
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    if (rooms_[subscriptions_[s].room].id == room) return true;
  return false;
}

}  // namespace twinwire
