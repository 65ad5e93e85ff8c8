// What `twinctl top` makes of two looks at the counters: rates, percentiles, the picture.
#include "tools/twinctl/top.h"

#include <gtest/gtest.h>

namespace twinwire::ctl {
namespace {

TEST(Buckets, QuantilesLieWithinTheirBucket) {
  Buckets b{{10, 20, 40}, {0, 10, 0, 0}, 150};
  EXPECT_DOUBLE_EQ(*b.quantile(0.5), 15);
  EXPECT_DOUBLE_EQ(*b.quantile(1), 20);
  EXPECT_DOUBLE_EQ(*b.mean(), 15);
  Buckets spread{{10, 20, 40}, {50, 49, 1, 0}, 0};
  EXPECT_DOUBLE_EQ(*spread.quantile(0.5), 10);
  EXPECT_DOUBLE_EQ(*spread.quantile(0.99), 20);
  Buckets above{{10, 20, 40}, {0, 0, 0, 3}, 900};
  EXPECT_DOUBLE_EQ(*above.quantile(0.5), 40) << "no more than the greatest bound is known";
  EXPECT_FALSE(Buckets({{10}, {0, 0}, 0}).quantile(0.5));
  EXPECT_FALSE(Buckets().quantile(0.5));
}

TEST(Buckets, SinceIsWhatCameBetween) {
  Buckets earlier{{10, 20}, {1, 2, 3}, 100}, later{{10, 20}, {1, 5, 4}, 170};
  Buckets between = later.since(earlier);
  EXPECT_EQ(between.counts, (std::vector<uint64_t>{0, 3, 1}));
  EXPECT_EQ(between.sum, 70u);
  EXPECT_EQ(later.since({}).counts, later.counts);
}

Sample sample(const char* json) {
  client::JsonReader reader;
  const auto read = reader.read(json);
  EXPECT_TRUE(read);
  return sample_of(*read);
}

constexpr const char* kEarlier = R"({"version":"0.1.0","pid":7,"uptimeSeconds":100,"nowMicroseconds":1000000,
  "epoch":"e","deliver":"publish","shards":2,"draining":false,
  "connections":{"sse":1200,"ws":3,"poll":0,"http":1},"accepted":{"clients":10},"sessions":1210,"rooms":3,
  "sessionStates":{"lagging":0,"detached":7},
  "events":{"published":100,"delivered":1000,"fromHistory":0},
  "output":{"sends":100,"frames":100,"bytes":1000,"blockedStreams":0,"heldBytes":0},
  "ring":{"capacity":65536,"occupied":6554,"bytes":2048,"bytesMax":268435456},
  "store":{"lagEvents":0,"lagMicroseconds":0,"backlog":0,"syncs":5,"failing":false,"accepting":true},
  "commands":{"all":10,"failed":0},"refused":{"overloaded":0,"rate_limited":0},
  "process":{"residentBytes":50331648,"cpuSeconds":1.0},
  "latency":{"write":{"bounds":[16,32],"buckets":[0,0,0],"sum":0}}})";
constexpr const char* kLater = R"({"version":"0.1.0","pid":7,"uptimeSeconds":102,"nowMicroseconds":3000000,
  "epoch":"e","deliver":"publish","shards":2,"draining":false,
  "connections":{"sse":1234,"ws":3,"poll":0,"http":1},"accepted":{"clients":30},"sessions":1244,"rooms":3,
  "sessionStates":{"lagging":2,"detached":7},
  "events":{"published":200,"delivered":101000,"fromHistory":0},
  "output":{"sends":1100,"frames":8100,"bytes":2001000,"blockedStreams":1,"heldBytes":2048},
  "ring":{"capacity":65536,"occupied":6554,"bytes":2048,"bytesMax":268435456},
  "store":{"lagEvents":12,"lagMicroseconds":3100,"backlog":12,"syncs":25,"failing":false,"accepting":true},
  "commands":{"all":110,"failed":4},"refused":{"overloaded":2,"rate_limited":2},
  "process":{"residentBytes":50331648,"cpuSeconds":2.0},
  "latency":{"write":{"bounds":[16,32],"buckets":[0,100,0],"sum":2400}}})";

