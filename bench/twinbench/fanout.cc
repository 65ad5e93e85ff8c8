#include "bench/twinbench/fanout.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "bench/client/client.h"
#include "bench/client/table.h"
#include "bench/client/text.h"
#include "bench/twinbench/bare_side.h"
#include "bench/twinbench/child.h"
#include "bench/twinbench/progress.h"
#include "bench/twinbench/sink.h"
#include "bench/twinbench/turn.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

using client::kMillisecond;
using client::Loop;

constexpr int kServerCore = 0;
constexpr int kReaderCore = 1;
constexpr double kBottleneck = 0.97;  // a harness this busy may be what is measured

struct Row {
  SinkForm form = SinkForm::sse;
  uint32_t readers = 0;
  uint32_t window = 1;
  uint32_t frame_bytes = 0;
  std::vector<double> server;  // CPU nanoseconds per delivery, one value a repetition
  std::vector<double> bare;    // the bare loop, one send() a frame
  std::vector<double>
      bare_joined;            // the bare loop, one send() a burst; the same as `bare` where the window is 1
  std::vector<double> ratio;  // server over bare_joined of the same repetition
  std::vector<double> ratio_single;  // server over bare
  std::vector<double> control;       // bare_joined over itself, measured twice
  std::vector<double> rate;          // deliveries a second
  double reader_busy = 0;
};

// One server, one set of readers, all windows.
class FanoutRun : client::Client::Watcher {
 public:
  FanoutRun(const FanoutOptions& options, const std::string& folder, SinkForm form, uint32_t readers);
  Result<void> run(std::vector<Row>& rows);

 private:
  Result<void> open();
  Result<void> learn_frame();
  Result<void> measure(Row& row, BareSide& bare);
  Result<Turn> server_turn(uint32_t window);
  void publish(uint32_t count);
  bool check(std::string_view burst);

  void on_event(client::Client&, const client::Event&) override {}
  void on_reset(client::Client&, std::string_view, std::string_view, const client::Event&) override {}

  const FanoutOptions& options_;
  SinkForm form_;
  uint32_t readers_;
  Loop loop_;
  Server server_;
  Progress progress_;
  SinkGroup group_;
  client::Client publisher_;
  std::string frame_;
  uint64_t published_ = 0;
  uint64_t checked_ = 0;
  uint32_t unanswered_ = 0;
  std::string refusal_;
};

constexpr const char* kRoom = "fanout";

std::vector<std::string> settings_of(const FanoutOptions& options) {
  std::vector<std::string> out{fmt::format("--server.shards={}", options.shards), "--presence.enabled=false",
                               "--limits.commands_per_second=1000000", "--limits.commands_burst=1000000"};
  out.insert(out.end(), options.settings.begin(), options.settings.end());
  return out;
}

Server::Options server_options(const FanoutOptions& options, const std::string& folder,
                               const std::string& name) {
  return {.program = options.program,
          .data = folder + "/data-" + name,
          .log = folder + "/server.log",
          .settings = settings_of(options),
          .core = options.pin ? kServerCore : -1};
}

std::string_view word_of(SinkForm form) { return form == SinkForm::sse ? "SSE" : "WS"; }

FanoutRun::FanoutRun(const FanoutOptions& options, const std::string& folder, SinkForm form, uint32_t readers)
    : options_(options),
      form_(form),
      readers_(readers),
      server_(server_options(options, folder, fmt::format("{}-{}", word_of(form), readers))),
      progress_(options.quiet),
      group_(loop_, {.to = server_.endpoint(), .form = form, .room = kRoom}),
      publisher_(loop_, static_cast<client::Client::Watcher&>(*this),
                 {.to = server_.endpoint(), .user = "publisher", .transport = client::Transport::ws}) {}

Result<void> FanoutRun::open() {
  if (Result<void> started = server_.start(); !started) return started;
  if (options_.pin) pin_this_thread(kReaderCore);
  publisher_.start();
  if (Result<void> live = run_until(loop_, "the publisher", [this] { return publisher_.live(); }); !live)
    return live;
  if (Result<void> opened = open_readers(loop_, group_, readers_); !opened) return opened;
  return learn_frame();
}

