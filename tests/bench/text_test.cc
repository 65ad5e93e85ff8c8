// UTF-8 repair, escaping, numbers and tables for people, percentiles.
#include "bench/client/text.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

#include "bench/client/histogram.h"
#include "bench/client/table.h"

namespace twinwire::client {
namespace {

#define R "\xEF\xBF\xBD"

TEST(Text, RepairsEachMaximalSubpartOnce) {
  struct Case {
    std::string_view bytes;
    std::string_view text;
    size_t replaced;
  };
  const Case cases[] = {
      {"plain", "plain", 0},
      {"caf\xC3\xA9 \xF0\x9F\x90\xA7", "caf\xC3\xA9 \xF0\x9F\x90\xA7", 0},
      {"\x80", R, 1},
      {"a\xFF\xFE"
       "b",
       "a" R R "b", 2},
      {"\xC0\xAF", R R, 2},
      {"\xED\xA0\x80", R R R, 3},
      {"\xE2\x82", R, 1},
      {"\xE2\x82"
       "x",
       R "x", 1},
      {"\xF0\x9F\x90", R, 1},
      {"\xF4\x90\x80\x80", R R R R, 4},
      // The example of the Unicode standard, table 3-8.
      {"\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", "a" R R R "b" R "c" R R "d", 6},
  };
  for (const Case& each : cases) {
    const Repaired repaired = repair_utf8(each.bytes);
    EXPECT_EQ(repaired.text, each.text) << testing::PrintToString(std::string(each.bytes));
    EXPECT_EQ(repaired.replaced, each.replaced);
  }
}

TEST(Text, RepairAlwaysMakesUtf8) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    for (uint64_t n = random() % 12; n > 0; --n) bytes += static_cast<char>(0x70 + random() % 0x90);
    const Repaired repaired = repair_utf8(bytes);
    ASSERT_TRUE(simdjson::validate_utf8(repaired.text.data(), repaired.text.size()));
    ASSERT_EQ(repair_utf8(repaired.text).replaced, 0u);
  }
}

TEST(Text, Numbers) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
  EXPECT_EQ(duration_text(999), "999 ns");
  EXPECT_EQ(duration_text(1'500), "1.5 us");
  EXPECT_EQ(duration_text(2'340'000), "2.34 ms");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(percent_encoded("a b/\xC3\xA9~"), "a%20b%2F%C3%A9~");
}

TEST(Table, AlignsByWhatATerminalShows) {
  Table table({{"room"}, {"members", Table::Align::right}});
  table.add({"lobby", "1,234"});
  table.add({"caf\xC3\xA9", "5"});
  table.add({"\xE6\x97\xA5\xE6\x9C\xAC", "6"});
  table.add({"a\x1b[31mb"});
  EXPECT_EQ(table.text({}),
            "room     members\n"
            "lobby      1,234\n"
            "caf\xC3\xA9           5\n"
            "\xE6\x97\xA5\xE6\x9C\xAC           6\n"
            "a?[31mb\n");
}

TEST(Histogram, PercentilesAreWithinTwoPercent) {
  Histogram histogram;
  for (uint64_t i = 1; i <= 100'000; ++i) histogram.add(i * 1000);
  EXPECT_EQ(histogram.count(), 100'000u);
  EXPECT_EQ(histogram.max(), 100'000'000u);
  EXPECT_NEAR(static_cast<double>(histogram.at(0.5)), 50e6, 1e6);
  EXPECT_NEAR(static_cast<double>(histogram.at(0.99)), 99e6, 2e6);
  EXPECT_EQ(histogram.at(1.0), 100'000'000u);
  Histogram small;
  EXPECT_EQ(small.at(0.5), 0u);
  small.add(3);
  small.add(UINT64_C(1) << 37);
  EXPECT_EQ(small.at(0.0), 3u);
  small.add(UINT64_MAX);  // minutes, hours, anything: no value is beyond the last bucket
  EXPECT_EQ(small.at(1.0), UINT64_MAX);
}

}  // namespace
}  // namespace twinwire::client
