// `twinbench connect`: storms of N connections at each target in turns, the CPU for each of them from accept
// to subscribed; with --hold, N idle connections of ours: memory in user space and slab, idle CPU, one
// broadcast. Thread: the harness's main one.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "bench/client/table.h"
#include "bench/client/text.h"
#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "bench/twinbench/process.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr unsigned kSettleMs = 2000;
constexpr uint32_t kFew = 1000;  // connections that need no rest before memory is looked at
constexpr client::Nanos kBroadcastLimit = 120 * client::kSecond;

void rest(uint32_t connections) { usleep((connections < kFew ? kSettleMs / 10 : kSettleMs) * 1000); }
double us(uint64_t nanos) { return static_cast<double>(nanos) / 1000; }
double per(uint64_t bytes, uint32_t count) { return static_cast<double>(bytes) / count; }

std::string slab_json(const SlabUse& pair, const SlabUse& bare, const ConnectOptions& options) {
  std::string out;
  JsonObject object(out);
  for (const auto& [name, bytes] : pair.caches) {
    const auto found = bare.caches.find(name);
    const double theirs = found == bare.caches.end() ? 0 : per(found->second, options.bare_pairs);
    const double ours = per(bytes, options.connections);
    if (ours < 1 && theirs < 1) continue;
    object.raw(name, fmt::format("[{:.1f},{:.1f}]", ours, theirs));
  }
  object.end();
  return out;
}

// A bare pair for each of `count`: what the kernel takes where nothing is armed.
Result<SlabUse> bare_pairs(const CommonOptions& common, uint32_t count, const Learned& learned) {
  Result<std::unique_ptr<Target>> bare = Target::of("bare-unarmed", common, common.scratch);
  if (!bare) return bare.error();
  if (Result<void> started = (*bare)->start({}); !started) return started.error();
  if (Result<void> primed = (*bare)->prime(Form::sse, learned.greeting); !primed) return primed.error();
  Crew crew;
  Crew::Options options;
  options.to = (*bare)->endpoint();
  options.dialect = (*bare)->dialect();
  options.readers = count;
  if (Result<void> started = crew.start(options); !started) return started.error();
  rest(count);
  const SlabUse before = slab_use();
  if (const Result<Answer> opened = crew.open(200); !opened) return opened.error();
  rest(count);
  return growth(before, slab_use());
}

struct Held {
  ProcessUse before;
  ProcessUse after;
  double connect_seconds = 0;
  double connect_cpu_nanos = 0;
  double idle_share = 0;  // of one core
  SlabUse pair;
  SlabUse bare;
  uint64_t reached = 0;
  double broadcast_seconds = 0;
  double broadcast_cpu_nanos = 0;
  uint64_t ended = 0;
};

Result<void> broadcast(Side& side, Held& held) {
  Order speakers;
  speakers.what = Order::What::speakers;
  speakers.count = 1;
  if (const Result<Answer> told = side.crew.tell(0, speakers); !told) return told.error();
  const uint64_t base = side.crew.sums().deliveries;
  const uint64_t live = side.crew.sums().live;
  const uint64_t cpu = side.target->cpu_nanos();
  const client::Nanos began = client::monotonic_now();
  Order say;
  say.what = Order::What::say;
  say.count = 1;
  if (const Result<Answer> told = side.crew.tell(0, say); !told) return told.error();
  while ((held.reached = side.crew.sums().deliveries - base) < live &&
         client::monotonic_now() - began < kBroadcastLimit) {
    usleep(1000);
  }
  held.broadcast_seconds = static_cast<double>(client::monotonic_now() - began) / 1e9;
  held.broadcast_cpu_nanos = static_cast<double>(side.target->cpu_nanos() - cpu);
  return {};
}

Result<void> hold_all(Arena& arena, const ConnectOptions& options, Held& held) {
  Side& side = *arena.ours();
  rest(options.connections);
  held.before = side.target->use();
  const SlabUse slab = slab_use();
  const Result<Arena::Cost> cost = arena.cost_of(side, [&] { return side.crew.open(options.at_once); });
  if (!cost) return cost.error();
  held.connect_seconds = cost->seconds;
  held.connect_cpu_nanos = cost->cpu_nanos;
  rest(options.connections);
  held.after = side.target->use();
  held.pair = growth(slab, slab_use());
  const uint64_t cpu = side.target->cpu_nanos();
  sleep(options.hold_seconds);
  held.idle_share =
      static_cast<double>(side.target->cpu_nanos() - cpu) / (1e9 * std::max(1U, options.hold_seconds));
  if (options.broadcast) {
    if (Result<void> done = broadcast(side, held); !done) return done;
  }
  std::vector<Row> rows(arena.sides().size());
  arena.settle(rows);
  held.ended = side.crew.sums().ended;
  return {};
}

