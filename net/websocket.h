// WebSocket frames and the opening handshake, server side (RFC 6455, without extensions).
// The reader unmasks in place, puts fragmented messages together, lets control frames pass in between, and
// checks UTF-8, lengths, reserved bits, close codes and the size of a message as the bytes arrive. Not here:
// what messages mean (net/gateway), pings and time-outs (net/connection). One thread at a time; owns copies
// only of what is incomplete.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/http.h"
#include "net/utf8.h"

namespace twinwire {

// Opcodes (RFC 6455, 11.8).
inline constexpr uint8_t kWsText = 1, kWsBinary = 2, kWsClose = 8, kWsPing = 9, kWsPong = 10;

// Close codes (RFC 6455, 7.4.1).
inline constexpr uint16_t kWsCloseNormal = 1000, kWsCloseGoingAway = 1001, kWsCloseProtocolError = 1002,
                          kWsCloseUnsupported = 1003, kWsCloseNoStatus = 1005, kWsCloseBadData = 1007,
                          kWsClosePolicy = 1008, kWsCloseTooBig = 1009;

class WsReader {
 public:
  enum class Step : uint8_t {
    need_more,  // all bytes are taken
    text,       // payload(): a whole message, valid UTF-8
    binary,     // payload(): a whole message
    ping,       // payload(): at most 125 bytes, to be returned in a pong
    pong,
    close,   // close_code() (1005 if none) and payload(): the reason; nothing more is read
    failed,  // close_code() says what to answer; nothing more is read
  };

  explicit WsReader(uint64_t message_max) : message_max_(message_max) {}

  // Takes what it needs from the front of `bytes`, which it shortens, and changes them in place. payload() is
  // valid until the next call.
  Step next(std::span<char>& bytes);

  std::string_view payload() const { return payload_; }
  uint16_t close_code() const { return close_code_; }
  // Nothing of a frame or message is waited for: no reader need be kept.
  bool idle() const { return header_size_ == 0 && !in_payload_ && message_opcode_ == 0 && !ended_; }

 private:
  Step fail(uint16_t code);
  bool read_header(std::span<char>& bytes, Step& step);
  Step read_payload(std::span<char>& bytes);
  Step read_control(std::span<char>& bytes);
  Step end_control();
  Step end_message(std::string_view payload);
  Step end_close(std::string_view payload);
  void unmask(std::span<char> bytes);

  const uint64_t message_max_;
  uint64_t left_ = 0;   // of the present frame's payload
  uint8_t header_[14];  // a frame's header, as far as it has come
  uint8_t header_size_ = 0;
  uint8_t mask_[4];
  uint8_t mask_at_ = 0;
  uint8_t opcode_ = 0;          // of the present frame
  uint8_t message_opcode_ = 0;  // of the message that is being put together, 0: none
  bool fin_ = false;
  bool in_payload_ = false;
  bool ended_ = false;  // after close or failed
  bool message_given_ = false;
  uint16_t close_code_ = 0;
  uint8_t control_size_ = 0;
  char control_[125];
  Utf8Check utf8_;
  std::string message_;
  std::string_view payload_;
};

// Appends a server's frame (unmasked, FIN set).
void append_ws_frame(std::string& out, uint8_t opcode, std::string_view payload);
// A close frame; the reason is cut to what fits, at a character's edge.
void append_ws_close(std::string& out, uint16_t code, std::string_view reason);

// What a request for /ws comes to (RFC 6455, 4.2).
struct WsHandshake {
  int status = 101;  // else 400, 405 or 426, with a sentence
  std::string_view sentence;
  std::string accept;        // Sec-WebSocket-Accept
  bool subprotocol = false;  // `twinwire.v1` was offered: to be echoed
};
WsHandshake check_ws_handshake(const HttpRequest& request);
// The whole answer with 101.
void append_ws_accept(std::string& out, const WsHandshake& handshake);

}  // namespace twinwire
