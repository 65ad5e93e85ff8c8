// rooms.*: create, load, join, leave, invite, remove, update, clear.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/commands.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {

std::string Homes::room_json(const Room& room, bool with_participants) {
  std::string out;
  JsonObject object(out);
  static constexpr std::string_view kKinds[] = {"open", "closed", "direct", "inbox"};
  object.field("id", room.name.text()).text_or_null("name", room.title);
  object.field("kind", kKinds[static_cast<size_t>(room.kind)])
      .field("isGroup", room.kind == RoomKind::closed);
  bool since_joined = room.kind == RoomKind::closed && room.history == HistoryAccess::since_joined;
  object.field("history", since_joined ? "since_joined" : "full");
  object.text_or_null("createdBy", room.created_by)
      .field("createdAt", format_timestamp(room.created_wall_ms));
  object.field("updatedAt", format_timestamp(room.updated_wall_ms));
  if (with_participants) {
    // Any of them: a large room must not be sorted whole for each that comes.
    std::vector<std::string_view> users;
    for (const auto& [user, since] : room.members) {
      if (users.size() == kParticipantsListed) break;
      users.push_back(user.text());
    }
    std::sort(users.begin(), users.end());
    std::string& list = object.begin("participants");
    list += '[';
    for (size_t i = 0; i < users.size(); i++) {
      if (i) list += ',';
      JsonObject entry(list);
      entry.field("userId", users[i]).end();
    }
    list += ']';
  }
  object.end();
  return out;
}

namespace {

// Whether so many more members find room.
Result<void> room_for(const Shard& home, const Room& room, size_t more) {
  uint32_t most = home.config().limits.members_per_room;
  if (room.members.size() + more <= most) return {};
  return fail(Code::limit_exceeded, fmt::format("a room has at most {} members", most));
}

// Claims the member's event and makes the user's home follow. The room must be loaded and not hold the user
// yet.
Result<EventRef> add_member(Shard& home, Room& room, const Name& user, const Name& by,
                            Ring::Priority priority, std::string_view inbox_type) {
  if (auto ok = room_for(home, room, 1); !ok) return ok.error();
  std::string data = "{\"userId\":" + json_string(user.text()) + "}";
  EventDraft draft;
  draft.type = "room.member_added";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = by;
  draft.effect = EventEffect::member_added;
  draft.subject = user;
  auto event = home.homes().publish(room, draft, priority);
  if (!event) return event;
  room.members[user] = (*event)->sequence();
  Membership membership{room.id, room.name, room.kind, (*event)->sequence()};
  Homes::InboxEvent told{
      user, std::string(inbox_type), std::string(room.name.text()),
      "{\"userId\":" + json_string(user.text()) + ",\"room\":" + Homes::room_json(room, true) + "}"};
  home.post(home.home_of(home.inbox_id(user)), [user, membership, told](Shard& shard) {
    shard.homes().membership_changed(user, membership, true, told);
  });
  return event;
}

// Runs `then` once each of `users` is known to have room in their list for this one; who has none is named in
// the refusal, and nobody becomes a member.
void with_room_left(Shard& shard, const std::shared_ptr<Command>& command, RoomId room,
                    const std::vector<Name>& users, const std::function<void(Shard&)>& then) {
  struct Asking {
    size_t due;
    Code code = Code::ok;
    Name user;  // whom `code` is about
  };
  auto asking = std::make_shared<Asking>(Asking{users.size(), Code::ok, {}});
  if (users.empty()) return then(shard);
  for (const Name& user : users) {
    shard.ask<Code>(
        shard.home_of(shard.inbox_id(user)),
        [user, room](Shard& home, Answer<Code> answer) {
          home.homes().may_gain(user, room, std::move(answer));
        },
        [asking, command, user, then](Shard& asker, Code code) {
          if (code != Code::ok && asking->code == Code::ok) {
            asking->code = code;
            asking->user = user;
          }
          if (--asking->due > 0) return;
          if (asking->code == Code::ok) return then(asker);
          std::string who = json_string(asking->user.text());
          if (asking->code != Code::limit_exceeded)
            return refuse(asker, *command, asking->code,
                          "the rooms of " + who + " cannot be read now; try again shortly");
          refuse(asker, *command, asking->code,
                 who + " is a member of " + std::to_string(asker.config().limits.rooms_per_user) +
                     " rooms already, which is as many as a user may be");
        });
  }
}

}  // namespace

