// UTF-8 checked as it arrives (RFC 3629; RFC 6455, 8.1): bytes may end anywhere, and the first byte that no
// continuation can repair is found at once.
// Any thread; a plain value of four bytes.
#pragma once

#include <cstdint>
#include <string_view>

namespace twinwire {

class Utf8Check {
 public:
  // False from the first byte on that cannot be part of valid UTF-8; stays false.
  bool add(std::string_view bytes);
  // Whether the bytes so far end between two characters.
  bool complete() const { return left_ == 0; }

 private:
  uint8_t left_ = 0;                  // continuation bytes still missing; kBad: failed
  uint8_t low_ = 0x80, high_ = 0xbf;  // what the next one may be
  static constexpr uint8_t kBad = 0xff;
};

}  // namespace twinwire
