#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include <charconv>
#include <utility>

namespace twinwire {
namespace {

const sockaddr_in& as4(const Address& a) { return reinterpret_cast<const sockaddr_in&>(a.storage); }
const sockaddr_in6& as6(const Address& a) { return reinterpret_cast<const sockaddr_in6&>(a.storage); }
bool mapped4(const Address& a) {
  return a.storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as6(a).sin6_addr);
}

Error refused(std::string_view what, const std::string& where) {
  return fail(Code::internal, std::string(what) + " " + where + ": " + strerror(errno));
}

}  // namespace

Address Address::of(const sockaddr* address, socklen_t size) {
  Address a;
  a.size = std::min<socklen_t>(size, sizeof a.storage);
  memcpy(&a.storage, address, a.size);
  return a;
}

Result<Address> Address::parse(std::string_view text) {
  auto bad = [text] {
    return fail(Code::invalid_argument,
                "'" + std::string(text) + "' is not an address like 127.0.0.1:8080 or [::1]:8080");
  };
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return parse("127.0.0.1:" + std::string(text));
  std::string_view host = text.substr(0, colon), digits = text.substr(colon + 1);
  uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return bad();

  Address a;
  auto& in4 = reinterpret_cast<sockaddr_in&>(a.storage);
  auto& in6 = reinterpret_cast<sockaddr_in6&>(a.storage);
  if (host == "localhost") host = "127.0.0.1";
  std::string name(host);
  if (host.empty()) {
    in6.sin6_family = AF_INET6;
    in6.sin6_addr = in6addr_any;
    a.size = sizeof in6;
  } else if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    name = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, name.c_str(), &in6.sin6_addr) != 1) return bad();
    in6.sin6_family = AF_INET6;
    a.size = sizeof in6;
  } else {
    if (inet_pton(AF_INET, name.c_str(), &in4.sin_addr) != 1) return bad();
    in4.sin_family = AF_INET;
    a.size = sizeof in4;
  }
  a.set_port(port);
  return a;
}

uint16_t Address::port() const {
  return ntohs(storage.ss_family == AF_INET6 ? as6(*this).sin6_port : as4(*this).sin_port);
}

void Address::set_port(uint16_t port) {
  if (storage.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  }
}

bool Address::is_loopback() const {
  if (storage.ss_family == AF_INET) return (ntohl(as4(*this).sin_addr.s_addr) >> 24) == 127;
  if (mapped4(*this)) return as6(*this).sin6_addr.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&as6(*this).sin6_addr);
}

std::string Address::host() const {
  char out[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &as4(*this).sin_addr, out, sizeof out);
  } else if (mapped4(*this)) {
    inet_ntop(AF_INET, &as6(*this).sin6_addr.s6_addr[12], out, sizeof out);
  } else {
    inet_ntop(AF_INET6, &as6(*this).sin6_addr, out, sizeof out);
  }
  return out;
}

std::string Address::text() const {
  bool six = storage.ss_family == AF_INET6 && !mapped4(*this);
  return (six ? "[" + host() + "]" : host()) + ":" + std::to_string(port());
}

uint64_t Address::counting_key() const {
  if (storage.ss_family == AF_INET) return ntohl(as4(*this).sin_addr.s_addr);
  const uint8_t* bytes = as6(*this).sin6_addr.s6_addr;
  uint64_t key = 0;
  for (int i = mapped4(*this) ? 12 : 0, end = mapped4(*this) ? 16 : 8; i < end; i++)
    key = key << 8 | bytes[i];
  return key;
}

Listener::~Listener() {
  if (fd_ >= 0) close(fd_);
}

Listener::Listener(Listener&& other) noexcept : fd_(std::exchange(other.fd_, -1)), address_(other.address_) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(address_, other.address_);
  return *this;
}

Result<Listener> Listener::open(const Address& address, const ListenerOptions& options) {
  Listener self;
  self.fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  if (self.fd_ < 0) return refused("no socket for", address.text());
  auto set = [fd = self.fd_](int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
  };
  bool ok = set(SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) ok &= set(SOL_SOCKET, SO_REUSEPORT, 1);
  if (address.storage.ss_family == AF_INET6) ok &= set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  ok &= set(IPPROTO_TCP, TCP_NODELAY, 1);
  ok &= set(SOL_SOCKET, SO_KEEPALIVE, 1);
  ok &= set(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(options.keepalive_idle_seconds));
  ok &= set(IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(options.keepalive_interval_seconds));
  ok &= set(IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(options.keepalive_count));
  if (options.not_sent_low_bytes > 0) {
    ok &= set(IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(options.not_sent_low_bytes));
  }
  if (options.send_buffer_bytes > 0) {
    ok &= set(SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.send_buffer_bytes));
  }
  if (!ok) return refused("socket options refused for", address.text());
  if (bind(self.fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    return refused("cannot listen on", address.text());
  }
  if (listen(self.fd_, options.backlog) != 0) return refused("cannot listen on", address.text());
  self.address_.size = sizeof self.address_.storage;
  if (getsockname(self.fd_, reinterpret_cast<sockaddr*>(&self.address_.storage), &self.address_.size) != 0) {
    return refused("no name of", address.text());
  }
  return self;
}

}  // namespace twinwire
