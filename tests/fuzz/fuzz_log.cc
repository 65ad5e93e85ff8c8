// Fuzz target: chat logs as `twinbench replay` reads them. Whatever the bytes: every line becomes one message
// that a server may accept (valid UTF-8, ids without control characters and within bounds), and time never
// falls.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/client/http.h"
#include "bench/client/sse.h"
#include "bench/client/websocket.h"
#include "bench/twinbench/irc_log.h"
#include "core/json.h"
#include "core/status.h"

namespace {

using namespace twinwire;

bool has_control(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7F) return true;
    if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

void check_log(std::string_view bytes) {
  const bench::Log log = bench::parse_log("fuzz", bytes);
  const auto newlines = static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  const bool unended = !bytes.empty() && bytes.back() != '\n';
  TW_CHECK(log.lines.size() == newlines + (unended ? 1 : 0));
  TW_CHECK(log.messages + log.actions + log.notices + log.others == log.lines.size());
  uint32_t last = 0;
  for (const bench::LogLine& line : log.lines) {
    TW_CHECK(line.minute >= last);
    last = line.minute;
    TW_CHECK(!line.user.empty() && line.user.size() <= 128 && valid_utf8(line.user) &&
             !has_control(line.user));
    TW_CHECK(!line.text.empty() && line.text.size() <= 60'000 && valid_utf8(line.text));
  }
  const std::vector<uint64_t> due = bench::schedule_of(log, 5000);
  TW_CHECK(due.size() == log.lines.size() && std::is_sorted(due.begin(), due.end()));
}

struct Nothing : client::ResponseParser::Sink, client::SseParser::Sink, client::WsParser::Sink {
  void on_head(const client::ResponseHead&) override {}
  void on_body(std::string_view) override {}
  void on_complete() override {}
  void on_block(const client::SseParser::Block&) override {}
  void on_text(std::string_view text) override { TW_CHECK(valid_utf8(text)); }
  void on_ping(std::string_view payload) override { TW_CHECK(payload.size() <= 125); }
  void on_close(uint16_t, std::string_view) override {}
};

// The client's readers of what a server sends: no bytes may break them.
void check_client(std::string_view bytes) {
  Nothing nothing;
  client::ResponseParser http(nothing);
  std::string_view rest = bytes;
  while (!rest.empty() && !http.upgraded()) {
    const Result<size_t> taken = http.feed(rest);
    if (!taken) break;
    TW_CHECK(*taken <= rest.size());
    rest.remove_prefix(*taken);
  }
  client::SseParser sse(nothing);
  TW_CHECK(sse.feed(bytes));
  client::WsParser ws(nothing);
  static_cast<void>(static_cast<bool>(ws.feed(bytes)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_log(bytes);
  check_client(bytes);
  return 0;
}
