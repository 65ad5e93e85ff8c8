// The parts around an engine under test that have nothing to say: a clock that the test moves, a history that
// knows nothing, a log whose writer stores at once whatever it is told to. Not here: sockets (each test keeps
// what it wants of them), disks, faults and seeds (tests/sim, tests/store). One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/engine.h"
#include "core/event.h"
#include "core/history.h"
#include "core/ring.h"

namespace twinwire::test {

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

// A store that never heard of anything, and says so at once. Any thread.
class ForgetfulHistory final : public History {
 public:
  void read(const ReadRequest&, Done<std::shared_ptr<const ReadAnswer>> done) override {
    done(std::make_shared<ReadAnswer>());
  }
  void load_room(RoomId, const Name& name, Done<std::unique_ptr<RoomRecord>> done) override {
    auto record = std::make_unique<RoomRecord>();
    record->tenant = name.tenant();
    record->name = name.text();
    done(std::move(record));
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

// Nobody sleeps, but where a test says so: then it hears who is woken.
class ToldWaker final : public Waker {
 public:
  void wake(uint32_t consumer) override {
    if (on_wake) on_wake(consumer);
  }
  std::function<void(uint32_t)> on_wake;
};

// A receipt as it was to be stored.
struct MarkerSeen {
  std::string type, user;
  Sequence upto;
};

// A log from its first sequence in this run, with the writer's place in it.
class StoredLog {
 public:
  explicit StoredLog(uint32_t shards = 1, uint64_t first = 1, uint32_t slots = 1 << 14)
      : durability(Sequence{first - 1}, Sequence{first}), written_{first - 1} {
    boot.first = Sequence{first};
    boot.settled = Sequence{first - 1};
    boot.lease_end = Sequence{uint64_t{1} << 40};
    boot.starts.push_back({boot.settled, boot.first, DeliverPolicy::publish});
    Ring::Options options;
    options.slots = slots;
    options.shards = shards;
    options.first = boot.first;
    options.lease_end = boot.lease_end;
    ring = std::make_unique<Ring>(options, waker_);
  }
  ~StoredLog() { write(Outcome::unsaved); }  // lets go of what the writer's place has prepaid
  Engine::Parts parts(const Config& config, const Clock& clock) {
    return {config, boot, clock, *ring, durability, history};
  }
  // The writer takes what the ring holds; `outcome` is how it ends.
  void write(Outcome outcome = Outcome::stored) {
    write([outcome](const Event&) { return outcome; });
  }
  // The same, with an outcome for each event.
  void write(const std::function<Outcome(const Event&)>& outcome_of) {
    uint64_t bytes = 0;
    const Sequence before = written_;
    while (const Slot* slot = ring->peek(written_ + 1)) {
      written_ = written_ + 1;
      bytes += slot->bytes;
      if (!slot->kept) continue;
      if (slot->marker)
        markers.push_back({std::string(slot->event->type()), std::string(slot->event->user().text()),
                           slot->event->about()});
      slot->event->settle(outcome_of(*slot->event));
      slot->event->release();
    }
    if (written_ == before) return;
    ring->consumed(ring->writer_consumer(), written_, bytes);
    durability.set_durable(written_);
    durability.set_synced(written_);
  }

  StoreBoot boot;
  std::unique_ptr<Ring> ring;
  Durability durability;
  ForgetfulHistory history;
  std::vector<MarkerSeen> markers;
  // The writer sleeps from now on until it is woken; `on_wake` is called then, once.
  void let_writer_sleep(std::function<void()> on_wake) {
    waker_.on_wake = [this, on_wake = std::move(on_wake)](uint32_t consumer) {
      if (consumer != ring->writer_consumer()) return;
      ring->set_sleeping(consumer, false);
      on_wake();
    };
    ring->set_sleeping(ring->writer_consumer(), true);
  }

 private:
  ToldWaker waker_;
  Sequence written_;
};

}  // namespace twinwire::test
