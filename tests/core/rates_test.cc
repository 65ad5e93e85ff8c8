// UserRates and TenantRates: bursts, what time gives back, users and tenants apart, threads at once, and who
// is forgotten where too many send at once.
#include "core/rates.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace twinwire {
namespace {

TEST(UserRates, ABurstThenTheRate) {
  UserRates rates(10, 5);
  Name ann("acme", "ann");
  for (int i = 0; i < 5; i++) EXPECT_EQ(rates.take(ann, 1000), 0u) << i;
  EXPECT_EQ(rates.take(ann, 1000), 100u);
  EXPECT_EQ(rates.take(ann, 1050), 50u);
  EXPECT_EQ(rates.take(ann, 1100), 0u);
  EXPECT_EQ(rates.take(ann, 1100), 100u);
  // A long silence gives a burst back, no more.
  for (int i = 0; i < 5; i++) EXPECT_EQ(rates.take(ann, 100000), 0u) << i;
  EXPECT_EQ(rates.take(ann, 100000), 100u);
  EXPECT_EQ(rates.take(Name("acme", "bob"), 100000), 0u);
  EXPECT_EQ(rates.take(Name("other", "ann"), 100000), 0u) << "another tenant's";
}

TEST(UserRates, AShardWhoseClockIsBehindRefusesToo) {
  UserRates rates(50, 100);
  Name ann("acme", "ann");
  for (int i = 0; i < 100; i++) EXPECT_EQ(rates.take(ann, 10'000), 0u) << i;
  EXPECT_EQ(rates.take(ann, 9'800), 220u);  // 200 of its clock, and one command
}

TEST(UserRates, TheHighestRateOverYears) {
  UserRates rates(1'000'000, 2);
  Name ann("acme", "ann");
  for (Millis day = 0; day < 4000; day++) {
    Millis now = 1000 + day * 86'400'000;
    EXPECT_EQ(rates.take(ann, now), 0u) << day;
    EXPECT_EQ(rates.take(ann, now), 0u) << day;
    EXPECT_EQ(rates.take(ann, now), 1u) << day;
  }
}

// Names whose places are all on one line.
std::vector<Name> of_one_line(size_t count) {
  std::vector<Name> out;
  for (uint32_t i = 0; out.size() < count; i++) {
    Name name("acme", "u" + std::to_string(i));
    if (name.hash() % UserRates::kLines == 7) out.push_back(std::move(name));
  }
  return out;
}

TEST(UserRates, WhereALineIsFullWhoOwesLeastIsForgotten) {
  UserRates rates(1, 4);
  std::vector<Name> users = of_one_line(UserRates::kPlacesPerLine + 1);
  // The last of those with a place has sent one command, the others all that they may.
  for (size_t i = 0; i + 1 < users.size(); i++)
    for (int n = 0; n < (i + 2 < users.size() ? 4 : 1); n++) EXPECT_EQ(rates.take(users[i], 1000), 0u);
  EXPECT_EQ(rates.take(users.back(), 1000), 0u) << "nobody is refused for what others sent";
  for (size_t i = 0; i + 2 < users.size(); i++) EXPECT_NE(rates.take(users[i], 1000), 0u) << i;
  // When nothing is owed any more the places are anybody's.
  std::vector<Name> later = of_one_line(3 * UserRates::kPlacesPerLine);
  for (size_t i = 2 * UserRates::kPlacesPerLine; i < later.size(); i++) {
    for (int n = 0; n < 4; n++) EXPECT_EQ(rates.take(later[i], 60'000), 0u);
  }
  for (size_t i = 2 * UserRates::kPlacesPerLine; i < later.size(); i++)
    EXPECT_NE(rates.take(later[i], 60'000), 0u);
}

TEST(UserRates, AllShardsTogether) {
  UserRates rates(1, 1000);
  Name ann("acme", "ann");
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; i++) admitted += rates.take(ann, 1000) == 0;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted.load(), 1000);
}

TEST(TenantRates, ABurstThenTheRate) {
  auto rates = std::make_unique<TenantRates>(10, 5);
  for (int i = 0; i < 5; i++) EXPECT_EQ(rates->take("acme", 1000), 0u) << i;
  EXPECT_EQ(rates->take("acme", 1000), 100u);
  EXPECT_EQ(rates->take("acme", 1050), 50u);
  EXPECT_EQ(rates->take("acme", 1100), 0u);
  EXPECT_EQ(rates->take("acme", 1100), 100u);
  // A long silence gives a burst back, no more.
  for (int i = 0; i < 5; i++) EXPECT_EQ(rates->take("acme", 100000), 0u) << i;
  EXPECT_NE(rates->take("acme", 100000), 0u);
}

TEST(TenantRates, TenantsDoNotTakeFromOneAnother) {
  auto rates = std::make_unique<TenantRates>(1, 1);
  for (int i = 0; i < 1000; i++) EXPECT_EQ(rates->take("tenant" + std::to_string(i), 5), 0u) << i;
  for (int i = 0; i < 1000; i++) EXPECT_EQ(rates->take("tenant" + std::to_string(i), 5), 1000u) << i;
}

TEST(TenantRates, NoLimit) {
  auto rates = std::make_unique<TenantRates>(0, 0);
  for (int i = 0; i < 1000; i++) EXPECT_EQ(rates->take("acme", 1), 0u);
}

TEST(TenantRates, AllShardsTogether) {
  auto rates = std::make_unique<TenantRates>(1, 1000);
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; i++) admitted += rates->take("acme", 1) == 0;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted.load(), 1000);
}

}  // namespace
}  // namespace twinwire
