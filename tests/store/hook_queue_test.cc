// The save hook's queue: everything kept, in order, once taken never again unless a crash took that back; and
// never what its sender was told is unsaved. Also the style of events read from the store.
#include "store/hook_queue.h"

#include <gtest/gtest.h>

#include "core/bridge.h"
#include "tests/sim/model_database.h"
#include "tests/store/harness.h"

namespace twinwire::store {
namespace {

class HookQueueTest : public ::testing::Test {
 protected:
  Life::Options options() {
    Life::Options out;
    out.writer.for_hook = true;
    out.writer.give_up_ms = 1000;
    return out;
  }
  std::unique_ptr<HookQueue> queue_of(Life& life) {
    auto queue = std::make_unique<HookQueue>(database, life.shared, *life.durability, life.boot.epoch);
    EXPECT_TRUE(queue->open());
    return queue;
  }
  // The texts of a batch; moves on behind it if `take`.
  std::vector<std::string> next(HookQueue& queue, uint32_t events = 1000, bool take = true,
                                uint64_t bytes = UINT64_MAX) {
    auto batch = queue.next(events, bytes);
    EXPECT_TRUE(batch);
    std::vector<std::string> texts;
    for (const std::string& json : batch->json) {
      size_t at = json.find("\"text\":\"") + 8;
      texts.push_back(json.substr(at, json.find('"', at) - at));
    }
    if (take && batch->entries) {
      EXPECT_TRUE(queue.taken(batch->last, batch->entries));
    }
    return texts;
  }

  sim::ModelDatabase database{1};
  TestClock clock;
};

using Texts = std::vector<std::string>;

TEST_F(HookQueueTest, EverythingKeptInTheOrderOfTheLogAcrossRooms) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  EXPECT_EQ(next(*queue), Texts());
  life.publish({.room = "b", .text = "1"});
  life.publish({.room = "a", .text = "2"});
  life.publish({.room = "a", .text = "typing", .event_class = EventClass::state});
  life.publish({.room = "b", .text = "3"});
  EXPECT_EQ(next(*queue), Texts()) << "not before it is settled";
  life.settle();
  EXPECT_EQ(queue->waiting(), 3u);
  EXPECT_EQ(next(*queue, 2, false), (Texts{"1", "2"}));
  EXPECT_EQ(next(*queue, 2), (Texts{"1", "2"})) << "again until taken";
  EXPECT_EQ(next(*queue, 2), Texts{"3"});
  EXPECT_EQ(queue->waiting(), 0u);
  EXPECT_EQ(database.size(Table::hook), 0u);
  EXPECT_EQ(database.size(Table::events), 3u);
}

TEST_F(HookQueueTest, BoundsOfABatch) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  for (int i = 0; i < 5; i++) life.publish({.text = std::string(1000, static_cast<char>('a' + i))});
  life.settle();
  EXPECT_EQ(next(*queue, 1000, false, 1).size(), 1u) << "one, whatever its size";
  EXPECT_EQ(next(*queue, 1000, false, 3000).size(), 2u);
  EXPECT_EQ(next(*queue, 3, false).size(), 3u);
}

TEST_F(HookQueueTest, GoesOnAfterACrash) {
  {
    Life life(database, clock, 1, options());
    auto queue = queue_of(life);
    for (const char* text : {"1", "2", "3", "4"}) life.publish({.text = text});
    life.settle();
    EXPECT_EQ(next(*queue, 2), (Texts{"1", "2"}));
    life.publish({.text = "5"});
    life.settle();                           // its sync carries the cursor, too
    EXPECT_EQ(next(*queue, 1), Texts{"3"});  // not synced: may come again
    life.publish({.text = "lost"});
  }
  database.crash();
  Life life(database, clock, 2, options());
  auto queue = queue_of(life);
  Texts rest = next(*queue);
  EXPECT_TRUE(rest == (Texts{"3", "4", "5"}) || rest == (Texts{"4", "5"})) << rest.size();
  EXPECT_EQ(queue->waiting(), 0u);
  life.publish({.text = "6"});
  life.settle();
  EXPECT_EQ(next(*queue), Texts{"6"});
}

