// Forgetting: by age, by number, cleared rooms, expired ids; the mark is on disk before anything is gone.
#include <gtest/gtest.h>

#include "tests/store/any_database.h"

namespace twinwire::store {
namespace {

class RetentionTest : public AnyDatabase {
 protected:
  static Life::Options keep(uint64_t events, uint64_t ms) {
    Life::Options options;
    options.retention.keep_events = events;
    options.retention.keep_ms = ms;
    options.retention.visits_per_step = 16;
    return options;
  }
  size_t stored_events() {
    size_t count = 0;
    EXPECT_TRUE(database->scan({Table::events, {}, {}}, [&](std::string_view, std::string_view) {
      count++;
      return true;
    }));
    return count;
  }
};

TEST_P(RetentionTest, ByNumber) {
  Life life(*database, clock, 1, keep(10, 0));
  std::vector<EventRef> events;
  for (int i = 0; i < 100; i++) {
    events.push_back(life.publish({.text = std::to_string(i)}));
    if (i % 10 == 0) life.publish({.room = "small", .text = "s"});
  }
  life.settle();
  flush();
  life.retain();
  ASSERT_EQ(life.trims.size(), 1u);
  EXPECT_EQ(life.trims[0].first, life.room("lobby"));
  EXPECT_EQ(life.trims[0].second, events[89]->sequence());
  auto answer = life.read_all("lobby");
  EXPECT_EQ(answer->trimmed_through, events[89]->sequence());
  ASSERT_EQ(answer->events.size(), 10u);
  EXPECT_EQ(answer->events[0]->sequence(), events[90]->sequence());
  EXPECT_EQ(life.read_all("small")->events.size(), 10u);
  EXPECT_EQ(life.load_room("lobby")->trimmed_through, events[89]->sequence());
  EXPECT_EQ(stored_events(), 20u);
  EXPECT_EQ(life.retention->counts().removed_events, 90u);
  // The next round finds nothing until there is more.
  clock.advance(20'000);
  life.retain();
  EXPECT_EQ(life.trims.size(), 1u);
  life.publish({});
  life.settle();
  clock.advance(20'000);
  life.retain();
  EXPECT_EQ(life.trims.back().second, events[90]->sequence());
}

TEST_P(RetentionTest, ByAge) {
  Life life(*database, clock, 1, keep(0, 60'000));
  std::vector<EventRef> old, young;
  for (int i = 0; i < 50; i++) old.push_back(life.publish({.text = "old"}));
  clock.advance(50'000);
  for (int i = 0; i < 5; i++) young.push_back(life.publish({.text = "young"}));
  life.settle();
  life.retain();
  EXPECT_TRUE(life.trims.empty());
  clock.advance(20'000);
  life.retain();
  ASSERT_EQ(life.trims.size(), 1u);
  EXPECT_EQ(life.trims[0].second, old.back()->sequence());
  EXPECT_EQ(life.read_all("lobby")->events.size(), 5u);
  EXPECT_EQ(stored_events(), 5u);
  clock.advance(60'000);
  life.retain();
  EXPECT_TRUE(life.read_all("lobby")->events.empty());
  EXPECT_EQ(life.read_all("lobby")->trimmed_through, young.back()->sequence());
}

TEST_P(RetentionTest, ARoomTrimmedToNothingStillHasItsMark) {
  Life life(*database, clock, 1, keep(0, 60'000));
  EventRef last;
  for (int i = 0; i < 5; i++) last = life.publish({});
  life.settle();
  clock.advance(70'000);
  life.retain();
  ASSERT_EQ(stored_events(), 0u);
  auto record = life.load_room("lobby");
  EXPECT_EQ(record->trimmed_through, last->sequence());
  EXPECT_EQ(record->last_kept, last->sequence()) << "or readers behind it would not be told";
}

TEST_P(RetentionTest, TheMarkIsOnDiskBeforeAnythingIsGone) {
  Sequence marked;
  {
    Life life(*database, clock, 1, keep(5, 0));
    for (int i = 0; i < 40; i++) life.publish({});
    life.settle();
    while (life.trims.empty()) ASSERT_TRUE(life.retention->step(clock.now_ms()));
    marked = life.trims[0].second;
    EXPECT_EQ(stored_events(), 40u) << "nothing is removed yet";
    EXPECT_EQ(life.read_all("lobby")->events.size(), 5u) << "readers filter by the mark";
    EXPECT_TRUE(model == nullptr || model->unsynced() == 0);
  }
  reopen();
  Life life(*database, clock, 2, keep(5, 0));
  EXPECT_EQ(life.load_room("lobby")->trimmed_through, marked);
  EXPECT_EQ(life.read_all("lobby")->events.size(), 5u);
  life.retain();
  EXPECT_EQ(stored_events(), 5u) << "what was left over is removed by the next run";
}

TEST_P(RetentionTest, ClearedMessagesVanishAtOnceAndArePurged) {
  Sequence cleared;
  {
    Life life(*database, clock, 1, keep(0, 0));
    life.publish(
        {.type = "room.created", .effect = EventEffect::room_created, .room_record = RoomRecord().encode()});
    for (int i = 0; i < 60; i++) life.publish({.text = std::to_string(i)});
    life.publish({.room = "other"});
    cleared = life.publish({.type = "room.cleared", .effect = EventEffect::room_cleared})->sequence();
    life.publish({.text = "after"});
    life.settle();
    auto answer = life.read_all("lobby");
    ASSERT_EQ(answer->events.size(), 3u);
    EXPECT_EQ(answer->events[0]->type(), "room.created");
    EXPECT_EQ(answer->events[1]->type(), "room.cleared");
    EXPECT_EQ(answer->trimmed_through, Sequence{}) << "clearing is not trimming";
    EXPECT_EQ(life.load_room("lobby")->cleared_through, cleared);
    EXPECT_EQ(stored_events(), 64u);
  }
  reopen();  // before the purge: the next run does it
  Life life(*database, clock, 2, keep(0, 0));
  life.retain();
  EXPECT_EQ(stored_events(), 4u);
  EXPECT_EQ(life.read_all("lobby")->events.size(), 3u);
  // And one that happens while it runs is purged soon.
  life.publish({.type = "room.cleared", .effect = EventEffect::room_cleared});
  life.settle();
  life.retain();
  EXPECT_EQ(stored_events(), 4u);
}

// The writer says that a room is cleared a moment before it moves `durable` over the clearing.
TEST_P(RetentionTest, AClearingThatIsNotSettledYetIsPurgedLater) {
  Life life(*database, clock, 1, keep(0, 0));
  for (int i = 0; i < 5; i++) life.publish({.text = std::to_string(i)});
  Sequence cleared = life.publish({.type = "room.cleared", .effect = EventEffect::room_cleared})->sequence();
  life.settle();
  life.durability->set_durable(cleared - 1);
  life.retain();
  EXPECT_EQ(stored_events(), 6u);
  life.durability->set_durable(cleared);
  clock.advance(20'000);
  life.retain();
  EXPECT_EQ(stored_events(), 1u);
}

TEST_P(RetentionTest, ChangesGoWithTheirMessages) {
  Life life(*database, clock, 1, keep(3, 0));
  std::vector<EventRef> messages;
  for (int i = 0; i < 4; i++) messages.push_back(life.publish({.text = std::to_string(i)}));
  for (const EventRef& message : messages) life.publish(change(*message, "changed"));
  for (int i = 0; i < 3; i++) life.publish(change(*messages[3], std::to_string(i)));
  life.settle();
  auto stored_changes = [&] {
    size_t count = 0;
    auto read = database->scan({Table::membership, "c", "d"}, [&](std::string_view, std::string_view) {
      count++;
      return true;
    });
    EXPECT_TRUE(read);
    return count;
  };
  EXPECT_EQ(stored_changes(), 7u);
  life.retain();
  EXPECT_EQ(stored_changes(), 0u) << "all four messages are gone";
  EventRef kept = life.publish({.text = "kept"});
  life.publish(change(*kept, "changed"));
  life.settle();
  life.retain();
  EXPECT_EQ(stored_changes(), 1u);
  life.publish({.type = "room.cleared", .effect = EventEffect::room_cleared});
  life.settle();
  life.retain();
  EXPECT_EQ(stored_changes(), 0u);
}

TEST_P(RetentionTest, ExpiredIdsAreRemoved) {
  Life life(*database, clock, 1, keep(0, 0));
  for (int i = 0; i < 40; i++) life.publish({.client_id = fmt::format("old-{}", i)});
  life.settle();
  clock.advance(50'000'000);
  life.publish({.client_id = "young"});
  life.settle();
  life.retain();
  clock.advance(40'000'000);
  life.retain();
  size_t ids = 0;
  EXPECT_TRUE(database->scan({Table::idempotency, {}, {}},
                             [&](std::string_view, std::string_view) { return ++ids; }));
  EXPECT_EQ(ids, 1u);
  EXPECT_EQ(life.retention->counts().removed_ids, 40u);
  EXPECT_TRUE(life.find("lobby", "alice", "young").found);
}

INSTANTIATE_TEST_SUITE_P(All, RetentionTest, ::testing::Values("model", "rocksdb"),
                         [](const auto& info) { return std::string(info.param); });

TEST(RetentionFailures, PauseItAndLoseNothing) {
  TestClock clock;
  sim::ModelDatabase model(5);
  Life::Options options;
  options.retention.keep_events = 10;
  options.retention.visits_per_step = 16;
  Life life(model, clock, 1, options);
  for (int i = 0; i < 100; i++) life.publish({});
  life.settle();
  for (int i = 0; i < 300; i++) {
    model.set_faults({.fail_per_mille = 300, .read_fail_per_mille = 300});
    life.retention->step(clock.now_ms());
    model.set_faults({});
    auto answer = life.read_all("lobby");
    EXPECT_GE(answer->events.size(), 10u);
    EXPECT_TRUE(answer->events.size() == 100 || answer->events.size() == 10) << "never a hole";
    clock.advance(3'000);
  }
  EXPECT_GT(life.retention->counts().failures, 10u);
  EXPECT_EQ(model.size(Table::events), 10u);
}

}  // namespace
}  // namespace twinwire::store
