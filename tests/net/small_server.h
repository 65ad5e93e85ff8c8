// A whole server for the tests of net: engine and network are the real ones; the store is a thread that says
// "stored" to everything it reads, and a history that knows nothing (so only tails are replayed).
#pragma once

#include <time.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/engine.h"
#include "core/history.h"
#include "core/ring.h"
#include "core/shard.h"
#include "net/server.h"
#include "tests/net/loopback.h"
#include "tests/support/engine_parts.h"

namespace twinwire {

class RealClock : public Clock {
 public:
  // Who asks while it is held stands still until it is let go.
  Millis now_ms() const override {
    while (held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return twinwire::now_ms();
  }
  uint64_t wall_ms() const override { return static_cast<uint64_t>(time(nullptr)) * 1000; }
  std::atomic<bool> held{false};
};

class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

class SmallServer {
 public:
  explicit SmallServer(const Config& config, uint32_t shards = 2) : config_(config), durability_({0}, {1}) {
    config_.server.listen = config_.admin.listen = "127.0.0.1:0";
    auto opened = Server::open({config_, clock_, {kPages, 1}, "secret", shards});
    if (!opened) throw std::runtime_error(opened.error().sentence);
    server_ = std::move(*opened);
    waker_ = std::make_unique<LoopWaker>(*server_, shards, nobody_);
    Ring::Options options;
    options.slots = 4096;
    options.shards = shards;
    options.lease_end = {1u << 24};
    ring_ = std::make_unique<Ring>(options, *waker_);
    boot_.epoch = {0x1234};
    boot_.first = {1};
    boot_.lease_end = options.lease_end;
    boot_.starts = {{{0}, {1}, DeliverPolicy::publish}};
    std::vector<Random*> randoms;
    for (uint32_t i = 0; i < shards; i++) {
      randoms_.push_back(std::make_unique<SeededRandom>(i + 1));
      randoms.push_back(randoms_.back().get());
    }
    engine_ = std::make_unique<Engine>(Engine::Parts{config_, boot_, clock_, *ring_, durability_, history_},
                                       server_->transports(), randoms);
    writer_ = std::thread([this] { write(); });
    server_->start(*engine_);
  }
  ~SmallServer() {
    server_->stop();
    stopping_ = true;
    writer_.join();
  }

  const Address& address() const { return server_->public_address(); }
  const Address& operators() const { return server_->operator_address(); }
  Server& server() { return *server_; }
  RealClock& clock() { return clock_; }

 private:
  // The store: everything is stored as soon as it is seen.
  void write() {
    uint32_t self = ring_->writer_consumer();
    for (Sequence next{1}; !stopping_;) {
      const Slot* slot = ring_->peek(next);
      if (!slot) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      if (slot->kept) {
        slot->event->settle(Outcome::stored);
        slot->event->release();
      }
      ring_->consumed(self, next, slot->bytes);
      durability_.set_durable(next);
      durability_.set_synced(next);
      for (uint64_t mask = durability_.take_waiting(); mask; mask &= mask - 1) {
        ring_->wake_if_sleeping(static_cast<uint32_t>(__builtin_ctzll(mask)));
      }
      next = next + 1;
    }
  }

  static constexpr Page kPages[] = {{"/", "text/html; charset=utf-8", "<p>page"}};

  Config config_;
  RealClock clock_;
  Durability durability_;
  test::ForgetfulHistory history_;
  test::ToldWaker nobody_;
  StoreBoot boot_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<LoopWaker> waker_;
  std::unique_ptr<Ring> ring_;
  std::vector<std::unique_ptr<SeededRandom>> randoms_;
  std::unique_ptr<Engine> engine_;
  std::thread writer_;
  std::atomic<bool> stopping_{false};
};

}  // namespace twinwire
