// `twinbench soak`: rooms of members who talk and are cut and come back, for a bounded time, with the
// server's memory looked at all along: its slope, and everything counted. Of ours alone. Thread: the
// harness's main one.
#include <fmt/format.h>

#include <algorithm>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr double kStepSeconds = 2;
constexpr double kSettling = 0.25;  // of the time: not in the slope
constexpr client::Nanos kLead = 5 * client::kMillisecond;

struct Sample {
  double second;
  double bytes;
};

// Least squares, in bytes an hour.
double slope(const std::vector<Sample>& all) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const Sample& each : all) {
    if (each.second < all.back().second * kSettling) continue;
    n += 1;
    x += each.second;
    y += each.bytes;
    xx += each.second * each.second;
    xy += each.second * each.bytes;
  }
  const double spread = n * xx - x * x;
  return n < 3 || spread <= 0 ? 0 : (n * xy - x * y) / spread * 3600;
}

}  // namespace

int soak(const CommonOptions& common, const SoakOptions& options) {
  Report report("soak");
  JsonObject(report.options)
      .field("rate", options.rate)
      .field("cutsPerSecond", options.cuts)
      .field("rooms", options.rooms)
      .end();
  const uint32_t members = std::max(1U, options.readers / options.rooms);
  for (const Mix mix : mixes_of(common.transport == "both" ? "mixed" : common.transport)) {
    Arena::Plan plan{.mode = "soak", .readers = members * options.rooms, .rooms = options.rooms};
    plan.lanes = 16;
    plan.timing = true;
    plan.cursors_per_room = 64 + static_cast<uint32_t>(4 * options.seconds * options.rate / options.rooms);
    Arena arena(common, plan, mix);
    if (const Result<void> opened = arena.open(); !opened) {
      fmt::print(stderr, "twinbench: {}\n", opened.error().sentence);
      return 2;
    }
    Side& side = *arena.ours();
    side.before = side.crew.sums();
    std::vector<Row> rows(1);
    Row& row = rows.front();
    row.target = "twinwire";
    row.transport = word_of(mix);
    std::vector<Sample> memory;
    const client::Nanos began = client::monotonic_now();
    const auto passed = [&] { return static_cast<double>(client::monotonic_now() - began) / 1e9; };
    const uint64_t cpu = side.target->cpu_nanos();
    while (passed() < options.seconds && row.failure.empty()) {
      Order order;
      order.what = Order::What::talk;
      order.rate = options.rate;
      order.cuts = options.cuts;
      order.nanos = static_cast<uint64_t>(kStepSeconds * 1e9);
      order.start = client::monotonic_now() + kLead;
      if (const Result<Answer> told = side.crew.tell_speakers(order); !told)
        row.failure = told.error().sentence;
      memory.push_back({passed(), static_cast<double>(side.target->use().private_bytes)});
    }
    const Sums sums = side.crew.sums();
    uint64_t resets = 0;
    for (const char* reason : {"trimmed", "unknown_cursor", "forbidden", "rolled_back"})
      resets += side.target->stat(std::string("resets.") + reason);
    const auto deliveries = static_cast<double>(sums.deliveries - side.before.deliveries);
    row.facts = {{"seconds", fmt::format("{:.0f}", passed())},
                 {"messages", std::to_string(sums.said - side.before.said)},
                 {"deliveries", fmt::format("{:.0f}", deliveries)},
                 {"cuts", std::to_string(side.target->stat("streams.resumes"))},
                 {"resets", std::to_string(resets)},
                 {"ended", std::to_string(sums.ended)}};
    row.add({{"cpuNsPerDelivery", static_cast<double>(side.target->cpu_nanos() - cpu) / deliveries},
             {"bytesPerHour", slope(memory)}});
    std::string points = "[";
    for (const Sample& each : memory)
      points += fmt::format("{}[{:.1f},{:.0f}]", points.size() == 1 ? "" : ",", each.second, each.bytes);
    row.extras = {{"memory", points + "]"}};
    if (resets + sums.ended > 0 && row.failure.empty())
      row.failure = fmt::format("{} resets, {} streams ended by the server", resets, sums.ended);
    arena.settle(rows);
    arena.stop();
    if (!row.failure.empty()) report.notes.push_back("twinwire: " + row.failure);
    report.rows.push_back(row);
    report.notes.insert(report.notes.end(), arena.notes().begin(), arena.notes().end());
  }
  return report.print(common.json, {{"seconds", "seconds"},
                                    {"messages", "messages"},
                                    {"deliveries", "deliveries"},
                                    {"cuts", "came back"},
                                    {"resets", "resets"},
                                    {"cpuNsPerDelivery", "CPU ns/delivery"},
                                    {"bytesPerHour", "MiB/hour", 1.0 / 1048576, 2}});
}

}  // namespace twinwire::bench
