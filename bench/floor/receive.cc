// floor_receive: the least that receiving costs on io_uring with direct descriptors: multishot accept into a
// table, an armed poll for each connection, a receive with buffer selection when it fires, and a reply if
// wanted. A connection's first request (up to its blank line) is answered with bytes told beforehand; every
// WebSocket frame after it with the reply. Nothing is decoded but the length of a frame. What it costs is the
// floor of accepting and of publishing.
//   A connection that begins with "BARE\n" says `sse SIZE\n BYTES`, `ws SIZE\n BYTES` (greetings), `reply
//   SIZE\n BYTES` (size 0: none is sent); "ok\n" after each.
// Prints "floor ready PORT"; ends by a signal. One thread.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "bench/floor/direct_ring.h"
#include "bench/twinbench/process.h"

namespace {

using twinwire::bench::DirectRing;

constexpr unsigned kTableMax = 32768;

unsigned table() {
  return static_cast<unsigned>(std::min<uint64_t>(twinwire::bench::take_all_descriptors(), kTableMax));
}

enum class Kind : uint64_t { accept, poll, receive, send, close };

uint64_t tag(Kind kind, unsigned index) { return static_cast<uint64_t>(kind) << 32 | index; }

struct Connection {
  enum class Role : uint8_t { unknown, stream, control } role = Role::unknown;
  bool polled = false;
  uint64_t skip = 0;   // bytes of a frame still to come
  std::string unread;  // what is not whole yet
};

class Receiver {
 public:
  void run();

 private:
  void arm_accept();
  void arm_poll(unsigned index);
  void arm_receive(unsigned index);
  void handle(const io_uring_cqe& cqe);
  void on_received(unsigned index, const io_uring_cqe& cqe);
  void take(unsigned index, std::string_view bytes);
  void take_orders(unsigned index);
  // How many frames end in these bytes.
  uint64_t count_frames(Connection& connection, std::string_view bytes);
  void send_bytes(unsigned index, std::string_view bytes);
  void send_replies(unsigned index, uint64_t count);

