// `twinbench soak`: rooms of members who talk and are cut and come back, for a bounded time, with the
// server's memory looked at all along: its slope, and everything counted. If wanted the server is killed
// meanwhile, with messages that nobody has got yet. Of ours alone. Thread: the harness's main one.
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

constexpr uint32_t kMissed = 5;  // messages in each room that nobody has when the server is killed
constexpr uint32_t kLanes = 16;
constexpr uint32_t kAtOnce = 512;

struct Sample {
  double second;
  double private_bytes;
  double resident_bytes;
};

// Least squares over the private bytes of one life of the server, its settling left out; in bytes an hour.
double slope(const std::vector<Sample>& all, double life_began) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const Sample& each : all) {
    if (each.second < life_began + (all.back().second - life_began) * kSettling) continue;
    n += 1;
    x += each.second;
    y += each.private_bytes;
    xx += each.second * each.second;
    xy += each.second * each.private_bytes;
  }
  const double spread = n * xx - x * x;
  return n < 3 || spread <= 0 ? 0 : (n * xy - x * y) / spread * 3600;
}

class Soak {
 public:
  Soak(Arena& arena, const SoakOptions& options)
      : side_(*arena.ours()), options_(options), began_(client::monotonic_now()) {}
  Result<void> run(Row& row);

 private:
  double passed() const { return static_cast<double>(client::monotonic_now() - began_) / 1e9; }
  Result<void> talk();
  Result<void> kill();
  // What a life of the server has counted is added up before it ends.
  Result<void> add_up();

  Side& side_;
  const SoakOptions& options_;
  client::Nanos began_;
  std::vector<Sample> memory_;
  double life_began_ = 0;  // seconds
  uint64_t cpu_before_ = 0;
  double cpu_nanos_ = 0;
  double resets_ = 0;
  double resumes_ = 0;
  uint64_t ended_by_kills_ = 0;
  uint32_t kills_ = 0;
};

Result<void> Soak::talk() {
  Order order;
  order.what = Order::What::talk;
  order.rate = options_.rate;
  order.cuts = options_.cuts;
  order.nanos = static_cast<uint64_t>(kStepSeconds * 1e9);
  order.start = client::monotonic_now() + kLead;
  Result<void> told = outcome_of(side_.crew.tell_speakers(order));
  const ProcessUse use = side_.target->use();
  memory_.push_back(
      {passed(), static_cast<double>(use.private_bytes), static_cast<double>(use.resident_bytes)});
  return told;
}

Result<void> Soak::add_up() {
  const Result<double> resets = side_.target->stats(kResets);
  if (!resets) return resets.error();
  const Result<double> resumes = side_.target->stat("streams.resumes");
  if (!resumes) return resumes.error();
  resets_ += *resets;
  resumes_ += *resumes;
  cpu_nanos_ += static_cast<double>(side_.target->cpu_nanos() - cpu_before_);
  return {};
}

// All are cut, messages are stored that nobody has, kill -9; all come back with their cursors and get them.
Result<void> Soak::kill() {
  if (Result<void> cut = side_.crew.tell_all(Order::What::cut); !cut) return cut;
  Order order;
  order.what = Order::What::say;
  order.count = kMissed;
  order.at_once = kAtOnce;
  if (Result<void> said = outcome_of(side_.crew.tell_speakers(order)); !said) return said;
  if (Result<void> added = add_up(); !added) return added;
  const uint64_t ended = side_.crew.sums().ended;
  if (Result<void> again = side_.target->kill_and_restart(); !again) return again;
  ++kills_;
  life_began_ = passed();
  cpu_before_ = 0;
  order = Order{};
  order.what = Order::What::come_back;
  order.at_once = kAtOnce;
  order.start = client::monotonic_now();
  if (Result<void> back = outcome_of(side_.crew.tell_all(order)); !back) return back;
  ended_by_kills_ += side_.crew.sums().ended - ended;
  order = Order{};
  order.what = Order::What::speakers;
  order.count = kLanes;
  if (Result<void> spoken = outcome_of(side_.crew.tell_speakers(order)); !spoken) return spoken;
  return side_.crew.tell_all(Order::What::drain);
}

Result<void> Soak::run(Row& row) {
  cpu_before_ = side_.target->cpu_nanos();
  Result<void> done;
  while (done && passed() < options_.seconds) {
    done = talk();
    if (done && passed() > options_.seconds * (kills_ + 1) / (options_.kills + 1) && kills_ < options_.kills)
      done = kill();
  }
  if (done) done = add_up();
  const Sums sums = side_.crew.sums();
  const uint64_t ended = sums.ended - ended_by_kills_;
  const auto deliveries = static_cast<double>(sums.deliveries - side_.before.deliveries);
  row.facts = {{"seconds", fmt::format("{:.0f}", passed())},
               {"messages", std::to_string(sums.said - side_.before.said)},
               {"deliveries", fmt::format("{:.0f}", deliveries)},
               {"cuts", count_json(resumes_)},
               {"kills", std::to_string(kills_)},
               {"resets", count_json(resets_)},
               {"ended", std::to_string(ended)}};
  row.add({{"cpuNsPerDelivery", cpu_nanos_ / deliveries}, {"bytesPerHour", slope(memory_, life_began_)}});
  std::string points = "[";
  for (const Sample& each : memory_)
    points += fmt::format("{}[{:.1f},{:.0f},{:.0f}]", points.size() == 1 ? "" : ",", each.second,
                          each.private_bytes, each.resident_bytes);
  row.extras = {{"memory", points + "]"}};
  if (done && (resets_ > 0 || ended > 0))
    done = fail(Code::internal,
                fmt::format("{} resets, {} streams ended by the server", count_json(resets_), ended));
  return done;
}

}  // namespace

int soak(const CommonOptions& common, const SoakOptions& options) {
  const uint32_t members = std::max(1U, options.readers / options.rooms);
  Report report("soak");
  JsonObject(report.options)
      .field("rate", options.rate)
      .field("cutsPerSecond", options.cuts)
      .field("rooms", options.rooms)
      .field("readers", members * options.rooms)
      .end();
  Arena::Plan plan{.mode = "soak", .readers = members * options.rooms, .rooms = options.rooms};
  plan.lanes = kLanes;
  plan.timing = true;
  plan.cursors_per_room = 64 + static_cast<uint32_t>(4 * options.seconds * options.rate / options.rooms);
  // What a kill takes that was only accepted is not lost by any promise.
  if (options.kills > 0) plan.words.ack = "stored";
  const bool began = measure_ours(common, plan, report,
                                  [&](Arena& arena, Row& row) { return Soak(arena, options).run(row); });
  if (!began) return 2;
  return report.print(common.json, {{"seconds", "seconds"},
                                    {"messages", "messages"},
                                    {"deliveries", "deliveries"},
                                    {"cuts", "came back"},
                                    {"kills", "kills"},
                                    {"resets", "resets"},
                                    {"cpuNsPerDelivery", "CPU ns/delivery"},
                                    {"bytesPerHour", "MiB/hour", 1.0 / 1048576, 2}});
}

}  // namespace twinwire::bench
