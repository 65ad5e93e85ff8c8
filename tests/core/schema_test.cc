// The generated documentation: the schema is JSON and says something of everything, and net/PROTOCOL.md is
// what the tables say (TWINWIRE_UPDATE=1 writes it anew).
#include "core/schema.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace twinwire {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Schema, NamesEveryCommandParameterAndError) {
  simdjson::dom::parser parser;
  std::string text = schema_json(Config());
  simdjson::dom::element schema;
  ASSERT_FALSE(parser.parse(text).get(schema)) << text.substr(0, 200);
  EXPECT_EQ(std::string_view(schema["$schema"]), "https://json-schema.org/draft/2020-12/schema");
  for (const CommandRow& row : command_table()) {
    simdjson::dom::element command;
    ASSERT_FALSE(schema["commands"].at_key(row.name).get(command)) << row.name;
    EXPECT_FALSE(std::string_view(command["description"]).empty()) << row.name;
    for (const FieldSpec& spec : row.fields) {
      simdjson::dom::element parameter;
      ASSERT_FALSE(command["parameters"]["properties"].at_key(wire_name(spec.field)).get(parameter))
          << row.name;
      EXPECT_FALSE(std::string_view(parameter["description"]).empty()) << wire_name(spec.field);
    }
    for (const DocMember& member : row.result)
      EXPECT_FALSE(command["result"]["properties"].at_key(member.name).error())
          << row.name << " " << member.name;
  }
  for (int code = 1; code <= static_cast<int>(Code::draining); code++) {
    simdjson::dom::element error;
    ASSERT_FALSE(schema["errors"].at_key(word_of(static_cast<Code>(code))).get(error));
    EXPECT_EQ(int64_t(error["status"]), http_status_of(static_cast<Code>(code)));
  }
}

// Every $ref and every type word leads somewhere.
TEST(Schema, RefersOnlyToWhatItDefines) {
  std::string text = schema_json(Config());
  std::set<std::string> known = {"EventId", "Error"};
  for (const ObjectSpec& spec : object_table()) EXPECT_TRUE(known.emplace(spec.name).second) << spec.name;
  constexpr std::string_view kRef = "#/$defs/";
  size_t refs = 0;
  for (size_t at = text.find(kRef); at != std::string::npos; at = text.find(kRef, at + 1), refs++) {
    size_t from = at + kRef.size();
    std::string name = text.substr(from, text.find('"', from) - from);
    EXPECT_TRUE(known.contains(name)) << name;
  }
  EXPECT_GT(refs, 20u);
}

TEST(Schema, BoundsAreTheConfigurations) {
  Config config;
  config.limits.room_name_bytes = 77;
  EXPECT_NE(schema_json(config).find("\"maxLength\":77"), std::string::npos);
  EXPECT_EQ(schema_json(Config()).find("\"maxLength\":77"), std::string::npos);
}

TEST(Protocol, PageIsWhatTheTablesSay) {
  std::string path = std::string(TWINWIRE_SOURCE_DIR) + "/net/PROTOCOL.md";
  std::string page = read_file(path);
  ASSERT_NE(page.find("<!-- begin commands -->"), std::string::npos);
  ASSERT_NE(page.find("<!-- begin events -->"), std::string::npos);
  std::string made = with_generated_parts(page);
  if (std::getenv("TWINWIRE_UPDATE")) {
    std::ofstream(path) << made;
    return;
  }
  EXPECT_TRUE(page == made)
      << "net/PROTOCOL.md is out of date: TWINWIRE_UPDATE=1 build/bin/core_tests --gtest_filter=Protocol.*";
}

TEST(Protocol, GeneratedPartsStandBetweenTheirMarks) {
  std::string page = "a\n<!-- begin commands -->\n@@@\n<!-- end commands -->\nb\n";
  std::string made = with_generated_parts(page);
  EXPECT_EQ(made.find("@@@"), std::string::npos);
  EXPECT_NE(made.find("`messages.edit`"), std::string::npos);
  EXPECT_TRUE(made.starts_with("a\n<!-- begin commands -->\n"));
  EXPECT_TRUE(made.ends_with("<!-- end commands -->\nb\n"));
  EXPECT_EQ(with_generated_parts(made), made);
  EXPECT_EQ(with_generated_parts("nothing of it"), "nothing of it");
}

}  // namespace
}  // namespace twinwire
