// Client, what its streams bring: frames, events, `connected`, `reset`, and the rules that hold for them.
#include <simdjson.h>

#include <algorithm>

#include "core/event.h"
#include "tests/sim/client.h"
#include "tests/sim/client_json.h"
#include "tests/sim/world.h"

namespace twinwire::sim {

void Client::read_some() {
  if (paused_ > 0 && --paused_ > 0) return;
  for (Link* link : {&old_, &link_}) {
    if (!link->open) continue;
    Pipe& pipe = world_.transport(link->shard).pipes[index_of(link->id)];
    size_t take = std::min<size_t>(pipe.buffer.size(), 1 + world_.random().below(speed_));
    link->in += pipe.buffer.substr(0, take);
    pipe.buffer.erase(0, take);
    parse(*link);
  }
}

void Client::parse(Link& link) {
  if (link.form == Form::sse) parse_sse(link);
  if (link.form == Form::ws) parse_ws(link);
}

void Client::parse_sse(Link& link) {
  for (size_t end; (end = link.in.find("\n\n")) != std::string::npos;) {
    std::string block = link.in.substr(0, end);
    link.in.erase(0, end + 2);
    std::string id, data;
    while (!block.empty()) {
      size_t newline = block.find('\n');
      std::string line = block.substr(0, newline);
      block = newline == std::string::npos ? "" : block.substr(newline + 1);
      if (line.starts_with("id: "))
        id = line.substr(4);
      else if (line.starts_with("data: "))
        data = line.substr(6);
      else if (!line.starts_with("event: ") && !line.starts_with(":"))
        world_.broken("SSE line of no form: " + line);
    }
    if (data.empty() && !id.empty()) {  // id-only: the cursor moves
      world_.coverage().hit("id-only block");
      if (&link == &link_ && sequence_of(id) < link.last_sequence &&
          sequence_of(id) < cursor_->sequence.value)
        world_.broken(where(link) + ": an id-only block goes back to " + id);
      if (&link == &link_) move_cursor(sequence_of(id));
    }
    if (!data.empty()) on_event(link, data, id);
    if (!link.open) return;
  }
}

void Client::parse_ws(Link& link) {
  while (link.in.size() >= 2) {
    auto byte = [&](size_t i) { return static_cast<unsigned char>(link.in[i]); };
    size_t size = byte(1) & 127, head = 2;
    if (size == 126) head = 4;
    if (size == 127) head = 10;
    if (link.in.size() < head) return;
    if (head > 2) size = 0;
    for (size_t i = 2; i < head; i++) size = size << 8 | byte(i);
    if (link.in.size() < head + size) return;
    unsigned opcode = byte(0) & 15;
    std::string payload = link.in.substr(head, size);
    link.in.erase(0, head + size);
    if (opcode == 1)
      on_event(link, payload, "");
    else if (opcode != 8)
      world_.broken("a WebSocket frame of opcode " + std::to_string(opcode));
    if (!link.open) return;
  }
}

void Client::on_event(Link& link, std::string_view json, const std::string& sse_id) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element event;
  if (parser.parse(json.data(), json.size()).get(event)) world_.broken("not JSON: " + std::string(json));
  std::string type = text_of(event, "type"), id = text_of(event, "eventId");
  world_.trace(name_ + (&link == &old_ ? " (old)" : "") + " gets " + type + " " + id + " " +
               text_of(event, "room") + (id.empty() ? std::string(json.substr(0, 330)) : ""));
  if (type == "reply") {
    std::string_view tag;
    if (!event["id"].get_string().get(tag)) on_answer("\"" + std::string(tag) + "\"", std::string(json));
    return;
  }
  if (type == "connected") return on_connected(link, std::string(json));
  if (type == "bye") {
    bool replaced = json.find("\"replaced\"") != std::string_view::npos;
    if (replaced) world_.coverage().hit("replaced by another stream");
    return on_bye(link, json);
  }
  if (type == "reset") return &link == &old_ ? void() : on_reset(link, std::string(json));
  if (type == "auth.expiring") world_.coverage().hit("told that a token ends");
  if (id.empty()) return;  // state on return, and what is told of a token
  if (!link.connected) world_.broken(where(link) + ": an event before `connected`");
  uint64_t sequence = sequence_of(id);
  if (sequence <= link.last_sequence)
    world_.broken(where(link) + ": event " + std::to_string(sequence) + " (" + type +
                  ") does not go forward");
  link.last_sequence = sequence;
  TruthEvent* truth = world_.find(sequence);
  check_identity(link, sequence, truth);
  if (&link == &old_) return;  // its successor resumes from the cursor: what still comes here is not needed
  if (!sse_id.empty() && sse_id != id) world_.broken(where(link) + ": SSE id and eventId differ");
  if (link.form == Form::sse && (truth != nullptr) != !sse_id.empty())
    world_.broken(where(link) + ": kept events and only they have an SSE id: " + id);
  std::string room = text_of(event, "room");
  simdjson::dom::element data;
  if (type == "message.unsaved" && !event["data"].get(data))
    told_unsaved_.insert(sequence_of(text_of(data, "eventId")));
  if (truth) on_log_event(link, sequence, *truth, room);
}

