#include "tests/sim/client.h"

#include <simdjson.h>

#include <algorithm>

#include "core/command.h"
#include "core/event.h"
#include "core/json.h"
#include "tests/sim/world.h"

namespace twinwire {

// Looks into a session that a broken rule is about.
class SessionsForTest {
 public:
  static std::string describe(Sessions& sessions, uint32_t index) {
    Session& session = sessions.sessions_[index];
    if (!session.catchup) return "no catch-up";
    const Catchup& c = *session.catchup;
    return "joins due " + std::to_string(c.joins_due) + ", cut " + std::to_string(c.cut.value) +
           ", reading " + std::to_string(c.reading) + ", reads due " + std::to_string(c.reads_due) +
           ", pushed " + std::to_string(c.pushed) + ", queued " + std::to_string(session.queued) +
           ", inbox " + std::to_string(c.inbox_last_kept.value) + ", retry at " + std::to_string(c.retry_at) +
           ", queue " + std::to_string(sessions.queue_.size()) + "+" +
           std::to_string(sessions.later_.size()) + ", paused " + std::to_string(sessions.paused()) +
           ", consumed " + std::to_string(sessions.shard_.consumed().value) + ", now " +
           std::to_string(sessions.shard_.now());
  }
};

}  // namespace twinwire

namespace twinwire::sim {
namespace {

std::string text_of(simdjson::dom::element element, std::string_view key) {
  std::string_view text;
  return element.at_key(key).get_string().get(text) ? std::string() : std::string(text);
}

uint64_t sequence_of(const std::string& id) {
  auto cursor = Cursor::parse(id);
  return cursor ? cursor->sequence.value : 0;
}

}  // namespace

Client::Client(World& world, std::string user, std::vector<std::string> rooms, bool from_earliest)
    : world_(world),
      user_(std::move(user)),
      name_(user_ + "#" + std::to_string(world.next_key())),
      rooms_(std::move(rooms)),
      earliest_(from_earliest) {}

std::string Client::where(const Link& link) const {
  return name_ + " on " + std::string(word_of(link.form)) + " at " + std::to_string(link.last_sequence);
}

std::string Client::state() const {
  return name_ + "(open " + std::to_string(link_.open) + ", connected " + std::to_string(link_.connected) +
         ", unanswered " + std::to_string(pending_.size()) + "+" + std::to_string(unanswered_.size()) +
         ", at " + std::to_string(cursor_ ? cursor_->sequence.value : 0) + ")";
}

bool Client::replaced(uint32_t shard, ConnectionId id) const {
  if (!old_.open || old_.shard != shard || old_.id != id || !link_.open || old_.session.none() ||
      old_.session != link_.wanted)
    return false;
  // Take-overs at once are served in the directory's order: the newer stream may be the one that ends.
  if (world_.shard(link_.shard).outboxes().at(link_.id).closing) return false;
  return world_.transport(link_.shard).pipes[index_of(link_.id)].received > 0;
}

// ---- what people do ----

void Client::act() {
  SimRandom& random = world_.random();
  if (!link_.open) {
    if (settling_ || random.chance(300)) connect(false);
    return;
  }
  if (settling_) {
    if (link_.connected || link_.form == Form::poll) resend();
    return;
  }
  switch (random.below(20)) {
    case 0:
      return disconnect();
    case 1:
      return random.chance(400) ? connect(true) : void();
    case 2:
      return random.chance(500) ? join_or_leave() : load();
    case 3:
      return typing();
    case 4:
      paused_ = 20 + static_cast<uint32_t>(random.below(400));
      world_.coverage().hit("client stops reading");
      return;
    case 5:
      speed_ = 1 + static_cast<uint32_t>(random.below(random.chance(500) ? 300 : 8000));
      return;
    case 6:
      return heartbeat();
    default:
      return random.chance(300) ? resend() : send();
  }
}

void Client::settle_down() {
  settling_ = true;
  if (old_.open && (old_.session.none() || old_.session != link_.wanted)) {
    world_.transport(old_.shard).drop(old_.id);  // two sessions of one device: the older goes
    old_ = Link{};
  }
  paused_ = 0;
  speed_ = 1 << 20;
}

bool Client::quiet() const {
  if (old_.open || !pending_.empty() || !unanswered_.empty()) return false;
  if (last_form_ == Form::poll) return polls_empty_ > 2;
  return link_.open && link_.connected && link_.in.empty();
}

void Client::connect(bool take_over) {
  SimRandom& random = world_.random();
  if (take_over) {
    if (old_.open || link_.form == Form::poll) return;
    old_ = std::move(link_);
    world_.coverage().hit("take-over");
    for (auto it = pending_.begin(); it != pending_.end();) {  // their answers may end with the old stream
      if (it->second.over_stream)
        unanswered_.push_back(std::move(it->second)), it = pending_.erase(it);
      else
        ++it;
    }
  }
  link_ = Link{};
  link_.overlap = take_over || old_.open;  // its streams overlap: an event that both carried counts once
  link_.form = std::array<Form, 5>{Form::sse, Form::ws, Form::sse, Form::ws, Form::poll}[random.below(5)];
  if (settling_ && last_form_ != Form::none) link_.form = last_form_;
  if (link_.form != Form::poll && last_form_ != Form::none && last_form_ != link_.form)
    world_.coverage().hit("transport switch");
  last_form_ = link_.form;
  link_.shard = static_cast<uint32_t>(random.below(world_.shards()));
  size_t capacity = settling_ ? 1 << 20 : 600 + random.below(random.chance(300) ? 2000 : 60000);
  link_.id = world_.transport(link_.shard).connect(this, capacity);
  link_.open = true;
  StreamRequest request;
  request.form = link_.form;
  request.who.user = Name("t", user_);
  request.rooms = rooms_;
  request.poll_wait_ms = settling_ ? 50 : random.below(3000);
  if (settling_ || random.chance(800)) request.session = session_;
  if (take_over) request.session = session_;
  link_.wanted = request.session;
  if (cursor_) {
    request.cursor = cursor_;
    link_.asked = cursor_;
  } else if (earliest_) {
    request.earliest = true;
    link_.earliest = true;
  } else if (random.chance(300)) {
    request.history = 5;
    link_.history = true;
  }
  world_.trace(name_ + " connects " + std::string(word_of(link_.form)) + " shard " +
               std::to_string(link_.shard) + " cursor " +
               std::to_string(cursor_ ? cursor_->sequence.value : 0) +
               (request.session.none() ? "" : " session") + (take_over ? " take-over" : ""));
  world_.shard(link_.shard).open_stream(link_.id, std::move(request));
}

void Client::disconnect() {
  world_.coverage().hit("client vanishes");
  if (!link_.open) return;
  Link gone = std::move(link_);
  link_ = Link{};
  world_.transport(gone.shard).drop(gone.id);
  if (world_.random().chance(300)) session_ = {};
  for (auto& [tag, pending] : pending_) unanswered_.push_back(std::move(pending));
  pending_.clear();
}

void Client::server_gone() {
  marks_.clear();
  link_ = Link{};
  old_ = Link{};
  for (auto& [tag, pending] : pending_) unanswered_.push_back(std::move(pending));
  pending_.clear();
}

void Client::heartbeat() {
  if (link_.open && link_.form == Form::sse) world_.shard(link_.shard).heartbeat(link_.id);
}

void Client::send() {
  std::string room = world_.room_names()[world_.random().below(world_.room_names().size())];
  Pending pending;
  pending.kind = Pending::Kind::send;
  pending.room = room;
  pending.client_id = user_ + "-" + std::to_string(world_.next_key());
  pending.stored_wanted = world_.random().chance(800);
  bool exclude = world_.random().chance(100);
  pending.json = "{\"room\":\"" + room + "\",\"content\":\"" + pending.client_id +
                 std::string(world_.random().below(200), 'x') + "\",\"clientId\":\"" + pending.client_id +
                 "\"" + (pending.stored_wanted ? "" : ",\"ack\":\"accepted\"") +
                 (exclude ? ",\"exclude\":\"user\"" : "") + "}";
  pending.command = "messages.send";
  issue(std::move(pending));
}

void Client::resend() {
  if (unanswered_.empty()) return;
  Pending pending = std::move(unanswered_.back());
  unanswered_.pop_back();
  pending.tries++;
  world_.coverage().hit("retry with the same clientId");
  issue(std::move(pending));
}

void Client::join_or_leave() {
  Pending pending;
  pending.room = "club" + std::to_string(world_.random().below(2));
  bool leave = member_.contains(pending.room) && world_.random().chance(500);
  pending.kind = leave ? Pending::Kind::leave : Pending::Kind::join;
  pending.command = leave ? "rooms.leave" : "rooms.join";
  pending.json = "{\"room\":\"" + pending.room + "\"}";
  if (world_.random().chance(300)) {  // somebody talks there
    Pending talk = pending;
    talk.kind = Pending::Kind::send;
    talk.command = "messages.send";
    talk.client_id = user_ + "-" + std::to_string(world_.next_key());
    talk.json =
        "{\"room\":\"" + pending.room + "\",\"content\":\"x\",\"clientId\":\"" + talk.client_id + "\"}";
    issue(std::move(talk));
  }
  if (!leave) asked_.insert(pending.room);
  world_.coverage().hit(leave ? "room left" : "room joined");
  issue(std::move(pending));
}

void Client::load() {
  Pending pending;
  pending.kind = Pending::Kind::other;
  pending.command = world_.random().chance(500) ? "messages.load" : "rooms.load";
  pending.room = world_.room_names()[0];
  pending.json = pending.command == "rooms.load" ? "{}" : "{\"room\":\"" + pending.room + "\",\"limit\":20}";
  issue(std::move(pending));
}

// Over the WebSocket, or as a POST on a connection of its own to any shard.
void Client::issue(Pending pending) {
  std::string tag = "\"" + std::to_string(next_tag_++) + "\"";
  bool over_stream = link_.open && link_.form == Form::ws && link_.connected && world_.random().chance(700);
  Command command;
  command.row = find_command(pending.command);
  auto args = decode_args(*command.row, pending.json, NameLimits{});
  if (!args) world_.broken("a command was not decoded: " + args.error().sentence);
  command.args = std::move(*args);
  command.who.user = Name("t", user_);
  command.tag = tag;
  uint32_t shard = link_.shard;
  if (over_stream) {
    command.connection = link_.id;
    command.session = session_;
    pending.with_session = pending.over_stream = true;
  } else {
    shard = static_cast<uint32_t>(world_.random().below(world_.shards()));
    command.connection = world_.transport(shard).connect(this, 1 << 20);
    if (link_.connected && world_.random().chance(500))
      command.session = session_, pending.with_session = true;
  }
  command.origin = ShardIndex(shard);
  command.connection_generation = world_.transport(shard).pipes[index_of(command.connection)].generation;
  world_.trace(name_ + " " + pending.command + " " + pending.json.substr(0, 60) + " " + tag);
  pending_[tag] = std::move(pending);
  world_.shard(shard).command(std::move(command));
}

// ---- what arrives ----

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
    if (replaced && &link == &link_ && !settling_)
      world_.coverage().hit("replaced by another device's stream");
    return;
  }
  if (type == "reset") return &link == &old_ ? void() : on_reset(link, std::string(json));
  if (id.empty()) return;  // state on return
  if (!link.connected) world_.broken(where(link) + ": an event before `connected`");
  uint64_t sequence = sequence_of(id);
  if (sequence <= link.last_sequence)
    world_.broken(where(link) + ": event " + std::to_string(sequence) + " (" + type +
                  ") does not go forward");
  link.last_sequence = sequence;
  TruthEvent* truth = world_.find(sequence);
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
  bool inbox = truth.room[0] == '\x01';
  if (inbox && truth.room.substr(1) != user_) world_.broken(where(link) + ": somebody else's inbox");
  if (!inbox) {
    auto it = intervals_.find(truth.room);
    bool owed = it != intervals_.end() &&
                std::any_of(it->second.begin(), it->second.end(),
                            [&](const Interval& i) { return sequence > i.may && sequence <= i.end; });
    // A poll that continues a session is not told its rooms anew: the first event of one shows it.
    if (!owed && link.form == Form::poll && truth.room.starts_with("club"))
      follow(truth.room, sequence - 1), owed = true;
    owed = owed || link.rooms.contains(truth.room);
    // And a join that is being answered shows by its events.
    if (!owed && asked_.contains(truth.room)) follow(truth.room, sequence - 1), owed = true;
    if (!owed && !link.history)
      world_.broken(where(link) + ": event " + std::to_string(sequence) + " of " + truth.room +
                    ", which it does not follow");
  }
  if (!received_.emplace(sequence, truth.room).second && !link.overlap && &link != &old_)
    world_.broken(where(link) + ": event " + std::to_string(sequence) + " twice");
  move_cursor(sequence);
  if (inbox && (truth.type == "room.member_added" || truth.type == "room.created")) {
    member_.insert(room);
    // An old one that is replayed says nothing of today: `connected` has named the rooms of this stream.
    if (sequence > link.newest) follow(room, sequence);
    link.rooms.insert(room);
  }
  if (truth.type == "room.member_removed" && (inbox || truth.user == user_)) removed_at_[room] = sequence;
  if (inbox && truth.type == "room.member_removed") {
    // Where the stream was there, the room's own event has ended it; replayed later, the room is gone
    // altogether.
    member_.erase(room);
    unfollow(room, 0);
  }
  if (truth.type == "room.member_removed" && !inbox && truth.user == user_) unfollow(truth.room, sequence);
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
  world_.coverage().hit(("reset: " + reason).c_str());
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
    for (simdjson::dom::element room : data["rooms"].get_array())
      unfollow(std::string(std::string_view(room.get_string())), 0);
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

