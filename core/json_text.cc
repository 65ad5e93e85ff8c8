#include "core/json_text.h"

#include <cstring>

#include "core/json.h"

namespace twinwire {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The four hexadecimal digits at `at`, or -1.
int32_t hex4(std::string_view text, size_t at) {
  if (at + 4 > text.size()) return -1;
  int32_t value = 0;
  for (size_t i = at; i < at + 4; i++) {
    int digit = hex_digit(text[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

bool is_high_surrogate(int32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool is_low_surrogate(int32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

}  // namespace

// Reads a text once, from the front. Each function begins where its token must stand and ends behind it;
// false: at() is where the text stops being JSON.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, JsonText& out) : text_(text), out_(out) {}

  // One value, with nothing but white space around it.
  bool whole(JsonKind& kind) {
    skip_space();
    if (!value(kind, 0)) return false;
    skip_space();
    return ends();
  }
  size_t at() const { return at_; }

 private:
  bool ends() const { return at_ == text_.size(); }
  bool sees(char c) const { return !ends() && text_[at_] == c; }
  void skip_space() {
    while (!ends() && is_space(text_[at_])) at_++;
  }
  bool take(char c) {
    if (!sees(c)) return false;
    at_++;
    return true;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool value(JsonKind& kind, uint32_t depth) {
    if (ends()) return false;
    switch (text_[at_]) {
      case '{':
        kind = JsonKind::object;
        return list(depth, '}');
      case '[':
        kind = JsonKind::array;
        return list(depth, ']');
      case '"':
        kind = JsonKind::string;
        return string();
      case 't':
        kind = JsonKind::boolean;
        return take("true");
      case 'f':
        kind = JsonKind::boolean;
        return take("false");
      case 'n':
        kind = JsonKind::null;
        return take("null");
      default:
        kind = JsonKind::number;
        return number();
    }
  }

  // An object or array; the outermost one's members or elements are the parts.
  bool list(uint32_t depth, char close) {
    if (depth == JsonText::kDepthMax) return false;
    at_++;
    skip_space();
    if (take(close)) return true;
    for (;;) {
      JsonPart part;
      if (close == '}' && !key(part)) return false;
      size_t from = at_;
      if (!value(part.kind, depth + 1)) return false;
      part.raw = text_.substr(from, at_ - from);
      if (depth == 0) out_.add(part);
      skip_space();
      if (take(close)) return true;
      if (!take(',')) return false;
      skip_space();
    }
  }

  bool key(JsonPart& part) {
    size_t from = at_ + 1;
    escaped_ = false;
    if (!sees('"') || !string()) return false;
    part.key = text_.substr(from, at_ - 1 - from);
    part.escaped = escaped_;
    skip_space();
    if (!take(':')) return false;
    skip_space();
    return true;
  }

  // Over bytes that mean themselves, eight at a time: no quote, backslash or control character among them.
  void skip_plain() {
    constexpr uint64_t kOnes = 0x0101010101010101, kTops = 0x8080808080808080;
    auto any_below = [](uint64_t word, uint64_t bound) { return (word - kOnes * bound) & ~word & kTops; };
    for (uint64_t word; at_ + 8 <= text_.size(); at_ += 8) {
      std::memcpy(&word, text_.data() + at_, 8);
      if (any_below(word, 0x20) | any_below(word ^ kOnes * '"', 1) | any_below(word ^ kOnes * '\\', 1))
        return;
    }
  }

  bool string() {
    at_++;
    for (uint32_t n = 0; !ends(); n++, at_++) {
      if (n % 8 == 0) skip_plain();
      if (ends()) return false;
      char c = text_[at_];
      if (c == '"') {
        at_++;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }

  // Ends on the escape's last character. A surrogate alone is no character (RFC 8259, 8.2).
  bool escape() {
    escaped_ = true;
    at_++;
    if (ends()) return false;
    if (text_[at_] != 'u') return std::string_view("\"\\/bfnrt").find(text_[at_]) != std::string_view::npos;
    int32_t unit = hex4(text_, at_ + 1);
    if (unit < 0 || is_low_surrogate(unit)) return false;
    at_ += 4;
    if (!is_high_surrogate(unit)) return true;
    if (text_.substr(at_ + 1, 2) != "\\u" || !is_low_surrogate(hex4(text_, at_ + 3))) return false;
    at_ += 6;
    return true;
  }

  bool digits() {
    size_t from = at_;
    while (!ends() && is_digit(text_[at_])) at_++;
    return at_ > from;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (!take('e') && !take('E')) return true;
    if (!take('+')) take('-');
    return digits();
  }

  std::string_view text_;
  JsonText& out_;
  size_t at_ = 0;
  bool escaped_ = false;  // since the last key began
};

namespace {

void append_utf8(std::string& out, uint32_t point) {
  auto add = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) return add(point);
  if (point < 0x800) {
    add(0xc0 | point >> 6);
  } else if (point < 0x10000) {
    add(0xe0 | point >> 12);
    add(0x80 | (point >> 6 & 0x3f));
  } else {
    add(0xf0 | point >> 18);
    add(0x80 | (point >> 12 & 0x3f));
    add(0x80 | (point >> 6 & 0x3f));
  }
  add(0x80 | (point & 0x3f));
}

// Undoes the escapes of a checked string's inside.
void append_unescaped(std::string& out, std::string_view inside) {
  constexpr std::string_view kLetters = "bfnrt", kMeant = "\b\f\n\r\t";
  for (size_t at = 0; at < inside.size();) {
    size_t plain = std::min(inside.find('\\', at), inside.size());
    out.append(inside, at, plain - at);
    at = plain;
    if (at == inside.size()) return;
    char c = inside[at + 1];
    if (c != 'u') {
      size_t letter = kLetters.find(c);
      out += letter == std::string_view::npos ? c : kMeant[letter];
      at += 2;
      continue;
    }
    auto point = static_cast<uint32_t>(hex4(inside, at + 2));
    at += 6;
    if (is_high_surrogate(static_cast<int32_t>(point))) {
      auto low = static_cast<uint32_t>(hex4(inside, at + 2));
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
      at += 6;
    }
    append_utf8(out, point);
  }
}

}  // namespace

Result<void> JsonText::take(std::string_view text) {
  if (!valid_utf8(text)) return fail(Code::invalid_json, "this is not valid JSON: it is not UTF-8");
  JsonScanner scanner(text, *this);
  if (!scanner.whole(kind_)) {
    return fail(Code::invalid_json,
                "this is not valid JSON from byte " + std::to_string(scanner.at()) + " on");
  }
  return {};
}

Result<JsonText> JsonText::read(std::string_view text) {
  JsonText self;
  if (auto taken = self.take(text); !taken) return taken.error();
  return self;
}

void JsonText::add(const JsonPart& part) {
  if (count_ < kFew) {
    few_[count_++] = part;
    return;
  }
  if (more_.empty()) more_.assign(few_.begin(), few_.end());
  more_.push_back(part);
}

const JsonPart* JsonText::find(std::string_view name) const {
  for (const JsonPart& part : parts()) {
    if (part.key == name) return &part;
    if (!part.escaped) continue;
    std::string key;
    append_unescaped(key, part.key);
    if (key == name) return &part;
  }
  return nullptr;
}

std::string json_text_of(std::string_view raw) {
  std::string out;
  append_unescaped(out, raw.substr(1, raw.size() - 2));
  return out;
}

std::string_view json_text_of(std::string_view raw, std::string& scratch) {
  std::string_view inside = raw.substr(1, raw.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return inside;
  scratch.clear();
  append_unescaped(scratch, inside);
  return scratch;
}

std::string json_minified(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  for (size_t at = 0; at < raw.size();) {
    char c = raw[at];
    if (c != '"') {
      if (!is_space(c)) out += c;
      at++;
      continue;
    }
    // A string goes whole. Its end is the next quote that no backslash stands before, not counting
    // backslashes that are meant themselves.
    size_t end = at + 1;
    for (;;) {
      end = raw.find('"', end);
      size_t backslashes = 0;
      while (raw[end - 1 - backslashes] == '\\') backslashes++;
      end++;
      if (backslashes % 2 == 0) break;
    }
    out.append(raw, at, end - at);
    at = end;
  }
  return out;
}

}  // namespace twinwire
