// Client, what only the wide kinds of seeds do: closed and direct rooms, clearing, events that are not kept
// or not messages, presence, retries of what is pending, stored or another's, joining with a load.
#include "tests/sim/client.h"
#include "tests/sim/world.h"

namespace twinwire::sim {

void Client::act_widely() {
  SimRandom& random = world_.random();
  auto simple = [this](const char* command, const std::string& room, const std::string& fields,
                       Pending::Kind kind = Pending::Kind::other) {
    Pending pending;
    pending.kind = kind;
    pending.command = command;
    pending.room = room;
    pending.json = "{\"room\":\"" + room + "\"" + fields + "}";
    issue(std::move(pending));
  };
  const auto& rooms = world_.room_names();
  std::string room = rooms[random.below(rooms.size())];
  // A room that somebody created: its members may, the others are refused.
  const auto& created = world_.created_rooms();
  std::string closed = created.empty() ? "group-none" : created[random.below(created.size())];
  switch (random.below(13)) {
    case 0:
      return create_room();
    case 1:
      return random.chance(200) ? simple("rooms.clear", room, "") : void();
    case 2:
      return simple("events.publish", room, R"(,"type":"note","ephemeral":true,"data":{"n":1})");
    case 3:
      return simple("presence.set", room, R"(,"state":{"mood":"well"})");
    case 4:
      return say_again(false);
    case 5:
      return say_again(true);
    case 6: {
      room = "club" + std::to_string(random.below(2));
      asked_.insert(room);
      return simple("messages.load", room, R"(,"join":true,"limit":20)");
    }
    case 7:
      asked_.insert(closed);
      return simple("rooms.join", closed, "", Pending::Kind::join);
    case 8:
      return random.chance(400) ? simple("rooms.leave", closed, "") : void();
    case 9:
      return simple("messages.load", closed, "");
    case 10:
      return simple("presence.list", room, "");
    default: {  // a message there, sometimes said twice at once
      Pending pending;
      pending.kind = Pending::Kind::send;
      pending.command = "messages.send";
      pending.room = random.chance(500) ? closed : room;
      pending.client_id = user_ + "-" + std::to_string(world_.next_key());
      pending.json =
          "{\"room\":\"" + pending.room + "\",\"content\":\"y\",\"clientId\":\"" + pending.client_id + "\"}";
      if (random.chance(500)) issue(pending);
      return issue(std::move(pending));
    }
  }
}

// With one other user a direct room, with more a closed one.
void Client::create_room() {
  SimRandom& random = world_.random();
  std::string others;
  uint64_t count = 1 + random.below(3);
  for (uint64_t i = 0; i < count; i++) {
    if (i) others += ',';
    others += "\"user" + std::to_string(random.below(6)) + "\"";
  }
  Pending pending;
  pending.command = "rooms.create";
  pending.json = "{\"participantIds\":[" + others +
                 "],\"isGroup\":" + (random.chance(600) ? "true" : "false") + ",\"clientId\":\"" + user_ +
                 "-" + std::to_string(random.below(4)) + "\"}";
  issue(std::move(pending));
}

// An id that was answered as stored, again: with the same content, or with another, which is a conflict.
void Client::say_again(bool other_content) {
  if (said_.empty()) return;
  auto it = said_.begin();
  std::advance(it, static_cast<long>(world_.random().below(said_.size())));
  Pending pending = it->second;
  if (world_.was_unsaved(pending.client_id)) return;
  if (other_content) {
    pending.conflicts = true;
    pending.json = "{\"room\":\"" + pending.room + "\",\"content\":\"something else\",\"clientId\":\"" +
                   pending.client_id + "\"}";
  }
  issue(std::move(pending));
}

}  // namespace twinwire::sim
