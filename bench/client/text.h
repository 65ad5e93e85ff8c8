// Bytes and words: URL escaping, UTF-8 repair, numbers for people.
// Not here: JSON (core/json.h to write, event.h to read). Any thread; plain functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace twinwire::client {

// RFC 3986, section 2.1: everything but unreserved characters becomes %XX.
std::string percent_encoded(std::string_view text);

struct Repaired {
  std::string text;
  size_t replaced = 0;  // maximal ill-formed subparts, each now one U+FFFD
};
// The bytes as UTF-8: every maximal ill-formed subpart (Unicode 15, 3.9, table 3-7) becomes U+FFFD.
Repaired repair_utf8(std::string_view bytes);

// "1,234,567".
std::string with_thousands(uint64_t number);
// A length of time in the unit that reads best: "840 ns", "12.3 us", "4.56 ms", "7.8 s".
std::string duration_text(uint64_t nanoseconds);
// Binary units: "512 B", "1.5 KiB", "3.2 MiB".
std::string bytes_text(uint64_t bytes);

// Case-insensitive comparison of ASCII letters, as header names need it.
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string_view trimmed(std::string_view text);

}  // namespace twinwire::client
