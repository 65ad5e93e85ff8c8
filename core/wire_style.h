// WireStyle: how events look on the wire to the clients of one tenant: their names, whether the body is the
// envelope or the data alone, and the spelling of member names. An application that moves here keeps its own
// names by settings. write_body() is the one place where the JSON of an event is put together, in any style.
// Not here: frames and patching (event.h), which tenant has which style (bridge.h).
// Constant while the server runs; the functions are pure. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace twinwire {

// Exceptions from a rule, by native name.
using NameTable = std::map<std::string, std::string, std::less<>>;

// How member names of data are spelt where no exception says otherwise.
enum class KeyCase : uint8_t { as_is, snake_case, camel_case };

// Spelling of member names: a rule, and exceptions. An exception is a path from the data's root
// ("message.room"; arrays do not count) or a bare name, which holds at any depth; the path goes first.
struct KeyStyle {
  KeyCase rule = KeyCase::as_is;
  NameTable exceptions;
  bool native() const { return rule == KeyCase::as_is && exceptions.empty(); }
};

// message: no `event:` line on SSE, so that `onmessage` hears everything; the body's "type" stays as it is.
enum class NameRule : uint8_t { dot, hyphen, upper_snake, message };
// data: the body is the event's data; on WebSocket with "eventId" and "type" in front, so that it can be
// resumed.
enum class BodyRule : uint8_t { envelope, data };

// One form's style: SSE, or WebSocket and polls.
struct FormStyle {
  NameRule names = NameRule::dot;
  NameTable name_of;
  BodyRule body = BodyRule::envelope;
  KeyStyle keys;
  // Of the envelope's members (eventId, type, tenantId, room, userId, timestamp, data): under `envelope`
  // their other names; under `data` those that stand in the body besides the data, with their names there.
  NameTable members;
  // WebSocket: a `data` body carries "eventId" and "type" without being told to, since nothing beside it
  // does.
  bool body_names_itself = false;
  bool native() const {
    return names == NameRule::dot && name_of.empty() && body == BodyRule::envelope && keys.native() &&
           members.empty();
  }
};

struct WireStyle {
  FormStyle sse;
  FormStyle ws{.name_of = {}, .keys = {}, .members = {}, .body_names_itself = true};
  bool native() const { return sse.native() && ws.native(); }
};

inline constexpr std::array<std::string_view, 7> kEnvelopeMembers{"eventId", "type",      "tenantId", "room",
                                                                  "userId",  "timestamp", "data"};

// What a body is made from; empty parts are left out, and `data` is any JSON.
struct Envelope {
  std::string_view event_id;  // of the log's events; the sequence's digits may still be blank
  std::string_view type, tenant, room, user, timestamp;
  std::string_view data;
  bool with_tenant = false;  // "tenantId" also when it is empty
  static constexpr uint32_t kNoPlace = UINT32_MAX;
  uint32_t sequence_place = kNoPlace;  // offset in `data` of digits that are the event's own
};

struct Body {
  std::string json;
  static constexpr uint32_t kNotVerbatim = UINT32_MAX;
  uint32_t data_at = kNotVerbatim;  // where `data` stands, byte for byte
  std::array<uint32_t, 2> places{};
  uint32_t place_count = 0;
};

// Appends all of the native form that stands before the data; behind it there is only the closing brace. Of
// an event of the log the digits stand at kNativeDigitsAt from the start.
void write_native_head(std::string& out, const Envelope& envelope);
inline constexpr uint32_t kNativeDigitsAt = 25;

// Appends to `body.json`, which is empty.
void write_body(Body& body, const Envelope& envelope, const FormStyle& style);

// The name of an event in this style; `scratch` holds it where it is not `type` itself. Empty: no `event:`
// line.
std::string_view event_name(const FormStyle& style, std::string_view type, std::string& scratch);

// Appends JSON with its member names in the style. `place` is an offset in `json` and becomes the offset in
// `out`; kNoPlace stays. `json` is valid.
void append_with_keys(std::string& out, std::string_view json, const KeyStyle& style,
                      uint32_t* place = nullptr);

}  // namespace twinwire
