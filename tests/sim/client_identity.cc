// Tokens and memberships in the simulated world: clients renew their tokens, or let them end; operators
// revoke users; who manages a closed room invites and removes. And the rules: a stream brings nothing above
// the revocation of its user, nothing that was published after its token's end, and is not ended for want of
// a token that it has; of a closed room nobody has what lies between a removal and the next invitation.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <optional>

#include "tests/sim/client.h"
#include "tests/sim/client_json.h"
#include "tests/sim/world.h"

namespace twinwire::sim {
namespace {

// "2026-05-28T20:43:28.247Z" in milliseconds since 1970.
std::optional<uint64_t> time_of(std::string_view text) {
  std::tm parts{};
  std::string whole(text);
  const char* rest = strptime(whole.c_str(), "%Y-%m-%dT%H:%M:%S.", &parts);
  if (rest == nullptr) return std::nullopt;
  return static_cast<uint64_t>(timegm(&parts)) * 1000 + std::strtoull(rest, nullptr, 10);
}

}  // namespace

// ---- operators ----

void World::revoke() {
  coverage_.hit("user revoked");
  std::string user = "user" + std::to_string(random_.below(clients_.size()));
  uint32_t at = static_cast<uint32_t>(random_.below(shard_count_));
  trace("revoke " + user + " at shard " + std::to_string(at));
  revocations_.push_back({user, clock_.wall_ms(), 0});
  ConnectionId id = transports_[at]->connect(nullptr, 1 << 16);
  shard(at).end_user(Name("t", user), Homes::Ending::revoked, id, "");
}

bool World::revoked(const std::string& user, uint64_t issued_ms) const {
  for (const Revocation& revocation : revocations_)
    if (revocation.user == user && issued_ms <= revocation.wall_ms) return true;
  return false;
}

// ---- clients ----

void Client::new_token() {
  SimRandom& random = world_.random();
  issued_ms_ = world_.clock().wall_ms();
  bool endless = settling_ || random.chance(200);
  expires_ms_ = endless ? 0 : issued_ms_ + 1000 + random.below(random.chance(300) ? 60'000 : 8'000);
}

// Who this is, with a token that has not ended by this client's clock.
Identity Client::token() {
  Identity who;
  who.user = Name("t", user_);
  if (!world_.identity()) return who;
  uint64_t now = world_.clock().wall_ms();
  if (issued_ms_ == 0 || (expires_ms_ && expires_ms_ / 1000 <= now / 1000)) new_token();
  who.issued_wall_ms = issued_ms_;
  who.expires_wall_ms = expires_ms_;
  return who;
}

void Client::act_with_identity() {
  SimRandom& random = world_.random();
  const auto& created = world_.created_rooms();
  if (created.empty() || random.chance(400)) return refresh();
  Pending pending;
  pending.room = created[random.below(created.size())];
  std::string other = "\"user" + std::to_string(random.below(6)) + "\"";
  std::string room = "{\"room\":\"" + pending.room + "\",";
  uint64_t what = random.below(20);
  if (what < 11) {
    pending.command = "rooms.invite";
    pending.json = room + "\"users\":[" + other + "]}";
  } else if (what < 19) {
    pending.command = "rooms.remove";
    pending.json = room + "\"user\":" + other + "}";
  } else {
    pending.command = "rooms.update";
    pending.json = room + "\"history\":\"full\"}";
  }
  issue(std::move(pending));
}

void Client::refresh() {
  if (link_.form == Form::poll || !link_.connected) return;
  Pending pending;
  pending.command = "auth.refresh";
  pending.json = "{}";
  issue(std::move(pending));
}

// From here on the new token may be in force on whichever stream the session has, whatever becomes of the
// answer.
void Client::renewing() {
  new_token();
  uint64_t ends = expires_ms_ ? expires_ms_ : UINT64_MAX;
  untaken_.push_back({issued_ms_, ends});
  for (Link* link : {&link_, &old_}) {
    link->expires_ms = std::max(link->expires_ms, ends);
    link->tokens.push_back({issued_ms_, ends});
  }
}

void Client::on_refreshed(const Pending& pending) {
  world_.coverage().hit("token renewed");
  uint64_t ends = pending.expires_ms ? pending.expires_ms : UINT64_MAX;
  std::erase_if(untaken_, [&](const Token& token) {
    return token.sent_ms == pending.issued_ms && token.expires_ms == ends;
  });
}

// Whether some token of the stream had ended then. (Which one is in force is not to be said from outside: a
// renewal may have met the stream before, whose successor came with a token of its own.)
bool Client::could_expire(const Link& link, uint64_t at_ms) {
  return std::any_of(link.tokens.begin(), link.tokens.end(), [at_ms](const Token& token) {
    return token.sent_ms <= at_ms && token.expires_ms / 1000 <= at_ms / 1000;
  });
}

// A stream may be ended for its token only where that has ended, or has been revoked.
void Client::on_bye(const Link& link, std::string_view json) {
  if (!world_.identity() || json.find("\"unauthenticated\"") == std::string_view::npos) return;
  bool expired = json.find("has expired") != std::string_view::npos;
  world_.coverage().hit(expired ? "stream ended: its token has expired" : "stream ended: revoked");
  // Read when it comes: what counts is when it was said.
  size_t stamp = json.find("\"timestamp\":\"");
  auto said = stamp == std::string_view::npos ? std::nullopt : time_of(json.substr(stamp + 13, 24));
  if (expired && !could_expire(link, said.value_or(world_.clock().wall_ms())))
    world_.broken(where(link) + ": ended before its token was");
  // Also who opened with a newer token where the place had not been come to.
  bool revoked = world_.revoked(user_, link.issued_ms);
  for (const World::Revocation& revocation : world_.revocations())
    revoked = revoked || (revocation.user == user_ && revocation.place > link.consumed);
  if (!expired && !revoked)
    world_.broken(where(link) + ": ended as revoked, and was not: " + std::string(json));
  if (&link == &link_) new_token();
}

// True: the command has been dealt with.
bool Client::on_unauthenticated(Pending& pending) {
  if (!world_.identity()) return false;
  uint64_t issued = pending.over_stream ? link_.issued_ms : pending.issued_ms;
  if (!world_.revoked(user_, std::min(issued, pending.issued_ms)))
    world_.broken(name_ + ": refused as revoked, and was not");
  world_.coverage().hit("command with a revoked token");
  if (world_.revoked(user_, issued_ms_)) new_token();
  if (pending.kind == Pending::Kind::send) unanswered_.push_back(std::move(pending));
  return true;
}

void Client::check_identity(const Link& link, uint64_t sequence, const TruthEvent* truth) {
  if (!world_.identity()) return;
  for (const World::Revocation& revocation : world_.revocations()) {
    bool over = revocation.user == user_ && revocation.place && link.issued_ms <= revocation.wall_ms;
    if (over && sequence > revocation.place)
      world_.broken(where(link) + ": event " + std::to_string(sequence) + " above the revocation at " +
                    std::to_string(revocation.place));
  }
  // What a poll is answered with when its token ends is that tick's.
  bool late = truth && link.form != Form::poll && truth->wall_ms / 1000 >= link.expires_ms / 1000;
  if (late) world_.broken(where(link) + ": an event that was published after its token's end");
}

void Client::check_memberships() {
  if (!world_.wide()) return;
  std::map<std::string, bool> out;  // of a closed room: the user has been removed, and has not come back
  for (const auto& [sequence, truth] : world_.truth()) {
    if (!truth.room.starts_with("group-") || world_.was_full(truth.room)) continue;
    auto state = out.find(truth.room);
    bool own = truth.subject == user_;  // the invitation itself
    if (state != out.end() && state->second && !own && received_.contains(sequence))
      world_.broken(name_ + " has event " + std::to_string(sequence) + " of " + truth.room +
                    ", from which it had been removed");
    if (!own) continue;
    // What was given up or lost may have been true for a while.
    bool removed =
        truth.type == "room.member_removed" && truth.fate == TruthEvent::Fate::stored && !truth.given_up;
    if (removed) out[truth.room] = true;
    if (truth.type == "room.member_added") out[truth.room] = false;
  }
}

}  // namespace twinwire::sim