TEST(Interval, RatesOfWhatCameBetween) {
  Sample earlier = sample(kEarlier), later = sample(kLater);
  Interval i(earlier, later);
  ASSERT_TRUE(i.comparable());
  EXPECT_DOUBLE_EQ(i.per_second(&Sample::published), 50);
  EXPECT_DOUBLE_EQ(i.per_second(&Sample::delivered), 50'000);
  EXPECT_DOUBLE_EQ(i.per_second(&Sample::refused), 2);
  EXPECT_DOUBLE_EQ(i.frames_per_send(), 8);
  EXPECT_DOUBLE_EQ(i.cpu(), 0.5);
  EXPECT_DOUBLE_EQ(*i.between(&Sample::write).quantile(0.5), 24);
  Sample restarted = later;
  restarted.pid = 8;
  EXPECT_FALSE(Interval(earlier, restarted).comparable());
  EXPECT_FALSE(Interval(later, later).comparable());
}

TEST(Top, Words) {
  EXPECT_EQ(rate_text(0), "0");
  EXPECT_EQ(rate_text(0.25), "0.2");
  EXPECT_EQ(rate_text(9.96), "10");
  EXPECT_EQ(rate_text(1203.4), "1,203");
  EXPECT_EQ(rate_text(412'034), "412.0 k");
  EXPECT_EQ(rate_text(3'100'000), "3.10 M");
  EXPECT_EQ(bar_text(0, 4), "░░░░");
  EXPECT_EQ(bar_text(0.5, 4), "██░░");
  EXPECT_EQ(bar_text(0.53, 4), "██▏░");
  EXPECT_EQ(bar_text(2, 4), "████");
  EXPECT_EQ(spark_text({0, 5, 10}), "▁▄█");
  EXPECT_EQ(spark_text({0, 0}), "▁▁");
}

TEST(Top, ThePictureAndTheLine) {
  Sample earlier = sample(kEarlier), later = sample(kLater);
  Interval i(earlier, later);
  TopView view;
  view.at = "127.0.0.1:8081";
  view.time = "12:00:00";
  view.delivered = {10'000, 50'000};
  view.rooms = {{"default", "lob\x1b[31mby", 12.5, 1234, 40, 0, 2048}, {"default", "quiet", 0, 1, 1, 0, 0}};
  const std::string picture = draw_top(view, i, {80, 24}, {});
  EXPECT_EQ(picture,
            "twinwire 0.1.0  127.0.0.1:8081  up 1 min 42 s  2 shards  publish        12:00:00\n"
            "\n"
            "CONNECTIONS            PER SECOND             LATENCY        P50        P99\n"
            "sse           1,234    published        50    write      24.0 us    31.8 us\n"
            "ws                3    delivered    50,000    answer           -          -\n"
            "poll              0    commands         50    stored           -          -\n"
            "http              1    accepted         10    tick             -          -\n"
            "sessions      1,244    bytes out 976.6 KiB    frames per send          8.00\n"
            "\n"
            "DELIVERED  ▂█  most 50,000/s\n"
            "RING       ██░░░░░░░░░░░░░░░░░░  10.0 %  6,554 of 65,536 places, 2.0 KiB\n"
            "STORE      lag 12 events, 3.10 ms  10 commits/s of 0.0, sync p99 -\n"
            "PROCESS    50 % of a core, 48.0 MiB  3 rooms, 7 sessions without a stream\n"
            "TROUBLE    2 slow streams, 1 full sockets (2.0 KiB), 2.0/s refused, 2.0/s commands failed\n"
            "\n"
            "BUSIEST ROOMS                        EVENTS/S    READERS    PRESENT       TAIL\n"
            "lob?[31mby                                 13      1,234         40    2.0 KiB\n"
            "quiet                                       0          1          1        0 B\n");
  // No more lines than the screen has.
  const std::string low = draw_top(view, i, {80, 19}, {});
  EXPECT_EQ(low.find("quiet"), std::string::npos);
  const std::string line = top_line(i, view.time);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_NE(line.find("delivered 50,000/s"), std::string::npos);
  client::JsonReader reader;
  const auto json = reader.read(top_json(i, view.rooms));
  ASSERT_TRUE(json);
  EXPECT_EQ(client::number_at(*json, "sse"), 1234u);
}

}  // namespace
}  // namespace twinwire::ctl
