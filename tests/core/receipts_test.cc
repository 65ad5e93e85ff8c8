// The newest receipts of a room, held against sorting all of them; and what asking for them costs.
#include "core/receipts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/limits.h"

namespace twinwire {
namespace {

Name user(size_t number) { return Name("t", "u" + std::to_string(number)); }

using Lines = std::vector<std::pair<uint64_t, std::string>>;

Lines newest(Receipts& receipts) {
  Lines out;
  for (const Receipts::Line& line : receipts.newest()) out.emplace_back(line.newest.value, line.user.text());
  return out;
}

Lines sorted(const std::map<std::string, Receipt>& all) {
  Lines out;
  for (const auto& [name, receipt] : all)
    out.emplace_back(std::max(receipt.delivered, receipt.read).value, name);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  if (out.size() > kReceiptsListed) out.resize(kReceiptsListed);
  return out;
}

TEST(Receipts, OnlyRise) {
  Receipts receipts;
  EXPECT_TRUE(receipts.empty());
  receipts.raise(user(1), {{5}, {3}});
  receipts.raise(user(1), {{4}, {4}});
  EXPECT_EQ(receipts.find(user(1)).delivered.value, 5u);
  EXPECT_EQ(receipts.find(user(1)).read.value, 4u);
  EXPECT_EQ(receipts.find(user(2)).read.value, 0u);
  EXPECT_FALSE(receipts.contains(user(2)));
  receipts.erase(user(2));
  EXPECT_EQ(receipts.size(), 1u);
  receipts.erase(user(1));
  EXPECT_TRUE(receipts.empty());
  EXPECT_TRUE(receipts.newest().empty());
}

TEST(Receipts, TheNewestAreThoseThatSortingFinds) {
  std::mt19937 random(10);
  for (size_t users : {3u, 199u, 200u, 201u, 260u, 2000u}) {
    Receipts receipts;
    std::map<std::string, Receipt> all;
    uint64_t head = 1;
    for (int step = 0; step < 6000; step++) {
      Name who = user(random() % users);
      head += random() % 2;
      if (random() % 40 == 0) {
        receipts.erase(who);
        all.erase(std::string(who.text()));
      } else {
        // Mostly near the head, as readers are; some far behind.
        uint64_t at = random() % 4 ? head : 1 + random() % head;
        Receipt to = random() % 2 ? Receipt{{at}, {}} : Receipt{{}, {at}};
        receipts.raise(who, to);
        Receipt& known = all[std::string(who.text())];
        known = {std::max(known.delivered, to.delivered), std::max(known.read, to.read)};
      }
      if (random() % 8 == 0) {
        ASSERT_EQ(newest(receipts), sorted(all)) << users << " users, step " << step;
      }
    }
    EXPECT_EQ(receipts.size(), all.size());
  }
}

// A load is the same for a room of 200 and for one of 65,536, with receipts that rise between two of them. It
// was some hundred times as much. By the best of several rounds, since others use the machine too.
TEST(Receipts, AskingDoesNotLookAtAll) {
  auto cost = [](size_t users) {
    Receipts receipts;
    for (size_t i = 0; i < users; i++) receipts.raise(user(i), {{i + 1}, {}});
    receipts.newest();
    uint64_t head = users;
    auto best = std::chrono::nanoseconds::max();
    for (int round = 0; round < 9; round++) {
      auto began = std::chrono::steady_clock::now();
      for (size_t i = 0; i < 20; i++) {
        receipts.raise(user(i * 7 % users), {{++head}, {}});
        EXPECT_EQ(receipts.newest().size(), kReceiptsListed);
      }
      best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - began);
    }
    return best.count();
  };
  auto small = cost(kReceiptsListed), large = cost(kReceiptsPerRoom);
  EXPECT_LT(large, small * 30) << small << " and " << large << " ns";
}

}  // namespace
}  // namespace twinwire
