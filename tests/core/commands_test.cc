// Commands at work: what they answer, what the room is told, who may, and what a failing store takes back.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/limits.h"
#include "tests/core/command_engine.h"

namespace twinwire::test {
namespace {

std::string group(CommandEngine& engine, const std::string& others) {
  std::string made =
      engine.command("ann", "rooms.create", R"({"isGroup":true,"participantIds":[)" + others + "]}");
  return member(made, "id");
}

std::string in(const std::string& room, const std::string& more) {
  return "{\"room\":\"" + room + "\"," + more + "}";
}

std::string sent(CommandEngine& engine, const std::string& user, const std::string& room,
                 const std::string& text) {
  return member(engine.command(user, "messages.send", in(room, "\"content\":\"" + text + "\"")), "eventId");
}

// ---- messages.edit, messages.delete ----

TEST(Changes, AnEditIsToldLoadedAndItsAuthorsOnly) {
  CommandEngine engine;
  uint32_t reader = engine.open("bob", {"lobby"});
  std::string id = sent(engine, "ann", "lobby", "frist");
  std::string refused =
      engine.command("bob", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"x\""));
  // In mode none everybody manages open rooms, so bob may: what is refused is tried in a direct room below.
  EXPECT_TRUE(has(refused, "\"success\":true"));
  engine.clock.now += 5000;
  std::string edited = engine.command("ann", "messages.edit",
                                      in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"first\""));
  EXPECT_TRUE(has(edited, "\"success\":true"));
  EXPECT_TRUE(has(edited, "\"id\":\"" + id + "\""));
  EXPECT_TRUE(has(edited, "\"content\":\"first\""));
  EXPECT_NE(member(edited, "eventId"), id);
  EXPECT_NE(member(edited, "createdAt"), member(edited, "updatedAt"));
  EXPECT_EQ(engine.count(reader, {"\"message.updated\"", "\"content\":\"first\"", id}), 1u);
  std::string loaded = engine.command("bob", "messages.load", R"({"room":"lobby"})");
  EXPECT_TRUE(has(loaded, "\"content\":\"first\""));
  EXPECT_FALSE(has(loaded, "frist"));
  EXPECT_TRUE(has(loaded, "\"hasMore\":false"));
}

TEST(Changes, EncryptedTextReplacesText) {
  CommandEngine engine;
  std::string id = sent(engine, "ann", "lobby", "plain");
  std::string edited = engine.command(
      "ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"encryptedContent\":\"zz\""));
  EXPECT_TRUE(has(edited, "\"content\":null,\"encryptedContent\":\"zz\""));
}

