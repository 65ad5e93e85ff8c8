// Escaping that skips eight plain bytes at a time, against one byte at a time; the timestamp's cached second.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "core/event.h"
#include "core/json.h"

namespace twinwire {
namespace {

std::string slowly(std::string_view text) {
  std::string out = "\"";
  for (const char each : text) {
    const auto c = static_cast<unsigned char>(each);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += each;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7f) {
      static constexpr char hex[] = "0123456789abcdef";
      out += "\\u00";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else {
      out += each;
    }
  }
  return out + '"';
}

TEST(JsonEscape, EveryByteAtEveryPlace) {
  for (size_t size = 1; size <= 24; size++) {
    for (size_t place = 0; place < size; place++) {
      for (int byte = 0; byte < 256; byte++) {
        std::string text(size, 'x');
        text[place] = static_cast<char>(byte);
        ASSERT_EQ(json_string(text), slowly(text)) << byte << " at " << place << " of " << size;
      }
    }
  }
}

TEST(JsonEscape, AnyBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; round++) {
    std::string text(random() % 80, ' ');
    for (char& c : text) c = static_cast<char>(random() % 4 == 0 ? random() % 0x24 : random() % 256);
    ASSERT_EQ(json_string(text), slowly(text));
  }
}

TEST(Timestamp, SecondsAndMillisecondsInAnyOrder) {
  EXPECT_EQ(format_timestamp(1'700'000'000'000), "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(format_timestamp(1'700'000'000'007), "2023-11-14T22:13:20.007Z");
  EXPECT_EQ(format_timestamp(1'700'000'000'999), "2023-11-14T22:13:20.999Z");
  EXPECT_EQ(format_timestamp(1'700'000'001'040), "2023-11-14T22:13:21.040Z");
  EXPECT_EQ(format_timestamp(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_timestamp(1'700'000'000'120), "2023-11-14T22:13:20.120Z");
}

}  // namespace
}  // namespace twinwire
