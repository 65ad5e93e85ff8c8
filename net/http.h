// HTTP/1.1 requests from bytes (RFC 9110, RFC 9112): heads, bodies by Content-Length or chunked, keep-alive
// and pipelining. Strict: where the RFC lets a recipient repair a line, we refuse, since two readers of one
// byte stream that repair differently are how requests get smuggled. Head lines are read by Boost.Beast's
// parser; the framing of head and body is ours, because Beast 1.74 aborts on a last chunk that arrives in two
// pieces, and because a complete request is read here in place, without a copy. Not here: routes, answers
// (net/http_response), WebSocket (net/websocket). One thread at a time; owns copies only of what is
// incomplete.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire {

enum class HttpMethod : uint8_t { get, head, post, options, other };

struct HttpField {
  std::string_view name;
  std::string_view value;
};

// Views into the connection's bytes, valid until the reader's next call or the end of the handler.
struct HttpRequest {
  HttpMethod method = HttpMethod::other;
  std::string_view method_text;
  std::string_view path;   // "/api/events", still percent-encoded
  std::string_view query;  // behind the '?', still encoded
  std::string_view
      host;  // of the target if it is absolute, else of the Host field; may be empty with HTTP/1.0
  std::string_view body;  // complete when the reader says `message`
  std::vector<HttpField> fields;
  bool http10 = false;
  bool keep_alive = true;         // what the client wants, and HTTP allows
  bool expects_continue = false;  // waits for "100 Continue" before its body
  bool has_body = false;          // a body is announced
  bool chunked = false;
  uint64_t content_length = 0;

  // The first field of that name (case-insensitive), or nothing.
  std::optional<std::string_view> field(std::string_view name) const;
  // Whether a comma-separated list field holds the token (case-insensitive), in any of its lines.
  bool has_token(std::string_view name, std::string_view token) const;
};

struct HttpLimits {
  size_t head_bytes = 16 << 10;
  size_t body_bytes = 64 << 10;
  size_t fields = 100;
};

// Why a request is refused: a status of RFC 9110 and a sentence. The connection is closed behind the answer.
struct HttpRefusal {
  int status = 0;
  std::string_view sentence;
};

class HttpReader {
 public:
  enum class Step : uint8_t {
    need_more,  // all bytes are taken
    head,       // request() is there but for its body; limit_body() may be called now
    message,    // request() is whole; the next call begins the next request
    refused,    // refusal() says why; nothing more is read
  };

  explicit HttpReader(const HttpLimits& limits) : limits_(limits) {}

  // Takes what it needs from the front of `bytes`, which it shortens. Views in request() point into `bytes`
  // when all of it was there at once; before need_more is returned they are moved into the reader.
  Step next(std::string_view& bytes);

  const HttpRequest& request() const { return request_; }
  const HttpRefusal& refusal() const { return refusal_; }
  // The greatest body of this request, after `head`. Beyond: 413.
  void limit_body(size_t bytes) { body_max_ = bytes; }
  // Nothing of a request has come: no reader need be kept, and no deadline runs.
  bool idle() const { return state_ == State::start && head_.empty(); }
  // Waits for the rest of a head, or of a body.
  bool in_body() const { return state_ >= State::body; }
  // For the next connection: as newly made, keeping a little memory.
  void reset();

 private:
  enum class State : uint8_t {
    start,  // between requests
    head,
    after_head,  // head told, body not begun
    body,        // by Content-Length
    chunk_size,
    chunk_data,
    chunk_end,  // the CRLF behind a chunk
    trailers,
    done,  // message told
    refused,
  };
  // How far the head's lines have been looked at.
  struct Scan {
    size_t line = 0;  // where the present line begins
    size_t at = 0;    // where to go on looking for its end
  };

  Step refuse(int status, std::string_view sentence);
  Step read_head(std::string_view& bytes);
  // Looks for the end of the head in `bytes`; npos: not there yet. False when a line is malformed.
  bool find_end(std::string_view bytes, size_t& end);
  Step parse_head(std::string_view head);
  Step check_fields();
  Step check_body_fields();
  Step begin_body(std::string_view& bytes);
  Step read_length_body(std::string_view& bytes);
  Step read_chunks(std::string_view& bytes);
  bool take_line(std::string_view& bytes, std::string_view& line, size_t max, bool& too_long, bool& bad);
  Step need_more();
  void keep_head();
  Step message(std::string_view body);

  const HttpLimits limits_;
  State state_ = State::start;
  Scan scan_;
  size_t body_max_ = 0;
  uint64_t left_ = 0;  // of the body, or of the chunk
  size_t trailer_bytes_ = 0;
  HttpRequest request_;
  HttpRefusal refusal_;
  std::string head_;  // a partial head, or the kept one
  std::string body_;  // a partial body
  std::string line_;  // a partial line of the chunked framing
  std::string_view head_view_;
};

// Parses a whole head (request line, fields, empty line) with Boost.Beast; false with a refusal. Only http.cc
// calls it; it is apart because of what it includes.
bool parse_http_head(std::string_view head, size_t fields_max, HttpRequest& request, std::string_view& target,
                     HttpRefusal& refusal);

// tchar of RFC 9110, 5.6.2.
bool is_http_token(std::string_view text);
// Case-insensitive, ASCII.
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string_view trim_http(std::string_view text);

}  // namespace twinwire
