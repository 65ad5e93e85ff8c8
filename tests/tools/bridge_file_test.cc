// The tables of the configuration file for applications that move: read, refused, printed, read again.
#include "tools/twinwire/bridge_file.h"

#include <gtest/gtest.h>

#include "tools/twinwire/config_file.h"

namespace twinwire {
namespace {

constexpr std::string_view kFile = R"(
[sse]
names = { "*" = "upper_snake", "message.created" = "NEW_MESSAGE" }
data = "data"
keys = { "room" = "conversation" }
members = { room = "conversationId" }

[ws]
names = "hyphen"

[ws.types]
clear = ""
say = "messages.send"

[ws.types.typing_start]
command = "typing.start"
inside = "payload"
set = { room = "lobby", ephemeral = true, n = 3 }

[replies]
keys = "snake_case"

[errors]
unauthenticated = "Unauthorized"

[bridge]
room = "lobby"
history = 256

[routes]
"/events" = ""
"/old/*" = "/api/*"
"/sse" = "hint:/ws"

[routes."/api/chat-typing"]
choose = "typing"
commands = { "true" = "typing.start", "false" = "typing.stop" }

[tenants.acme.sse]
names = "message"

[tenants."with dot.".errors]
forbidden = "No"
)";

Config read(std::string_view text) {
  Config config;
  auto applied = apply_toml(text, "file", config);
  EXPECT_TRUE(applied) << (applied ? "" : applied.error().sentence);
  return config;
}

TEST(BridgeFile, ReadsEveryTable) {
  Config config = read(kFile);
  const Bridge& common = config.bridges.common;
  EXPECT_EQ(common.style.sse.names, NameRule::upper_snake);
  EXPECT_EQ(common.style.sse.name_of.at("message.created"), "NEW_MESSAGE");
  EXPECT_FALSE(common.style.sse.name_of.contains("*"));
  EXPECT_EQ(common.style.sse.body, BodyRule::data);
  EXPECT_EQ(common.style.sse.keys.exceptions.at("room"), "conversation");
  EXPECT_EQ(common.style.sse.members.at("room"), "conversationId");
  EXPECT_EQ(common.style.ws.names, NameRule::hyphen);
  EXPECT_FALSE(common.types.contains("clear"));
  EXPECT_TRUE(common.types.contains("chat"));
  EXPECT_EQ(common.types.at("say").command, "messages.send");
  EXPECT_EQ(common.types.at("typing_start").set.at("room"), "\"lobby\"");
  EXPECT_EQ(common.types.at("typing_start").set.at("ephemeral"), "true");
  EXPECT_EQ(common.replies.rule, KeyCase::snake_case);
  EXPECT_EQ(common.errors.at("unauthenticated"), "Unauthorized");
  EXPECT_EQ(common.history, 256u);
  EXPECT_FALSE(config.routes.contains("/events"));
  EXPECT_EQ(config.routes.at("/sse").kind, Route::Kind::hint);
  EXPECT_EQ(config.routes.at("/sse").target, "/ws");
  EXPECT_EQ(config.routes.at("/api/chat-typing").alias.commands.at("false"), "typing.stop");
  // A tenant begins with what holds for all.
  const Bridge& acme = config.bridges.of("acme");
  EXPECT_EQ(acme.style.sse.names, NameRule::message);
  EXPECT_EQ(acme.style.sse.body, BodyRule::data);
  EXPECT_EQ(acme.room, "lobby");
  EXPECT_EQ(config.bridges.of("with dot.").errors.size(), 1u);
  EXPECT_EQ(config.bridges.of("other").style.sse.names, NameRule::upper_snake);
}

TEST(BridgeFile, PrintsWhatItReads) {
  Config config = read(kFile);
  const std::string text = to_toml(config);
  Config again;
  auto applied = apply_toml(text, "printed", again);
  ASSERT_TRUE(applied) << applied.error().sentence << "\n" << text;
  EXPECT_EQ(to_toml(again), text);
  EXPECT_EQ(again.routes, config.routes);
  EXPECT_EQ(again.bridges.common.types, config.bridges.common.types);
  EXPECT_EQ(again.bridges.common.style.sse.name_of, config.bridges.common.style.sse.name_of);
  EXPECT_EQ(again.bridges.of("acme").style.sse.names, NameRule::message);
}

TEST(BridgeFile, SaysWhatIsWrongAndWhere) {
  const struct {
    std::string_view text, says;
  } rows[] = {
      {"[sse]\nnames = { \"*\" = \"shout\" }", "file:2: sse.names must be \"dot\""},
      {"[sse]\nnames = { a = 1 }", "file:2: sse.names.\"a\" must be a string"},
      {"[sse]\nmembers = { roomy = \"x\" }", "must be one of eventId"},
      {"[ws.types]\nx = \"send\"", "must be a command like \"messages.send\", not \"send\""},
      {"[ws.types.x]\ncomand = \"messages.send\"", "ws.types.\"x\".comand must be one of command"},
      {"[ws.types.x]\ncommand = \"messages.send\"\nchoose = \"a\"", "both choose and commands"},
      {"[routes]\nevents = \"/api/events\"", "begins with /"},
      {"[routes]\n\"/a\" = \"rooms.*\"", "ends in *"},
      {"[tenants.acme.sse]\nheartbeat_seconds = 20",
       "tenants.acme.sse.heartbeat_seconds is not a tenant's to set"},
      {"[tenants.acme]\nsse = 1", "tenants.acme.sse must be a table"},
      {"[errors]\nunauthenticated = \"\"", "not empty"},
  };
  for (const auto& row : rows) {
    Config config;
    auto applied = apply_toml(row.text, "file", config);
    ASSERT_FALSE(applied) << row.text;
    EXPECT_NE(applied.error().sentence.find(row.says), std::string::npos) << applied.error().sentence;
  }
}

}  // namespace
}  // namespace twinwire
