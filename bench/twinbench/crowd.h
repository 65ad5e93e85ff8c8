// Many light readers of a server in one process: each opens a stream as a dialect says, watches the marks
// that come, and counts what is lost, repeated or reordered. They can be cut, come back with a cursor, and
// read slowly. Not here: full clients that keep every rule of the protocol (bench/client), who publishes
// (speakers.h). Thread: the loop's. A reader owns its socket and about 300 bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/client/loop.h"
#include "bench/client/socket.h"
#include "bench/twinbench/dialect.h"
#include "bench/twinbench/mark.h"
#include "bench/twinbench/tally.h"

namespace twinwire::bench {

enum class Mix : uint8_t { sse, ws, mixed };  // mixed: every other reader

std::string room_name(uint32_t room);
// 12 bytes, another for every number below 10^11.
std::string user_name(char letter, uint64_t number);

class Crowd {
 public:
  struct Options {
    client::Endpoint to;
    const Dialect* dialect = nullptr;
    Mix mix = Mix::sse;
    uint32_t first_room = 0;
    uint32_t members = 0;  // of each room, one room after the other; 0: all in the first
    char letter = 'r';
    uint64_t first_user = 0;
    uint32_t first_source = 0;  // index for source_address
    bool timing = false;        // latencies wanted
    uint32_t slow = 0;  // the first so many readers can be throttled: their sockets have small buffers
  };
  Crowd(client::Loop& loop, Options options, Tally& tally);
  ~Crowd();

  void open(uint32_t count);
  uint32_t size() const { return static_cast<uint32_t>(readers_.size()); }
  uint32_t live() const { return static_cast<uint32_t>(tally_.live.get()); }
  uint32_t opening() const { return opening_; }
  // Ends all and forgets them.
  void shut();

  // Ends all, by a reset; they keep their places and can come back.
  void cut();
  // Reopens up to `count` of those that are cut. `began`: what the times until live and complete count from.
  void come_back(uint32_t count, client::Nanos began);
  uint32_t away() const { return away_; }
  // A reader is complete when it has every number below.
  void set_goal(uint32_t number) { goal_ = number; }
  // The cursor behind a message, for readers that come back.
  using Cursors = std::function<std::string_view(uint32_t room, uint32_t number)>;
  void set_cursors(Cursors cursors) { cursors_ = std::move(cursors); }
  // Those that end by themselves count as cut.
  void set_retrying(bool retrying) { retrying_ = retrying; }
  // The slow ones read so many bytes a second each; 0: as fast as they can.
  void throttle(uint64_t bytes_per_second);
  // One of them ends and comes back at once with its cursor. False where it is not live or its cursor is
  // unknown.
  bool restart(uint32_t index);

  uint32_t room_of(uint32_t index) const {
    return options_.first_room + (options_.members == 0 ? 0 : index / options_.members);
  }
  // Says it on the reader's own WebSocket. False where it has none.
  bool speak(uint32_t index, std::string_view text);
  std::string user_of(uint32_t index) const {
    return user_name(options_.letter, options_.first_user + index);
  }
  // The number that a reader is to get next.
  uint32_t next_of(uint32_t index) const;
  Form form_of(uint32_t index) const {
    return options_.mix == Mix::sse || (options_.mix == Mix::mixed && index % 2 == 0) ? Form::sse : Form::ws;
  }
  // Live readers that do not have every number below `total` of their room: the sum of what they miss.
  uint64_t missing(const std::function<uint32_t(uint32_t room)>& total) const;
  // From here each reader expects its room's next number, whatever came before.
  void expect(const std::function<uint32_t(uint32_t room)>& next);
  const Options& options() const { return options_; }

 private:
  class Reader;
  void note_gap(uint32_t index, uint32_t from, uint32_t to);
  void note_late(uint32_t index, uint32_t number);

  client::Loop& loop_;
  Options options_;
  Tally& tally_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<uint32_t> cut_;                              // readers that are away
  std::unordered_map<uint32_t, std::set<uint32_t>> gaps_;  // by reader; only where something was lost
  Cursors cursors_;
  bool retrying_ = false;
  client::Nanos began_ = 0;
  uint32_t goal_ = UINT32_MAX;
  uint32_t opening_ = 0;
  uint32_t away_ = 0;
};

}  // namespace twinwire::bench
