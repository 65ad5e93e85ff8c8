// Slab and Index, held against the standard library with random operations.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>

#include "core/index.h"
#include "core/slab.h"

namespace twinwire {
namespace {

struct Counted {
  static inline int alive = 0;
  explicit Counted(uint64_t k = 0) : key(k), text(std::to_string(k)) { alive++; }
  ~Counted() { alive--; }
  Counted(const Counted&) = delete;
  uint64_t key;
  std::string text;
};

TEST(Slab, ObjectsStayWhereTheyAre) {
  Slab<Counted> slab;
  std::vector<uint32_t> made;
  std::vector<Counted*> places;
  for (uint64_t i = 0; i < 5000; i++) {
    made.push_back(slab.make(i));
    places.push_back(&slab[made.back()]);
  }
  EXPECT_EQ(std::set<uint32_t>(made.begin(), made.end()).size(), made.size());
  for (uint64_t i = 0; i < 5000; i++) {
    EXPECT_EQ(&slab[made[i]], places[i]);
    EXPECT_EQ(slab[made[i]].key, i);
  }
  EXPECT_EQ(slab.live(), 5000u);
  for (uint32_t index : made) slab.drop(index);
  EXPECT_EQ(slab.live(), 0u);
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Slab, FreedPlacesAreUsedFirst) {
  Slab<Counted> slab;
  for (uint64_t i = 0; i < 600; i++) EXPECT_EQ(slab.make(i), i);
  for (uint32_t index : {3u, 599u, 100u}) slab.drop(index);
  std::set<uint32_t> reused = {slab.make(1u), slab.make(2u), slab.make(3u)};
  EXPECT_EQ(reused, (std::set<uint32_t>{3, 100, 599}));
  EXPECT_EQ(slab.make(4u), 600u);
  for (uint32_t i = 0; i <= 600; i++) slab.drop(i);
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Slab, RandomOperations) {
  std::mt19937_64 random(3);
  Slab<Counted> slab;
  std::unordered_map<uint32_t, uint64_t> model;
  for (int step = 0; step < 200000; step++) {
    if (model.empty() || random() % 100 < (step / 20000 % 2 ? 35u : 60u)) {
      uint64_t key = random();
      uint32_t index = slab.make(key);
      ASSERT_TRUE(model.emplace(index, key).second) << "a place that is taken was given";
    } else {
      auto it = std::next(model.begin(), static_cast<long>(random() % std::min<size_t>(model.size(), 7)));
      ASSERT_EQ(slab[it->first].key, it->second);
      ASSERT_EQ(slab[it->first].text, std::to_string(it->second));
      slab.drop(it->first);
      model.erase(it);
    }
    ASSERT_EQ(slab.live(), model.size());
    ASSERT_EQ(Counted::alive, static_cast<int>(model.size()));
  }
  for (auto& [index, key] : model) slab.drop(index);
  EXPECT_EQ(Counted::alive, 0);
}

struct Keyed {
  uint64_t key;
};
struct HashKeyed {
  const Slab<Keyed>* slab;
  uint32_t bits;
  uint32_t operator()(uint32_t index) const { return hash(slab->at(index).key); }
  // Few bits make long runs of collisions; the top bits make runs that go round the end of the table.
  uint32_t hash(uint64_t key) const {
    return static_cast<uint32_t>((key * 0x9e3779b97f4a7c15) >> 32) | ~bits;
  }
};

void random_operations(uint32_t bits, uint64_t keys, uint32_t seed) {
  std::mt19937_64 random(seed);
  Slab<Keyed> slab;
  HashKeyed hash{&slab, bits};
  Index<HashKeyed> index(hash);
  std::unordered_map<uint64_t, uint32_t> model;
  auto find = [&](uint64_t key) {
    return index.find(hash.hash(key), [&](uint32_t i) { return slab[i].key == key; });
  };
  for (int step = 0; step < 30000; step++) {
    uint64_t key = random() % keys;
    auto it = model.find(key);
    ASSERT_EQ(find(key), it == model.end() ? kNone : it->second) << "step " << step;
    if (it == model.end()) {
      uint32_t value = slab.make(Keyed{key});
      index.insert(hash.hash(key), value);
      model.emplace(key, value);
    } else {
      index.erase(hash.hash(key), it->second);
      slab.drop(it->second);
      model.erase(it);
    }
    ASSERT_EQ(index.size(), model.size());
    if (step % 1000 == 0) {
      std::set<uint32_t> seen;
      index.for_each([&](uint32_t value) { ASSERT_TRUE(seen.insert(value).second); });
      ASSERT_EQ(seen.size(), model.size());
      for (auto& [k, v] : model) ASSERT_EQ(find(k), v);
    }
  }
}

TEST(Index, RandomOperationsWithGoodHashes) { random_operations(UINT32_MAX, 2000, 1); }
TEST(Index, RandomOperationsWithManyCollisions) { random_operations(0x7, 300, 2); }
TEST(Index, RandomOperationsWithOneHash) { random_operations(0, 60, 3); }
TEST(Index, RandomOperationsFewKeys) { random_operations(0x1f, 14, 4); }

TEST(Index, EmptyFindsNothing) {
  Slab<Keyed> slab;
  Index<HashKeyed> index(HashKeyed{&slab, 0});
  EXPECT_EQ(index.find(5, [](uint32_t) { return true; }), kNone);
  EXPECT_EQ(index.size(), 0u);
}

// A search compares hardly any object but the one it is for: those it passes differ in the bits that slots
// hold.
TEST(Index, ASearchLooksAtFewObjects) {
  Slab<Keyed> slab;
  HashKeyed hash{&slab, UINT32_MAX};
  Index<HashKeyed> index(hash);
  constexpr uint64_t kKeys = 14000;  // of 16,384 slots: runs are long
  for (uint64_t key = 0; key < kKeys; key++) index.insert(hash.hash(key), slab.make(Keyed{key}));
  uint32_t looked = 0;
  for (uint64_t key = kKeys; key < 2 * kKeys; key++) {
    index.find(hash.hash(key), [&](uint32_t i) {
      looked++;
      return slab[i].key == key;
    });
  }
  EXPECT_LT(looked, kKeys);  // without those bits some twenty for each
  looked = 0;
  for (uint64_t key = 0; key < kKeys; key++) {
    uint32_t found = index.find(hash.hash(key), [&](uint32_t i) {
      looked++;
      return slab[i].key == key;
    });
    ASSERT_EQ(slab[found].key, key);
  }
  EXPECT_LT(looked, kKeys * 5 / 4);
}

// An Index that never has an empty slot would search for ever.
TEST(Index, AlwaysHasAnEmptySlot) {
  Slab<Keyed> slab;
  HashKeyed hash{&slab, UINT32_MAX};
  Index<HashKeyed> index(hash);
  for (uint64_t key = 0; key < 3000; key++) {
    uint32_t value = slab.make(Keyed{key});
    index.insert(hash.hash(key), value);
    ASSERT_EQ(index.find(hash.hash(key ^ (1 << 20)), [](uint32_t) { return false; }), kNone);
  }
}

}  // namespace
}  // namespace twinwire