  const unsigned table_ = table();
  DirectRing ring_{{.submissions = 512, .completions = 16384, .buffers = 1024, .table = table_}};
  int listener_ = -1;
  std::vector<Connection> connections_{table_};
  std::string greeting_sse_ = "HTTP/1.1 200 OK\r\n\r\n";
  std::string greeting_ws_ = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
  std::string reply_;
  std::string replies_;  // many in a row, so that any number is one send
  uint64_t replies_max_ = 0;
};

void Receiver::arm_accept() {
  io_uring_sqe* sqe = ring_.next();
  io_uring_prep_multishot_accept_direct(sqe, listener_, nullptr, nullptr, 0);
  io_uring_sqe_set_data64(sqe, tag(Kind::accept, 0));
}

void Receiver::arm_poll(unsigned index) {
  ring_.poll(index, tag(Kind::poll, index));
  connections_[index].polled = true;
}

void Receiver::arm_receive(unsigned index) { ring_.receive(index, tag(Kind::receive, index)); }

void Receiver::send_bytes(unsigned index, std::string_view bytes) {
  ring_.send(index, bytes, tag(Kind::send, index));
}

void Receiver::send_replies(unsigned index, uint64_t count) {
  if (reply_.empty()) return;
  for (; count > 0; count -= std::min(count, replies_max_))
    send_bytes(index, std::string_view(replies_).substr(0, reply_.size() * std::min(count, replies_max_)));
}

uint64_t Receiver::count_frames(Connection& connection, std::string_view bytes) {
  uint64_t out = 0;
  while (!bytes.empty()) {
    if (connection.skip > 0) {
      const uint64_t take = std::min<uint64_t>(connection.skip, bytes.size());
      bytes.remove_prefix(take);
      connection.skip -= take;
      if (connection.skip == 0) ++out;
      continue;
    }
    // A head may be cut: its bytes wait.
    connection.unread.append(bytes.substr(0, 1));
    bytes.remove_prefix(1);
    const std::string& head = connection.unread;
    if (head.size() < 2) continue;
    const auto length = static_cast<uint8_t>(head[1] & 0x7f);
    const size_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (head.size() < 2 + more) continue;
    uint64_t payload = more == 0 ? length : 0;
    for (size_t i = 0; i < more; ++i) payload = payload << 8 | static_cast<uint8_t>(head[2 + i]);
    connection.skip = payload + ((head[1] & 0x80) != 0 ? 4 : 0);
    connection.unread.clear();
    if (connection.skip == 0) ++out;
  }
  return out;
}

void Receiver::take_orders(unsigned index) {
  std::string& unread = connections_[index].unread;
  while (true) {
    const size_t end = unread.find('\n');
    const size_t space = unread.find(' ');
    if (end == std::string::npos || space > end) return;
    const size_t size = std::strtoul(unread.c_str() + space, nullptr, 10);
    if (unread.size() - end - 1 < size) return;
    const std::string what = unread.substr(0, space);
    const std::string bytes = unread.substr(end + 1, size);
    unread.erase(0, end + 1 + size);
    if (what == "ws") {
      greeting_ws_ = bytes;
    } else if (what == "sse") {
      greeting_sse_ = bytes;
    } else {
      reply_ = bytes;
      replies_max_ = reply_.empty() ? 0 : std::max<size_t>(1, 65536 / reply_.size());
      replies_.clear();
      for (uint64_t i = 0; i < replies_max_; ++i) replies_ += reply_;
    }
    send_bytes(index, "ok\n");
  }
}

void Receiver::take(unsigned index, std::string_view bytes) {
  Connection& connection = connections_[index];
  if (connection.role == Connection::Role::stream) {
    send_replies(index, count_frames(connection, bytes));
    return;
  }
  connection.unread.append(bytes);
  if (connection.role == Connection::Role::unknown && connection.unread.starts_with("BARE\n")) {
    connection.role = Connection::Role::control;
    connection.unread.erase(0, 5);
  }
  if (connection.role == Connection::Role::control) return take_orders(index);
  const size_t end = connection.unread.find("\r\n\r\n");
  if (end == std::string::npos) return;
  send_bytes(index, connection.unread.starts_with("GET /ws") ? greeting_ws_ : greeting_sse_);
  const std::string rest = connection.unread.substr(end + 4);
  connection.unread.clear();
  connection.unread.shrink_to_fit();
  connection.role = Connection::Role::stream;
  if (!rest.empty()) send_replies(index, count_frames(connection, rest));
}

void Receiver::on_received(unsigned index, const io_uring_cqe& cqe) {
  if (cqe.res == -ENOBUFS) return arm_receive(index);
  if (cqe.res == -EAGAIN) return;
  if (cqe.res <= 0) {
    connections_[index] = Connection();
    ring_.close(index, tag(Kind::close, index));
    return;
  }
  const std::string_view bytes = ring_.received(cqe);
  take(index, bytes);
  ring_.give_back(DirectRing::buffer_of(cqe));
  if (!connections_[index].polled) {
    arm_poll(index);
  } else if (bytes.size() == DirectRing::kBufferBytes) {
    arm_receive(index);  // more may be there, and the poll tells only what is new
  }
}

void Receiver::handle(const io_uring_cqe& cqe) {
  const auto kind = static_cast<Kind>(cqe.user_data >> 32);
  const auto index = static_cast<unsigned>(cqe.user_data);
  switch (kind) {
    case Kind::accept:
      if (cqe.res >= 0) {
        connections_[static_cast<unsigned>(cqe.res)] = Connection();
        arm_receive(static_cast<unsigned>(cqe.res));  // the request mostly is there
      }
      if (!(cqe.flags & IORING_CQE_F_MORE)) arm_accept();
      return;
    case Kind::poll:
      if (cqe.res > 0) arm_receive(index);
      if (!(cqe.flags & IORING_CQE_F_MORE) && cqe.res > 0) arm_poll(index);
      return;
    case Kind::receive:
      return on_received(index, cqe);
    case Kind::send:
    case Kind::close:
      return;  // of a connection that has ended
  }
}

void Receiver::run() {
  uint16_t port = 0;
  listener_ = twinwire::bench::listen_on_loopback(port, false);
  std::printf("floor ready %u\n", port);
  std::fflush(stdout);
  arm_accept();
  while (true) {
    io_uring_submit_and_wait(&ring_.raw(), 1);
    for (const io_uring_cqe& each : ring_.completed()) handle(each);
  }
}

}  // namespace

int main() { Receiver().run(); }
