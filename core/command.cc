#include "core/command.h"

#include <xxhash.h>

#include <charconv>

#include "core/json.h"
#include "core/json_text.h"

namespace twinwire {
namespace {

struct FieldName {
  std::string_view wire;
  std::string_view other;  // also accepted
  std::string_view doc;    // what it means, wherever it is a parameter
};

// In the order of Field.
constexpr std::array<FieldName, static_cast<size_t>(Field::count_)> kNames{{
    {"room", "conversationId", "The room's id."},
    {"user", "", "A user's id."},
    {"users", "", "The ids of users, at most 256."},
    {"content", "", "The message's text."},
    {"encryptedContent", "",
     "The message's text as the client has encrypted it; the server does not look into it."},
    {"type", "", "A name of the application's own."},
    {"fileUrl", "", "Where an attached file is."},
    {"fileName", "", "What an attached file is called."},
    {"fileSize", "", "The attached file's size in bytes."},
    {"replyTo", "", "The id of the message that this one answers."},
    {"clientId", "",
     "Names this command for a retry: repeated by the same sender in the same room it gives the "
     "first answer again, with `duplicate`. On POST also the header `Idempotency-Key`."},
    {"ack", "",
     "When to answer: `stored` once it is synced to disk (the default), `accepted` once it has its place "
     "in the order."},
    {"exclude", "",
     "Who is not told: `connection` the naming session, also in replays, `user` the sender, `none` "
     "nobody (the default)."},
    {"limit", "", "How many at most; 50 if it is left out."},
    {"before", "", "Only what is older than this eventId or time."},
    {"after", "", "Only what is newer than this eventId or time; the oldest first."},
    {"join", "", "The naming session's stream follows the room from the answer's `lastEventId` on."},
    {"participantIds", "", "The ids of the other participants, at most 256."},
    {"name", "", "What people see as the room's name; of an open room also its id."},
    {"isGroup", "", "A group also with one other participant, instead of the direct room of the two."},
    {"open", "", "A room that anybody may join, with `name` as its id."},
    {"state", "", "Any JSON, at most 1024 bytes; null takes it back."},
    {"data", "", "Any JSON."},
    {"ephemeral", "", "Delivered to who listens now, and neither stored nor replayed."},
    {"session", "", "A session of the user's."},
    {"id", "", "In mode none: the user's id."},
    {"token", "", "A token."},
    {"userId", "", "The user's id."},
    {"userName", "", "The user's name for people."},
    {"messageId", "", "The message's `id`: the eventId of its `message.created`."},
    {"upTo", "", "The eventId up to which it holds, that event included; marks never go back."},
    {"camera", "", "Whether the camera is on; unchanged if it is left out."},
    {"mic", "", "Whether the microphone is on; unchanged if it is left out."},
    {"screen", "", "Whether the screen is shared; unchanged if it is left out."},
    {"to", "", "The id of the user it is for."},
    {"history", "", "What new members of a closed room may read: `full`, or what came `since_joined`."},
}};

constexpr size_t kListMax = 256;

Error invalid(const FieldSpec& spec, std::string_view what) {
  std::string sentence = "'";
  sentence += wire_name(spec.field);
  sentence += "' ";
  sentence += what;
  return fail(Code::invalid_argument, std::move(sentence));
}

bool is_event_type(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (char c : text) {
    bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '.' || c == ':' || c == '-';
    if (!ok) return false;
  }
  return true;
}

bool one_of(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    size_t bar = words.find('|');
    if (words.substr(0, bar) == word) return true;
    words = bar == std::string_view::npos ? std::string_view() : words.substr(bar + 1);
  }
  return false;
}

// What a string says, checked; `scratch` may hold it.
Result<std::string_view> text_value(const FieldSpec& spec, const JsonPart& value, const NameLimits& limits,
                                    std::string& scratch) {
  if (value.kind != JsonKind::string) return invalid(spec, "must be a string");
  std::string_view text = json_text_of(value.raw, scratch);
  switch (spec.shape) {
    case Shape::room_name:
    case Shape::user_name: {
      uint32_t max = spec.shape == Shape::room_name ? limits.room_name_bytes : limits.user_id_bytes;
      if (auto ok = check_name(wire_name(spec.field), text, max); !ok) return ok.error();
      break;
    }
    case Shape::text: {
      uint64_t max = spec.max ? spec.max : limits.message_bytes;
      if (text.size() > max) {
        Error error = invalid(spec, "is longer than " + std::to_string(max) + " bytes");
        if (!spec.max) error.code = Code::too_large;
        return error;
      }
      break;
    }
    case Shape::word:
      if (!one_of(spec.words, text)) return invalid(spec, "must be one of " + std::string(spec.words));
      break;
    case Shape::event_type:
      if (!is_event_type(text)) return invalid(spec, "must be 1 to 64 of A-Z a-z 0-9 _ . : -");
      break;
    case Shape::event_id:
      if (!Cursor::parse(text)) return invalid(spec, "must be an eventId");
      break;
    default:
      if (text.size() > 64) return invalid(spec, "must be an eventId or a time");
  }
  return text;
}

Result<std::string_view> value_of(const FieldSpec& spec, const JsonPart& value, const NameLimits& limits,
                                  std::string& scratch) {
  switch (spec.shape) {
    case Shape::integer: {
      uint64_t number = 0;
      const char* end = value.raw.data() + value.raw.size();
      bool whole =
          value.kind == JsonKind::number && value.raw.find_first_of("-.eE") == std::string_view::npos;
      if (!whole) return invalid(spec, "must be a whole number, 0 or more");
      bool fits = std::from_chars(value.raw.data(), end, number).ec == std::errc();
      uint64_t max = spec.max ? spec.max : UINT64_MAX;
      if (!fits || number > max) return invalid(spec, "must be at most " + std::to_string(max));
      return value.raw;
    }
    case Shape::boolean:
      if (value.kind != JsonKind::boolean) return invalid(spec, "must be true or false");
      return value.raw;
    case Shape::object: {
      scratch = json_minified(value.raw);
      if (scratch.size() > limits.message_bytes)
        return fail(Code::too_large, "'" + std::string(wire_name(spec.field)) + "' is longer than " +
                                         std::to_string(limits.message_bytes) + " bytes");
      return std::string_view(scratch);
    }
    default:
      return text_value(spec, value, limits, scratch);
  }
}

Result<std::vector<std::string>> names_of(const FieldSpec& spec, const JsonPart& value,
                                          const NameLimits& limits) {
  if (value.kind != JsonKind::array) return invalid(spec, "must be an array of user ids");
  auto array = JsonText::read(value.raw);
  if (!array) return array.error();
  if (array->parts().size() > kListMax) return invalid(spec, "must have at most 256 entries");
  std::vector<std::string> names;
  std::string scratch;
  for (const JsonPart& item : array->parts()) {
    auto name = text_value({spec.field, Shape::user_name}, item, limits, scratch);
    if (!name) return name.error();
    names.emplace_back(*name);
  }
  return names;
}

}  // namespace

