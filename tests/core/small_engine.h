// A whole engine in one thread, for tests: shards on a clock that the test moves, sockets that keep what was
// sent, a store that settles at once and remembers nothing. Not here: faults and seeds (tests/sim).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/shard.h"
#include "tests/support/engine_parts.h"

namespace twinwire {

// Sockets that take everything at once.
class KeepingTransport final : public Transport {
 public:
  void send(ConnectionId id, const char* bytes, size_t size) override { sent[id].append(bytes, size); }
  void submit() override {
    if (on_submit) on_submit();
  }
  void want_writable(ConnectionId) override {}
  void close(ConnectionId id) override { closed.push_back(id); }
  void reply(ConnectionId id, std::string_view, const Reply& reply) override { replies[id] = reply; }
  void stream_opened(ConnectionId) override {}
  std::map<ConnectionId, std::string> sent;
  std::map<ConnectionId, Reply> replies;
  std::vector<ConnectionId> closed;
  std::function<void()> on_submit;
};

class SmallEngine {
 public:
  explicit SmallEngine(uint32_t shards = 1, const Config& wanted = {}, const Bounds& bounds = {})
      : config(wanted), log_(shards) {
    transports_.resize(shards);
    std::vector<Transport*> transports;
    std::vector<Random*> randoms;
    for (uint32_t i = 0; i < shards; i++) {
      transports.push_back(&transports_[i]);
      randoms_.push_back(std::make_unique<test::CountingRandom>(i + 1));
      randoms.push_back(randoms_.back().get());
    }
    Engine::Parts parts = log_.parts(config, clock);
    parts.bounds = bounds;
    engine = std::make_unique<Engine>(parts, transports, randoms);
  }

  Shard& shard(uint32_t i) { return engine->shard(ShardIndex(i)); }
  KeepingTransport& transport(uint32_t i) { return transports_[i]; }
  test::StoredLog& log() { return log_; }

  // One turn of every shard and of the writer.
  void turn() {
    for (uint32_t i = 0; i < transports_.size(); i++) {
      shard(i).tick();
      for (ConnectionId id : std::exchange(transports_[i].closed, {})) {
        ended.push_back({i, id});
        shard(i).connection_closed(id);
      }
    }
    log_.write();
  }
  void settle(int turns = 30) {
    for (int i = 0; i < turns; i++) turn();
  }
  void pass(Millis ms) {
    clock.now += ms;
    settle();
  }

  void open(uint32_t at, ConnectionId id, StreamRequest request) {
    shard(at).connection_opened(id, ++generation_);
    shard(at).open_stream(id, std::move(request));
    settle();
  }
  // A command on a connection of its own; its answer.
  Reply command(uint32_t at, const Identity& who, std::string_view name, std::string_view json,
                SessionId session = {}) {
    ConnectionId id{next_command_++};
    shard(at).connection_opened(id, ++generation_);
    Command command;
    command.row = find_command(name);
    TW_CHECK(command.row);
    auto args = decode_args(*command.row, json, {});
    TW_CHECK(args);
    command.args = std::move(*args);
    command.who = who;
    command.session = session;
    command.origin = ShardIndex(at);
    command.connection = id;
    command.connection_generation = generation_;
    shard(at).command(std::move(command));
    settle();
    Reply reply = transports_[at].replies[id];
    shard(at).connection_closed(id);
    return reply;
  }

  Config config;
  test::MovedClock clock;

 private:
  test::StoredLog log_;  // outlives the engine

 public:
  std::unique_ptr<Engine> engine;
  std::vector<std::pair<uint32_t, ConnectionId>> ended;  // connections that the engine closed

 private:
  std::vector<KeepingTransport> transports_;
  std::vector<std::unique_ptr<test::CountingRandom>> randoms_;
  uint32_t generation_ = 0, next_command_ = 1000;
};

}  // namespace twinwire
