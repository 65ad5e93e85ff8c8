#include "tools/twinwire/http_post.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>

namespace twinwire {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Error_code = beast::error_code;
using Clock_time = std::chrono::steady_clock::time_point;

constexpr uint64_t kAnswerMax = 1 << 20;
constexpr std::chrono::milliseconds kSlice{50};

}  // namespace

std::string HttpUrl::authority() const {
  std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == "80" ? shown : shown + ":" + port;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  auto wrong = [&] {
    return fail(Code::invalid_argument,
                "\"" + std::string(text) + "\" is not an address like http://host:port/path");
  };
  bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!text.starts_with(kScheme) || !printable) return wrong();
  std::string_view rest = text.substr(kScheme.size());
  size_t slash = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, slash);
  HttpUrl url;
  url.target =
      slash == std::string_view::npos ? "/" : std::string(rest.substr(slash, rest.find('#') - slash));
  if (!url.target.starts_with('/')) url.target = "/" + url.target;
  size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    size_t end = authority.find(']');
    if (end == std::string_view::npos) return wrong();
    url.host = authority.substr(1, end - 1);
    if (colon < end) colon = std::string_view::npos;
  } else {
    url.host = authority.substr(0, colon);
  }
  url.port = colon == std::string_view::npos ? "80" : std::string(authority.substr(colon + 1));
  bool digits = std::all_of(url.port.begin(), url.port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (url.host.empty() || url.port.empty() || url.port.size() > 5 || !digits ||
      authority.find('@') != std::string_view::npos) {
    return wrong();
  }
  return url;
}

struct HttpPost::Connection {
  asio::io_context io;
  asio::ip::tcp::resolver resolver{io};
  beast::tcp_stream stream{io};
  beast::flat_buffer buffer;
  asio::ip::tcp::resolver::results_type addresses;
  std::optional<http::response_parser<http::string_body>> parser;
  std::optional<Error_code> done;  // of what was begun last
  bool open = false;

  // Runs what was begun until it has ended, the time is over, or somebody stops us.
  bool run(Clock_time until, const std::atomic<bool>& stop) {
    io.restart();
    while (!done) {
      if (std::chrono::steady_clock::now() >= until || stop.load(std::memory_order_acquire)) return false;
      io.run_one_for(kSlice);
    }
    return !*done;
  }
};

HttpPost::HttpPost(HttpUrl url, Millis timeout_ms) : url_(std::move(url)), timeout_ms_(timeout_ms) {}
HttpPost::~HttpPost() = default;

Result<void> HttpPost::connect(Millis until_ms, const std::atomic<bool>& stop) {
  Clock_time until{std::chrono::milliseconds(until_ms)};
  connection_ = std::make_unique<Connection>();
  Connection& c = *connection_;
  c.resolver.async_resolve(url_.host, url_.port, [&c](Error_code error, auto found) {
    c.addresses = std::move(found);
    c.done = error;
  });
  if (!c.run(until, stop)) return failed("cannot find");
  c.done.reset();
  c.stream.async_connect(c.addresses, [&c](Error_code error, const auto&) { c.done = error; });
  if (!c.run(until, stop)) return failed("cannot connect to");
  c.open = true;
  return {};
}

Error HttpPost::failed(std::string_view what) {
  const auto& done = connection_->done;
  std::string why = done && *done ? done->message() : "no answer in time";
  connection_.reset();  // and with it what still runs
  return fail(Code::overloaded, std::string(what) + " " + url_.authority() + ": " + why);
}

Result<HttpAnswer> HttpPost::post(std::string_view body, const HttpPostFields& fields,
                                  const std::atomic<bool>& stop) {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  Millis until =
      static_cast<Millis>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) + timeout_ms_;
  if (connection_) {
    // The other side may have closed the kept connection meanwhile: then once more on a new one.
    auto answer = exchange(body, fields, until, stop);
    if (answer || stop.load(std::memory_order_acquire)) return answer;
  }
  if (auto connected = connect(until, stop); !connected) return connected.error();
  return exchange(body, fields, until, stop);
}

Result<HttpAnswer> HttpPost::exchange(std::string_view body, const HttpPostFields& fields, Millis until_ms,
                                      const std::atomic<bool>& stop) {
  Clock_time until{std::chrono::milliseconds(until_ms)};
  Connection& c = *connection_;
  http::request<http::span_body<const char>> request{http::verb::post, url_.target, 11};
  request.set(http::field::host, url_.authority());
  request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "twinwire");
  for (const auto& [name, value] : fields) request.set(name, value);
  request.body() = {body.data(), body.size()};
  request.prepare_payload();
  c.done.reset();
  http::async_write(c.stream, request, [&c](Error_code error, size_t) { c.done = error; });
  if (!c.run(until, stop)) return failed("cannot send to");
  c.done.reset();
  http::response_parser<http::string_body>& parser = c.parser.emplace();
  parser.body_limit(kAnswerMax);
  http::async_read_header(c.stream, c.buffer, parser, [&c](Error_code error, size_t) { c.done = error; });
  if (!c.run(until, stop)) return failed("no answer from");
  HttpAnswer answer;
  const auto& message = parser.get();
  answer.status = static_cast<int>(message.result_int());
  answer.retry_after = std::string(message[http::field::retry_after]);
  // Nobody needs the body: one of known size is read over, so that the connection can be kept; for any other
  // the connection ends. (Beast 1.74 also aborts on a last chunk that comes in two pieces.)
  if (!parser.is_done() && !parser.chunked() && parser.content_length()) {
    c.done.reset();
    http::async_read(c.stream, c.buffer, parser, [&c](Error_code error, size_t) { c.done = error; });
    if (!c.run(until, stop)) return failed("no whole answer from");
  }
  if (!parser.is_done() || !parser.keep_alive()) connection_.reset();
  return answer;
}

}  // namespace twinwire
