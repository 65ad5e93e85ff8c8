// The client's WebSocket frames: what it sends is masked, and what a server may not send is refused (RFC
// 6455).
#include "bench/client/websocket.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twinwire::client {
namespace {

struct Recorder : WsParser::Sink {
  void on_text(std::string_view message) override { seen.push_back("text " + std::string(message)); }
  void on_binary(std::string_view message) override { seen.push_back("binary " + std::string(message)); }
  void on_ping(std::string_view payload) override { seen.push_back("ping " + std::string(payload)); }
  void on_pong(std::string_view payload) override { seen.push_back("pong " + std::string(payload)); }
  void on_close(uint16_t code, std::string_view reason) override {
    seen.push_back("close " + std::to_string(code) + " " + std::string(reason));
  }
  std::vector<std::string> seen;
};

// A server's frame.
std::string frame(int first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else if (payload.size() <= 0xFFFF) {
    out += static_cast<char>(126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size() & 255);
  } else {
    out += static_cast<char>(127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(payload.size() >> shift);
  }
  out.append(payload);
  return out;
}

TEST(WebSocket, ReadsMessagesFragmentsAndControlFramesInAnyPieces) {
  const std::string long_text(300, 'm');
  const std::string longer_text(70'000, 'l');
  const std::string bytes = frame(0x81, "hello") + frame(0x01, "in ") + frame(0x89, "are you there") +
                            frame(0x00, "three ") + frame(0x8A, "") + frame(0x80, "parts") +
                            frame(0x82, "\xFF") + frame(0x81, long_text) + frame(0x81, longer_text) +
                            frame(0x81, "") + frame(0x88, std::string("\x03\xE9") + "bye") +
                            frame(0x81, "after the close");
  const std::vector<std::string> expected{
      "text hello",        "ping are you there",  "pong ", "text in three parts", "binary \xFF",
      "text " + long_text, "text " + longer_text, "text ", "close 1001 bye"};
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}, bytes.size()}) {
    Recorder recorder;
    WsParser parser(recorder);
    for (size_t at = 0; at < bytes.size(); at += step) {
      ASSERT_TRUE(parser.feed(std::string_view(bytes).substr(at, step)));
    }
    EXPECT_EQ(recorder.seen, expected) << step;
  }
}

TEST(WebSocket, RefusesWhatAServerMayNotSend) {
  const std::string cases[] = {
      std::string("\x81\x80\0\0\0\0", 6),  // masked
      frame(0xC1, "x"),                    // a reserved bit
      frame(0x83, "x"),
      frame(0x8B, "x"),                     // unknown opcodes
      frame(0x80, "x"),                     // a continuation of nothing
      frame(0x01, "x") + frame(0x81, "y"),  // a message inside a message
      frame(0x09, "x"),                     // a fragmented ping
      frame(0x89, std::string(126, 'x')),   // a long ping
      frame(0x88, "x"),                     // half a close code
      frame(0x81, "\xC0\xAF"),
      frame(0x81, "\xED\xA0\x80"),                    // text that is not UTF-8
      std::string("\x81\x7E\0\x05hello", 9),          // a length not in its shortest form
      std::string("\x81\x7F\xFF\0\0\0\0\0\0\0", 10),  // far too long
  };
  for (const std::string& bytes : cases) {
    Recorder recorder;
    WsParser parser(recorder);
    EXPECT_FALSE(parser.feed(bytes)) << testing::PrintToString(bytes.substr(0, 12));
  }
}

TEST(WebSocket, TextMayBeCutInsideACharacter) {
  Recorder recorder;
  WsParser parser(recorder);
  ASSERT_TRUE(parser.feed(frame(0x01, "caf\xC3") + frame(0x80, "\xA9")));
  EXPECT_EQ(recorder.seen, std::vector<std::string>{"text caf\xC3\xA9"});
}

TEST(WebSocket, SendsMaskedFramesOfEveryLength) {
  for (const size_t size : {size_t{0}, size_t{5}, size_t{125}, size_t{126}, size_t{65'535}, size_t{65'536}}) {
    std::string payload(size, 'a');
    std::string out;
    append_frame(out, WsOpcode::text, payload, 0x04030201);
    const size_t header = size < 126 ? 2 : size <= 0xFFFF ? 4 : 10;
    ASSERT_EQ(out.size(), header + 4 + size);
    EXPECT_EQ(static_cast<uint8_t>(out[0]), 0x81);
    EXPECT_TRUE(out[1] & 0x80);
    for (size_t i = 0; i < size; ++i) {
      ASSERT_EQ(out[header + 4 + i] ^ out[header + i % 4], 'a') << i;
    }
  }
}

TEST(WebSocket, CloseReasonsFitAControlFrame) {
  EXPECT_EQ(close_payload(1000, "done"), std::string("\x03\xE8") + "done");
  EXPECT_EQ(close_payload(1000, std::string(500, 'x')).size(), 125u);
}

}  // namespace
}  // namespace twinwire::client
