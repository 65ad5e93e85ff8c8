// The ring on one thread: limits, reserve, lease, bytes, what is shed first, laps, and who is woken when.
// Several threads: tests/stress.
#include "core/ring.h"

#include <gtest/gtest.h>

#include <random>

namespace twinwire {
namespace {

using Priority = Ring::Priority;

struct Wakes final : Waker {
  void wake(uint32_t consumer) override { woken.push_back(consumer); }
  std::vector<uint32_t> woken;
};

class RingTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlots = 4096;

  Ring make(Ring::Options options) {
    if (options.slots == Ring::Options{}.slots) options.slots = kSlots;
    if (options.lease_end.value == 0) options.lease_end = Sequence{1} + (uint64_t{1} << 40);
    return Ring(options, waker_);
  }
  static Slot& fill(Ring& ring, Sequence at, uint64_t mask = 0, bool kept = false, uint32_t bytes = 0) {
    Slot& slot = ring.slot(at);
    slot.event = nullptr;
    slot.mask = mask;
    slot.kept = kept;
    slot.bytes = bytes;
    return slot;
  }
  static void publish(Ring& ring, const Claim& claim, uint64_t mask = 0, bool kept = false,
                      uint32_t bytes = 0) {
    for (uint32_t i = 0; i < claim.count; i++) {
      fill(ring, claim.first + i, mask, kept, bytes);
      ring.publish(claim.first + i);
    }
  }
  // Claims one after the other until refused; how many there were.
  static uint64_t claim_until_refused(Ring& ring, Priority priority, uint64_t bytes = 0) {
    uint64_t n = 0;
    while (auto claim = ring.try_claim(1, bytes, priority)) {
      publish(ring, *claim, 0, false, static_cast<uint32_t>(bytes));
      if (++n > 10 * kSlots) break;
    }
    return n;
  }
  static void consume_all(Ring& ring, uint32_t consumer) {
    Sequence at = ring.consumed_position(consumer);
    uint64_t bytes = 0;
    while (const Slot* slot = ring.peek(at + 1)) {
      at = at + 1;
      bytes += slot->bytes;
    }
    ring.consumed(consumer, at, bytes);
  }
  static void consume_all(Ring& ring) {
    for (uint32_t c = 0; c <= ring.shards(); c++) consume_all(ring, c);
  }

  Wakes waker_;
};

TEST_F(RingTest, OneSlotAfterTheOther) {
  Ring ring = make({.shards = 2, .first = Sequence{1000}});
  EXPECT_EQ(ring.claimed(), Sequence{999});
  EXPECT_EQ(ring.consumed_min(), Sequence{999});
  EXPECT_EQ(ring.peek(Sequence{1000}), nullptr);
  auto a = ring.try_claim(1, 10, Priority::normal);
  auto b = ring.try_claim(3, 10, Priority::normal);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->first, Sequence{1000});
  EXPECT_EQ(b->first, Sequence{1001});
  EXPECT_EQ(b->count, 3u);
  EXPECT_EQ(ring.claimed(), Sequence{1003});
  // Nothing is seen before it is published, in whatever order that happens.
  publish(ring, *b, 5, true);
  EXPECT_EQ(ring.peek(Sequence{1000}), nullptr);
  ASSERT_NE(ring.peek(Sequence{1001}), nullptr);
  EXPECT_EQ(ring.peek(Sequence{1001})->mask, 5u);
  EXPECT_TRUE(ring.peek(Sequence{1003})->kept);
  EXPECT_EQ(ring.peek(Sequence{1004}), nullptr);
  publish(ring, *a);
  ASSERT_NE(ring.peek(Sequence{1000}), nullptr);
  ring.consumed(0, Sequence{1003}, 0);
  ring.consumed(1, Sequence{1001}, 0);
  EXPECT_EQ(ring.consumed_min(), Sequence{999});  // the writer
  ring.consumed(ring.writer_consumer(), Sequence{1002}, 0);
  EXPECT_EQ(ring.consumed_min(), Sequence{1001});
  EXPECT_EQ(ring.consumed_position(0), Sequence{1003});
}

TEST_F(RingTest, ASlotOfTheLastLapIsNotTakenForTheNext) {
  Ring ring = make({});
  for (uint64_t lap = 0; lap < 5; lap++)
    for (uint32_t i = 0; i < kSlots; i++) {
      auto claim = ring.try_claim(1, 0, Priority::normal);
      ASSERT_TRUE(claim);
      ASSERT_EQ(ring.peek(claim->first), nullptr);
      publish(ring, *claim);
      ASSERT_NE(ring.peek(claim->first), nullptr);
      ASSERT_EQ(ring.peek(claim->first + kSlots), nullptr);
      if (claim->first.value > kSlots) {
        ASSERT_EQ(ring.peek(claim->first - kSlots), nullptr);
      }
      consume_all(ring);
    }
}

