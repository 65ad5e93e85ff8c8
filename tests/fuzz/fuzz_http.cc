// Fuzz target: HTTP request bytes. The first byte chooses how they are cut; whole and in pieces must be the
// same, no body may exceed its limit, and nothing is taken twice.
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "net/http.h"
#include "net/origin.h"
#include "net/query.h"
#include "net/websocket.h"

namespace {

using twinwire::HttpField;
using twinwire::HttpReader;

const twinwire::HttpLimits kLimits{.head_bytes = 512, .body_bytes = 256, .fields = 12};

std::string feed(std::string_view bytes, size_t piece) {
  HttpReader reader(kLimits);
  std::string seen;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string copy(bytes.substr(at, piece));
    std::string_view rest = copy;
    for (bool more = true; more;) {
      size_t before = rest.size();
      HttpReader::Step step = reader.next(rest);
      TW_CHECK(rest.size() <= before);
      switch (step) {
        case HttpReader::Step::need_more:
          TW_CHECK(rest.empty());
          more = false;
          break;
        case HttpReader::Step::head:
          break;
        case HttpReader::Step::message: {
          const auto& request = reader.request();
          TW_CHECK(request.body.size() <= kLimits.body_bytes && request.fields.size() <= kLimits.fields);
          TW_CHECK(request.path == "*" || request.path.starts_with('/'));
          seen.append(request.method_text).append(" ").append(request.path).append("?").append(request.query);
          seen.append(request.host).append(request.keep_alive ? "k" : "c");
          for (const HttpField& f : request.fields)
            seen.append("|").append(f.name).append("=").append(f.value);
          seen.append("[").append(request.body).append("]");
          seen += std::to_string(twinwire::check_ws_handshake(request).status);
          twinwire::Query query(request.query);
          seen += std::to_string(query.list("rooms").size()) + query.value("id").value_or("-");
          seen += std::to_string(static_cast<int>(twinwire::OriginPolicy({}).check(request)));
          break;
        }
        case HttpReader::Step::refused:
          TW_CHECK(reader.refusal().status >= 400 && reader.refusal().status < 600);
          return seen + "!" + std::to_string(reader.refusal().status);
      }
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string whole = feed(bytes, bytes.size());
  TW_CHECK(feed(bytes, 1 + data[0] % 40) == whole);
  TW_CHECK(feed(bytes, 1) == whole);
  return 0;
}
