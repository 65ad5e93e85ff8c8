#include "bench/twinbench/bare_side.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "bench/twinbench/child.h"

namespace twinwire::bench {
namespace {

// What goes over the pair: an order with its frame behind it, and a turn or a sentence back.
struct OrderHead {
  BareSide::Order order;
  uint32_t frame_bytes;
};
struct AnswerHead {
  Turn turn;
  bool ok;
  char sentence[200];
};

bool send_whole(int fd, const void* bytes, size_t size) {
  return send(fd, bytes, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}
bool receive_whole(int fd, void* bytes, size_t size) {
  return recv(fd, bytes, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

AnswerHead answer_of(const Result<Turn>& turn) {
  AnswerHead out{};
  out.ok = static_cast<bool>(turn);
  if (turn) {
    out.turn = *turn;
  } else {
    turn.error().sentence.copy(out.sentence, sizeof out.sentence - 1);
  }
  return out;
}

// The control connection of floor_send.
class Control : client::Socket::Owner {
 public:
  explicit Control(client::Loop& loop) : socket_(loop, *this) {}
  void open(client::Endpoint to) { socket_.open({.to = std::move(to)}); }
  bool live() const { return socket_.open(); }
  void say(const std::string& order) {
    ++waiting_;
    socket_.send(order);
  }
  bool done() const { return waiting_ == 0; }

 private:
  void on_open() override {}
  void on_data(std::string_view bytes) override {
    waiting_ -= static_cast<uint32_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  }
  void on_end(std::string_view) override {}
  client::Socket socket_;
  uint32_t waiting_ = 0;
};

// The forked process.
class Bare {
 public:
  explicit Bare(const BareSide::Options& options) : options_(options), control_(loop_) {}

  Result<void> open() {
    if (Result<void> started = floor_.start({options_.program}, options_.log, options_.floor_core);
        !started) {
      return started;
    }
    if (options_.reader_core >= 0) pin_this_thread(options_.reader_core);
    const Result<std::string> ready = floor_.line(5'000);
    if (!ready || !ready->starts_with("floor ready "))
      return fail(Code::internal, "floor_send did not start");
    const client::Endpoint to{"127.0.0.1", static_cast<uint16_t>(std::atoi(ready->c_str() + 12))};
    control_.open(to);
    if (Result<void> live = run_until(loop_, "floor_send", [this] { return control_.live(); }); !live)
      return live;
    control_.say(fmt::format("accept {}\n", options_.readers));
    group_ = std::make_unique<SinkGroup>(loop_, SinkGroup::Options{.to = to, .first_source = 2000});
    if (Result<void> opened = open_readers(loop_, *group_, options_.readers); !opened) return opened;
    return run_until(loop_, "accepting", [this] { return control_.done(); });
  }

  Result<Turn> turn(const BareSide::Order& order, const std::string& frame) {
    control_.say(fmt::format("payload {}\n{}", frame.size(), frame));
    TurnPlan plan;
    plan.server = floor_.pid();
    plan.window = order.window;
    plan.frame_bytes = static_cast<uint32_t>(frame.size());
    plan.slice = order.slice_ms * client::kMillisecond;
    plan.publish = [&] {
      control_.say(fmt::format("send {} {}\n", order.window / order.joined, order.joined));
    };
    plan.check = [&](std::string_view burst) { return burst.substr(0, frame.size()) == frame; };
    return take_turn(loop_, *group_, plan);
  }

 private:
  const BareSide::Options& options_;
  client::Loop loop_;
  Child floor_;
  Control control_;
  std::unique_ptr<SinkGroup> group_;
};

[[noreturn]] void serve(int channel, const BareSide::Options& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Bare bare(options);
  const Result<void> opened = bare.open();
  const AnswerHead first = answer_of(opened ? Result<Turn>(Turn{}) : Result<Turn>(opened.error()));
  if (!send_whole(channel, &first, sizeof first) || !opened) _exit(1);
  OrderHead head{};
  while (receive_whole(channel, &head, sizeof head)) {
    std::string frame(head.frame_bytes, '\0');
    if (!receive_whole(channel, frame.data(), frame.size())) break;
    const AnswerHead answer = answer_of(bare.turn(head.order, frame));
    if (!send_whole(channel, &answer, sizeof answer)) break;
  }
  _exit(0);
}

Result<Turn> turn_of(int channel) {
  AnswerHead answer{};
  if (!receive_whole(channel, &answer, sizeof answer)) return fail(Code::internal, "the bare side ended");
  if (!answer.ok) return fail(Code::internal, fmt::format("bare side: {}", answer.sentence));
  return answer.turn;
}

}  // namespace

BareSide::~BareSide() {
  // Not close() alone: processes forked later hold copies of this end.
  if (channel_ >= 0) shutdown(channel_, SHUT_RDWR);
  if (channel_ >= 0) close(channel_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

Result<void> BareSide::start(const Options& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Code::internal, "socketpair");
  pid_ = fork();
  if (pid_ == 0) {
    close(ends[0]);
    serve(ends[1], options);
  }
  close(ends[1]);
  channel_ = ends[0];
  const Result<Turn> ready = turn_of(channel_);
  if (!ready) return ready.error();
  return {};
}

Result<Turn> BareSide::turn(const Order& order, const std::string& frame) {
  const OrderHead head{order, static_cast<uint32_t>(frame.size())};
  if (!send_whole(channel_, &head, sizeof head) || !send_whole(channel_, frame.data(), frame.size())) {
    return fail(Code::internal, "the bare side ended");
  }
  return turn_of(channel_);
}

}  // namespace twinwire::bench
