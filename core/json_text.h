// JsonText: one JSON text (RFC 8259), checked whole and kept as it stands. Its members or elements are views
// of its bytes, so that what a client wrote goes on as it was written: a number keeps all its digits, which
// simdjson's elements, being 64-bit numbers, cannot. Not here: what parameters mean (command.h), writing
// (json.h). Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace twinwire {

enum class JsonKind : uint8_t { object, array, string, number, boolean, null };

// A member of an object, or an element of an array (whose key is empty).
struct JsonPart {
  std::string_view key;  // between its quotes, as it stands
  std::string_view raw;  // the value, as it stands
  JsonKind kind = JsonKind::null;
};

class JsonText {
 public:
  // Deeper nesting is refused.
  static constexpr uint32_t kDepthMax = 512;

  // `text` outlives this. Error: invalid_json, with the byte where it stops being JSON.
  static Result<JsonText> read(std::string_view text);

  JsonKind kind() const { return kind_; }
  const std::vector<JsonPart>& parts() const { return parts_; }  // of an object or array, in order
  // The first member of that name, or nullptr.
  const JsonPart* find(std::string_view name) const;

 private:
  JsonKind kind_ = JsonKind::null;
  std::vector<JsonPart> parts_;
};

// What a checked string says: without its quotes, escapes undone.
std::string json_text_of(std::string_view raw);
// A checked value without the white space between its tokens: one line.
std::string json_minified(std::string_view raw);

}  // namespace twinwire
