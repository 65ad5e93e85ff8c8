// Programs that a run starts and ends itself: the server under test, a file system that forgets.
// Every process is ended by its own pid. Thread: its owner's. Owns the process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bench/client/http.h"
#include "core/status.h"

namespace twinwire::bench {

// A port of loopback that was free a moment ago.
uint16_t free_port();

class Child {
 public:
  Child() = default;
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  struct How {
    std::string log;                                                    // its stderr goes to the end of it
    int core = -1;                                                      // pins it; -1: may run anywhere
    std::vector<std::pair<std::string, std::string>> environment = {};  // besides ours
  };
  // Starts words[0] (looked for on PATH where it has no slash) with the other words. Its stdout can be read
  // here.
  Result<void> start(const std::vector<std::string>& words, const How& how);
  Result<void> start(const std::vector<std::string>& words, const std::string& log) {
    return start(words, How{.log = log});
  }
  // The next line of its stdout, or an error after `limit_ms` or when it ended.
  Result<std::string> line(uint32_t limit_ms);
  // Sends the signal and waits for the end, at most `limit_ms`; the wait status, or -1 if it is still there.
  int end(int signal, uint32_t limit_ms);
  bool running();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string buffer_;
};

// The server under test: a twinwire on a port that stays the same over restarts, with a data directory of its
// own.
class Server {
 public:
  struct Options {
    std::string program;
    std::string data;
    std::string log;
    std::vector<std::string> settings;  // "--server.shards=2"
    int core = -1;                      // all of it on this one
  };
  explicit Server(Options options);

  // Waits for the ready line. Tries again for some seconds where it ends at once: a killed process's rings
  // may hold its port for a moment after its end.
  Result<void> start();
  // kill -9, and waits for the end.
  void kill();
  // SIGTERM; an error where it does not end with status 0 in 20 s.
  Result<void> stop();
  const client::Endpoint& endpoint() const { return endpoint_; }
  // The operators' listener of the present run, and where its token is.
  const client::Endpoint& admin() const { return admin_; }
  std::string token_file() const { return options_.data + "/admin.token"; }
  pid_t pid() const { return child_.pid(); }
  // How often start() had to try again.
  uint32_t retries() const { return retries_; }

 private:
  Result<void> try_start();
  Options options_;
  Child child_;
  client::Endpoint endpoint_{"127.0.0.1", 0};
  client::Endpoint admin_;
  uint32_t retries_ = 0;
};

// A lossyfs (tests/lossyfs) on a folder.
class LossyDisk {
 public:
  ~LossyDisk() { unmount(); }
  // Error: FUSE is not to be had here.
  Result<void> mount(const std::string& program, const std::string& folder);
  // Forgets what was not synced.
  Result<void> lose();
  // {"bytesLost":…,…}
  std::string counts() const;

 private:
  void unmount();
  Child child_;
  std::string folder_;
};

}  // namespace twinwire::bench
