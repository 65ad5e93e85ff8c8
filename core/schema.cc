#include "core/schema.h"

#include <array>

#include "core/json.h"
#include "core/status.h"

namespace twinwire {
namespace {

// ---- objects ----

constexpr DocMember kMessage[] = {
    {"id", "eventId", "The eventId of its `message.created`, for good."},
    {"room", "text", "Where it was said."},
    {"userId", "text", "Who said it."},
    {"type", "text?", "As it was sent; absent where it was not."},
    {"content", "text?", "What it says."},
    {"encryptedContent", "text?", "What it says, encrypted."},
    {"fileUrl", "text?", "Where its file is."},
    {"fileName", "text?", "What its file is called."},
    {"fileSize", "integer?", "How large its file is."},
    {"replyTo", "text?", "The message it answers."},
    {"clientId", "text?", "What its sender called it."},
    {"createdAt", "time", "When it was sent."},
    {"updatedAt", "time", "When it last changed."},
    {"deletedAt", "time?", "Only in a tombstone: when it was deleted. All it said is null then."},
};
constexpr DocMember kParticipant[] = {{"userId", "text", "A member."}};
constexpr DocMember kRoom[] = {
    {"id", "text", "What commands call it."},
    {"name", "text?", "What people call it."},
    {"kind", "text", "`open`, `closed` or `direct`."},
    {"isGroup", "boolean", "Whether it is a closed room."},
    {"history", "text", "What new members may read: `full` or `since_joined`."},
    {"createdBy", "text?", "Who made it."},
    {"createdAt", "time", "When it was made."},
    {"updatedAt", "time", "When something last happened in it."},
    {"participants", "[Participant]?",
     "Its members, at most 256; left out in `room.created` and `room.updated` to "
     "the room."},
};
constexpr DocMember kRoomOfUser[] = {
    {"id", "text", "And all else that a Room has."},
    {"receipt", "Marks", "The user's own marks."},
    {"lastMessage", "Message?", "The newest message in its newest state."},
};
constexpr DocMember kMarks[] = {
    {"delivered", "eventId?", "Received up to here; who has read has received."},
    {"read", "eventId?", "Read up to here."},
};
constexpr DocMember kReceipt[] = {
    {"userId", "text", "Whose marks these are."},
    {"delivered", "eventId?", "Received up to here; who has read has received."},
    {"read", "eventId?", "Read up to here."},
};
constexpr DocMember kPresentUser[] = {
    {"userId", "text", "Who is present."},
    {"state", "any?", "What they set by `presence.set`."},
};
constexpr DocMember kMedia[] = {
    {"userId", "text", "Whose devices these are."},
    {"camera", "boolean", "Whether the camera is on."},
    {"mic", "boolean", "Whether the microphone is on."},
    {"screen", "boolean", "Whether the screen is shared."},
};

constexpr ObjectSpec kObjects[] = {
    {"Message", "A message in its newest state.", kMessage},
    {"Room", "A room.", kRoom},
    {"RoomOfUser", "A room as one member sees it.", kRoomOfUser},
    {"Participant", "A member of a room.", kParticipant},
    {"Marks", "Up to where one user has received and read a room.", kMarks},
    {"Receipt", "Up to where a user has received and read a room.", kReceipt},
    {"PresentUser", "A user who is present.", kPresentUser},
    {"Media", "What a user has switched on.", kMedia},
};

// ---- events ----

constexpr DocMember kConnected[] = {
    {"sessionId", "text", "The session, for continuing it and for commands by POST."},
    {"userId", "text", "Who this is."},
    {"lastEventId", "eventId", "The position that the stream continues from."},
    {"resumed", "boolean", "Whether that is the client's own."},
    {"heartbeat", "integer", "Seconds between signs of life."},
    {"rooms", "[text]", "What the stream follows."},
    {"roomsLeftOut", "integer?", "Memberships that it does not, for want of a place."},
};
constexpr DocMember kBye[] = {
    {"code", "text", "An error's code, `replaced` or `draining`."},
    {"reason", "text", "A sentence."},
    {"reconnect", "boolean", "Whether to come back."},
    {"afterMs", "integer", "When."},
};
constexpr DocMember kReset[] = {
    {"rooms", "[text]", "Which rooms it concerns."},
    {"reason", "text", "`trimmed`, `unknown_cursor`, `forbidden` or `rolled_back`."},
    {"lastEventId", "eventId", "The stream goes on from here."},
};
constexpr DocMember kAuthSuccess[] = {{"success", "boolean", "True."},
                                      {"userId", "text", "Who this is."},
                                      {"expiresAt", "time?", "Until when."}};
constexpr DocMember kAuthError[] = {{"success", "boolean", "False."},
                                    {"error", "text", "A sentence."},
                                    {"code", "text", "The error's code."},
                                    {"retryable", "boolean", "False."}};
constexpr DocMember kMessageData[] = {{"message", "Message", "The message as it is from here on."}};
constexpr DocMember kUnsaved[] = {{"eventId", "eventId", "The event that is withdrawn."},
                                  {"clientId", "text?", "What its sender called it."},
                                  {"reason", "text", "A sentence."}};
constexpr DocMember kRoomData[] = {{"room", "Room", "The room as it is from here on."},
                                   {"userId", "text?", "To a new member: the member."}};
constexpr DocMember kMemberAdded[] = {{"userId", "text", "The member."},
                                      {"room", "Room?", "To the member alone: the room."}};
constexpr DocMember kMemberRemoved[] = {{"userId", "text", "Who is a member no longer."}};
constexpr DocMember kCleared[] = {{"userId", "text", "Who cleared it."}};
constexpr DocMember kTyping[] = {
    {"userId", "text?", "Who began or ended; absent in what a stream is told as it begins."},
    {"isTyping", "boolean?", "Which of the two."},
    {"users", "[text]", "All who type now."}};
constexpr DocMember kPresence[] = {{"userId", "text", "Who came, went or changed."},
                                   {"count", "integer", "How many are present."},
                                   {"state", "any?", "What they set."}};
constexpr DocMember kPresenceDiff[] = {{"joined", "[text]?", "Who came."},
                                       {"left", "[text]?", "Who went."},
                                       {"updated", "[text]?", "Who set a state."},
                                       {"truncated", "boolean?", "There are more than are named."},
                                       {"count", "integer", "How many are present."}};
constexpr DocMember kReceiptData[] = {{"userId", "text", "Whose mark it is."},
                                      {"upTo", "eventId", "Up to where, that event included."}};
constexpr DocMember kReceiptDiff[] = {{"receipts", "[Receipt]", "Marks as they are now."}};
constexpr DocMember kMediaData[] = {{"userId", "text?", "Whose devices these are."},
                                    {"camera", "boolean?", "Whether the camera is on."},
                                    {"mic", "boolean?", "Whether the microphone is on."},
                                    {"screen", "boolean?", "Whether the screen is shared."},
                                    {"users", "[Media]?",
                                     "In what a stream is told as it begins or returns, instead of "
                                     "the others: all who have something on."}};
constexpr DocMember kSignalData[] = {
    {"from", "text", "Who sent it."}, {"to", "text?", "Whom it was for."}, {"data", "any", "What was sent."}};

constexpr EventSpec kEvents[] = {
    {"connected", "The first of every stream.", "no", kConnected},
    {"bye", "The last of a stream that the server ends.", "no", kBye},
    {"reset", "The cursor could not be kept for some rooms.", "no", kReset},
    {"auth.success", "The token was taken.", "no", kAuthSuccess},
    {"auth.error", "The token was refused.", "no", kAuthError},
    {"message.created", "A message.", "yes", kMessageData},
    {"message.updated", "A message was edited; it carries the whole message.", "yes", kMessageData},
    {"message.deleted", "A message was deleted; it carries the tombstone.", "yes", kMessageData},
    {"message.unsaved", "An event was delivered and could not be stored.", "no", kUnsaved},
    {"room.created", "A room was created, or the user is in it from its beginning.", "yes", kRoomData},
    {"room.updated", "The room has another name or other rules.", "yes", kRoomData},
    {"room.member_added", "Somebody is a member; also told to them wherever they are.", "yes", kMemberAdded},
    {"room.member_removed", "Somebody is a member no longer; also told to them wherever they are.", "yes",
     kMemberRemoved},
    {"room.cleared", "All messages before it are gone.", "yes", kCleared},
    {"typing", "Somebody began to type, or ended; it ends by itself after `typing.clear_ms`.", "no", kTyping},
    {"presence.joined",
     "Somebody came. At most one of these, of the next two or of `presence.diff` in `presence.diff_ms` per "
     "room; nobody is told of themselves coming.",
     "no", kPresence},
    {"presence.left", "Somebody went.", "no", kPresence},
    {"presence.updated", "Somebody set a state.", "no", kPresence},
    {"presence.diff",
     "Several came, went or changed: names only (states by `presence.list`), at most 64; above "
     "`presence.members_max` users the count alone.",
     "no", kPresenceDiff},
    {"receipt.delivered", "A user has received up to there.", "last of each user", kReceiptData},
    {"receipt.read", "A user has read up to there.", "last of each user", kReceiptData},
    {"receipt.diff",
     "Several marks at once: in rooms of more than `presence.members_max` at most once in "
     "`presence.diff_ms`, at most "
     "64 users each; and to a stream that returns.",
     "last of each user", kReceiptDiff},
    {"media.state", "What a user has switched on.", "no", kMediaData},
    {"signal", "Something fleeting from one user to another, or to a room.", "no", kSignalData},
};

// ---- JSON Schema ----

std::string type_json(std::string_view type) {
  bool nullable = type.ends_with('?');
  if (nullable) type.remove_suffix(1);
  std::string out;
  if (type.starts_with('[')) {
    out = "{\"type\":\"array\",\"items\":" + type_json(type.substr(1, type.size() - 2)) + "}";
  } else if (type == "text") {
    out = R"({"type":"string"})";
  } else if (type == "eventId") {
    out = R"({"$ref":"#/$defs/EventId"})";
  } else if (type == "time") {
    out = R"({"type":"string","format":"date-time"})";
  } else if (type == "integer" || type == "boolean") {
    out = "{\"type\":\"" + std::string(type) + "\"}";
  } else if (type == "any") {
    return "{}";
  } else {
    out = "{\"$ref\":\"#/$defs/" + std::string(type) + "\"}";
  }
  if (!nullable) return out;
  return "{\"anyOf\":[" + out + ",{\"type\":\"null\"}]}";
}

std::string described(std::string json, std::string_view doc) {
  json.pop_back();
  if (json.size() > 1) json += ',';
  return json + "\"description\":" + json_string(doc) + "}";
}

// An object of these members, with `first` (whole `"name":{…}` members) in front.
std::string object_json(std::span<const DocMember> members, std::string_view doc, std::string first = {},
                        std::string required = {}) {
  for (const DocMember& member : members) {
    if (!first.empty()) first += ',';
    first += json_string(member.name) + ":" + described(type_json(member.type), member.doc);
    if (member.type.ends_with('?')) continue;
    if (!required.empty()) required += ',';
    required += json_string(member.name);
  }
  std::string out = "{\"type\":\"object\"";
  if (!doc.empty()) out += ",\"description\":" + json_string(doc);
  out += ",\"properties\":{" + first + "}";
  if (!required.empty()) out += ",\"required\":[" + required + "]";
  return out + "}";
}

std::string bounded_text(uint64_t min, uint64_t max) {
  return "{\"type\":\"string\",\"minLength\":" + std::to_string(min) +
         ",\"maxLength\":" + std::to_string(max) + "}";
}

std::string words_json(std::string_view words) {
  std::string out;
  JsonObject object(out);
  std::string list;
  while (!words.empty()) {
    size_t bar = words.find('|');
    if (!list.empty()) list += ',';
    list += json_string(words.substr(0, bar));
    words = bar == std::string_view::npos ? std::string_view() : words.substr(bar + 1);
  }
  object.field("type", "string").raw("enum", "[" + list + "]").end();
  return out;
}

std::string parameter_json(const FieldSpec& spec, const Config& config) {
  const auto& limits = config.limits;
  switch (spec.shape) {
    case Shape::room_name:
      return bounded_text(1, limits.room_name_bytes);
    case Shape::user_name:
      return bounded_text(1, limits.user_id_bytes);
    case Shape::user_names:
      return "{\"type\":\"array\",\"maxItems\":256,\"items\":" + bounded_text(1, limits.user_id_bytes) + "}";
    case Shape::text:
      return bounded_text(0, spec.max ? spec.max : limits.message_bytes);
    case Shape::word:
      return words_json(spec.words);
    case Shape::event_type:
      return R"({"type":"string","pattern":"^[A-Za-z0-9_.:-]{1,64}$"})";
    case Shape::integer:
      return "{\"type\":\"integer\",\"minimum\":0" +
             (spec.max ? ",\"maximum\":" + std::to_string(spec.max) : std::string()) + "}";
    case Shape::boolean:
      return R"({"type":"boolean"})";
    case Shape::object:
      return "{}";
    case Shape::cursor_or_time:
      return R"({"type":"string","maxLength":64})";
    case Shape::event_id:
      return R"({"$ref":"#/$defs/EventId"})";
  }
  return "{}";
}

std::string path_of(const CommandRow& row) {
  std::string path = "/api/" + std::string(row.name);
  path[path.find('.')] = '/';
  return path;
}

std::string command_json(const CommandRow& row, const Config& config) {
  std::string properties, required, out;
  for (const FieldSpec& spec : row.fields) {
    if (!properties.empty()) properties += ',';
    std::string doc(doc_of(spec.field));
    if (!other_name(spec.field).empty()) doc += " Also `" + std::string(other_name(spec.field)) + "`.";
    properties += json_string(wire_name(spec.field)) + ":" + described(parameter_json(spec, config), doc);
    if (!spec.required) continue;
    if (!required.empty()) required += ',';
    required += json_string(wire_name(spec.field));
  }
  JsonObject object(out);
  object.field("description", row.doc).field("post", path_of(row)).field("webSocket", row.name);
  object.raw("parameters", object_json({}, {}, properties, required));
  object.raw("result", object_json(row.result, {}, R"("success":{"const":true})", "\"success\"")).end();
  return out;
}

std::string errors_json() {
  std::string out;
  JsonObject object(out);
  for (int code = 1; code <= static_cast<int>(Code::draining); code++) {
    Code c = static_cast<Code>(code);
    std::string line;
    JsonObject entry(line);
    entry.field("status", http_status_of(c))
        .field("close", close_code_of(c))
        .field("retryable", retryable(c))
        .end();
    object.raw(word_of(c), line);
  }
  object.end();
  return out;
}

std::string words_of_errors() {
  std::string out;
  for (int code = 1; code <= static_cast<int>(Code::draining); code++)
    out += (out.empty() ? "" : "|") + std::string(word_of(static_cast<Code>(code)));
  return words_json(out);
}

std::string definitions_json() {
  std::string out;
  JsonObject object(out);
  object.raw("EventId",
             R"({"type":"string","pattern":"^[0-9a-f]{12}-[0-9a-f]{14}$","description":"A position in )"
             R"(the one order of all rooms: epoch and sequence."})");
  for (const ObjectSpec& spec : kObjects) object.raw(spec.name, object_json(spec.members, spec.doc));
  std::string error =
      R"("success":{"const":false},"error":{"type":"string","description":"A sentence."},"code":)" +
      words_of_errors() + R"(,"retryable":{"type":"boolean"})";
  object.raw("Error", object_json({}, "What a refused command is answered.", error,
                                  R"("success","error","code","retryable")"));
  object.end();
  return out;
}

