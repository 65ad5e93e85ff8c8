// messages.edit and messages.delete: a message's newer states are events of their own. Each carries the whole
// message, so that whoever sees only the last one has it all; of a deleted one remains a tombstone.
#include "core/commands.h"
#include "core/json.h"
#include "core/json_text.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {
namespace {

constexpr std::string_view kDeletedAt = "deletedAt";

// The members of a message that say what it said. A tombstone has them as null.
bool is_content(std::string_view key) {
  for (std::string_view name : {"content", "encryptedContent", "fileUrl", "fileName", "fileSize", "replyTo"})
    if (key == name) return true;
  return false;
}

bool is_deleted(const Event& state) { return state.type() == "message.deleted"; }

// The message of `state` with the text that the command gives, or without any.
std::string changed_message(const Event& state, const Args& args, bool deletes, const std::string& now) {
  auto message = JsonText::read(message_in(state));
  TW_CHECK(message);  // the engine wrote it
  std::string out;
  JsonObject object(out);
  for (const JsonPart& part : message->parts()) {
    bool text = part.key == "content" || part.key == "encryptedContent";
    Field field = part.key == "content" ? Field::content : Field::encrypted_content;
    if (part.key == "updatedAt")
      object.field(part.key, now);
    else if (deletes ? is_content(part.key) : text && !args.has(field))
      object.raw(part.key, "null");
    else if (text && !deletes)
      object.field(part.key, args.text(field));
    else
      object.raw(part.key, part.raw);
  }
  if (deletes) object.field(kDeletedAt, now);
  object.end();
  return out;
}

// Whose message it is may change it; of others' only who manages the room, and nobody in a direct one.
bool may_change(Shard& home, const Room& room, const Command& asked, const Event& created) {
  if (created.user() == asked.who.user) return true;
  return room.kind != RoomKind::direct && home.homes().rights(asked.who, room).has(Right::manage);
}

void change(Shard& home, Room& room, Command& asked, const FoundMessage& found, bool deletes) {
  if (found.failed)
    return refuse(home, asked, Code::storage_unavailable,
                  "the message cannot be read now; try again shortly");
  // While the message was looked for its author may have been removed.
  if (auto ok = home.homes().may(asked.who, room, asked.row->right); !ok)
    return home.reply(asked, reply_of(ok.error()));
  if (!found.created || found.created->sequence() < room.readable_from(asked.who.user))
    return refuse(home, asked, Code::not_found, "there is no such message in this room");
  if (!may_change(home, room, asked, *found.created))
    return refuse(home, asked, Code::forbidden, "this is somebody else's message");
  const Event& state = found.change ? *found.change : *found.created;
  Error gone = fail(Code::conflict, "the message has been deleted");
  std::string message = changed_message(state, asked.args, deletes, format_timestamp(home.wall_ms()));
  std::string data = "{\"message\":" + message + "}";
  EventDraft draft;
  draft.type = deletes ? "message.deleted" : "message.updated";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = asked.who.user;
  draft.effect = EventEffect::message_changed;
  draft.about = found.created->sequence();
  draft.exclude = exclude_of(asked);
  draft.exclude_session = asked.session;
  // A retry is answered with its first result also where the message has been deleted since.
  const Error* refusal = is_deleted(state) ? &gone : nullptr;
  home.homes().publish_command(room, std::move(asked), std::move(draft), Homes::AnswerShape::data, refusal);
}

void find_and_change(Shard& shard, Command command, bool deletes) {
  at_room(shard, std::move(command), [deletes](Shard& home, Room& room, Command& asked) {
    auto id = Cursor::parse(asked.args.text(Field::message_id));
    if (!id || id->epoch != home.epoch())
      return refuse(home, asked, Code::not_found, "there is no such message in this room");
    auto kept = std::make_shared<Command>(std::move(asked));
    home.homes().find_message(room, id->sequence,
                              [&home, kept, deletes](Room& where, const FoundMessage& found) {
                                change(home, where, *kept, found, deletes);
                              });
  });
}

}  // namespace

void messages_edit(Shard& shard, Command command) {
  if (!command.args.has(Field::content) && !command.args.has(Field::encrypted_content))
    return refuse(shard, command, Code::invalid_argument, "'content' or 'encryptedContent' is required");
  find_and_change(shard, std::move(command), false);
}

void messages_delete(Shard& shard, Command command) { find_and_change(shard, std::move(command), true); }

}  // namespace twinwire
