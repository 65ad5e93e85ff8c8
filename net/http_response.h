// The heads of answers. Bodies are whole (Content-Length) or end with the connection (server-sent events).
// Any thread; appends to a string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twinwire {

struct ResponseHead {
  int status = 200;
  std::string_view content_type = "application/json; charset=utf-8";
  uint64_t content_length = 0;
  bool keep_alive = true;
  std::string_view date = {};         // "Fri, 20 Nov 2026 19:00:00 GMT", or empty
  std::string_view more_fields = {};  // whole lines, each with CRLF
};

// A head with Content-Length (none for 204 and 304).
void append_response_head(std::string& out, const ResponseHead& head);
// The head of a body that ends with the connection: one form of the bytes for every reader, whatever its HTTP
// version.
void append_stream_head(std::string& out, std::string_view date, std::string_view more_fields);
// "Not Found" (RFC 9110, 15).
std::string_view reason_of(int status);
// IMF-fixdate (RFC 9110, 5.6.7), 29 bytes.
std::string http_date(uint64_t wall_ms);

}  // namespace twinwire
