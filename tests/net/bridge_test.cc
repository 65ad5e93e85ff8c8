// Messages of other applications as commands, and answers as those applications know them.
#include <gtest/gtest.h>

#include "net/bridge_in.h"

namespace twinwire {
namespace {

const TypeTable kTypes = default_types();

std::string translated(const CommandAlias& alias, std::string_view data, std::string_view tail = "",
                       std::string_view room = "") {
  auto command = bridge_command(alias, data, tail, room);
  return command ? command->name + " " + command->body : std::string(word_of(command.error().code));
}

TEST(BridgeIn, MembersGetOurNamesUnlessOursAreThere) {
  const CommandAlias& chat = kTypes.at("chat");
  EXPECT_EQ(translated(chat, R"({"text":"hi","room":"a"})"), R"(messages.send {"room":"a","content":"hi"})");
  EXPECT_EQ(translated(chat, R"({"text":"no","content":"yes","conversationId":"a"})", "", "lobby"),
            R"(messages.send {"content":"yes","conversationId":"a"})");
  EXPECT_EQ(translated(chat, R"({"text":"hi"})", "", "lobby"),
            R"(messages.send {"content":"hi","room":"lobby"})");
}

TEST(BridgeIn, AMemberChoosesTheCommand) {
  const CommandAlias& typing = kTypes.at("typing");
  EXPECT_EQ(translated(typing, R"({"isTyping":true,"room":"a"})").substr(0, 13), "typing.start ");
  EXPECT_EQ(translated(typing, R"({"isTyping":false,"room":"a"})").substr(0, 12), "typing.stop ");
  EXPECT_EQ(translated(typing, R"({"room":"a"})").substr(0, 13), "typing.start ");
  CommandAlias strict;
  strict.choose = "action";
  strict.commands = {{"join", "rooms.join"}};
  EXPECT_EQ(translated(strict, R"({"action":"jump"})"), "invalid_argument");
}

TEST(BridgeIn, TheWholeBecomesAMember) {
  EXPECT_EQ(translated(kTypes.at("webrtc-signal"), R"({"targetId":"bob","sdp":"v=0"})"),
            R"(signal.send {"sdp":"v=0","to":"bob","data":{"targetId":"bob","sdp":"v=0"}})");
  EXPECT_EQ(translated(kTypes.at("webrtc-signal"), R"({"to":"bob","data":1})", "", "lobby"),
            R"(signal.send {"to":"bob","data":1,"room":"lobby"})");
}

TEST(BridgeIn, ConstantsWhereTheMessageHasNone) {
  CommandAlias alias;
  alias.command = "events.publish";
  alias.set = {{"type", "\"note\""}, {"ephemeral", "true"}};
  EXPECT_EQ(translated(alias, R"({"ephemeral":false})"),
            R"(events.publish {"ephemeral":false,"type":"note"})");
}

TEST(BridgeIn, TheTailNamesTheCommand) {
  CommandAlias alias;
  alias.command = "rooms.*";
  EXPECT_EQ(translated(alias, "{}", "create"), "rooms.create {}");
  EXPECT_EQ(translated(alias, "", "load"), "rooms.load {}");
  EXPECT_EQ(translated(alias, "{}", "a/b"), "not_found");
}

TEST(BridgeIn, WhatIsNoObjectIsLeftToTheCommandsDecoding) {
  EXPECT_EQ(translated(kTypes.at("chat"), "[1]"), "messages.send [1]");
  EXPECT_EQ(translated(kTypes.at("chat"), "{oops"), "messages.send {oops");
}

TEST(BridgeOut, RefusalsSayWhatTheApplicationKnows) {
  Bridge bridge;
  EXPECT_FALSE(changes_replies(bridge));
  bridge.errors = {{"unauthenticated", "Unauthorized"},
                   {"messages.send.invalid_argument", "Missing required fields"}};
  EXPECT_TRUE(changes_replies(bridge));
  auto told = [&](Code code, std::string_view command) {
    Reply reply = reply_of(fail(code, "the \"engine's\" own"));
    bridge_reply(reply, bridge, command);
    return reply.body;
  };
  EXPECT_EQ(told(Code::unauthenticated, "rooms.load"),
            R"({"success":false,"error":"Unauthorized","code":"unauthenticated","retryable":false,)"
            R"("detail":"the \"engine's\" own"})");
  EXPECT_NE(told(Code::invalid_argument, "messages.send").find("Missing required fields"), std::string::npos);
  EXPECT_EQ(told(Code::invalid_argument, "rooms.load"),
            reply_of(fail(Code::invalid_argument, "the \"engine's\" own")).body);
}

TEST(BridgeOut, MemberNamesOfAnswers) {
  Bridge bridge;
  bridge.replies = {KeyCase::snake_case, {{"room", "conversation"}}};
  Reply reply{Code::ok, R"({"success":true,"room":{"isGroup":false}})", 0};
  bridge_reply(reply, bridge, "rooms.create");
  EXPECT_EQ(reply.body, R"({"success":true,"conversation":{"is_group":false}})");
}

TEST(BridgeOut, AHintNamesTheNewAddress) {
  EXPECT_EQ(hint_body("/ws", {"chat.example:8080"}),
            R"({"success":true,"moved":true,"path":"/ws","url":"ws://chat.example:8080/ws",)"
            R"("message":"this stream has moved: connect to /ws"})");
  auto url = [](const char* target, bool secure) {
    std::string body = hint_body(target, {"chat.example", secure});
    size_t at = body.find("\"url\":\"") + 7;
    return body.substr(at, body.find('"', at) - at);
  };
  EXPECT_EQ(url("/ws", true), "wss://chat.example/ws");
  EXPECT_EQ(url("/api/events", true), "https://chat.example/api/events");
  EXPECT_EQ(url("/api/events", false), "http://chat.example/api/events");
  EXPECT_EQ(hint_body("/ws", {"", true}).find("url"), std::string::npos);
}

}  // namespace
}  // namespace twinwire
