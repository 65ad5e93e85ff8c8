#include "bench/client/poster.h"

namespace twinwire::client {
namespace {

// Below any server's own limit, so that a request seldom meets a connection that is just being closed.
constexpr Nanos kIdle = 5 * kSecond;

}  // namespace

void Poster::send(Request request, Done done) {
  loop_.cancel(idle_);
  queue_.push_back({std::move(request), std::move(done)});
  begin();
}

void Poster::begin() {
  if (busy_ || queue_.empty()) return;
  if (socket_.closed()) {
    parser_.reset();
    socket_.open({.to = to_, .source = source_});
  } else if (socket_.open()) {
    busy_ = true;
    body_.clear();
    socket_.send(encode(queue_.front().request, to_));
  }
}

void Poster::drop() {
  loop_.cancel(settling_);
  socket_.close(true);
  settle(0, "dropped");
}

void Poster::settle(int status, std::string_view body) {
  if (busy_) {
    busy_ = false;
    const Done done = std::move(queue_.front().done);
    queue_.pop_front();
    done(status, body);
  }
  begin();
  if (queue_.empty() && idle_ == Loop::TimerId::none) {
    idle_ = loop_.after(kIdle, [this] {
      idle_ = Loop::TimerId::none;
      if (!busy_) socket_.close(false);
    });
  }
}

void Poster::on_data(std::string_view bytes) {
  while (!bytes.empty() && socket_.open()) {
    const Result<size_t> taken = parser_.feed(bytes);
    if (!taken) {
      socket_.close(false);
      settle(0, taken.error().sentence);
      return;
    }
    bytes.remove_prefix(*taken);
  }
}

void Poster::on_head(const ResponseHead& head) {
  status_ = head.status;
  keep_alive_ = head.keep_alive;
}

void Poster::on_complete() {
  if (!keep_alive_) socket_.close(false);
  // From the loop: this is inside the parser, and what is told may close the socket.
  settling_ = loop_.after(0, [this] {
    settling_ = Loop::TimerId::none;
    settle(status_, std::exchange(body_, {}));
  });
}

void Poster::on_end(std::string_view why) {
  if (settling_ != Loop::TimerId::none || queue_.empty()) return;
  busy_ = true;  // a failed connect answers the first that waits, so that no failure spins
  settle(0, why);
}

}  // namespace twinwire::client