// The batch fails although it reached the disk; its events are given up. They are hidden at once, and gone
// once the store has healed.
TEST_F(HookQueueTest, WhatIsUnsavedIsNotDelivered) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  database.set_faults({.fail_landed_per_mille = 1000});
  EventRef event = life.publish({.text = "unsaved"});
  for (int i = 0; i < 100 && event->outcome() == Outcome::pending; i++) {
    life.settle();
    clock.advance(100);
  }
  ASSERT_EQ(event->outcome(), Outcome::unsaved);
  EXPECT_EQ(next(*queue, 10, false), Texts());
  database.set_faults({});
  EventRef healed = life.publish({.text = "next"});
  for (int i = 0; i < 100 && healed->outcome() == Outcome::pending; i++) {
    clock.advance(100);
    life.settle();
  }
  ASSERT_EQ(healed->outcome(), Outcome::stored);
  EXPECT_EQ(next(*queue), Texts{"next"});
  EXPECT_EQ(database.size(Table::hook), 0u);
}

// What waits is what hooks.queue_events counts: a figure too high would drop events that have room.
TEST_F(HookQueueTest, ReceiptsDoNotWait) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  EventRef message = life.publish({.text = "1"});
  for (int i = 0; i < 10; i++)
    life.publish(receipt("reader-" + std::to_string(i), true, message->sequence()));
  life.publish({.text = "2"});
  life.settle();
  EXPECT_EQ(database.size(Table::hook), 2u);
  EXPECT_EQ(queue->waiting(), 2u);
  EXPECT_EQ(*queue->cut(2), 0u);
  EXPECT_EQ(next(*queue), (Texts{"1", "2"}));
  EXPECT_EQ(queue->waiting(), 0u);
}

// An event that was given up although it reached the disk was never counted, so that taking it away must not
// count either: the figure would fall below nothing.
TEST_F(HookQueueTest, WhatIsUnsavedIsNotCounted) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  EventRef before = life.publish({.text = "before"});
  life.settle();
  database.set_faults({.stalled = true});
  EventRef event = life.publish({.text = "unsaved"});
  for (int i = 0; i < 100 && event->outcome() == Outcome::pending; i++) {
    life.writer->step(clock.now_ms());
    clock.advance(100);
  }
  ASSERT_EQ(event->outcome(), Outcome::unsaved);
  database.set_faults({});
  life.writer->step(clock.now_ms());  // the commit that hung returns, and the event is on the disk after all
  ASSERT_EQ(database.size(Table::hook), 2u);
  EXPECT_EQ(queue->waiting(), 1u);
  EXPECT_EQ(*queue->cut(1), 0u);
  EXPECT_EQ(next(*queue), Texts{"before"});
  EXPECT_EQ(next(*queue), Texts());
  EXPECT_EQ(queue->waiting(), 0u);
  EXPECT_EQ(*queue->cut(0), 0u);
  life.settle();
  EXPECT_EQ(database.size(Table::hook), 0u);
}

TEST_F(HookQueueTest, CutFromTheFront) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  for (int i = 0; i < 10; i++) life.publish({.text = std::to_string(i)});
  life.settle();
  EXPECT_EQ(*queue->cut(10), 0u);
  EXPECT_EQ(*queue->cut(3), 7u);
  EXPECT_EQ(next(*queue), (Texts{"7", "8", "9"}));
}

