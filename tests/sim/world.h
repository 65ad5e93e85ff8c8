// World: the whole engine in one thread, driven by one seed: shards, writer, history and clients take turns
// in a random order, over a model of the disk, with faults. Everything that happens follows from the seed.
// Not here: the rules that are checked (checks are in client.cc and world.cc where they are seen), the seeds
// (main.cc).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/engine.h"
#include "core/mutation.h"
#include "core/shard.h"
#include "store/boot.h"
#include "store/history_store.h"
#include "store/retention.h"
#include "store/writer.h"
#include "tests/sim/coverage.h"
#include "tests/sim/model_database.h"

namespace twinwire::sim {

// A rule was broken; the text says which and where.
struct Violation {
  std::string what;
};

class SimClock : public Clock {
 public:
  Millis now_ms() const override { return now; }
  uint64_t wall_ms() const override { return 1'780'000'000'000 + now; }
  Millis now = 1'000'000;
};

class SimRandom : public Random {
 public:
  explicit SimRandom(uint64_t seed) : engine_(seed) {}
  uint64_t next() override { return engine_(); }
  // 0 … n-1.
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool chance(uint32_t per_mille) { return below(1000) < per_mille; }

 private:
  std::mt19937_64 engine_;
};

class NoWaker : public Waker {
 public:
  void wake(uint32_t) override {}
};

// What kind of life a seed has. The number of a seed fixes its kind (main.cc), unless one is named.
enum class Kind : uint8_t {
  plain,        // a few rooms, users and shards
  interleaved,  // rooms with shared members on one or two shards: joined runs, events of other rooms between
  tight,        // every bound tiny: ring, lease, mailboxes, backlog, tails, reads, ticks
  wide,         // all that clients can do: closed rooms, clearing, what is not kept, retries, foreign cursors
  tight_wide,   // both
  crowd,        // 64 shards
  identity,     // wide, with tokens that end, are renewed and revoked, and closed rooms with invitations
};

struct Options {
  uint64_t seed = 1;
  Kind kind = Kind::plain;
  Mutation mutation = Mutation::none;
  store::Sync sync = store::Sync::yes;
  uint32_t steps = 2500;
  bool trace = false;
};

// One kept event as it entered the log, by its own account.
struct TruthEvent {
  uint64_t sequence = 0;
  std::string room;             // the log line's room: its name, or \x01user for an inbox
  std::string type, user, key;  // key: what a client can recognise it by (the message's content)
  std::string subject;          // of a membership's beginning or end
  std::string shown;            // the room that an inbox event is about
  Exclude exclude = Exclude::none;
  SessionId exclude_session;
  uint64_t about = 0;    // the message that it edits or deletes
  uint64_t wall_ms = 0;  // when it was published
  enum class Fate : uint8_t { pending, stored, unsaved, lost } fate = Fate::pending;
  bool given_up = false;  // was unsaved once: a crash may show that it had landed, and nobody is owed it
};

class Client;
class World;

// The far end of one connection: bytes the server sent and the client has not read.
struct Pipe {
  bool open = false;
  uint32_t generation = 0;
  Client* client = nullptr;
  std::string buffer;  // in the "kernel"
  size_t capacity = 4096, received = 0;
  bool wants_writable = false;
  bool closing = false;  // the server has closed: what is in the buffer still arrives
};

class SimTransport : public Transport {
 public:
  SimTransport(World& world, uint32_t shard) : world_(world), shard_(shard) {}
  void send(ConnectionId id, const char* bytes, size_t size) override {
    queued_.push_back({id, bytes, size});
  }
  void submit() override;
  void want_writable(ConnectionId id) override { pipes[index_of(id)].wants_writable = true; }
  void close(ConnectionId id) override;
  void reply(ConnectionId id, std::string_view tag, const Reply& reply) override;
  void stream_opened(ConnectionId) override {}
  ConnectionId connect(Client* client, size_t capacity);
  void drop(ConnectionId id);  // the client's end is gone

  std::vector<Pipe> pipes;

 private:
  struct Send {
    ConnectionId id;
    const char* bytes;
    size_t size;
  };
  World& world_;
  uint32_t shard_;
  std::vector<Send> queued_;
};

class World : private LogWatch {
 public:
  explicit World(const Options& options, Coverage& coverage);
  ~World();
  // Runs the seed to its end; throws Violation.
  void run();

