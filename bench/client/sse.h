// A reader of server-sent events, byte for byte by the WHATWG rules ("Interpreting an event stream").
// Not here: connections and time-outs; what an event means.
// Thread: whichever owns the object. Owns the unfinished block, at most 4 MiB (beyond that it reports an
// error).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twinwire::client {

class SseParser {
 public:
  struct Block {
    std::string_view type;  // "message" where no event: line was sent
    std::string_view data;
    std::string_view last_event_id;  // of the stream at this block
  };
  struct Sink {
    virtual ~Sink() = default;
    virtual void on_block(const Block& block) = 0;
    // A block without data moved the last event id (it fires no event).
    virtual void on_id_only(std::string_view last_event_id) { static_cast<void>(last_event_id); }
    virtual void on_retry(uint64_t milliseconds) { static_cast<void>(milliseconds); }
    virtual void on_comment() {}
  };
  explicit SseParser(Sink& sink) : sink_(sink) {}

  // False when a block grew beyond 4 MiB; the stream is then of no further use.
  [[nodiscard]] bool feed(std::string_view bytes);

 private:
  void line(std::string_view text);
  void field(std::string_view name, std::string_view value);
  void dispatch();

  Sink& sink_;
  std::string partial_;  // a line without its end so far
  std::string data_;
  std::string type_;
  std::string id_;       // the id buffer of the block
  std::string last_id_;  // the stream's last event id string
  bool seen_any_ = false;
  bool skip_newline_ = false;  // the last line ended in CR, a LF right behind it belongs to it
};

}  // namespace twinwire::client