// Design, 3: checked before every claim, with slack for shards × the largest batch; a reserve for control.
// One slot of the lap is always left over.
TEST_F(RingTest, HowManyFit) {
  for (uint32_t shards : {1u, 4u}) {
    const uint64_t slack = shards * Ring::kBatchMax, reserve = std::min(Ring::kReserve, kSlots / 4);
    Ring state = make({.shards = shards});
    EXPECT_EQ(claim_until_refused(state, Priority::state), kSlots - 1 - slack - reserve - kSlots / 4);
    EXPECT_EQ(claim_until_refused(state, Priority::normal), kSlots / 4);
    EXPECT_EQ(claim_until_refused(state, Priority::state), 0u);
    EXPECT_EQ(claim_until_refused(state, Priority::control), reserve);
    EXPECT_EQ(claim_until_refused(state, Priority::normal), 0u);
    consume_all(state);
    EXPECT_EQ(claim_until_refused(state, Priority::control), kSlots - 1 - slack);
  }
}

TEST_F(RingTest, TheSlowestConsumerCounts) {
  Ring ring = make({.shards = 2});
  claim_until_refused(ring, Priority::normal);
  consume_all(ring, 0);
  consume_all(ring, ring.writer_consumer());
  EXPECT_FALSE(ring.try_claim(1, 0, Priority::normal));
  ring.consumed(1, Sequence{10}, 0);
  EXPECT_EQ(claim_until_refused(ring, Priority::normal), 10u);
}

// Every shard may have passed the check before any of them claims: the slack holds them all.
TEST_F(RingTest, TheSlackHoldsOneBatchOfEveryShard) {
  Ring ring = make({.shards = 8});
  claim_until_refused(ring, Priority::control);
  EXPECT_LE(ring.claimed().value + 8 * Ring::kBatchMax, kSlots);
}

TEST_F(RingTest, BatchesAreWholeOrNothing) {
  Ring ring = make({});
  uint64_t got = 0;
  while (auto claim = ring.try_claim(Ring::kBatchMax, 0, Priority::normal)) {
    EXPECT_EQ(claim->count, Ring::kBatchMax);
    publish(ring, *claim);
    got += claim->count;
  }
  EXPECT_EQ(got, (kSlots - 1 - Ring::kBatchMax - kSlots / 4) / Ring::kBatchMax * Ring::kBatchMax);
  Sequence before = ring.claimed();
  EXPECT_FALSE(ring.try_claim(Ring::kBatchMax, 0, Priority::normal));
  EXPECT_EQ(ring.claimed(), before);  // a refusal takes nothing
}

TEST_F(RingTest, TheLeaseEndsTheSequences) {
  Ring ring = make({.first = Sequence{1}, .lease_end = Sequence{2001}});
  const uint64_t slack = Ring::kBatchMax, reserve = Ring::kReserve;
  EXPECT_EQ(claim_until_refused(ring, Priority::normal), 2000 - slack - reserve);
  consume_all(ring);
  EXPECT_EQ(claim_until_refused(ring, Priority::normal), 0u);
  EXPECT_EQ(claim_until_refused(ring, Priority::control), reserve);
  EXPECT_LT(ring.claimed(), ring.lease_end());
  ring.extend_lease(Sequence{2101});
  EXPECT_EQ(claim_until_refused(ring, Priority::control), 100u);
  EXPECT_EQ(ring.lease_end(), Sequence{2101});
}

TEST_F(RingTest, TheBudgetOfBytes) {
  Ring ring = make({.bytes = 100000});
  EXPECT_EQ(claim_until_refused(ring, Priority::state, 1000), 75u);
  EXPECT_EQ(claim_until_refused(ring, Priority::normal, 1000), 25u);
  EXPECT_EQ(ring.bytes_in_flight(), 100000u);
  EXPECT_FALSE(ring.try_claim(1, 1, Priority::normal));
  // Control events are never refused for bytes and do not count.
  auto control = ring.try_claim(1, 5000, Priority::control);
  ASSERT_TRUE(control);
  publish(ring, *control);
  EXPECT_EQ(ring.bytes_in_flight(), 100000u);
  // Freed when the last consumer has passed, not before.
  consume_all(ring, 0);
  EXPECT_EQ(ring.bytes_in_flight(), 100000u);
  EXPECT_FALSE(ring.try_claim(1, 1, Priority::normal));
  consume_all(ring, ring.writer_consumer());
  EXPECT_EQ(ring.bytes_in_flight(), 0u);
  EXPECT_EQ(claim_until_refused(ring, Priority::normal, 1000), 100u);
}

// Consumers report positions only: the bytes of slots are theirs to add.
TEST_F(RingTest, BytesOverManyLaps) {
  Ring ring = make({.bytes = 50000});
  std::mt19937 random(4);
  for (int i = 0; i < 20000; i++) {
    uint32_t bytes = random() % 40000;
    auto claim = ring.try_claim(1, bytes, Priority::normal);
    ASSERT_TRUE(claim) << i;
    publish(ring, *claim, 0, false, bytes);
    ASSERT_EQ(ring.bytes_in_flight(), bytes);
    consume_all(ring);
    ASSERT_EQ(ring.bytes_in_flight(), 0u);
  }
}

