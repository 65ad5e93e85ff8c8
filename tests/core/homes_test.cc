// What homes keep and for how long: users and ids that are only asked about, tails, inboxes, the rights of a
// command that waited for the store, and presence that ends with its session.
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/core/command_engine.h"

namespace twinwire::test {
namespace {

std::string in(const std::string& room, const std::string& more) {
  return "{\"room\":\"" + room + "\"," + more + "}";
}

// ---- users ----

TEST(Users, WhoIsOnlyNamedIsNotKept) {
  CommandEngine engine;
  for (int i = 0; i < 50; i++) {
    std::string to = "nobody-" + std::to_string(i);
    EXPECT_TRUE(
        has(engine.command("ann", "signal.send", "{\"to\":\"" + to + "\",\"data\":{}}"), "forbidden"));
    engine.command("ann", "events.publish", "{\"user\":\"" + to + "\",\"type\":\"x\",\"ephemeral\":true}");
    engine.command("poster-" + std::to_string(i), "rooms.load", "{}");
  }
  engine.pass(2 * kRoomIdleMs);
  EXPECT_EQ(engine.shard().homes().user_count(), 0u);
}

TEST(Users, WhoHasAStreamIsKeptUntilItEnds) {
  CommandEngine engine;
  uint32_t stream = engine.open("ann");
  engine.settle();
  engine.command("ann", "rooms.load", "{}");
  EXPECT_EQ(engine.shard().homes().user_count(), 1u);
  engine.command("bob", "events.publish", R"({"user":"ann","type":"x","ephemeral":true})");
  EXPECT_EQ(engine.count(stream, {"\"type\":\"x\""}), 1u);
  engine.close(stream);
  engine.pass(2 * kRoomIdleMs);  // with the inbox
  EXPECT_EQ(engine.shard().homes().user_count(), 0u);
}

// ---- inboxes ----

StreamRequest from(const std::string& id) {
  StreamRequest request;
  request.cursor = Cursor::parse(id);
  EXPECT_TRUE(request.cursor);
  return request;
}

TEST(Inboxes, WhatABackendToldAUserIsReplayedToTheirOtherDevice) {
  CommandEngine engine;
  uint32_t phone = engine.open("ann");
  engine.settle();
  std::string before = member(
      engine.command("key:app", "events.publish", R"({"user":"bob","type":"x"})", {}, true), "eventId");
  std::string told =
      engine.command("key:app", "events.publish", R"({"user":"ann","type":"bill.due"})", {}, true);
  EXPECT_TRUE(has(told, "\"stored\":true"));
  EXPECT_EQ(engine.count(phone, {"\"bill.due\""}), 1u);
  uint32_t laptop = engine.open("ann", {}, from(before));
  engine.settle();
  EXPECT_EQ(engine.count(laptop, {"\"bill.due\""}), 1u);
}

TEST(Inboxes, AlsoWhereNobodyWasThereAndItIsNotStoredYet) {
  CommandEngine engine;
  std::string before = member(
      engine.command("key:app", "events.publish", R"({"user":"bob","type":"x"})", {}, true), "eventId");
  engine.writing = false;
  engine.command("key:app", "events.publish", R"({"user":"ann","type":"bill.due","ack":"accepted"})", {},
                 true);
  uint32_t laptop = engine.open("ann", {}, from(before));
  engine.settle();
  EXPECT_EQ(engine.count(laptop, {"\"bill.due\""}), 1u);
}

// A place in the order that waits for room in the ring must still have its inbox when there is some.
TEST(Inboxes, AnEndingThatWaitsForTheRing) {
  Config config;
  CommandEngine engine(config, {}, nullptr, 1, 1024);
  uint32_t stream = engine.open("ann");
  engine.settle();
  while (auto claim = engine.ring().try_claim(1, 0, Ring::Priority::control)) {
    Slot& slot = engine.ring().slot(claim->first);
    slot.event = nullptr;
    slot.mask = 0;
    slot.bytes = 0;
    slot.kind = EventKind::noop;
    slot.kept = slot.marker = false;
    engine.ring().publish(claim->first);
  }
  Shard& shard = engine.shard();
  uint32_t operators = 900;
  shard.connection_opened(ConnectionId{operators}, 1);
  shard.end_user(Name("t", "ann"), Homes::Ending::kicked, ConnectionId{operators}, "end");
  engine.writing = false;
  for (int i = 0; i < 4; i++) shard.tick();
  EXPECT_TRUE(has(engine.sockets.replies["end"].body, "\"eventId\":null"));
  engine.writing = true;
  engine.settle();
  EXPECT_EQ(engine.count(stream, {"\"bye\"", "\"kicked\""}), 1u);
  engine.close(stream);
  engine.pass(3 * kRoomIdleMs);
  EXPECT_EQ(shard.homes().user_count(), 0u) << "the inbox has been forgotten, and the user with it";
}

// ---- tails ----

TEST(Tails, TheShardsBudgetTakesNoMoreThanItMust) {
  Bounds bounds;
  bounds.tail_bytes_per_shard = 64 << 10;
  CommandEngine engine({}, bounds);
  std::string text(1000, 'x');
  for (int room = 0; room < 10; room++)
    for (int i = 0; i < 10; i++)
      engine.command("ann", "messages.send",
                     in("room-" + std::to_string(room), "\"content\":\"" + text + "\""));
  engine.pass(2 * kSweepMs + 1000);
  uint64_t held = 0;
  Homes::Walk walk;
  while (engine.shard().homes().walk_rooms(walk, 64, [&](const Room& room) { held += room.tail.bytes(); }) ==
         Walked::on) {
  }
  EXPECT_LE(held, bounds.tail_bytes_per_shard);
  EXPECT_GT(held, bounds.tail_bytes_per_shard / 2);
  EXPECT_EQ(engine.shard().homes().tail_bytes(), held) << "and operators are told what there is";
}

// ---- rights, when the store had to be asked first ----

// A closed room with a message of bob's at 40, which the store gives when it is told to.
class SlowRoom final : public History {
 public:
  void read(const ReadRequest& request, Done<std::shared_ptr<const ReadAnswer>> done) override {
    auto answer = std::make_shared<ReadAnswer>();
    answer->from_store = true;
    if (request.after < Sequence{40} && request.upto >= Sequence{40}) answer->events.push_back(message);
    waiting.push_back([done = std::move(done), answer] { done(answer); });
  }
  void load_room(RoomId id, const Name& name, Done<std::unique_ptr<RoomRecord>> done) override {
    auto record = std::make_unique<RoomRecord>();
    if (name.text() == "group-1") {
      record->exists = true;
      record->kind = RoomKind::closed;
      record->created_by = "ann";
      record->last_kept = Sequence{50};
      record->members = {{Name("t", "ann"), {1}}, {Name("t", "bob"), {2}}};
      std::string data = R"({"message":{"id":"000000000000-00000000000028","content":"old"}})";
      EventDraft draft;
      draft.type = "message.created";
      draft.room = id;
      draft.room_name = name;
      draft.user = Name("t", "bob");
      draft.data = data;
      message = Event::encode(draft, Epoch{});
      message.mutable_event()->patch(Sequence{40});
      message->settle(Outcome::stored);
    }
    done(std::move(record));
  }
  void load_user(const Name&, RoomId, Done<std::unique_ptr<UserRecord>> done) override {
    done(std::make_unique<UserRecord>());
  }
  void find_idempotent(RoomId, const Name&, std::string_view, Done<IdempotencyRecord> done) override {
    IdempotencyRecord record;
    record.found = ids_known;
    record.sequence = Sequence{45};
    done(record);
  }
  bool may_know_room(RoomId) const override { return true; }
  bool may_know_user(RoomId) const override { return false; }
  bool may_know_idempotent(RoomId, const Name&, std::string_view) const override { return true; }
  void answer() {
    for (auto& next : std::exchange(waiting, {})) next();
  }

