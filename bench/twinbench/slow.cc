// `twinbench slow`: a share of the readers takes a few bytes a second; what that does to the others' latency
// and to the server's memory; at the end the throttle is lifted, and every slow reader must get everything.
// Of ours alone. Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr double kCalmSecondsMax = 5;  // before anybody is slow
constexpr client::Nanos kLead = 5 * client::kMillisecond;

double us(uint64_t nanos) { return static_cast<double>(nanos) / 1000; }

class Slow {
 public:
  Slow(Side& side, const SlowOptions& options) : side_(side), options_(options) {}
  Result<void> run(Row& row);

 private:
  Result<client::Histogram> talk(double seconds);
  Result<void> throttle(uint32_t bytes_per_second);

  Side& side_;
  const SlowOptions& options_;
};

Result<client::Histogram> Slow::talk(double seconds) {
  if (const Result<void> told = side_.crew.tell_all(Order::What::clear); !told) return told.error();
  Order order;
  order.what = Order::What::talk;
  order.rate = options_.rate;
  order.nanos = static_cast<uint64_t>(seconds * 1e9);
  order.start = client::monotonic_now() + kLead;
  order.some_lag = true;
  const Result<Answer> told = side_.crew.tell_speakers(order);
  if (!told) return told.error();
  return side_.crew.histogram(&Tally::latency);
}

Result<void> Slow::throttle(uint32_t bytes_per_second) {
  Order order;
  order.what = Order::What::throttle;
  order.count = bytes_per_second;
  return outcome_of(side_.crew.tell_all(order));
}

Result<void> Slow::run(Row& row) {
  if (const Result<client::Histogram> warm = talk(std::min(1.0, options_.seconds)); !warm)
    return warm.error();
  const Result<client::Histogram> calm = talk(std::min(kCalmSecondsMax, options_.seconds));
  if (!calm) return calm.error();
  const ProcessUse before = side_.target->use();
  if (Result<void> done = throttle(options_.bytes_per_second); !done) return done;
  const Result<client::Histogram> with = talk(options_.seconds);
  if (!with) return with.error();
  const ProcessUse during = side_.target->use();
  const Result<double> lagged = side_.target->stat("streams.lagged");
  if (!lagged) return lagged.error();
  if (Result<void> done = throttle(0); !done) return done;
  Order order;
  order.what = Order::What::drain;
  const client::Nanos began = client::monotonic_now();
  const Result<Answer> drained = side_.crew.tell_all(order);
  if (!drained) return drained.error();
  const Result<double> resets = side_.target->stats(kResets);
  if (!resets) return resets.error();
  row.add({{"p50Ratio", us(with->at(0.5)) / std::max(1.0, us(calm->at(0.5)))},
           {"p50BeforeUs", us(calm->at(0.5))},
           {"p50WithSlowUs", us(with->at(0.5))},
           {"p99BeforeUs", us(calm->at(0.99))},
           {"p99WithSlowUs", us(with->at(0.99))},
           {"bytesBefore", static_cast<double>(before.private_bytes)},
           {"bytesWithSlow", static_cast<double>(during.private_bytes)},
           {"catchUpMs", static_cast<double>(client::monotonic_now() - began) / 1e6}});
  row.facts.emplace_back("resets", count_json(*resets));
  row.facts.emplace_back("incomplete", std::to_string(drained->value));
  row.facts.emplace_back("lagged", count_json(*lagged));
  const Sums sums = side_.crew.sums();
  if (*resets > 0 || drained->value + sums.ended > 0)
    return fail(Code::internal, fmt::format("{} resets, {} messages missing, {} streams ended",
                                            count_json(*resets), drained->value, sums.ended));
  return {};
}

}  // namespace

int slow(const CommonOptions& common, const SlowOptions& options) {
  Report report("slow");
  JsonObject(report.options)
      .field("rate", options.rate)
      .field("bytesPerSecond", options.bytes_per_second)
      .raw("seconds", fmt::format("{}", options.seconds))
      .end();
  const auto slow_readers = static_cast<uint32_t>(options.share * options.readers);
  Arena::Plan plan{.mode = "slow", .readers = options.readers};
  plan.timing = true;
  plan.slow = slow_readers;
  const bool began = measure_ours(common, plan, report, [&](Arena& arena, Row& row) {
    row.facts = {{"readers", std::to_string(options.readers)}, {"slowReaders", std::to_string(slow_readers)}};
    return Slow(*arena.ours(), options).run(row);
  });
  if (!began) return 2;
  return report.print(common.json, {{"readers", "readers"},
                                    {"slowReaders", "slow"},
                                    {"p50BeforeUs", "p50 before us"},
                                    {"p50WithSlowUs", "p50 with us"},
                                    {"p50Ratio", "ratio", 1, 2},
                                    {"bytesBefore", "MiB before", 1.0 / 1048576, 1},
                                    {"bytesWithSlow", "MiB with", 1.0 / 1048576, 1},
                                    {"catchUpMs", "catch up ms"},
                                    {"lagged", "lagged"},
                                    {"resets", "resets"},
                                    {"incomplete", "missing"}});
}

}  // namespace twinwire::bench