TEST_F(RingTest, PublishWakesTheSleepersOfTheMaskOnly) {
  Ring ring = make({.shards = 3});
  auto publish_one = [&](uint64_t mask, bool kept) {
    waker_.woken.clear();
    auto claim = ring.try_claim(1, 0, Priority::normal);
    ASSERT_TRUE(claim);
    waker_.woken.clear();
    publish(ring, *claim, mask, kept);
  };
  using Woken = std::vector<uint32_t>;
  publish_one(0b111, true);
  EXPECT_EQ(waker_.woken, Woken{});
  for (uint32_t c = 0; c <= 3; c++) ring.set_sleeping(c, true);
  publish_one(0, false);
  EXPECT_EQ(waker_.woken, Woken{});
  publish_one(0b101, false);
  EXPECT_EQ(waker_.woken, (Woken{0, 2}));
  publish_one(0b010, true);
  EXPECT_EQ(waker_.woken, (Woken{1, 3}));
  ring.set_sleeping(1, false);
  publish_one(0b111, false);
  EXPECT_EQ(waker_.woken, (Woken{0, 2}));
  waker_.woken.clear();
  ring.wake_if_sleeping(1);
  ring.wake_if_sleeping(2);
  EXPECT_EQ(waker_.woken, Woken{2});
}

TEST_F(RingTest, UnderCommitTheWriterIsWokenForEverySlot) {
  Ring ring = make({.shards = 1, .wake_writer_always = true});
  ring.set_sleeping(1, true);
  auto claim = ring.try_claim(1, 0, Priority::normal);
  ASSERT_TRUE(claim);
  publish(ring, *claim, 0, false);
  EXPECT_EQ(waker_.woken, std::vector<uint32_t>{1});
}

// Whoever has no reader sleeps on, but never so long that the others are refused for it: half a lap wakes
// everyone.
TEST_F(RingTest, HalfALapWakesASleeperBeforeAnyClaimIsRefused) {
  Ring ring = make({.shards = 2});
  ring.set_sleeping(1, true);
  ring.set_sleeping(ring.writer_consumer(), true);
  uint64_t longest = 0;
  for (int i = 0; i < 20 * int{kSlots}; i++) {
    auto claim = ring.try_claim(1, 0, Priority::normal);
    ASSERT_TRUE(claim) << "refused at " << i << " although everyone reads when told to";
    publish(ring, *claim, 0b01);
    consume_all(ring, 0);
    longest = std::max(longest, ring.claimed() - ring.consumed_min());
    for (uint32_t consumer : waker_.woken) consume_all(ring, consumer);
    waker_.woken.clear();
  }
  EXPECT_GT(longest, kSlots / 4);  // and not at every slot
}

TEST_F(RingTest, HalfTheBytesWakeASleeperBeforeAnyClaimIsRefused) {
  Ring ring = make({.bytes = 1 << 20, .shards = 2});
  ring.set_sleeping(1, true);
  ring.set_sleeping(ring.writer_consumer(), true);
  uint64_t most = 0;
  for (int i = 0; i < 3000; i++) {
    auto claim = ring.try_claim(1, 10000, Priority::normal);
    ASSERT_TRUE(claim) << "refused at " << i << " although everyone reads when told to";
    publish(ring, *claim, 0b01, false, 10000);
    consume_all(ring, 0);
    most = std::max(most, ring.bytes_in_flight());
    for (uint32_t consumer : waker_.woken) consume_all(ring, consumer);
    waker_.woken.clear();
  }
  EXPECT_GT(most, uint64_t{1} << 18);
}

// A refused claim is a reason to wake whoever stands in the way.
TEST_F(RingTest, ARefusalWakesSleepers) {
  Ring ring = make({.bytes = 1000, .shards = 1});
  auto claim = ring.try_claim(1, 900, Priority::normal);
  ASSERT_TRUE(claim);
  publish(ring, *claim, 1, false, 900);
  ring.set_sleeping(0, true);
  ring.set_sleeping(1, true);
  waker_.woken.clear();
  EXPECT_FALSE(ring.try_claim(1, 200, Priority::normal));
  EXPECT_EQ(waker_.woken, (std::vector<uint32_t>{0, 1}));
}

using RingDeathTest = RingTest;
TEST_F(RingDeathTest, WrongOptionsAndClaims) {
  EXPECT_DEATH(make({.slots = 5000}), "broken invariant");
  EXPECT_DEATH(make({.slots = 128}), "broken invariant");
  EXPECT_DEATH(make({.shards = 0}), "broken invariant");
  EXPECT_DEATH(make({.shards = 65}), "broken invariant");
  EXPECT_DEATH(make({.first = Sequence{0}}), "broken invariant");
  Ring ring = make({});
  EXPECT_DEATH((void)ring.try_claim(0, 0, Priority::normal), "broken invariant");
  EXPECT_DEATH((void)ring.try_claim(Ring::kBatchMax + 1, 0, Priority::normal), "broken invariant");
}

}  // namespace
}  // namespace twinwire