void print_held(const CommonOptions& common, const ConnectOptions& options, const Held& held,
                const Sums& sums, const std::string& transport) {
  const uint32_t n = options.connections;
  const uint64_t user =
      held.after.private_bytes - std::min(held.after.private_bytes, held.before.private_bytes);
  const double pair = per(held.pair.total(), n);
  const double bare = held.bare.caches.empty() ? 0 : per(held.bare.total(), options.bare_pairs);
  if (common.json) {
    std::string inner;
    JsonObject(inner)
        .field("connections", n)
        .field("heartbeatSeconds", options.heartbeat_seconds)
        .field("holdSeconds", options.hold_seconds)
        .raw("connectSeconds", fmt::format("{:.2f}", held.connect_seconds))
        .raw("connectCpuNs", fmt::format("{:.0f}", held.connect_cpu_nanos / n))
        .field("baseBytes", held.before.private_bytes)
        .raw("userBytesPerConnection", fmt::format("{:.1f}", per(user, n)))
        .raw("slabBytesPerPair", fmt::format("{:.1f}", pair))
        .raw("slabBytesPerBarePair", fmt::format("{:.1f}", bare))
        .raw("slab", slab_json(held.pair, held.bare, options))
        .raw("idleCpuPercent", fmt::format("{:.2f}", held.idle_share * 100))
        .field("broadcastReached", held.reached)
        .raw("broadcastMs", fmt::format("{:.1f}", held.broadcast_seconds * 1000))
        .raw("broadcastCpuNs", fmt::format("{:.0f}", held.broadcast_cpu_nanos / n))
        .field("ended", held.ended)
        .end();
    Report report("connect");
    Row row;
    row.target = "twinwire";
    row.transport = transport;
    row.facts = {{"connections", std::to_string(n)}};
    row.extras = {{"hold", inner}};
    row.lost = sums.lost;
    row.repeated = sums.repeated;
    row.reordered = sums.reordered;
    report.rows.push_back(std::move(row));
    fmt::print("{}\n", report.json());
    return;
  }
  const std::string heartbeat =
      options.heartbeat_seconds > 0 ? fmt::format("{} s", options.heartbeat_seconds) : "by default";
  client::Facts facts(
      fmt::format("{} idle connections, {}, heartbeat {}", client::with_thousands(n), transport, heartbeat));
  facts.add("connected in", fmt::format("{:.2f} s", held.connect_seconds));
  facts.add("server CPU of each", client::duration_text(static_cast<uint64_t>(held.connect_cpu_nanos / n)));
  facts.add("server without connections, private", client::bytes_text(held.before.private_bytes));
  facts.add("user space per connection, bytes", fmt::format("{:.0f}", per(user, n)));
  facts.add("slab per pair (both ends), bytes", fmt::format("{:.0f}", pair));
  if (bare > 0) {
    facts.add("slab per bare pair, bytes", fmt::format("{:.0f}", bare));
    facts.add("slab for what we arm, bytes", fmt::format("{:.0f}", pair - bare));
  }
  facts.add("idle CPU, share of a core", fmt::format("{:.2f} %", held.idle_share * 100));
  facts.add("one broadcast reached", client::with_thousands(held.reached));
  facts.add("in", fmt::format("{:.0f} ms", held.broadcast_seconds * 1000));
  facts.add("server CPU of each delivery",
            client::duration_text(static_cast<uint64_t>(held.broadcast_cpu_nanos / n)));
  facts.add("ended meanwhile", client::with_thousands(held.ended));
  facts.add("lost / repeated / reordered",
            fmt::format("{} / {} / {}", sums.lost, sums.repeated, sums.reordered));
  fmt::print("{}\n", facts.text(client::Paint::for_stdout()));
  constexpr auto right = client::Table::Align::right;
  client::Table table({{"slab, bytes per pair"}, {"server", right}, {"bare pair", right}});
  for (const auto& [name, bytes] : held.pair.caches) {
    const auto found = held.bare.caches.find(name);
    const double theirs = found == held.bare.caches.end() ? 0 : per(found->second, options.bare_pairs);
    if (per(bytes, n) >= 1)
      table.add({name, fmt::format("{:.0f}", per(bytes, n)), fmt::format("{:.0f}", theirs)});
  }
  fmt::print("{}", table.text(client::Paint::for_stdout()));
}

}  // namespace