TEST(Changes, ADirectRoomsMessagesAreTheirAuthorsAlone) {
  CommandEngine engine;
  std::string room = member(engine.command("ann", "rooms.create", R"({"participantIds":["bob"]})"), "id");
  std::string id = sent(engine, "ann", room, "mine");
  for (const char* name : {"messages.edit", "messages.delete"})
    EXPECT_TRUE(has(engine.command("bob", name, in(room, "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
                    "\"code\":\"forbidden\""));
  EXPECT_TRUE(
      has(engine.command("eve", "messages.edit", in(room, "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
          "\"code\":\"forbidden\""));
}

TEST(Changes, AGroupsCreatorMayDeleteAnyonesAndAMemberOnlyTheirOwn) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob","cat")");
  std::string id = sent(engine, "bob", room, "of bob");
  EXPECT_TRUE(
      has(engine.command("cat", "messages.delete", in(room, "\"messageId\":\"" + id + "\"")), "forbidden"));
  EXPECT_TRUE(has(engine.command("ann", "messages.delete", in(room, "\"messageId\":\"" + id + "\"")),
                  "\"success\":true"));
}

TEST(Changes, ATombstoneRemainsAndNothingOfTheText) {
  CommandEngine engine;
  uint32_t reader = engine.open("bob", {"lobby"});
  std::string id = sent(engine, "ann", "lobby", "regretted");
  std::string gone = engine.command("ann", "messages.delete",
                                    in("lobby", "\"messageId\":\"" + id + "\",\"clientId\":\"d1\""));
  EXPECT_TRUE(has(gone, "\"content\":null"));
  EXPECT_TRUE(has(gone, "\"deletedAt\":\""));
  EXPECT_EQ(engine.count(reader, {"\"message.deleted\"", id, "\"content\":null"}), 1u);
  std::string loaded = engine.command("bob", "messages.load", R"({"room":"lobby"})");
  EXPECT_TRUE(has(loaded, "\"deletedAt\":\""));
  EXPECT_FALSE(has(loaded, "regretted"));
  // A retry is the first result again; a second deletion and an edit are a conflict.
  std::string again = engine.command("ann", "messages.delete",
                                     in("lobby", "\"messageId\":\"" + id + "\",\"clientId\":\"d1\""));
  EXPECT_TRUE(has(again, "\"duplicate\":true"));
  EXPECT_EQ(member(again, "eventId"), member(gone, "eventId"));
  EXPECT_TRUE(has(engine.command("ann", "messages.delete", in("lobby", "\"messageId\":\"" + id + "\"")),
                  "\"code\":\"conflict\""));
  EXPECT_TRUE(has(
      engine.command("ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
      "\"code\":\"conflict\""));
  EXPECT_EQ(engine.count(reader, {"\"message.deleted\""}), 1u);
}

TEST(Changes, WhatIsNoMessageIsNotFound) {
  CommandEngine engine;
  std::string id = sent(engine, "ann", "lobby", "here");
  std::string edit = member(
      engine.command("ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
      "eventId");
  for (const std::string& wrong :
       {edit, engine.cursor(0), engine.cursor(99999), "000000000001-" + id.substr(13)})
    EXPECT_TRUE(has(engine.command("ann", "messages.edit",
                                   in("lobby", "\"messageId\":\"" + wrong + "\",\"content\":\"x\"")),
                    "\"code\":\"not_found\""))
        << wrong;
  EXPECT_TRUE(has(engine.command("ann", "messages.edit",
                                 in("elsewhere", "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
                  "\"code\":\"not_found\""));
  engine.command("ann", "rooms.clear", R"({"room":"lobby"})");
  EXPECT_TRUE(has(
      engine.command("ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"x\"")),
      "\"code\":\"not_found\""));
}

TEST(Changes, AnUnsavedEditIsTakenBack) {
  CommandEngine engine;
  std::string id = sent(engine, "ann", "lobby", "kept");
  engine.writing = false;
  std::string tag =
      engine.send("ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"lost\""));
  engine.settle();
  EXPECT_TRUE(has(engine.command("bob", "messages.load", R"({"room":"lobby"})"), "\"content\":\"lost\""));
  engine.write(Outcome::unsaved);
  engine.writing = true;
  engine.settle();
  EXPECT_TRUE(has(engine.sockets.replies[tag].body, "\"code\":\"storage_unavailable\""));
  EXPECT_TRUE(has(engine.command("bob", "messages.load", R"({"room":"lobby"})"), "\"content\":\"kept\""));
}

// ---- rooms.invite, rooms.remove, rooms.update ----

TEST(Members, RemovalStopsDeliveryExactlyThere) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t bob = engine.open("bob"), ann = engine.open("ann");
  engine.settle();
  sent(engine, "ann", room, "before");
  EXPECT_TRUE(
      has(engine.command("bob", "rooms.remove", in(room, R"("user":"ann")")), "\"code\":\"forbidden\""));
  EXPECT_TRUE(has(engine.command("ann", "rooms.remove", in(room, R"("user":"bob")")), "\"removed\":true"));
  sent(engine, "ann", room, "after");
  EXPECT_EQ(engine.count(bob, {"before"}), 1u);
  EXPECT_EQ(engine.count(bob, {"after"}), 0u);
  EXPECT_EQ(engine.count(bob, {"\"reset\"", "\"forbidden\"", room}), 1u);
  EXPECT_EQ(engine.count(ann, {"\"room.member_removed\"", "\"userId\":\"bob\""}), 1u);
  EXPECT_EQ(engine.count(ann, {"\"reset\""}), 0u);
  EXPECT_TRUE(
      has(engine.command("bob", "messages.load", "{\"room\":\"" + room + "\"}"), "\"code\":\"forbidden\""));
  EXPECT_TRUE(
      has(engine.command("ann", "rooms.remove", in(room, R"("user":"bob")")), "\"code\":\"not_found\""));
  EXPECT_TRUE(has(engine.command("bob", "rooms.load", "{}"), "\"rooms\":[]"));
}

TEST(Members, WhoLeavesIsNotToldThatItIsForbidden) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t bob = engine.open("bob");
  engine.settle();
  engine.command("bob", "rooms.leave", "{\"room\":\"" + room + "\"}");
  EXPECT_EQ(engine.count(bob, {"\"reset\""}), 0u);
  EXPECT_GE(engine.count(bob, {"\"room.member_removed\""}), 1u);
}

TEST(Members, AnInvitationBringsTheRoomToAllTheirStreams) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t one = engine.open("cat"), two = engine.open("cat");
  engine.settle();
  EXPECT_TRUE(
      has(engine.command("bob", "rooms.invite", in(room, R"("users":["cat"])")), "\"code\":\"forbidden\""));
  std::string added = engine.command("ann", "rooms.invite", in(room, R"("users":["cat","bob","dan"])"));
  EXPECT_TRUE(has(added, "\"added\":[\"cat\",\"dan\"]"));
  EXPECT_TRUE(has(added, "{\"userId\":\"dan\"}"));
  sent(engine, "ann", room, "welcome");
  for (uint32_t stream : {one, two}) {
    EXPECT_EQ(engine.count(stream, {"\"room.member_added\"", room, "\"participants\""}), 1u);
    EXPECT_EQ(engine.count(stream, {"welcome"}), 1u);
  }
  EXPECT_TRUE(has(engine.command("ann", "rooms.invite", in(room, R"("users":["cat"])")), "\"added\":[]"));
  EXPECT_TRUE(
      has(engine.command("ann", "rooms.invite", in(room, R"("users":[])")), "\"code\":\"invalid_argument\""));
}

TEST(Members, ADirectRoomStaysItsTwo) {
  CommandEngine engine;
  std::string room = member(engine.command("ann", "rooms.create", R"({"participantIds":["bob"]})"), "id");
  EXPECT_TRUE(
      has(engine.command("ann", "rooms.invite", in(room, R"("users":["cat"])")), "\"code\":\"conflict\""));
  EXPECT_TRUE(
      has(engine.command("ann", "rooms.remove", in(room, R"("user":"bob")")), "\"code\":\"conflict\""));
  EXPECT_TRUE(has(engine.command("ann", "rooms.update", in(room, R"("name":"x")")), "\"code\":\"conflict\""));
}

TEST(Members, AnUnsavedRemovalBringsTheMemberBack) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  engine.writing = false;
  engine.send("ann", "rooms.remove", in(room, R"("user":"bob")"));
  engine.settle();
  EXPECT_TRUE(
      has(engine.command("bob", "messages.load", "{\"room\":\"" + room + "\"}"), "\"code\":\"forbidden\""));
  engine.write(Outcome::unsaved);
  engine.writing = true;
  engine.settle();
  EXPECT_TRUE(has(engine.command("bob", "messages.load", "{\"room\":\"" + room + "\"}"), "\"success\":true"));
  EXPECT_TRUE(has(engine.command("bob", "rooms.load", "{}"), room));
}