// ---- rooms.join ----

namespace {

// Where the stream of the session that asked has gained the room already, and from where on.
struct Gained {
  ShardIndex host{};
  Sequence cut;
};

void join_at_home(Shard& shard, Command command, std::optional<Gained> gained) {
  at_room(shard, std::move(command), [gained](Shard& home, Room& room, Command& asked) {
    const Name& user = asked.who.user;
    std::string fields = "\"room\":";
    bool known = room.is_member(user);
    if (!known) {
      auto event = add_member(home, room, user, user, Ring::Priority::normal, "room.member_added");
      if (!event) {
        if (gained)
          home.post(gained->host, [session = asked.session, id = room.id, cut = gained->cut](Shard& host) {
            host.sessions().gained_in_vain(session, id, cut);
          });
        return home.reply(asked, reply_of(event.error()));
      }
    }
    fields += Homes::room_json(room, true);
    if (gained) fields += ",\"lastEventId\":\"" + home.cursor(gained->cut).text() + "\"";
    if (known && home.homes().answer_when_settled(room, user, asked, fields)) return;
    if (known) return accept(home, asked, fields);
    Homes::answer_when_stored(room, std::move(asked), std::move(fields));
  });
}

}  // namespace

// Durable, for all the user's sessions; the session that asked has the room from the answer's lastEventId on.
void rooms_join(Shard& shard, Command command) {
  auto kept = std::make_shared<Command>(std::move(command));
  with_room_left(shard, kept, shard.room_id(room_of(*kept)), {kept->who.user}, [kept](Shard& here) {
    ShardIndex home = here.home_of(here.room_id(room_of(*kept)));
    auto join = [kept, home](Shard& from, std::optional<Gained> gained) {
      from.post(home, [kept, gained](Shard& there) { join_at_home(there, std::move(*kept), gained); });
    };
    uint32_t session = kept->session.none() ? kNone : here.sessions().find(kept->session);
    if (session == kNone || here.sessions().at(session).user != kept->who.user ||
        here.sessions().at(session).state == SessionState::detached)
      return join(here, std::nullopt);
    here.sessions().follow_by_command(
        session, room_of(*kept), [kept, join](Shard& host, const JoinAnswer& answer) {
          if (answer.code == Code::limit_exceeded)
            return refuse(host, *kept, Code::limit_exceeded, "the stream follows too many rooms already");
          if (answer.code == Code::forbidden)
            return refuse(host, *kept, Code::forbidden, refusal_of(Right::read));
          // Only a stream that gains the room now has a place where it begins: one that had it may just be
          // losing it.
          bool gains = answer.code == Code::ok && !answer.followed;
          join(host, gains ? std::optional(Gained{host.index(), answer.cut}) : std::nullopt);
        });
  });
}

// ---- rooms.leave, rooms.remove ----

namespace {

// A slot of the log: delivery to the user stops exactly there.
void remove_member(Shard& home, Room& room, Command& asked, const Name& user, std::string answer) {
  std::string data = "{\"userId\":" + json_string(user.text()) + "}";
  EventDraft draft;
  draft.type = "room.member_removed";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.user = asked.who.user;
  draft.kind = EventKind::removal;
  draft.effect = EventEffect::member_removed;
  draft.subject = user;
  auto event = home.homes().publish(room, draft);
  if (!event) return home.reply(asked, reply_of(event.error()));
  Homes::answer_when_stored(room, std::move(asked), std::move(answer));
  home.homes().member_gone(room, user);
}

}  // namespace

