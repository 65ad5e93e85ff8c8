// Edits, deletions and receipts in the simulated world: clients make them of what they have received, and in
// the end every message has the newest change that was stored, and no other.
#include <simdjson.h>

#include <algorithm>

#include "core/json.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

namespace twinwire::sim {

void Client::typing() {
  if (world_.random().chance(600)) return change_or_mark();
  Pending pending;
  pending.kind = Pending::Kind::other;
  pending.command = "typing.start";
  pending.room = world_.room_names()[0];
  pending.json = "{\"room\":\"" + pending.room + "\"}";
  issue(std::move(pending));
}

// Of something it has received: an edit, a deletion, or a mark up to there.
void Client::change_or_mark() {
  if (received_.empty()) return;
  SimRandom& random = world_.random();
  auto it = std::next(received_.begin(), static_cast<ptrdiff_t>(random.below(received_.size())));
  if (it->second.empty() || it->second[0] == '\x01') return;
  std::string id = Cursor{world_.epoch(), {it->first}}.text();
  Pending pending;
  pending.kind = Pending::Kind::other;
  pending.room = it->second;
  std::string json;
  JsonObject object(json);
  object.field("room", it->second);
  if (random.chance(500)) {
    pending.command = random.chance(500) ? "receipts.read" : "receipts.delivered";
    object.field("upTo", id).end();
    pending.asked_after = marks_[pending.command + " " + pending.room];
    world_.coverage().hit("receipt");
  } else {
    bool deletes = random.chance(200);
    pending.command = deletes ? "messages.delete" : "messages.edit";
    pending.client_id = user_ + "-" + std::to_string(world_.next_key());
    object.field("messageId", id).field("clientId", pending.client_id);
    if (!deletes) object.field("content", pending.client_id);
    object.end();
    world_.coverage().hit(deletes ? "message deleted" : "message edited");
  }
  pending.json = std::move(json);
  issue(std::move(pending));
}

// Marks never go back, unless what they were has been given up or lost. Who leaves a room leaves no marks
// there.
void Client::on_mark(const Pending& pending, std::string_view body) {
  if (pending.room.starts_with("club")) return;
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element answer = parser.parse(body.data(), body.size());
  std::string_view text;
  std::string_view key = pending.command == "receipts.read" ? "read" : "delivered";
  if (answer["receipt"][key].get_string().get(text)) return;
  auto cursor = Cursor::parse(text);
  uint64_t at = cursor ? cursor->sequence.value : 0;
  uint64_t& known = marks_[pending.command + " " + pending.room];
  // Answers may overtake one another: only a mark that was asked for after the answer to a later one tells.
  if (at < known && pending.asked_after >= known && !world_.gave_up())
    world_.broken(name_ + ": the mark of " + pending.room + " went back to " + std::to_string(at));
  known = std::max(known, at);
}

void World::check_changes() {
  std::map<std::string, std::map<uint64_t, uint64_t>> expected;  // room: message: its newest change
  for (const auto& [sequence, event] : truth_)
    if (event.about && event.fate == TruthEvent::Fate::stored) expected[event.room][event.about] = sequence;
  for (const auto& [room, changes] : expected) {
    std::shared_ptr<const ReadAnswer> answer;
    ReadRequest request{
        room_id_of(boot_.room_key, "t", room), {0}, kSequenceMax, UINT32_MAX, UINT32_MAX, false, true};
    history_->read(request, [&](auto got) { answer = std::move(got); });
    while (!answer && history_->step()) {
    }
    if (!answer || answer->failed) broken("the changes of " + room + " cannot be read");
    std::map<uint64_t, uint64_t> got;
    for (const MessageChange& change : answer->changes)
      got[change.message.value] = std::max(got[change.message.value], change.event->sequence().value);
    for (const EventRef& event : answer->events) {
      auto wanted = changes.find(event->sequence().value);
      uint64_t newest = wanted == changes.end() ? 0 : wanted->second;
      auto found = got.find(event->sequence().value);
      if ((found == got.end() ? 0 : found->second) != newest)
        broken("message " + std::to_string(event->sequence().value) + " of " + room +
               " is not in its newest state");
      if (newest) coverage_.hit("newest state checked");
    }
  }
}

}  // namespace twinwire::sim
