// Sessions, catching up: reads of (cursor, target] over every followed room, merged by sequence, until the
// gap closes and the session is live.
#include <algorithm>

#include "core/json.h"
#include "core/limits.h"
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {

namespace {
// Of one room under `history=N`: N is a promise, so this is far above what N messages of a chat take; a read
// of the replay may be as small as it likes, since another follows.
constexpr uint32_t kHistoryBytes = 4 << 20;

// All that a poll has to say is what its last one said too: see Sessions::connected.
bool frames_wait(const Catchup& catchup) { return catchup.begun() && !catchup.forbidden.empty(); }
}  // namespace

void Sessions::queue(uint32_t index) {
  Session& session = sessions_[index];
  if (session.queued) return;
  session.queued = true;
  queue_.push_back(handle(index));
}

void Sessions::move_on() {
  for (size_t i = 0; i < activations_.size();) {
    if (shard_.consumed() < activations_[i].cut) {
      i++;
      continue;
    }
    Activation done = std::move(activations_[i]);
    activations_.erase(activations_.begin() + static_cast<ptrdiff_t>(i));
    uint32_t index = find(done.session);
    uint32_t room = find_room(done.room);
    if (index != kNone && room != kNone)
      activate(index, room, done.then, done.answer);
    else
      done.then(shard_, JoinAnswer::failed(Code::not_found));
  }
  if (paused()) return;  // a delivery stands inside a member list: nobody's cursor may pass it
  std::swap(moving_, queue_);
  moving_.insert(moving_.end(), later_.begin(), later_.end());
  later_.clear();
  size_t most = std::min<size_t>(moving_.size(), shard_.engine().bounds().steps_per_tick);
  for (size_t i = 0; i < most; i++) {
    uint32_t index = find(moving_[i]);
    if (index == kNone) continue;
    sessions_[index].queued = false;
    step(index);
  }
  // What is beyond the bound comes first in the next tick.
  shard_.metrics().steps_put_off += moving_.size() - most;
  queue_.insert(queue_.begin(), moving_.begin() + static_cast<ptrdiff_t>(most), moving_.end());
  moving_.clear();
}

// One step of a session that is not live, if it can go one. Whatever it waits for queues it again.
void Sessions::step(uint32_t index) {
  Session& session = sessions_[index];
  if (!session.catchup || session.state == SessionState::live) return;
  Catchup& catchup = *session.catchup;
  if (catchup.joins_due > 0 || catchup.reading) return;
  bool by_mail = shard_.engine().mutated(Mutation::join_acted_on_by_mail);
  if ((shard_.consumed() < catchup.cut && !by_mail) || shard_.now() < catchup.retry_at) {
    session.queued = true;
    later_.push_back(handle(index));
    return;
  }
  if (!catchup.connected_told) {
    connected(index);
    if (catchup.reading) return;
  }
  ConnectionId connection{session.connection};
  Stream& stream = shard_.outboxes().at(connection);
  // A partial frame must end first, and what was pushed must be out: the flush queues the session again.
  if (stream.blocked || stream.offset > 0 || catchup.pushed) return;
  read_rooms(index);
}

// The last N of each room, for a stream that opens without a cursor.
void Sessions::read_history(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  catchup.newest = true;
  catchup.parts.clear();
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) {
    const Subscription& sub = subscriptions_[s];
    if (!sub.active) continue;  // a command's, which may still be refused
    Sequence after{sub.since > 0 ? sub.since - 1 : 0};
    catchup.parts.push_back({rooms_[sub.room].name, rooms_[sub.room].id, after, nullptr});
  }
  ask_reads(index, std::min(catchup.request.history, shard_.config().limits.history_max));
}

void Sessions::history_done(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  catchup.newest = false;
  if (any_failed(index)) {
    catchup.connected_told = false;  // begins again
    return;
  }
  Sequence bound = catchup.target;
  std::vector<EventRef> events = merge(index, bound, UINT32_MAX);
  // Before the oldest event sent, and before what is live already: a drop before the replay loses nothing.
  Sequence base = std::min(shard_.durability().synced(), catchup.target);
  if (!events.empty()) base = std::min(base, events.front()->sequence() - 1);
  session.cursor = catchup.base = base;
  std::vector<std::string> forbidden = std::exchange(catchup.forbidden, {});
  tell_connected(index, base);
  if (!forbidden.empty()) tell_reset(session, "forbidden", forbidden, base);
  // A room with more than N in this range keeps what lies before its last N to itself: history asked for no
  // more.
  push_read(index, events);
  catchup.pushed_through = catchup.target;
  ConnectionId connection{session.connection};
  if (shard_.outboxes().queued(connection) == 0) {
    session.cursor = catchup.target;
    catchup.pushed = false;
    queue(index);
  } else if (shard_.outboxes().at(connection).form == Form::poll) {
    polls_ready_.push_back(handle(index));  // they are the poll's answer, and no stream's bytes
  }
}

