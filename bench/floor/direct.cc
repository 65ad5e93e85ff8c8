// floor_direct: the least that a server of streams can do for more connections than it may have descriptors:
// io_uring with direct descriptors, one table for each ring, a further ring when one is full. A reader asks
// as it would ask ours, is greeted with bytes told beforehand, is polled from then on, and is sent whatever
// is published: one send on its fixed file, without a completion where all of it was taken. One room, nothing
// kept or parsed. What it costs is the floor of fan-out from a thousand connections to a million, of as many
// threads as ours has shards (--threads S).
//   A connection that begins with "BARE\n" says `sse SIZE\n BYTES` or `ws SIZE\n BYTES`: the greetings;
//   "ok\n" after. One that begins with "PUB\n" publishes records: room and size, 4 bytes each, then the
//   frame's bytes. The room is 0; with kOnlySse or kOnlyWs in it the frame is for readers of that kind.
// Prints "floor ready PORT"; ends by a signal. A thread owns its listener, its rings and their connections;
// what is published is copied to each thread.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench/floor/direct_ring.h"
#include "bench/twinbench/mark.h"
#include "bench/twinbench/process.h"

namespace {

using twinwire::bench::die;
using twinwire::bench::DirectRing;
using twinwire::bench::kOnlySse;
using twinwire::bench::kOnlyWs;

constexpr unsigned kTableMax = 32768;
constexpr unsigned kAccepts = 64;  // under way at once; one-shot, so that none comes when a table is full
constexpr int kEventsAtOnce = 64;

enum class Kind : uint64_t { accept, poll, receive, frame, rest, other };
enum class Role : uint8_t { none, unknown, sse, ws, control, publisher };

uint64_t tag(Kind kind, unsigned index) { return static_cast<uint64_t>(kind) << 32 | index; }

// What all threads share. A greeting is set before the first reader comes and never freed.
struct Greetings {
  std::atomic<const std::string*> sse{new std::string("HTTP/1.1 200 OK\r\n\r\n")};
  std::atomic<const std::string*> ws{new std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n")};
};

// What is to be sent to the readers of one thread.
struct Inbox {
  std::mutex mutex;
  std::string sse;
  std::string ws;
  int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};

struct Common {
  Greetings greetings;
  std::vector<std::unique_ptr<Inbox>> inboxes;  // by thread
};

// A ring with its table, its buffers and what is known of its connections. Its thread's alone.
class Ring {
 public:
  Ring(Common& common, int listener, unsigned table);
  // Written to when completions wait to be fetched: a ring that defers them tells nobody else.
  int bell() const { return bell_; }
  // No connection more fits: the next ring accepts.
  bool full() const { return held_ + accepting_ == roles_.size(); }
  void accept_more();
  // Everything that has come.
  void work();
  // Sends to its readers and returns when all of it has been taken.
  void send_to_all(std::string_view sse, std::string_view ws);
  void submit() { io_uring_submit(&ring_.raw()); }

 private:
  void arm_poll(unsigned index);
  void arm_receive(unsigned index);
  void send_bytes(unsigned index, std::string_view bytes, Kind kind) {
    ring_.send(index, bytes, tag(kind, index));
  }
  void send_rest(unsigned index, std::string_view bytes);
  void handle(const io_uring_cqe& cqe);
  void on_received(unsigned index, const io_uring_cqe& cqe);
  void on_unsent(unsigned index, int taken);
  void drop(unsigned index);
  // Takes from the front what is whole; the rest waits.
  void take(unsigned index, std::string_view& bytes);
  bool take_request(unsigned index, std::string_view& bytes);
  bool take_greeting(unsigned index, std::string_view& bytes);
  void take_records(std::string_view& bytes);
  void publish(uint32_t room, std::string_view frame);

