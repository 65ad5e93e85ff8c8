#include "net/http_response.h"

#include <stdio.h>
#include <time.h>

namespace twinwire {

std::string_view reason_of(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

namespace {

void append_status_line(std::string& out, int status, std::string_view date) {
  out += "HTTP/1.1 ";
  out += std::to_string(status);
  out += ' ';
  out += reason_of(status);
  out += "\r\n";
  if (!date.empty()) out.append("Date: ").append(date).append("\r\n");
}

}  // namespace

void append_response_head(std::string& out, const ResponseHead& head) {
  append_status_line(out, head.status, head.date);
  if (head.status != 204 && head.status != 304) {
    if (head.content_length > 0 && !head.content_type.empty()) {
      out.append("Content-Type: ").append(head.content_type).append("\r\n");
    }
    out.append("Content-Length: ").append(std::to_string(head.content_length)).append("\r\n");
  }
  out += head.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  out += head.more_fields;
  out += "\r\n";
}

void append_stream_head(std::string& out, std::string_view date, std::string_view more_fields) {
  append_status_line(out, 200, date);
  out +=
      "Content-Type: text/event-stream; charset=utf-8\r\n"
      "Cache-Control: no-store, no-transform\r\n"
      "X-Accel-Buffering: no\r\n"
      "Connection: close\r\n";
  out += more_fields;
  out += "\r\n";
}

std::string http_date(uint64_t wall_ms) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  auto seconds = static_cast<time_t>(wall_ms / 1000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char out[64];
  snprintf(out, sizeof out, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday], utc.tm_mday,
           kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  return out;
}

}  // namespace twinwire
