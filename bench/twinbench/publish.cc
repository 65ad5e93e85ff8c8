// `twinbench publish`: many publishers with commands pipelined on WebSockets at ours; the CPU for each
// message answered. In turns with it: floor_receive (the same requests received, the same bytes replied) and
// floor_store (a bare synced RocksDB loop of the same size of events, in batches as large as our writer had).
// Thread: the harness's main one.
#include <fmt/format.h>

#include <algorithm>
#include <map>

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
  return outcome_of(crew_.tell_all(speakers));
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

// The loops in turns with ours, in rows of their own.
class Floors {
 public:
  Result<void> open(const CommonOptions& common, const PublishOptions& options, const Target& target,
                    const Learned& learned);
  // A turn of each after one of ours, whose writer had so many events a sync; the CPU of both for a message.
  Result<double> turn(const CommonOptions& common, const std::string& folder, const Order& order,
                      double batch, bool counts);

  Row receive, store, sum;

 private:
  ReceiveFloor receiver_;
  Bytes bytes_;
};

Result<void> Floors::open(const CommonOptions& common, const PublishOptions& options, const Target& target,
                          const Learned& learned) {
  receive.target = "floor_receive";
  store.target = "floor_store";
  sum.target = "floors";
  receive.transport = store.transport = sum.transport = "ws";
  Result<Bytes> bytes = learn_publishing(target, learned, common.content_bytes);
  if (!bytes) return bytes.error();
  bytes_ = std::move(*bytes);
  return receiver_.open(common, options, bytes_, target.dialect());
}

Result<double> Floors::turn(const CommonOptions& common, const std::string& folder, const Order& order,
                            double batch, bool counts) {
  const Result<Figures> bare_receive = receiver_.turn(order);
  if (!bare_receive) return bare_receive.error();
  const Result<Figures> bare_store =
      store_turn(common, folder, bytes_, batch, static_cast<double>(order.nanos) / 1e9);
  if (!bare_store) return bare_store.error();
  const double both = bare_receive->front().second + bare_store->front().second;
  if (counts) {
    receive.add(*bare_receive);
    store.add(*bare_store);
    sum.add({{"cpuNsPerMessage", both}});
  }
  return both;
}

// One turn of a server of ours: what it cost, and how many events its writer had in a sync.
Result<Figures> pump(Arena& arena, Side& side, const Order& order, client::Histogram& answers) {
  if (const Result<void> told = side.crew.tell_all(Order::What::clear); !told) return told.error();
  const Sums before = side.crew.sums();
  const Result<double> syncs = side.target->stat("store.syncs");
  if (!syncs) return syncs.error();
  const Result<double> stored = side.target->stat("events.stored");
  if (!stored) return stored.error();
  const Result<Arena::Cost> cost = arena.cost_of(side, [&] { return side.crew.tell_all(order); });
  if (!cost) return cost.error();
  const Result<double> syncs_now = side.target->stat("store.syncs");
  if (!syncs_now) return syncs_now.error();
  const Result<double> stored_now = side.target->stat("events.stored");
  if (!stored_now) return stored_now.error();
  answers.add(side.crew.histogram(&Tally::answers));
  const Sums now = side.crew.sums();
  const uint64_t refused = now.refusals - before.refusals;
  // What refusals cost is paid by the messages that were taken.
  const auto taken = static_cast<double>(now.answered - before.answered - refused);
  return Figures{{"cpuNsPerMessage", cost->cpu_nanos / taken},
                 {"messagesPerSecond", static_cast<double>(cost->answer.value) / cost->seconds},
                 {"refused", static_cast<double>(refused)},
                 {"eventsPerSync", (*stored_now - *stored) / std::max(1.0, *syncs_now - *syncs)}};
}

}  // namespace

int publish(const CommonOptions& common, const PublishOptions& options) {
  Report report("publish");
  JsonObject(report.options)
      .field("repetitions", common.repetitions)
      .raw("seconds", fmt::format("{}", options.seconds))
      .field("shards", common.shards)
      .end();
  CommonOptions ours = common;
  ours.workers = std::max(1U, common.workers);
  for (const std::string& ack : options.acks) {
    Arena::Plan plan{.mode = "publish", .readers = options.publishers, .rooms = options.publishers};
    plan.lanes = options.publishers;
    plan.open_readers = false;
    plan.words.ack = ack;
    const bool began = with_arena(ours, plan, Mix::ws, report, [&](Arena& arena) -> Result<void> {
      Side* first = arena.ours();
      if (first == nullptr) return fail(Code::invalid_argument, "publish needs twinwire");
      Floors floors;
      if (options.floors) {
        if (Result<void> opened = floors.open(ours, options, *first->target, arena.learned()); !opened)
          return opened;
      }
      Order order;
      order.what = Order::What::pump;
      order.count = options.publishers;
      order.at_once = options.depth;
      order.nanos = static_cast<uint64_t>(options.seconds * 1e9);
      uint32_t turns = 0;  // of the first
      std::map<const Side*, client::Histogram> answers;
      const auto turn = [&](Side& side) -> Result<Figures> {
        if (!side.target->ours()) return fail(Code::invalid_argument, "publish is of ours alone");
        Result<Figures> figures = pump(arena, side, order, answers[&side]);
        if (!figures || !options.floors || &side != first) return figures;
        const Result<double> both =
            floors.turn(ours, arena.folder(), order, figures->back().second, turns++ >= common.warm_up);
        if (!both) return both.error();
        figures->emplace_back("overFloors", figures->front().second / *both);
        return figures;
      };
      std::vector<Row> rows = arena.measure("ack " + ack, turn);
      arena.settle(rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        const client::Histogram& times = answers[arena.sides()[i].get()];
        rows[i].extras.emplace_back(
            "answerUs", fmt::format(R"({{"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})", us(times.at(0.5)),
                                    us(times.at(0.99)), us(times.max())));
      }
      if (options.floors) rows.insert(rows.end(), {floors.receive, floors.store, floors.sum});
      const size_t first_row = report.rows.size();
      for (Row& row : rows) {
        row.facts = {{"ack", json_string(ack)},
                     {"publishers", std::to_string(options.publishers)},
                     {"depth", std::to_string(options.depth)}};
        report.rows.push_back(std::move(row));
      }
      report.compare(first_row);
      return {};
    });
    if (!began) return 2;
  }
  return report.print(common.json, {{"ack", "ack"},
                                    {"publishers", "publishers"},
                                    {"depth", "depth"},
                                    {"cpuNsPerMessage", "CPU ns/message"},
                                    {"messagesPerSecond", "messages/s"},
                                    {"eventsPerSync", "events/sync", 1, 1},
                                    {"refused", "refused"},
                                    {"overFloors", "/ floors", 1, 3}});
}

}  // namespace twinwire::bench
