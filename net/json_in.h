// Small questions to JSON that clients send: the envelope of a WebSocket message, single members of a body,
// the elements of a batch. The parameters of commands are decoded by core/command. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace twinwire {

// {"type":…, "id":…, "data":…} of a WebSocket message, which outlives it.
struct WsEnvelope {
  std::string_view type;
  std::string_view data;  // raw JSON, "" if absent
  std::string id;         // raw JSON on one line, "" if absent
  std::string unescaped;  // may hold the type

  WsEnvelope() = default;
  WsEnvelope(const WsEnvelope&) = delete;
  WsEnvelope& operator=(const WsEnvelope&) = delete;
};
// Errors: invalid_json, invalid_argument (no object, no type). `id` is filled in when it could be read.
// With `type_optional` a message without type is fine, its type is "".
Result<void> read_envelope(std::string_view json, WsEnvelope& envelope, bool type_optional = false);

// The string member `name` of an object; nothing if the body is no object or has no such string.
std::optional<std::string> text_member(std::string_view json, std::string_view name);

// The member `name` of an object as raw JSON; "" if there is none.
std::string raw_member(std::string_view json, std::string_view name);

// The boolean member `name` of an object; nothing if the body is no object or has no such boolean.
std::optional<bool> flag_member(std::string_view json, std::string_view name);

// The elements of an array, each as raw JSON. Errors: invalid_json, invalid_argument, limit_exceeded (more
// than max).
Result<std::vector<std::string>> array_elements(std::string_view json, size_t max);

}  // namespace twinwire
