// Filters say "no" only for what was never put in, and stay within their bounds.
#include "store/filters.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace twinwire::store {
namespace {

TEST(Filters, FingerprintsAreExact) {
  FingerprintSet set;
  std::mt19937_64 random(1);
  std::vector<uint64_t> in;
  for (int i = 0; i < 50'000; i++) in.push_back(random());
  in.push_back(0);
  for (uint64_t f : in) set.add(f), set.add(f);
  EXPECT_EQ(set.size(), in.size());
  for (uint64_t f : in) EXPECT_TRUE(set.contains(f));
  size_t wrong = 0;
  for (int i = 0; i < 50'000; i++) wrong += set.contains(random());
  EXPECT_EQ(wrong, 0u);
}

TEST(Filters, ReadersSeeASetThatGrows) {
  FingerprintSet set;
  std::atomic<uint64_t> added{0};
  std::atomic<bool> missed{false};
  std::thread reader([&] {
    for (uint64_t upto = 0; upto < 100'000;) {
      upto = added.load(std::memory_order_acquire);
      for (uint64_t back = 0; back < 100 && back < upto; back++)
        missed = missed || !set.contains((upto - back) * 0x9e3779b97f4a7c15ull);
    }
  });
  for (uint64_t i = 1; i <= 100'000; i++) {
    set.add(i * 0x9e3779b97f4a7c15ull);
    added.store(i, std::memory_order_release);
  }
  reader.join();
  EXPECT_FALSE(missed);
}

IdempotencyKey key(std::mt19937_64& random) { return {random(), random()}; }

TEST(Filters, IdsAreNeverMissedAndSeldomConfused) {
  IdempotencyFilter filter({});
  std::mt19937_64 random(2);
  std::vector<IdempotencyKey> in;
  EXPECT_FALSE(filter.may_contain(key(random)));
  for (int i = 0; i < 200'000; i++) {
    in.push_back(key(random));
    filter.add(in.back(), 1'000'000 + static_cast<uint64_t>(i) * 400);  // spread over most of a day
  }
  for (const auto& k : in) ASSERT_TRUE(filter.may_contain(k));
  size_t wrong = 0;
  for (int i = 0; i < 100'000; i++) wrong += filter.may_contain(key(random));
  EXPECT_LT(wrong, 2'000u);
  EXPECT_LT(filter.bytes(), 200'000u * 8);
}

TEST(Filters, OldIdsGoAndTheirMemoryIsUsedAgain) {
  IdempotencyFilter filter({.keep_ms = 1'000});
  std::mt19937_64 random(3);
  uint64_t wall = 5'000'000;
  size_t bytes = 0;
  for (int round = 0; round < 100; round++) {
    std::vector<IdempotencyKey> in;
    for (int i = 0; i < 2'000; i++) {
      in.push_back(key(random));
      filter.add(in.back(), wall);
      wall += i % 2;  // a whole keep_ms each round
    }
    for (const auto& k : in) ASSERT_TRUE(filter.may_contain(k)) << "younger than keep_ms";
    if (round == 10) bytes = filter.bytes();
    ASSERT_TRUE(round <= 10 || filter.bytes() == bytes);
  }
  size_t found = 0;
  for (int i = 0; i < 20'000; i++) found += filter.may_contain(key(random));
  EXPECT_LT(found, 2'000u) << "it would be full of old ids otherwise";
}

TEST(Filters, AtItsBoundItOnlySaysMaybeMoreOften) {
  IdempotencyFilter filter({.keep_ms = 86'400'000, .bytes_max = 16 << 10});
  std::mt19937_64 random(4);
  std::vector<IdempotencyKey> in;
  for (int i = 0; i < 100'000; i++) {
    in.push_back(key(random));
    filter.add(in.back(), 1);
  }
  EXPECT_LE(filter.bytes(), size_t{16} << 10);
  for (const auto& k : in) ASSERT_TRUE(filter.may_contain(k));
}

}  // namespace
}  // namespace twinwire::store
