#include "bench/client/socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace twinwire::client {
namespace {

constexpr Nanos kPaceInterval = 50 * kMillisecond;
constexpr uint32_t kLoopbackNet = 127u << 24;

sockaddr_in address_of(uint32_t host_order, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(host_order);
  out.sin_port = htons(port);
  return out;
}

void set_option(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

uint32_t source_address(uint64_t index) {
  // 127.16.0.1 … 127.31.255.254: apart from 127.0.0.1, and never an address ending in 0 or 255.
  const auto host = static_cast<uint32_t>(index % 250 + 1);
  const auto net = static_cast<uint32_t>(index / 250 % 4096);
  return kLoopbackNet + (16u << 16) + (net << 8) + host;
}

void Socket::open(const Options& options) {
  close(false);
  in_addr to{};
  const bool valid = inet_pton(AF_INET, options.to.host.c_str(), &to) == 1;
  fd_ = valid ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
  int error = valid ? errno : EINVAL;
  if (fd_ >= 0) {
    error = 0;
    set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    if (options.receive_buffer_bytes > 0)
      set_option(fd_, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
    if (options.source != 0) {
      set_option(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const sockaddr_in from = address_of(options.source, 0);
      if (bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) error = errno;
    }
    const sockaddr_in peer = address_of(ntohl(to.s_addr), options.to.port);
    if (error == 0 && connect(fd_, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0 &&
        errno != EINPROGRESS) {
      error = errno;
    }
  }
  state_ = State::connecting;
  paused_ = readable_ = hung_up_ = false;
  bytes_per_second_ = options.bytes_per_second;
  if (error != 0) {
    failure_ = loop_.after(0, [this, error] { end(std::strerror(error)); });
    return;
  }
  watch_ = loop_.watch(fd_, this);
}

void Socket::close(bool abort) {
  loop_.cancel(pacer_);
  loop_.cancel(failure_);
  if (watch_ != Loop::WatchId::none) loop_.unwatch(watch_);
  watch_ = Loop::WatchId::none;
  if (fd_ >= 0) {
    if (abort) {
      const linger now{1, 0};
      setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    } else {
      shutdown(fd_, SHUT_WR);
    }
    ::close(fd_);
  }
  fd_ = -1;
  state_ = State::closed;
  unsent_.clear();
}

void Socket::end(const char* why) {
  close(false);
  owner_.on_end(why);
}

void Socket::on_ready(uint32_t events) {
  if (state_ == State::connecting) {
    if (!(events & (POLLOUT | POLLERR | POLLHUP))) return;
    connected();
    if (state_ != State::open) return;
  }
  if ((events & POLLOUT) && !unsent_.empty()) flush();
  if (state_ == State::open && (events & (POLLIN | POLLRDHUP | POLLERR | POLLHUP))) {
    readable_ = true;
    hung_up_ |= (events & (POLLRDHUP | POLLERR | POLLHUP)) != 0;
    if (paused_) return;
    if (bytes_per_second_ == 0) {
      receive();
    } else if (pacer_ == Loop::TimerId::none) {
      receive_paced();
    }
  }
}

void Socket::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    end(std::strerror(error));
    return;
  }
  state_ = State::open;
  owner_.on_open();
}

bool Socket::receive_some(size_t limit, size_t& got) {
  ssize_t n = 0;
  do {
    n = recv(fd_, loop_.scratch(), std::min(limit, loop_.scratch_size()), 0);
  } while (n < 0 && errno == EINTR);
  got = n > 0 ? static_cast<size_t>(n) : 0;
  if (n == 0) {
    end("the peer closed the connection");
    return false;
  }
  if (n < 0) {
    readable_ = false;
    if (errno != EAGAIN && errno != EWOULDBLOCK) end(std::strerror(errno));
    return false;
  }
  owner_.on_data({loop_.scratch(), got});
  return state_ == State::open && !paused_;
}

void Socket::receive() {
  size_t got = 0;
  while (receive_some(loop_.scratch_size(), got)) {
    // A short read has drained the socket: what comes after it makes a new edge. Behind a hang-up none comes.
    if (got < loop_.scratch_size() && !hung_up_) {
      readable_ = false;
      return;
    }
  }
}

void Socket::receive_paced() {
  if (state_ != State::open || paused_ || !readable_) return;
  const uint64_t share = std::max<uint64_t>(1, bytes_per_second_ * kPaceInterval / kSecond);
  size_t got = 0;
  if (!receive_some(share, got)) return;
  pacer_ = loop_.after(kPaceInterval, [this] {
    pacer_ = Loop::TimerId::none;
    receive_paced();
  });
}

void Socket::pause() { paused_ = true; }

void Socket::resume() {
  if (!paused_) return;
  paused_ = false;
  readable_ = true;
  pace(bytes_per_second_);
}

void Socket::pace(uint64_t bytes_per_second) {
  bytes_per_second_ = bytes_per_second;
  loop_.cancel(pacer_);
  if (state_ != State::open || paused_) return;
  readable_ = true;
  // From the loop, not from within the caller.
  pacer_ = loop_.after(0, [this] {
    pacer_ = Loop::TimerId::none;
    if (bytes_per_second_ == 0) {
      receive();
    } else {
      receive_paced();
    }
  });
}

void Socket::send(std::string_view bytes) {
  if (state_ != State::open) return;
  unsent_.append(bytes);
  if (unsent_.size() == bytes.size() && !corked_) flush();
}

void Socket::flush() {
  size_t sent = 0;
  while (sent < unsent_.size()) {
    const ssize_t n = ::send(fd_, unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // full, or broken: the latter is told by the poll
    sent += static_cast<size_t>(n);
  }
  unsent_.erase(0, sent);
}

}  // namespace twinwire::client
