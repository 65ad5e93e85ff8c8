// ServiceManager: tells whoever started the server (systemd, or what speaks as it does) that it is ready,
// that it lives, and that it stops: the protocol of sd_notify(3), datagrams to the socket that NOTIFY_SOCKET
// names. Not here: when to say what (serve.cc). Main's thread; owns the socket. Without NOTIFY_SOCKET nothing
// is sent.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/status.h"
#include "core/types.h"

namespace twinwire {

class ServiceManager {
 public:
  // As the environment has them; null: not set.
  struct Variables {
    const char* notify_socket = nullptr;  // a path, or "@name" in the abstract namespace
    const char* watchdog_usec = nullptr;
    const char* watchdog_pid = nullptr;  // the watchdog is meant for this process alone
  };
  static Variables environment();

  // Error: a socket that cannot be spoken to (a sentence for the log); nobody is told anything then.
  static Result<ServiceManager> open(const Variables& variables);
  ServiceManager() = default;
  ~ServiceManager();
  ServiceManager(ServiceManager&& other) noexcept;
  ServiceManager& operator=(ServiceManager&& other) noexcept;

  // Each says whether it was sent, or had not to be. A manager that does not read is waited for a second.
  bool ready(std::string_view status);
  bool stopping(std::string_view status);
  bool alive();

  // How often the manager wants to hear `alive`, in milliseconds; 0: it does not.
  Millis watchdog_ms() const { return watchdog_ms_; }

 private:
  bool send(std::string_view state);

  int fd_ = -1;
  sockaddr_un to_{};
  socklen_t to_size_ = 0;
  Millis watchdog_ms_ = 0;
};

}  // namespace twinwire
