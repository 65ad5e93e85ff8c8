#include "net/utf8.h"

#include <string.h>

namespace twinwire {

bool Utf8Check::add(std::string_view bytes) {
  if (left_ == kBad) return false;
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  while (at < end) {
    if (left_ == 0) {
      // Runs of ASCII, eight at a time.
      for (uint64_t word; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        if (word & 0x8080808080808080u) break;
      }
      if (at == end) break;
    }
    auto byte = static_cast<uint8_t>(*at++);
    if (left_ > 0) {
      if (byte < low_ || byte > high_) return left_ = kBad, false;
      left_--;
      low_ = 0x80;
      high_ = 0xbf;
    } else if (byte >= 0x80) {
      // The second byte's range rules out overlong forms, surrogates and what lies beyond U+10FFFF.
      if (byte >= 0xc2 && byte <= 0xdf) {
        left_ = 1;
      } else if (byte >= 0xe0 && byte <= 0xef) {
        left_ = 2;
        if (byte == 0xe0) low_ = 0xa0;
        if (byte == 0xed) high_ = 0x9f;
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        left_ = 3;
        if (byte == 0xf0) low_ = 0x90;
        if (byte == 0xf4) high_ = 0x8f;
      } else {
        return left_ = kBad, false;
      }
    }
  }
  return true;
}

}  // namespace twinwire
