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
constexpr FieldSpec kPresenceSet[] = {kRoom, {Field::state, Shape::object, true}};

constexpr CommandRow kTable[] = {
    {"messages.send", Where::room, By::anyone, Right::write, kSend, messages_send},
    {"messages.load", Where::session, By::anyone, Right::read, kLoad, messages_load},
    {"events.publish", Where::here, By::anyone, Right::none, kPublish, events_publish},
    {"rooms.create", Where::here, By::users, Right::none, kCreate, rooms_create},
    {"rooms.load", Where::user, By::users, Right::none, {}, rooms_load},
    {"rooms.join", Where::session, By::users, Right::read, kRoomOnly, rooms_join},
    {"rooms.leave", Where::room, By::users, Right::none, kRoomOnly, rooms_leave},
    {"rooms.clear", Where::room, By::anyone, Right::manage, kRoomOnly, rooms_clear},
    {"typing.start", Where::room, By::users, Right::write, kRoomOnly, typing_start},
    {"typing.stop", Where::room, By::users, Right::write, kRoomOnly, typing_stop},
    {"presence.list", Where::room, By::anyone, Right::presence, kRoomOnly, presence_list},
    {"presence.set", Where::room, By::users, Right::presence, kPresenceSet, presence_set},
    {"auth.refresh", Where::session, By::users, Right::none, kAuth, auth_refresh},
    {"session.info", Where::session, By::users, Right::none, {}, session_info},
};

}  // namespace

std::span<const CommandRow> command_table() { return kTable; }
size_t command_index(const CommandRow& row) { return static_cast<size_t>(&row - kTable); }

}  // namespace twinwire
