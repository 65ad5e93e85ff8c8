// Counters, histograms, and how busy a room is.
#include "core/metrics.h"

#include <gtest/gtest.h>

#include "core/room.h"

namespace twinwire {
namespace {

TEST(Histogram, BucketsAreUpToAndWithTheirBound) {
  using Small = Histogram<2, 4>;  // 4, 8, 16, above
  EXPECT_EQ(Small::bound(0), 4u);
  EXPECT_EQ(Small::bound(2), 16u);
  for (uint64_t value : {0, 1, 2, 3, 4}) EXPECT_EQ(Small::bucket_of(value), 0u) << value;
  for (uint64_t value : {5, 7, 8}) EXPECT_EQ(Small::bucket_of(value), 1u) << value;
  for (uint64_t value : {9, 16}) EXPECT_EQ(Small::bucket_of(value), 2u) << value;
  EXPECT_EQ(Small::bucket_of(17), 3u);
  EXPECT_EQ(Small::bucket_of(UINT64_MAX), 3u);
  // Every bound falls into its own bucket, and the next number into the next.
  for (uint32_t i = 0; i < LatencyHistogram::kBounds; i++) {
    EXPECT_EQ(LatencyHistogram::bucket_of(LatencyHistogram::bound(i)), i);
    EXPECT_EQ(LatencyHistogram::bucket_of(LatencyHistogram::bound(i) + 1), i + 1);
  }
}

TEST(Histogram, CountsAndSums) {
  GroupHistogram h;
  h.observe(1);
  h.observe(3, 5);
  EXPECT_EQ(h.count(), 6u);
  EXPECT_EQ(h.sum, 16u);
  EXPECT_EQ(h.buckets[GroupHistogram::bucket_of(3)], 5u);
  SharedHistogram<GroupHistogram> shared;
  shared.observe(1);
  shared.observe(3, 5);
  GroupHistogram seen = shared.snapshot();
  EXPECT_EQ(seen.buckets, h.buckets);
  EXPECT_EQ(seen.sum, h.sum);
}

TEST(Metrics, AddsUpEveryNumber) {
  Metrics a, b;
  auto* numbers = reinterpret_cast<uint64_t*>(&b);
  for (size_t i = 0; i < sizeof(Metrics) / sizeof(uint64_t); i++) numbers[i] = i + 1;
  a += b;
  a += b;
  auto* sums = reinterpret_cast<uint64_t*>(&a);
  for (size_t i = 0; i < sizeof(Metrics) / sizeof(uint64_t); i++) ASSERT_EQ(sums[i], 2 * (i + 1)) << i;
}

TEST(Metrics, UnknownNumbersHaveAPlaceOfTheirOwn) {
  Metrics m;
  m.count_response(200);
  m.count_response(299);
  EXPECT_EQ(m.responses[Metrics::place_of(kHttpStatuses, 200)], 1u);
  EXPECT_EQ(m.responses.back(), 1u);
  m.count_ws_close(true, 1000);
  m.count_ws_close(false, 4999);
  EXPECT_EQ(m.ws_closes_sent[0], 1u);
  EXPECT_EQ(m.ws_closes_received.back(), 1u);
  m.count_bye("draining");
  m.count_bye("replaced");
  m.count_bye("kicked");
  EXPECT_EQ(m.byes[static_cast<size_t>(Code::draining)], 1u);
  EXPECT_EQ(m.byes_replaced, 1u);
  EXPECT_EQ(m.byes_other, 1u);
  m.count_command(kCountedCommands + 5, static_cast<Code>(200));
  EXPECT_EQ(m.commands[kCountedCommands - 1][static_cast<size_t>(Code::internal)], 1u);
}

TEST(Metrics, EveryCauseHasAWord) {
  for (size_t i = 1; i < static_cast<size_t>(CloseCause::count_); i++)
    for (size_t k = 1; k < i; k++)
      EXPECT_NE(word_of(static_cast<CloseCause>(i)), word_of(static_cast<CloseCause>(k)));
}

TEST(Activity, IsTheRateOfTheLastTenSeconds) {
  Activity activity;
  for (int i = 0; i < 50; i++) activity.count(100'000);
  EXPECT_DOUBLE_EQ(activity.per_second(100'000), 5.0);
  EXPECT_DOUBLE_EQ(activity.per_second(109'999), 5.0);
  // In the next ten seconds the last ones count less and less, and then not at all.
  EXPECT_DOUBLE_EQ(activity.per_second(115'000), 2.5);
  EXPECT_DOUBLE_EQ(activity.per_second(120'000), 0.0);
  activity.count(115'000);
  EXPECT_DOUBLE_EQ(activity.per_second(115'000), 2.6);
  EXPECT_EQ(activity.total(), 51u);
  activity.count(500'000);
  EXPECT_DOUBLE_EQ(activity.per_second(500'000), 0.1);
  EXPECT_EQ(activity.total(), 52u);
}

}  // namespace
}  // namespace twinwire
