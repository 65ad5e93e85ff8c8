// Reading JSON, held against simdjson: what the one takes the other takes, but for the size of numbers and
// the depth.
#include "core/json_text.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

namespace twinwire {
namespace {

// What simdjson says of a text: taken, refused, or refused for a reason that we do not share.
enum class Verdict { taken, refused, other };
Verdict verdict_of(const std::string& text) {
  simdjson::dom::parser parser;
  simdjson::error_code error = parser.parse(text).error();
  if (error == simdjson::SUCCESS) return Verdict::taken;
  bool ours_alone = error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR;
  return ours_alone ? Verdict::other : Verdict::refused;
}

std::string raws(const JsonText& text) {
  std::string out;
  for (const JsonPart& part : text.parts()) out += std::string(part.key) + "=" + std::string(part.raw) + ";";
  return out;
}

TEST(JsonText, PartsAsTheyStand) {
  auto text = JsonText::read(" {\"a\" : 1.50 ,\n\"b\":[1, {\"c\":null}] , \"d\" :\"x\\n\\\"\",\"\":true}\t");
  ASSERT_TRUE(text) << text.error().sentence;
  EXPECT_EQ(text->kind(), JsonKind::object);
  EXPECT_EQ(raws(*text), "a=1.50;b=[1, {\"c\":null}];d=\"x\\n\\\"\";=true;");
  EXPECT_EQ(text->find("b")->kind, JsonKind::array);
  EXPECT_EQ(text->find("d")->kind, JsonKind::string);
  EXPECT_EQ(text->find("")->kind, JsonKind::boolean);
  EXPECT_EQ(text->find("c"), nullptr) << "only the outermost object's members";
  text = JsonText::read("[1,[],\"\",{}]");
  ASSERT_TRUE(text);
  EXPECT_EQ(raws(*text), "=1;=[];=\"\";={};");
  text = JsonText::read(R"({"a":1,"a":2,"\u0062":3,"\u00e9":4})");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->find("a")->raw, "1") << "the first";
  EXPECT_EQ(text->find("b")->raw, "3");
  EXPECT_EQ(text->find("é")->raw, "4");
}

TEST(JsonText, NumbersOfAnySize) {
  for (std::string number :
       {"0", "-0", "7", "10", "-1", "1.5", "0.0", "1e5", "1E+5", "1e-5", "-0.1e-10",
        "123456789012345678901234567890", "1e999999", "0.10000000000000000000000000000000000000001"}) {
    std::string object = "{\"n\":" + number + "}";
    auto text = JsonText::read(object);
    ASSERT_TRUE(text) << number;
    EXPECT_EQ(text->find("n")->raw, number);
    EXPECT_EQ(text->find("n")->kind, JsonKind::number);
    EXPECT_TRUE(JsonText::read(number)) << number;
  }
  for (std::string bad : {"00", "01", "-", "-01", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "1_0", "NaN",
                          "Infinity", "-Infinity", "1 2", "--1", "1e5.5"}) {
    EXPECT_FALSE(JsonText::read("[" + bad + "]")) << bad;
    EXPECT_FALSE(JsonText::read(bad)) << bad;
  }
}

TEST(JsonText, Strings) {
  auto said = [](std::string_view raw) { return json_text_of(raw); };
  EXPECT_EQ(said(R"("")"), "");
  EXPECT_EQ(said(R"("plain é")"), "plain é");
  EXPECT_EQ(said(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(said(R"("\u0041\u00e9\u20ac\ud83e\uddf5")"), "Aé€🧵");
  EXPECT_EQ(said(R"("a\u0000b")"), std::string("a\0b", 3));
  for (std::string bad : {R"("\ud800")", R"("\udc00")", R"("\ud800\ud800")", R"("\ud800x")",
                          R"("\ud83e\u0041")", R"("\u12")", R"("\u12g4")", R"("\x41")", R"("\)", R"("\")",
                          "\"a\nb\"", "\"\x1f\"", "\"\xff\"", "\"\xed\xa0\x80\"", "'a'"})
    EXPECT_FALSE(JsonText::read(bad)) << bad;
}

TEST(JsonText, Depth) {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(JsonText::read(nested(JsonText::kDepthMax)));
  EXPECT_FALSE(JsonText::read(nested(JsonText::kDepthMax + 1)));
  EXPECT_FALSE(JsonText::read(std::string(1 << 20, '[')));
}

TEST(JsonText, TheErrorSaysWhere) {
  EXPECT_EQ(JsonText::read("{\"a\":1,}").error().sentence, "this is not valid JSON from byte 7 on");
  EXPECT_EQ(JsonText::read("").error().sentence, "this is not valid JSON from byte 0 on");
  EXPECT_EQ(JsonText::read("\xff").error().code, Code::invalid_json);
}

TEST(JsonText, Minified) {
  EXPECT_EQ(json_minified(" { \"a b\" :\r\n[ 1 ,\t\" \\\" \" ] } "), R"({"a b":[1," \" "]})");
  EXPECT_EQ(json_minified(R"("\\")"), R"("\\")");
}

// Good texts with a byte changed, taken out or put in: both readers say the same.
TEST(JsonText, SaysWhatSimdjsonSays) {
  const std::string seeds[] = {
      R"({"type":"messages.send","id":7,"data":{"room":"r","content":"grüße \ud83e\uddf5 \n","n":[1,-2.5e3,null]}})",
      R"([true,false,null,0,-0.5,1E2,"\u00e9\/",{},[],{"":{"":[[]]}}])", R"( "alone" )", "12.5",
      "{\"a\":\"b\"\t,\r\n\"c\" : [ ] }"};
  const std::string bytes = "{}[]\",:\\ \n0123456789.eE+-truefalsnu/\x01\x7f\xc3\xa9\xff";
  std::mt19937 random(1);
  int taken = 0, refused = 0;
  for (int round = 0; round < 40000; round++) {
    std::string text = seeds[random() % std::size(seeds)];
    for (uint32_t changes = random() % 3; changes > 0; changes--) {
      size_t at = random() % text.size();
      char byte = bytes[random() % bytes.size()];
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, 1);
      }
      if (text.empty()) text = " ";
    }
    bool ours = static_cast<bool>(JsonText::read(text));
    Verdict theirs = verdict_of(text);
    if (theirs == Verdict::other) continue;
    EXPECT_EQ(ours, theirs == Verdict::taken) << text;
    (ours ? taken : refused)++;
  }
  EXPECT_GT(taken, 5000);
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace twinwire