int hold(const CommonOptions& common, const ConnectOptions& options) {
  CommonOptions ours = common;
  ours.targets = {"twinwire"};
  if (!common.url.empty() && common.pid == 0) {
    fmt::print(stderr, "twinbench: --hold needs --pid with --url\n");
    return 2;
  }
  const Mix mix = common.transport == "both" ? Mix::mixed : mixes_of(common.transport).front();
  Arena::Plan plan{.mode = "connect", .readers = options.connections, .lanes = 0, .open_readers = false};
  plan.words.heartbeat_seconds = options.heartbeat_seconds;
  const uint64_t sockets = sockets_here();
  Arena arena(ours, plan, mix);
  Held held;
  Result<void> done = arena.open();
  if (done) done = hold_all(arena, options, held);
  if (!done) {
    fmt::print(stderr, "twinbench: {}\n", done.error().sentence);
    return 2;
  }
  const Sums sums = arena.ours()->crew.sums();
  const bool all = !options.broadcast || held.reached == options.connections;
  // The bytes of the greeting do not matter for idle memory; any will do.
  arena.stop();
  if (options.bare_pairs > 0) {
    // A server that was found here keeps its connections.
    if (common.url.empty())
      wait_for_sockets_to_go(sockets + std::min(options.connections, options.bare_pairs) / 100);
    const Result<SlabUse> bare = bare_pairs(
        ours, options.bare_pairs,
        Learned{
            .greeting = "HTTP/1.1 200 OK\r\n\r\nevent: connected\n\n", .frame_head = {}, .frame_tail = {}});
    if (bare) held.bare = *bare;
  }
  print_held(common, options, held, sums, std::string(word_of(mix)));
  return all && sums.lost + sums.repeated + sums.reordered == 0 ? 0 : 1;
}

int connect(const CommonOptions& common, const ConnectOptions& options) {
  if (options.growth) return growth(common, options);
  if (options.hold) return hold(common, options);
  Report report("connect");
  JsonObject(report.options)
      .field("repetitions", common.repetitions)
      .field("atOnce", options.at_once)
      .field("shards", common.shards)
      .end();
  for (const Mix mix : mixes_of(common.transport)) {
    Arena::Plan plan{.mode = "connect", .readers = options.connections, .lanes = 0, .open_readers = false};
    const bool began = with_arena(common, plan, mix, report, [&](Arena& arena) -> Result<void> {
      const auto turn = [&](Side& side) -> Result<Figures> {
        if (const Result<void> told = side.crew.tell_all(Order::What::clear); !told) return told.error();
        const Result<Arena::Cost> cost = arena.cost_of(side, [&] { return side.crew.open(options.at_once); });
        if (!cost) return cost.error();
        const client::Histogram opened = side.crew.histogram(&Tally::opened);
        const auto count = static_cast<double>(cost->answer.value);
        if (const Result<void> told = side.crew.tell_all(Order::What::shut); !told) return told.error();
        usleep(300'000);  // what the ends cost is nobody's storm
        return Figures{{"cpuNsPerConnection", cost->cpu_nanos / count},
                       {"connectionsPerSecond", count / cost->seconds},
                       {"liveP50Us", us(opened.at(0.5))},
                       {"liveP99Us", us(opened.at(0.99))},
                       {"liveMaxUs", us(opened.max())}};
      };
      std::vector<Row> rows = arena.measure(fmt::format("{} connections", options.connections), turn);
      const size_t first = report.rows.size();
      for (Row& row : rows) {
        row.facts = {{"connections", std::to_string(options.connections)}};
        row.extras.emplace_back(
            "liveUs", fmt::format(R"({{"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})", row.median_of("liveP50Us"),
                                  row.median_of("liveP99Us"), row.median_of("liveMaxUs")));
        report.rows.push_back(std::move(row));
      }
      report.compare(first);
      return {};
    });
    if (!began) return 2;
  }
  return report.print(common.json, {{"connections", "connections"},
                                    {"cpuNsPerConnection", "CPU ns each"},
                                    {"connectionsPerSecond", "connections/s"},
                                    {"liveP50Us", "p50 us"},
                                    {"liveP99Us", "p99 us"}});
}

}  // namespace twinwire::bench
