// Numbers as bytes and back: big-endian where bytes are compared (keys), little-endian elsewhere; and a
// reader that cannot run past its end. Not here: what the bytes mean (keys.h, record.h). Any thread; plain
// functions.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/types.h"

namespace twinwire::store {

inline void put_big64(char* out, uint64_t value) {
  uint64_t swapped = __builtin_bswap64(value);
  std::memcpy(out, &swapped, sizeof swapped);
}
inline uint64_t get_big64(const char* in) {
  uint64_t value;
  std::memcpy(&value, in, sizeof value);
  return __builtin_bswap64(value);
}
inline void append_big64(std::string& out, uint64_t value) {
  char bytes[8];
  put_big64(bytes, value);
  out.append(bytes, sizeof bytes);
}

// Appends a length of one byte and the text; the caller knows it is at most 255 bytes.
inline void append_short(std::string& out, std::string_view text) {
  out += static_cast<char>(static_cast<uint8_t>(text.size()));
  out.append(text);
}

// Reads forward through bytes of any origin. After the first read past the end everything reads as zero or
// empty and ok() is false.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }

  std::string_view take(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  uint8_t byte() {
    std::string_view b = take(1);
    return b.empty() ? 0 : static_cast<uint8_t>(b[0]);
  }
  uint64_t big64() {
    std::string_view b = take(8);
    return b.empty() ? 0 : get_big64(b.data());
  }
  uint16_t big16() {
    std::string_view b = take(2);
    if (b.empty()) return 0;
    return static_cast<uint16_t>(static_cast<uint8_t>(b[0]) << 8 | static_cast<uint8_t>(b[1]));
  }
  // A length of one byte and the text.
  std::string_view short_text() { return take(byte()); }
  // The same for a tenant or the text of a Name, which is no longer than that: longer reads as past the end.
  std::string_view name_text() {
    uint8_t size = byte();
    return take(size <= Name::kBytesMax ? size : SIZE_MAX);
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace twinwire::store
