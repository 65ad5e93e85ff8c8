// Fuzz target: WebSocket bytes of a client. The first byte chooses how they are cut; whole and in pieces must
// be the same, a text is always valid UTF-8, and no message exceeds its limit.
#include <cstdint>
#include <span>
#include <string>

#include "core/json.h"
#include "core/status.h"
#include "net/websocket.h"

namespace {

using twinwire::WsReader;
constexpr uint64_t kMessageMax = 300;

std::string feed(std::string_view bytes, size_t piece) {
  WsReader reader(kMessageMax);
  std::string seen;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string copy(bytes.substr(at, piece));
    std::span<char> rest(copy);
    for (;;) {
      WsReader::Step step = reader.next(rest);
      if (step == WsReader::Step::need_more) {
        TW_CHECK(rest.empty());
        break;
      }
      std::string_view payload = reader.payload();
      TW_CHECK(payload.size() <= kMessageMax);
      if (step == WsReader::Step::text) TW_CHECK(twinwire::valid_utf8(payload));
      if (step == WsReader::Step::ping || step == WsReader::Step::pong) TW_CHECK(payload.size() <= 125);
      seen += static_cast<char>('a' + static_cast<int>(step));
      if (step == WsReader::Step::close || step == WsReader::Step::failed)
        seen += std::to_string(reader.close_code());
      seen.append(payload).append(";");
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string whole = feed(bytes, bytes.size());
  TW_CHECK(feed(bytes, 1 + data[0] % 20) == whole);
  TW_CHECK(feed(bytes, 1) == whole);
  return 0;
}
