// HttpPost: POSTs to one http:// address over a connection that is kept, with a bound on the time of each.
// For the save hook's own thread: it blocks. Not here: when and what to send (save_hook.h), TLS (a proxy's
// matter).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"
#include "core/types.h"

namespace twinwire {

struct HttpUrl {
  std::string host;    // without brackets
  std::string port;    // "80" unless said
  std::string target;  // path and query
  // As the Host field says it.
  std::string authority() const;
};
// Only "http://…"; `invalid_argument` otherwise.
Result<HttpUrl> parse_http_url(std::string_view text);

struct HttpAnswer {
  int status = 0;
  std::string retry_after;  // the field, "" if absent
};
using HttpPostFields = std::vector<std::pair<std::string, std::string>>;

class HttpPost {
 public:
  HttpPost(HttpUrl url, Millis timeout_ms);
  ~HttpPost();
  // Errors: `overloaded` for whatever kept an answer from coming in time. After `stop` became true it returns
  // within a second.
  Result<HttpAnswer> post(std::string_view body, const HttpPostFields& fields, const std::atomic<bool>& stop);

 private:
  struct Connection;
  Result<void> connect(Millis until_ms, const std::atomic<bool>& stop);
  Result<HttpAnswer> exchange(std::string_view body, const HttpPostFields& fields, Millis until_ms,
                              const std::atomic<bool>& stop);
  Error failed(std::string_view what);

  const HttpUrl url_;
  const Millis timeout_ms_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace twinwire