// Both fail: what was there before the first is what remains, not what the first had made.
TEST(Members, UnsavedChangesAreTakenBackToWhatWasStored) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  engine.command("ann", "rooms.update", in(room, R"("name":"stored")"));
  engine.writing = false;
  engine.send("ann", "rooms.update", in(room, R"("name":"one","history":"full")"));
  engine.send("ann", "rooms.update", in(room, R"("name":"two")"));
  engine.send("ann", "rooms.remove", in(room, R"("user":"bob")"));
  engine.send("ann", "rooms.invite", in(room, R"("users":["bob"])"));
  engine.settle();
  std::string now = engine.command("ann", "rooms.load", "{}");
  EXPECT_TRUE(has(now, "\"name\":\"two\""));
  engine.write(Outcome::unsaved);
  engine.writing = true;
  engine.settle();
  std::string after = engine.command("ann", "rooms.load", "{}");
  EXPECT_TRUE(has(after, "\"name\":\"stored\""));
  EXPECT_TRUE(has(after, "\"history\":\"since_joined\""));
  EXPECT_TRUE(has(after, "{\"userId\":\"bob\"}"));
}

TEST(Members, AnUnsavedInvitationEndsTheGuestsStream) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t cat = engine.open("cat");
  engine.settle();
  engine.writing = false;
  engine.send("ann", "rooms.invite", in(room, R"("users":["cat"])"));
  engine.settle();
  engine.write(Outcome::unsaved);
  engine.writing = true;
  engine.settle();
  sent(engine, "ann", room, "among us");
  EXPECT_EQ(engine.count(cat, {"among us"}), 0u);
  EXPECT_TRUE(
      has(engine.command("cat", "messages.load", "{\"room\":\"" + room + "\"}"), "\"code\":\"forbidden\""));
}

