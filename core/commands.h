// The handlers that the command table names, and what they share. One group a file: commands_messages.cc,
// commands_changes.cc, commands_rooms.cc, commands_state.cc, commands_marks.cc.
// Each runs on the shard that its row names and answers through Shard::reply, at once or later.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/command.h"
#include "core/event.h"
#include "core/room.h"
#include "core/types.h"

namespace twinwire {

class Shard;

void messages_send(Shard& shard, Command command);
void messages_load(Shard& shard, Command command);
void messages_edit(Shard& shard, Command command);
void messages_delete(Shard& shard, Command command);
void events_publish(Shard& shard, Command command);
void rooms_create(Shard& shard, Command command);
void rooms_load(Shard& shard, Command command);
void rooms_join(Shard& shard, Command command);
void rooms_leave(Shard& shard, Command command);
void rooms_invite(Shard& shard, Command command);
void rooms_remove(Shard& shard, Command command);
void rooms_update(Shard& shard, Command command);
void rooms_clear(Shard& shard, Command command);
void typing_start(Shard& shard, Command command);
void typing_stop(Shard& shard, Command command);
void presence_list(Shard& shard, Command command);
void presence_set(Shard& shard, Command command);
void receipts_delivered(Shard& shard, Command command);
void receipts_read(Shard& shard, Command command);
void media_set(Shard& shard, Command command);
void signal_send(Shard& shard, Command command);
void session_info(Shard& shard, Command command);
void auth_refresh(Shard& shard, Command command);

// Answers with the error.
void refuse(Shard& shard, const Command& command, Code code, std::string sentence);
// Answers {"success":true, <fields>}; `fields` is the inside of a JSON object, "" for none.
void accept(Shard& shard, const Command& command, std::string_view fields = {});

// "userId":…,"expiresAt":…: what every answer to a token says.
std::string auth_fields(const Identity& who);

// The one sentence for who has not the right in a room, whether or not there is such a room.
std::string refusal_of(Right right);

// The room a command names.
Name room_of(const Command& command);
// Runs `use` at the home of the command's room (where this must be), with the room loaded and the row's right
// checked: who has it not is refused here, and `use` never runs.
void at_room(Shard& shard, Command command, std::function<void(Shard&, Room&, Command&)> use);
// The same for a room and a right that the row does not name.
void at_room(Shard& shard, Command command, const Name& name, Right right,
             std::function<void(Shard&, Room&, Command&)> use);

// The `message` object of message.created; `place` gets the offset of the sequence's digits in it.
std::string message_data(Shard& shard, const Command& command, uint32_t& place);
// The `message` object of an event message.created, message.updated or message.deleted.
std::string_view message_in(const Event& event);
// The event that holds the message as it is now: `created` itself, or its newest change.
const Event& newest_state(const Event& created, const std::vector<MessageChange>& changes);
// What the command says of who is not to be told.
Exclude exclude_of(const Command& command);

}  // namespace twinwire