void rooms_leave(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (home.homes().waits_behind(room, asked)) return;
    const Name user = asked.who.user;
    if (!room.is_member(user)) return accept(home, asked, "\"left\":false");
    remove_member(home, room, asked, user, "\"left\":true");
  });
}

void rooms_remove(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (home.homes().waits_behind(room, asked)) return;
    const Name user(asked.who.user.tenant(), asked.args.text(Field::user));
    if (room.kind == RoomKind::direct)
      return refuse(home, asked, Code::conflict, "a direct room is its two users': nobody can be removed");
    if (!room.is_member(user))
      return refuse(home, asked, Code::not_found, "'user' is no member of this room");
    remove_member(home, room, asked, user, "\"removed\":true");
  });
}

// ---- rooms.invite ----

namespace {

void invite_at_home(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    std::set<std::string_view> fresh;
    for (const std::string& name : asked.args.list())
      if (!room.is_member(Name(asked.who.user.tenant(), name))) fresh.insert(name);
    if (auto ok = room_for(home, room, fresh.size()); !ok) return home.reply(asked, reply_of(ok.error()));
    std::string added = "\"added\":[";
    bool any = false;
    for (const std::string& name : asked.args.list()) {
      Name user(asked.who.user.tenant(), name);
      if (room.is_member(user)) continue;
      // The ring's reserve: an invitation of many is not left half done for want of room.
      auto priority = any ? Ring::Priority::control : Ring::Priority::normal;
      auto event = add_member(home, room, user, asked.who.user, priority, "room.member_added");
      if (!event) return home.reply(asked, reply_of(event.error()));
      if (any) added += ',';
      any = true;
      append_json_string(added, name);
    }
    std::string fields = "\"room\":" + Homes::room_json(room, true) + "," + added + "]";
    if (!any) return accept(home, asked, fields);
    Homes::answer_when_stored(room, std::move(asked), std::move(fields));
  });
}

}  // namespace

void rooms_invite(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (home.homes().waits_behind(room, asked)) return;
    if (room.kind == RoomKind::direct)
      return refuse(home, asked, Code::conflict, "a direct room is its two users': create a group instead");
    if (asked.args.list().empty())
      return refuse(home, asked, Code::invalid_argument, "'users' must name somebody");
    std::vector<Name> users;
    for (const std::string& name : asked.args.list()) {
      Name user(asked.who.user.tenant(), name);
      if (!room.is_member(user)) users.push_back(std::move(user));
    }
    auto kept = std::make_shared<Command>(std::move(asked));
    with_room_left(home, kept, room.id, users,
                   [kept](Shard& there) { invite_at_home(there, std::move(*kept)); });
  });
}

// ---- rooms.update ----

void rooms_update(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (home.homes().waits_behind(room, asked)) return;
    if (!asked.args.has(Field::name) && !asked.args.has(Field::history))
      return refuse(home, asked, Code::invalid_argument, "'name' or 'history' is required");
    if (room.kind == RoomKind::direct)
      return refuse(home, asked, Code::conflict, "a direct room has neither a name nor settings");
    if (asked.args.has(Field::history) && room.kind != RoomKind::closed)
      return refuse(home, asked, Code::conflict, "an open room's history is always full");
    RoomRecord record = room.record();
    if (asked.args.has(Field::name)) record.title = asked.args.text(Field::name);
    if (asked.args.has(Field::history))
      record.history =
          asked.args.text(Field::history) == "full" ? HistoryAccess::full : HistoryAccess::since_joined;
    std::string encoded = record.encode(), former = room.record().encode();
    room.apply(record);
    room.updated_wall_ms = home.wall_ms();
    std::string shown = Homes::room_json(room, false), data = "{\"room\":" + shown + "}";
    EventDraft draft;
    draft.type = "room.updated";
    draft.shown_room = room.name.text();
    draft.data = data;
    draft.user = asked.who.user;
    draft.effect = EventEffect::room_updated;
    draft.room_record = encoded;
    auto event = home.homes().publish(room, draft);
    if (!event) {
      room.apply(*RoomRecord::decode(former));
      return home.reply(asked, reply_of(event.error()));
    }
    room.unsettled.back().record_before = std::move(former);
    Homes::answer_when_stored(room, std::move(asked), "\"room\":" + shown);
  });
}