  Common& common_;
  int listener_;
  DirectRing ring_;
  int bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  unsigned held_ = 0;
  unsigned accepting_ = 0;
  unsigned unsent_ = 0;   // sends that wait for a full socket
  unsigned end_ = 0;      // above the highest index that was used
  std::string_view sse_;  // while it is sent
  std::string_view ws_;
  std::vector<Role> roles_;                           // by index
  std::vector<bool> polled_;                          // by index
  std::unordered_map<unsigned, std::string> unread_;  // an unfinished request or record
};

Ring::Ring(Common& common, int listener, unsigned table)
    : common_(common),
      listener_(listener),
      ring_({.submissions = 128, .completions = 4096, .buffers = 256, .table = table}),
      roles_(table, Role::none),
      polled_(table, false) {
  if (io_uring_register_eventfd(&ring_.raw(), bell_) != 0) die("eventfd");
}

void Ring::accept_more() {
  while (accepting_ < kAccepts && !full()) {
    io_uring_sqe* sqe = ring_.next();
    // Any free place; this liburing stores the index with one added to it.
    io_uring_prep_accept_direct(sqe, listener_, nullptr, nullptr, 0, IORING_FILE_INDEX_ALLOC - 1);
    io_uring_sqe_set_data64(sqe, tag(Kind::accept, 0));
    ++accepting_;
  }
}

void Ring::arm_poll(unsigned index) {
  ring_.poll(index, tag(Kind::poll, index));
  polled_[index] = true;
}

void Ring::arm_receive(unsigned index) { ring_.receive(index, tag(Kind::receive, index)); }

// The kernel waits for room; no byte may be missing from the comparison.
void Ring::send_rest(unsigned index, std::string_view bytes) {
  io_uring_sqe* sqe = ring_.next();
  io_uring_prep_send(sqe, static_cast<int>(index), bytes.data(), bytes.size(), MSG_WAITALL | MSG_NOSIGNAL);
  sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(sqe, tag(Kind::rest, index));
  ++unsent_;
}

void Ring::send_to_all(std::string_view sse, std::string_view ws) {
  sse_ = sse;
  ws_ = ws;
  for (unsigned index = 0; index < end_; ++index) {
    if (roles_[index] == Role::sse && !sse.empty()) send_bytes(index, sse, Kind::frame);
    if (roles_[index] == Role::ws && !ws.empty()) send_bytes(index, ws, Kind::frame);
  }
  submit();
  // A completion of these is a failure, and is there when submit() has returned.
  work();
  while (unsent_ > 0) {
    io_uring_submit_and_wait(&ring_.raw(), 1);
    work();
  }
}

// Nobody is forgotten: what a full socket did not take is sent when it has room.
void Ring::on_unsent(unsigned index, int taken) {
  if (taken < 0 && taken != -EAGAIN) return;  // it has gone; its end is read
  if (roles_[index] != Role::sse && roles_[index] != Role::ws) return;
  const std::string_view all = roles_[index] == Role::ws ? ws_ : sse_;
  const auto before = static_cast<size_t>(std::max(taken, 0));
  if (before < all.size()) send_rest(index, all.substr(before));
}

void Ring::drop(unsigned index) {
  if (polled_[index]) {  // its poll holds the socket
    io_uring_sqe* sqe = ring_.next();
    io_uring_prep_poll_remove(sqe, tag(Kind::poll, index));
    io_uring_sqe_set_data64(sqe, tag(Kind::other, index));
  }
  ring_.close(index, tag(Kind::other, index));
  roles_[index] = Role::none;
  polled_[index] = false;
  unread_.erase(index);
  --held_;
}

void Ring::on_received(unsigned index, const io_uring_cqe& cqe) {
  if (roles_[index] == Role::none || cqe.res == -EAGAIN) return;
  if (cqe.res == -ENOBUFS) return arm_receive(index);
  if (cqe.res <= 0) return drop(index);
  std::string_view bytes = ring_.received(cqe);
  std::string whole;
  if (const auto waiting = unread_.find(index); waiting != unread_.end()) {
    whole = std::move(waiting->second);
    unread_.erase(waiting);
    whole.append(bytes);
    bytes = whole;
  }
  take(index, bytes);
  if (!bytes.empty()) unread_[index] = std::string(bytes);
  ring_.give_back(DirectRing::buffer_of(cqe));
  if (!polled_[index]) {
    arm_poll(index);
  } else if (static_cast<size_t>(cqe.res) == DirectRing::kBufferBytes) {
    arm_receive(index);  // more may be there, and the poll tells only what is new
  }
}

void Ring::take(unsigned index, std::string_view& bytes) {
  Role& role = roles_[index];
  if (role == Role::unknown) {
    if (bytes.starts_with("PUB\n")) {
      role = Role::publisher;
      bytes.remove_prefix(4);
    } else if (bytes.starts_with("BARE\n")) {
      role = Role::control;
      bytes.remove_prefix(5);
    } else if (!take_request(index, bytes)) {
      return;
    }
  }
  if (role == Role::control) {
    while (take_greeting(index, bytes)) {
    }
  } else if (role == Role::publisher) {
    take_records(bytes);
  } else {
    bytes = {};  // pongs
  }
}

bool Ring::take_request(unsigned index, std::string_view& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  const bool ws = bytes.starts_with("GET /ws");
  roles_[index] = ws ? Role::ws : Role::sse;
  bytes.remove_prefix(end + 4);
  send_bytes(index, ws ? *common_.greetings.ws : *common_.greetings.sse, Kind::other);
  return true;
}

bool Ring::take_greeting(unsigned index, std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return false;
  const bool ws = bytes.starts_with("ws ");
  const size_t size = std::strtoul(bytes.data() + (ws ? 3 : 4), nullptr, 10);
  if (bytes.size() - end - 1 < size) return false;
  (ws ? common_.greetings.ws : common_.greetings.sse) = new std::string(bytes.substr(end + 1, size));
  bytes.remove_prefix(end + 1 + size);
  send_bytes(index, "ok\n", Kind::other);
  return true;
}

void Ring::take_records(std::string_view& bytes) {
  while (bytes.size() >= 8) {
    uint32_t room = 0;
    uint32_t size = 0;
    std::memcpy(&room, bytes.data(), 4);
    std::memcpy(&size, bytes.data() + 4, 4);
    if (bytes.size() - 8 < size) return;
    publish(room, bytes.substr(8, size));
    bytes.remove_prefix(8 + size);
  }
}

void Ring::publish(uint32_t room, std::string_view frame) {
  if ((room & ~(kOnlySse | kOnlyWs)) != 0) return;
  for (const std::unique_ptr<Inbox>& inbox : common_.inboxes) {
    {
      const std::lock_guard<std::mutex> lock(inbox->mutex);
      if ((room & kOnlyWs) == 0) inbox->sse.append(frame);
      if ((room & kOnlySse) == 0) inbox->ws.append(frame);
    }
    const uint64_t one = 1;
    static_cast<void>(!write(inbox->bell, &one, sizeof one));
  }
}

void Ring::handle(const io_uring_cqe& cqe) {
  const auto index = static_cast<unsigned>(cqe.user_data);
  switch (static_cast<Kind>(cqe.user_data >> 32)) {
    case Kind::accept:
      --accepting_;
      if (cqe.res >= 0) {
        const auto taken = static_cast<unsigned>(cqe.res);
        ++held_;
        end_ = std::max(end_, taken + 1);
        roles_[taken] = Role::unknown;
        arm_receive(taken);  // the request mostly is there
      }
      return;
    case Kind::poll:
      if (cqe.res > 0) arm_receive(index);
      if (!(cqe.flags & IORING_CQE_F_MORE) && cqe.res > 0) arm_poll(index);
      return;
    case Kind::receive:
      return on_received(index, cqe);
    case Kind::frame:
      return on_unsent(index, cqe.res);
    case Kind::rest:
      --unsent_;
      return;
    case Kind::other:
      return;  // of a connection that has ended
  }
}

void Ring::work() {
  bool more = true;
  while (more) {
    io_uring_submit_and_get_events(&ring_.raw());
    const std::vector<io_uring_cqe>& batch = ring_.completed();
    for (const io_uring_cqe& each : batch) handle(each);
    more = !batch.empty();
  }
}

// A thread: it waits for all of its rings at once, and for what was published.
class Loop {
 public:
  Loop(Common& common, Inbox& inbox, int listener, unsigned table)
      : common_(common), inbox_(inbox), listener_(listener), table_(table) {}
  void run();

