// messages.send, messages.load, events.publish.
#include <charconv>
#include <ctime>

#include "core/commands.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {

// ---- shared ----

void refuse(Shard& shard, const Command& command, Code code, std::string sentence) {
  shard.reply(command, reply_of(fail(code, std::move(sentence))));
}

void accept(Shard& shard, const Command& command, std::string_view fields) {
  Reply reply;
  reply.body = "{\"success\":true";
  if (!fields.empty()) reply.body += ',';
  reply.body += fields;
  reply.body += '}';
  shard.reply(command, std::move(reply));
}

std::string refusal_of(Right right) {
  return "you have not the right '" + std::string(word_of(right)) + "' in this room";
}

Name room_of(const Command& command) {
  return Name(command.who.user.tenant(), command.args.text(Field::room));
}

namespace {

void use_room(Shard& shard, Room& room, Command& command, Right right,
              const std::function<void(Shard&, Room&, Command&)>& use) {
  if (auto ok = shard.homes().may(command.who, room, right); !ok)
    return shard.reply(command, reply_of(ok.error()));
  use(shard, room, command);
}

}  // namespace

void at_room(Shard& shard, Command command, std::function<void(Shard&, Room&, Command&)> use) {
  Right right = command.row->right;
  // Mostly the room is here: nothing is kept for later then, nor is its name made anew.
  RoomId id = shard.room_id(command.who.user.tenant(), command.args.text(Field::room));
  if (Room* room = shard.homes().loaded_room(id)) return use_room(shard, *room, command, right, use);
  Name name = room_of(command);
  at_room(shard, std::move(command), name, right, std::move(use));
}

void at_room(Shard& shard, Command command, const Name& name, Right right,
             std::function<void(Shard&, Room&, Command&)> use) {
  RoomId id = shard.room_id(name);
  if (Room* room = shard.homes().loaded_room(id)) return use_room(shard, *room, command, right, use);
  auto kept = std::make_shared<Command>(std::move(command));
  shard.homes().with_room(id, name, [&shard, kept, right, use = std::move(use)](Room& room) {
    use_room(shard, room, *kept, right, use);
  });
}

Exclude exclude_of(const Command& command) {
  std::string_view word = command.args.text(Field::exclude);
  if (word == "user") return Exclude::user;
  return word == "connection" && !command.session.none() ? Exclude::connection : Exclude::none;
}

namespace {

// Names of events that only the engine gives.
bool is_own_type(std::string_view type) {
  for (std::string_view own : {"connected", "bye", "reset", "typing", "ping", "pong", "reply"})
    if (type == own) return true;
  for (std::string_view prefix : {"auth.", "message.", "room.", "presence.", "receipt.", "media.", "signal",
                                  "call.", "bot.", "ai.", "stream."})
    if (type.starts_with(prefix)) return true;
  return false;
}

}  // namespace

// ---- messages.send ----

std::string message_data(Shard& shard, const Command& command, uint32_t& place) {
  const Args& args = command.args;
  constexpr size_t kAround = 448;  // the names of all members, two timestamps, the id
  std::string data;
  data.reserve(kAround + args.text(Field::content).size() + args.text(Field::encrypted_content).size());
  data += "{\"message\":";
  JsonObject message(data);
  auto quoted = [&data](auto&& append) {
    data += '"';
    append();
    data += '"';
  };
  message.begin("id");
  place = static_cast<uint32_t>(data.size() + 1 + 13);
  quoted([&] { shard.cursor({0}).append_to(data); });
  message.field("room", args.text(Field::room)).field("userId", command.who.user.text());
  if (args.has(Field::type)) message.field("type", args.text(Field::type));
  if (args.has(Field::content))
    message.field("content", args.text(Field::content));
  else
    message.raw("content", "null");
  message.text_or_null("encryptedContent", args.text(Field::encrypted_content));
  message.text_or_null("fileUrl", args.text(Field::file_url));
  message.text_or_null("fileName", args.text(Field::file_name));
  message.raw("fileSize", args.has(Field::file_size) ? args.text(Field::file_size) : "null");
  message.text_or_null("replyTo", args.text(Field::reply_to));
  message.text_or_null("clientId", args.text(Field::client_id));
  const uint64_t created_ms = shard.wall_ms();
  for (std::string_view when : {"createdAt", "updatedAt"}) {
    message.begin(when);
    quoted([&] { append_timestamp(data, created_ms); });
  }
  message.end();
  data += '}';
  return data;
}

