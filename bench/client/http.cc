#include "bench/client/http.h"

#include <fmt/format.h>

#include <charconv>

#include "bench/client/text.h"

namespace twinwire::client {
namespace {

constexpr size_t kHeadBytesMax = 64 * 1024;
constexpr size_t kLineBytesMax = 8 * 1024;

Error malformed(std::string_view what) {
  return fail(Code::invalid_argument, fmt::format("The answer is not HTTP/1.1: {}.", what));
}

template <typename Number>
bool parse_number(std::string_view text, Number& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view url) {
  std::string_view rest = url;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.find("://") != std::string_view::npos) {
    return fail(Code::invalid_argument, fmt::format("\"{}\" is not an http:// address.", url));
  }
  rest = rest.substr(0, rest.find('/'));
  Endpoint out;
  out.port = 80;
  const size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos) {
    if (!parse_number(rest.substr(colon + 1), out.port) || out.port == 0) {
      return fail(Code::invalid_argument, fmt::format("\"{}\" has no valid port.", url));
    }
    rest = rest.substr(0, colon);
  }
  if (rest.empty()) return fail(Code::invalid_argument, fmt::format("\"{}\" has no host.", url));
  out.host = rest == "localhost" ? "127.0.0.1" : std::string(rest);
  return out;
}

std::string encode(const Request& request, const Endpoint& to) {
  std::string out =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, to.authority());
  for (const auto& [name, value] : request.headers)
    fmt::format_to(std::back_inserter(out), "{}: {}\r\n", name, value);
  if (!request.body.empty() || request.method == "POST") {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", request.body.size());
  }
  out += "\r\n";
  out += request.body;
  return out;
}

std::string_view ResponseHead::find(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

Result<size_t> ResponseParser::feed(std::string_view bytes) {
  size_t taken = 0;
  while (taken < bytes.size() && state_ != State::upgraded) {
    const std::string_view rest = bytes.substr(taken);
    const bool data = state_ == State::sized || state_ == State::until_close || state_ == State::chunk_data;
    if (data) {
      taken += feed_data(rest);
    } else {
      const Result<size_t> step = state_ == State::head ? feed_head(rest) : feed_line(rest);
      if (!step) return step.error();
      taken += *step;
    }
    if (state_ == State::head && buffer_.empty()) break;  // one answer is complete
  }
  return taken;
}

Result<void> ResponseParser::finish() {
  if (state_ == State::until_close) {
    complete();
    return {};
  }
  if (idle() || state_ == State::upgraded) return {};
  return malformed("the connection ended inside it");
}

Result<size_t> ResponseParser::feed_head(std::string_view bytes) {
  const size_t before = buffer_.size();
  buffer_.append(bytes);
  const size_t end = buffer_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == std::string::npos) {
    if (buffer_.size() > kHeadBytesMax) return malformed("the head is longer than 64 KiB");
    return bytes.size();
  }
  const size_t taken = end + 4 - before;
  const std::string text = std::move(buffer_).substr(0, end + 2);
  buffer_.clear();
  if (Result<void> parsed = parse_head(text); !parsed) return parsed.error();
  if (Result<void> begun = begin_body(); !begun) return begun.error();
  return taken;
}

Result<void> ResponseParser::parse_head(std::string_view text) {
  head_ = {};
  const std::string_view line = text.substr(0, text.find("\r\n"));
  text.remove_prefix(line.size() + 2);
  const bool first_is_1_1 = line.starts_with("HTTP/1.1 ");
  if ((!first_is_1_1 && !line.starts_with("HTTP/1.0 ")) || line.size() < 12)
    return malformed("the status line");
  if (!parse_number(line.substr(9, 3), head_.status)) return malformed("the status");
  head_.keep_alive = first_is_1_1;
  while (!text.empty()) {
    const std::string_view header = text.substr(0, text.find("\r\n"));
    text.remove_prefix(header.size() + 2);
    const size_t colon = header.find(':');
    if (colon == 0 || colon == std::string_view::npos) return malformed("a header without a name");
    const std::string_view name = header.substr(0, colon);
    const std::string_view value = trimmed(header.substr(colon + 1));
    if (equals_ignoring_case(name, "connection")) {
      if (equals_ignoring_case(value, "close")) head_.keep_alive = false;
      if (equals_ignoring_case(value, "keep-alive")) head_.keep_alive = true;
    }
    head_.headers.emplace_back(name, value);
  }
  return {};
}

// RFC 9112, 6.3: how long the body is.
Result<void> ResponseParser::begin_body() {
  const std::string_view encoding = head_.find("transfer-encoding");
  const std::string_view length = head_.find("content-length");
  left_ = 0;
  if (head_.status == 101) {
    state_ = State::upgraded;
  } else if (head_.status < 200) {
    return {};  // an interim answer; the real one follows
  } else if (head_.status == 204 || head_.status == 304) {
    state_ = State::sized;
  } else if (!encoding.empty()) {
    if (!equals_ignoring_case(encoding, "chunked")) return malformed("an unknown transfer coding");
    state_ = State::chunk_size;
  } else if (!length.empty()) {
    if (!parse_number(length, left_)) return malformed("the content length");
    state_ = State::sized;
  } else {
    state_ = State::until_close;
    head_.keep_alive = false;
  }
  sink_.on_head(head_);
  if (state_ == State::sized && left_ == 0) complete();
  return {};
}

Result<size_t> ResponseParser::feed_line(std::string_view bytes) {
  const size_t newline = bytes.find('\n');
  const size_t taken = newline == std::string_view::npos ? bytes.size() : newline + 1;
  buffer_.append(bytes.substr(0, taken));
  if (buffer_.size() > kLineBytesMax) return malformed("a chunk line is too long");
  if (newline == std::string_view::npos) return taken;
  if (!buffer_.ends_with("\r\n")) return malformed("a chunk line without CRLF");
  buffer_.resize(buffer_.size() - 2);
  if (Result<void> ended = end_line(); !ended) return ended.error();
  buffer_.clear();
  return taken;
}

Result<void> ResponseParser::end_line() {
  switch (state_) {
    case State::chunk_size: {
      const std::string_view size = trimmed(std::string_view(buffer_).substr(0, buffer_.find(';')));
      if (!parse_number(size, left_, 16)) return malformed("the size of a chunk");
      state_ = left_ == 0 ? State::trailer : State::chunk_data;
      return {};
    }
    case State::chunk_end:
      if (!buffer_.empty()) return malformed("a chunk longer than its size");
      state_ = State::chunk_size;
      return {};
    default:
      if (buffer_.empty()) complete();
      return {};
  }
}

size_t ResponseParser::feed_data(std::string_view bytes) {
  const size_t n = state_ == State::until_close ? bytes.size() : std::min<uint64_t>(left_, bytes.size());
  const bool last = state_ != State::until_close && n == left_;
  if (state_ != State::until_close) left_ -= n;
  const State from = state_;
  if (last && from == State::chunk_data) state_ = State::chunk_end;
  sink_.on_body(bytes.substr(0, n));
  if (last && from == State::sized) complete();
  return n;
}

void ResponseParser::complete() {
  state_ = State::head;
  buffer_.clear();
  sink_.on_complete();
}

}  // namespace twinwire::client