TEST(Members, AnUnsavedClearingHidesNothing) {
  CommandEngine engine;
  std::string id = sent(engine, "ann", "lobby", "old");
  engine.writing = false;
  std::string tag = engine.send("ann", "rooms.clear", R"({"room":"lobby"})");
  engine.settle();
  engine.write(Outcome::unsaved);
  engine.writing = true;
  engine.settle();
  EXPECT_TRUE(has(engine.sockets.replies[tag].body, "\"code\":\"storage_unavailable\""));
  EXPECT_TRUE(has(engine.command("ann", "messages.load", R"({"room":"lobby"})"), "\"content\":\"old\""));
  EXPECT_TRUE(has(
      engine.command("ann", "messages.edit", in("lobby", "\"messageId\":\"" + id + "\",\"content\":\"new\"")),
      "\"success\":true"));
}

TEST(Members, AnUpdateIsToldAndShown) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t bob = engine.open("bob");
  engine.settle();
  EXPECT_TRUE(
      has(engine.command("bob", "rooms.update", in(room, R"("name":"mine")")), "\"code\":\"forbidden\""));
  EXPECT_TRUE(has(engine.command("ann", "rooms.update", in(room, R"("name":"ours","history":"full")")),
                  "\"name\":\"ours\""));
  EXPECT_EQ(engine.count(bob, {"\"room.updated\"", "\"name\":\"ours\"", "\"history\":\"full\""}), 1u);
  EXPECT_TRUE(has(engine.command("ann", "rooms.update", "{\"room\":\"" + room + "\"}"),
                  "\"code\":\"invalid_argument\""));
  EXPECT_TRUE(has(engine.command("ann", "rooms.update", R"({"room":"lobby","history":"full"})"),
                  "\"code\":\"conflict\""));
}

// ---- receipts ----

TEST(Receipts, NeverGoBackAndAreGivenAsState) {
  CommandEngine engine;
  uint32_t ann = engine.open("ann", {"lobby"});
  std::string one = sent(engine, "ann", "lobby", "1"), two = sent(engine, "ann", "lobby", "2");
  EXPECT_TRUE(has(engine.command("bob", "receipts.delivered", in("lobby", "\"upTo\":\"" + two + "\"")),
                  "\"receipt\":{\"delivered\":\"" + two + "\",\"read\":null}"));
  EXPECT_TRUE(has(engine.command("bob", "receipts.read", in("lobby", "\"upTo\":\"" + one + "\"")),
                  "\"read\":\"" + one + "\""));
  EXPECT_EQ(engine.count(ann, {"\"receipt.delivered\"", "\"userId\":\"bob\"", two}), 1u);
  EXPECT_EQ(engine.count(ann, {"\"receipt.read\"", "\"upTo\":\"" + one}), 1u);
  EXPECT_TRUE(has(engine.command("bob", "receipts.delivered", in("lobby", "\"upTo\":\"" + one + "\"")), two));
  EXPECT_EQ(engine.count(ann, {"\"receipt.delivered\""}), 1u);
  std::string loaded = engine.command("ann", "messages.load", R"({"room":"lobby"})");
  EXPECT_TRUE(has(
      loaded, "\"receipts\":[{\"userId\":\"bob\",\"delivered\":\"" + two + "\",\"read\":\"" + one + "\"}]"));
  for (const std::string& wrong : {engine.cursor(1 << 30), std::string("000000000001-") + one.substr(13)})
    EXPECT_TRUE(has(engine.command("bob", "receipts.read", in("lobby", "\"upTo\":\"" + wrong + "\"")),
                    "\"code\":\"not_found\""));
}

