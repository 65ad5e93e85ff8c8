// The head of a request through Boost.Beast's basic_parser; alone in a file because Beast is slow to compile.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include "net/http.h"

namespace twinwire {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

class HeadParser : public http::basic_parser<true> {
 public:
  HeadParser(HttpRequest& request, std::string_view& target, size_t fields_max)
      : request_(request), target_(target), fields_max_(fields_max) {
    skip(true);  // the body is read by HttpReader
  }

 private:
  using string_view = beast::string_view;
  using error_code = beast::error_code;

  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       error_code&) override {
    request_.method_text = view(method);
    target_ = view(target);
    request_.http10 = version == 10;
  }
  void on_field_impl(http::field, string_view name, string_view value, error_code& ec) override {
    if (request_.fields.size() >= fields_max_) {
      ec = http::error::header_limit;
      return;
    }
    request_.fields.push_back({view(name), view(value)});
  }
  void on_header_impl(error_code&) override {}
  void on_finish_impl(error_code&) override {}
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    return body.size();
  }

  HttpRequest& request_;
  std::string_view& target_;
  size_t fields_max_;
};

HttpRefusal refusal_of(beast::error_code ec, std::string_view head) {
  if (ec == http::error::header_limit) return {431, "the request has too many header fields"};
  if (ec == http::error::bad_version) {
    // A well-formed version that we do not speak is another thing than a malformed line (RFC 9110, 15.6.6).
    std::string_view line = head.substr(0, head.find('\r'));
    size_t first = line.find(' '), at = line.rfind(" HTTP/");
    bool formed = at != std::string_view::npos && line.find(' ', first + 1) == at && line.size() == at + 9 &&
                  line[at + 6] >= '0' && line[at + 6] <= '9' && line[at + 7] == '.' && line[at + 8] >= '0' &&
                  line[at + 8] <= '9';
    if (formed) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    return {400, "malformed request line"};
  }
  if (ec == http::error::bad_content_length) return {400, "malformed Content-Length"};
  if (ec == http::error::bad_transfer_encoding) {
    return {400, "Transfer-Encoding and Content-Length must come once and not together"};
  }
  if (ec == http::error::bad_method || ec == http::error::bad_target) return {400, "malformed request line"};
  return {400, "malformed header field"};
}

}  // namespace

bool parse_http_head(std::string_view head, size_t fields_max, HttpRequest& request, std::string_view& target,
                     HttpRefusal& refusal) {
  HeadParser parser(request, target, fields_max);
  parser.header_limit(static_cast<std::uint32_t>(head.size()));
  parser.eager(false);
  beast::error_code ec;
  size_t used = 0;
  while (!ec && !parser.is_header_done()) {
    size_t n = parser.put(boost::asio::const_buffer(head.data() + used, head.size() - used), ec);
    used += n;
    if (!ec && n == 0) break;
  }
  if (!ec && parser.is_header_done() && used == head.size()) return true;
  refusal = refusal_of(ec, head);
  return false;
}

}  // namespace twinwire
