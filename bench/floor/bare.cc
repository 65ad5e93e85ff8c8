// floor_bare: the least that a server of streams can do, with epoll and plain send(). A reader asks as it
// would ask ours (GET …rooms=NAME-<number>…), is greeted with bytes that were told beforehand, and is then
// sent whatever is published to its room: all that was published together in one send(), or with --single
// frame by frame. Nothing is kept, parsed or checked. What it costs is the floor of fan-out, of accepting and
// of latency.
//   A connection that begins with "BARE\n" says `sse SIZE\n BYTES` or `ws SIZE\n BYTES`: the greetings;
//   "ok\n" after. One that begins with "PUB\n" publishes records: room and size, 4 bytes each, then the
//   frame's bytes.
// Prints "floor ready PORT"; ends by a signal. One thread.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/twinbench/process.h"

namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr int kEventsAtOnce = 512;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

enum class Role : uint8_t { unknown, reader, publisher, control };

struct Connection {
  Role role = Role::unknown;
  uint32_t room = 0;
  uint32_t place = 0;                   // in its room
  std::unique_ptr<std::string> unread;  // an unfinished request or record
};

class Bare {
 public:
  struct Options {
    bool single = false;
    bool unarmed = false;  // a reader is never looked at again: what a connection is without anything armed
  };
  explicit Bare(Options options) : options_(options), scratch_(kReadBytes) {}
  void run();

 private:
  void listen_on_loopback();
  void accept_all();
  void on_readable(int fd);
  // Takes from the front what is whole; the rest waits.
  void take(int fd, Connection& connection, std::string_view& bytes);
  bool take_request(int fd, Connection& connection, std::string_view& bytes);
  void take_records(std::string_view& bytes);
  bool take_greeting(int fd, std::string_view& bytes);
  void flush();
  void drop(int fd);

  Options options_;
  int listener_ = -1;
  int epoll_ = -1;
  std::vector<char> scratch_;
  std::vector<Connection> connections_;  // by descriptor
  std::vector<std::vector<int>> rooms_;
  std::vector<std::string> waiting_;  // by room: what is to be sent
  std::vector<uint32_t> touched_;     // rooms where something waits
  std::string greeting_sse_ = "HTTP/1.1 200 OK\r\n\r\n";
  std::string greeting_ws_ = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
};

// A full socket is waited for: no byte may be missing from the comparison.
void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return;  // it has gone; its end is read
    }
  }
}

void Bare::listen_on_loopback() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const int on = 1;
  setsockopt(listener_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 4096) != 0)
    die("listen");
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("floor ready %u\n", ntohs(address.sin_port));
  std::fflush(stdout);
}

void Bare::accept_all() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (static_cast<size_t>(fd) >= connections_.size()) connections_.resize(static_cast<size_t>(fd) + 1024);
    connections_[static_cast<size_t>(fd)] = Connection();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    on_readable(fd);  // the request mostly is there
  }
}

void Bare::drop(int fd) {
  Connection& connection = connections_[static_cast<size_t>(fd)];
  if (connection.role == Role::reader) {
    std::vector<int>& room = rooms_[connection.room];
    room[connection.place] = room.back();
    connections_[static_cast<size_t>(room.back())].place = connection.place;
    room.pop_back();
  }
  connection = Connection();
  close(fd);
}

void Bare::on_readable(int fd) {
  const ssize_t n = recv(fd, scratch_.data(), scratch_.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(fd);
  Connection& connection = connections_[static_cast<size_t>(fd)];
  std::string_view bytes(scratch_.data(), static_cast<size_t>(n));
  if (connection.unread) {
    connection.unread->append(bytes);
    const std::unique_ptr<std::string> whole = std::move(connection.unread);
    bytes = *whole;
    take(fd, connection, bytes);
    if (!bytes.empty()) connection.unread = std::make_unique<std::string>(bytes);
    return;
  }
  take(fd, connection, bytes);
  if (!bytes.empty()) connection.unread = std::make_unique<std::string>(bytes);
}

void Bare::take(int fd, Connection& connection, std::string_view& bytes) {
  if (connection.role == Role::unknown) {
    if (bytes.starts_with("PUB\n")) {
      connection.role = Role::publisher;
      bytes.remove_prefix(4);
    } else if (bytes.starts_with("BARE\n")) {
      connection.role = Role::control;
      bytes.remove_prefix(5);
    } else if (!take_request(fd, connection, bytes)) {
      return;
    }
  }
  if (connection.role == Role::control) {
    while (take_greeting(fd, bytes)) {
    }
  } else if (connection.role == Role::publisher) {
    take_records(bytes);
  } else {
    bytes = {};  // pongs
  }
}

bool Bare::take_request(int fd, Connection& connection, std::string_view& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view head = bytes.substr(0, end);
  const bool ws = head.starts_with("GET /ws");
  const size_t name = head.find("rooms=");
  const size_t dash = name == std::string_view::npos ? name : head.find('-', name);
  connection.room = dash == std::string_view::npos
                        ? 0
                        : static_cast<uint32_t>(std::strtoul(head.data() + dash + 1, nullptr, 10));
  if (rooms_.size() <= connection.room) {
    rooms_.resize(connection.room + 1);
    waiting_.resize(connection.room + 1);
  }
  connection.role = Role::reader;
  connection.place = static_cast<uint32_t>(rooms_[connection.room].size());
  rooms_[connection.room].push_back(fd);
  bytes.remove_prefix(end + 4);
  send_all(fd, ws ? greeting_ws_ : greeting_sse_);
  if (options_.unarmed) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  return true;
}

bool Bare::take_greeting(int fd, std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return false;
  const bool ws = bytes.starts_with("ws ");
  const size_t size = std::strtoul(bytes.data() + (ws ? 3 : 4), nullptr, 10);
  if (bytes.size() - end - 1 < size) return false;
  (ws ? greeting_ws_ : greeting_sse_) = bytes.substr(end + 1, size);
  bytes.remove_prefix(end + 1 + size);
  send_all(fd, "ok\n");
  return true;
}

void Bare::take_records(std::string_view& bytes) {
  while (bytes.size() >= 8) {
    uint32_t room = 0;
    uint32_t size = 0;
    std::memcpy(&room, bytes.data(), 4);
    std::memcpy(&size, bytes.data() + 4, 4);
    if (bytes.size() - 8 < size) return;
    const std::string_view frame = bytes.substr(8, size);
    bytes.remove_prefix(8 + size);
    if (room >= rooms_.size()) continue;
    if (options_.single) {
      for (const int fd : rooms_[room]) send_all(fd, frame);
      continue;
    }
    if (waiting_[room].empty()) touched_.push_back(room);
    waiting_[room].append(frame);
  }
}

void Bare::flush() {
  for (const uint32_t room : touched_) {
    for (const int fd : rooms_[room]) send_all(fd, waiting_[room]);
    waiting_[room].clear();
  }
  touched_.clear();
}

void Bare::run() {
  listen_on_loopback();
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) die("epoll_ctl");
  std::vector<epoll_event> events(kEventsAtOnce);
  while (true) {
    const int n = epoll_wait(epoll_, events.data(), kEventsAtOnce, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener_) {
        accept_all();
      } else {
        on_readable(fd);
      }
    }
    flush();
  }
}

}  // namespace

int main(int argc, char** argv) {
  twinwire::bench::take_all_descriptors();
  Bare::Options options;
  for (int i = 1; i < argc; ++i) {
    options.single |= std::string_view(argv[i]) == "--single";
    options.unarmed |= std::string_view(argv[i]) == "--unarmed";
  }
  Bare(options).run();
}