 private:
  // At each ring of the bell, which nobody empties.
  void watch(int bell, uint32_t index) const {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u32 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, bell, &event) != 0) die("epoll_ctl");
  }
  void accept_more();
  void flush();

  static constexpr uint32_t kBell = UINT32_MAX;
  Common& common_;
  Inbox& inbox_;
  int listener_;
  unsigned table_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Ring>> rings_;
};

// The first ring that has room accepts; where none has, there will be another.
void Loop::accept_more() {
  for (const std::unique_ptr<Ring>& ring : rings_) {
    if (ring->full()) continue;
    ring->accept_more();
    ring->submit();
    return;
  }
  rings_.push_back(std::make_unique<Ring>(common_, listener_, table_));
  watch(rings_.back()->bell(), static_cast<uint32_t>(rings_.size() - 1));
  rings_.back()->accept_more();
  rings_.back()->submit();
}

void Loop::flush() {
  std::string sse;
  std::string ws;
  {
    const std::lock_guard<std::mutex> lock(inbox_.mutex);
    sse.swap(inbox_.sse);
    ws.swap(inbox_.ws);
  }
  if (sse.empty() && ws.empty()) return;
  for (const std::unique_ptr<Ring>& ring : rings_) ring->send_to_all(sse, ws);
}

void Loop::run() {
  watch(inbox_.bell, kBell);
  std::vector<epoll_event> events(kEventsAtOnce);
  while (true) {
    accept_more();
    const int n = epoll_wait(epoll_, events.data(), kEventsAtOnce, -1);
    bool rang = false;
    for (int i = 0; i < n; ++i) {
      const uint32_t index = events[static_cast<size_t>(i)].data.u32;
      if (index == kBell) {
        rang = true;
      } else {
        rings_[index]->work();
      }
    }
    if (rang) flush();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto table =
      static_cast<unsigned>(std::min<uint64_t>(twinwire::bench::take_all_descriptors(), kTableMax));
  unsigned threads = 1;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--threads")
      threads = static_cast<unsigned>(std::clamp(std::atoi(argv[i + 1]), 1, 64));
  }
  Common common;
  std::vector<int> listeners;
  uint16_t port = 0;
  for (unsigned i = 0; i < threads; ++i) {
    common.inboxes.push_back(std::make_unique<Inbox>());
    listeners.push_back(twinwire::bench::listen_on_loopback(port, true));
  }
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] { Loop(common, *common.inboxes[i], listeners[i], table).run(); });
  }
  std::printf("floor ready %u\n", port);
  std::fflush(stdout);
  for (std::thread& each : running) each.join();
}
