// HTTP/1.1 from the client's side, without I/O: a URL, a request as bytes, and a parser of answers that is
// fed as bytes arrive. RFC 9110, RFC 9112. Not here: sockets, redirects, TLS, trailers (they are read and
// dropped). Thread: whichever owns the object.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"

namespace twinwire::client {

// Where a server is: http://HOST:PORT with an IPv4 address or "localhost".
struct Endpoint {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string authority() const { return host + ":" + std::to_string(port); }
};
// Accepts "http://HOST[:PORT][/]" and "HOST[:PORT]"; the default port is 80 as RFC 9110 says.
Result<Endpoint> parse_endpoint(std::string_view url);

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;  // Host and Content-Length are added
  std::string body;
};
std::string encode(const Request& request, const Endpoint& to);

struct ResponseHead {
  int status = 0;
  Headers headers;
  bool keep_alive = true;
  // The value of the first header of that name, or nothing.
  std::string_view find(std::string_view name) const;
};

// One answer after another on a connection. Body bytes go to `on_body` as they come, without the chunked
// framing.
class ResponseParser {
 public:
  struct Sink {
    virtual ~Sink() = default;
    virtual void on_head(const ResponseHead& head) = 0;
    virtual void on_body(std::string_view bytes) = 0;
    virtual void on_complete() = 0;
  };
  explicit ResponseParser(Sink& sink) : sink_(sink) {}

  // Reads from the front of `bytes`. Stops behind a 101 or a completed answer; says how much it took.
  // Error: `invalid_argument` when the bytes are not HTTP/1.x or exceed 64 KiB of head.
  Result<size_t> feed(std::string_view bytes);
  // The peer closed. Completes an answer that is delimited by the close; otherwise an error unless idle.
  Result<void> finish();
  // For a new connection.
  void reset() {
    state_ = State::head;
    buffer_.clear();
  }
  // The next answer begins; on_complete has been called for the last.
  bool idle() const { return state_ == State::head && buffer_.empty(); }
  // Behind a 101 the bytes belong to another protocol.
  bool upgraded() const { return state_ == State::upgraded; }

 private:
  enum class State : uint8_t {
    head,
    sized,
    until_close,
    chunk_size,
    chunk_data,
    chunk_end,
    trailer,
    upgraded
  };
  Result<size_t> feed_head(std::string_view bytes);
  Result<void> parse_head(std::string_view text);
  Result<void> begin_body();
  Result<size_t> feed_line(std::string_view bytes);
  Result<void> end_line();
  size_t feed_data(std::string_view bytes);
  void complete();

  Sink& sink_;
  State state_ = State::head;
  std::string buffer_;  // the head, or one line of the chunked framing, until it is whole
  ResponseHead head_;
  uint64_t left_ = 0;
};

}  // namespace twinwire::client