void FanoutRun::publish(uint32_t count) {
  publisher_.cork();  // a burst leaves in one write
  for (; count > 0; --count) {
    // Fixed width, so that every frame has the same size and can be told from the others.
    std::string content = fmt::format("#{:010}#", published_++);
    content.resize(std::max<size_t>(content.size(), options_.message_bytes), 'x');
    std::string data;
    JsonObject object(data);
    object.field("room", kRoom);
    if (options_.kept) {
      object.field("content", content).field("ack", "accepted");
    } else {
      object.field("type", "bench.tick")
          .field("ephemeral", true)
          .raw("data", "{\"content\":\"" + content + "\"}");
    }
    object.end();
    ++unanswered_;
    publisher_.command(options_.kept ? "messages.send" : "events.publish", std::move(data),
                       [this](const client::Reply& reply) {
                         --unanswered_;
                         if (!reply.success && refusal_.empty())
                           refusal_ = fmt::format("{} {}", reply.code, reply.sentence);
                       });
  }
  publisher_.uncork();
}

// The numbers of a burst go on from the last one's, each once.
bool FanoutRun::check(std::string_view burst) {
  size_t at = 0;
  while ((at = burst.find('#', at)) != std::string_view::npos && at + 12 <= burst.size()) {
    if (burst.substr(at, 12) != fmt::format("#{:010}#", checked_)) return false;
    ++checked_;
    at += 12;
  }
  return checked_ == published_;
}

Result<void> FanoutRun::learn_frame() {
  group_.begin_burst();
  publish(1);
  const auto arrived = [this] {
    return !refusal_.empty() || (unanswered_ == 0 && !group_.bytes().empty() &&
                                 group_.received() == group_.bytes().size() * group_.size());
  };
  if (Result<void> done = run_until(loop_, "the first message", arrived); !done) return done;
  if (!refusal_.empty()) return fail(Code::internal, "the server refused the first message: " + refusal_);
  frame_ = group_.bytes();
  if (!check(frame_)) return fail(Code::internal, "the first message is not what was published");
  return {};
}

Result<Turn> FanoutRun::server_turn(uint32_t window) {
  TurnPlan plan;
  plan.server = server_.pid();
  plan.window = window;
  plan.frame_bytes = static_cast<uint32_t>(frame_.size());
  plan.slice = options_.slice_ms * kMillisecond;
  plan.publish = [this, window] { publish(window); };
  plan.check = [this](std::string_view burst) { return check(burst); };
  const Result<Turn> turn = take_turn(loop_, group_, plan);
  if (Result<void> answered = run_until(loop_, "all answers", [this] { return unanswered_ == 0; });
      !answered) {
    return answered.error();
  }
  if (!refusal_.empty()) return fail(Code::internal, "the server refused a message: " + refusal_);
  return turn;
}

Result<void> FanoutRun::measure(Row& row, BareSide& bare) {
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    const Result<Turn> server = server_turn(row.window);
    if (!server) return server.error();
    const Result<Turn> joined = bare.turn({row.window, row.window, options_.slice_ms}, frame_);
    if (!joined) return joined.error();
    const Result<Turn> single =
        row.window == 1 ? joined : bare.turn({row.window, 1, options_.slice_ms}, frame_);
    if (!single) return single.error();
    const Result<Turn> again = bare.turn({row.window, row.window, options_.slice_ms}, frame_);
    if (!again) return again.error();
    if (progress_.due(client::monotonic_now())) {
      progress_.show(client::monotonic_now(),
                     fmt::format("fanout  {} 1 -> {}  W={}  {}/{}  server {:.0f} ns, bare {:.0f} ns",
                                 word_of(row.form), row.readers, row.window, i, options_.repetitions,
                                 server->nanos_per_delivery, joined->nanos_per_delivery));
    }
    if (i == 0) continue;  // warm-up
    row.server.push_back(server->nanos_per_delivery);
    row.bare.push_back(single->nanos_per_delivery);
    row.bare_joined.push_back(joined->nanos_per_delivery);
    row.ratio.push_back(server->nanos_per_delivery / joined->nanos_per_delivery);
    row.ratio_single.push_back(server->nanos_per_delivery / single->nanos_per_delivery);
    row.control.push_back(again->nanos_per_delivery / joined->nanos_per_delivery);
    row.rate.push_back(static_cast<double>(server->deliveries) / server->seconds);
    row.reader_busy = std::max(row.reader_busy, server->reader_busy);
  }
  return {};
}

