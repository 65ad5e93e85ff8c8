#include "core/wire_style.h"

#include <optional>
#include <utility>
#include <vector>

#include "core/json.h"

namespace twinwire {
namespace {

constexpr size_t kSequenceAt = 13;  // in an eventId, behind the epoch and the dash

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char to_lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

void append_snake(std::string& out, std::string_view name) {
  for (size_t i = 0; i < name.size(); i++) {
    if (is_upper(name[i]) && i > 0 && is_lower_or_digit(name[i - 1])) out += '_';
    out += to_lower(name[i]);
  }
}

void append_camel(std::string& out, std::string_view name) {
  for (size_t i = 0; i < name.size(); i++) {
    bool joins = name[i] == '_' && i > 0 && i + 1 < name.size() && is_lower_or_digit(name[i + 1]);
    out += joins ? to_upper(name[++i]) : name[i];
  }
}

// One past the string that begins at `at`, its quotes included.
size_t string_end(std::string_view json, size_t at) {
  for (size_t i = at + 1; i < json.size(); i++) {
    if (json[i] == '\\') {
      i++;
    } else if (json[i] == '"') {
      return i + 1;
    }
  }
  return json.size();
}

size_t skip_blanks(std::string_view json, size_t at) {
  while (at < json.size() && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
    at++;
  return at;
}

bool is_key(std::string_view json, size_t end) {
  size_t next = skip_blanks(json, end);
  return next < json.size() && json[next] == ':';
}

class Renamer {
 public:
  Renamer(std::string& out, const KeyStyle& style) : out_(out), style_(style) {}

  void run(std::string_view json, uint32_t* place) {
    bool placed = place == nullptr || *place == Envelope::kNoPlace;
    for (size_t i = 0; i < json.size();) {
      char c = json[i];
      if (c != '"') {
        if (c == '{' || c == '[') {
          starts_.push_back(path_.size());
        } else if ((c == '}' || c == ']') && !starts_.empty()) {
          path_.resize(starts_.back());
          starts_.pop_back();
        }
        out_ += c;
        i++;
        continue;
      }
      size_t end = string_end(json, i);
      if (is_key(json, end)) {
        append_key(json.substr(i + 1, end - i - 2));
      } else {
        if (!placed && *place >= i && *place < end) {
          *place = static_cast<uint32_t>(out_.size() + (*place - i));
          placed = true;
        }
        out_.append(json.substr(i, end - i));
      }
      i = end;
    }
  }

 private:
  void append_key(std::string_view name) {
    out_ += '"';
    if (!style_.exceptions.empty()) {
      path_.resize(starts_.empty() ? 0 : starts_.back());
      if (!path_.empty()) path_ += '.';
      path_ += name;
      auto found = style_.exceptions.find(path_);
      if (found == style_.exceptions.end()) found = style_.exceptions.find(name);
      if (found != style_.exceptions.end()) {
        out_.append(found->second) += '"';
        return;
      }
    }
    if (style_.rule == KeyCase::as_is || name.find('\\') != std::string_view::npos) {
      out_ += name;
    } else if (style_.rule == KeyCase::snake_case) {
      append_snake(out_, name);
    } else {
      append_camel(out_, name);
    }
    out_ += '"';
  }

  std::string& out_;
  const KeyStyle& style_;
  std::string path_;
  std::vector<size_t> starts_;
};

// The member `name` of the object itself, with the comma that goes with it: [from, to).
std::optional<std::pair<size_t, size_t>> find_member(std::string_view object, std::string_view name) {
  size_t depth = 0, comma = 0, begin = 0;
  bool found = false;
  for (size_t i = 0; i < object.size();) {
    char c = object[i];
    if (c == '"') {
      size_t end = string_end(object, i);
      if (depth == 1 && !found && is_key(object, end) && object.substr(i + 1, end - i - 2) == name) {
        found = true;
        begin = i;
      }
      i = end;
      continue;
    }
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (found && depth == 1 && c == ',') return std::pair{begin, i + 1};
    if (found && depth == 0) return std::pair{comma ? comma : begin, i};
    if (!found && depth == 1 && c == ',') comma = i;
    i++;
  }
  return std::nullopt;
}

std::string_view part(const Envelope& e, std::string_view member) {
  if (member == "eventId") return e.event_id;
  if (member == "type") return e.type;
  if (member == "tenantId") return e.tenant;
  if (member == "room") return e.room;
  if (member == "userId") return e.user;
  return member == "timestamp" ? e.timestamp : std::string_view();
}

void note_place(Body& body, size_t at) {
  if (body.place_count < body.places.size()) body.places[body.place_count++] = static_cast<uint32_t>(at);
}

void append_id(Body& body, std::string_view event_id) {
  body.json += '"';
  note_place(body, body.json.size() + kSequenceAt);
  body.json += event_id;
  body.json += '"';
}

void append_data(Body& body, const Envelope& e, const FormStyle& style) {
  uint32_t place = e.sequence_place;
  if (style.keys.native()) {
    body.data_at = static_cast<uint32_t>(body.json.size());
    if (place != Envelope::kNoPlace) note_place(body, body.data_at + place);
    body.json += e.data;
  } else {
    append_with_keys(body.json, e.data, style.keys, &place);
    if (place != Envelope::kNoPlace) note_place(body, place);
  }
}

// The member's name with quotes and colon, behind a comma unless it is the first.
void begin_member(std::string& json, const FormStyle& style, std::string_view member) {
  if (json.back() != '{') json += ',';
  auto other = style.members.find(member);
  append_json_string(json, other == style.members.end() ? member : std::string_view(other->second));
  json += ':';
}

void write_envelope(Body& body, const Envelope& e, const FormStyle& style, std::string_view shown_type) {
  std::string& json = body.json;
  json += '{';
  if (!e.event_id.empty()) {
    begin_member(json, style, "eventId");
    append_id(body, e.event_id);
  }
  begin_member(json, style, "type");
  append_json_string(json, shown_type);
  if (e.with_tenant || !e.tenant.empty()) {
    begin_member(json, style, "tenantId");
    append_json_string(json, e.tenant);
  }
  if (!e.room.empty()) {
    begin_member(json, style, "room");
    append_json_string(json, e.room);
  }
  if (!e.user.empty()) {
    begin_member(json, style, "userId");
    append_json_string(json, e.user);
  }
  begin_member(json, style, "timestamp");
  append_json_string(json, e.timestamp);
  begin_member(json, style, "data");
  append_data(body, e, style);
  json += '}';
}

// The native form, which nearly every event has: no look at tables.
void write_native(Body& body, const Envelope& e) {
  write_native_head(body.json, e);
  if (!e.event_id.empty()) note_place(body, kNativeDigitsAt);
  body.data_at = static_cast<uint32_t>(body.json.size());
  if (e.sequence_place != Envelope::kNoPlace) note_place(body, body.data_at + e.sequence_place);
  body.json += e.data;
  body.json += '}';
}

// The data alone, and in front what `members` adds to it. Data that is no object cannot take members: where
// there are some, it stands beside them as "data".
void write_data(Body& body, const Envelope& e, const FormStyle& style, std::string_view shown_type) {
  if (style.members.empty() && !style.body_names_itself) return append_data(body, e, style);
  std::string data;
  uint32_t place = e.sequence_place;
  append_with_keys(data, e.data, style.keys, &place);
  bool object = data.starts_with('{');
  std::string& json = body.json;
  json += '{';
  for (std::string_view member : kEnvelopeMembers) {
    auto named = style.members.find(member);
    std::string_view text = part(e, member);
    bool always = style.body_names_itself && (member == "eventId" || member == "type");
    if (text.empty() || (named == style.members.end() && !always)) continue;
    std::string_view name = named == style.members.end() ? member : std::string_view(named->second);
    if (auto own = object ? find_member(data, name) : std::nullopt) {
      if (member != "eventId") continue;  // the application's own member stands
      if (place != Envelope::kNoPlace && place > own->first)
        place -= static_cast<uint32_t>(own->second - own->first);
      data.erase(own->first, own->second - own->first);
    }
    begin_member(json, style, member);
    if (member == "eventId") {
      append_id(body, text);
    } else {
      append_json_string(json, member == "type" ? shown_type : text);
    }
  }
  if (object) {
    if (json.size() > 1 && data.size() > 2) json += ',';
    if (place != Envelope::kNoPlace) note_place(body, json.size() + place - 1);
    json.append(data, 1);
    return;
  }
  begin_member(json, style, "data");
  if (place != Envelope::kNoPlace) note_place(body, json.size() + place);
  json.append(data) += '}';
}

}  // namespace

void write_native_head(std::string& out, const Envelope& e) {
  constexpr std::string_view kId = "{\"eventId\":\"";
  static_assert(kId.size() + kSequenceAt == kNativeDigitsAt);
  if (e.event_id.empty()) {
    out += "{\"type\":";
  } else {
    out += kId;
    out += e.event_id;
    out += "\",\"type\":";
  }
  append_json_string(out, e.type);
  if (e.with_tenant || !e.tenant.empty()) {
    out += ",\"tenantId\":";
    append_json_string(out, e.tenant);
  }
  if (!e.room.empty()) {
    out += ",\"room\":";
    append_json_string(out, e.room);
  }
  if (!e.user.empty()) {
    out += ",\"userId\":";
    append_json_string(out, e.user);
  }
  out += ",\"timestamp\":\"";
  out += e.timestamp;
  out += "\",\"data\":";
}

void append_with_keys(std::string& out, std::string_view json, const KeyStyle& style, uint32_t* place) {
  if (style.native()) {
    if (place != nullptr && *place != Envelope::kNoPlace) *place += static_cast<uint32_t>(out.size());
    out += json;
    return;
  }
  Renamer(out, style).run(json, place);
}

std::string_view event_name(const FormStyle& style, std::string_view type, std::string& scratch) {
  if (!style.name_of.empty()) {
    if (auto found = style.name_of.find(type); found != style.name_of.end()) return found->second;
  }
  if (style.names == NameRule::dot) return type;
  if (style.names == NameRule::message) return {};
  bool upper = style.names == NameRule::upper_snake;
  scratch.clear();
  for (char c : type) {
    bool separates = c == '.' || c == ':' || c == '_' || c == '-';
    if (separates) {
      scratch += upper ? '_' : '-';
    } else {
      scratch += upper ? to_upper(c) : c;
    }
  }
  return scratch;
}

void write_body(Body& body, const Envelope& envelope, const FormStyle& style) {
  body.json.reserve(envelope.data.size() + 256);
  if (style.native()) return write_native(body, envelope);
  std::string scratch;
  std::string_view shown_type = event_name(style, envelope.type, scratch);
  if (shown_type.empty()) shown_type = envelope.type;
  if (style.body == BodyRule::data) return write_data(body, envelope, style, shown_type);
  write_envelope(body, envelope, style, shown_type);
}

}  // namespace twinwire