// ---- answers ----

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
    world_.coverage().hit(("refused: " + code).c_str());
    bool again = answer["retryable"];
    if (again && pending.kind == Pending::Kind::send)
      unanswered_.push_back(std::move(pending));
    else if (pending.kind == Pending::Kind::send && code != "conflict")
      world_.broken("a message was refused for good: " + body);
    return;
  }
  if (pending.command.starts_with("receipts.")) return on_mark(pending, body);
  if (pending.kind == Pending::Kind::join && pending.with_session) {
    std::string from = text_of(answer, "lastEventId");
    // The stream has the room from here on; the inbox tells the user's other sessions.
    if (!from.empty() && link_.connected) {
      world_.coverage().hit("room gained by command");
      auto& list = intervals_[pending.room];
      if (list.empty() || list.back().end != UINT64_MAX) gained_[pending.room] = sequence_of(from);
      // An answer that was long on its way may be of a membership that has ended since.
      if (removed_at_[pending.room] <= sequence_of(from)) follow(pending.room, sequence_of(from));
      // The inbox may have named the room meanwhile: this stream has it from where its own answer says.
      if (!list.empty()) list.back().start = std::max(list.back().start, sequence_of(from));
      link_.rooms.insert(pending.room);
    }
    member_.insert(pending.room);
  }
  if (pending.kind != Pending::Kind::send) return;
  uint64_t sequence = sequence_of(text_of(answer, "eventId"));
  bool stored = answer["stored"];
  bool duplicate = false;
  if (!answer["duplicate"].get(duplicate) && duplicate) world_.coverage().hit("duplicate answered");
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
}

// ---- the end ----

void Client::check_end() {
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
    if (truth.exclude == Exclude::user && truth.user == user_) continue;
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

std::string Client::server_view() const {
  if (!link_.open) return "nothing: no stream";
  Sessions& sessions = world_.shard(link_.shard).sessions();
  uint32_t index = sessions.on_connection(link_.id);
  return index == UINT32_MAX ? "no session"
                             : sessions.info_json(index) + SessionsForTest::describe(sessions, index);
}

}  // namespace twinwire::sim