Result<void> FanoutRun::run(std::vector<Row>& rows) {
  BareSide bare;
  const Result<void> started = bare.start({.program = options_.floor,
                                           .log = "/dev/null",
                                           .readers = readers_,
                                           .floor_core = options_.pin ? kServerCore : -1,
                                           .reader_core = options_.pin ? kReaderCore : -1});
  if (!started) return started;
  if (Result<void> opened = open(); !opened) return opened;
  for (const uint32_t window : options_.windows) {
    Row row;
    row.form = form_;
    row.readers = readers_;
    row.window = window;
    row.frame_bytes = static_cast<uint32_t>(frame_.size());
    if (Result<void> measured = measure(row, bare); !measured) return measured;
    rows.push_back(std::move(row));
  }
  progress_.clear();
  return server_.stop();
}

void print_table(const std::vector<Row>& rows) {
  const client::Paint paint = client::Paint::for_stdout();
  constexpr auto right = client::Table::Align::right;
  client::Table table({{"via"},
                       {"readers", right},
                       {"W", right},
                       {"frame", right},
                       {"server ns", right},
                       {"bare, burst joined ns", right},
                       {"bare, frame by frame ns", right},
                       {"/ joined", right},
                       {"/ single", right},
                       {"A/A", right},
                       {"deliveries/s", right},
                       {"harness busy", right}});
  for (const Row& row : rows) {
    table.add({std::string(word_of(row.form)), client::with_thousands(row.readers),
               std::to_string(row.window), std::to_string(row.frame_bytes),
               fmt::format("{:.0f}", median(row.server)), fmt::format("{:.0f}", median(row.bare_joined)),
               fmt::format("{:.0f}", median(row.bare)), fmt::format("{:.3f}", median(row.ratio)),
               fmt::format("{:.3f}", median(row.ratio_single)), fmt::format("{:.3f}", median(row.control)),
               client::with_thousands(static_cast<uint64_t>(median(row.rate))),
               fmt::format("{:.0f} %{}", row.reader_busy * 100,
                           row.reader_busy > kBottleneck ? " (bottleneck)" : "")});
  }
  fmt::print("{}", table.text(paint));
}

void print_json(const std::vector<Row>& rows) {
  std::string list = "[";
  for (const Row& row : rows) {
    if (list.size() > 1) list += ',';
    JsonObject(list)
        .field("transport", word_of(row.form))
        .field("readers", row.readers)
        .field("window", row.window)
        .field("frameBytes", row.frame_bytes)
        .raw("serverNs", fmt::format("{:.1f}", median(row.server)))
        .raw("bareJoinedNs", fmt::format("{:.1f}", median(row.bare_joined)))
        .raw("bareNs", fmt::format("{:.1f}", median(row.bare)))
        .raw("ratioJoined", fmt::format("{:.4f}", median(row.ratio)))
        .raw("ratioSingle", fmt::format("{:.4f}", median(row.ratio_single)))
        .raw("control", fmt::format("{:.4f}", median(row.control)))
        .raw("deliveriesPerSecond", fmt::format("{:.0f}", median(row.rate)))
        .raw("harnessBusy", fmt::format("{:.3f}", row.reader_busy))
        .end();
  }
  fmt::print("{{\"fanout\":{}]}}\n", list);
}

}  // namespace

int fanout(const FanoutOptions& options) {
  std::string folder = options.scratch + "/twinbench-fanout.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "twinbench: cannot make a folder in {}\n", options.scratch);
    return 2;
  }
  std::vector<Row> rows;
  int status = 0;
  for (const SinkForm form : {SinkForm::sse, SinkForm::ws}) {
    if (options.transport != "both" && (options.transport == "ws") != (form == SinkForm::ws)) continue;
    for (const uint32_t readers : options.readers) {
      FanoutRun run(options, folder, form, readers);
      if (const Result<void> done = run.run(rows); !done) {
        fmt::print(stderr, "twinbench: fanout {} 1 -> {}: {}\n", word_of(form), readers,
                   done.error().sentence);
        status = rows.empty() ? 2 : 1;
      }
    }
  }
  if (options.json) {
    print_json(rows);
  } else {
    print_table(rows);
  }
  if (status == 0) std::filesystem::remove_all(folder);
  return status;
}

}  // namespace twinwire::bench
