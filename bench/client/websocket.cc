#include "bench/client/websocket.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <cstring>

namespace twinwire::client {
namespace {

constexpr uint64_t kMessageBytesMax = 16 * 1024 * 1024;
constexpr size_t kControlBytesMax = 125;

Error broken(std::string_view what) {
  return fail(Code::invalid_argument, fmt::format("The server broke RFC 6455: {}.", what));
}

bool known(uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

uint64_t big_endian(std::string_view bytes) {
  uint64_t out = 0;
  for (const char c : bytes) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

}  // namespace

void append_frame(std::string& out, WsOpcode opcode, std::string_view payload, uint32_t mask, bool fin) {
  out += static_cast<char>((fin ? 0x80 : 0) | static_cast<uint8_t>(opcode));
  const uint64_t size = payload.size();
  const int length_bytes = size < 126 ? 0 : size <= 0xFFFF ? 2 : 8;
  out += static_cast<char>(0x80 | (length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127));
  for (int shift = 8 * (length_bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
  std::array<char, 4> key;
  std::memcpy(key.data(), &mask, key.size());
  out.append(key.data(), key.size());
  const size_t at = out.size();
  out.append(payload);
  for (size_t i = 0; i < payload.size(); ++i) out[at + i] = static_cast<char>(out[at + i] ^ key[i % 4]);
}

std::string close_payload(uint16_t code, std::string_view reason) {
  std::string out{static_cast<char>(code >> 8), static_cast<char>(code & 255)};
  out.append(reason.substr(0, kControlBytesMax - 2));
  return out;
}

Result<void> WsParser::feed(std::string_view bytes) {
  const bool buffered = !buffer_.empty();
  if (buffered) buffer_.append(bytes);
  std::string_view rest = buffered ? std::string_view(buffer_) : bytes;
  while (!rest.empty() && !closed_) {
    const Result<Header> header = header_of(rest);
    if (!header) return header.error();
    if (header->size == 0 || rest.size() - header->size < header->payload) break;
    if (Result<void> done = frame(*header, rest.substr(header->size, header->payload)); !done) return done;
    rest.remove_prefix(header->size + header->payload);
  }
  if (buffered) {
    buffer_.erase(0, buffer_.size() - rest.size());
  } else {
    buffer_.assign(rest);
  }
  return {};
}

Result<WsParser::Header> WsParser::header_of(std::string_view bytes) const {
  const Header more{false, WsOpcode::continuation, 0, 0};
  if (bytes.size() < 2) return more;
  const auto first = static_cast<uint8_t>(bytes[0]);
  const auto second = static_cast<uint8_t>(bytes[1]);
  if (first & 0x70) return broken("a reserved bit is set");
  if (second & 0x80) return broken("a masked frame");
  if (!known(first & 15)) return broken("an unknown opcode");
  Header out{(first & 0x80) != 0, static_cast<WsOpcode>(first & 15), 2, second};
  if (out.payload >= 126) {
    const size_t extra = out.payload == 126 ? 2 : 8;
    if (bytes.size() < 2 + extra) return more;
    out.payload = big_endian(bytes.substr(2, extra));
    out.size = 2 + extra;
    if (out.payload < 126 || (extra == 8 && out.payload <= 0xFFFF))
      return broken("a length not in its shortest form");
  }
  if (out.payload > kMessageBytesMax) return broken("a frame above 16 MiB");
  return out;
}

Result<void> WsParser::frame(const Header& header, std::string_view payload) {
  if (static_cast<uint8_t>(header.opcode) >= 8) {
    if (!header.fin || payload.size() > kControlBytesMax) return broken("a long or fragmented control frame");
    return control(header.opcode, payload);
  }
  const bool continues = header.opcode == WsOpcode::continuation;
  const bool open = message_opcode_ != WsOpcode::continuation;
  if (continues != open)
    return broken(continues ? "a continuation of nothing" : "a message inside a message");
  if (!continues && header.fin) return deliver(header.opcode, payload);
  if (!continues) message_opcode_ = header.opcode;
  message_.append(payload);
  if (message_.size() > kMessageBytesMax) return broken("a message above 16 MiB");
  if (!header.fin) return {};
  const WsOpcode opcode = message_opcode_;
  message_opcode_ = WsOpcode::continuation;
  const std::string message = std::move(message_);
  message_.clear();
  return deliver(opcode, message);
}

Result<void> WsParser::control(WsOpcode opcode, std::string_view payload) {
  if (opcode == WsOpcode::ping) {
    sink_.on_ping(payload);
  } else if (opcode == WsOpcode::pong) {
    sink_.on_pong(payload);
  } else {
    if (payload.size() == 1) return broken("a close frame with half a code");
    closed_ = true;
    const auto code =
        payload.empty() ? uint16_t{1005} : static_cast<uint16_t>(big_endian(payload.substr(0, 2)));
    sink_.on_close(code, payload.substr(payload.empty() ? 0 : 2));
  }
  return {};
}

Result<void> WsParser::deliver(WsOpcode opcode, std::string_view message) {
  if (opcode == WsOpcode::binary) {
    sink_.on_binary(message);
    return {};
  }
  if (!simdjson::validate_utf8(message.data(), message.size())) return broken("text that is not UTF-8");
  sink_.on_text(message);
  return {};
}

}  // namespace twinwire::client