// A kept event: it must be the truth's, wanted, new, and under `commit` stored.
void Client::on_log_event(Link& link, uint64_t sequence, const TruthEvent& truth, const std::string& room) {
  if (truth.fate == TruthEvent::Fate::lost) world_.broken(where(link) + ": a lost event came back");
  if (world_.policy() == DeliverPolicy::commit && truth.fate != TruthEvent::Fate::stored)
    world_.broken(where(link) + ": under commit an event was delivered before it was stored");
  bool mine = truth.exclude == Exclude::user && truth.user == user_;
  if (mine) world_.broken(where(link) + ": an event that excludes this user");
  if (truth.exclude == Exclude::connection && truth.exclude_session == link.session)
    world_.broken(where(link) + ": an event that excludes this session");
  bool inbox = truth.room[0] == '\x01';
  if (inbox && truth.room.substr(1) != user_) world_.broken(where(link) + ": somebody else's inbox");
  if (!inbox) {
    auto it = intervals_.find(truth.room);
    bool owed = it != intervals_.end() &&
                std::any_of(it->second.begin(), it->second.end(),
                            [&](const Interval& i) { return sequence > i.may && sequence <= i.end; });
    if (truth.room.starts_with("group-") && !was_member(truth.room, sequence)) {
      if (!world_.was_full(truth.room))
        world_.broken(where(link) + ": an event of a closed room from before it was a member");
      world_.coverage().hit("history = full: read from before");
    }
    // A poll that continues a session is not told its rooms anew: the first event of one shows it.
    if (!owed && link.form == Form::poll && by_membership(truth.room))
      follow(truth.room, sequence - 1), owed = true;
    owed = owed || link.rooms.contains(truth.room);
    // And a join that is being answered shows by its events; it owes nothing before it is told.
    if (!owed && asked_.contains(truth.room)) follow(truth.room, sequence - 1, UINT64_MAX), owed = true;
    if (!owed && gained_untold(truth.room, sequence))
      follow(truth.room, sequence - 1, UINT64_MAX), owed = true;
    if (!owed && !link.history)
      world_.broken(where(link) + ": event " + std::to_string(sequence) + " of " + truth.room +
                    ", which it does not follow");
  }
  bool repeated = !received_.emplace(sequence, truth.room).second && sequence > repeats_through_;
  if (repeated && !link.overlap && &link != &old_)
    world_.broken(where(link) + ": event " + std::to_string(sequence) + " twice");
  move_cursor(sequence);
  if (inbox && (truth.type == "room.member_added" || truth.type == "room.created")) {
    member_.insert(room);
    // An old one that is replayed says nothing of today: `connected` has named the rooms of this stream.
    // Nor does one from before a removal that the stream was told of.
    auto forbidden = link.forbidden.find(room);
    if (sequence > link.newest && (forbidden == link.forbidden.end() || sequence > forbidden->second))
      follow(room, sequence);
    link.rooms.insert(room);
  }
  if (truth.type == "room.member_removed" && (inbox || truth.subject == user_)) removed_at_[room] = sequence;
  if (inbox && truth.type == "room.member_removed") {
    // Where the stream was there, the room's own event has ended it; replayed later, the room is gone
    // altogether.
    member_.erase(room);
    unfollow(room, 0);
  }
  bool ended = truth.type == "room.member_removed" && !inbox && truth.subject == user_;
  if (ended) unfollow(truth.room, sequence);
  if (ended && truth.user != user_) world_.coverage().hit("removed by another");
  if (inbox && truth.type == "room.member_added" && truth.user != user_)
    world_.coverage().hit("invited to a room");
}