TEST(Receipts, TheirOwnOtherDevicesGetThemAndTheSendingOneDoesNot) {
  CommandEngine engine;
  uint32_t phone = engine.open("bob", {"lobby"}), desk = engine.open("bob", {"lobby"});
  engine.settle();
  std::string id = sent(engine, "ann", "lobby", "hello");
  SessionId session = *SessionId::parse(member(engine.texts(phone)[0], "sessionId"));
  engine.command("bob", "receipts.read", in("lobby", "\"upTo\":\"" + id + "\""), session);
  EXPECT_EQ(engine.count(phone, {"\"receipt.read\""}), 0u);
  EXPECT_EQ(engine.count(desk, {"\"receipt.read\""}), 1u);
}

TEST(Receipts, AreNoHistory) {
  CommandEngine engine;
  std::string id = sent(engine, "ann", "lobby", "hello");
  engine.command("bob", "receipts.read", in("lobby", "\"upTo\":\"" + id + "\""));
  Homes::Walk walk;
  size_t seen = 0;
  engine.shard().homes().walk_rooms(walk, SIZE_MAX, [&](const Room& room) {
    seen++;
    if (room.name.text() != "lobby") return;
    for (const EventRef& event : room.tail.events()) EXPECT_FALSE(event->type().starts_with("receipt."));
    EXPECT_EQ(engine.cursor(room.last_kept.value), id);
  });
  EXPECT_GT(seen, 0u);
}

TEST(Receipts, OfALargeRoomAreGathered) {
  Config config;
  config.presence.members_max = 10;
  CommandEngine engine(config);
  std::vector<uint32_t> readers;
  for (int i = 0; i < 20; i++) readers.push_back(engine.open("u" + std::to_string(i), {"hall"}));
  engine.settle();
  engine.pass(1500);
  std::string id = sent(engine, "u0", "hall", "to all");
  for (int i = 0; i < 20; i++)
    engine.command("u" + std::to_string(i), "receipts.read", in("hall", "\"upTo\":\"" + id + "\""));
  engine.pass(1500);
  EXPECT_EQ(engine.count(readers[3], {"\"receipt.read\""}), 0u);
  size_t diffs = engine.count(readers[3], {"\"receipt.diff\""});
  EXPECT_GE(diffs, 1u);
  EXPECT_LE(diffs, 3u);
  EXPECT_GE(engine.count(readers[3], {"\"receipt.diff\"", "\"u19\""}), 1u);
}

// ---- media, signals ----

TEST(Media, IsToldKeptForWhoComesAndEndsWithPresence) {
  Config config;
  config.session.presence_grace_seconds = 1;
  CommandEngine engine(config);
  EXPECT_TRUE(has(engine.command("ann", "media.set", in("call", R"("mic":true)")), "\"code\":\"conflict\""));
  uint32_t ann = engine.open("ann", {"call"}), bob = engine.open("bob", {"call"});
  engine.settle();
  engine.pass(300);
  engine.command("ann", "media.set", in("call", R"("mic":true,"camera":true)"));
  engine.command("ann", "media.set", in("call", R"("camera":false)"));
  EXPECT_EQ(engine.count(bob, {"\"media.state\"",
                               "\"userId\":\"ann\",\"camera\":false,\"mic\":true,\"screen\":false"}),
            1u);
  uint32_t cat = engine.open("cat", {"call"});
  engine.settle();
  EXPECT_EQ(
      engine.count(cat, {"\"media.state\"", "\"users\":[{\"userId\":\"ann\",\"camera\":false,\"mic\":true"}),
      1u);
  engine.close(ann);
  engine.pass(2500);
  EXPECT_EQ(engine.count(bob, {"\"media.state\"", "\"userId\":\"ann\",\"camera\":false,\"mic\":false"}), 1u);
}

