// Sessions: lists that change under a paused delivery, catching up while the room changes, and how many rooms
// a stream follows. What commands answer is in commands_test.cc, whole lives under faults in tests/sim.
#include <gtest/gtest.h>

#include "tests/core/command_engine.h"

namespace twinwire::test {
namespace {

std::string say(CommandEngine& engine, const std::string& room, const std::string& text) {
  return member(
      engine.command("writer", "messages.send", "{\"room\":\"" + room + "\",\"content\":\"" + text + "\"}"),
      "eventId");
}

SessionId session_of(CommandEngine& engine, uint32_t stream) {
  return *SessionId::parse(member(engine.texts(stream).at(0), "sessionId"));
}

// ---- a delivery that pauses inside a member list ----

// Three readers, and a budget of two pushes a tick: the delivery stands before the third. Then that one
// leaves, so that the pause is at the end of the list, and one of those passed. The other of them keeps its
// place, and its leaving later takes nobody else out of the list (simulator, seed 2858).
TEST(PausedDelivery, WhoStaysKeepsTheirPlaceInTheList) {
  Bounds bounds;
  bounds.pushes_per_tick = 2;
  CommandEngine engine({}, bounds);
  uint32_t ann = engine.open("ann", {"lobby"});
  engine.settle();
  uint32_t bob = engine.open("bob", {"lobby"});
  engine.settle();
  uint32_t cat = engine.open("cat", {"lobby"});
  engine.settle();
  engine.send("writer", "messages.send", R"({"room":"lobby","content":"first"})");
  engine.settle(1);
  ASSERT_TRUE(engine.shard().sessions().paused());
  engine.close(cat);
  engine.close(ann);
  engine.settle();
  ASSERT_FALSE(engine.shard().sessions().paused());
  EXPECT_EQ(engine.count(ann, {"\"first\""}), 1u);
  EXPECT_EQ(engine.count(bob, {"\"first\""}), 1u);

  uint32_t dan = engine.open("dan", {"lobby"});
  engine.settle();
  engine.close(bob);
  engine.settle();
  say(engine, "lobby", "second");
  EXPECT_EQ(engine.count(dan, {"\"second\""}), 1u);
  EXPECT_EQ(engine.count(bob, {"\"second\""}), 0u);
}

// ---- catching up ----

// A reader far behind reads in small pieces. The room is trimmed twice above its cursor meanwhile: each time
// it is told, before the first event behind the gap (simulator, seed 1292).
TEST(CatchUp, ARoomTrimmedTwiceIsToldTwice) {
  Bounds bounds;
  bounds.read_events = 8;
  CommandEngine engine({}, bounds);
  std::vector<std::string> ids;
  for (int i = 0; i < 60; i++) ids.push_back(say(engine, "lobby", "m" + std::to_string(i) + "."));
  auto sequence = [&](size_t i) { return Cursor::parse(ids[i])->sequence; };
  RoomId lobby = engine.shard().room_id(Name("t", "lobby"));

  engine.engine().room_trimmed(lobby, sequence(4));
  StreamRequest request;
  request.cursor = engine.shard().cursor({0});
  uint32_t reader = engine.open("ann", {"lobby"}, request);
  for (int tick = 0; tick < 20 && engine.count(reader, {"\"m5.\""}) == 0; tick++) engine.settle(1);
  ASSERT_EQ(engine.count(reader, {"\"m5.\""}), 1u);
  ASSERT_EQ(engine.count(reader, {"\"m59.\""}), 0u) << "it is at the live end already";
  EXPECT_EQ(engine.count(reader, {"\"reset\"", "\"trimmed\""}), 1u);
  EXPECT_EQ(engine.count(reader, {"\"m4.\""}), 0u);

  engine.engine().room_trimmed(lobby, sequence(50));
  engine.settle(40);
  EXPECT_EQ(engine.count(reader, {"\"reset\"", "\"trimmed\""}), 2u);
  EXPECT_EQ(engine.count(reader, {"\"m50.\""}), 0u);
  EXPECT_EQ(engine.count(reader, {"\"m59.\""}), 1u);
  // The second says where the reader stood, and is ahead of what lies behind the gap.
  size_t second = 0, behind = 0;
  const auto& texts = engine.texts(reader);
  for (size_t i = 0; i < texts.size(); i++) {
    if (texts[i].find("\"trimmed\"") != std::string::npos) second = i;
    if (texts[i].find("\"m51.\"") != std::string::npos) behind = i;
  }
  EXPECT_LT(second, behind);
}

// Trimmed once is told once, however many reads the rest takes.
TEST(CatchUp, ARoomTrimmedOnceIsToldOnce) {
  Bounds bounds;
  bounds.read_events = 8;
  CommandEngine engine({}, bounds);
  std::vector<std::string> ids;
  for (int i = 0; i < 60; i++) ids.push_back(say(engine, "lobby", "m" + std::to_string(i) + "."));
  engine.engine().room_trimmed(engine.shard().room_id(Name("t", "lobby")), Cursor::parse(ids[4])->sequence);
  StreamRequest request;
  request.cursor = engine.shard().cursor({0});
  uint32_t reader = engine.open("ann", {"lobby"}, request);
  engine.settle(60);
  EXPECT_EQ(engine.count(reader, {"\"reset\"", "\"trimmed\""}), 1u);
  EXPECT_EQ(engine.count(reader, {"\"message.created\""}), 55u);
}

// ---- what gains a room is given up by the store ----

// The event that tells the user of the room is passed while the stream opens, and is in neither tail nor
// store when it reads: it is told again.
TEST(GainedRoom, IsToldAlsoWhereItsEventWasGivenUpWhileTheStreamOpened) {
  CommandEngine engine;
  engine.writing = false;
  uint32_t stream = engine.open("ann");
  std::string tag = engine.send("bob", "rooms.create", R"({"participantIds":["ann"]})");
  engine.settle(1);
  ASSERT_EQ(engine.count(stream, {"\"connected\""}), 0u) << "it must still be opening";
  uint32_t given_up = 0;
  engine.write([&](const Event& event) {
    bool ours = event.room_name().text() ==
                "\x01"
                "ann";
    given_up += ours;
    return ours ? Outcome::unsaved : Outcome::stored;
  });
  ASSERT_EQ(given_up, 1u);
  engine.settle();
  engine.writing = true;
  engine.settle();
  std::string room = member(engine.sockets.replies[tag].body, "id");
  ASSERT_FALSE(room.empty()) << engine.sockets.replies[tag].body;
  EXPECT_EQ(engine.count(stream, {"\"room.created\"", room}), 1u);
  engine.command("bob", "messages.send", "{\"room\":\"" + room + "\",\"content\":\"hello\"}");
  EXPECT_EQ(engine.count(stream, {"\"hello\""}), 1u);
}

// Where the membership was given up too, nobody is told that it began.
TEST(GainedRoom, IsNotToldAgainWhereTheMembershipFellToo) {
  CommandEngine engine;
  engine.writing = false;
  engine.open("ann");
  engine.send("bob", "rooms.create", R"({"participantIds":["ann"]})");
  engine.settle(1);
  engine.write(Outcome::unsaved);
  engine.settle();
  engine.writing = true;
  engine.settle();
  std::string rooms = engine.command("ann", "rooms.load", "{}");
  EXPECT_TRUE(has(rooms, "\"rooms\":[]"));
  uint32_t later = engine.open("ann");
  engine.settle();
  EXPECT_EQ(engine.count(later, {"\"connected\"", "\"rooms\":[]"}), 1u);
}

// ---- how many rooms ----

Config few_rooms() {
  Config config;
  config.limits.rooms_per_stream = 4;
  config.limits.rooms_per_user = 6;
  config.limits.commands_per_second = 1000;
  config.limits.commands_burst = 1000;
  return config;
}

std::string join(CommandEngine& engine, const std::string& user, const std::string& room,
                 SessionId session = {}) {
  return engine.command(user, "rooms.join", "{\"room\":\"" + room + "\"}", session);
}

std::string rooms_told(CommandEngine& engine, uint32_t stream) {
  const std::string& connected = engine.texts(stream).at(0);
  size_t at = connected.find("\"rooms\":[");
  return at == std::string::npos ? connected : connected.substr(at, connected.find(']', at) + 1 - at);
}

TEST(RoomsOfAStream, MembershipsThatFitAreAllThere) {
  CommandEngine engine(few_rooms());
  for (const char* room : {"r1", "r2", "r3"}) join(engine, "ann", room);
  uint32_t stream = engine.open("ann", {"asked"});
  engine.settle();
  EXPECT_EQ(rooms_told(engine, stream), R"("rooms":["r1","r2","r3","asked"])");
  EXPECT_EQ(engine.count(stream, {"roomsLeftOut"}), 0u);
}

TEST(RoomsOfAStream, OfTooManyMembershipsTheNewestAreFollowedAndTheRestCounted) {
  CommandEngine engine(few_rooms());
  for (const char* room : {"r1", "r2", "r3", "r4", "r5", "r6"}) join(engine, "ann", room);
  uint32_t stream = engine.open("ann");
  engine.settle();
  EXPECT_EQ(rooms_told(engine, stream), R"("rooms":["r3","r4","r5","r6"])");
  EXPECT_EQ(engine.count(stream, {"\"connected\"", "\"roomsLeftOut\":2"}), 1u);
  say(engine, "r6", "seen");
  say(engine, "r2", "unseen");
  EXPECT_EQ(engine.count(stream, {"\"seen\""}), 1u);
  EXPECT_EQ(engine.count(stream, {"\"unseen\""}), 0u);
}

TEST(RoomsOfAStream, WhatItAsksForGoesFirst) {
  CommandEngine engine(few_rooms());
  for (const char* room : {"r1", "r2", "r3", "r4", "r5"}) join(engine, "ann", room);
  // r1 is a membership too, and takes one place.
  uint32_t stream = engine.open("ann", {"asked", "r1"});
  engine.settle();
  EXPECT_EQ(rooms_told(engine, stream), R"("rooms":["r1","r4","r5","asked"])");
  EXPECT_EQ(engine.count(stream, {"\"roomsLeftOut\":2"}), 1u);
  uint32_t full = engine.open("ann", {"a", "b", "c", "d"});
  engine.settle();
  EXPECT_EQ(rooms_told(engine, full), R"("rooms":["a","b","c","d"])");
  EXPECT_EQ(engine.count(full, {"\"roomsLeftOut\":5"}), 1u);
}

TEST(RoomsOfAStream, OneGainedWhileItIsOpenIsFollowed) {
  CommandEngine engine(few_rooms());
  for (const char* room : {"r1", "r2", "r3", "r4", "r5"}) join(engine, "ann", room);
  uint32_t stream = engine.open("ann");
  engine.settle();
  std::string group = member(engine.command("bob", "rooms.create", R"({"participantIds":["ann"]})"), "id");
  engine.settle();
  engine.command("bob", "messages.send", "{\"room\":\"" + group + "\",\"content\":\"hello\"}");
  EXPECT_EQ(engine.count(stream, {"\"hello\""}), 1u);
}

TEST(RoomsOfAUser, OneMoreIsRefusedWhoeverMakesIt) {
  CommandEngine engine(few_rooms());
  for (int i = 0; i < 6; i++)
    EXPECT_TRUE(has(join(engine, "ann", "r" + std::to_string(i)), "\"success\":true"));
  std::string refused = join(engine, "ann", "r6");
  EXPECT_TRUE(has(refused, "\"code\":\"limit_exceeded\""));
  EXPECT_TRUE(has(refused, "ann"));
  EXPECT_TRUE(has(join(engine, "ann", "r5"), "\"success\":true")) << "a room of hers already";

  std::string direct = engine.command("bob", "rooms.create", R"({"participantIds":["ann"]})");
  EXPECT_TRUE(has(direct, "\"code\":\"limit_exceeded\""));
  EXPECT_TRUE(has(direct, "ann"));
  std::string group =
      member(engine.command("bob", "rooms.create", R"({"isGroup":true,"participantIds":["cat"]})"), "id");
  std::string invited =
      engine.command("bob", "rooms.invite", "{\"room\":\"" + group + "\",\"users\":[\"dan\",\"ann\"]}");
  EXPECT_TRUE(has(invited, "\"code\":\"limit_exceeded\""));
  EXPECT_TRUE(has(invited, "ann"));
  // Nobody has been made a member by what was refused.
  EXPECT_TRUE(has(engine.command("dan", "rooms.load", "{}"), "\"rooms\":[]"));
  EXPECT_TRUE(has(engine.command("bob", "rooms.load", "{}"), group));
  EXPECT_FALSE(has(engine.command("bob", "rooms.load", "{}"), "direct-"));
  // Who is no member of the room is told that, and not how many rooms others have.
  EXPECT_TRUE(has(engine.command("eve", "rooms.invite", "{\"room\":\"" + group + "\",\"users\":[\"ann\"]}"),
                  "\"code\":\"forbidden\""));

  engine.command("ann", "rooms.leave", R"({"room":"r0"})");
  EXPECT_TRUE(has(engine.command("bob", "rooms.invite", "{\"room\":\"" + group + "\",\"users\":[\"ann\"]}"),
                  "\"success\":true"));
}

// The session that asked has not gained the room, and the user whom nobody hosts leaves nothing behind.
TEST(RoomsOfAUser, ARefusedJoinGivesTheStreamNothing) {
  CommandEngine engine(few_rooms());
  for (int i = 0; i < 6; i++) join(engine, "ann", "r" + std::to_string(i));
  uint32_t stream = engine.open("ann", {"r0"});
  engine.settle();
  EXPECT_TRUE(has(join(engine, "ann", "other", session_of(engine, stream)), "limit_exceeded"));
  say(engine, "other", "unheard");
  EXPECT_EQ(engine.count(stream, {"\"unheard\""}), 0u);

  size_t users = engine.shard().homes().user_count();
  EXPECT_TRUE(has(engine.command("bob", "rooms.create", R"({"participantIds":["ann"]})"), "limit_exceeded"));
  EXPECT_EQ(engine.shard().homes().user_count(), users);
}

}  // namespace
}  // namespace twinwire::test
