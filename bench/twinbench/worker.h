// What a reader process of the harness does: it holds a share of a target's readers, and says messages when
// it is told to. Orders come over a socket pair; what it counts lies in shared memory. Not here: starting the
// process, adding up over several (crew.h). Thread: one, the process's own.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/client/loop.h"
#include "bench/twinbench/crowd.h"
#include "bench/twinbench/dialect.h"
#include "bench/twinbench/speakers.h"
#include "bench/twinbench/tally.h"

namespace twinwire::bench {

struct Order {
  enum class What : uint32_t {
    open,       // `count` readers, at most `at_once` opening
    shut,       // ends all readers
    speakers,   // `count` lanes for publishing; `by_post`: the dialect's `post` where it has one
    frame,      // the text is the server's frame around a content: `count` bytes before it, the rest behind;
                // one order for each kind of reader that is sent another (`only`, mark.h)
    turn,       // for `nanos`: `count` messages, wait until every reader has them, again
    talk,       // for `nanos` from `start`: `rate` messages a second over its rooms, on time whatever happens
    say,        // `count` messages in each of its rooms, at most `at_once` unanswered; waits for the answers
    pump,       // for `nanos`: every lane keeps `at_once` commands unanswered; counts those not refused
    expect,     // readers expect the next number of their room
    settle,     // what readers miss counts as lost
    clear,      // histograms and faults of the tally
    cut,        // all readers, by resets
    come_back,  // all, at most `at_once` opening; from `start`; done when each has `count` messages of its
                // room (0: when all are live)
    throttle,   // `count` bytes a second for the slow readers; 0: as they can
    drain,      // waits until no reader misses anything
  };
  What what = What::open;
  uint32_t count = 0;
  uint32_t at_once = 200;
  uint32_t cuts = 0;  // talk: readers restarted a second
  uint32_t only = 0;  // frame: of which readers
  bool by_post = false;
  bool by_members = false;  // talk: a member says it
  bool racing = false;
  bool some_lag = false;  // talk: not every reader is waited for at the end
  bool spin = false;      // talk: never sleeps, so that no wake-up of the harness is in a latency
  uint64_t nanos = 0;
  client::Nanos start = 0;
  double rate = 0;
};

struct Answer {
  bool ok = true;
  uint64_t value = 0;  // deliveries, readers, messages
  double seconds = 0;
  std::array<char, 240> sentence{};
};

// Shared between the processes of one crew. The tallies and the cursors follow it in memory.
struct SharedHead {
  Count total;  // messages said in the one room, where there is one
  uint32_t workers = 0;
  uint32_t cursors_per_room = 0;
};
using CursorText = std::array<char, 28>;  // an `eventId`, with a zero behind it

struct Shared {
  SharedHead* head = nullptr;
  Tally* tallies = nullptr;
  CursorText* cursors = nullptr;
};

class Worker {
 public:
  struct Options {
    Crowd::Options crowd;
    Dialect dialect;
    uint32_t index = 0;
    uint32_t rooms = 1;  // its own, from crowd.first_room
    uint32_t content_bytes = 64;
    int channel = -1;
  };
  Worker(Options options, Shared shared);
  ~Worker();
  // Until the channel ends.
  void serve();

 private:
  class Channel;
  Answer execute(const Order& order, std::string_view text);
  Answer open(const Order& order);
  Answer open_speakers(const Order& order);
  Answer turn(const Order& order);
  Answer talk(const Order& order);
  Answer say(const Order& order);
  Answer pump(const Order& order);
  Answer come_back(const Order& order);
  Answer drain();

  uint32_t speaker_in(uint32_t room);
  void say_one(uint32_t room, client::Nanos due, bool by_member);
  void note_answer(std::string_view text);
  uint64_t deliveries() const;
  uint64_t audience() const;
  uint32_t total_of(uint32_t room) const;
  bool run_until(client::Nanos limit, const std::function<bool()>& done);
  // Until so many have come in all. False: nothing came for a while.
  bool run_until_came(uint64_t wanted);
  Tally& tally() const { return shared_.tallies[options_.index]; }
  bool one_room() const { return options_.crowd.members == 0; }

  Options options_;
  Shared shared_;
  client::Loop loop_;
  std::unique_ptr<Crowd> crowd_;
  std::unique_ptr<Speakers> speakers_;
  std::vector<Speakers::Frame> frames_;
  std::vector<uint32_t> totals_;        // said in each of its rooms
  std::vector<uint32_t> last_speaker_;  // in each of its rooms
  std::mt19937_64 random_;
};

}  // namespace twinwire::bench