TEST(Signals, GoToAllDevicesOfAMember) {
  CommandEngine engine;
  std::string room = group(engine, R"("bob")");
  uint32_t phone = engine.open("bob"), desk = engine.open("bob"), ann = engine.open("ann");
  engine.settle();
  for (const std::string& where : {std::string("{"), "{\"room\":\"" + room + "\","})
    EXPECT_TRUE(has(engine.command("ann", "signal.send", where + R"("to":"bob","data":{"n":1}})"),
                    "\"delivered\":true"));
  for (uint32_t stream : {phone, desk})
    EXPECT_EQ(engine.count(stream, {"\"signal\"", "\"from\":\"ann\",\"to\":\"bob\",\"data\":{\"n\":1}"}), 2u);
  EXPECT_EQ(engine.count(ann, {"\"signal\""}), 0u);
  EXPECT_TRUE(
      has(engine.command("eve", "signal.send", R"({"to":"bob","data":1})"), "\"code\":\"forbidden\""));
  EXPECT_TRUE(has(engine.command("ann", "signal.send", in(room, R"("to":"eve","data":1)")),
                  "\"code\":\"not_found\""));
  EXPECT_TRUE(has(engine.command("eve", "signal.send", in(room, R"("data":1)")), "\"code\":\"forbidden\""));
  EXPECT_TRUE(has(engine.command("ann", "signal.send", R"({"data":1})"), "\"code\":\"invalid_argument\""));
}

// A receipt was answered when it was told: what the store gave up of it is written when it takes something
// again.
TEST(Receipts, GivenUpByTheStoreAreWrittenAgain) {
  CommandEngine engine;
  std::string first = sent(engine, "ann", "lobby", "one"), second = sent(engine, "ann", "lobby", "two");
  engine.writing = false;
  engine.command("bob", "receipts.read", in("lobby", "\"upTo\":\"" + first + "\""));
  engine.command("bob", "receipts.delivered", in("lobby", "\"upTo\":\"" + second + "\""));
  engine.command("cat", "receipts.read", in("lobby", "\"upTo\":\"" + first + "\""));
  engine.write(Outcome::unsaved);
  EXPECT_EQ(engine.shard().metrics().receipts_rewritten, 0u);
  engine.durability().set_accepting(false);
  engine.pass(1000);
  EXPECT_EQ(engine.shard().metrics().receipts_rewritten, 0u) << "the store takes nothing yet";
  engine.durability().set_accepting(true);
  engine.pass(1000);
  EXPECT_EQ(engine.shard().metrics().receipts_rewritten, 3u);
  std::vector<std::string> written = engine.markers();
  ASSERT_GE(written.size(), 3u);
  std::sort(written.end() - 3, written.end());
  EXPECT_EQ(std::vector<std::string>(written.end() - 3, written.end()),
            (std::vector<std::string>{"receipt.delivered bob " + second, "receipt.read bob " + first,
                                      "receipt.read cat " + first}));
  engine.write();
  engine.pass(1000);
  EXPECT_EQ(engine.shard().metrics().receipts_rewritten, 3u) << "once";
  // Of who has left nothing is written.
  engine.writing = true;
  std::string room = group(engine, R"("bob","cat")");
  std::string said = sent(engine, "ann", room, "three");
  engine.writing = false;
  engine.command("bob", "receipts.read", in(room, "\"upTo\":\"" + said + "\""));
  engine.write(Outcome::unsaved);
  engine.command("ann", "rooms.remove", in(room, R"("user":"bob")"));
  engine.write();
  engine.pass(1000);
  EXPECT_EQ(engine.shard().metrics().receipts_rewritten, 3u);
}

// ---- members of a room ----

