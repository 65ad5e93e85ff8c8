#include "tests/sim/client.h"

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
  // What streams there are that are not at the live end. Polls come and go: their answers tell.
  static std::string restless(Sessions& sessions) {
    std::string out;
    sessions.by_id_.for_each([&](uint32_t index) {
      const Session& session = sessions.sessions_[index];
      if (session.connection == kNone || session.state == SessionState::live) return;
      Stream& stream = sessions.shard_.outboxes().at(ConnectionId{session.connection});
      if (stream.form == Form::poll) return;
      out += " [" + std::string(session.user.text()) + " " + std::string(word_of(session.state)) + " on " +
             std::string(word_of(stream.form)) + ", blocked " + std::to_string(stream.blocked) + ", offset " +
             std::to_string(stream.offset) + ", " + describe(sessions, index) + "]";
    });
    return out;
  }
  static void count_states(Sessions& sessions, sim::Coverage& coverage) {
    uint64_t counts[5] = {};
    sessions.by_id_.for_each(
        [&](uint32_t index) { counts[static_cast<size_t>(sessions.sessions_[index].state)]++; });
    static constexpr const char* kNames[5] = {"session joining", "session replaying", "session live",
                                              "session lagging", "session without a stream"};
    for (size_t state = 0; state < 5; state++) coverage.hit(kNames[state], counts[state]);
  }
};

}  // namespace twinwire

namespace twinwire::sim {

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

std::string Client::server_view() const {
  if (!link_.open) return "nothing: no stream";
  Sessions& sessions = world_.shard(link_.shard).sessions();
  uint32_t index = sessions.on_connection(link_.id);
  return index == UINT32_MAX ? "no session"
                             : sessions.info_json(index) + SessionsForTest::describe(sessions, index);
}

std::string Client::restless(Sessions& sessions) { return SessionsForTest::restless(sessions); }

void Client::count_states(Sessions& sessions, Coverage& coverage) {
  SessionsForTest::count_states(sessions, coverage);
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
  if (world_.identity() && random.chance(250)) return act_with_identity();
  if (world_.wide() && random.chance(300)) return act_widely();
  if (world_.tight() && random.chance(40)) {
    for (int i = 0; i < 12; i++) send();
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
    for (auto it = pending_.begin(); it != pending_.end();) {  // their answers may end with the old stream
      if (it->second.over_stream)
        unanswered_.push_back(std::move(it->second)), it = pending_.erase(it);
      else
        ++it;
    }
  }
  link_ = Link{};
  stream_++;
  link_.overlap = take_over || old_.open;  // its streams overlap: an event that both carried counts once
  link_.form = std::array<Form, 5>{Form::sse, Form::ws, Form::sse, Form::ws, Form::poll}[random.below(5)];
  if (settling_ && last_form_ != Form::none) link_.form = last_form_;
  if (link_.form != Form::poll && last_form_ != Form::none && last_form_ != link_.form)
    world_.coverage().hit("transport switch");
  last_form_ = link_.form;
  link_.shard = static_cast<uint32_t>(random.below(world_.shards()));
  if (take_over)
    world_.coverage().hit(link_.shard == old_.shard ? "take-over within a shard" : "take-over across shards");
  size_t capacity = settling_ ? 1 << 20 : 600 + random.below(random.chance(300) ? 2000 : 60000);
  link_.id = world_.transport(link_.shard).connect(this, capacity);
  link_.open = true;
  // A poll that continues is not told its rooms: what its inbox replays from before now says nothing of
  // today.
  if (link_.form == Form::poll && !world_.truth().empty()) link_.newest = world_.truth().rbegin()->first;
  StreamRequest request;
  request.form = link_.form;
  request.who = token();
  link_.issued_ms = request.who.issued_wall_ms;
  link_.consumed = world_.shard(link_.shard).consumed().value;
  if (request.who.expires_wall_ms) link_.expires_ms = request.who.expires_wall_ms;
  uint64_t now = world_.clock().wall_ms();
  link_.tokens.push_back({now, link_.expires_ms});
  for (const Token& late : untaken_) {
    link_.tokens.push_back(late);
    link_.expires_ms = std::max(link_.expires_ms, late.expires_ms);
  }
  request.rooms = rooms_;
  request.poll_wait_ms = settling_ ? 50 : random.below(3000);
  if (settling_ || random.chance(800)) request.session = session_;
  if (take_over) request.session = session_;
  link_.wanted = request.session;
  link_.foreign = world_.wide() && cursor_ && !settling_ && link_.form != Form::poll && random.chance(60);
  if (link_.foreign) {
    request.cursor = Cursor{Epoch{world_.epoch().value ^ 1}, {7}};
    link_.overlap = true;  // begins from now, which may lie below what it has
  } else if (cursor_) {
    request.cursor = cursor_;
    link_.asked = cursor_;
  } else if (earliest_) {
    request.earliest = true;
    link_.earliest = true;
    world_.coverage().hit("from earliest");
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
  const char* excluded = world_.wide() && world_.random().chance(500) ? "connection" : "user";
  pending.json = "{\"room\":\"" + room + "\",\"content\":\"" + pending.client_id +
                 std::string(world_.random().below(200), 'x') + "\",\"clientId\":\"" + pending.client_id +
                 "\"" + (pending.stored_wanted ? "" : ",\"ack\":\"accepted\"") +
                 (exclude ? std::string(",\"exclude\":\"") + excluded + "\"" : "") + "}";
  pending.command = "messages.send";
  issue(std::move(pending));
}

void Client::resend() {
  std::erase_if(unanswered_, [](const Pending& pending) { return pending.conflicts; });
  if (unanswered_.empty()) return;
  Pending pending = std::move(unanswered_.back());
  unanswered_.pop_back();
  pending.tries++;
  world_.coverage().hit(world_.was_unsaved(pending.client_id) ? "retry after it was unsaved"
                                                              : "retry after a loss");
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
  if (pending.command == "auth.refresh") renewing();
  command.who = token();
  command.tag = tag;
  uint32_t shard = link_.shard;
  if (over_stream) {
    command.connection = link_.id;
    command.session = session_;
    pending.with_session = pending.over_stream = true;
    if (pending.command != "auth.refresh") command.who.issued_wall_ms = Identity::kOfSession;
  } else {
    shard = static_cast<uint32_t>(world_.random().below(world_.shards()));
    command.connection = world_.transport(shard).connect(this, 1 << 20);
    if (link_.connected && (pending.command == "auth.refresh" || world_.random().chance(500)))
      command.session = session_, pending.with_session = true;
  }
  pending.issued_ms = command.who.issued_wall_ms;
  pending.expires_ms = command.who.expires_wall_ms;
  pending.refusable = world_.revoked(user_, pending.issued_ms);
  command.origin = ShardIndex(shard);
  command.connection_generation = world_.transport(shard).pipes[index_of(command.connection)].generation;
  world_.trace(name_ + " " + pending.command + " " + pending.json.substr(0, 60) + " " + tag);
  pending.stream = stream_;
  pending_[tag] = std::move(pending);
  world_.shard(shard).command(std::move(command));
}

}  // namespace twinwire::sim