// ---- rooms.clear ----

void rooms_clear(Shard& shard, Command command) {
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& asked) {
    if (home.homes().waits_behind(room, asked)) return;
    std::string data = "{\"userId\":" + json_string(asked.who.user.text()) + "}";
    EventDraft draft;
    draft.type = "room.cleared";
    draft.shown_room = room.name.text();
    draft.data = data;
    draft.user = asked.who.user;
    draft.effect = EventEffect::room_cleared;
    auto event = home.homes().publish(room, draft);
    if (!event) return home.reply(asked, reply_of(event.error()));
    Homes::answer_when_stored(room, std::move(asked), "");
  });
}

// ---- rooms.create ----

namespace {

struct NewRoom {
  Name name;
  RoomKind kind = RoomKind::closed;
  std::string title;
  std::vector<Name> members;
};

std::string hex_of(std::string_view prefix, XXH128_hash_t hash) {
  return fmt::format("{}{:016x}{:016x}", prefix, hash.high64, hash.low64);
}

// A direct room's id comes from the sorted pair, so both sides find the same one; a group's from its
// clientId, so a retry does too, or from chance.
std::string room_name_for(Shard& shard, const Command& command, RoomKind kind,
                          const std::vector<std::string>& others) {
  std::string key = std::string(command.who.user.tenant()) + '\0';
  if (kind == RoomKind::direct) {
    std::string a(command.who.backend ? others.back() : command.who.user.text()), b = others.front();
    if (b < a) std::swap(a, b);
    key += a + '\0' + b;
  } else if (command.args.has(Field::client_id)) {
    key += std::string(command.who.user.text()) + '\0' + std::string(command.args.text(Field::client_id));
  } else {
    uint64_t random[2] = {shard.random().next(), shard.random().next()};
    key.assign(reinterpret_cast<const char*>(random), sizeof random);
  }
  uint64_t seed = shard.engine().boot().room_key;
  return hex_of(kind == RoomKind::direct ? "direct-" : "group-",
                XXH3_128bits_withSeed(key.data(), key.size(), seed));
}

void create_at_home(Shard& home, Room& room, Command& asked, const NewRoom& wanted) {
  if (wanted.kind == RoomKind::open) {
    if (auto ok = home.homes().may(asked.who, room, Right::write); !ok)
      return home.reply(asked, reply_of(ok.error()));
  }
  // What a backend may in a room that is to be: closed ones have nobody's rights yet.
  bool backend = asked.who.backend && wanted.kind != RoomKind::open;
  if (backend && asked.who.grants && !asked.who.grants->of(room.name.text()).has(Right::manage))
    return refuse(home, asked, Code::forbidden, refusal_of(Right::manage));
  bool existing = room.existed && (wanted.kind != RoomKind::open || !room.created_by.empty());
  // Who made a group and is in it no longer is told nothing of it by a retry; a backend is in none.
  bool left = !backend && room.kind == RoomKind::closed && !room.is_member(asked.who.user);
  if (existing && left) return refuse(home, asked, Code::forbidden, refusal_of(Right::read));
  if (existing && wanted.kind != RoomKind::direct) {
    std::string fields = "\"room\":" + Homes::room_json(room, true) + ",\"existing\":true";
    if (home.homes().answer_when_settled(room, asked.who.user, asked, fields)) return;
    return accept(home, asked, fields);
  }
  if (!existing) {
    if (auto ok = room_for(home, room, wanted.members.size()); !ok)
      return home.reply(asked, reply_of(ok.error()));
    room.kind = wanted.kind;
    room.title = wanted.title;
    room.created_by = asked.who.user.text();
    room.created_wall_ms = home.wall_ms();
    std::string encoded = room.record().encode(), data = "{\"room\":" + Homes::room_json(room, false) + "}";
    EventDraft draft;
    draft.type = "room.created";
    draft.shown_room = room.name.text();
    draft.data = data;
    draft.user = asked.who.user;
    draft.effect = EventEffect::room_created;
    draft.room_record = encoded;
    if (auto event = home.homes().publish(room, draft); !event) {
      room.apply(RoomRecord());
      return home.reply(asked, reply_of(event.error()));
    }
  }
  bool added = !existing;
  for (const Name& member : wanted.members) {
    if (room.is_member(member)) continue;
    auto event = add_member(home, room, member, asked.who.user, Ring::Priority::control, "room.created");
    if (!event) return home.reply(asked, reply_of(event.error()));
    added = true;
  }
  std::string fields = "\"room\":" + Homes::room_json(room, true);
  if (existing) fields += ",\"existing\":true";
  if (!added && home.homes().answer_when_settled(room, asked.who.user, asked, fields)) return;
  if (!added) return accept(home, asked, fields);
  Homes::answer_when_stored(room, std::move(asked), std::move(fields));
}

}  // namespace

