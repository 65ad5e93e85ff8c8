// The ring with real threads: every consumer sees every slot once and in order, nothing is overwritten before
// all have passed, every prepaid reference is given back exactly once, and no wake-up is lost. Made for
// ThreadSanitizer (tools/dev sanitize thread); a few seconds each.
#include "core/ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <deque>
#include <random>
#include <thread>

#include "core/durability.h"
#include "tests/stress/bell.h"

namespace twinwire {
namespace {

using Priority = Ring::Priority;

// References to an event: its first member is the count, and nothing else would tell.
uint32_t references(const EventRef& event) {
  return reinterpret_cast<const std::atomic<uint32_t>*>(event.get())->load(std::memory_order_acquire);
}

// Shards that publish and consume, as in the server, and a writer that consumes and extends the lease.
class Node {
 public:
  struct Options {
    uint32_t shards = 3;
    uint32_t events_per_shard = 20000;
    Ring::Options ring;
  };

  explicit Node(const Options& options)
      : options_(options), bells_(options.shards + 1), ring_(options.ring, bells_) {}

  void run() {
    std::vector<std::thread> threads;
    for (uint32_t s = 0; s < options_.shards; s++) threads.emplace_back([this, s] { shard(s); });
    threads.emplace_back([this] { writer(); });
    for (auto& thread : threads) thread.join();
  }

  std::atomic<uint64_t> claims{0}, refused{0}, noops{0}, sleeps{0}, released{0}, prepaid{0}, kept{0},
      checked{0};

 private:
  struct Consumer {
    Sequence at;
    std::vector<uint64_t> last_of;  // by publisher: its events come in its order
  };

