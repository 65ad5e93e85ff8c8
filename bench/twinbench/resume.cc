// `twinbench resume`: N clients of ours are cut, K messages are published, the server is killed if wanted,
// and all come back with the cursor of the last message they had: how long until they are live and until they
// have everything, and that nothing is lost or comes twice. Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kBefore = 3;  // messages that every client has before it is cut
constexpr uint32_t kBehind = 2;  // messages after all are back
constexpr uint32_t kPipelined = 256;
constexpr uint32_t kCurvePoints = 40;

double ms(uint64_t nanos) { return static_cast<double>(nanos) / 1e6; }

std::string distribution(const client::Histogram& times) {
  return fmt::format(R"({{"p50":{:.1f},"p90":{:.1f},"p99":{:.1f},"max":{:.1f}}})", ms(times.at(0.5)),
                     ms(times.at(0.9)), ms(times.at(0.99)), ms(times.max()));
}

std::string curve(const client::Histogram& times) {
  std::string out = "[";
  for (uint32_t i = 1; i <= kCurvePoints; ++i) {
    const double share = static_cast<double>(i) / kCurvePoints;
    out += fmt::format("{}[{:.1f},{:.3f}]", i == 1 ? "" : ",", ms(times.at(share)), share);
  }
  return out + "]";
}

class Resume {
 public:
  Resume(Arena& arena, const ResumeOptions& options)
      : arena_(arena), side_(*arena.ours()), options_(options) {}
  Result<void> run(Row& row);

 private:
  Result<void> say(uint32_t count);

  Arena& arena_;
  Side& side_;
  const ResumeOptions& options_;
};

Result<void> Resume::say(uint32_t count) {
  Order order;
  order.what = Order::What::say;
  order.count = count;
  order.at_once = kPipelined * side_.crew.workers();
  return outcome_of(side_.crew.tell_speakers(order));
}

Result<void> Resume::run(Row& row) {
  if (Result<void> said = say(kBefore); !said) return said;
  if (Result<void> drained = side_.crew.tell_all(Order::What::drain); !drained) return drained;
  if (Result<void> cut = side_.crew.tell_all(Order::What::cut); !cut) return cut;
  if (Result<void> said = say(options_.messages); !said) return said;
  if (options_.kill) {
    if (Result<void> again = side_.target->kill_and_restart(); !again) return again;
  }
  const Result<double> reads = side_.target->stat("reads.scans");
  if (!reads) return reads.error();
  const Result<double> resets = side_.target->stats(kResets);
  if (!resets) return resets.error();
  if (Result<void> cleared = side_.crew.tell_all(Order::What::clear); !cleared) return cleared;
  Order order;
  order.what = Order::What::come_back;
  order.count = kBefore + options_.messages;
  order.at_once = options_.at_once;
  order.start = client::monotonic_now();
  const Result<Arena::Cost> cost = arena_.cost_of(side_, [&] { return side_.crew.tell_all(order); });
  if (!cost) return cost.error();
  const client::Histogram connected = side_.crew.histogram(&Tally::opened);
  const client::Histogram completed = side_.crew.histogram(&Tally::completed);
  const Result<double> reads_now = side_.target->stat("reads.scans");
  if (!reads_now) return reads_now.error();
  const Result<double> resets_now = side_.target->stats(kResets);
  if (!resets_now) return resets_now.error();
  const std::string store_reads = count_json(*reads_now - *reads);
  const std::string all_resets = count_json(*resets_now - *resets);
  // They are live again: what is said now comes as ever.
  order = Order{};
  order.what = Order::What::speakers;
  order.count = 1;
  if (const Result<Answer> told = side_.crew.tell_speakers(order); !told) return told.error();
  if (Result<void> said = say(kBehind); !said) return said;
  if (Result<void> drained = side_.crew.tell_all(Order::What::drain); !drained) return drained;
  row.add(
      {{"cpuNsPerClient", cost->cpu_nanos / options_.clients},
       {"completeP99Ms", ms(completed.at(0.99))},
       {"connectedP99Ms", ms(connected.at(0.99))},
       {"deliveriesPerSecond", static_cast<double>(options_.clients) * options_.messages / cost->seconds}});
  row.harness_busy = cost->harness_busy;
  row.extras = {{"connectedMs", distribution(connected)},
                {"completeMs", distribution(completed)},
                {"curve", curve(completed)},
                {"connectedCurve", curve(connected)},
                {"resets", all_resets},
                {"storeReads", store_reads},
                {"refused", std::to_string(side_.crew.sums().refused)},
                {"endedEarly", std::to_string(side_.crew.sums().ended)}};
  row.facts.emplace_back("resets", all_resets);
  row.facts.emplace_back("storeReads", store_reads);
  return {};
}

}  // namespace

int resume(const CommonOptions& common, const ResumeOptions& options) {
  Report report("resume");
  JsonObject(report.options).field("atOnce", options.at_once).field("shards", common.shards).end();
  const uint32_t rooms = options.rooms <= 1 ? 0 : options.rooms;
  Arena::Plan plan{.mode = "resume", .readers = options.clients, .rooms = rooms};
  plan.cursors_per_room = options.messages + 64;
  plan.words.ack = "stored";
  const bool began = measure_ours(common, plan, report, [&](Arena& arena, Row& row) {
    row.facts = {{"clients", std::to_string(options.clients)},
                 {"messages", std::to_string(options.messages)},
                 {"rooms", std::to_string(std::max(1U, options.rooms))},
                 {"killed", options.kill ? "true" : "false"}};
    return Resume(arena, options).run(row);
  });
  if (!began) return 2;
  return report.print(common.json, {{"clients", "clients"},
                                    {"messages", "missed"},
                                    {"rooms", "rooms"},
                                    {"killed", "killed"},
                                    {"connectedP99Ms", "99 % connected ms"},
                                    {"completeP99Ms", "99 % complete ms"},
                                    {"cpuNsPerClient", "CPU us/client", 0.001},
                                    {"deliveriesPerSecond", "deliveries/s"},
                                    {"storeReads", "store reads"},
                                    {"resets", "resets"}});
}

}  // namespace twinwire::bench