// Damage to one entry is that entry's loss and nobody else's.
TEST_F(HookQueueTest, WhatCannotBeReadIsPassedOver) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  std::vector<EventRef> events;
  for (int i = 0; i < 6; i++) events.push_back(life.publish({.text = std::to_string(i)}));
  life.settle();
  auto writes = database.make_write_set();
  // No room id; a room id and a record that says nothing; and a key that is no sequence.
  writes->put(Table::hook, hook_key(events[0]->sequence()), "short");
  writes->put(Table::hook, hook_key(events[1]->sequence()), std::string(16, 'r') + "\x01 nonsense");
  writes->put(Table::hook, hook_key(events[3]->sequence()), "");
  writes->put(Table::hook, hook_key(events[4]->sequence()) + "x", "no entry");
  ASSERT_TRUE(database.commit(*writes, Sync::yes));
  EXPECT_EQ(queue->waiting(), 6u);

  auto first = queue->next(2, 1 << 20);
  ASSERT_TRUE(first) << "nothing of these two can be sent, and yet they can be left behind";
  EXPECT_EQ(first->json.size(), 0u);
  EXPECT_EQ(first->entries, 2u) << "what cannot be read is bounded like what can";
  EXPECT_EQ(first->unreadable, 2u);
  EXPECT_EQ(first->first_unreadable, events[0]->sequence());
  EXPECT_EQ(first->last, events[1]->sequence());
  ASSERT_TRUE(queue->taken(first->last, first->entries));

  auto rest = queue->next(10, 1 << 20);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->json.size(), 3u);
  EXPECT_EQ(rest->entries, 4u);
  EXPECT_EQ(rest->unreadable, 1u);
  EXPECT_EQ(rest->first_unreadable, events[3]->sequence());
  EXPECT_EQ(next(*queue), (Texts{"2", "4", "5"}));
  EXPECT_EQ(queue->waiting(), 0u);
  EXPECT_EQ(database.size(Table::hook), 0u);
}

// After a return to an older server: what it cannot read is nobody's damage, and waits.
TEST_F(HookQueueTest, WhatANewerServerWroteWaitsForOne) {
  Life life(database, clock, 1, options());
  auto queue = queue_of(life);
  std::vector<EventRef> events;
  for (int i = 0; i < 3; i++) events.push_back(life.publish({.text = std::to_string(i)}));
  life.settle();
  auto writes = database.make_write_set();
  writes->put(Table::hook, hook_key(events[1]->sequence()),
              std::string(16, 'r') + static_cast<char>(kRecordVersion + 1) + " of tomorrow");
  ASSERT_TRUE(database.commit(*writes, Sync::yes));

  EXPECT_EQ(next(*queue), (Texts{"0"})) << "what stands in front of it goes";
  auto stopped = queue->next(10, 1 << 20);
  ASSERT_FALSE(stopped);
  EXPECT_NE(stopped.error().sentence.find("newer server"), std::string::npos);
  EXPECT_EQ(queue->waiting(), 2u);
  EXPECT_EQ(database.size(Table::hook), 2u);
}

TEST_F(HookQueueTest, WithoutAHookNothingIsQueued) {
  Life life(database, clock);
  life.publish({});
  life.settle();
  EXPECT_EQ(database.size(Table::hook), 0u);
}

TEST_F(HookQueueTest, ReadersGetTheStyleOfTheDayTheHookTheNativeOne) {
  Bridges bridges;
  bridges.tenants["acme"].style.sse.names = NameRule::upper_snake;
  bridges.tenants["acme"].style.ws.body = BodyRule::data;
  Life::Options with = options();
  with.history.bridges = &bridges;
  Life life(database, clock, 1, with);
  auto queue = queue_of(life);
  EventRef published = life.publish({.text = "x"});
  life.settle();
  auto answer = life.read_all("lobby");
  ASSERT_EQ(answer->events.size(), 1u);
  const Event& read = *answer->events[0];
  EXPECT_NE(read.sse().find("event: MESSAGE_CREATED\n"), std::string_view::npos);
  EXPECT_TRUE(read.json().ends_with(R"("type":"message.created","text":"x"})")) << read.json();
  EXPECT_EQ(read.data(), published->data());
  auto batch = queue->next(10, 1 << 20);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->json.size(), 1u);
  EXPECT_EQ(batch->json[0], published->json());
  EXPECT_EQ(batch->oldest_wall_ms, clock.wall_ms());
}

}  // namespace
}  // namespace twinwire::store
