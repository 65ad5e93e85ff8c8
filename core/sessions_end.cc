// Sessions, ending: good-byes, what is kept when a stream goes, and the directory by which a session moves to
// another shard.
#include "core/limits.h"
#include "core/sessions.h"
#include "core/shard.h"

namespace twinwire {

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
  if (early) answer(shard_, Released{true, 0, {}});
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
  Released released{true, session.told_expires_s, {}};
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
