// `twinbench fanout`: one room, N readers, W messages published and not yet received by all; the CPU of each
// target's processes over what it delivered, in turns. Thread: the harness's main one.
#include <fmt/format.h>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {

int fanout(const CommonOptions& common, const FanoutOptions& options) {
  Report report("fanout");
  JsonObject(report.options)
      .field("repetitions", common.repetitions)
      .field("sliceMs", common.slice_ms)
      .field("kept", !common.ephemeral)
      .field("shards", common.shards)
      .end();
  for (const Mix mix : mixes_of(common.transport)) {
    for (const uint32_t readers : options.readers) {
      Arena::Plan plan{.mode = "fanout", .readers = readers};
      plan.words.kept = !common.ephemeral;
      for (const uint32_t window : options.windows) plan.window = std::max(plan.window, window);
      const bool began = with_arena(common, plan, mix, report, [&](Arena& arena) -> Result<void> {
        for (const uint32_t window : options.windows) {
          Order order;
          order.what = Order::What::turn;
          order.count = window;
          order.nanos = common.slice_ms * client::kMillisecond;
          const auto turn = [&](Side& side) -> Result<Figures> {
            const uint64_t reads = side.crew.sums().reads;
            const Result<Arena::Cost> cost =
                arena.cost_of(side, [&] { return side.crew.tell_speakers(order); });
            if (!cost) return cost.error();
            const auto deliveries = static_cast<double>(cost->answer.value);
            return Figures{
                {"cpuNsPerDelivery", cost->cpu_nanos / deliveries},
                {"deliveriesPerSecond", deliveries / cost->seconds},
                {"deliveriesPerRead", deliveries / static_cast<double>(side.crew.sums().reads - reads)}};
          };
          std::vector<Row> rows = arena.measure(fmt::format("1 -> {}  W={}", readers, window), turn);
          arena.settle(rows);
          const size_t first = report.rows.size();
          for (Row& row : rows) {
            row.facts = {{"readers", std::to_string(readers)},
                         {"window", std::to_string(window)},
                         {"frameBytes", std::to_string(arena.learned().frame_bytes() +
                                                       std::max<size_t>(common.content_bytes, kMarkBytes))}};
            report.rows.push_back(std::move(row));
          }
          report.compare(first);
        }
        return {};
      });
      if (!began) return 2;
    }
  }
  return report.print(common.json, {{"readers", "readers"},
                                    {"window", "W"},
                                    {"frameBytes", "our frame"},
                                    {"cpuNsPerDelivery", "CPU ns/delivery"},
                                    {"deliveriesPerSecond", "deliveries/s"},
                                    {"deliveriesPerRead", "joined", 1, 1}});
}

}  // namespace twinwire::bench