void rooms_create(Shard& shard, Command command) {
  const Args& args = command.args;
  NewRoom wanted;
  std::string_view tenant = command.who.user.tenant();
  std::vector<std::string> others = args.list();
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  std::erase(others, std::string(command.who.user.text()));
  wanted.title = args.text(Field::name);
  std::string name;
  if (args.flag(Field::open)) {
    wanted.kind = RoomKind::open;
    name = wanted.title;
    if (auto ok = check_name("name", name, shard.config().limits.room_name_bytes); !ok)
      return shard.reply(command, reply_of(ok.error()));
    if (is_reserved_room(name))
      return refuse(shard, command, Code::invalid_argument, "'name' must not begin with direct- or group-");
  } else {
    if (others.empty())
      return refuse(shard, command, Code::invalid_argument,
                    command.who.backend ? "'participantIds' must name somebody"
                                        : "'participantIds' must name somebody besides yourself");
    bool pair = others.size() == (command.who.backend ? 2u : 1u);
    wanted.kind = pair && !args.flag(Field::is_group) ? RoomKind::direct : RoomKind::closed;
    name = room_name_for(shard, command, wanted.kind, others);
  }
  wanted.name = Name(tenant, name);
  if (!command.who.backend) wanted.members.push_back(command.who.user);
  for (const std::string& other : others) wanted.members.emplace_back(tenant, other);
  auto kept = std::make_shared<Command>(std::move(command));
  RoomId id = shard.room_id(wanted.name);
  with_room_left(shard, kept, id, wanted.members, [kept, wanted, id](Shard& here) {
    here.post(here.home_of(id), [kept, wanted, id](Shard& home) {
      home.homes().with_room(id, wanted.name, kept, [&home, kept, wanted](Room& room) {
        create_at_home(home, room, *kept, wanted);
      });
    });
  });
}

// ---- rooms.load ----

