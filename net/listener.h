// A listening TCP socket with the options its connections inherit. One per shard and address: SO_REUSEPORT
// lets the kernel spread connections over the shards. Options are set here and never on a connection, since a
// direct descriptor has no setsockopt() on Linux 6.1. Not here: accepting (net/sockets). Opened at start by
// main; a plain value that owns the descriptor.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/status.h"

namespace twinwire {

// An IPv4 or IPv6 address with its port.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  // "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or "8080" (the IPv4 loopback), ":8080" (all, of both
  // families). Names are not looked up.
  static Result<Address> parse(std::string_view text);
  static Address of(const sockaddr* address, socklen_t size);
  uint16_t port() const;
  void set_port(uint16_t port);
  bool is_loopback() const;
  // "127.0.0.1:8080", "[::1]:8080"; an IPv4 address that came through IPv6 is shown as IPv4.
  std::string text() const;
  // The same without the port.
  std::string host() const;
  // What connections per address are counted by: the IPv4 address, or the first 64 bits of an IPv6 one, since
  // one machine has all addresses below them.
  uint64_t counting_key() const;
};

struct ListenerOptions {
  bool reuse_port = true;
  int backlog = 4096;
  // Bytes the kernel may hold unsent per connection before it calls a socket writable (TCP_NOTSENT_LOWAT); 0:
  // unset.
  uint32_t not_sent_low_bytes = 128 * 1024;
  // SO_SNDBUF; 0 leaves the kernel's own tuning.
  uint32_t send_buffer_bytes = 0;
  // Seconds of silence before the kernel asks a peer whether it lives, between questions, and how many.
  uint32_t keepalive_idle_seconds = 60;
  uint32_t keepalive_interval_seconds = 15;
  uint32_t keepalive_count = 4;
};

class Listener {
 public:
  Listener() = default;
  ~Listener();
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;

  // Binds and listens. Port 0: the kernel picks; address() tells.
  static Result<Listener> open(const Address& address, const ListenerOptions& options);

  int fd() const { return fd_; }
  const Address& address() const { return address_; }

 private:
  int fd_ = -1;
  Address address_;
};

}  // namespace twinwire