void Sessions::read_rooms(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  bool skip = session.state == SessionState::lagging && shard_.engine().mutated(Mutation::lagging_skips_one);
  Sequence cursor = skip ? session.cursor + 1 : session.cursor;
  catchup.target = shard_.consumed();
  catchup.parts.clear();
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) {
    const Subscription& sub = subscriptions_[s];
    const LocalRoom& room = rooms_[sub.room];
    Sequence after = std::max(cursor, Sequence{sub.since > 0 ? sub.since - 1 : 0});
    // The shard knows each room's newest kept event, so a room without anything new is not asked.
    if (sub.active && room.last_kept > after) catchup.parts.push_back({room.name, room.id, after, nullptr});
  }
  if (!session.observer && catchup.inbox_last_kept > cursor) {
    Name inbox = inbox_name_of(session.user);
    RoomId id = shard_.room_id(inbox);
    catchup.parts.push_back({std::move(inbox), id, cursor, nullptr});
  }
  if (catchup.parts.empty()) {
    session.cursor = std::max(session.cursor, catchup.target);
    return go_live(index);
  }
  catchup.holding = true;
  catchup.held.clear();
  uint32_t most = shard_.engine().bounds().read_events;
  uint32_t each = std::max<uint32_t>(16, most * 2 / static_cast<uint32_t>(catchup.parts.size()));
  ask_reads(index, std::min(each, most));
}

void Sessions::ask_reads(uint32_t index, uint32_t max_events) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  if (catchup.newest) catchup.target = shard_.consumed();
  catchup.reading = true;
  catchup.reads_due = static_cast<uint32_t>(catchup.parts.size());
  for (size_t part = 0; part < catchup.parts.size(); part++) {
    const Catchup::Part& p = catchup.parts[part];
    uint32_t bytes = catchup.newest ? kHistoryBytes : kReadBytes;
    ReadRequest request{p.id, p.after, catchup.target, max_events, bytes, catchup.newest};
    shard_.ask<std::shared_ptr<const ReadAnswer>>(
        shard_.home_of(p.id),
        [name = p.room, request](Shard& shard, Answer<std::shared_ptr<const ReadAnswer>> answer) {
          shard.homes().read(name, request, std::move(answer));
        },
        [handle = handle(index), part](Shard& shard, std::shared_ptr<const ReadAnswer> answer) {
          Sessions& self = shard.sessions();
          uint32_t reader = self.find(handle);
          if (reader == kNone || !self.sessions_[reader].catchup) return;
          Catchup& reading = *self.sessions_[reader].catchup;
          (answer->from_store ? reading.read_store : reading.read_tail) = true;
          reading.parts[part].answer = std::move(answer);
          if (--reading.reads_due > 0) return;
          reading.reading = false;
          if (reading.newest)
            self.history_done(reader);
          else
            self.read_done(reader);
        });
  }
  if (catchup.parts.empty()) {  // history of no rooms
    catchup.reading = false;
    history_done(index);
  }
}

bool Sessions::any_failed(uint32_t index) {
  Catchup& catchup = *sessions_[index].catchup;
  bool failed = std::any_of(catchup.parts.begin(), catchup.parts.end(),
                            [](const Catchup::Part& part) { return part.answer->failed; });
  if (!failed) return false;
  catchup.holding = false;
  catchup.held.clear();
  catchup.retry_at = shard_.now() + kStoreRetryMs;
  queue(index);
  return true;
}

// A room that is trimmed above the stream's cursor: told before its first event, and again if it is trimmed
// further while the stream still reads behind that place.
void Sessions::tell_trimmed(Session& session) {
  Catchup& catchup = *session.catchup;
  for (const Catchup::Part& part : catchup.parts) {
    Sequence through = part.answer->trimmed_through;
    if (through <= part.after || catchup.from_earliest) continue;
    auto told = std::find_if(catchup.told_trimmed.begin(), catchup.told_trimmed.end(),
                             [&](const auto& known) { return known.first == part.id; });
    if (told == catchup.told_trimmed.end())
      catchup.told_trimmed.emplace_back(part.id, through);
    else if (told->second < through)
      told->second = through;
    else
      continue;
    shard_.metrics().reset_trimmed++;
    tell_reset(session, "trimmed", {std::string(part.room.text())}, session.cursor);
  }
}

bool Sessions::still_follows(uint32_t index, const Event& event) const {
  if (is_inbox(event.room_name())) return true;
  uint32_t room = find_room(event.room());
  uint32_t subscription = room == kNone ? kNone : subscription_of(index, room);
  // Not one that came anew while a read of the former was under way.
  return subscription != kNone && subscriptions_[subscription].active &&
         event.sequence().value >= subscriptions_[subscription].since;
}

