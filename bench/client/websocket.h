// WebSocket frames from the client's side, without I/O: masked frames out, a strict reader of the server's
// frames. RFC 6455 (5.2 framing, 5.4 fragmentation, 5.5 control frames, 8.1 UTF-8). Not here: extensions,
// subprotocols, sockets. Thread: whichever owns the object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/status.h"

namespace twinwire::client {

enum class WsOpcode : uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

// The key this client offers and the answer that proves the server computed it (RFC 6455, 1.3). The nonce is
// fixed: it protects against caches between the two ends, and here there are none.
inline constexpr std::string_view kWsKey = "dGhlIHNhbXBsZSBub25jZQ==";
inline constexpr std::string_view kWsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// Appends one masked frame. `mask` must be fresh for each frame where the payload is not ours.
void append_frame(std::string& out, WsOpcode opcode, std::string_view payload, uint32_t mask,
                  bool fin = true);
// The payload of a close frame; the reason is cut to 123 bytes.
std::string close_payload(uint16_t code, std::string_view reason);

class WsParser {
 public:
  struct Sink {
    virtual ~Sink() = default;
    virtual void on_text(std::string_view message) = 0;
    virtual void on_binary(std::string_view message) { static_cast<void>(message); }
    virtual void on_ping(std::string_view payload) = 0;
    virtual void on_pong(std::string_view payload) { static_cast<void>(payload); }
    // 1005 where the frame carried no code.
    virtual void on_close(uint16_t code, std::string_view reason) = 0;
  };
  explicit WsParser(Sink& sink) : sink_(sink) {}

  // Error: `invalid_argument` when the server broke RFC 6455 (masked frame, reserved bits, bad continuation,
  // long or fragmented control frame, invalid UTF-8) or a message exceeds 16 MiB.
  Result<void> feed(std::string_view bytes);

 private:
  struct Header {
    bool fin;
    WsOpcode opcode;
    size_t size;  // of the header itself
    uint64_t payload;
  };
  // Size 0: more bytes are needed.
  Result<Header> header_of(std::string_view bytes) const;
  Result<void> frame(const Header& header, std::string_view payload);
  Result<void> control(WsOpcode opcode, std::string_view payload);
  Result<void> deliver(WsOpcode opcode, std::string_view message);

  Sink& sink_;
  std::string buffer_;   // an unfinished frame
  std::string message_;  // the fragments so far
  WsOpcode message_opcode_ = WsOpcode::continuation;
  bool closed_ = false;
};

}  // namespace twinwire::client
