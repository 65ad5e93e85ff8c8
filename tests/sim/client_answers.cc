// Client, answers to commands and polls, and its transcript against the truth at the end.
#include <simdjson.h>

#include <algorithm>

#include "core/event.h"
#include "tests/sim/client.h"
#include "tests/sim/client_json.h"
#include "tests/sim/world.h"

namespace twinwire::sim {

void Client::on_reply(ConnectionId id, uint32_t shard, std::string_view tag, const Reply& reply) {
  if (tag.empty()) {  // a poll's
    for (Link* link : {&old_, &link_})
      if (link->open && link->shard == shard && link->id == id) poll_answer(*link, reply);
    return;
  }
  on_answer(std::string(tag), reply.body);
}

void Client::poll_answer(Link& link, const Reply& reply) {
  world_.observe();
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element body = parser.parse(reply.body);
  link.connected = link.connected || !reply.body.empty();
  if (reply.code != Code::ok) {
    if (reply.code == Code::unauthenticated) on_bye(link, reply.body);
    link = Link{};
    return;
  }
  simdjson::dom::array events = body["events"];
  polls_empty_ = events.size() == 0 ? polls_empty_ + 1 : 0;
  world_.coverage().hit(events.size() ? "poll with events" : "poll without");
  std::vector<std::string> each;
  for (simdjson::dom::element event : events) each.push_back(simdjson::minify(event));
  // A poll's answer carries its events whole, so that what it says of `connected` comes first.
  bool has_connected = !each.empty() && each[0].find("\"type\":\"connected\"") != std::string::npos;
  if (!has_connected && link.asked) link.last_sequence = link.asked->sequence.value;
  link.connected = !has_connected;
  if (!has_connected) unfollow_ended(link);
  std::string last = text_of(body, "lastEventId");
  for (const std::string& event : each) on_event(link, event, "");
  if (cursor_ && sequence_of(last) < cursor_->sequence.value && link.asked &&
      sequence_of(last) < link.asked->sequence.value && !link.moved_to && !rolled_)
    world_.broken(where(link) + ": a poll's lastEventId goes back to " + last);
  rolled_ = false;
  move_cursor(sequence_of(last));
  link = Link{};
}

void Client::on_answer(const std::string& tag, const std::string& body) {
  world_.observe();
  auto it = pending_.find(tag);
  if (it == pending_.end()) return;
  Pending pending = std::move(it->second);
  pending_.erase(it);
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element answer;
  if (parser.parse(body).get(answer)) world_.broken("an answer is not JSON: " + body);
  bool ok = answer["success"];
  world_.trace(name_ + " answered " + tag + " " + body.substr(0, 120));
  if (!ok) {
    std::string code = text_of(answer, "code");
    for (const char* known : {"overloaded", "storage_unavailable", "forbidden", "conflict"})
      if (code == known) world_.coverage().hit(std::string("answered ") + known);
    if (code == "unauthenticated" && on_unauthenticated(pending)) return;
    bool again = answer["retryable"];
    if (again && pending.kind == Pending::Kind::send)
      unanswered_.push_back(std::move(pending));
    else if (pending.kind == Pending::Kind::send && !pending.conflicts && code != "forbidden")
      world_.broken("a message was refused for good: " + body);
    return;
  }
  if (pending.refusable) world_.broken(name_ + ": a revoked token was taken: " + body);
  if (pending.command == "auth.refresh") return on_refreshed(pending);
  if (pending.command.starts_with("receipts.")) return on_mark(pending, body);
  if (pending.kind == Pending::Kind::join && pending.with_session) {
    std::string from = text_of(answer, "lastEventId");
    // The stream has the room from here on; the inbox tells the user's other sessions.
    if (!from.empty() && link_.connected && pending.stream == stream_) {
      auto& list = intervals_[pending.room];
      if (list.empty() || list.back().end != UINT64_MAX) gained_[pending.room] = sequence_of(from);
      // An answer that was long on its way may be of a membership that has ended since.
      if (removed_at_[pending.room] <= sequence_of(from)) follow(pending.room, sequence_of(from));
      // The inbox may have named the room meanwhile: this stream has it from where its own answer says.
      if (!list.empty() && list.back().start != UINT64_MAX)
        list.back().start = std::max(list.back().start, sequence_of(from));
      link_.rooms.insert(pending.room);
    }
    member_.insert(pending.room);
  }
  if (pending.kind != Pending::Kind::send) return;
  uint64_t sequence = sequence_of(text_of(answer, "eventId"));
  bool stored = answer["stored"];
  if (pending.conflicts && acked_.contains(pending.client_id) && !world_.was_unsaved(pending.client_id))
    world_.broken("a clientId was taken for another content: " + body);
  if (pending.stored_wanted && !stored) world_.broken("an answer came before its event was stored: " + body);
  TruthEvent* truth = world_.find(sequence);
  if (!truth) world_.broken("an answer names an event that is not in the log: " + body);
  if (truth->key != pending.client_id) world_.broken("an answer names another's event: " + body);
  if (stored && truth->fate != TruthEvent::Fate::stored)
    world_.broken("`stored` was said of an event that is not: " + body);
  auto known = acked_.find(pending.client_id);
  if (known != acked_.end() && known->second != sequence) {
    TruthEvent* first = world_.find(known->second);
    if (first && first->fate == TruthEvent::Fate::stored)
      world_.broken("a clientId was published twice: " + body);
  }
  if (stored) acked_[pending.client_id] = sequence;
  if (stored && world_.wide() && !pending.conflicts) said_.insert_or_assign(pending.client_id, pending);
}

// ---- the end ----

// Where the newest membership of this user in a closed room begins: what lies before is no longer read.
uint64_t Client::joined_last(const std::string& room) const {
  uint64_t last = 0;
  for (const auto& [at, truth] : world_.truth())
    if (truth.room == room && truth.type == "room.member_added" && truth.subject == user_) last = at;
  return last;
}

void Client::check_end() {
  check_memberships();
  std::map<std::string, uint64_t> keys;
  for (const auto& [client_id, sequence] : acked_) {
    TruthEvent* truth = world_.find(sequence);
    if (!truth || truth->fate != TruthEvent::Fate::stored)
      world_.broken("a message acked as stored is gone: " + client_id);
  }
  for (const auto& [sequence, truth] : world_.truth()) {
    if (truth.fate == TruthEvent::Fate::stored && truth.user == user_ && !truth.key.empty()) {
      auto [it, fresh] = keys.emplace(truth.key, sequence);
      if (!fresh) world_.broken("stored twice under one clientId: " + truth.key);
    }
    auto it = intervals_.find(truth.room);
    bool got = received_.contains(sequence);
    if (got && truth.fate == TruthEvent::Fate::unsaved && world_.policy() == DeliverPolicy::commit &&
        life_of_commit_)
      world_.broken(user_ + " has an unsaved event under commit");
    if (it == intervals_.end() || truth.fate != TruthEvent::Fate::stored) continue;
    if (truth.given_up) continue;  // it was told unsaved, and nobody could know that it had landed
    if (truth.exclude != Exclude::none && truth.user == user_) {
      world_.coverage().hit(truth.exclude == Exclude::user ? "excluded: user" : "excluded: connection");
      continue;
    }
    if (truth.type.starts_with("message.") && sequence < world_.cleared_below(truth.room)) continue;
    if (truth.room.starts_with("group-") && sequence < joined_last(truth.room)) continue;
    bool owed = std::any_of(it->second.begin(), it->second.end(),
                            [&](const Interval& i) { return sequence > i.start && sequence <= i.end; });
    auto excused = excused_.find(truth.room);
    if (excused != excused_.end() && sequence <= excused->second) continue;
    if (earliest_ && sequence <= world_.trimmed_through(truth.room)) continue;
    if (owed && !got)
      world_.broken(name_ + " (" + std::string(word_of(last_form_)) + ") misses event " +
                    std::to_string(sequence) + " of " + truth.room + "; the server says " + server_view());
  }
}

}  // namespace twinwire::sim
