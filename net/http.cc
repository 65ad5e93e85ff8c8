#include "net/http.h"

#include <algorithm>
#include <array>

namespace twinwire {
namespace {

constexpr size_t kChunkLineMax = 256;  // size, extensions and CRLF of one chunk
constexpr size_t kKeptMemory = 4096;   // what reset() lets a reader keep

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Whether each of the 256 bytes is one of a kind: one look a byte, since heads are made of hundreds.
using Kind = std::array<bool, 256>;

constexpr Kind token_bytes() {
  Kind kind{};
  for (char c = '0'; c <= '9'; c++) kind[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; c++) kind[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; c++) kind[static_cast<unsigned char>(c)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) kind[static_cast<unsigned char>(c)] = true;
  return kind;
}

constexpr Kind host_bytes() {
  Kind kind{};
  for (size_t byte = 0x21; byte < 0x7f; byte++) kind[byte] = true;
  for (char c : std::string_view("@/\\?#,\"<>{}|^`")) kind[static_cast<unsigned char>(c)] = false;
  return kind;
}

constexpr Kind kTokenBytes = token_bytes(), kHostBytes = host_bytes();

bool is_tchar(char c) { return kTokenBytes[static_cast<unsigned char>(c)]; }

// field-vchar, SP, HTAB (RFC 9110, 5.5): no other control characters anywhere in a value.
bool is_field_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// uri-host [ ":" port ], loosely: no spaces, no user information, digits behind the last colon (RFC
// 9110, 7.2).
bool is_host(std::string_view host) {
  for (char c : host)
    if (!kHostBytes[static_cast<unsigned char>(c)]) return false;
  size_t bracket = host.rfind(']');
  if (!host.empty() && (host[0] == '[') != (bracket != std::string_view::npos)) return false;
  size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return true;
  std::string_view port = host.substr(colon + 1);
  return port.size() <= 5 &&
         std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// `chunk-size [chunk-ext]`, without CRLF. The extension's form is not looked into, only its characters.
bool parse_chunk_line(std::string_view line, uint64_t& size) {
  size = 0;
  size_t i = 0;
  for (; i < line.size() && hex_digit(line[i]) >= 0; i++) {
    if (i >= 15) return false;
    size = size * 16 + static_cast<uint64_t>(hex_digit(line[i]));
  }
  if (i == 0) return false;
  std::string_view rest = line.substr(i);
  while (!rest.empty() && (rest[0] == ' ' || rest[0] == '\t')) rest.remove_prefix(1);
  return (rest.empty() && i == line.size()) || (!rest.empty() && rest[0] == ';' && is_field_value(rest));
}

HttpMethod method_of(std::string_view text) {
  if (text == "GET") return HttpMethod::get;
  if (text == "POST") return HttpMethod::post;
  if (text == "HEAD") return HttpMethod::head;
  if (text == "OPTIONS") return HttpMethod::options;
  return HttpMethod::other;
}

}  // namespace

bool is_http_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_tchar);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim_http(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::string_view> HttpRequest::field(std::string_view name) const {
  for (const HttpField& f : fields) {
    if (equals_ignoring_case(f.name, name)) return f.value;
  }
  return std::nullopt;
}

bool HttpRequest::has_token(std::string_view name, std::string_view token) const {
  for (const HttpField& f : fields) {
    if (!equals_ignoring_case(f.name, name)) continue;
    for (std::string_view rest = f.value;;) {
      size_t comma = rest.find(',');
      if (equals_ignoring_case(trim_http(rest.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}

void HttpReader::reset() {
  state_ = State::start;
  scan_ = {};
  head_.clear();
  body_.clear();
  line_.clear();
  if (head_.capacity() > kKeptMemory) head_.shrink_to_fit();
  if (body_.capacity() > kKeptMemory) body_.shrink_to_fit();
  head_view_ = {};
  trailer_bytes_ = 0;
  std::vector<HttpField> fields = std::move(request_.fields);
  fields.clear();
  request_ = {};
  request_.fields = std::move(fields);
}

HttpReader::Step HttpReader::refuse(int status, std::string_view sentence) {
  state_ = State::refused;
  refusal_ = {status, sentence};
  return Step::refused;
}

HttpReader::Step HttpReader::next(std::string_view& bytes) {
  if (state_ == State::done) reset();
  switch (state_) {
    case State::start:
    case State::head:
      return read_head(bytes);
    case State::after_head:
      return begin_body(bytes);
    case State::body:
      return read_length_body(bytes);
    case State::refused:
      return Step::refused;
    default:
      return read_chunks(bytes);
  }
}

HttpReader::Step HttpReader::need_more() {
  keep_head();
  return Step::need_more;
}

// The bytes that the views point into are about to go: move the head, and the views with it.
void HttpReader::keep_head() {
  if (head_view_.empty() || head_view_.data() == head_.data()) return;
  head_.assign(head_view_);
  auto move = [from = head_view_.data(), to = head_.data()](std::string_view& view) {
    if (view.data() != nullptr) view = {to + (view.data() - from), view.size()};
  };
  for (HttpField& f : request_.fields) {
    move(f.name);
    move(f.value);
  }
  move(request_.method_text);
  move(request_.path);
  move(request_.query);
  move(request_.host);
  head_view_ = head_;
}

// Each line must end in CRLF and nothing else may hold a CR or LF; a continuation line is refused (RFC
// 9112, 2.2 and 5.2). Nothing past the first byte beyond the limit is looked at, so that the verdict does not
// depend on how much has come at once.
bool HttpReader::find_end(std::string_view bytes, size_t& end) {
  end = std::string_view::npos;
  bytes = bytes.substr(0, limits_.head_bytes + 1);
  while (scan_.at < bytes.size()) {
    size_t lf = bytes.find('\n', scan_.at);
    size_t stop = lf == std::string_view::npos ? bytes.size() : lf;
    // A CR may only stand right before the LF, or at the very end of what has come.
    size_t cr = bytes.substr(0, stop).find('\r', scan_.line);
    if (cr != std::string_view::npos && cr + 1 < stop) return false;
    if (lf == std::string_view::npos) {
      scan_.at = bytes.size();
      return true;
    }
    if (cr != lf - 1) return false;
    if (lf - 1 == scan_.line) {
      end = lf + 1;
      return true;
    }
    char first = bytes[scan_.line];
    if (first == ' ' || first == '\t') return false;
    scan_.line = scan_.at = lf + 1;
  }
  return true;
}

HttpReader::Step HttpReader::read_head(std::string_view& bytes) {
  if (state_ == State::start) {
    // Empty lines before a request are skipped (RFC 9112, 2.2).
    while (head_.empty() && bytes.size() >= 2 && bytes[0] == '\r' && bytes[1] == '\n') bytes.remove_prefix(2);
    if (bytes.empty()) return Step::need_more;
    if (head_.empty() && !is_tchar(bytes[0]) && bytes != "\r") return refuse(400, "malformed request line");
  }
  if (!head_.empty()) {
    // Only as much as the limit allows is ever kept.
    size_t room = limits_.head_bytes + 1 - std::min(head_.size(), limits_.head_bytes + 1);
    size_t before = head_.size(), taken = std::min(room, bytes.size()), end;
    head_.append(bytes.substr(0, taken));
    if (state_ == State::start && head_.size() >= 2) {  // "\r" had come alone
      if (head_.compare(0, 2, "\r\n") != 0) return refuse(400, "malformed request line");
      bytes.remove_prefix(2 - before);
      head_.clear();
      return read_head(bytes);
    }
    if (!find_end(head_, end)) return refuse(400, "malformed line ending in the request head");
    if (end == std::string::npos) {
      if (head_.size() > limits_.head_bytes) return refuse(431, "the request head is too large");
      bytes.remove_prefix(taken);
      return Step::need_more;
    }
    if (end > limits_.head_bytes) return refuse(431, "the request head is too large");
    head_.resize(end);
    bytes.remove_prefix(end - before);
    return parse_head(head_);
  }
  if (bytes == "\r") {
    head_ = "\r";
    bytes = {};
    return Step::need_more;
  }
  state_ = State::head;
  size_t end;
  if (!find_end(bytes, end)) return refuse(400, "malformed line ending in the request head");
  if (std::min(end, bytes.size()) > limits_.head_bytes) return refuse(431, "the request head is too large");
  if (end == std::string_view::npos) {
    head_.assign(bytes);
    bytes = {};
    return Step::need_more;
  }
  std::string_view head = bytes.substr(0, end);
  bytes.remove_prefix(end);
  return parse_head(head);
}

HttpReader::Step HttpReader::parse_head(std::string_view head) {
  std::string_view target;
  request_.fields.clear();
  if (!parse_http_head(head, limits_.fields, request_, target, refusal_)) {
    state_ = State::refused;
    return Step::refused;
  }
  head_view_ = head;
  request_.method = method_of(request_.method_text);

  // The four forms of a target (RFC 9112, 3.2).
  std::string_view rest = target;
  bool absolute = false;
  if (equals_ignoring_case(rest.substr(0, 7), "http://") ||
      equals_ignoring_case(rest.substr(0, 8), "https://")) {
    rest.remove_prefix(rest.find("//") + 2);
    size_t end = std::min(rest.find('/'), std::min(rest.find('?'), rest.size()));
    request_.host = rest.substr(0, end);
    rest.remove_prefix(end);
    absolute = true;
    if (request_.host.empty() || !is_host(request_.host)) return refuse(400, "malformed request target");
  }
  if (rest.find('#') != std::string_view::npos) return refuse(400, "malformed request target");
  size_t mark = rest.find('?');
  request_.path = rest.substr(0, mark);
  request_.query = mark == std::string_view::npos ? std::string_view() : rest.substr(mark + 1);
  bool asterisk =
      request_.path == "*" && request_.method == HttpMethod::options && mark == std::string_view::npos;
  if (absolute && request_.path.empty()) request_.path = "/";
  if (!asterisk && (request_.path.empty() || request_.path[0] != '/')) {
    if (request_.method_text == "CONNECT") return refuse(405, "this is no proxy");
    return refuse(400, "malformed request target");
  }
  if (Step step = check_fields(); step == Step::refused) return step;
  if (Step step = check_body_fields(); step == Step::refused) return step;
  state_ = State::after_head;
  body_max_ = limits_.body_bytes;
  return Step::head;
}

HttpReader::Step HttpReader::check_fields() {
  size_t hosts = 0;
  std::string_view host;
  for (const HttpField& f : request_.fields) {
    if (!is_http_token(f.name) || !is_field_value(f.value)) return refuse(400, "malformed header field");
    if (equals_ignoring_case(f.name, "host")) {
      hosts++;
      host = f.value;
    } else if (equals_ignoring_case(f.name, "expect")) {
      // The only expectation there is (RFC 9110, 10.1.1).
      if (!equals_ignoring_case(f.value, "100-continue")) return refuse(417, "unknown expectation");
      request_.expects_continue = !request_.http10;
    }
  }
  if (hosts > 1 || (hosts == 0 && !request_.http10)) return refuse(400, "one Host field is needed");
  if (!is_host(host)) return refuse(400, "malformed Host field");
  if (request_.host.empty()) request_.host = host;
  bool close = request_.has_token("connection", "close");
  request_.keep_alive = !close && (!request_.http10 || request_.has_token("connection", "keep-alive"));
  return Step::head;
}

// RFC 9112, 6: what frames the body must be beyond doubt.
HttpReader::Step HttpReader::check_body_fields() {
  bool length_seen = false, coding_seen = false;
  for (const HttpField& f : request_.fields) {
    if (equals_ignoring_case(f.name, "content-length")) {
      bool digits = !f.value.empty() && f.value.size() <= 18 &&
                    std::all_of(f.value.begin(), f.value.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (length_seen || !digits) return refuse(400, "malformed Content-Length");
      length_seen = true;
      request_.content_length = 0;
      for (char c : f.value)
        request_.content_length = request_.content_length * 10 + static_cast<uint64_t>(c - '0');
    } else if (equals_ignoring_case(f.name, "transfer-encoding")) {
      if (coding_seen || request_.http10) return refuse(400, "malformed Transfer-Encoding");
      coding_seen = true;
      if (equals_ignoring_case(f.value, "chunked")) continue;
      std::string_view last = trim_http(f.value.substr(f.value.rfind(',') + 1));
      if (!equals_ignoring_case(last, "chunked"))
        return refuse(400, "the last transfer coding must be chunked");
      return refuse(501, "no transfer coding but chunked is known here");
    }
  }
  if (length_seen && coding_seen) {
    return refuse(400, "Transfer-Encoding and Content-Length must come once and not together");
  }
  request_.chunked = coding_seen;
  request_.has_body = coding_seen || request_.content_length > 0;
  return Step::head;
}

HttpReader::Step HttpReader::message(std::string_view body) {
  request_.body = body;
  state_ = State::done;
  return Step::message;
}

HttpReader::Step HttpReader::begin_body(std::string_view& bytes) {
  if (!request_.has_body) return message({});
  if (request_.chunked) {
    state_ = State::chunk_size;
    return read_chunks(bytes);
  }
  if (request_.content_length > body_max_) return refuse(413, "the request body is too large");
  if (bytes.size() >= request_.content_length) {  // all of it is here: no copy
    std::string_view body = bytes.substr(0, request_.content_length);
    bytes.remove_prefix(body.size());
    return message(body);
  }
  state_ = State::body;
  left_ = request_.content_length;
  body_.reserve(left_);
  return read_length_body(bytes);
}

HttpReader::Step HttpReader::read_length_body(std::string_view& bytes) {
  size_t taken = std::min<uint64_t>(left_, bytes.size());
  body_.append(bytes.substr(0, taken));
  bytes.remove_prefix(taken);
  left_ -= taken;
  return left_ == 0 ? message(body_) : need_more();
}

// A line of the chunked framing, across calls if need be. False: not yet whole, or `bad` (a CR or LF alone in
// its first `max` bytes), or `too_long`. The line is without CRLF and valid until the next call.
bool HttpReader::take_line(std::string_view& bytes, std::string_view& line, size_t max, bool& too_long,
                           bool& bad) {
  if (!line_.empty() && line_.back() == '\n') line_.clear();  // the one given out last
  std::string_view part = bytes.substr(0, max - line_.size());
  size_t lf = part.find('\n');
  if (lf != std::string_view::npos) part = part.substr(0, lf + 1);
  line_.append(part);
  bytes.remove_prefix(part.size());
  size_t cr = line_.find('\r');
  if (lf == std::string_view::npos) {
    bad = cr != std::string::npos && cr + 1 != line_.size();
    too_long = !bad && !bytes.empty();
    return false;
  }
  if (cr == std::string::npos || cr + 2 != line_.size()) {
    bad = true;
    return false;
  }
  line = std::string_view(line_).substr(0, cr);
  return true;
}

HttpReader::Step HttpReader::read_chunks(std::string_view& bytes) {
  for (;;) {
    if (state_ == State::chunk_data) {
      size_t taken = std::min<uint64_t>(left_, bytes.size());
      body_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      left_ -= taken;
      if (left_ > 0) return need_more();
      state_ = State::chunk_end;
    }
    std::string_view line;
    bool too_long = false, bad = false;
    size_t max = state_ == State::trailers ? limits_.head_bytes - trailer_bytes_ : kChunkLineMax;
    if (!take_line(bytes, line, max, too_long, bad)) {
      if (too_long && state_ == State::trailers) return refuse(431, "the request trailers are too large");
      if (too_long || bad) return refuse(400, "malformed chunk");
      return need_more();
    }
    switch (state_) {
      case State::chunk_size:
        if (!parse_chunk_line(line, left_)) return refuse(400, "malformed chunk");
        if (left_ > body_max_ || body_.size() + left_ > body_max_) {
          return refuse(413, "the request body is too large");
        }
        state_ = left_ == 0 ? State::trailers : State::chunk_data;
        break;
      case State::chunk_end:
        if (!line.empty()) return refuse(400, "malformed chunk");
        state_ = State::chunk_size;
        break;
      default: {  // trailers: checked for form, and not merged into the head (RFC 9110, 6.5.1)
        if (line.empty()) return message(body_);
        trailer_bytes_ += line.size() + 2;
        size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_http_token(line.substr(0, colon)) ||
            !is_field_value(line.substr(colon + 1))) {
          return refuse(400, "malformed trailer field");
        }
      }
    }
  }
}

}  // namespace twinwire
