// One reader of a replay: a client with a habit (steady, restless, slow, sleepy) and what it saw of each
// room. Not here: who says what when (replay.h). Thread: the loop's. Owns its client and transcripts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/client/client.h"
#include "bench/client/histogram.h"
#include "bench/twinbench/irc_log.h"
#include "bench/twinbench/transcript.h"

namespace twinwire::bench {

// A room under replay: the truth, and when its lines were sent.
struct Stage {
  std::string room;
  Log log;
  std::vector<uint64_t> due;           // nanoseconds from the start
  std::vector<client::Nanos> sent_at;  // the first attempt; 0: not yet
  uint32_t next = 0;                   // the line to send next
  uint32_t acked = 0;
  bool waiting = false;  // line `next` is under way
  uint64_t refused = 0;
};

// What all participants share.
struct Ledger {
  std::string run;                // in front of every clientId
  client::Histogram latency;      // send to receipt, undisturbed readers
  client::Histogram latency_all;  // send to receipt, every reader
  uint64_t deliveries = 0;
  uint64_t unsaved = 0;
  std::map<std::string, uint64_t> resets;  // by reason
  std::string first_fault;                 // one example, for people
};

enum class Habit : uint8_t { steady, restless, slow, sleepy };
std::string_view word_of(Habit habit);

class Participant : client::Client::Watcher {
 public:
  struct Setting {
    client::Client::Options client;
    Habit habit = Habit::steady;
    client::Nanos calm = 0;  // mean time between disturbances
  };
  Participant(client::Loop& loop, Ledger& ledger, Setting setting, std::vector<Stage*> stages);
  ~Participant() override { loop_.cancel(timer_); }

  // Disturbances begin.
  void begin_habit();
  // No more disturbances; the throttle is lifted, and it comes back.
  void calm_down();
  client::Client& client() { return client_; }
  Habit habit() const { return setting_.habit; }
  // Whether every line sent so far has been seen, or more messages came than that.
  bool complete() const;
  Faults check() const;
  uint64_t seen() const;
  // For people: what is wrong and with whom.
  std::string description() const;

 private:
  struct Followed {
    Stage* stage;
    Transcript transcript;
  };
  void on_event(client::Client& client, const client::Event& event) override;
  void on_reset(client::Client& client, std::string_view reason, std::string_view cursor,
                const client::Event& event) override;
  void on_message(Followed& followed, const client::Event& event);
  Followed* followed_of(std::string_view room);
  void disturb_later();
  void disturb();
  void restless_turn();
  client::Transport some_transport();
  uint64_t below(uint64_t bound) { return random_() % bound; }

  client::Loop& loop_;
  Ledger& ledger_;
  Setting setting_;
  std::vector<Followed> rooms_;
  std::mt19937_64 random_;
  const client::Nanos joined_ = client::monotonic_now();
  client::Loop::TimerId timer_ = client::Loop::TimerId::none;
  client::Client client_;
};

}  // namespace twinwire::bench
