// What is made of measured figures: medians, ratios repetition by repetition, faults, the JSON.
#include "bench/twinbench/report.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cmath>

namespace twinwire::bench {
namespace {

Row row_of(const std::string& target, const std::vector<double>& values) {
  Row out;
  out.target = target;
  out.transport = "sse";
  out.facts = {{"readers", "10"}};
  for (const double value : values) out.add({{"cpuNs", value}, {"p50Us", value * 2}});
  return out;
}

TEST(Report, MedianOfEvenAndOddManyAndOfNone) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(Report, RatiosAreTakenWithinEachRepetition) {
  Report report("fanout");
  report.rows = {row_of("twinwire", {10, 30, 40}), row_of("bare", {10, 20, 10})};
  report.rows[1].add({{"cpuNs", 20}}, true);
  report.rows[1].add({{"cpuNs", 10}}, true);
  report.rows[1].add({{"cpuNs", 10}}, true);
  report.compare(0);
  simdjson::dom::parser parser;
  const std::string text = report.json();
  const simdjson::dom::element json = parser.parse(text);
  EXPECT_EQ(std::string_view(json["mode"]), "fanout");
  // 1, 1.5 and 4: the median of the ratios, and not 30 / 10, the ratio of the medians.
  EXPECT_EQ(double(json.at_pointer("/rows/0/ratios/bare")), 1.5);
  EXPECT_EQ(double(json.at_pointer("/rows/0/p50Ratios/bare")), 1.5);
  EXPECT_EQ(double(json.at_pointer("/rows/0/cpuNs")), 30);
  EXPECT_EQ(double(json.at_pointer("/rows/1/control")), 1);
  EXPECT_EQ(simdjson::dom::array(json.at_pointer("/rows/0/samples/cpuNs")).size(), 3U);
}

TEST(Report, RowsOfOtherFactsAreNotCompared) {
  Report report("fanout");
  report.rows = {row_of("twinwire", {10}), row_of("bare", {5})};
  report.rows[1].facts = {{"readers", "20"}};
  report.compare(0);
  EXPECT_EQ(report.json().find("\"ratios\":{\"bare\""), std::string::npos);
}

TEST(Report, FaultsOfOursCountAndAPeersAreItsOwn) {
  Report report("chat");
  report.rows = {row_of("twinwire", {1}), row_of("some-peer", {1})};
  report.rows[1].lost = 7;
  EXPECT_EQ(report.faults(), 0U);
  report.rows[0].reordered = 2;
  EXPECT_EQ(report.faults(), 2U);
}

TEST(Report, AHarnessAtItsLimitSaysSo) {
  Row row = row_of("twinwire", {1});
  row.harness_busy = 0.5;
  EXPECT_FALSE(row.limited());
  row.harness_busy = 0.99;
  EXPECT_TRUE(row.limited());
  row.harness_busy = 0;
  row.late = true;
  EXPECT_TRUE(row.limited());
}

}  // namespace
}  // namespace twinwire::bench