bool Client::by_membership(const std::string& room) const {
  return std::find(rooms_.begin(), rooms_.end(), room) == rooms_.end();
}

// The inbox's event that gained the room was given up by the store before a stream that was opening had read
// it: the membership stands, and its first event shows it.
bool Client::gained_untold(const std::string& room, uint64_t sequence) const {
  for (const auto& [at, truth] : world_.truth()) {
    if (at > sequence) return false;
    bool gains = truth.type == "room.member_added" || truth.type == "room.created";
    if (gains && truth.given_up && truth.room == '\x01' + user_ && truth.shown == room) return true;
  }
  return false;
}

// Some membership of this user in the room began at or before the place.
bool Client::was_member(const std::string& room, uint64_t sequence) const {
  for (const auto& [at, truth] : world_.truth()) {
    if (at > sequence) return false;
    if (truth.room == room && truth.type == "room.member_added" && truth.subject == user_) return true;
  }
  return false;
}

void Client::move_cursor(uint64_t sequence) {
  if (!cursor_ || cursor_->sequence.value < sequence) cursor_ = Cursor{world_.epoch(), {sequence}};
}

void Client::on_connected(Link& link, std::string json) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element event = parser.parse(json);
  simdjson::dom::element data = event["data"];
  std::string id = text_of(data, "lastEventId");
  uint64_t base = sequence_of(id);
  if (link.connected) world_.broken(where(link) + ": connected twice");
  link.connected = true;
  link.last_sequence = base;
  link.session = *SessionId::parse(text_of(data, "sessionId"));
  if (&link == &old_) return;
  session_ = link.session;
  bool resumed = data["resumed"];
  if (link.asked && resumed && base != link.asked->sequence.value) {
    // Only a roll-back may move the cursor: the reset that says so follows.
    link.moved_to = base;
  }
  if (link.asked && !resumed)
    world_.broken(where(link) + ": the cursor " + link.asked->text() + " was not taken");
  if (link.asked) world_.coverage().hit("resumed");
  if (link.foreign) {  // from now on: what lay before is over
    for (auto& [room, list] : intervals_) unfollow(room, 0);
    if (!received_.empty()) repeats_through_ = received_.rbegin()->first;
    cursor_ = Cursor{world_.epoch(), {base}};
  }
  // With history=N the last N of each room come, and all that follows: older ones are not owed.
  uint64_t newest = world_.truth().empty() ? 0 : world_.truth().rbegin()->first;
  std::set<std::string> now;
  for (simdjson::dom::element room : data["rooms"].get_array()) {
    std::string name(std::string_view(room.get_string()));
    now.insert(name);
    if (!link.moved_to)
      follow(name, base, link.history ? std::max(base, newest) : base);
    else
      follow(name, std::min(base, link.asked->sequence.value));
  }
  link.rooms = now;
  link.newest = newest;
  for (auto& [room, list] : intervals_)
    if (!now.contains(room)) unfollow(room, 0);
  if (!cursor_) cursor_ = Cursor{world_.epoch(), {base}};
  if (link.history) world_.coverage().hit("history=N");
}

