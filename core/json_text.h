// JsonText: one JSON text (RFC 8259), checked whole and kept as it stands. Its members or elements are views
// of its bytes, so that what a client wrote goes on as it was written: a number keeps all its digits, which
// simdjson's elements, being 64-bit numbers, cannot. Not here: what parameters mean (command.h), writing
// (json.h). Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
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
  bool escaped = false;  // there are escapes in the key
};

class JsonText {
 public:
  // Deeper nesting is refused.
  static constexpr uint32_t kDepthMax = 512;

  // `text` outlives this. Error: invalid_json, with the byte where it stops being JSON.
  static Result<JsonText> read(std::string_view text);
  // The same into this one, which was empty: nothing is moved and, up to kFew parts, nothing allocated.
  Result<void> take(std::string_view text);

  JsonKind kind() const { return kind_; }
  // Of an object or array, in order.
  std::span<const JsonPart> parts() const {
    return more_.empty() ? std::span<const JsonPart>(few_.data(), count_) : std::span<const JsonPart>(more_);
  }
  // The first member of that name, or nullptr.
  const JsonPart* find(std::string_view name) const;

 private:
  friend class JsonScanner;
  static constexpr size_t kFew = 8;
  void add(const JsonPart& part);

  JsonKind kind_ = JsonKind::null;
  uint32_t count_ = 0;
  std::array<JsonPart, kFew> few_;
  std::vector<JsonPart> more_;  // all of them, once they are more than a few
};

// What a checked string says: without its quotes, escapes undone.
std::string json_text_of(std::string_view raw);
// The same where nothing is escaped, as it nearly always is: a view of the inside. Else in `scratch`.
std::string_view json_text_of(std::string_view raw, std::string& scratch);
// A checked value without the white space between its tokens: one line.
std::string json_minified(std::string_view raw);

}  // namespace twinwire
