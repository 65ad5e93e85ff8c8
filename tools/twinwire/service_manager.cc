#include "tools/twinwire/service_manager.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <utility>

namespace twinwire {
namespace {

constexpr timeval kSendLimit{1, 0};

std::optional<uint64_t> number(const char* text) {
  uint64_t value = 0;
  const char* end = text + strlen(text);
  auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end && stop != text ? std::optional(value) : std::nullopt;
}

// 0: nobody watches, or another process is meant.
Millis watchdog_of(const ServiceManager::Variables& variables) {
  if (variables.watchdog_usec == nullptr) return 0;
  if (variables.watchdog_pid != nullptr && number(variables.watchdog_pid) != static_cast<uint64_t>(getpid()))
    return 0;
  uint64_t microseconds = number(variables.watchdog_usec).value_or(0);
  return microseconds == 0 ? 0 : std::max<Millis>(microseconds / 1000, 1);
}

// One line, whatever stands in it: a line break would begin another assignment.
std::string line_of(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

ServiceManager::Variables ServiceManager::environment() {
  return {std::getenv("NOTIFY_SOCKET"), std::getenv("WATCHDOG_USEC"), std::getenv("WATCHDOG_PID")};
}

Result<ServiceManager> ServiceManager::open(const Variables& variables) {
  ServiceManager self;
  if (variables.notify_socket == nullptr || *variables.notify_socket == '\0') return self;
  std::string_view name = variables.notify_socket;
  if ((name.front() != '/' && name.front() != '@') || name.size() < 2 ||
      name.size() >= sizeof self.to_.sun_path)
    return fail(Code::invalid_argument,
                "NOTIFY_SOCKET \"" + std::string(name) +
                    "\" is neither a path nor an abstract name (@…) that fits a socket");
  self.to_.sun_family = AF_UNIX;
  memcpy(self.to_.sun_path, name.data(), name.size());
  size_t size = offsetof(sockaddr_un, sun_path) + name.size();
  if (name.front() == '@') {
    self.to_.sun_path[0] = '\0';  // an abstract name ends with its address, not with a zero
  } else {
    size++;
  }
  self.to_size_ = static_cast<socklen_t>(size);
  self.fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (self.fd_ < 0)
    return fail(Code::internal, std::string("no socket for NOTIFY_SOCKET: ") + strerror(errno));
  setsockopt(self.fd_, SOL_SOCKET, SO_SNDTIMEO, &kSendLimit, sizeof kSendLimit);
  self.watchdog_ms_ = watchdog_of(variables);
  return self;
}

ServiceManager::~ServiceManager() {
  if (fd_ >= 0) close(fd_);
}

ServiceManager::ServiceManager(ServiceManager&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      to_(other.to_),
      to_size_(other.to_size_),
      watchdog_ms_(other.watchdog_ms_) {}

ServiceManager& ServiceManager::operator=(ServiceManager&& other) noexcept {
  std::swap(fd_, other.fd_);
  to_ = other.to_;
  to_size_ = other.to_size_;
  watchdog_ms_ = other.watchdog_ms_;
  return *this;
}

bool ServiceManager::ready(std::string_view status) { return send("READY=1\nSTATUS=" + line_of(status)); }

bool ServiceManager::stopping(std::string_view status) {
  return send("STOPPING=1\nSTATUS=" + line_of(status));
}

bool ServiceManager::alive() { return send("WATCHDOG=1"); }

bool ServiceManager::send(std::string_view state) {
  if (fd_ < 0) return true;
  ssize_t sent = 0;
  do {
    sent = sendto(fd_, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to_),
                  to_size_);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(state.size());
}

}  // namespace twinwire