// ---- Markdown ----

std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

// `a`, `b`?: names in a row, with a mark where one may be left out.
template <typename List, typename NameOf, typename OptionalOf>
std::string names_in_row(const List& list, NameOf name_of, OptionalOf optional) {
  std::string out;
  for (const auto& entry : list) {
    if (!out.empty()) out += ", ";
    out += "`" + std::string(name_of(entry)) + "`";
    if (optional(entry)) out += "?";
  }
  return out.empty() ? "–" : out;
}

std::string names_of_members(std::span<const DocMember> members) {
  return names_in_row(
      members, [](const DocMember& m) { return m.name; },
      [](const DocMember& m) { return m.type.ends_with('?'); });
}

}  // namespace

std::span<const ObjectSpec> object_table() { return kObjects; }
std::span<const EventSpec> event_table() { return kEvents; }

std::string schema_json(const Config& config) {
  std::string out, commands, events;
  {
    JsonObject object(commands);
    for (const CommandRow& row : command_table()) object.raw(row.name, command_json(row, config));
    object.end();
  }
  {
    JsonObject object(events);
    for (const EventSpec& spec : kEvents) {
      std::string line;
      JsonObject entry(line);
      entry.field("description", spec.doc)
          .field("kept", spec.kept)
          .raw("data", object_json(spec.data, {}))
          .end();
      object.raw(spec.type, line);
    }
    object.end();
  }
  JsonObject object(out);
  object.field("$schema", "https://json-schema.org/draft/2020-12/schema");
  object.field("title", "Twinwire: commands, events and errors");
  object.raw("$defs", definitions_json()).raw("commands", commands).raw("events", events);
  object.raw("errors", errors_json()).end();
  return out;
}

