// JSON out: appending to strings (RFC 8259), and whether bytes are UTF-8 (simdjson). Not here: reading
// (json_text.h), which fields a command has (command.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twinwire {

// Appends `text` as a JSON string with its quotes. Valid UTF-8 goes through; control characters, quote and
// backslash are escaped, U+2028/2029 left as they are (legal JSON; never a line break in an SSE data line).
void append_json_string(std::string& out, std::string_view text);

std::string json_string(std::string_view text);

// Whether the bytes are valid UTF-8 (RFC 3629).
bool valid_utf8(std::string_view bytes);

// A small writer for objects: `JsonObject o(out); o.field("a", 1).field("b", "x"); o.end();`
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  JsonObject& field(std::string_view key, std::string_view text) {
    begin(key);
    append_json_string(out_, text);
    return *this;
  }
  JsonObject& field(std::string_view key, const char* text) { return field(key, std::string_view(text)); }
  JsonObject& field(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonObject& field(std::string_view key, uint64_t value) { return raw(key, std::to_string(value)); }
  JsonObject& field(std::string_view key, uint32_t value) { return raw(key, std::to_string(value)); }
  JsonObject& field(std::string_view key, int value) { return raw(key, std::to_string(value)); }
  // `json` is already JSON.
  JsonObject& raw(std::string_view key, std::string_view json) {
    begin(key);
    out_ += json;
    return *this;
  }
  // A null when the text is empty: absent optional fields of a message.
  JsonObject& text_or_null(std::string_view key, std::string_view text) {
    return text.empty() ? raw(key, "null") : field(key, text);
  }
  // Starts a value that the caller appends to the string itself.
  std::string& begin(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    append_json_string(out_, key);
    out_ += ':';
    return out_;
  }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace twinwire
