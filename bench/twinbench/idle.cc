#include "bench/twinbench/idle.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
#include "bench/twinbench/process.h"
#include "bench/twinbench/sink.h"
#include "bench/twinbench/turn.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr const char* kRoom = "idle";
constexpr uint32_t kPerWorker = 15'000;
constexpr unsigned kSettleSeconds = 2;

// A forked process that holds a share of the connections.
class Worker {
 public:
  struct Share {
    client::Endpoint to;
    uint32_t index;
    uint32_t connections;
  };
  Worker() = default;
  ~Worker() {
    // Not close() alone: processes forked later hold copies of this end.
    if (channel_ >= 0) shutdown(channel_, SHUT_RDWR);
    if (channel_ >= 0) close(channel_);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start(const Share& share) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[0]);
      serve(ends[1], share);
    }
    close(ends[1]);
    channel_ = ends[0];
  }
  // An order, answered by a number: how many of the share did it.
  enum class Order : uint8_t { open, expect, received };
  void say(Order order) { static_cast<void>(!send(channel_, &order, 1, MSG_NOSIGNAL)); }
  uint32_t answer() {
    uint32_t out = 0;
    return recv(channel_, &out, sizeof out, MSG_WAITALL) == sizeof out ? out : 0;
  }

 private:
  [[noreturn]] static void serve(int channel, const Share& share);
  pid_t pid_ = -1;
  int channel_ = -1;
};

[[noreturn]] void Worker::serve(int channel, const Share& share) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  client::Loop loop;
  std::vector<std::unique_ptr<SinkGroup>> groups;
  for (const SinkForm form : {SinkForm::sse, SinkForm::ws}) {
    groups.push_back(std::make_unique<SinkGroup>(
        loop, SinkGroup::Options{
                  .to = share.to,
                  .form = form,
                  .room = kRoom,
                  .user_prefix = fmt::format("u{}{}-", share.index, form == SinkForm::ws ? "w" : "s"),
                  .first_source = share.index * 1000}));
  }
  Order order{};
  while (recv(channel, &order, 1, 0) == 1) {
    uint32_t count = 0;
    for (const auto& group : groups) {
      const auto complete = [&] {
        return !group->bytes().empty() && group->received() == group->bytes().size() * group->size();
      };
      if (order == Order::open) {
        const uint32_t half = share.connections / 2;
        const Result<void> opened =
            open_readers(loop, *group, group == groups[0] ? half : share.connections - half);
        if (!opened) fmt::print(stderr, "twinbench: {}\n", opened.error().sentence);
        count += group->live();
      } else if (order == Order::expect) {
        group->begin_burst();
        count += group->live();
      } else if (run_until(loop, "the broadcast", complete) && group->differing() == 0) {
        count += group->size();
      }
    }
    if (send(channel, &count, sizeof count, MSG_NOSIGNAL) != sizeof count) break;
  }
  _exit(0);
}

class Idle : client::Client::Watcher {
 public:
  explicit Idle(const IdleOptions& options) : options_(options) {}
  int run(const std::string& folder);

 private:
  Result<void> hold(const std::string& folder);
  Result<void> broadcast();
  Result<void> hold_bare();
  uint32_t ask_all(Worker::Order order);
  void print() const;

  void on_event(client::Client&, const client::Event&) override {}
  void on_reset(client::Client&, std::string_view, std::string_view, const client::Event&) override {}

  const IdleOptions& options_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<Worker>> workers_;
  ProcessUse before_;
  ProcessUse after_;
  SlabUse pair_;       // growth over all connections, both ends
  SlabUse bare_pair_;  // the same for bare pairs
  uint32_t reached_ = 0;
};

uint32_t Idle::ask_all(Worker::Order order) {
  for (const auto& worker : workers_) worker->say(order);
  uint32_t out = 0;
  for (const auto& worker : workers_) out += worker->answer();
  return out;
}

Result<void> Idle::hold(const std::string& folder) {
  std::vector<std::string> settings{fmt::format("--server.shards={}", options_.shards),
                                    "--presence.enabled=false"};
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  server_ = std::make_unique<Server>(Server::Options{.program = options_.program,
                                                     .data = folder + "/data",
                                                     .log = folder + "/server.log",
                                                     .settings = settings});
  if (Result<void> started = server_->start(); !started) return started;
  for (uint32_t left = options_.connections, index = 0; left > 0; ++index) {
    const uint32_t share = std::min(left, kPerWorker);
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->start({server_->endpoint(), index, share});
    left -= share;
  }
  sleep(kSettleSeconds);
  before_ = use_of(server_->pid()).value_or(ProcessUse{});
  const SlabUse slab = slab_use();
  const uint32_t live = ask_all(Worker::Order::open);
  if (live != options_.connections) {
    return fail(Code::internal, fmt::format("{} of {} connections are live", live, options_.connections));
  }
  sleep(kSettleSeconds);
  after_ = use_of(server_->pid()).value_or(ProcessUse{});
  pair_ = growth(slab, slab_use());
  return {};
}

