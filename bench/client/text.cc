#include "bench/client/text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>

namespace twinwire::client {
namespace {

constexpr char kHexUpper[] = "0123456789ABCDEF";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// What one lead byte allows: how many bytes in all and the range of the second.
struct Lead {
  size_t size;
  unsigned char second_min;
  unsigned char second_max;
};

Lead lead_of(unsigned char c) {
  if (c < 0x80) return {1, 0, 0};
  if (c < 0xC2) return {0, 0, 0};
  if (c < 0xE0) return {2, 0x80, 0xBF};
  if (c == 0xE0) return {3, 0xA0, 0xBF};
  if (c == 0xED) return {3, 0x80, 0x9F};
  if (c < 0xF0) return {3, 0x80, 0xBF};
  if (c == 0xF0) return {4, 0x90, 0xBF};
  if (c < 0xF4) return {4, 0x80, 0xBF};
  if (c == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Bytes of the well-formed prefix at `text[0]`; `complete` says whether it is a whole character.
size_t prefix_of(std::string_view text, bool& complete) {
  const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
  complete = lead.size == 1;
  if (lead.size < 2) return 1;
  size_t n = 1;
  while (n < lead.size && n < text.size()) {
    const auto c = static_cast<unsigned char>(text[n]);
    const unsigned char low = n == 1 ? lead.second_min : 0x80;
    const unsigned char high = n == 1 ? lead.second_max : 0xBF;
    if (c < low || c > high) return n;
    ++n;
  }
  complete = n == lead.size;
  return n;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (unreserved(byte)) {
      out += c;
    } else {
      out += '%';
      out += kHexUpper[byte >> 4];
      out += kHexUpper[byte & 15];
    }
  }
  return out;
}

Repaired repair_utf8(std::string_view bytes) {
  if (simdjson::validate_utf8(bytes.data(), bytes.size())) return {std::string(bytes), 0};
  Repaired out;
  out.text.reserve(bytes.size() + 8);
  while (!bytes.empty()) {
    bool complete = false;
    const size_t n = prefix_of(bytes, complete);
    if (complete) {
      out.text.append(bytes.substr(0, n));
    } else {
      out.text.append(kReplacement);
      ++out.replaced;
    }
    bytes.remove_prefix(n);
  }
  return out;
}

std::string with_thousands(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string duration_text(uint64_t nanoseconds) {
  const auto n = static_cast<double>(nanoseconds);
  if (nanoseconds < 1'000) return fmt::format("{} ns", nanoseconds);
  if (nanoseconds < 1'000'000) return fmt::format("{:.1f} us", n / 1e3);
  if (nanoseconds < 1'000'000'000) return fmt::format("{:.2f} ms", n / 1e6);
  return fmt::format("{:.2f} s", n / 1e9);
}

std::string bytes_text(uint64_t bytes) {
  static constexpr std::array<const char*, 4> units{"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double n = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (n >= 1024 && unit + 1 < units.size()) {
    n /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", n, units[unit]);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace twinwire::client