TEST(Members, OfARoomAreBounded) {
  Config config;
  config.limits.members_per_room = 3;
  CommandEngine engine(config);
  EXPECT_TRUE(has(engine.command("ann", "rooms.create", R"({"participantIds":["b","c","d"]})"),
                  "\"code\":\"limit_exceeded\""));
  std::string room = group(engine, R"("bob")");
  ASSERT_FALSE(room.empty());
  EXPECT_TRUE(has(engine.command("ann", "rooms.invite", in(room, R"("users":["cat","dan"])")),
                  "\"code\":\"limit_exceeded\""));
  EXPECT_FALSE(has(engine.command("ann", "rooms.load", "{}"), "\"cat\"")) << "none of them came in";
  EXPECT_TRUE(has(engine.command("ann", "rooms.invite", in(room, R"("users":["cat","bob","cat"])")),
                  R"("added":["cat"])"));
  EXPECT_TRUE(has(engine.command("ann", "rooms.invite", in(room, R"("users":["cat"])")), R"("added":[])"));
  for (const char* user : {"a", "b", "c"})
    EXPECT_TRUE(has(engine.command(user, "rooms.join", R"({"room":"open"})"), "\"success\":true"));
  uint32_t late = engine.open("d");
  engine.settle();
  EXPECT_TRUE(has(engine.command("d", "rooms.join", R"({"room":"open"})"), "\"code\":\"limit_exceeded\""));
  EXPECT_TRUE(has(engine.command("a", "rooms.leave", R"({"room":"open"})"), "\"left\":true"));
  EXPECT_TRUE(has(engine.command("d", "rooms.join", R"({"room":"open"})"), "\"success\":true"));
  EXPECT_EQ(engine.count(late, {"\"room.member_added\"", "open"}), 1u);
}

// ---- rooms of a backend ----

TEST(Backends, CreateRoomsForOthers) {
  CommandEngine engine;
  uint32_t ann = engine.open("ann"), eve = engine.open("eve");
  engine.settle();
  std::string made =
      engine.command("key:shop", "rooms.create",
                     R"({"participantIds":["ann","bob","cat"],"name":"order 7","clientId":"o7"})", {}, true);
  ASSERT_TRUE(has(made, "\"success\":true"));
  EXPECT_TRUE(has(made, R"("participants":[{"userId":"ann"},{"userId":"bob"},{"userId":"cat"}])"));
  EXPECT_TRUE(has(made, R"("createdBy":"key:shop")"));
  std::string room = member(made, "id");
  EXPECT_EQ(engine.count(ann, {"\"room.created\"", room}), 1u);
  EXPECT_EQ(engine.count(eve, {room}), 0u);
  EXPECT_TRUE(has(engine.command("ann", "messages.send", in(room, R"("content":"x")")), "\"success\":true"));
  EXPECT_TRUE(has(engine.command("eve", "messages.send", in(room, R"("content":"x")")), "forbidden"));
  // Nobody of them has `manage` for having come first; the backend has.
  for (const char* user : {"ann", "bob", "cat"})
    EXPECT_TRUE(has(engine.command(user, "rooms.invite", in(room, R"("users":["eve"])")), "forbidden"))
        << user;
  EXPECT_TRUE(has(engine.command("key:shop", "rooms.invite", in(room, R"("users":["eve"])"), {}, true),
                  R"("added":["eve"])"));
  // Again under its clientId: the same room. Of two users: the one that they have, whoever makes it.
  std::string again = engine.command("key:shop", "rooms.create",
                                     R"({"participantIds":["ann","bob","cat"],"clientId":"o7"})", {}, true);
  EXPECT_EQ(member(again, "id"), room);
  std::string direct =
      engine.command("key:shop", "rooms.create", R"({"participantIds":["bob","ann"]})", {}, true);
  EXPECT_TRUE(has(direct, R"("kind":"direct")"));
  EXPECT_EQ(member(engine.command("ann", "rooms.create", R"({"participantIds":["bob"]})"), "id"),
            member(direct, "id"));
  EXPECT_TRUE(has(engine.command("key:shop", "rooms.create", R"({"participantIds":[]})", {}, true),
                  "\"code\":\"invalid_argument\""));
}

// ---- 10,000 in one room ----