Result<void> Idle::broadcast() {
  client::Loop loop;
  client::Client publisher(
      loop, static_cast<client::Client::Watcher&>(*this),
      {.to = server_->endpoint(), .user = "publisher", .transport = client::Transport::ws});
  publisher.start();
  if (Result<void> live = run_until(loop, "the publisher", [&] { return publisher.live(); }); !live)
    return live;
  ask_all(Worker::Order::expect);
  bool answered = false;
  publisher.command("messages.send", fmt::format(R"({{"room":"{}","content":"to all"}})", kRoom),
                    [&](const client::Reply& reply) { answered = reply.success; });
  if (Result<void> done = run_until(loop, "the answer", [&] { return answered; }); !done) return done;
  reached_ = ask_all(Worker::Order::received);
  if (reached_ == options_.connections) return {};
  return fail(Code::internal, fmt::format("the broadcast reached {} of {}", reached_, options_.connections));
}

Result<void> Idle::hold_bare() {
  if (options_.floor.empty()) return {};
  const SlabUse slab = slab_use();
  BareSide bare;
  if (Result<void> held =
          bare.start({.program = options_.floor, .log = "/dev/null", .readers = options_.bare_pairs});
      !held) {
    return held;
  }
  sleep(kSettleSeconds);
  bare_pair_ = growth(slab, slab_use());
  return {};
}

std::string per(uint64_t bytes, uint32_t connections) {
  return fmt::format("{:.0f}", static_cast<double>(bytes) / connections);
}

void Idle::print() const {
  const uint32_t n = options_.connections;
  const uint64_t user = after_.private_bytes - std::min(after_.private_bytes, before_.private_bytes);
  if (options_.json) {
    std::string out;
    JsonObject object(out);
    object.field("connections", n)
        .field("reached", reached_)
        .field("basePrivateBytes", before_.private_bytes)
        .raw("userBytesPerConnection", per(user, n))
        .raw("slabBytesPerPair", per(pair_.total(), n));
    if (!options_.floor.empty())
      object.raw("slabBytesPerBarePair", per(bare_pair_.total(), options_.bare_pairs));
    object.end();
    fmt::print("{}\n", out);
    return;
  }
  const client::Paint paint = client::Paint::for_stdout();
  client::Facts facts(
      fmt::format("{} idle connections, half SSE, half WebSocket", client::with_thousands(n)));
  facts.add("server without connections, private", client::bytes_text(before_.private_bytes));
  facts.add("user space per connection, bytes", per(user, n));
  facts.add("one broadcast reached", client::with_thousands(reached_));
  fmt::print("{}\n", facts.text(paint));
  constexpr auto right = client::Table::Align::right;
  client::Table table(
      {{"slab, bytes per pair (both ends)"}, {"server", right}, {"bare pair", right}, {"more", right}});
  const auto row = [&](const std::string& name, uint64_t ours, uint64_t bare) {
    const double mine = static_cast<double>(ours) / n;
    const double theirs = static_cast<double>(bare) / options_.bare_pairs;
    if (mine < 1 && theirs < 1) return;
    table.add({name, fmt::format("{:.0f}", mine), fmt::format("{:.0f}", theirs),
               fmt::format("{:.0f}", mine - theirs)});
  };
  for (const auto& [name, bytes] : pair_.caches) {
    const auto bare = bare_pair_.caches.find(name);
    row(name, bytes, bare == bare_pair_.caches.end() ? 0 : bare->second);
  }
  row("all", pair_.total(), bare_pair_.total());
  fmt::print("{}", table.text(paint));
}

int Idle::run(const std::string& folder) {
  Result<void> done = hold(folder);
  if (done) done = broadcast();
  workers_.clear();
  if (done) done = server_->stop();
  if (done) {
    sleep(kSettleSeconds);
    done = hold_bare();
  }
  if (!done) fmt::print(stderr, "twinbench: {}\n", done.error().sentence);
  if (after_.private_bytes != 0) print();
  return done ? 0 : after_.private_bytes != 0 ? 1 : 2;
}

}  // namespace

int idle(const IdleOptions& options) {
  std::string folder = options.scratch + "/twinbench-idle.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "twinbench: cannot make a folder in {}\n", options.scratch);
    return 2;
  }
  Idle run(options);
  const int status = run.run(folder);
  if (status == 0) std::filesystem::remove_all(folder);
  return status;
}

}  // namespace twinwire::bench
