// The command table: one row a command. Adding one is a row here and a handler in its group.
#include "core/command.h"
#include "core/commands.h"

namespace twinwire {
namespace {

constexpr uint64_t kIdMax = 128;    // bytes of a clientId
constexpr uint64_t kNameMax = 256;  // bytes of a title or a file's name
constexpr uint64_t kUrlMax = 2048;

constexpr FieldSpec kRoom{Field::room, Shape::room_name, true};
constexpr FieldSpec kAck{Field::ack, Shape::word, false, 0, "accepted|stored"};
constexpr FieldSpec kClientId{Field::client_id, Shape::text, false, kIdMax};
constexpr FieldSpec kExclude{Field::exclude, Shape::word, false, 0, "none|connection|user"};

constexpr FieldSpec kSend[] = {
    kRoom,
    {Field::content, Shape::text},
    {Field::encrypted_content, Shape::text},
    {Field::type, Shape::event_type},
    {Field::file_url, Shape::text, false, kUrlMax},
    {Field::file_name, Shape::text, false, kNameMax},
    {Field::file_size, Shape::integer, false, (uint64_t{1} << 53) - 1},
    {Field::reply_to, Shape::cursor_or_time},
    kClientId,
    kAck,
    kExclude,
};
constexpr FieldSpec kLoad[] = {
    kRoom,
    {Field::limit, Shape::integer, false, 256},
    {Field::before, Shape::cursor_or_time},
    {Field::after, Shape::cursor_or_time},
    {Field::join, Shape::boolean},
};
constexpr FieldSpec kPublish[] = {
    {Field::room, Shape::room_name},
    {Field::user, Shape::user_name},
    {Field::type, Shape::event_type, true},
    {Field::data, Shape::object},
    {Field::ephemeral, Shape::boolean},
    kClientId,
    kAck,
    kExclude,
};
constexpr FieldSpec kCreate[] = {
    {Field::participants, Shape::user_names},
    {Field::name, Shape::text, false, kNameMax},
    {Field::is_group, Shape::boolean},
    {Field::open, Shape::boolean},
    kClientId,
};
constexpr FieldSpec kRoomOnly[] = {kRoom};
constexpr FieldSpec kAuth[] = {
    {Field::token, Shape::text, false, 8 << 10},
    {Field::user_id, Shape::user_name},
    {Field::user_name, Shape::text, false, kNameMax},
};
constexpr FieldSpec kMessage{Field::message_id, Shape::event_id, true};
constexpr FieldSpec kEdit[] = {
    kRoom, kMessage, {Field::content, Shape::text}, {Field::encrypted_content, Shape::text}, kClientId,
    kAck,  kExclude,
};
constexpr FieldSpec kDelete[] = {kRoom, kMessage, kClientId, kAck, kExclude};
constexpr FieldSpec kInvite[] = {kRoom, {Field::users, Shape::user_names, true}};
constexpr FieldSpec kRemove[] = {kRoom, {Field::user, Shape::user_name, true}};
constexpr FieldSpec kUpdate[] = {
    kRoom,
    {Field::name, Shape::text, false, kNameMax},
    {Field::history, Shape::word, false, 0, "full|since_joined"},
};
constexpr FieldSpec kReceipt[] = {kRoom, {Field::up_to, Shape::event_id, true}};
constexpr FieldSpec kMedia[] = {
    kRoom, {Field::camera, Shape::boolean}, {Field::mic, Shape::boolean}, {Field::screen, Shape::boolean}};
constexpr FieldSpec kSignal[] = {
    {Field::room, Shape::room_name}, {Field::to, Shape::user_name}, {Field::data, Shape::object, true}};
constexpr FieldSpec kPresenceSet[] = {kRoom, {Field::state, Shape::object, true}};

// ---- what answers hold ----

constexpr DocMember kEventIdIs{"eventId", "eventId", "The event that it became."};
constexpr DocMember kStored{"stored", "boolean", "Whether it is synced to disk."};
constexpr DocMember kDuplicate{"duplicate", "boolean?", "It had been done before under this clientId."};
constexpr DocMember kRoomIs{"room", "Room", "The room."};
constexpr DocMember kLastEventId{
    "lastEventId", "eventId?",
    "From here on the naming session's stream has the room; absent where it had it "
    "already, or no session was named."};
constexpr DocMember kMessageResult[] = {
    kEventIdIs, {"message", "Message", "The message as it is now."}, kStored, kDuplicate};
constexpr DocMember kPublishResult[] = {kEventIdIs, kStored, kDuplicate};
constexpr DocMember kLoadResult[] = {
    {"messages", "[Message]", "Oldest first, each in its newest state; of a deleted one its tombstone."},
    {"hasMore", "boolean", "There are more in the direction that was asked for."},
    {"receipts", "[Receipt]", "Up to where users have received and read, at most 200, the newest."},
    {"lastEventId", "eventId",
     "The position that the answer shows; a stream resumed from it misses nothing."}};
constexpr DocMember kMaybeEventId{"eventId", "eventId?",
                                  "The last event that it became, if it changed anything."};
constexpr DocMember kMaybeStored{"stored", "boolean?", "Whether that is synced to disk."};
constexpr DocMember kCreateResult[] = {
    kMaybeEventId, kRoomIs, {"existing", "boolean?", "The room was there before."}, kMaybeStored};
constexpr DocMember kRoomsResult[] = {{"rooms", "[RoomOfUser]", "The one that changed last comes first."}};
constexpr DocMember kJoinResult[] = {kMaybeEventId, kRoomIs, kLastEventId, kMaybeStored};
constexpr DocMember kLeaveResult[] = {
    kMaybeEventId, {"left", "boolean", "False: the user was no member."}, kMaybeStored};
constexpr DocMember kInviteResult[] = {
    kMaybeEventId, kRoomIs, {"added", "[text]", "Who was no member before."}, kMaybeStored};
constexpr DocMember kRemoveResult[] = {kEventIdIs, {"removed", "boolean", "Always true."}, kStored};
constexpr DocMember kUpdateResult[] = {kEventIdIs, kRoomIs, kStored};
constexpr DocMember kEventResult[] = {kEventIdIs, kStored};
constexpr DocMember kPresenceResult[] = {{"users", "[PresentUser]", "At most 1000."},
                                         {"count", "integer", "How many are present."}};
constexpr DocMember kReceiptResult[] = {{"receipt", "Marks", "The user's marks as they are now."}};
constexpr DocMember kSignalResult[] = {
    {"delivered", "boolean", "Somebody has a stream open that it goes to."}};
constexpr DocMember kSessionResult[] = {
    {"sessionId", "text", "The session."},
    {"userId", "text", "Its user."},
    {"state", "text", "`live`, `replaying`, `lagging`, `joining` or `detached`."},
    {"lastEventId", "eventId", "Where its stream stands."},
    {"rooms", "[text]", "What its stream follows."},
    {"expiresAt", "time?", "When its token ends."}};

constexpr DocMember kAuthResult[] = {{"userId", "text", "Who this is."},
                                     {"expiresAt", "time?", "Until when."}};

constexpr CommandRow kTable[] = {
    {"messages.send", Where::room, By::anyone, Right::write, kSend, messages_send,
     "Sends a message: one of `content`, `encryptedContent` and `fileUrl` at least.", kMessageResult},
    {"messages.load", Where::session, By::anyone, Right::read, kLoad, messages_load,
     "The newest messages of a room, or those before or after a mark.", kLoadResult},
    {"messages.edit", Where::room, By::anyone, Right::write, kEdit, messages_edit,
     "Gives an own message another text (with the right `manage` anybody's, but in direct rooms): `content`, "
     "`encryptedContent` or both; which of them is left out becomes null. The room is told "
     "`message.updated`.",
     kMessageResult},
    {"messages.delete", Where::room, By::anyone, Right::write, kDelete, messages_delete,
     "Deletes an own message (with the right `manage` anybody's, but in direct rooms). The room is told "
     "`message.deleted`, and what loads it later gets a tombstone.",
     kMessageResult},
    {"events.publish", Where::here, By::anyone, Right::none, kPublish, events_publish,
     "Publishes an event of the application's own to a `room`, or to all streams of a `user`. A JSON array "
     "of such parameters is a batch of at most `limits.batch_events`: `results` holds an answer for each, in "
     "order.",
     kPublishResult},
    {"rooms.create", Where::here, By::anyone, Right::none, kCreate, rooms_create,
     "Creates a room of the user and the participants; a backend creates one of the participants alone. Of "
     "two users it is the direct room of the two, the same one whoever creates it.",
     kCreateResult},
    {"rooms.load",
     Where::user,
     By::users,
     Right::none,
     {},
     rooms_load,
     "The rooms that the user is a member of.",
     kRoomsResult},
    {"rooms.join", Where::session, By::users, Right::read, kRoomOnly, rooms_join,
     "Makes the user a member: all the user's sessions follow the room, now and later.", kJoinResult},
    {"rooms.leave", Where::room, By::users, Right::none, kRoomOnly, rooms_leave,
     "Ends the user's membership.", kLeaveResult},
    {"rooms.invite", Where::room, By::anyone, Right::manage, kInvite, rooms_invite,
     "Makes others members. Who is one already stays as they are.", kInviteResult},
    {"rooms.remove", Where::room, By::anyone, Right::manage, kRemove, rooms_remove,
     "Ends another's membership: delivery stops at the event `room.member_removed`, and their streams are "
     "told `reset` `forbidden`.",
     kRemoveResult},
    {"rooms.update", Where::room, By::anyone, Right::manage, kUpdate, rooms_update,
     "Gives the room another name, or another rule for what new members may read (which holds for streams "
     "that open later).",
     kUpdateResult},
    {"rooms.clear", Where::room, By::anyone, Right::manage, kRoomOnly, rooms_clear,
     "Removes all messages of the room.", kEventResult},
    {"typing.start",
     Where::room,
     By::users,
     Right::write,
     kRoomOnly,
     typing_start,
     "The user types; it ends with `typing.stop`, a message, or after `typing.clear_ms`.",
     {}},
    {"typing.stop",
     Where::room,
     By::users,
     Right::write,
     kRoomOnly,
     typing_stop,
     "The user no longer types.",
     {}},
    {"presence.list", Where::room, By::anyone, Right::presence, kRoomOnly, presence_list,
     "Who is present in the room, in no order.", kPresenceResult},
    {"presence.set",
     Where::room,
     By::users,
     Right::presence,
     kPresenceSet,
     presence_set,
     "What the room is shown of the user beside being present, for as long as they are.",
     {}},
    {"receipts.delivered", Where::room, By::users, Right::read, kReceipt, receipts_delivered,
     "The user has received everything up to that event.", kReceiptResult},
    {"receipts.read", Where::room, By::users, Right::read, kReceipt, receipts_read,
     "The user has read everything up to that event.", kReceiptResult},
    {"media.set",
     Where::room,
     By::users,
     Right::presence,
     kMedia,
     media_set,
     "What the user has switched on in the room; it ends with the user's presence.",
     {}},
    {"signal.send", Where::here, By::anyone, Right::write, kSignal, signal_send,
     "Something fleeting for all devices of a user, or of everybody in a room. `to` without `room` needs a "
     "room that both are members of; with `room` the other must be a member of it or present in it.",
     kSignalResult},
    {"auth.refresh", Where::session, By::users, Right::none, kAuth, auth_refresh,
     "Gives the named session's stream a newer token of the same user; in mode none only says who this is.",
     kAuthResult},
    {"session.info",
     Where::session,
     By::users,
     Right::none,
     {},
     session_info,
     "How the named session stands.",
     kSessionResult},
};

}  // namespace

std::span<const CommandRow> command_table() { return kTable; }
size_t command_index(const CommandRow& row) { return static_cast<size_t>(&row - kTable); }

}  // namespace twinwire