std::string_view wire_name(Field field) { return kNames[static_cast<size_t>(field)].wire; }
std::string_view other_name(Field field) { return kNames[static_cast<size_t>(field)].other; }
std::string_view doc_of(Field field) { return kNames[static_cast<size_t>(field)].doc; }

uint64_t Args::number(Field field, uint64_t otherwise) const {
  if (!has(field)) return otherwise;
  uint64_t value = otherwise;
  std::string_view digits = text(field);
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

namespace {
constexpr size_t kHashKeep = 64 << 10;  // bytes that a thread keeps for the next command's hash

// With the size in front, no text can imitate another's end.
void append_sized(std::string& all, std::string_view text) {
  uint32_t size = static_cast<uint32_t>(text.size());
  all.append(reinterpret_cast<const char*>(&size), sizeof size);
  all += text;
}

// ASCII's controls, and U+0080 to U+009F, which UTF-8 writes as C2 80 to C2 9F (one of them is a line break).
bool has_control(std::string_view text) {
  for (size_t i = 0; i < text.size(); i++) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}
}  // namespace

uint64_t Args::content_hash() const {
  thread_local std::string all;
  all.clear();
  for (const Value& value : values_) {  // decode_args sets them in the row's order
    if (value.field == Field::ack || value.field == Field::session || value.field == Field::client_id)
      continue;
    all += static_cast<char>(value.field);
    append_sized(all, text_of(value));
  }
  for (const std::string& item : list_) append_sized(all, item);
  uint64_t hash = XXH3_64bits(all.data(), all.size());
  if (all.capacity() > kHashKeep) std::string().swap(all);
  return hash;
}

Result<void> check_name(std::string_view what, std::string_view name, uint32_t max) {
  auto refuse = [what](const std::string& sentence) {
    return fail(Code::invalid_argument, "'" + std::string(what) + "' " + sentence);
  };
  if (name.empty()) return refuse("must not be empty");
  if (name.size() > max) return refuse("must be at most " + std::to_string(max) + " bytes");
  if (!valid_utf8(name)) return refuse("must be valid UTF-8");
  if (has_control(name)) return refuse("must not contain control characters");
  return {};
}

Result<Args> decode_args(const CommandRow& row, std::string_view json, const NameLimits& limits) {
  JsonText object;
  if (!json.empty()) {
    if (auto taken = object.take(json); !taken) return taken.error();
    if (object.kind() != JsonKind::object)
      return fail(Code::invalid_argument, "the parameters must be a JSON object");
  }
  Args args;
  args.reserve(std::min(row.fields.size(), object.parts().size() + 1), json.size());
  std::string scratch;
  for (const FieldSpec& spec : row.fields) {
    const FieldName& name = kNames[static_cast<size_t>(spec.field)];
    const JsonPart* value = object.find(name.wire);
    if (!value && !name.other.empty()) value = object.find(name.other);
    // Null is a value where any JSON is asked for, and elsewhere the same as leaving it out.
    bool null_counts = spec.shape == Shape::object && spec.required;
    if (!value || (value->kind == JsonKind::null && !null_counts)) {
      if (spec.required) return invalid(spec, "is required");
      continue;
    }
    if (spec.shape == Shape::user_names) {
      auto names = names_of(spec, *value, limits);
      if (!names) return names.error();
      args.set_list(spec.field, std::move(*names));
      continue;
    }
    auto decoded = value_of(spec, *value, limits, scratch);
    if (!decoded) return decoded.error();
    args.set(spec.field, *decoded);
  }
  return args;
}

std::optional<Reply> Batch::take(uint32_t place, const Reply& reply) {
  TW_CHECK(place < answers.size() && answers[place].empty());
  answers[place] = reply.body;
  if (reply.code != Code::ok && code == Code::ok) code = reply.code;
  if (--missing > 0) return std::nullopt;
  Reply whole{code, {}, 0};
  JsonObject object(whole.body);
  object.field("success", code == Code::ok);
  if (code != Code::ok) {
    object.field("error", "not every event of the batch was published: see results");
    object.field("code", word_of(code)).field("retryable", retryable(code));
    if (retryable(code)) whole.retry_after_seconds = 1;
  }
  std::string& out = object.begin("results");
  for (size_t i = 0; i < answers.size(); i++) out.append(i ? "," : "[").append(answers[i]);
  out += ']';
  object.end();
  return whole;
}

const CommandRow* find_command(std::string_view name) {
  for (const CommandRow& row : command_table())
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace twinwire
