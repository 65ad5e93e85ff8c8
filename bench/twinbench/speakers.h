// The ways in: a few connections by which messages are given to a server, as its dialect says (POST,
// WebSocket, or floor_bare's records), pipelined or one at a time, with their answers counted. A room keeps
// to one connection, so its messages arrive in their order. Not here: what is said and when (worker.h).
// Thread: the loop's. Owns its sockets and what waits for an answer.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/client/http.h"
#include "bench/client/loop.h"
#include "bench/client/socket.h"
#include "bench/client/websocket.h"
#include "bench/twinbench/dialect.h"
#include "bench/twinbench/tally.h"

namespace twinwire::bench {

class Speakers {
 public:
  struct Options {
    client::Endpoint to;
    const Dialect::Publishing* way = nullptr;
    uint32_t lanes = 1;
    char letter = 's';
    uint32_t first_source = 0;
    bool racing = false;  // any free lane for any message: order is not kept
  };
  // What goes before a content and behind it, where the way is `records`: the frame's bytes; `only`: 0, or
  // for which readers (mark.h).
  struct Frame {
    uint32_t only = 0;
    std::string head;
    std::string tail;
  };
  struct Saying {
    uint32_t room = 0;
    std::string_view user;  // empty: the lane's own
    std::string_view content;
    client::Nanos due = 0;
  };
  Speakers(client::Loop& loop, Options options, Tally& tally);
  ~Speakers();

  void open();
  bool live() const;
  // A record of each goes out for a message.
  void set_frames(std::vector<Frame> frames) { frames_ = std::move(frames); }
  // Each answer's text, in order on each lane.
  void set_on_answer(std::function<void(std::string_view text)> on_answer) {
    on_answer_ = std::move(on_answer);
  }
  void say(const Saying& saying);
  // What is said between the two leaves in one write for each lane.
  void cork();
  void uncork();
  uint64_t unanswered() const { return unanswered_; }
  bool answers_come() const;
  const std::string& last_end() const { return last_end_; }

 private:
  class Lane;
  client::Loop& loop_;
  Options options_;
  Tally& tally_;
  std::vector<Frame> frames_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::function<void(std::string_view)> on_answer_;
  uint64_t unanswered_ = 0;
  uint64_t turn_ = 0;
  std::string last_end_;
};

}  // namespace twinwire::bench
