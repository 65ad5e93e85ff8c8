// floor_send: the bare loop of a fan-out. Accepts connections and sends the same bytes to each with send(),
// nothing else. Prints "floor ready PORT". The first connection is the control; it says, and gets "ok\n"
// after each:
//   accept N\n            takes N connections
//   payload SIZE\n BYTES  what a frame is
//   send TIMES JOINED\n   TIMES rounds; in each, every connection gets one send() of JOINED frames
// Ends when the control connection does. One thread. Not here: measuring (twinbench fanout).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listen_on_loopback(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 4096) != 0)
    die("listen");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return fd;
}

// Buffered reading of the control connection.
class Control {
 public:
  explicit Control(int fd) : fd_(fd) {}
  std::string line() {
    size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) fill();
    std::string out = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return out;
  }
  std::string bytes(size_t size) {
    while (buffer_.size() < size) fill();
    std::string out = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return out;
  }
  void ok() {
    if (send(fd_, "ok\n", 3, MSG_NOSIGNAL) != 3) std::exit(0);
  }

 private:
  void fill() {
    char bytes[4096];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) std::exit(0);
    buffer_.append(bytes, static_cast<size_t>(n));
  }
  int fd_;
  std::string buffer_;
};

// A full socket is waited for: no byte may be missing from the comparison.
void send_all(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      die("send");
    }
  }
}

void accept_some(int listener, unsigned long count, std::vector<int>& connections) {
  for (; count > 0; --count) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) die("accept");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections.push_back(fd);
  }
}

}  // namespace

int main() {
  uint16_t port = 0;
  const int listener = listen_on_loopback(port);
  std::printf("floor ready %u\n", port);
  std::fflush(stdout);
  const int control_fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (control_fd < 0) die("accept");
  Control control(control_fd);
  std::vector<int> connections;
  std::string payload;
  while (true) {
    const std::string order = control.line();
    unsigned long a = 0;
    unsigned long b = 0;
    if (std::sscanf(order.c_str(), "accept %lu", &a) == 1) {
      accept_some(listener, a, connections);
    } else if (std::sscanf(order.c_str(), "payload %lu", &a) == 1) {
      payload = control.bytes(a);
    } else if (std::sscanf(order.c_str(), "send %lu %lu", &a, &b) == 2) {
      std::string joined;
      for (unsigned long i = 0; i < b; ++i) joined += payload;
      for (unsigned long i = 0; i < a; ++i) {
        for (const int fd : connections) send_all(fd, joined);
      }
    } else {
      std::fprintf(stderr, "floor_send: no such order: %s\n", order.c_str());
      return 2;
    }
    control.ok();
  }
}