const Event& newest_state(const Event& created, const std::vector<MessageChange>& changes) {
  const Event* newest = &created;
  for (const MessageChange& change : changes)
    if (change.message == created.sequence() && change.event->sequence() > newest->sequence())
      newest = change.event.get();
  return *newest;
}

std::string_view message_in(const Event& event) {
  constexpr std::string_view kBefore = "{\"message\":";
  std::string_view data = event.data();
  return data.substr(kBefore.size(), data.size() - kBefore.size() - 1);
}

void messages_send(Shard& shard, Command command) {
  const Args& args = command.args;
  if (!args.has(Field::content) && !args.has(Field::encrypted_content) && !args.has(Field::file_url))
    return refuse(shard, command, Code::invalid_argument,
                  "'content', 'encryptedContent' or 'fileUrl' is required");
  at_room(shard, std::move(command), [](Shard& home, Room& room, Command& sent) {
    EventDraft draft;
    std::string data = message_data(home, sent, draft.sequence_place);
    draft.type = "message.created";
    draft.shown_room = room.name.text();
    draft.data = data;
    draft.user = sent.who.user;
    draft.exclude = exclude_of(sent);
    draft.exclude_session = sent.session;
    home.homes().set_typing(room, sent.who.user, false);  // who has sent no longer types
    home.homes().publish_command(room, std::move(sent), std::move(draft), Homes::AnswerShape::data);
  });
}

// ---- events.publish ----

void events_publish(Shard& shard, Command command) {
  const Args& args = command.args;
  if (args.has(Field::room) == args.has(Field::user))
    return refuse(shard, command, Code::invalid_argument, "give either 'room' or 'user'");
  if (is_own_type(args.text(Field::type)))
    return refuse(shard, command, Code::invalid_argument, "'type' is one of the engine's own event types");
  // Into a user's own flow only backends publish, but for what a user tells their own devices.
  const Identity& who = command.who;
  bool others = args.has(Field::user) && args.text(Field::user) != who.user.text();
  if (others && !who.backend && shard.config().auth.mode != AuthMode::none)
    return refuse(shard, command, Code::forbidden, "only backends publish to another user");
  Name name = room_of(command);
  if (args.has(Field::user)) name = inbox_name_of(Name(command.who.user.tenant(), args.text(Field::user)));
  auto kept = std::make_shared<Command>(std::move(command));
  shard.post(shard.home_of(shard.room_id(name)), [name, kept](Shard& there) {
    Right right = is_inbox(name) ? Right::none : Right::write;
    at_room(there, std::move(*kept), name, right, [](Shard& home, Room& room, Command& asked) {
      EventDraft draft;
      // These views go on where the command goes on to (Args).
      draft.type = asked.args.text(Field::type);
      draft.data = asked.args.has(Field::data) ? asked.args.text(Field::data) : "{}";
      if (room.kind != RoomKind::inbox) draft.shown_room = room.name.text();
      draft.user = asked.who.user;
      draft.event_class = asked.args.flag(Field::ephemeral) ? EventClass::ephemeral : EventClass::kept;
      draft.exclude = exclude_of(asked);
      draft.exclude_session = asked.session;
      home.homes().publish_command(room, std::move(asked), std::move(draft), Homes::AnswerShape::id);
    });
  });
}

// ---- messages.load ----

