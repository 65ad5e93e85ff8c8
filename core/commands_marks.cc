// receipts.*, media.set, signal.send: what a user says of themselves in a room, or to somebody there.
#include <algorithm>

#include "core/commands.h"
#include "core/json.h"
#include "core/shard.h"

namespace twinwire {
namespace {

void receipt(Shard& shard, Command command, bool read) {
  at_room(shard, std::move(command), [read](Shard& home, Room& room, Command& asked) {
    auto upto = Cursor::parse(asked.args.text(Field::up_to));
    if (!upto || upto->epoch != home.epoch() || upto->sequence > home.ring().claimed())
      return refuse(home, asked, Code::not_found, "'upTo' is no event of this server");
    auto moved = home.homes().set_receipt(room, asked.who.user, read, upto->sequence, asked.session);
    if (!moved) return home.reply(asked, reply_of(moved.error()));
    std::string fields = "\"receipt\":" + home.homes().receipt_json(room, asked.who.user);
    accept(home, asked, fields);
  });
}

uint8_t with_bit(const Args& args, Field field, uint8_t bit, uint8_t bits) {
  if (!args.has(field)) return bits;
  return static_cast<uint8_t>(args.flag(field) ? bits | bit : bits & ~bit);
}

}  // namespace

void receipts_delivered(Shard& shard, Command command) { receipt(shard, std::move(command), false); }
void receipts_read(Shard& shard, Command command) { receipt(shard, std::move(command), true); }

// ---- media.set ----

void media_set(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    const Name& user = asked.who.user;
    // It ends with the user's presence, so there must be one to end.
    if (home.homes().presence_on(room) && !room.present.contains(user))
      return refuse(home, asked, Code::conflict,
                    "you are not present in this room: open a stream that follows it first");
    uint8_t on = room.marks && room.marks->media.contains(user) ? room.marks->media.at(user) : 0;
    on = with_bit(asked.args, Field::camera, Marks::kCamera, on);
    on = with_bit(asked.args, Field::mic, Marks::kMic, on);
    on = with_bit(asked.args, Field::screen, Marks::kScreen, on);
    if (auto set = home.homes().set_media(room, user, on, asked.session); !set)
      return home.reply(asked, reply_of(set.error()));
    accept(home, asked);
  });
}

// ---- signal.send ----

namespace {

std::string signal_data(const Command& command) {
  std::string data;
  JsonObject object(data);
  object.field("from", command.who.user.text());
  if (command.args.has(Field::to)) object.field("to", command.args.text(Field::to));
  object.raw("data", command.args.text(Field::data)).end();
  return data;
}

// On any shard: to the user's home, and to all their devices from there. The answer says whether there are
// any.
void signal_user(Shard& shard, std::shared_ptr<Command> asked, const Name& to) {
  shard.post(shard.home_of(shard.inbox_id(to)), [asked, to](Shard& there) {
    there.homes().with_user(to, [&there, asked, to](UserHome& home) {
      bool here = home.mask != 0;
      Homes::InboxEvent event{to, "signal", std::string(asked->args.text(Field::room)), signal_data(*asked),
                              false};
      event.by = asked->who.user;
      event.exclude_session = asked->session;
      there.homes().publish_inbox(std::move(event));
      accept(there, *asked, here ? "\"delivered\":true" : "\"delivered\":false");
    });
  });
}

void signal_room(Shard& home, Room& room, Command& asked) {
  std::string data = signal_data(asked);
  EventDraft draft;
  draft.type = "signal";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = asked.who.user;
  draft.event_class = EventClass::ephemeral;
  draft.exclude = asked.session.none() ? Exclude::none : Exclude::connection;
  draft.exclude_session = asked.session;
  auto event = home.homes().publish(room, draft);
  if (!event) return home.reply(asked, reply_of(event.error()));
  accept(home, asked, room.mask ? "\"delivered\":true" : "\"delivered\":false");
}

// Without a room: who shares one as a member. The sender's memberships travel to the other's home.
void signal_sharer(Shard& shard, std::shared_ptr<Command> asked, const Name& to) {
  shard.homes().with_user(asked->who.user, [&shard, asked, to](UserHome& sender) {
    if (sender.load_failed())
      return refuse(shard, *asked, Code::storage_unavailable, "memberships cannot be read now");
    std::vector<RoomId> rooms;
    if (sender.known)
      for (const Membership& membership : sender.known->memberships) rooms.push_back(membership.room);
    bool self = asked->who.user == to || asked->who.backend;
    shard.post(shard.home_of(shard.inbox_id(to)), [asked, to, self, rooms = std::move(rooms)](Shard& there) {
      there.homes().with_user(to, [&there, asked, to, self, rooms](UserHome& home) {
        if (home.load_failed())
          return refuse(there, *asked, Code::storage_unavailable, "memberships cannot be read now");
        bool shares = self;
        if (home.known)
          for (const Membership& membership : home.known->memberships)
            shares = shares || std::find(rooms.begin(), rooms.end(), membership.room) != rooms.end();
        if (!shares)
          return refuse(there, *asked, Code::forbidden,
                        "you share no room with 'to'; name one you are both in");
        signal_user(there, asked, to);
      });
    });
  });
}

}  // namespace

void signal_send(Shard& shard, Command command) {
  const Args& args = command.args;
  if (!args.has(Field::room) && !args.has(Field::to))
    return refuse(shard, command, Code::invalid_argument, "'to' or 'room' is required");
  auto asked = std::make_shared<Command>(std::move(command));
  if (!asked->args.has(Field::room)) {
    Name to(asked->who.user.tenant(), asked->args.text(Field::to));
    return shard.post(shard.home_of(shard.inbox_id(asked->who.user)),
                      [asked, to](Shard& there) { signal_sharer(there, asked, to); });
  }
  shard.post(shard.home_of(shard.room_id(room_of(*asked))), [asked](Shard& there) {
    at_room(there, std::move(*asked), [](Shard& home, Room& room, Command& sent) {
      if (!sent.args.has(Field::to)) return signal_room(home, room, sent);
      Name to(sent.who.user.tenant(), sent.args.text(Field::to));
      if (!room.is_member(to) && !room.present.contains(to))
        return refuse(home, sent, Code::not_found, "'to' is not in this room");
      signal_user(home, std::make_shared<Command>(std::move(sent)), to);
    });
  });
}

}  // namespace twinwire