// All parts in one order, up to `bound`; a part that a limit cut lowers the bound to its last event, since
// what it holds beyond is not known yet.
std::vector<EventRef> Sessions::merge(uint32_t index, Sequence& bound, uint32_t max_events) {
  Catchup& catchup = *sessions_[index].catchup;
  std::vector<EventRef> events;
  for (const Catchup::Part& part : catchup.parts) {
    const auto& got = part.answer->events;
    if (part.answer->more && !catchup.newest && max_events != UINT32_MAX)
      bound = std::min(bound, got.empty() ? part.after : got.back()->sequence());
    events.insert(events.end(), got.begin(), got.end());
  }
  std::sort(events.begin(), events.end(),
            [](const EventRef& a, const EventRef& b) { return a->sequence() < b->sequence(); });
  // What was given up while the read was under way has been withdrawn already.
  std::erase_if(events, [&](const EventRef& e) {
    return e->sequence() > bound || e->outcome() == Outcome::unsaved || !still_follows(index, *e);
  });
  // As many as may be in memory for one session at a time, and one in any case.
  size_t count = 0;
  for (uint64_t bytes = 0; count < events.size() && count < max_events; count++) {
    bytes += events[count]->size();
    if (count > 0 && max_events != UINT32_MAX && bytes > kReadBytes * 2) break;
  }
  if (count < events.size()) {
    events.resize(count);
    bound = events.back()->sequence();
  }
  catchup.parts.clear();
  return events;
}

void Sessions::count_caught_up(const Session& session, uint64_t events) {
  shard_.metrics().caught_up_events += events;
  shard_.tenant_of(session.user.tenant()).delivered += events;
}

void Sessions::push_read(uint32_t index, const std::vector<EventRef>& events) {
  Session& session = sessions_[index];
  ConnectionId connection{session.connection};
  for (const EventRef& event : events)
    if (wants(session, *event)) shard_.outboxes().push(connection, Entry::own(event));
  session.catchup->pushed = true;
  count_caught_up(session, events.size());
}

void Sessions::read_done(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  if (any_failed(index)) return;
  ConnectionId connection{session.connection};
  if (shard_.outboxes()
          .at(connection)
          .blocked) {  // something else filled the socket: the flush queues another round
    catchup.holding = false;
    catchup.held.clear();
    catchup.parts.clear();
    return;
  }
  tell_trimmed(session);
  Sequence bound = catchup.target;
  std::vector<EventRef> events = merge(index, bound, shard_.engine().bounds().read_events * 2);
  push_read(index, events);
  catchup.pushed_through = bound;
  bool complete = bound == catchup.target && catchup.holding && catchup.joins_due == 0 &&
                  shard_.consumed() >= catchup.cut && !paused();
  catchup.holding = false;
  std::vector<EventRef> held = std::move(catchup.held);
  catchup.held.clear();
  Form form = shard_.outboxes().at(connection).form;
  if (complete) {
    session.cursor = std::max(bound, session.cursor);
    for (EventRef& event : held) {
      if (!wants(session, *event) || !still_follows(index, *event)) continue;
      if (event->kept()) session.cursor = event->sequence();
      shard_.outboxes().push(connection, Entry::own(std::move(event)));
      count_caught_up(session, 1);
    }
    return go_live(index);
  }
  bool nothing =
      shard_.outboxes().queued(connection) == 0 && (catchup.poll_frames.empty() || frames_wait(catchup));
  if (form == Form::poll && !nothing) {
    polls_ready_.push_back(handle(index));
  } else if (nothing) {
    session.cursor = std::max(session.cursor, bound);
    catchup.pushed = false;
    queue(index);
  }
}

// Everything up to `target` is in the outbox or out: from the next slot on the ring feeds the session.
void Sessions::go_live(uint32_t index) {
  Session& session = sessions_[index];
  Catchup& catchup = *session.catchup;
  bool fresh = session.state != SessionState::lagging;
  if (!fresh) shard_.metrics().caught_up++;
  count_resume(catchup);
  set_state(session, SessionState::live);
  Stream& stream = shard_.outboxes().at(ConnectionId{session.connection});
  bool skipped = catchup.state_skipped;
  bool stateful = false;
  for (uint32_t s = session.subscriptions; fresh && s != kNone; s = subscriptions_[s].next_of_session)
    stateful = stateful || rooms_[subscriptions_[s].room].stateful;
  catchup.pushed = false;
  if (stream.form == Form::poll) {
    bool waiting = (!catchup.poll_frames.empty() && !frames_wait(catchup)) ||
                   shard_.outboxes().queued(ConnectionId{session.connection}) > 0 ||
                   expiry_to_tell(index) != 0;
    if (waiting)
      polls_ready_.push_back(handle(index));
    else
      poll_deadlines_.push({shard_.now() + catchup.request.poll_wait_ms, handle(index)});
    return;  // keeps its frames until it is answered
  }
  stream.attention = false;
  session.catchup.reset();
  if (skipped || stateful) tell_states(index, fresh);
}

