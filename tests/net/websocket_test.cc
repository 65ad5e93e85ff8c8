// WebSocket frames and handshake: whole, in pieces, fragmented, and every malformed form by name (RFC 6455).
#include "net/websocket.h"

#include <gtest/gtest.h>

#include <random>

namespace twinwire {
namespace {

std::string frame(uint8_t first, std::string_view payload, int length_form = 0, bool masked = true,
                  uint32_t key = 0x1f2e3d4c) {
  std::string out;
  out += static_cast<char>(first);
  uint8_t mask_bit = masked ? 0x80 : 0;
  size_t n = payload.size();
  if (length_form == 0) length_form = n < 126 ? 7 : n < 65536 ? 16 : 64;
  if (length_form == 7) out += static_cast<char>(mask_bit | n);
  if (length_form == 16) {
    out += static_cast<char>(mask_bit | 126);
    out += static_cast<char>(n >> 8);
    out += static_cast<char>(n);
  }
  if (length_form == 64) {
    out += static_cast<char>(mask_bit | 127);
    for (int i = 7; i >= 0; i--) out += static_cast<char>(uint64_t{n} >> (8 * i));
  }
  if (!masked) return out.append(payload);
  char mask[4] = {static_cast<char>(key >> 24), static_cast<char>(key >> 16), static_cast<char>(key >> 8),
                  static_cast<char>(key)};
  out.append(mask, 4);
  for (size_t i = 0; i < n; i++) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

constexpr uint8_t kFin = 0x80;

std::string feed(std::string_view bytes, size_t piece, uint64_t max = 65536) {
  WsReader reader(max);
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string copy(bytes.substr(at, piece));
    std::span<char> rest(copy);
    for (;;) {
      auto step = reader.next(rest);
      std::string payload(reader.payload());
      if (step == WsReader::Step::need_more) break;
      if (step == WsReader::Step::text) out += "text(" + payload + ")";
      if (step == WsReader::Step::binary) out += "binary(" + payload + ")";
      if (step == WsReader::Step::ping) out += "ping(" + payload + ")";
      if (step == WsReader::Step::pong) out += "pong(" + payload + ")";
      if (step == WsReader::Step::close)
        out += "close(" + std::to_string(reader.close_code()) + payload + ")";
      if (step == WsReader::Step::failed) out += "failed(" + std::to_string(reader.close_code()) + ")";
    }
    EXPECT_TRUE(rest.empty());
  }
  return out;
}

std::string code(uint16_t value, std::string_view reason = "") {
  std::string out;
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
  return out.append(reason);
}

struct Case {
  const char* name;
  std::string bytes;
  std::string seen;
};

std::vector<Case> cases() {
  std::string kilo(1000, 'k'), large(65536, 'L');
  return {
      {"text", frame(kFin | 1, "hello"), "text(hello)"},
      {"empty text", frame(kFin | 1, ""), "text()"},
      {"two", frame(kFin | 1, "a") + frame(kFin | 2, "b"), "text(a)binary(b)"},
      {"16-bit length", frame(kFin | 2, kilo), "binary(" + kilo + ")"},
      {"64-bit length", frame(kFin | 1, large), "text(" + large + ")"},
      {"fragments", frame(1, "he") + frame(0, "ll") + frame(kFin, "o"), "text(hello)"},
      {"empty fragments", frame(1, "") + frame(0, "") + frame(kFin, ""), "text()"},
      {"control in between",
       frame(1, "he") + frame(kFin | 9, "p") + frame(kFin | 10, "q") + frame(kFin, "llo"),
       "ping(p)pong(q)text(hello)"},
      {"a character over two fragments", frame(1, "\xe2\x82") + frame(kFin, "\xac"), "text(\xe2\x82\xac)"},
      {"ping of 125", frame(kFin | 9, std::string(125, 'p')), "ping(" + std::string(125, 'p') + ")"},
      {"close", frame(kFin | 8, ""), "close(1005)"},
      {"close with code", frame(kFin | 8, code(1000, "bye")), "close(1000bye)"},
      {"close 3000", frame(kFin | 8, code(3000)), "close(3000)"},
      {"close 4999", frame(kFin | 8, code(4999)), "close(4999)"},
      {"nothing behind close", frame(kFin | 8, code(1001)) + frame(kFin | 1, "x"), "close(1001)"},

      {"unmasked", frame(kFin | 1, "x", 0, false), "failed(1002)"},
      {"RSV1", frame(kFin | 0x40 | 1, "x"), "failed(1002)"},
      {"RSV2", frame(kFin | 0x20 | 1, "x"), "failed(1002)"},
      {"RSV3 in a control", frame(kFin | 0x10 | 9, "x"), "failed(1002)"},
      {"opcode 3", frame(kFin | 3, "x"), "failed(1002)"},
      {"opcode 7", frame(kFin | 7, "x"), "failed(1002)"},
      {"opcode 11", frame(kFin | 11, "x"), "failed(1002)"},
      {"opcode 15", frame(kFin | 15, "x"), "failed(1002)"},
      {"fragmented ping", frame(9, "x"), "failed(1002)"},
      {"ping of 126", frame(kFin | 9, std::string(126, 'p')), "failed(1002)"},
      {"continuation of nothing", frame(kFin, "x"), "failed(1002)"},
      {"text inside fragments", frame(1, "a") + frame(kFin | 1, "b"), "failed(1002)"},
      {"5 bytes in 16 bits", frame(kFin | 1, "hello", 16), "failed(1002)"},
      {"5 bytes in 64 bits", frame(kFin | 1, "hello", 64), "failed(1002)"},
      {"high bit of 64", std::string("\x82\xff\x80\0\0\0\0\0\0\x01", 10) + "mask", "failed(1002)"},
      {"one too many", frame(kFin | 1, large + "x"), "failed(1009)"},
      {"one too many in fragments", frame(1, large) + frame(kFin, "x"), "failed(1009)"},
      {"a length of exabytes", std::string("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10), "failed(1009)"},
      {"latin-1", frame(kFin | 1, "caf\xe9!"), "failed(1007)"},
      {"cut character", frame(kFin | 1, "\xe2\x82"), "failed(1007)"},
      {"overlong slash", frame(kFin | 1, "\xc0\xaf"), "failed(1007)"},
      {"overlong in three", frame(kFin | 1, "\xe0\x80\xaf"), "failed(1007)"},
      {"surrogate", frame(kFin | 1, "\xed\xa0\x80"), "failed(1007)"},
      {"beyond U+10FFFF", frame(kFin | 1, "\xf4\x90\x80\x80"), "failed(1007)"},
      {"bad text in the first fragment is told at once", frame(1, "\xff") + frame(kFin, "x"), "failed(1007)"},
      {"close of one byte", frame(kFin | 8, "x"), "failed(1002)"},
      {"close 999", frame(kFin | 8, code(999)), "failed(1002)"},
      {"close 1004", frame(kFin | 8, code(1004)), "failed(1002)"},
      {"close 1005", frame(kFin | 8, code(1005)), "failed(1002)"},
      {"close 1006", frame(kFin | 8, code(1006)), "failed(1002)"},
      {"close 1015", frame(kFin | 8, code(1015)), "failed(1002)"},
      {"close 2000", frame(kFin | 8, code(2000)), "failed(1002)"},
      {"close 5000", frame(kFin | 8, code(5000)), "failed(1002)"},
      {"close with bad reason", frame(kFin | 8, code(1000, "\xff")), "failed(1007)"},
      {"close with cut reason", frame(kFin | 8, code(1000, "\xe2\x82")), "failed(1007)"},
  };
}

TEST(WebSocket, FramesGoodAndBad) {
  for (const Case& c : cases()) {
    for (size_t piece : {c.bytes.size(), size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{4096}}) {
      EXPECT_EQ(feed(c.bytes, piece), c.seen) << c.name << " in pieces of " << piece;
    }
  }
}

// The first impossible byte ends the connection, although the frame is not over (fail fast).
TEST(WebSocket, BadTextIsFoundBeforeTheFrameEnds) {
  std::string bytes = frame(kFin | 1, std::string("ok \xf5") + std::string(100, 'x'));
  WsReader reader(65536);
  std::span<char> part = std::span<char>(bytes).first(6 + 4);
  EXPECT_EQ(reader.next(part), WsReader::Step::failed);
  EXPECT_EQ(reader.close_code(), 1007);
}

TEST(WebSocket, TooLongIsFoundInTheHeader) {
  std::string bytes = frame(kFin | 2, std::string(70000, 'x')).substr(0, 10);
  WsReader reader(65536);
  std::span<char> part(bytes);
  EXPECT_EQ(reader.next(part), WsReader::Step::failed);
  EXPECT_EQ(reader.close_code(), 1009);
}

TEST(WebSocket, AWholeMessageIsReadInPlace) {
  std::string bytes = frame(kFin | 1, "in place");
  WsReader reader(65536);
  std::span<char> rest(bytes);
  ASSERT_EQ(reader.next(rest), WsReader::Step::text);
  EXPECT_EQ(reader.payload().data(), bytes.data() + 6);
  EXPECT_EQ(reader.next(rest), WsReader::Step::need_more);
  EXPECT_TRUE(reader.idle());
  std::string part = frame(1, "x");
  rest = part;
  EXPECT_EQ(reader.next(rest), WsReader::Step::need_more);
  EXPECT_FALSE(reader.idle());
}

TEST(WebSocket, RandomFragmentsComeTogether) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; round++) {
    std::string bytes, seen;
    for (int m = 0; m < 4; m++) {
      bool text = random() % 2;
      std::string message;
      for (size_t n = random() % 700; message.size() < n;)
        message += text ? "a\xc3\xa9\xf0\x9f\x98\x80" : "\xff\x00z";
      size_t at = 0;
      for (bool first = true;; first = false) {
        size_t n = random() % (message.size() - at + 1);
        bool last = random() % 4 == 0;
        if (last) n = message.size() - at;
        auto opcode = static_cast<uint8_t>(first ? (text ? 1 : 2) : 0);
        bytes +=
            frame(static_cast<uint8_t>((last ? kFin : 0) | opcode), message.substr(at, n), 0, true, random());
        at += n;
        if (last) break;
        if (random() % 3 == 0) {
          bytes += frame(kFin | 9, "!", 0, true, random());
          seen += "ping(!)";
        }
      }
      seen += (text ? "text(" : "binary(") + message + ")";
    }
    ASSERT_EQ(feed(bytes, 1 + random() % 300), seen) << round;
  }
}

TEST(WebSocket, WritesFrames) {
  std::string out;
  append_ws_frame(out, kWsPong, "hi");
  EXPECT_EQ(out, std::string("\x8a\x02hi"));
  out.clear();
  append_ws_close(out, 4401, "no");
  EXPECT_EQ(out, std::string("\x88\x04\x11\x31no"));
  out.clear();
  std::string reason;
  for (int i = 0; i < 60; i++) reason += "\xe2\x82\xac";
  append_ws_close(out, 1000, reason);
  EXPECT_EQ(out.size(), 2u + 2 + 123);
  out.clear();
  append_ws_close(out, 1000, "a" + reason);
  EXPECT_EQ(out.size(), 2u + 2 + 121);
}

WsHandshake shake(const std::string& fields, const std::string& line = "GET /ws HTTP/1.1") {
  static HttpReader* reader = nullptr;
  static std::string bytes;
  delete reader;
  reader = new HttpReader(HttpLimits{});
  bytes = line + "\r\nHost: x\r\n" + fields + "\r\n";
  std::string_view rest = bytes;
  EXPECT_EQ(reader->next(rest), HttpReader::Step::head);
  return check_ws_handshake(reader->request());
}

TEST(WebSocket, Handshake) {
  const std::string up = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";
  const std::string version = "Sec-WebSocket-Version: 13\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  WsHandshake good = shake(up + version + key);
  EXPECT_EQ(good.status, 101);
  EXPECT_EQ(good.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455, 1.3
  EXPECT_FALSE(good.subprotocol);
  WsHandshake sub = shake(up + version + key + "Sec-WebSocket-Protocol: chat, twinwire.v1\r\n");
  EXPECT_TRUE(sub.subprotocol);
  std::string out;
  append_ws_accept(out, sub);
  EXPECT_NE(out.find("Sec-WebSocket-Protocol: twinwire.v1\r\n"), std::string::npos);

  EXPECT_EQ(shake(up + version + key, "POST /ws HTTP/1.1").status, 405);
  EXPECT_EQ(shake(version + key).status, 426);
  EXPECT_EQ(shake("Upgrade: websocket\r\n" + version + key).status, 426);
  EXPECT_EQ(shake("Upgrade: h2c\r\nConnection: upgrade\r\n" + version + key).status, 426);
  EXPECT_EQ(shake(up + key).status, 426);
  EXPECT_EQ(shake(up + "Sec-WebSocket-Version: 8\r\n" + key).status, 426);
  EXPECT_EQ(shake(up + version).status, 400);
  EXPECT_EQ(shake(up + version + key + key).status, 400);
  EXPECT_EQ(shake(up + version + "Sec-WebSocket-Key: short\r\n").status, 400);
  EXPECT_EQ(shake(up + version + "Sec-WebSocket-Key: !!hlIHNhbXBsZSBub25jZQ==\r\n").status, 400);
  EXPECT_EQ(shake(up + version + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n").status, 400);
  EXPECT_EQ(shake(up + version + key, "GET /ws HTTP/1.0").status, 400);
}

}  // namespace
}  // namespace twinwire
