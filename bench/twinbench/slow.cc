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
  Slow(Arena& arena, const SlowOptions& options, uint32_t slow_readers)
      : arena_(arena), side_(*arena.ours()), options_(options), slow_readers_(slow_readers) {}
  Result<void> run(Row& row);

 private:
  Result<client::Histogram> talk(double seconds);
  Result<void> throttle(uint32_t bytes_per_second);

  Arena& arena_;
  Side& side_;
  const SlowOptions& options_;
  uint32_t slow_readers_;
};

Result<client::Histogram> Slow::talk(double seconds) {
  Order order;
  order.what = Order::What::clear;
  if (const Result<Answer> told = side_.crew.tell_all(order); !told) return told.error();
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
  const Result<Answer> told = side_.crew.tell_all(order);
  return told ? Result<void>() : Result<void>(told.error());
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
  const uint64_t lagged = side_.target->stat("streams.lagged");
  if (Result<void> done = throttle(0); !done) return done;
  Order order;
  order.what = Order::What::drain;
  const client::Nanos began = client::monotonic_now();
  const Result<Answer> drained = side_.crew.tell_all(order);
  if (!drained) return drained.error();
  uint64_t resets = 0;
  for (const char* reason : {"trimmed", "unknown_cursor", "forbidden", "rolled_back"})
    resets += side_.target->stat(std::string("resets.") + reason);
  row.add({{"p50Ratio", us(with->at(0.5)) / std::max(1.0, us(calm->at(0.5)))},
           {"p50BeforeUs", us(calm->at(0.5))},
           {"p50WithSlowUs", us(with->at(0.5))},
           {"p99BeforeUs", us(calm->at(0.99))},
           {"p99WithSlowUs", us(with->at(0.99))},
           {"bytesBefore", static_cast<double>(before.private_bytes)},
           {"bytesWithSlow", static_cast<double>(during.private_bytes)},
           {"catchUpMs", static_cast<double>(client::monotonic_now() - began) / 1e6}});
  row.facts.emplace_back("resets", std::to_string(resets));
  row.facts.emplace_back("incomplete", std::to_string(drained->value));
  row.facts.emplace_back("lagged", std::to_string(lagged));
  const Sums sums = side_.crew.sums();
  if (resets + drained->value + sums.ended > 0)
    row.failure =
        fmt::format("{} resets, {} messages missing, {} streams ended", resets, drained->value, sums.ended);
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
  for (const Mix mix : mixes_of(common.transport == "both" ? "mixed" : common.transport)) {
    Arena::Plan plan{.mode = "slow", .readers = options.readers};
    plan.timing = true;
    plan.slow = slow_readers;
    Arena arena(common, plan, mix);
    if (const Result<void> opened = arena.open(); !opened) {
      fmt::print(stderr, "twinbench: {}\n", opened.error().sentence);
      return 2;
    }
    std::vector<Row> rows(1);
    Row& row = rows.front();
    row.target = "twinwire";
    row.transport = word_of(mix);
    row.facts = {{"readers", std::to_string(options.readers)}, {"slowReaders", std::to_string(slow_readers)}};
    arena.ours()->before = arena.ours()->crew.sums();
    if (const Result<void> done = Slow(arena, options, slow_readers).run(row); !done)
      row.failure = done.error().sentence;
    arena.settle(rows);
    arena.stop();
    if (!row.failure.empty()) report.notes.push_back("twinwire: " + row.failure);
    report.rows.push_back(row);
    report.notes.insert(report.notes.end(), arena.notes().begin(), arena.notes().end());
  }
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