namespace {

struct Summary {
  uint64_t updated_wall_ms = 0;
  std::string json;     // empty: the room is not to be shown
  bool failed = false;  // the store could not be read
};

// One room on its way into the list: its newest message is looked for page by page.
struct Summarising {
  Name room;
  Sequence floor, upto;
  Summary summary;
  uint32_t pages = 0;
  Answer<Summary> answer;
};

void find_last_message(Shard& home, std::shared_ptr<Summarising> asked);

void last_page_read(Shard& home, std::shared_ptr<Summarising> asked, const ReadAnswer& page) {
  Summary& summary = asked->summary;
  summary.failed = page.failed;
  const Event* message = nullptr;
  for (const EventRef& event : page.events) {
    summary.updated_wall_ms = std::max(summary.updated_wall_ms, event->wall_ms());
    if (event->type() == "message.created") message = event.get();
  }
  if (!message && page.more && !page.events.empty() && ++asked->pages < kLastMessagePagesMax) {
    asked->upto = page.events.front()->sequence() - 1;
    return find_last_message(home, std::move(asked));
  }
  summary.json.pop_back();
  summary.json += ",\"lastMessage\":";
  summary.json += message ? message_in(newest_state(*message, page.changes)) : "null";
  summary.json += "}";
  asked->answer(home, std::move(summary));
}

void find_last_message(Shard& home, std::shared_ptr<Summarising> asked) {
  ReadRequest last{home.room_id(asked->room), asked->floor, asked->upto, 16, 1 << 20, true, true};
  home.ask<std::shared_ptr<const ReadAnswer>>(
      home.index(),
      [name = asked->room, last](Shard& there, Answer<std::shared_ptr<const ReadAnswer>> read) {
        there.homes().read(name, last, std::move(read));
      },
      [asked](Shard& there, const std::shared_ptr<const ReadAnswer>& page) {
        last_page_read(there, asked, *page);
      });
}

void summarise(Shard& home, const Name& name, const Identity& who, Answer<Summary> answer) {
  home.homes().with_room(home.room_id(name), name, [&home, name, who, answer](Room& room) {
    if (!home.homes().may(who, room, Right::read)) return answer(home, Summary{});
    auto asked = std::make_shared<Summarising>();
    asked->room = name;
    Sequence from = room.readable_from(who.user);
    asked->floor = from.value ? from - 1 : from;
    asked->upto = home.barrier();
    asked->summary.updated_wall_ms = room.updated_wall_ms;
    asked->summary.json = Homes::room_json(room, true);
    asked->summary.json.pop_back();
    asked->summary.json += ",\"receipt\":" + home.homes().receipt_json(room, who.user) + "}";
    asked->answer = answer;
    find_last_message(home, std::move(asked));
  });
}

struct RoomList {
  Command command;
  size_t due = 0;
  bool failed = false;
  std::vector<Summary> rooms;
};

void answer_list(Shard& shard, RoomList& list) {
  if (list.failed)
    return refuse(shard, list.command, Code::storage_unavailable,
                  "your rooms cannot be read now; try again shortly");
  std::stable_sort(list.rooms.begin(), list.rooms.end(),
                   [](const Summary& a, const Summary& b) { return a.updated_wall_ms > b.updated_wall_ms; });
  std::string fields = "\"rooms\":[";
  for (const Summary& room : list.rooms) {
    if (room.json.empty()) continue;
    if (fields.back() != '[') fields += ',';
    fields += room.json;
  }
  accept(shard, list.command, fields + "]");
}

}  // namespace

void rooms_load(Shard& shard, Command command) {
  Name user = command.who.user;
  auto list = std::make_shared<RoomList>();
  list->command = std::move(command);
  shard.homes().with_user(user, [&shard, user, list](UserHome& home) {
    if (home.load_failed())
      return refuse(shard, list->command, Code::storage_unavailable,
                    "your rooms cannot be read now; try again shortly");
    if (!home.known || home.known->memberships.empty()) return answer_list(shard, *list);
    list->due = home.known->memberships.size();
    for (const Membership& membership : home.known->memberships) {
      shard.ask<Summary>(
          shard.home_of(membership.room),
          [name = membership.room_name, who = list->command.who](Shard& there, Answer<Summary> answer) {
            summarise(there, name, who, std::move(answer));
          },
          [list](Shard& there, Summary summary) {
            list->failed |= summary.failed;
            if (!summary.json.empty()) list->rooms.push_back(std::move(summary));
            if (--list->due == 0) answer_list(there, *list);
          });
    }
  });
}

}  // namespace twinwire
