// Requests with an answer over one kept-alive connection, one at a time: how a client on SSE or polls sends
// commands. Not here: retries. Thread: its loop's. Owns its socket and the queue.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "bench/client/http.h"
#include "bench/client/socket.h"

namespace twinwire::client {

class Poster : Socket::Owner, ResponseParser::Sink {
 public:
  // `status` 0: no answer came, and whether the request was carried out is unknown.
  using Done = std::function<void(int status, std::string_view body)>;

  Poster(Loop& loop, Endpoint to, uint32_t source)
      : loop_(loop), to_(to), source_(source), socket_(loop, *this) {}
  ~Poster() override {
    loop_.cancel(idle_);
    loop_.cancel(settling_);
  }

  void send(Request request, Done done);
  // Ends the connection now; the request under way gets status 0, the others are sent on a new one.
  void drop();

 private:
  struct Waiting {
    Request request;
    Done done;
  };
  void begin();
  void settle(int status, std::string_view body);

  void on_open() override { begin(); }
  void on_data(std::string_view bytes) override;
  void on_end(std::string_view why) override;
  void on_head(const ResponseHead& head) override;
  void on_body(std::string_view bytes) override { body_.append(bytes); }
  void on_complete() override;

  Loop& loop_;
  Endpoint to_;
  uint32_t source_;
  Socket socket_;
  ResponseParser parser_{*this};
  std::deque<Waiting> queue_;  // the front one is under way if `busy_`
  bool busy_ = false;
  bool keep_alive_ = true;
  int status_ = 0;
  std::string body_;
  Loop::TimerId idle_ = Loop::TimerId::none;
  Loop::TimerId settling_ = Loop::TimerId::none;  // an answer is complete and will be told in a moment
};

}  // namespace twinwire::client
