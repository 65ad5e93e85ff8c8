// The scanner that finds the harness's own messages in any server's bytes, cut anywhere.
#include "bench/twinbench/mark.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/client/websocket.h"

namespace twinwire::bench {
namespace {

struct Recorder : EventScanner::Sink {
  void on_mark(const Mark& mark) override { seen.push_back("mark " + std::to_string(mark.number)); }
  void on_answer() override { seen.emplace_back("answer"); }
  void on_ping(std::string_view payload) override { seen.push_back("ping " + std::string(payload)); }
  void on_close(std::string_view) override { seen.emplace_back("close"); }
  void on_small_text(std::string_view text) override { seen.push_back("text " + std::string(text)); }
  std::vector<std::string> seen;
};

using Strings = std::vector<std::string>;

Strings scan(Form form, std::string_view bytes, size_t step, const EventScanner::Rules& rules = {}) {
  Recorder recorder;
  EventScanner scanner(form);
  for (size_t at = 0; at < bytes.size(); at += step)
    EXPECT_TRUE(scanner.feed(bytes.substr(at, step), rules, recorder));
  return recorder.seen;
}

std::string server_frame(client::WsOpcode opcode, const std::string& payload) {
  std::string out;
  out += static_cast<char>(0x80 | static_cast<uint8_t>(opcode));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += static_cast<char>(126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size() & 255);
  }
  return out + payload;
}

std::string content(uint32_t number) { return marked_content({number, 0xabcdef0123456789}, 64); }

TEST(Mark, IsReadAsItWasWritten) {
  for (const Mark& mark : {Mark{0, 0}, Mark{42, 1}, Mark{UINT32_MAX, UINT64_MAX}}) {
    std::string text;
    append_mark(text, mark);
    ASSERT_EQ(text.size(), kMarkBytes);
    const std::optional<Mark> read = parse_mark(text.data());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->number, mark.number);
    EXPECT_EQ(read->due, mark.due);
  }
}

TEST(Mark, WhatIsNoMarkIsRefused) {
  for (const std::string text :
       {"~0000000000.000000000000000~~", "~00000000000000000000000000~.", "~000000000x.0000000000000000~",
        "~0000000000.000000000000000G~", "~9999999999.0000000000000000~"}) {
    ASSERT_EQ(text.size(), kMarkBytes);
    EXPECT_FALSE(parse_mark(text.data())) << text;
  }
}

TEST(Mark, AnEventOfAStreamHasComeWithItsBlankLine) {
  const std::string events = "id: 1\ndata: {\"content\":\"" + content(7) +
                             "\"}\n\n: heart\n\nid: 2\r\ndata: ~" + content(8) +
                             "\r\n\r\ndata: ~~~\n\ndata: " + content(9) + "\n";
  for (const size_t step : {size_t{1}, size_t{2}, size_t{13}, size_t{29}, size_t{30}, events.size()})
    EXPECT_EQ(scan(Form::sse, events, step), (Strings{"mark 7", "mark 8"})) << step;
  for (const size_t step : {size_t{1}, size_t{7}, size_t{1000}})
    EXPECT_EQ(scan(Form::sse, events + "\n", step), (Strings{"mark 7", "mark 8", "mark 9"})) << step;
}

TEST(Mark, AWebSocketMessageHasComeWithItsFrame) {
  using client::WsOpcode;
  std::string bytes = server_frame(WsOpcode::text, "{\"content\":\"" + content(1) + "\"}");
  bytes += server_frame(WsOpcode::ping, "are you there");
  bytes += server_frame(WsOpcode::text, "2");
  bytes += server_frame(WsOpcode::text, "{\"type\":\"reply\",\"content\":\"" + content(1) + "\"}");
  bytes += server_frame(WsOpcode::text, content(2) + "\n" + content(3) + std::string(300, 'y'));
  bytes += server_frame(WsOpcode::text, "");
  bytes += server_frame(WsOpcode::close, "");
  const std::string unfinished = server_frame(WsOpcode::text, content(4));
  bytes += unfinished.substr(0, unfinished.size() - 1);
  const EventScanner::Rules rules{.answer = "{\"type\":\"reply\"", .small_texts = true};
  const Strings wanted{"mark 1", "ping are you there", "text 2", "answer", "mark 2", "mark 3", "text ",
                       "close"};
  for (const size_t step : {size_t{1}, size_t{3}, size_t{64}, bytes.size()})
    EXPECT_EQ(scan(Form::ws, bytes, step, rules), wanted) << step;
}

TEST(Mark, AMaskedFrameFromAServerIsRefused) {
  Recorder recorder;
  EventScanner scanner(Form::ws);
  EXPECT_FALSE(scanner.feed(std::string_view("\x81\x85", 2), {}, recorder));
}

}  // namespace
}  // namespace twinwire::bench
