// Server: the network of the process. Listeners, and one thread per shard that runs its loop, its gateway and
// the shard's tick. Not here: what main wires (engine, store, signals: tools/twinwire), what shards do
// (core). Opened and stopped by main; wake() and drain() from any thread. Owns threads, loops, listeners; the
// engine given to start() must live until stop() has returned.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/config.h"
#include "core/page.h"
#include "core/ring.h"
#include "core/status.h"
#include "net/gateway.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/probes.h"

namespace twinwire {

class Engine;

class Server {
 public:
  struct Options {
    const Config& config;  // outlives the server, like all of these
    const Clock& clock;
    std::span<const Page> pages;
    std::string operator_token;  // never empty
    uint32_t shards = 1;
  };
  // Probes the kernel, makes rings and tables, binds the listeners. Errors are sentences for the operator.
  static Result<std::unique_ptr<Server>> open(Options options);
  ~Server();

  // One per shard, for the engine's constructor.
  std::vector<Transport*> transports();
  const Address& public_address() const { return public_address_; }
  const Address& operator_address() const { return operator_listener_.address(); }
  const Probes& probes() const { return probes_; }
  // For the start line: "2 shards, 4 rings of 20000 places".
  std::string describe() const;

  // Starts the threads.
  void start(Engine& engine);
  // Keys and what is asked of tokens, anew. On an error everything stays as it was. Main's thread.
  Result<void> reload_auth(const Config& config) { return authenticator_->reload(config); }
  // Ends the sleep of a shard's thread; from another shard's thread without a system call of its own.
  void wake(uint32_t shard);
  // Whether every shard's thread has come round since the last call; wakes those that sleep, so that they
  // will have at the next. For whoever watches that none hangs: the caller's pace is its patience. Main's
  // thread.
  bool all_came_round();
  // Says good-bye to everybody, spread over `drain.seconds`. New streams and commands are sent away
  // meanwhile.
  void drain();
  // Every connection has gone since drain().
  bool drained() const;
  // Ends what is left and joins the threads. Idempotent.
  void stop();

 private:
  struct ShardThread {
    uint32_t index = 0;
    std::unique_ptr<Loop> loop;
    Listener listener;
    std::unique_ptr<Gateway> gateway;
    std::thread thread;
    std::atomic<bool> drained{false};
    std::atomic<bool> came_round{false};
  };

  Server(Options options, std::unique_ptr<Authenticator> authenticator);
  Result<void> open_loops();
  Result<void> open_listeners();
  void run(ShardThread& self, Engine& engine);
  void turn(ShardThread& self, class Shard& shard);
  void finish(ShardThread& self, class Shard& shard);
  void pin(const ShardThread& self) const;

  // Constant after open().
  const Options options_;
  Probes probes_;
  const std::unique_ptr<Authenticator> authenticator_;
  OriginPolicy public_origins_, operator_origins_;
  Admission admission_;
  std::unique_ptr<GatewayShared> shared_;
  Address public_address_;
  Listener operator_listener_;
  std::vector<std::unique_ptr<ShardThread>> threads_;
  Engine* engine_ = nullptr;

  // Shared.
  std::atomic<bool> stopping_{false};
};

// The engine's way to wake shards; what is not a shard (the store's writer) goes to `others`.
class LoopWaker : public Waker {
 public:
  LoopWaker(Server& server, uint32_t shards, Waker& others)
      : server_(server), shards_(shards), others_(others) {}
  void wake(uint32_t consumer) override {
    if (consumer < shards_) return server_.wake(consumer);
    others_.wake(consumer);
  }

 private:
  Server& server_;
  const uint32_t shards_;
  Waker& others_;
};

}  // namespace twinwire