// Joins and leaves cost each member a bounded number of bytes a second, however many come and go.
TEST(Presence, OfTenThousandCostsEachMemberABoundedNumberOfBytes) {
  CommandEngine engine;
  engine.sockets.counting_only = true;
  constexpr uint32_t kMembers = 10000, kSeconds = 5;
  std::vector<uint32_t> streams;
  for (uint32_t i = 0; i < kMembers; i++) {
    streams.push_back(engine.open("user" + std::to_string(i), {"hall"}));
    if (i % 500 == 0) engine.settle(4);
  }
  engine.settle(40);
  engine.pass(20000);
  engine.settle(40);
  uint64_t before = engine.sockets.sent;
  uint32_t next = kMembers;
  for (uint32_t tenth = 0; tenth < kSeconds * 10; tenth++) {
    for (uint32_t i = 0; i < 50; i++) {  // 500 go and 500 come each second
      uint32_t& one = streams[(tenth * 50 + i) % kMembers];
      engine.close(one);
      one = engine.open("user" + std::to_string(next++), {"hall"});
    }
    engine.clock.now += 100;
    engine.settle(6);
  }
  engine.settle(40);
  constexpr uint64_t kComers = 500 * kSeconds;
  uint64_t bytes = engine.sockets.sent - before - kComers * 400;  // their `connected`
  double each = static_cast<double>(bytes) / kMembers / kSeconds;
  RecordProperty("bytes_per_member_and_second", static_cast<int>(each));
  std::printf("presence of %u: %.0f bytes a member and second while 500 come and 500 go\n", kMembers, each);
  EXPECT_GT(each, 50) << "the counts are told";
  EXPECT_LT(each, 400);
}

// ---- many in one turn ----

// What nobody here reads is passed in the turn that published it, however much that was: a shard that passed
// less than it publishes would fill the ring.
TEST(Turn, AShardPassesAllThatIsNotForItsStreams) {
  Config config;
  config.limits.commands_burst = 1000;
  CommandEngine engine(config);
  for (int i = 0; i < 1000; i++) engine.send("ann", "messages.send", R"({"room":"lobby","content":"x"})");
  engine.settle(1);
  EXPECT_GE(engine.shard().ring().claimed().value, 1000u);
  EXPECT_EQ(engine.shard().consumed(), engine.shard().ring().claimed());
}

// Each command of CommandEngine comes on a connection of its own.
TEST(Rate, IsTheUsersOverAllConnections) {
  Config config;
  config.limits.commands_per_second = 10;
  config.limits.commands_burst = 3;
  CommandEngine engine(config);
  auto code = [&](const std::string& user, bool backend = false) {
    std::string answer = engine.command(user, "messages.send", R"({"room":"r","content":"x"})", {}, backend);
    return member(answer, "code");
  };
  for (int i = 0; i < 3; i++) EXPECT_EQ(code("ann"), "") << i;
  EXPECT_EQ(code("ann"), "rate_limited");
  EXPECT_EQ(engine.shard().metrics_now().refused_rate, 1u);
  EXPECT_EQ(code("bob"), "");
  engine.pass(100);
  EXPECT_EQ(code("ann"), "");
  EXPECT_EQ(code("ann"), "rate_limited");
  for (int i = 0; i < 5; i++) EXPECT_EQ(code("key:k", true), "") << "backends have no rate";
}

// A shard that slept since its last tick, while another took commands of the same user and tenant.
TEST(Rate, IsOfTheClockAndNotOfAShardsLastTick) {
  Config config;
  config.limits.commands_per_second = 10;
  config.limits.commands_burst = 3;
  config.limits.tenant_commands_per_second = 10;
  config.limits.tenant_commands_burst = 3;
  CommandEngine engine(config);
  engine.settle(1);
  engine.clock.now += 5000;
  Name ann("t", "ann");
  EXPECT_EQ(engine.engine().user_rates().take(ann, engine.clock.now), 0u);
  EXPECT_EQ(engine.engine().tenant_rates().take("t", engine.clock.now), 0u);
  EXPECT_EQ(member(engine.command("ann", "messages.send", R"({"room":"r","content":"x"})"), "code"), "");
}

}  // namespace
}  // namespace twinwire::test
