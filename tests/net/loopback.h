// Plain blocking and non-blocking client sockets for the tests of net.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "net/listener.h"

namespace twinwire {

inline Millis now_ms() {
  return static_cast<Millis>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                 std::chrono::steady_clock::now().time_since_epoch())
                                 .count());
}

class Client {
 public:
  Client() = default;
  explicit Client(const Address& to, int receive_buffer_bytes = 0) {
    fd_ = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0) {
      ADD_FAILURE() << "connect: " << strerror(errno);
    }
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Client() { close(); }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Client& operator=(Client&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  // Sends what fits; returns how much.
  size_t send(std::string_view bytes) {
    ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return n < 0 ? 0 : static_cast<size_t>(n);
  }
  // Appends what is there. False at the end of the stream or an error (errno).
  bool read(std::string& into) {
    char block[65536];
    for (;;) {
      ssize_t n = recv(fd_, block, sizeof block, 0);
      if (n > 0) {
        into.append(block, static_cast<size_t>(n));
      } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
      } else {
        if (n == 0) errno = 0;
        return false;
      }
    }
  }
  void shut() { shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace twinwire
