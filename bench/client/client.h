// A device of one user: follows rooms on one stream after another, of any transport, and keeps what
// net/PROTOCOL.md, section 4, asks of clients: the cursor, the drop of what an overlap brings twice, `reset`,
// take-over; sends commands by the stream's WebSocket or by POST, again with the same content until an answer
// comes. Not here: what is done with the events. Thread: its loop's. Owns its streams, its poster, its
// commands.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/client/event.h"
#include "bench/client/loop.h"
#include "bench/client/poster.h"
#include "bench/client/stream.h"

namespace twinwire::client {

class Client : Stream::Owner {
 public:
  struct Options {
    Endpoint to;
    std::string user = {};
    std::vector<std::string> rooms = {};
    Transport transport = Transport::sse;
    std::string cursor = {};  // empty: from now; "earliest"
    bool auth_message = false;
    bool post_only =
        false;  // commands never by the stream's WebSocket (an answer would wait behind what is not read)
    uint32_t source = 0;
    int receive_buffer_bytes = 0;
    uint64_t bytes_per_second = 0;
    uint64_t seed = 1;
  };
  struct Watcher {
    virtual ~Watcher() = default;
    // Each event of the log once, in the order handled; and what is this stream's alone, but `connected`,
    // `reset`, `bye`.
    virtual void on_event(Client& client, const Event& event) = 0;
    // Everything handled above `cursor` in these rooms is to be forgotten where the reason is `rolled_back`.
    virtual void on_reset(Client& client, std::string_view reason, std::string_view cursor,
                          const Event& event) = 0;
    // A stream is open and named the session.
    virtual void on_connected(Client& client, const Event& event) {
      static_cast<void>(client);
      static_cast<void>(event);
    }
  };
  struct Counts {
    uint64_t opened = 0;
    uint64_t ended = 0;    // by the server or the network
    uint64_t dropped = 0;  // by us
    uint64_t taken_over = 0;
    uint64_t overlapped = 0;  // events that came a second time in an overlap, dropped
    uint64_t went_back = 0;   // events on the *same* stream at or below an earlier one: the server's fault
    uint64_t retried = 0;     // commands sent again
  };
  // The final answer. `reply` lives until the call returns.
  using Done = std::function<void(const Reply& reply)>;

  Client(Loop& loop, Watcher& watcher, Options options);
  ~Client() override;

  void start() { open_stream(); }
  void stop();
  // Ends the stream and comes back after `away`; with `forget_session` as a new session with the same cursor.
  struct Drop {
    bool abort = false;
    bool forget_session = false;
    Nanos away = 0;
  };
  void drop(Drop how);
  // Opens a second stream of the same session while the first is still there.
  void take_over(Transport transport);
  // The transport of the next stream.
  void prefer(Transport transport) { options_.transport = transport; }
  void pause();
  void resume();
  void pace(uint64_t bytes_per_second);
  // What is sent between the two leaves in one write.
  void cork();
  void uncork();

  // `data` is the JSON object of the command's parameters. Retried while the failure is retryable or unknown.
  void command(std::string type, std::string data, Done done);

  bool live() const { return stream_ && stream_->live(); }
  const std::string& user() const { return options_.user; }
  const std::string& cursor() const { return options_.cursor; }
  Transport transport() const { return options_.transport; }
  const Counts& counts() const { return counts_; }
  const std::string& last_end() const { return last_end_; }
  const std::string& last_fault() const { return last_fault_; }

 private:
  struct Command {
    std::string type;
    std::string data;
    Done done;
    uint32_t tries = 0;
    Stream* on = nullptr;  // the WebSocket it was sent on
    Loop::TimerId timer = Loop::TimerId::none;
  };
  void open_stream();
  void open_later(Nanos delay);
  void retire(std::unique_ptr<Stream> stream, bool abort);
  void moved(std::string_view cursor);

  void on_event(Stream& stream, const Event& event) override;
  void on_cursor(Stream& stream, std::string_view cursor) override;
  void on_reply(Stream& stream, const Reply& reply) override;
  void on_stream_end(Stream& stream, const Stream::End& end) override;
  void handle_connected(const Event& event);
  void handle_reset(const Event& event);
  void handle_logged(Stream& stream, const Event& event);

  void attempt(uint64_t id);
  void attempt_later(uint64_t id, Nanos delay);
  void settle(uint64_t id, const Reply& reply);
  Nanos backoff(uint32_t tries);

  Loop& loop_;
  Watcher& watcher_;
  Options options_;
  std::string session_;
  std::unique_ptr<Stream> stream_;
  std::string stream_last_;              // the last event id handled from stream_
  std::unique_ptr<Stream> overlapping_;  // the one before, until the server ends it
  std::string overlapping_last_;
  Poster poster_;
  JsonReader json_;
  std::map<uint64_t, Command> commands_;
  uint64_t commands_made_ = 0;
  uint32_t failures_ = 0;
  bool stopped_ = false;
  Loop::TimerId reopen_ = Loop::TimerId::none;
  Loop::TimerId opening_limit_ = Loop::TimerId::none;
  Loop::TimerId overlap_limit_ = Loop::TimerId::none;
  std::mt19937_64 random_;
  std::string last_end_;
  std::string last_fault_;
  Counts counts_;
};

}  // namespace twinwire::client
