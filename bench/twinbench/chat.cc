// `twinbench rate` (one room, said from outside) and `twinbench chat` (R rooms × M members, said by members):
// an open-loop rate, each message due at its own time whatever happened to those before, and every latency
// taken from then. Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kLanes = 64;    // connections for POST in chats
constexpr double kLateUs = 2'000;  // a schedule missed by more than this, in half of the turns
constexpr client::Nanos kLead = 5 * client::kMillisecond;
constexpr double kCurve[] = {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1};

double us(uint64_t nanos) { return static_cast<double>(nanos) / 1000; }

void add_latency(Row& row, const client::Histogram& all) {
  std::string out;
  JsonObject(out)
      .raw("p50", fmt::format("{:.1f}", us(all.at(0.5))))
      .raw("p90", fmt::format("{:.1f}", us(all.at(0.9))))
      .raw("p99", fmt::format("{:.1f}", us(all.at(0.99))))
      .raw("p999", fmt::format("{:.1f}", us(all.at(0.999))))
      .raw("max", fmt::format("{:.1f}", us(all.max())))
      .end();
  row.extras.emplace_back("latencyUs", out);
  std::string curve = "[";
  for (const double at : kCurve)
    curve += fmt::format("{}[{},{:.1f}]", curve.size() == 1 ? "" : ",", at, us(all.at(at)));
  row.extras.emplace_back("curve", curve + "]");
}

}  // namespace

int chat(const CommonOptions& common, const ChatOptions& options) {
  const bool one_room = options.rooms == 0;
  const uint32_t readers = one_room ? options.members : options.rooms * options.members;
  Report report(one_room ? "rate" : "chat");
  JsonObject(report.options)
      .field("repetitions", common.repetitions)
      .raw("seconds", fmt::format("{}", options.seconds))
      .field("kept", !common.ephemeral)
      .field("shards", common.shards)
      .field("storeCore", common.store_core)
      .end();
  for (const Mix mix : mixes_of(common.transport)) {
    Arena::Plan plan{.mode = report.mode, .readers = readers, .rooms = options.rooms};
    plan.lanes = one_room ? 1 : kLanes;
    plan.by_post = !one_room && mix != Mix::ws;
    plan.window = one_room ? 16 : 1;
    plan.timing = true;
    plan.words.kept = !common.ephemeral;
    const bool began = with_arena(common, plan, mix, report, [&](Arena& arena) -> Result<void> {
      for (const uint32_t rate : options.rates) {
        std::map<const Side*, client::Histogram> latency;
        std::map<const Side*, std::vector<double>> late;
        const auto turn = [&](Side& side) -> Result<Figures> {
          if (const Result<void> told = side.crew.tell_all(Order::What::clear); !told) return told.error();
          Order order;
          order.what = Order::What::talk;
          order.rate = rate;
          order.nanos = static_cast<uint64_t>(options.seconds * 1e9);
          order.start = client::monotonic_now() + kLead;
          order.by_members = !one_room;
          order.spin = one_room && common.pin && side.crew.workers() == 1;
          const uint64_t before = side.crew.sums().deliveries;
          const Result<Arena::Cost> cost =
              arena.cost_of(side, [&] { return side.crew.tell_speakers(order); });
          if (!cost) return cost.error();
          const auto deliveries = static_cast<double>(side.crew.sums().deliveries - before);
          const client::Histogram here = side.crew.histogram(&Tally::latency);
          latency[&side].add(here);
          late[&side].push_back(us(side.crew.sums().late_max));
          return Figures{{"cpuNsPerDelivery", cost->cpu_nanos / deliveries},
                         {"deliveriesPerSecond", deliveries / cost->seconds},
                         {"p50Us", us(here.at(0.5))},
                         {"p99Us", us(here.at(0.99))},
                         {"p999Us", us(here.at(0.999))},
                         {"lateMaxUs", late[&side].back()}};
        };
        std::vector<Row> rows = arena.measure(fmt::format("{} messages/s", rate), turn);
        arena.settle(rows);
        const size_t first = report.rows.size();
        for (size_t i = 0; i < rows.size(); ++i) {
          Row& row = rows[i];
          row.facts = {{"rooms", std::to_string(std::max(1U, options.rooms))},
                       {"members", std::to_string(options.members)},
                       {"messagesPerSecond", std::to_string(rate)}};
          add_latency(row, latency[arena.sides()[i].get()]);
          if (one_room && common.pin)
            row.harness_busy = 0;  // it spins; whether it keeps up is told by its schedule
          row.late = row.median_of("lateMaxUs") > kLateUs;
          if (row.late)
            report.notes.push_back(
                fmt::format("{} {}: the harness said messages up to {:.1f} ms behind their time", row.target,
                            row.transport, row.median_of("lateMaxUs") / 1000));
          report.rows.push_back(std::move(row));
        }
        report.compare(first);
      }
      return {};
    });
    if (!began) return 2;
  }
  return report.print(common.json, {{"rooms", "rooms"},
                                    {"members", "members"},
                                    {"messagesPerSecond", "messages/s"},
                                    {"deliveriesPerSecond", "deliveries/s"},
                                    {"cpuNsPerDelivery", "CPU ns/delivery"},
                                    {"p50Us", "p50 us"},
                                    {"p99Us", "p99 us"},
                                    {"p999Us", "p99.9 us"}});
}

}  // namespace twinwire::bench