  // One slot for consumer `self`; false when there is none yet.
  bool consume_one(uint32_t self, Consumer& me, uint64_t& bytes) {
    const Slot* slot = ring_.peek(me.at + 1);
    if (!slot) return false;
    me.at = me.at + 1;
    bytes += slot->bytes;
    const bool is_writer = self == ring_.writer_consumer();
    const bool mine = is_writer ? slot->kept : (slot->mask >> self & 1) != 0;
    if (!mine) return true;
    EventRef event = EventRef::adopt(slot->event);
    EXPECT_EQ(event->sequence(), me.at);
    EXPECT_EQ(event->room(), slot->room);
    EXPECT_EQ(event->kept(), slot->kept);
    uint64_t publisher = event->content_hash(), number = event->wall_ms();
    EXPECT_GT(number, me.last_of[publisher]) << "out of its publisher's order";
    me.last_of[publisher] = number;
    if (is_writer) event->settle(Outcome::stored);
    released.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  bool consume(uint32_t self, Consumer& me, uint32_t most) {
    uint64_t bytes = 0;
    uint32_t n = 0;
    while (n < most && consume_one(self, me, bytes)) n++;
    if (n) ring_.consumed(self, me.at, bytes);
    return n > 0;
  }

  bool all_read(const Consumer& me) {
    return producers_done_.load(std::memory_order_acquire) == options_.shards && me.at == ring_.claimed();
  }

  // Sleeps as the shard does. Who has still to publish has a timer of its own; who has not depends on being
  // woken.
  void sleep(uint32_t self, const Consumer& me, bool depends) {
    ring_.set_sleeping(self, true);
    if (!ring_.peek(me.at + 1) && !all_read(me)) {
      sleeps.fetch_add(1, std::memory_order_relaxed);
      if (!depends) {
        bells_[self].wait(std::chrono::milliseconds(1));
      } else if (!bells_[self].wait()) {
        ADD_FAILURE() << "consumer " << self << " was not woken at " << me.at.value << " of "
                      << ring_.claimed().value;
      }
    }
    ring_.set_sleeping(self, false);
  }

  EventRef make(uint32_t self, uint64_t number, std::mt19937& random, bool is_kept) {
    EventDraft draft;
    std::string data = "\"" + std::string(random() % 100, 'x') + "\"";
    draft.type = "e";
    draft.data = data;
    draft.room = {number, self};
    draft.wall_ms = number;
    draft.content_hash = self;
    draft.event_class = is_kept ? EventClass::kept : EventClass::ephemeral;
    return Event::encode(draft, Epoch{1});
  }

  // Publishes a batch, or nothing when the ring says no.
  uint32_t publish(uint32_t self, uint64_t number, std::deque<EventRef>& mine, std::mt19937& random) {
    const uint64_t all = (uint64_t{1} << options_.shards) - 1;
    auto priority = static_cast<Priority>(random() % 3);
    uint32_t count = random() % 4 ? 1 : 1 + random() % Ring::kBatchMax;
    std::vector<EventRef> events;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
      events.push_back(make(self, number + i, random, random() % 2));
      bytes += events.back()->size();
    }
    auto claim = ring_.try_claim(count, bytes, priority);
    if (!claim) {
      refused.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
    claims.fetch_add(1, std::memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
      Sequence at = claim->first + i;
      Slot& slot = ring_.slot(at);
      slot.bytes = priority == Priority::control ? 0 : events[i]->size();
      if (random() % 50 == 0) {  // a claim that was abandoned still ends visibly
        slot.event = nullptr;
        slot.kind = EventKind::noop;
        slot.mask = 0;
        slot.kept = false;
        ring_.publish(at);
        noops.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      events[i].mutable_event()->patch(at);
      slot.event = events[i].get();
      slot.room = events[i]->room();
      slot.kind = EventKind::event;
      slot.mask = random() % 3 ? random() & all : random() % 2 ? all : 0;
      slot.kept = events[i]->kept();
      uint32_t owed = static_cast<uint32_t>(std::popcount(slot.mask)) + slot.kept;
      kept.fetch_add(slot.kept, std::memory_order_relaxed);
      prepaid.fetch_add(owed, std::memory_order_relaxed);
      events[i]->prepay(owed);
      ring_.publish(at);
      mine.push_back(std::move(events[i]));
    }
    return count;
  }

  // Once everyone has passed an event, ours is the last reference.
  void check(std::deque<EventRef>& mine) {
    for (Sequence passed = ring_.consumed_min(); !mine.empty() && mine.front()->sequence() <= passed;
         mine.pop_front()) {
      ASSERT_EQ(references(mine.front()), 1u) << "of " << mine.front()->sequence().value;
      if (mine.front()->kept()) {
        ASSERT_EQ(mine.front()->outcome(), Outcome::stored);
      }
      checked.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void shard(uint32_t self) {
    std::mt19937 random(self + 1);
    Consumer me{ring_.consumed_position(self), std::vector<uint64_t>(options_.shards)};
    std::deque<EventRef> mine;
    uint64_t number = 1;
    bool done = false;
    while (!all_read(me)) {
      bool some = consume(self, me, 1 + random() % 128);
      if (!done && random() % 4) {
        uint32_t n = publish(self, number, mine, random);
        number += n;
        some |= n > 0;
        if (number > options_.events_per_shard) finish(done);
      }
      if (!done && random() % 8) continue;  // mostly busy, sometimes asleep in the middle of it
      if (!some && (done || random() % 2)) sleep(self, me, done);
      if (random() % 16 == 0) check(mine);
    }
    while (!mine.empty()) {
      check(mine);
      std::this_thread::yield();
    }
  }

  void finish(bool& done) {
    done = true;
    producers_done_.fetch_add(1, std::memory_order_acq_rel);
    for (uint32_t c = 0; c <= options_.shards; c++) ring_.wake_if_sleeping(c);
  }

  void writer() {
    const uint32_t self = ring_.writer_consumer();
    std::mt19937 random(77);
    Consumer me{ring_.consumed_position(self), std::vector<uint64_t>(options_.shards)};
    while (!all_read(me)) {
      bool some = consume(self, me, 1 + random() % 200);
      // The lease is extended late, so that it is met.
      if (ring_.lease_end() - me.at < 1500) ring_.extend_lease(ring_.lease_end() + 1000);
      if (!some) sleep(self, me, true);
    }
  }

  const Options options_;
  Bells bells_;
  Ring ring_;
  std::atomic<uint32_t> producers_done_{0};
};

TEST(RingStress, SmallRingManyLaps) {
  Node node({.shards = 3,
             .events_per_shard = 20000,
             .ring = {.slots = 2048,
                      .bytes = 100 << 20,
                      .shards = 3,
                      .first = Sequence{7},
                      .lease_end = Sequence{3000}}});
  node.run();
  EXPECT_EQ(node.released.load(), node.prepaid.load());
  EXPECT_GT(node.checked.load(), 55000u);
  EXPECT_GT(node.sleeps.load(), 0u);
  EXPECT_GT(node.noops.load(), 100u);
}

TEST(RingStress, FewBytes) {
  Node node(
      {.shards = 2,
       .events_per_shard = 20000,
       .ring = {.slots = 1 << 14, .bytes = 200000, .shards = 2, .lease_end = Sequence{uint64_t{1} << 40}}});
  node.run();
  EXPECT_EQ(node.released.load(), node.prepaid.load());
  EXPECT_GT(node.refused.load(), 0u);
  EXPECT_GT(node.checked.load(), 38000u);
}

TEST(RingStress, ManyShards) {
  Node node(
      {.shards = 12,
       .events_per_shard = 4000,
       .ring = {.slots = 4096, .bytes = 10 << 20, .shards = 12, .lease_end = Sequence{uint64_t{1} << 40}}});
  node.run();
  EXPECT_EQ(node.released.load(), node.prepaid.load());
  EXPECT_GT(node.checked.load(), 45000u);
}

// One slot at a time, each awaited: every publish may meet its readers at any step of going to sleep, and if
// one is not woken nothing else will wake it.
TEST(RingStress, NoWakeUpIsLost) {
  constexpr uint32_t kRounds = 30000;
  Bells bells(3);
  Ring ring({.slots = 2048, .shards = 2, .lease_end = Sequence{uint64_t{1} << 40}}, bells);
  std::atomic<bool> failed{false};
  std::vector<std::thread> readers;
  for (uint32_t self = 0; self < 3; self++)
    readers.emplace_back([&, self] {
      std::mt19937 random(self);
      for (Sequence at{0}; at.value < kRounds && !failed;) {
        if (ring.peek(at + 1)) {
          at = at + 1;
          ring.consumed(self, at, 0);
          continue;
        }
        dither(random());
        ring.set_sleeping(self, true);
        if (!ring.peek(at + 1) && !bells[self].wait() && !failed.exchange(true))
          ADD_FAILURE() << "reader " << self << " was not woken for " << at.value + 1;
        ring.set_sleeping(self, false);
      }
    });
  std::mt19937 random(9);
  for (uint32_t i = 1; i <= kRounds && !failed; i++) {
    auto claim = ring.try_claim(1, 0, Priority::normal);
    ASSERT_TRUE(claim);
    Slot& slot = ring.slot(claim->first);
    slot.event = nullptr;
    slot.mask = 3;
    slot.kept = true;
    slot.bytes = 0;
    dither(random());
    ring.publish(claim->first);
    while (ring.consumed_min() < claim->first && !failed) std::this_thread::yield();
  }
  for (auto& reader : readers) reader.join();
}

// The same between the writer, which moves `durable`, and a shard that waits for it.
TEST(RingStress, NoProgressOfTheStoreIsMissed) {
  constexpr uint64_t kRounds = 50000;
  Bells bells(2);
  Ring ring({.slots = 2048, .shards = 1, .lease_end = Sequence{uint64_t{1} << 40}}, bells);
  Durability durability(Sequence{0}, Sequence{1});
  std::atomic<uint64_t> seen{0};
  std::atomic<bool> failed{false};
  std::thread shard([&] {
    std::mt19937 random(1);
    while (seen.load() < kRounds && !failed) {
      if (durability.durable().value != seen.load()) {
        seen.store(durability.durable().value);
        continue;
      }
      dither(random());
      durability.wait_for_progress(ShardIndex{0});
      ring.set_sleeping(0, true);
      if (durability.durable().value == seen.load() && !bells[0].wait() && !failed.exchange(true))
        ADD_FAILURE() << "not told of " << durability.durable().value;
      ring.set_sleeping(0, false);
    }
  });
  std::mt19937 random(2);
  for (uint64_t i = 1; i <= kRounds && !failed; i++) {
    dither(random());
    durability.set_durable(Sequence{i});
    for (uint64_t mask = durability.take_waiting(); mask; mask &= mask - 1)
      ring.wake_if_sleeping(static_cast<uint32_t>(std::countr_zero(mask)));
    while (seen.load() != i && !failed) std::this_thread::yield();
  }
  shard.join();
}

}  // namespace
}  // namespace twinwire