  Shard& shard(uint32_t i) { return engine_->shard(ShardIndex(i)); }
  uint32_t shards() const { return shard_count_; }
  SimTransport& transport(uint32_t i) { return *transports_[i]; }
  SimRandom& random() { return random_; }
  SimClock& clock() { return clock_; }
  Coverage& coverage() { return coverage_; }
  DeliverPolicy policy() const { return config_.server.deliver; }
  const Config& config() const { return config_; }
  Epoch epoch() const { return boot_.epoch; }
  const std::vector<StartRecord>& starts() const { return boot_.starts; }
  const std::map<uint64_t, TruthEvent>& truth() const { return truth_; }
  TruthEvent* find(uint64_t sequence) {
    auto it = truth_.find(sequence);
    return it == truth_.end() ? nullptr : &it->second;
  }
  uint64_t trimmed_through(const std::string& room);
  // Takes in what the log gained and what the writer settled since the last look.
  void observe() {
    tap();
    watch_outcomes();
  }
  bool alive() const { return engine_ != nullptr; }
  // The store of this life has given something up: what was only a mark may go back.
  bool gave_up() const { return durability_->unsaved_events.load(std::memory_order_relaxed) > 0; }
  uint64_t run_number() const { return boot_.starts.size(); }
  bool quieting() const { return quieting_; }
  bool tight() const { return options_.kind == Kind::tight || options_.kind == Kind::tight_wide; }
  bool wide() const { return options_.kind == Kind::wide || options_.kind == Kind::tight_wide || identity(); }
  bool identity() const { return options_.kind == Kind::identity; }
  // Tokens of the user that were issued up to `wall_ms` are refused; streams opened with one end at `place`
  // (0: it is still to come, or there were none).
  struct Revocation {
    std::string user;
    uint64_t wall_ms = 0, place = 0;
  };
  const std::vector<Revocation>& revocations() const { return revocations_; }
  bool revoked(const std::string& user, uint64_t issued_ms) const;
  // The room's new members have been allowed to read what came before.
  bool was_full(const std::string& room) const { return opened_.contains(room); }
  bool was_unsaved(const std::string& key) const { return unsaved_keys_.contains(key); }
  // Of the messages of a room, those below are cleared.
  uint64_t cleared_below(const std::string& room) const {
    auto it = cleared_.find(room);
    return it == cleared_.end() ? 0 : it->second;
  }
  [[noreturn]] void broken(const std::string& what) const;
  void trace(const std::string& what) const;
  const Options& options() const { return options_; }
  const std::vector<std::string>& room_names() const { return rooms_; }
  const std::vector<std::string>& created_rooms() const { return created_; }
  // For client ids of messages: unique in the run.
  uint64_t next_key() { return next_key_++; }

 private:
  void start();
  void stop();
  void crash();
  void step();
  void shard_step(uint32_t i);
  void store_step();
  void faults();
  void tap();
  void learn_fates();
  bool cleared_after_it_landed(const TruthEvent& event);
  void quiet();
  void check_end();
  void check_history();
  void check_changes();
  void revoke();
  void check_shard_invariants();
  void watch_outcomes();
  void publishing(const Event& event, uint64_t mask) override;
  void check_references();
  void sample();
  void gather();
  Engine::Parts parts();

  const Options options_;
  Coverage& coverage_;
  SimRandom random_;
  SimClock clock_;
  Config config_;
  uint32_t shard_count_ = 1;
  std::vector<std::string> rooms_, created_;
  ModelDatabase database_;
  NoWaker waker_;
  uint64_t life_ = 0;

  // One life between two crashes.
  StoreBoot boot_;
  std::unique_ptr<store::SharedState> shared_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<Durability> durability_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<store::HistoryStore> history_;
  std::unique_ptr<store::Retention> retention_;
  std::vector<std::unique_ptr<SimRandom>> randoms_;
  std::vector<std::unique_ptr<SimTransport>> transports_;
  std::unique_ptr<Engine> engine_;
  Sequence tapped_;
  std::vector<uint32_t> asleep_;  // shards that are not scheduled for a while

  std::map<uint64_t, TruthEvent> truth_;
  std::set<std::string> unsaved_keys_, opened_;
  std::vector<Revocation> revocations_;
  std::map<std::string, uint64_t> trimmed_, cleared_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t next_key_ = 1;
  uint64_t last_sequence_ = 0;
  bool quieting_ = false;
  bool retention_on_ = false;
  uint32_t calm_ = 0;
  uint64_t checked_ = 0;               // the newest event whose fate a restart has looked up
  std::vector<EventRef> watched_;      // kept events whose outcome is still open
  std::vector<const Event*> counted_;  // every event of this life, with two references of ours
  std::string miscounted_;             // what publishing() found
  bool failing_ = false, full_ = false;
  Sequence lease_end_;
};

}  // namespace twinwire::sim