  EventRef message;
  bool ids_known = false;
  std::vector<std::function<void()>> waiting;
};

TEST(RightsThatEnd, AnEditThatWaitedForTheStoreIsOfAMemberStill) {
  SlowRoom store;
  CommandEngine engine({}, {}, &store, 100);
  std::string edit = in("group-1", "\"messageId\":\"" + engine.cursor(40) + "\",\"content\":\"new\"");
  std::string first = engine.send("bob", "messages.edit", edit);
  engine.settle();
  ASSERT_EQ(store.waiting.size(), 1u);
  store.answer();
  engine.settle();
  EXPECT_TRUE(has(engine.sockets.replies[first].body, "\"success\":true"));

  std::string second =
      engine.send("bob", "messages.edit",
                  in("group-1", "\"messageId\":\"" + engine.cursor(40) + "\",\"content\":\"newer\""));
  engine.settle();
  ASSERT_EQ(store.waiting.size(), 1u);
  EXPECT_TRUE(
      has(engine.command("ann", "rooms.remove", in("group-1", "\"user\":\"bob\"")), "\"removed\":true"));
  store.answer();
  engine.settle();
  EXPECT_TRUE(has(engine.sockets.replies[second].body, "\"code\":\"forbidden\""));
}

// ---- ids ----

TEST(Ids, RetriesOfOldOnesFillNoMemory) {
  SlowRoom store;
  store.ids_known = true;
  Bounds bounds;
  bounds.dedupe_per_room = 8;
  CommandEngine engine({}, bounds, &store, 100);
  for (int i = 0; i < 50; i++)
    engine.send("ann", "messages.send",
                in("group-1", "\"content\":\"x\",\"clientId\":\"old-" + std::to_string(i) + "\""));
  engine.settle();
  for (int i = 0; i < 60; i++) {
    store.answer();
    engine.settle(2);
  }
  const Room* room = engine.shard().homes().room_at(engine.shard().room_id(Name("t", "group-1")));
  ASSERT_NE(room, nullptr);
  EXPECT_GT(room->dedupe.size(), 0u);
  EXPECT_LE(room->dedupe.size(), 8u);
}

// ---- presence ----

TEST(PresenceOfSessions, EndsWithTheSessionAlsoWhereThatIsKeptForLessThanTheGrace) {
  Config config;
  config.session.keep_seconds = 1;
  config.session.presence_grace_seconds = 15;
  CommandEngine engine(config);
  uint32_t reader = engine.open("ann", {"lobby"});
  engine.settle();
  EXPECT_TRUE(has(engine.command("bob", "presence.list", R"({"room":"lobby"})"), "\"count\":1"));
  engine.close(reader);
  engine.pass(20'000);
  EXPECT_TRUE(has(engine.command("bob", "presence.list", R"({"room":"lobby"})"), "\"count\":0"));
}

TEST(PresenceOfSessions, NullTakesAStateBack) {
  CommandEngine engine;
  engine.open("ann", {"lobby"});
  engine.settle();
  engine.command("ann", "presence.set", in("lobby", R"("state":{"mood":"fine"})"));
  EXPECT_TRUE(
      has(engine.command("bob", "presence.list", R"({"room":"lobby"})"), R"("state":{"mood":"fine"})"));
  EXPECT_TRUE(has(engine.command("ann", "presence.set", in("lobby", R"("state":null)")), "\"success\":true"));
  EXPECT_TRUE(has(engine.command("bob", "presence.list", R"({"room":"lobby"})"), R"("state":null)"));
  EXPECT_TRUE(has(engine.command("ann", "presence.set", R"({"room":"lobby"})"), "'state' is required"));
}

// ---- groups ----

TEST(Groups, WhoMadeOneAndLeftIsToldNothingOfItByARetry) {
  CommandEngine engine;
  std::string make = R"({"isGroup":true,"participantIds":["bob"],"clientId":"g1"})";
  std::string room = member(engine.command("ann", "rooms.create", make), "id");
  EXPECT_TRUE(has(engine.command("ann", "rooms.create", make), "\"existing\":true"));
  engine.command("ann", "rooms.leave", "{\"room\":\"" + room + "\"}");
  EXPECT_TRUE(has(engine.command("ann", "rooms.create", make), "\"code\":\"forbidden\""));
}

// ---- marks of other servers ----

TEST(Loads, AMarkOfAnotherServerIsRefused) {
  CommandEngine engine;
  engine.command("ann", "messages.send", in("lobby", "\"content\":\"x\""));
  for (const char* field : {"before", "after"}) {
    std::string foreign = "\"" + std::string(field) + "\":\"0123456789ab-00000000000001\"";
    EXPECT_TRUE(has(engine.command("ann", "messages.load", in("lobby", foreign)), "invalid_argument"));
  }
  EXPECT_TRUE(has(engine.command("ann", "messages.load", in("lobby", R"("after":"1969-12-31T00:00:00Z")")),
                  "\"content\":\"x\""));
}

}  // namespace
}  // namespace twinwire::test
