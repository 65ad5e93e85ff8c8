// One stream of events from a server: an SSE answer, a WebSocket, or a series of polls (net/PROTOCOL.md,
// "Streams"). Opens once and ends once. Not here: reconnecting, cursors over several streams, retries: those
// are Client's. Thread: its loop's. Owns its socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/client/event.h"
#include "bench/client/http.h"
#include "bench/client/socket.h"
#include "bench/client/sse.h"
#include "bench/client/websocket.h"

namespace twinwire::client {

enum class Transport : uint8_t { sse, ws, poll };
std::string_view word_of(Transport transport);

class Stream : Socket::Owner, ResponseParser::Sink, SseParser::Sink, WsParser::Sink {
 public:
  struct Options {
    Endpoint to;
    Transport transport = Transport::sse;
    std::string user;
    std::vector<std::string> rooms;
    std::string session;        // to continue; empty: a new one
    std::string cursor;         // empty: from now; "earliest": from the oldest kept event
    bool auth_message = false;  // WS only: name the user by the `auth` message instead of `?id=`
    uint32_t poll_wait_seconds = 5;
    uint32_t source = 0;
    int receive_buffer_bytes = 0;
    uint64_t bytes_per_second = 0;
  };
  struct End {
    int status = 0;      // HTTP status where one came, else 0
    int close_code = 0;  // WebSocket close code where one came, else 0
    std::string why;
  };
  struct Owner {
    virtual ~Owner() = default;
    // Every event, `connected`, `reset` and `bye` too.
    virtual void on_event(Stream& stream, const Event& event) = 0;
    // From here a resume would continue. After the event it belongs to.
    virtual void on_cursor(Stream& stream, std::string_view cursor) = 0;
    virtual void on_reply(Stream& stream, const Reply& reply) = 0;
    // Called at most once, never after close(). The owner destroys the stream later, not in the call.
    virtual void on_stream_end(Stream& stream, const End& end) = 0;
  };

  Stream(Loop& loop, Owner& owner, Options options);
  ~Stream() override { loop_.cancel(next_poll_); }

  void open();
  void close(bool abort);
  // Polls: the answer under way is the last one. (Asking again would take the session back from its new
  // stream.)
  void make_last() { last_ = true; }
  // `connected` has come.
  bool live() const { return live_; }
  Transport transport() const { return options_.transport; }
  // WS only, once live: one text message.
  void send_text(std::string_view json);
  Socket& socket() { return socket_; }

 private:
  enum class State : uint8_t { closed, connecting, answering, streaming };
  std::string target() const;
  void request();
  void finish(End end);

  void on_open() override;
  void on_data(std::string_view bytes) override;
  void on_end(std::string_view why) override;
  void on_head(const ResponseHead& head) override;
  void on_body(std::string_view bytes) override;
  void on_complete() override;
  void on_block(const SseParser::Block& block) override;
  void on_id_only(std::string_view last_event_id) override;
  void on_text(std::string_view message) override;
  void on_ping(std::string_view payload) override;
  void on_close(uint16_t code, std::string_view reason) override;

  void deliver(const Json& json, std::string_view sse_id);
  void poll_answer();
  void send_frame(WsOpcode opcode, std::string_view payload);

  Loop& loop_;
  Stream::Owner& owner_;
  Options options_;
  Socket socket_;
  ResponseParser http_;
  SseParser sse_;
  WsParser ws_;
  JsonReader json_;
  State state_ = State::closed;
  bool live_ = false;
  bool last_ = false;
  int status_ = 0;
  bool keep_alive_ = true;
  std::string body_;  // of an answer that is not a stream
  uint32_t mask_;
  Loop::TimerId next_poll_ = Loop::TimerId::none;
};

}  // namespace twinwire::client
