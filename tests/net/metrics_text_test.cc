// The Prometheus format: escaping, histograms. What the families hold is in tests/e2e/admin.test.mjs.
#include "net/metrics_text.h"

#include <gtest/gtest.h>

#include "net/process.h"

namespace twinwire {
namespace {

TEST(Exposition, NamesAndEscapes) {
  std::string out;
  Exposition e(out);
  e.family("rooms", "gauge", "Back\\slash, \"quotes\"\nand a line.");
  e.sample(uint64_t{3}, {{"a", "q\"uo\\te\nline"}, {"b", "Grüße"}});
  e.family("process_cpu_seconds_total", "counter", "Time.");
  e.sample(1.5);
  EXPECT_EQ(out,
            "# HELP twinwire_rooms Back\\\\slash, \"quotes\"\\nand a line.\n"
            "# TYPE twinwire_rooms gauge\n"
            "twinwire_rooms{a=\"q\\\"uo\\\\te\\nline\",b=\"Grüße\"} 3\n"
            "# HELP process_cpu_seconds_total Time.\n"
            "# TYPE process_cpu_seconds_total counter\n"
            "process_cpu_seconds_total 1.5\n");
}

TEST(Exposition, HistogramsAreCumulativeInTheirUnit) {
  std::string out;
  Exposition e(out);
  Histogram<4, 6> h;
  h.observe(10);
  h.observe(20, 2);
  h.observe(1000);
  e.family("latency_seconds", "histogram", "How long.");
  e.histogram(h, 1e-6, {{"of", "x"}});
  EXPECT_EQ(out,
            "# HELP twinwire_latency_seconds How long.\n"
            "# TYPE twinwire_latency_seconds histogram\n"
            "twinwire_latency_seconds_bucket{of=\"x\",le=\"1.6e-05\"} 1\n"
            "twinwire_latency_seconds_bucket{of=\"x\",le=\"3.2e-05\"} 3\n"
            "twinwire_latency_seconds_bucket{of=\"x\",le=\"6.4e-05\"} 3\n"
            "twinwire_latency_seconds_bucket{of=\"x\",le=\"+Inf\"} 4\n"
            "twinwire_latency_seconds_sum{of=\"x\"} 0.00105\n"
            "twinwire_latency_seconds_count{of=\"x\"} 4\n");
}

TEST(Process, IsThis) {
  ProcessFacts facts = read_process();
  EXPECT_GT(facts.resident_bytes, 1u << 20);
  EXPECT_GE(facts.virtual_bytes, facts.resident_bytes);
  EXPECT_GE(facts.open_descriptors, 3u);
  EXPECT_LE(facts.open_descriptors, facts.max_descriptors);
  EXPECT_GE(facts.threads, 1u);
  EXPECT_GT(facts.start_time_seconds, 1.6e9);
}

}  // namespace
}  // namespace twinwire