void Client::on_reset(Link& link, std::string json) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element event = parser.parse(json);
  simdjson::dom::element data = event["data"];
  std::string reason = text_of(data, "reason");
  uint64_t at = sequence_of(text_of(data, "lastEventId"));
  world_.coverage().hit("reset: " + reason);
  if (reason == "rolled_back") {
    // Right only for a cursor between a settled position and the start after it, of a run under `publish`.
    uint64_t asked = link.asked ? link.asked->sequence.value : 0;
    bool right = false;
    for (const StartRecord& start : world_.starts()) {
      if (start.first.value <= asked) continue;
      right = start.settled.value == at && start.settled.value < asked &&
              start.previous == DeliverPolicy::publish;
      break;
    }
    if (!right) world_.broken(where(link) + ": rolled back to " + std::to_string(at) + " without need");
    link.moved_to = 0;
    return roll_back(at);
  }
  if (reason == "forbidden") {
    for (simdjson::dom::element element : data["rooms"].get_array()) {
      std::string room(std::string_view(element.get_string()));
      unfollow(room, 0);
      for (const auto& [sequence, truth] : world_.truth())
        if (truth.room == room && truth.subject == user_) link.forbidden[room] = sequence;
    }
    return;
  }
  if (reason == "trimmed") {
    for (simdjson::dom::element element : data["rooms"].get_array()) {
      std::string room(std::string_view(element.get_string()));
      uint64_t upto = world_.trimmed_through(room);
      if (upto <= at) world_.broken(where(link) + ": trimmed, though nothing above its cursor was");
      excused_[room] = std::max(excused_[room], upto);
    }
    return;
  }
  if (reason == "unknown_cursor" && link.foreign) return;
  world_.broken(where(link) + ": reset " + reason + " where the cursor was ours");
}

void Client::roll_back(uint64_t settled) {
  received_.erase(received_.upper_bound(settled), received_.end());
  cursor_ = Cursor{world_.epoch(), {settled}};
}

void Client::follow(const std::string& room, uint64_t may, uint64_t start) {
  auto& list = intervals_[room];
  world_.trace(name_ + " follows " + room + " from " + std::to_string(start));
  if (!list.empty() && list.back().end == UINT64_MAX) {
    list.back().may = std::min(list.back().may, may);
    if (list.back().start == UINT64_MAX) list.back().start = start;
    return;
  }
  list.push_back({may, start, UINT64_MAX});
}

// end = 0: at an unknown place; only what came is owed.
void Client::unfollow(const std::string& room, uint64_t end) {
  auto& list = intervals_[room];
  if (list.empty() || list.back().end != UINT64_MAX) return;
  uint64_t last = 0;
  for (const auto& [sequence, where_from] : received_)
    if (where_from == room) last = std::max(last, sequence);
  // What a stream that began anew below it has not come to again says nothing of this one.
  if (cursor_) last = std::min(last, cursor_->sequence.value);
  if (list.back().start == UINT64_MAX) list.back().start = last;
  list.back().end = end ? end : std::max(last, list.back().start);
  world_.trace(name_ + " no longer follows " + room + " after " + std::to_string(list.back().end));
}

// A poll that continues a session is not told its rooms anew: one whose membership ended after the cursor it
// came with may be missing from this answer, and is owed again from its first event on.
void Client::unfollow_ended(const Link& link) {
  if (!link.asked) return;
  const auto& truth = world_.truth();
  for (auto it = truth.upper_bound(link.asked->sequence.value); it != truth.end(); ++it) {
    const TruthEvent& event = it->second;
    if (event.type == "room.member_removed" && event.subject == user_) unfollow(event.room, 0);
  }
  // Nor of one whose beginning was given up: what takes it back is kept by nobody.
  for (const auto& [sequence, event] : truth) {
    if (!event.given_up || event.type != "room.member_added" || event.subject != user_) continue;
    const auto& list = intervals_[event.room];
    bool of_it = !list.empty() && list.back().end == UINT64_MAX && list.back().start <= sequence;
    if (of_it && by_membership(event.room)) unfollow(event.room, 0);
  }
}

void Client::on_bytes_end(uint32_t shard, ConnectionId id) {
  for (Link* link : {&old_, &link_}) {
    if (!link->open || link->shard != shard || link->id != id) continue;
    bool current = link == &link_;
    *link = Link{};
    if (!current) continue;
    for (auto& [tag, pending] : pending_) unanswered_.push_back(std::move(pending));
    pending_.clear();
  }
}

}  // namespace twinwire::sim
