#include "core/json.h"

#include <simdjson.h>

#include <cstring>

namespace twinwire {

namespace {

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHigh = 0x8080808080808080;

// Whether any of eight bytes is zero; bytes behind the first such may be taken for one.
constexpr uint64_t zeros(uint64_t eight) { return (eight - kOnes) & ~eight & kHigh; }

// How many bytes from `at` on need no escape for certain: whole groups of eight.
size_t plain_run(std::string_view text, size_t at) {
  size_t i = at;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, text.data() + i, 8);
    uint64_t below_space = (eight - kOnes * 0x20) & ~eight & kHigh;
    if (below_space | zeros(eight ^ kOnes * '"') | zeros(eight ^ kOnes * '\\') | zeros(eight ^ kOnes * 0x7f))
      break;
  }
  return i - at;
}

// Whether nothing in it needs an escape. The last eight bytes overlap those before.
bool all_plain(std::string_view text) {
  if (text.size() >= 8) {
    return text.size() - plain_run(text, 0) < 8 && plain_run(text, text.size() - 8) == 8;
  }
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == 0x7f) return false;
  return true;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  // Nearly always, and always of a key: grown once, with the quotes already in place.
  if (all_plain(text)) {
    size_t at = out.size() + 1;
    out.append(text.size() + 2, '"');
    if (!text.empty()) std::memcpy(out.data() + at, text.data(), text.size());
    return;
  }
  out += '"';
  size_t plain = 0;
  for (size_t i = plain_run(text, 0); i < text.size(); i++) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
    i += plain_run(text, i + 1);
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

bool valid_utf8(std::string_view bytes) { return simdjson::validate_utf8(bytes.data(), bytes.size()); }

}  // namespace twinwire
