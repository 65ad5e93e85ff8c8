// typing.*, presence.*, session.info.
#include "core/commands.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {
namespace {

void typing(Shard& shard, Command command, bool is_typing) {
  at_room(shard, std::move(command), [is_typing](Shard& home, Room& room, Command& asked) {
    home.homes().set_typing(room, asked.who.user, is_typing);
    accept(home, asked);
  });
}

}  // namespace

void typing_start(Shard& shard, Command command) { typing(shard, std::move(command), true); }
void typing_stop(Shard& shard, Command command) { typing(shard, std::move(command), false); }

void presence_list(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    std::string list = home.homes().presence_list(room, kPresenceListMax);
    accept(home, asked, std::string_view(list).substr(1, list.size() - 2));
  });
}

void presence_set(Shard& shard, Command command) {
  if (command.args.text(Field::state).size() > kPresenceStateBytes)
    return refuse(shard, command, Code::too_large, "'state' is longer than 1024 bytes");
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (!home.homes().presence_on(room))
      return refuse(home, asked, Code::conflict, "presence is off in this room");
    if (!room.present.contains(asked.who.user))
      return refuse(home, asked, Code::conflict,
                    "you are not present in this room: open a stream that follows it first");
    std::string_view state = asked.args.text(Field::state);
    home.homes().set_presence_state(room, asked.who.user, state == "null" ? "" : std::string(state));
    accept(home, asked);
  });
}

void session_info(Shard& shard, Command command) {
  uint32_t session = command.session.none() ? kNone : shard.sessions().find(command.session);
  if (session == kNone || shard.sessions().at(session).user != command.who.user)
    return refuse(shard, command, Code::not_found,
                  "no such session of yours; name it in the Twinwire-Session header");
  std::string info = shard.sessions().info_json(session);
  accept(shard, command, std::string_view(info).substr(1, info.size() - 2));
}

}  // namespace twinwire