// What passed while the session was away from the live end, once, as it is now. A fresh stream has nothing to
// correct: it is told only of rooms where somebody types or shows something.
void Sessions::tell_states(uint32_t index, bool fresh) {
  Session& session = sessions_[index];
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session) {
    uint32_t room = subscriptions_[s].room;
    if (!fresh || rooms_[room].stateful) ask_state(index, room, fresh);
  }
}

void Sessions::ask_state(uint32_t index, uint32_t local_room, bool fresh) {
  const LocalRoom& room = rooms_[local_room];
  shard_.ask<RoomState>(
      shard_.home_of(room.id),
      [id = room.id](Shard& shard, const Answer<RoomState>& answer) {
        answer(shard, shard.homes().room_state(id));
      },
      [handle = handle(index), name = room.name, fresh](Shard& shard, RoomState state) {
        Sessions& self = shard.sessions();
        uint32_t reader = self.find(handle);
        if (reader == kNone || self.sessions_[reader].state != SessionState::live) return;
        // What the session may see is what it may see now: it may have lost the room meanwhile.
        uint32_t local = self.find_room(state.room);
        uint32_t subscription = local == kNone ? kNone : self.subscription_of(reader, local);
        if (subscription == kNone || !self.subscriptions_[subscription].active) return;
        if (self.subscriptions_[subscription].blind) state.presence_json.clear();
        self.tell_room_state(reader, name, state, fresh);
      });
}

void Sessions::tell_room_state(uint32_t index, const Name& room, const RoomState& state, bool fresh) {
  Session& session = sessions_[index];
  auto say = [&](std::string_view type, const std::string& data) {
    if (data.empty()) return;
    tell(session, type, "{\"room\":" + json_string(room.text()) + "," + data.substr(1), false, {});
  };
  if (!fresh || state.anyone_types) say("typing", state.typing_json);
  if (!fresh) say("presence.diff", state.presence_json);
  if (!fresh || state.anyone_shows) say("media.state", state.media_json);
  if (!fresh) say("receipt.diff", state.receipts_json);
}

// Where a live session stands: all that the shard has consumed, and the event whose delivery paused behind
// it.
Sequence Sessions::live_cursor(uint32_t index) const {
  Sequence cursor = shard_.consumed();
  if (!paused()) return cursor;
  uint32_t subscription = subscription_of(index, paused_room_);
  bool passed = subscription != kNone && subscriptions_[subscription].place < paused_at_;
  return passed ? cursor + 1 : cursor;
}

// The live end is lost (a full socket, a room gained): from `cursor` on the session reads.
void Sessions::fall_back(uint32_t index, Sequence cursor) {
  Session& session = sessions_[index];
  session.cursor = cursor;
  if (session.state == SessionState::live) {
    set_state(session, SessionState::lagging);
    shard_.metrics().lagged++;
    if (!session.catchup) session.catchup = std::make_unique<Catchup>();
    session.catchup->connected_told = true;
    shard_.outboxes().at(ConnectionId{session.connection}).attention = true;
  }
  queue(index);
}

void Sessions::flushed(const FlushResult& result) {
  uint32_t index = on_connection(result.connection);
  if (index == kNone) return;
  Session& session = sessions_[index];
  if (session.state == SessionState::live) {
    if (result.whole) return;
    Sequence cursor = live_cursor(index);
    if (result.first_unsent.value) cursor = result.first_unsent - 1;
    if (result.last_sent.value) cursor = result.last_sent;
    fall_back(index, cursor);
    if (result.dropped_inbox) session.catchup->inbox_last_kept = shard_.consumed();
    // It lost a room in this tick, and now stands before that place: the room's rest is not for it.
    for (const EventRef& removal : result.dropped_removals) {
      if (removal->subject() != session.user) continue;
      shard_.metrics().reset_forbidden++;
      tell_reset(session, "forbidden", {std::string(removal->room_name().text())}, cursor);
    }
    return;
  }
  if (!session.catchup) return;
  Catchup& catchup = *session.catchup;
  if (result.whole) {
    session.cursor = std::max(session.cursor, catchup.pushed ? catchup.pushed_through : result.last_sent);
  } else {
    if (result.last_sent.value)
      session.cursor = result.last_sent;
    else if (result.first_unsent.value)
      session.cursor = result.first_unsent - 1;
    if (result.dropped_inbox) catchup.inbox_last_kept = shard_.consumed();
  }
  catchup.pushed = false;
  queue(index);
}

}  // namespace twinwire
