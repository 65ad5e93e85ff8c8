// JSON out, held against simdjson; and the check of UTF-8.
#include "core/json.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

namespace twinwire {
namespace {

std::string read_back(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  auto error = parser.parse(json).get(element);
  EXPECT_EQ(error, simdjson::SUCCESS) << json;
  std::string_view text;
  if (error || element.get_string().get(text)) return "<no string>";
  return std::string(text);
}

// Code points of every length of UTF-8, surrogates left out.
void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 63));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 63));
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  }
}

TEST(Json, KnownStrings) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string("plain"), R"("plain")");
  EXPECT_EQ(json_string("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(json_string("\n\r\t\b\f"), R"("\n\r\t\u0008\u000c")");
  EXPECT_EQ(json_string(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(json_string("\x1f\x7f"), R"("\u001f\u007f")");
  EXPECT_EQ(json_string("é€😀"), "\"é€😀\"");
  EXPECT_EQ(json_string("\xe2\x80\xa8"), "\"\xe2\x80\xa8\"");
}

TEST(Json, EveryAsciiByteAtEveryPlaceComesBack) {
  for (int c = 0; c < 128; c++)
    for (std::string text : {std::string(1, char(c)), "a" + std::string(1, char(c)),
                             std::string(1, char(c)) + "b", std::string(40, 'x') + char(c) + char(c) + "y"}) {
      std::string json = json_string(text);
      EXPECT_EQ(read_back(json), text);
      for (char out : json) EXPECT_TRUE(static_cast<unsigned char>(out) >= 0x20 && out != 0x7f);
    }
}

TEST(Json, RandomTextComesBack) {
  std::mt19937 random(5);
  for (int run = 0; run < 3000; run++) {
    std::string text;
    for (uint32_t n = random() % 40; n > 0; n--) {
      uint32_t limits[] = {0x20, 0x80, 0x800, 0xd800, 0x110000 - 0xe000};
      uint32_t which = random() % 5, c = random() % limits[which];
      append_utf8(text, which == 4 ? 0xe000 + c : c);
    }
    ASSERT_TRUE(valid_utf8(text));
    EXPECT_EQ(read_back(json_string(text)), text);
  }
}

TEST(Json, AppendsBehindWhatIsThere) {
  std::string out = "x";
  append_json_string(out, "a\nb");
  append_json_string(out, "c");
  EXPECT_EQ(out, R"(x"a\nb""c")");
}

TEST(Json, Objects) {
  std::string out;
  JsonObject object(out);
  object.field("text", "a\"b")
      .field("yes", true)
      .field("no", false)
      .field("big", UINT64_MAX)
      .field("small", -3);
  object.field("u32", uint32_t{7}).raw("list", "[1,2]").text_or_null("empty", "").text_or_null("full", "f");
  object.field("key\n", std::string_view("v"));
  object.begin("own") += "{}";
  object.end();
  EXPECT_EQ(
      out,
      R"({"text":"a\"b","yes":true,"no":false,"big":18446744073709551615,"small":-3,"u32":7,"list":[1,2],)"
      R"("empty":null,"full":"f","key\n":"v","own":{}})");
  simdjson::dom::parser parser;
  EXPECT_EQ(parser.parse(out).error(), simdjson::SUCCESS);
  std::string none;
  JsonObject(none).end();
  EXPECT_EQ(none, "{}");
}

TEST(Json, Utf8) {
  for (std::string good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(valid_utf8(good));
  for (std::string bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x20", "\xe0\x80\x80", "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xe2\x82", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe", "ok\xe2\x82"}) {
    EXPECT_FALSE(valid_utf8(bad));
    EXPECT_FALSE(valid_utf8(std::string(100, 'x') + bad));
  }
}

}  // namespace
}  // namespace twinwire
