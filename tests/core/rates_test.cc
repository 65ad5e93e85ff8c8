// TenantRates: bursts, what time gives back, tenants apart, threads at once.
#include "core/rates.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace twinwire {
namespace {

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
