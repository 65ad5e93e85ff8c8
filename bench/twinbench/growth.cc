// `twinbench connect --growth`: what a delivered message costs at N connections over what it costs at a few
// (1,000), of ours and of the bare loop that holds as many (bare-direct), half SSE and half WebSocket, all in
// one room. One message at a time goes to all, and the next when all have it. The two targets do not fit into
// memory together at a million, so they come one after the other; each is measured at the few before and
// after, so that a drift of the machine is seen and shared. Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "bench/twinbench/process.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kFewAtOnce = 200;
constexpr std::string_view kCost = "cpuNsPerDelivery";

class Growth {
 public:
  Growth(const CommonOptions& common, const ConnectOptions& options) : common_(common), options_(options) {
    report_.options =
        fmt::format(R"({{"repetitions":{},"sliceMs":{},"shards":{},"few":{},"atOnce":{}}})",
                    common.repetitions, common.slice_ms, common.shards, options.few, options.at_once);
  }
  int run();

 private:
  // The costs at the few, before and after, and at the many; false: it cannot go on.
  bool measure_target(const std::string& word);
  bool measure_at(const std::string& word, uint32_t connections, Row& row);

  const CommonOptions& common_;
  const ConnectOptions& options_;
  Report report_{"connect"};
  Lessons lessons_;
};

bool Growth::measure_at(const std::string& word, uint32_t connections, Row& row) {
  CommonOptions one = common_;
  one.targets = {word};
  Arena::Plan plan{.mode = "growth", .readers = connections, .open_readers = false};
  plan.learn_both = true;
  plan.words.kept =
      false;  // as the bare loop: a commit for each message would be in the cost at the few only
  plan.lessons = lessons_;
  const uint64_t sockets = sockets_here();
  const bool began = with_arena(one, plan, Mix::mixed, report_, [&](Arena& arena) -> Result<void> {
    Side& side = *arena.sides().front();
    if (!side.failure.empty()) return fail(Code::internal, side.failure);
    const uint32_t at_once = connections == options_.few ? kFewAtOnce : options_.at_once;
    const Result<Answer> opened = side.crew.open(at_once);
    if (!opened) return opened.error();
    Order order;
    order.what = Order::What::turn;
    order.count = 1;
    order.nanos = common_.slice_ms * client::kMillisecond;
    const auto turn = [&](Side& at) -> Result<Figures> {
      if (at.crew.sums().live != connections)
        return fail(Code::internal,
                    fmt::format("{} of {} connections are left", at.crew.sums().live, connections));
      const Result<Arena::Cost> cost = arena.cost_of(at, [&] { return at.crew.tell_speakers(order); });
      if (!cost) return cost.error();
      const auto deliveries = static_cast<double>(cost->answer.value);
      return Figures{{std::string(kCost), cost->cpu_nanos / deliveries},
                     {"broadcastMs", cost->seconds * 1000 * connections / deliveries}};
    };
    std::vector<Row> rows = arena.measure(fmt::format("1 -> {}", connections), turn);
    arena.settle(rows);
    Row& found = rows.front();
    row.target = found.target;
    row.transport = found.transport;
    for (const auto& [name, values] : found.samples) {
      for (const double value : values) row.add({{name, value}});
    }
    row.lost += found.lost;
    row.repeated += found.repeated;
    row.reordered += found.reordered;
    row.harness_busy = std::max(row.harness_busy, found.harness_busy);
    if (row.failure.empty()) row.failure = found.failure;
    lessons_ = arena.lessons();
    return {};
  });
  // What the kernel still takes away would be in the next one's figures, and in its memory.
  wait_for_sockets_to_go(sockets + connections / 10);
  return began && row.failure.empty();
}

bool Growth::measure_target(const std::string& word) {
  Row few;
  Row many;
  const bool done = measure_at(word, options_.few, few) && measure_at(word, options_.connections, many) &&
                    measure_at(word, options_.few, few);
  const std::string frame_bytes =
      std::to_string((lessons_.sse.frame_bytes() + lessons_.ws.frame_bytes()) / 2 +
                     std::max<size_t>(common_.content_bytes, kMarkBytes));
  const auto keep = [&](Row& row, uint32_t connections) {
    if (row.target.empty()) return;
    row.facts = {{"connections", std::to_string(connections)}, {"frameBytes", frame_bytes}};
    report_.rows.push_back(std::move(row));
  };
  if (done) {
    const std::vector<double>& all = few.of(kCost);
    const auto half = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    few.extras.emplace_back("afterOverBefore",
                            fmt::format("{:.4f}", median({half, all.end()}) / median({all.begin(), half})));
    many.extras.emplace_back("growth", fmt::format("{:.4f}", many.median_of(kCost) / few.median_of(kCost)));
  }
  keep(few, options_.few);
  keep(many, options_.connections);
  return done;
}

int Growth::run() {
  // Ours first: the bare one sends its bytes.
  if (!measure_target("twinwire"))
    return report_.rows.empty() ? 2 : std::max(report_.print(common_.json, {}), 1);
  const bool both = measure_target("bare-direct");
  const int status = report_.print(common_.json, {{"connections", "connections"},
                                                  {std::string(kCost), "CPU ns/delivery"},
                                                  {"broadcastMs", "a broadcast, ms", 1, 1}});
  if (!both) return std::max(status, 1);
  if (common_.json) return status;
  const auto growth_of = [&](size_t first) {
    return report_.rows[first + 1].median_of(kCost) / report_.rows[first].median_of(kCost);
  };
  fmt::print("growth: twinwire x {:.3f}, bare-direct x {:.3f}, ratio {:.3f}\n", growth_of(0), growth_of(2),
             growth_of(0) / growth_of(2));
  return status;
}

}  // namespace

int growth(const CommonOptions& common, const ConnectOptions& options) {
  if (!common.url.empty()) {
    fmt::print(stderr, "twinbench: --growth starts its own servers; it takes no --url\n");
    return 2;
  }
  return Growth(common, options).run();
}

}  // namespace twinwire::bench
