// The tail of a room, who may read from where, and the room's record as it travels to the store.
#include "core/room.h"

#include <gtest/gtest.h>

#include <random>

#include "core/history.h"

namespace twinwire {
namespace {

EventRef event_at(uint64_t sequence, size_t text = 0) {
  EventDraft draft;
  std::string data = "\"" + std::string(text, 'x') + "\"";
  draft.type = "e";
  draft.data = data;
  EventRef event = Event::encode(draft, Epoch{1});
  event.mutable_event()->patch(Sequence{sequence});
  return event;
}

std::vector<uint64_t> sequences(const std::vector<EventRef>& events) {
  std::vector<uint64_t> out;
  for (const EventRef& event : events) out.push_back(event->sequence().value);
  return out;
}

using Sequences = std::vector<uint64_t>;

class TailTest : public ::testing::Test {
 protected:
  TailTest() {
    for (uint64_t s : {10, 12, 13, 20, 21}) tail_.append(event_at(s));
  }
  Sequences collect(uint64_t after, uint64_t upto, uint32_t max = 100, uint64_t bytes = 1 << 20) {
    std::vector<EventRef> out;
    whole_ = tail_.collect(Sequence{after}, Sequence{upto}, max, bytes, out);
    return sequences(out);
  }
  Tail tail_;
  bool whole_ = false;
};

TEST_F(TailTest, RangesAreOpenBelowAndClosedAbove) {
  EXPECT_EQ(collect(0, 100), (Sequences{10, 12, 13, 20, 21}));
  EXPECT_TRUE(whole_);
  EXPECT_EQ(collect(10, 20), (Sequences{12, 13, 20}));
  EXPECT_EQ(collect(9, 10), (Sequences{10}));
  EXPECT_EQ(collect(11, 12), (Sequences{12}));
  EXPECT_EQ(collect(13, 19), Sequences{});
  EXPECT_TRUE(whole_);
  EXPECT_EQ(collect(21, 100), Sequences{});
  EXPECT_EQ(collect(12, 12), Sequences{});
  EXPECT_EQ(collect(20, 13), Sequences{});
}

TEST_F(TailTest, LimitsCutAndSaySo) {
  EXPECT_EQ(collect(0, 100, 3), (Sequences{10, 12, 13}));
  EXPECT_FALSE(whole_);
  EXPECT_EQ(collect(0, 13, 3), (Sequences{10, 12, 13}));
  EXPECT_TRUE(whole_);
  const uint64_t one = tail_.events().front()->size();
  EXPECT_EQ(collect(0, 100, 100, 2 * one), (Sequences{10, 12}));
  EXPECT_FALSE(whole_);
  // The first is taken however large it is: a read must make progress.
  EXPECT_EQ(collect(0, 100, 100, 1), (Sequences{10}));
  EXPECT_FALSE(whole_);
  EXPECT_EQ(collect(20, 100, 100, 1), (Sequences{21}));
  EXPECT_TRUE(whole_);
}

TEST_F(TailTest, UnsavedOnesAreNotRead) {
  tail_.events()[1]->settle(Outcome::unsaved);
  tail_.events()[2]->settle(Outcome::stored);
  EXPECT_EQ(collect(0, 100), (Sequences{10, 13, 20, 21}));
  EXPECT_EQ(collect(0, 13, 2), (Sequences{10, 13}));
  EXPECT_TRUE(whole_);
  EXPECT_EQ(collect(10, 12), Sequences{});
  EXPECT_TRUE(whole_);
}

TEST_F(TailTest, FirstAndFloor) {
  EXPECT_EQ(tail_.first(), Sequence{1});
  tail_.set_floor(Sequence{9});
  EXPECT_EQ(tail_.first(), Sequence{10});
  tail_.drop_front();
  EXPECT_EQ(tail_.first(), Sequence{11});
  EXPECT_EQ(collect(0, 100), (Sequences{12, 13, 20, 21}));
  tail_.set_floor(Sequence{5});
  EXPECT_EQ(tail_.first(), Sequence{11});
  while (!tail_.empty()) tail_.drop_front();
  EXPECT_EQ(tail_.first(), Sequence{22});  // everything up to 21 is the store's
  tail_.set_floor(Sequence{30});
  EXPECT_EQ(tail_.first(), Sequence{31});
  tail_.set_floor(Sequence{25});
  EXPECT_EQ(tail_.first(), Sequence{31});
  EXPECT_EQ(collect(0, 100), Sequences{});
  EXPECT_TRUE(whole_);
  tail_.append(event_at(40));
  EXPECT_EQ(tail_.first(), Sequence{31});
  EXPECT_EQ(Tail().first(), Sequence{1});
}

TEST_F(TailTest, RemoveKeepsTheRestInOrder) {
  tail_.remove_if([](const EventRef& event) { return event->sequence().value % 2 == 1; });
  EXPECT_EQ(collect(0, 100), (Sequences{10, 12, 20}));
  tail_.remove_if([](const EventRef&) { return true; });
  EXPECT_TRUE(tail_.empty());
  EXPECT_EQ(tail_.bytes(), 0u);
}

TEST(Tail, CountsBytesAndHoldsReferences) {
  std::mt19937 random(2);
  Tail tail;
  uint64_t expected = 0, next = 1;
  for (int step = 0; step < 2000; step++) {
    if (random() % 3 || tail.empty()) {
      EventRef event = event_at(next++, random() % 100);
      expected += event->size();
      tail.append(event);
    } else if (random() % 20) {
      expected -= tail.events().front()->size();
      tail.drop_front();
    } else {
      tail.remove_if([&](const EventRef& event) {
        bool out = event->sequence().value % 5 == 0;
        if (out) expected -= event->size();
        return out;
      });
    }
    ASSERT_EQ(tail.bytes(), expected);
    ASSERT_TRUE(
        std::is_sorted(tail.events().begin(), tail.events().end(),
                       [](const EventRef& a, const EventRef& b) { return a->sequence() < b->sequence(); }));
  }
}

// Design, 3: in closed rooms no read goes below the membership unless the room says history = full.
TEST(Room, FromWhereAUserMayRead) {
  Room room;
  Name alice("t", "alice"), bob("t", "bob");
  room.members.emplace(alice, Sequence{50});
  room.kind = RoomKind::closed;
  EXPECT_EQ(room.readable_from(alice), Sequence{50});
  room.history = HistoryAccess::full;
  EXPECT_EQ(room.readable_from(alice), Sequence{0});
  room.history = HistoryAccess::since_joined;
  for (RoomKind kind : {RoomKind::open, RoomKind::direct}) {
    room.kind = kind;
    EXPECT_EQ(room.readable_from(alice), Sequence{0});
    EXPECT_TRUE(room.is_member(alice));
    EXPECT_FALSE(room.is_member(bob));
  }
}

TEST(RoomRecord, ComesBack) {
  RoomRecord record;
  record.kind = RoomKind::closed;
  record.history = HistoryAccess::full;
  record.title = std::string("Tea \0 time", 10);
  record.created_by = "alice";
  record.created_wall_ms = 0x0123456789abcdef;
  auto back = RoomRecord::decode(record.encode());
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->exists);
  EXPECT_EQ(back->kind, RoomKind::closed);
  EXPECT_EQ(back->history, HistoryAccess::full);
  EXPECT_EQ(back->title, record.title);
  EXPECT_EQ(back->created_by, "alice");
  EXPECT_EQ(back->created_wall_ms, record.created_wall_ms);
  RoomRecord empty;
  ASSERT_TRUE(RoomRecord::decode(empty.encode()));
}

// It is in data directories: the bytes must not change.
TEST(RoomRecord, ExactBytes) {
  RoomRecord record;
  record.kind = RoomKind::direct;
  record.title = "ab";
  record.created_by = "c";
  record.created_wall_ms = 258;
  EXPECT_EQ(record.encode(), std::string("\x01\x02\x00\0\0\0\0\0\0\x01\x02\x00\x02"
                                         "ab\x00\x01"
                                         "c",
                                         18));
}

TEST(RoomRecord, RefusesDamage) {
  RoomRecord record;
  record.title = "title";
  record.created_by = "someone";
  const std::string good = record.encode();
  for (size_t size = 0; size < good.size(); size++)
    EXPECT_FALSE(RoomRecord::decode(good.substr(0, size))) << size;
  EXPECT_FALSE(RoomRecord::decode(good + "x"));
  for (auto [at, wrong] : {std::pair{0, 2}, {0, 0}, {1, 4}, {1, 255}, {2, 2}, {11, 1}, {12, 200}}) {
    std::string bad = good;
    bad[static_cast<size_t>(at)] = static_cast<char>(wrong);
    EXPECT_FALSE(RoomRecord::decode(bad)) << at;
  }
}

TEST(Room, ManagedByItsCreatorThenByWhoIsInItLongest) {
  Room room;
  Name ann("t", "ann"), bob("t", "bob"), eve("t", "eve");
  room.kind = RoomKind::closed;
  room.created_by = "ann";
  room.members = {{ann, {70}}, {bob, {50}}, {eve, {60}}};
  EXPECT_TRUE(room.managed_by(ann));
  EXPECT_FALSE(room.managed_by(bob));
  EXPECT_FALSE(room.managed_by(eve));
  room.members.erase(ann);
  EXPECT_FALSE(room.managed_by(ann));
  EXPECT_TRUE(room.managed_by(bob));
  EXPECT_FALSE(room.managed_by(eve));
}

}  // namespace
}  // namespace twinwire