std::string markdown_commands() {
  std::string out = "| command | parameters | the answer holds |\n|---|---|---|\n";
  for (const CommandRow& row : command_table()) {
    std::string parameters = names_in_row(
        row.fields, [](const FieldSpec& spec) { return wire_name(spec.field); },
        [](const FieldSpec& spec) { return !spec.required; });
    out +=
        "| `" + std::string(row.name) + "` | " + parameters + " | " + names_of_members(row.result) + " |\n";
  }
  out += "\n";
  for (const CommandRow& row : command_table())
    out += "- `" + std::string(row.name) + "`: " + cell(row.doc) + "\n";
  out +=
      "\nParameters, wherever they occur (`?` above: may be left out):\n\n| parameter | what it is "
      "|\n|---|---|\n";
  for (size_t f = 0; f < static_cast<size_t>(Field::count_); f++) {
    bool used = false;
    for (const CommandRow& row : command_table())
      for (const FieldSpec& spec : row.fields) used = used || spec.field == static_cast<Field>(f);
    if (!used) continue;
    Field field = static_cast<Field>(f);
    out += "| `" + std::string(wire_name(field)) + "`";
    if (!other_name(field).empty()) out += ", `" + std::string(other_name(field)) + "`";
    out += " | " + cell(doc_of(field)) + " |\n";
  }
  return out;
}

std::string markdown_events() {
  std::string out = "| type | what, and its data | kept |\n|---|---|---|\n";
  for (const EventSpec& spec : kEvents)
    out += "| `" + std::string(spec.type) + "` | " + cell(spec.doc) + " " + names_of_members(spec.data) +
           " | " + std::string(spec.kept) + " |\n";
  out += "| any other, `[A-Za-z0-9_.:-]{1,64}` | what `events.publish` says | as published |\n\n";
  for (const ObjectSpec& spec : kObjects)
    out += "- **" + std::string(spec.name) + "**: " + std::string(spec.doc) + " " +
           names_of_members(spec.members) + "\n";
  return out;
}

std::string with_generated_parts(std::string page) {
  const std::pair<std::string_view, std::string> parts[] = {{"commands", markdown_commands()},
                                                            {"events", markdown_events()}};
  for (const auto& [name, text] : parts) {
    std::string begin = "<!-- begin " + std::string(name) + " -->\n",
                end = "<!-- end " + std::string(name) + " -->";
    size_t from = page.find(begin), to = page.find(end);
    if (from == std::string::npos || to == std::string::npos || to < from) continue;
    from += begin.size();
    page.replace(from, to - from, text);
  }
  return page;
}

}  // namespace twinwire
