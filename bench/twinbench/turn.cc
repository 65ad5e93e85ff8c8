#include "bench/twinbench/turn.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bench/twinbench/process.h"

namespace twinwire::bench {
namespace {

using client::kMillisecond;
using client::kSecond;
using client::Nanos;

constexpr Nanos kBurstLimit = 20 * kSecond;
constexpr uint32_t kOpeningAtOnce = 200;

uint64_t own_cpu_nanos() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<uint64_t>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * kSecond +
         static_cast<uint64_t>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

}  // namespace

Result<void> run_until(client::Loop& loop, const char* what, const std::function<bool()>& done) {
  const Nanos limit = client::monotonic_now() + kBurstLimit;
  while (!done()) {
    if (client::monotonic_now() > limit)
      return fail(Code::internal, fmt::format("not within 20 s: {}", what));
    loop.run_once(kMillisecond);
  }
  return {};
}

Result<void> open_readers(client::Loop& loop, SinkGroup& group, uint32_t count) {
  const uint32_t wanted = group.size() + count;
  Nanos limit = client::monotonic_now() + kBurstLimit;
  uint32_t live = 0;
  while (group.live() < wanted) {
    if (group.size() < wanted && group.opening() < kOpeningAtOnce)
      group.open(std::min(kOpeningAtOnce / 4, wanted - group.size()));
    loop.run_once(kMillisecond);
    if (group.live() > live) limit = client::monotonic_now() + kBurstLimit;
    live = group.live();
    if (group.ended() == 0 && client::monotonic_now() < limit) continue;
    return fail(Code::internal,
                fmt::format("{} of {} readers are live; {}", group.live(), wanted, group.last_end()));
  }
  return {};
}

Result<Turn> take_turn(client::Loop& loop, SinkGroup& group, const TurnPlan& plan) {
  const std::optional<uint64_t> before = cpu_nanos_of(plan.server);
  const uint64_t own_before = own_cpu_nanos();
  const Nanos began = client::monotonic_now();
  const uint64_t burst = uint64_t{plan.window} * plan.frame_bytes;
  Turn out;
  while (client::monotonic_now() - began < plan.slice) {
    group.begin_burst();
    plan.publish();
    const auto arrived = [&] { return group.received() >= burst * group.size(); };
    if (Result<void> done = run_until(loop, "a burst at every reader", arrived); !done) return done.error();
    if (group.received() != burst * group.size() || group.bytes().size() != burst || group.differing() != 0) {
      return fail(
          Code::internal,
          fmt::format("the readers do not have the same bytes: {} in all, {} expected; {} pieces differ",
                      group.received(), burst * group.size(), group.differing()));
    }
    if (!plan.check(group.bytes())) return fail(Code::internal, "a burst is not what was published");
    out.deliveries += uint64_t{plan.window} * group.size();
  }
  const Nanos took = client::monotonic_now() - began;
  const std::optional<uint64_t> after = cpu_nanos_of(plan.server);
  if (!before || !after) return fail(Code::internal, "the measured process is gone");
  out.nanos_per_delivery = static_cast<double>(*after - *before) / static_cast<double>(out.deliveries);
  out.seconds = static_cast<double>(took) / 1e9;
  out.reader_busy = static_cast<double>(own_cpu_nanos() - own_before) / static_cast<double>(took);
  return out;
}

void pin_this_thread(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace twinwire::bench
