// A whole engine in one thread, for tests: shards on a clock that the test moves, sockets that keep what was
// sent, a store that settles at once and remembers nothing. Not here: faults and seeds (tests/sim).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/shard.h"

namespace twinwire {

class MovedClock final : public Clock {
 public:
  Millis now_ms() const override { return now; }
  uint64_t wall_ms() const override { return 1'795'176'000'000 + now; }
  Millis now = 1000;
};

class CountingRandom final : public Random {
 public:
  explicit CountingRandom(uint64_t seed = 0) : state_(seed * 0x1000001b3) {}
  uint64_t next() override { return ++state_ * 0x9e3779b97f4a7c15; }

 private:
  uint64_t state_;
};

class ForgetfulHistory final : public History {
 public:
  void read(const ReadRequest&, Done<std::shared_ptr<const ReadAnswer>> done) override {
    done(std::make_shared<ReadAnswer>());
  }
  void load_room(RoomId, const Name&, Done<std::unique_ptr<RoomRecord>> done) override {
    done(std::make_unique<RoomRecord>());
  }
  void load_user(const Name&, RoomId, Done<std::unique_ptr<UserRecord>> done) override {
    done(std::make_unique<UserRecord>());
  }
  void find_idempotent(RoomId, const Name&, std::string_view, Done<IdempotencyRecord> done) override {
    done({});
  }
  bool may_know_room(RoomId) const override { return false; }
  bool may_know_user(RoomId) const override { return false; }
  bool may_know_idempotent(RoomId, const Name&, std::string_view) const override { return false; }
};

// Sockets that take everything at once.
class KeepingTransport final : public Transport {
 public:
  void send(ConnectionId id, const char* bytes, size_t size) override { sent[id].append(bytes, size); }
  void submit() override {}
  void want_writable(ConnectionId) override {}
  void close(ConnectionId id) override { closed.push_back(id); }
  void reply(ConnectionId id, std::string_view, const Reply& reply) override { replies[id] = reply; }
  void stream_opened(ConnectionId) override {}
  std::map<ConnectionId, std::string> sent;
  std::map<ConnectionId, Reply> replies;
  std::vector<ConnectionId> closed;
};

class SmallEngine {
 public:
  explicit SmallEngine(uint32_t shards = 1, const Config& wanted = {}) : config(wanted) {
    boot_.first = Sequence{1};
    boot_.lease_end = Sequence{uint64_t{1} << 40};
    boot_.starts.push_back({Sequence{0}, Sequence{1}, DeliverPolicy::publish});
    Ring::Options options;
    options.slots = 1 << 14;
    options.shards = shards;
    options.lease_end = boot_.lease_end;
    ring = std::make_unique<Ring>(options, waker_);
    durability_ = std::make_unique<Durability>(Sequence{0}, Sequence{1});
    transports_.resize(shards);
    std::vector<Transport*> transports;
    std::vector<Random*> randoms;
    for (uint32_t i = 0; i < shards; i++) {
      transports.push_back(&transports_[i]);
      randoms_.push_back(std::make_unique<CountingRandom>(i + 1));
      randoms.push_back(randoms_.back().get());
    }
    engine = std::make_unique<Engine>(Engine::Parts{config, boot_, clock, *ring, *durability_, history_},
                                      transports, randoms);
  }

  Shard& shard(uint32_t i) { return engine->shard(ShardIndex(i)); }
  KeepingTransport& transport(uint32_t i) { return transports_[i]; }

  // One turn of every shard and of the writer.
  void turn() {
    for (uint32_t i = 0; i < transports_.size(); i++) {
      shard(i).tick();
      for (ConnectionId id : std::exchange(transports_[i].closed, {})) {
        ended.push_back({i, id});
        shard(i).connection_closed(id);
      }
    }
    uint64_t bytes = 0;
    while (const Slot* slot = ring->peek(written_ + 1)) {
      written_ = written_ + 1;
      bytes += slot->bytes;
      if (!slot->kept) continue;
      slot->event->settle(Outcome::stored);
      slot->event->release();
    }
    ring->consumed(ring->writer_consumer(), written_, bytes);
    durability_->set_durable(written_);
    durability_->set_synced(written_);
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
  MovedClock clock;
  std::unique_ptr<Ring> ring;
  std::unique_ptr<Engine> engine;
  std::vector<std::pair<uint32_t, ConnectionId>> ended;  // connections that the engine closed

 private:
  struct NoWaker final : Waker {
    void wake(uint32_t) override {}
  };
  StoreBoot boot_;
  ForgetfulHistory history_;
  NoWaker waker_;
  std::unique_ptr<Durability> durability_;
  Sequence written_;
  std::vector<KeepingTransport> transports_;
  std::vector<std::unique_ptr<CountingRandom>> randoms_;
  uint32_t generation_ = 0, next_command_ = 1000;
};

}  // namespace twinwire