namespace {

// A mark in history: an eventId, or a time (RFC 3339, UTC).
struct Mark {
  std::optional<Sequence> sequence;
  uint64_t wall_ms = 0;
};

std::optional<Mark> parse_mark(std::string_view text, Epoch epoch) {
  if (auto cursor = Cursor::parse(text))
    return cursor->epoch == epoch ? std::optional(Mark{cursor->sequence, 0}) : std::nullopt;
  std::tm utc{};
  std::string owned(text);
  const char* rest = strptime(owned.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (!rest) return std::nullopt;
  uint64_t ms = 0;
  if (*rest == '.') {
    uint64_t scale = 100;
    for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
      ms += scale * static_cast<uint64_t>(*rest - '0');
  }
  if (std::string_view(rest) != "Z" && std::string_view(rest) != "+00:00") return std::nullopt;
  auto seconds = static_cast<uint64_t>(std::max<time_t>(0, timegm(&utc)));  // nothing is older than 1970
  return Mark{std::nullopt, seconds * 1000 + ms};
}

// One messages.load under way: pages of the room's log, newest first (or oldest first with `after`), until
// enough.
struct Load {
  Command command;
  std::string receipts;
  Name room;
  Sequence floor;  // nothing at or below
  Sequence upto;   // nothing above
  std::optional<Mark> before, after;
  uint32_t limit = 50;
  bool forward = false;
  uint32_t pages = 0;
  std::string last_event_id;
  std::vector<EventRef> messages;  // in the order of reading
  std::vector<MessageChange> changes;
};

void load_page(Shard& shard, std::shared_ptr<Load> load);

void answer_load(Shard& shard, Load& load, bool more) {
  if (!load.forward) std::reverse(load.messages.begin(), load.messages.end());
  std::string fields = "\"messages\":[";
  bool first = true;
  for (const EventRef& event : load.messages) {
    if (!first) fields += ',';
    first = false;
    fields += message_in(newest_state(*event, load.changes));
  }
  fields += more ? "],\"hasMore\":true" : "],\"hasMore\":false";
  if (load.last_event_id.empty()) {
    Sequence last = std::min(load.upto, shard.durability().synced());
    if (!load.messages.empty()) last = std::max(last, load.messages.back()->sequence());
    load.last_event_id = shard.cursor(last).text();
  }
  fields += ",\"receipts\":" + load.receipts + ",\"lastEventId\":\"" + load.last_event_id + "\"";
  accept(shard, load.command, fields);
}

// Takes the messages of one page; true when the answer is complete (enough, or a mark was passed).
bool take_page(Load& load, const ReadAnswer& page) {
  auto take = [&](const EventRef& event) {
    if (event->type() != "message.created") return false;
    if (load.before && !load.before->sequence && event->wall_ms() >= load.before->wall_ms)
      return load.forward;
    if (load.after && !load.after->sequence && event->wall_ms() <= load.after->wall_ms) return !load.forward;
    load.messages.push_back(event);
    return load.messages.size() > load.limit;
  };
  if (load.forward) {
    for (const EventRef& event : page.events)
      if (take(event)) return true;
  } else {
    for (size_t i = page.events.size(); i-- > 0;)
      if (take(page.events[i])) return true;
  }
  return false;
}

void page_read(Shard& shard, std::shared_ptr<Load> load, const ReadAnswer& page) {
  if (page.failed)
    return refuse(shard, load->command, Code::storage_unavailable, "the history cannot be read now");
  size_t before = load->messages.size();
  bool enough = take_page(*load, page);
  // Of what this page gave to the answer only: a load may look through many pages.
  for (const MessageChange& change : page.changes) {
    bool taken = std::any_of(load->messages.begin() + static_cast<ptrdiff_t>(before), load->messages.end(),
                             [&](const EventRef& event) { return event->sequence() == change.message; });
    if (taken) load->changes.push_back(change);
  }
  if (load->messages.size() > load->limit) {
    load->messages.pop_back();
    return answer_load(shard, *load, true);
  }
  if (enough || !page.more || page.events.empty() || ++load->pages == kLoadPagesMax)
    return answer_load(shard, *load, !enough && page.more && !page.events.empty());
  if (load->forward)
    load->floor = page.events.back()->sequence();
  else
    load->upto = page.events.front()->sequence() - 1;
  load_page(shard, std::move(load));
}

void load_page(Shard& shard, std::shared_ptr<Load> load) {
  ReadRequest request{shard.room_id(load->room), load->floor, load->upto, 256, 4 << 20, !load->forward, true};
  shard.ask<std::shared_ptr<const ReadAnswer>>(
      shard.index(),
      [name = load->room, request](Shard& home, Answer<std::shared_ptr<const ReadAnswer>> answer) {
        home.homes().read(name, request, std::move(answer));
      },
      [load](Shard& home, std::shared_ptr<const ReadAnswer> page) { page_read(home, load, *page); });
}

// At the room's home. `cut` bounds the answer where the stream has the room from there on.
void load_at_home(Shard& shard, Command command, std::optional<Sequence> cut) {
  at_room(shard, std::move(command), [cut](Shard& home, Room& room, Command& asked) {
    auto load = std::make_shared<Load>();
    const Args& args = asked.args;
    load->room = room.name;
    load->limit = static_cast<uint32_t>(std::max<uint64_t>(1, args.number(Field::limit, 50)));
    for (auto [field, mark] :
         {std::pair{Field::before, &load->before}, std::pair{Field::after, &load->after}}) {
      if (!args.has(field)) continue;
      *mark = parse_mark(args.text(field), home.epoch());
      if (!*mark)
        return refuse(home, asked, Code::invalid_argument,
                      "'" + std::string(wire_name(field)) +
                          "' must be an eventId of this server or a time such as 2026-11-20T12:00:00Z");
    }
    load->forward = load->after && !load->before;
    load->upto = cut ? *cut : home.barrier();
    Sequence from = room.readable_from(asked.who.user);
    load->floor = from.value ? from - 1 : from;
    if (load->before && load->before->sequence)
      load->upto = std::min(load->upto,
                            *load->before->sequence - std::min<uint64_t>(1, load->before->sequence->value));
    if (load->after && load->after->sequence) load->floor = std::max(load->floor, *load->after->sequence);
    if (cut) load->last_event_id = home.cursor(*cut).text();
    load->receipts = home.homes().receipts_json(room);
    load->command = std::move(asked);
    load_page(home, std::move(load));
  });
}

}  // namespace

// On the session's host: with `join` the stream gains the room first, and the answer ends where the stream
// begins.
void messages_load(Shard& shard, Command command) {
  auto kept = std::make_shared<Command>(std::move(command));
  ShardIndex home = shard.home_of(shard.room_id(room_of(*kept)));
  if (!kept->args.flag(Field::join)) {
    return shard.post(home, [kept](Shard& there) { load_at_home(there, std::move(*kept), std::nullopt); });
  }
  uint32_t session = kept->session.none() ? kNone : shard.sessions().find(kept->session);
  if (session == kNone || shard.sessions().at(session).user != kept->who.user)
    return refuse(shard, *kept, Code::invalid_argument,
                  "'join' needs the session whose stream gains the room");
  shard.sessions().follow_by_command(
      session, room_of(*kept), [kept, home](Shard& host, const JoinAnswer& answer) {
        if (answer.code != Code::ok)
          return refuse(host, *kept, answer.code,
                        answer.code == Code::forbidden ? refusal_of(Right::read)
                                                       : "the stream cannot gain this room now");
        host.post(home,
                  [kept, cut = answer.cut](Shard& there) { load_at_home(there, std::move(*kept), cut); });
      });
}

}  // namespace twinwire
