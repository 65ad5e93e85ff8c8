// `twinbench publish`: many publishers with commands pipelined on WebSockets at ours; the CPU for each
// message answered. In turns with it: floor_receive (the same requests received, the same bytes replied) and
// floor_store (a bare synced RocksDB loop of the same size of events, in batches as large as our writer had).
// Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>

#include "bench/client/event.h"
#include "bench/client/websocket.h"
#include "bench/twinbench/arena.h"
#include "bench/twinbench/modes.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kFloorStoreMs = 30'000;

double us(uint64_t nanos) { return static_cast<double>(nanos) / 1000; }

struct Bytes {
  std::string greeting;
  std::string reply;
  size_t data = 0;  // of the stored event's data
};

// What ours greets a publisher with and answers a message with.
Result<Bytes> learn_publishing(const Target& target, const Learned& learned, size_t content_bytes) {
  const Dialect::Publishing& way = target.dialect().publish;
  BlockingStream stream(target.endpoint());
  const std::string user = user_name('l', 2);
  Dialect::Reading reading;
  reading.target = way.target;
  const client::Request request = reader_request(reading, Form::ws, {.user = user});
  if (!stream.open() || !stream.send(client::encode(request, target.endpoint())))
    return fail(Code::internal, "the server does not accept");
  Bytes out;
  out.greeting = stream.until_quiet(way.live, 5'000, 100);
  const std::string content = marked_content({0, 0}, content_bytes);
  std::string frame;
  client::append_frame(frame, client::WsOpcode::text,
                       filled(way.message, {.room = "bench-50", .user = user, .content = content}), 7);
  if (!stream.send(frame)) return fail(Code::internal, "the server does not accept");
  out.reply = stream.until_quiet(way.answer, 5'000, 100);
  if (out.greeting.empty() || out.reply.empty())
    return fail(Code::internal, "the server's answer cannot be learned");
  const std::string event = learned.frame_head + content + learned.frame_tail;
  const size_t data = event.find("\"data\":");
  out.data = data == std::string::npos ? 300 : event.size() - data - 8;
  return out;
}

// floor_receive with as many publishers, told what to answer with.
class ReceiveFloor {
 public:
  Result<void> open(const CommonOptions& common, const PublishOptions& options, const Bytes& bytes,
                    const Dialect& dialect);
  Result<Figures> turn(const Order& order);

 private:
  Child child_;
  Crew crew_;
};

Result<void> say_bytes(BlockingStream& stream, std::string_view what, const std::string& bytes) {
  if (stream.send(fmt::format("{} {}\n{}", what, bytes.size(), bytes)) &&
      !stream.until("ok\n", 5'000).empty())
    return {};
  return fail(Code::internal, "floor_receive did not take its bytes");
}

Result<void> ReceiveFloor::open(const CommonOptions& common, const PublishOptions& options,
                                const Bytes& bytes, const Dialect& dialect) {
  const Child::How how{.log = "/dev/null", .core = common.pin ? 0 : -1};
  if (Result<void> started = child_.start({common.floors + "/floor_receive"}, how); !started) return started;
  const Result<std::string> ready = child_.line(5'000);
  if (!ready || !ready->starts_with("floor ready "))
    return fail(Code::internal, "floor_receive did not start");
  const client::Endpoint to{"127.0.0.1", static_cast<uint16_t>(std::atoi(ready->c_str() + 12))};
  BlockingStream control(to);
  if (!control.open() || !control.send("BARE\n"))
    return fail(Code::internal, "floor_receive does not accept");
  if (Result<void> told = say_bytes(control, "ws", bytes.greeting); !told) return told;
  if (Result<void> told = say_bytes(control, "reply", bytes.reply); !told) return told;
  Crew::Options crew;
  crew.to = to;
  crew.dialect = dialect;
  crew.readers = options.publishers;
  crew.rooms = options.publishers;
  crew.workers = std::max(1U, common.workers);
  crew.first_source = 500'000;
  crew.content_bytes = common.content_bytes;
  if (common.pin && cores_here() > 1) crew.cores = {1};
  if (Result<void> started = crew_.start(std::move(crew)); !started) return started;
  Order speakers;
  speakers.what = Order::What::speakers;
  speakers.count = options.publishers;
  const Result<Answer> told = crew_.tell_all(speakers);
  return told ? Result<void>() : Result<void>(told.error());
}

Result<Figures> ReceiveFloor::turn(const Order& order) {
  const uint64_t cpu = cpu_nanos_of(child_.pid()).value_or(0);
  const uint64_t before = crew_.sums().answered;
  const Result<Answer> told = crew_.tell_all(order);
  if (!told) return told.error();
  const auto answered = static_cast<double>(crew_.sums().answered - before);
  return Figures{
      {"cpuNsPerMessage", static_cast<double>(cpu_nanos_of(child_.pid()).value_or(0) - cpu) / answered},
      {"messagesPerSecond", static_cast<double>(told->value) / told->seconds}};
}

Result<Figures> store_turn(const CommonOptions& common, const std::string& folder, const Bytes& bytes,
                           double batch, double seconds) {
  Child child;
  const Child::How how{.log = "/dev/null",
                       .core = common.pin && common.store_core < 0 ? 0 : common.store_core};
  const std::vector<std::string> words{common.floors + "/floor_store",
                                       "--folder",
                                       folder,
                                       "--batch",
                                       fmt::format("{:.0f}", std::max(1.0, batch)),
                                       "--data-bytes",
                                       std::to_string(bytes.data),
                                       "--milliseconds",
                                       fmt::format("{:.0f}", seconds * 1000)};
  if (Result<void> started = child.start(words, how); !started) return started.error();
  const Result<std::string> line = child.line(kFloorStoreMs);
  client::JsonReader reader;
  const std::optional<client::Json> json = line ? reader.read(*line) : std::nullopt;
  if (!json) return fail(Code::internal, "floor_store did not finish");
  const auto events = static_cast<double>(client::number_at(*json, "events"));
  const auto cpu = static_cast<double>(client::number_at(*json, "cpuNanos"));
  double took = 1;
  if ((*json)["seconds"].get_double().get(took) != simdjson::SUCCESS) took = seconds;
  child.end(SIGTERM, 5'000);
  return Figures{{"cpuNsPerMessage", cpu / std::max(1.0, events)}, {"messagesPerSecond", events / took}};
}

}  // namespace

int publish(const CommonOptions& common, const PublishOptions& options) {
  Report report("publish");
  JsonObject(report.options)
      .field("repetitions", common.repetitions)
      .raw("seconds", fmt::format("{}", options.seconds))
      .field("shards", common.shards)
      .end();
  for (const std::string& ack : options.acks) {
    Arena::Plan plan{.mode = "publish", .readers = options.publishers, .rooms = options.publishers};
    plan.lanes = options.publishers;
    plan.open_readers = false;
    plan.words.ack = ack;
    CommonOptions ours = common;
    ours.workers = std::max(1U, common.workers);
    Arena arena(ours, plan, Mix::ws);
    Result<void> opened = arena.open();
    if (!opened) {
      fmt::print(stderr, "twinbench: {}\n", opened.error().sentence);
      return 2;
    }
    Side& side = *arena.ours();
    const Result<Bytes> bytes = learn_publishing(*side.target, arena.learned(), common.content_bytes);
    ReceiveFloor floor;
    if (opened =
            bytes ? floor.open(ours, options, *bytes, side.target->dialect()) : Result<void>(bytes.error());
        !opened) {
      fmt::print(stderr, "twinbench: {}\n", opened.error().sentence);
      return 2;
    }
    Order order;
    order.what = Order::What::pump;
    order.count = options.publishers;
    order.at_once = options.depth;
    order.nanos = static_cast<uint64_t>(options.seconds * 1e9);
    const auto facts = [&](Row& row) {
      row.facts = {{"ack", json_string(ack)},
                   {"publishers", std::to_string(options.publishers)},
                   {"depth", std::to_string(options.depth)}};
    };
    Row receive;
    Row store;
    Row sum;
    receive.target = "floor_receive";
    store.target = "floor_store";
    sum.target = "floors";
    receive.transport = store.transport = sum.transport = "ws";
    uint32_t turns = 0;
    client::Histogram answers;
    double batch = 1;
    std::vector<Row> rows;
    const auto turn = [&](Side& our_side) -> Result<Figures> {
      Order clear;
      clear.what = Order::What::clear;
      if (const Result<Answer> told = our_side.crew.tell_all(clear); !told) return told.error();
      const uint64_t before = our_side.crew.sums().answered;
      const uint64_t syncs = our_side.target->stat("store.syncs");
      const uint64_t stored = our_side.target->stat("events.stored");
      const Result<Arena::Cost> cost = arena.cost_of(our_side, [&] { return our_side.crew.tell_all(order); });
      if (!cost) return cost.error();
      const auto answered = static_cast<double>(our_side.crew.sums().answered - before);
      batch = static_cast<double>(our_side.target->stat("events.stored") - stored) /
              static_cast<double>(std::max<uint64_t>(1, our_side.target->stat("store.syncs") - syncs));
      answers.add(our_side.crew.histogram(&Tally::answers));
      const Result<Figures> bare_receive = floor.turn(order);
      if (!bare_receive) return bare_receive.error();
      const Result<Figures> bare_store = store_turn(ours, arena.folder(), *bytes, batch, options.seconds);
      if (!bare_store) return bare_store.error();
      const double floors = bare_receive->front().second + bare_store->front().second;
      if (turns++ >= common.warm_up) {
        receive.add(*bare_receive);
        store.add(*bare_store);
        sum.add({{"cpuNsPerMessage", floors}});
      }
      return Figures{{"cpuNsPerMessage", cost->cpu_nanos / answered},
                     {"messagesPerSecond", static_cast<double>(cost->answer.value) / cost->seconds},
                     {"eventsPerSync", batch},
                     {"overFloors", cost->cpu_nanos / answered / floors}};
    };
    rows = arena.measure("ack " + ack, turn);
    arena.settle(rows);
    const size_t first = report.rows.size();
    rows.front().extras.emplace_back(
        "answerUs", fmt::format(R"({{"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})", us(answers.at(0.5)),
                                us(answers.at(0.99)), us(answers.max())));
    for (Row* row : {&rows.front(), &receive, &store, &sum}) {
      facts(*row);
      report.rows.push_back(*row);
    }
    report.compare(first);
    arena.stop();
    report.notes.insert(report.notes.end(), arena.notes().begin(), arena.notes().end());
  }
  return report.print(common.json, {{"ack", "ack"},
                                    {"publishers", "publishers"},
                                    {"depth", "depth"},
                                    {"cpuNsPerMessage", "CPU ns/message"},
                                    {"messagesPerSecond", "messages/s"},
                                    {"eventsPerSync", "events/sync", 1, 1},
                                    {"overFloors", "/ floors", 1, 3}});
}

}  // namespace twinwire::bench
