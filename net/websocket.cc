#include "net/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include <algorithm>

#include "core/event.h"
#include "core/status.h"

namespace twinwire {
namespace {

constexpr std::string_view kSubprotocol = "twinwire.v1";
constexpr size_t kReasonMax = 123;

// Codes that may stand in a close frame (RFC 6455, 7.4, and the registry it founds).
bool may_be_sent(uint16_t code) {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

bool is_control(uint8_t opcode) { return (opcode & 8) != 0; }

// OpenSSL's SHA1() looks the algorithm up by its name each time, which takes longer than the digest. A
// context that has it is begun anew without.
class Sha1 {
 public:
  Sha1() : context_(EVP_MD_CTX_new()) { TW_CHECK(EVP_DigestInit_ex(context_, EVP_sha1(), nullptr) == 1); }
  ~Sha1() { EVP_MD_CTX_free(context_); }
  Sha1(const Sha1&) = delete;
  Sha1& operator=(const Sha1&) = delete;

  void digest(std::string_view text, unsigned char out[SHA_DIGEST_LENGTH]) {
    bool done = EVP_DigestInit_ex(context_, nullptr, nullptr) == 1 &&
                EVP_DigestUpdate(context_, text.data(), text.size()) == 1 &&
                EVP_DigestFinal_ex(context_, out, nullptr) == 1;
    TW_CHECK(done);
  }

 private:
  EVP_MD_CTX* const context_;
};

}  // namespace

WsReader::Step WsReader::fail(uint16_t code) {
  ended_ = true;
  close_code_ = code;
  payload_ = {};
  return Step::failed;
}

WsReader::Step WsReader::next(std::span<char>& bytes) {
  payload_ = {};
  if (message_given_) {
    message_given_ = false;
    message_.clear();
    if (message_.capacity() > 65536) message_.shrink_to_fit();
  }
  for (;;) {
    if (ended_) {
      bytes = {};
      return Step::need_more;
    }
    if (!in_payload_) {
      Step step = Step::need_more;
      if (!read_header(bytes, step)) return step;
    }
    Step step = is_control(opcode_) ? read_control(bytes) : read_payload(bytes);
    if (step != Step::need_more || in_payload_) return step;
    if (bytes.empty()) return Step::need_more;
  }
}

// Gathers the header, whose length its second byte tells. True: whole and in order.
bool WsReader::read_header(std::span<char>& bytes, Step& step) {
  auto take_until = [&](size_t size) {
    size_t taken = std::min(bytes.size(), size - std::min<size_t>(size, header_size_));
    if (taken > 0) memcpy(header_ + header_size_, bytes.data(), taken);
    header_size_ = static_cast<uint8_t>(header_size_ + taken);
    bytes = bytes.subspan(taken);
    return header_size_ >= size;
  };
  auto failed = [&](uint16_t code) {
    step = fail(code);
    return false;
  };
  if (!take_until(1)) return false;
  opcode_ = header_[0] & 0x0f;
  fin_ = (header_[0] & 0x80) != 0;
  if (header_[0] & 0x70) return failed(kWsCloseProtocolError);  // no extension was agreed on (5.2)
  if (is_control(opcode_)) {
    if (opcode_ > kWsPong || !fin_) return failed(kWsCloseProtocolError);  // 5.4, 5.5
  } else {
    if (opcode_ > kWsBinary) return failed(kWsCloseProtocolError);
    if ((opcode_ == 0) != (message_opcode_ != 0)) return failed(kWsCloseProtocolError);  // 5.4
  }
  if (!take_until(2)) return false;
  if (!(header_[1] & 0x80)) return failed(kWsCloseProtocolError);  // a client's frames are masked (5.1)
  uint8_t length = header_[1] & 0x7f;
  if (is_control(opcode_) && length > 125) return failed(kWsCloseProtocolError);
  size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
  // The length is looked at before the mask has come: a frame too long is refused at once.
  if (!take_until(2 + extra)) return false;
  left_ = extra == 0 ? length : 0;
  for (size_t i = 0; i < extra; i++) left_ = left_ << 8 | header_[2 + i];
  if ((extra == 2 && left_ < 126) || (extra == 8 && (left_ < 65536 || left_ >> 63))) {
    return failed(kWsCloseProtocolError);  // the shortest form is the only one (5.2)
  }
  if (!is_control(opcode_) && (left_ > message_max_ || message_.size() + left_ > message_max_)) {
    return failed(kWsCloseTooBig);
  }
  if (!take_until(2 + extra + 4)) return false;
  memcpy(mask_, header_ + 2 + extra, 4);
  mask_at_ = 0;
  header_size_ = 0;
  in_payload_ = true;
  control_size_ = 0;
  if (!is_control(opcode_) && opcode_ != 0) {
    message_opcode_ = opcode_;
    utf8_ = {};
  }
  return true;
}

// XOR with the mask, which goes on where the last piece of the frame ended (5.3).
void WsReader::unmask(std::span<char> bytes) {
  uint8_t key[8];
  for (size_t i = 0; i < 8; i++) key[i] = mask_[(mask_at_ + i) & 3];
  uint64_t wide, word;
  memcpy(&wide, key, 8);
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    memcpy(&word, bytes.data() + i, 8);
    word ^= wide;
    memcpy(bytes.data() + i, &word, 8);
  }
  for (; i < bytes.size(); i++) bytes[i] = static_cast<char>(static_cast<uint8_t>(bytes[i]) ^ key[i & 3]);
  mask_at_ = (mask_at_ + bytes.size()) & 3;
}

WsReader::Step WsReader::read_payload(std::span<char>& bytes) {
  std::span<char> part = bytes.first(std::min<uint64_t>(left_, bytes.size()));
  bytes = bytes.subspan(part.size());
  unmask(part);
  std::string_view text(part.data(), part.size());
  if (message_opcode_ == kWsText && !utf8_.add(text)) return fail(kWsCloseBadData);
  left_ -= part.size();
  if (left_ == 0) in_payload_ = false;
  if (left_ == 0 && fin_) {
    if (message_.empty()) return end_message(text);  // the whole message lies in the caller's bytes
    message_.append(text);
    return end_message(message_);
  }
  // Room for a frame is made as it fills, so that a length alone costs nothing.
  message_.append(text);
  return Step::need_more;
}

WsReader::Step WsReader::end_message(std::string_view payload) {
  bool text = message_opcode_ == kWsText;
  if (text && !utf8_.complete()) return fail(kWsCloseBadData);
  message_opcode_ = 0;
  message_given_ = true;
  payload_ = payload;
  return text ? Step::text : Step::binary;
}

WsReader::Step WsReader::read_control(std::span<char>& bytes) {
  std::span<char> part = bytes.first(std::min<uint64_t>(left_, bytes.size()));
  bytes = bytes.subspan(part.size());
  unmask(part);
  if (!part.empty()) memcpy(control_ + control_size_, part.data(), part.size());
  control_size_ = static_cast<uint8_t>(control_size_ + part.size());
  left_ -= part.size();
  if (left_ > 0) return Step::need_more;
  in_payload_ = false;
  return end_control();
}

WsReader::Step WsReader::end_control() {
  payload_ = {control_, control_size_};
  if (opcode_ == kWsClose) return end_close(payload_);
  return opcode_ == kWsPing ? Step::ping : Step::pong;
}

WsReader::Step WsReader::end_close(std::string_view payload) {
  close_code_ = kWsCloseNoStatus;
  if (payload.size() == 1) return fail(kWsCloseProtocolError);  // 5.5.1
  if (payload.size() >= 2) {
    close_code_ =
        static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
    if (!may_be_sent(close_code_)) return fail(kWsCloseProtocolError);
    payload.remove_prefix(2);
    Utf8Check check;
    if (!check.add(payload) || !check.complete()) return fail(kWsCloseBadData);
  }
  payload_ = payload;
  ended_ = true;
  return Step::close;
}

void append_ws_frame(std::string& out, uint8_t opcode, std::string_view payload) {
  char header[10];
  out.append(header, write_ws_header(header, opcode, payload.size()));
  out.append(payload);
}

void append_ws_close(std::string& out, uint16_t code, std::string_view reason) {
  if (reason.size() > kReasonMax) {
    size_t size = kReasonMax;
    while (size > 0 && (static_cast<uint8_t>(reason[size]) & 0xc0) == 0x80) size--;
    reason = reason.substr(0, size);
  }
  std::string payload;
  payload += static_cast<char>(code >> 8);
  payload += static_cast<char>(code & 0xff);
  payload += reason;
  append_ws_frame(out, kWsClose, payload);
}

WsHandshake check_ws_handshake(const HttpRequest& request) {
  WsHandshake result;
  auto refuse = [&result](int status, std::string_view sentence) {
    result.status = status;
    result.sentence = sentence;
    return result;
  };
  if (request.method != HttpMethod::get) return refuse(405, "a WebSocket is opened by GET");
  if (!request.has_token("upgrade", "websocket") || !request.has_token("connection", "upgrade")) {
    return refuse(426, "this path is a WebSocket: send Upgrade: websocket");
  }
  if (request.http10) return refuse(400, "a WebSocket needs HTTP/1.1");
  if (request.field("sec-websocket-version") != "13")
    return refuse(426, "WebSocket version 13 is spoken here");
  size_t keys = 0;
  std::string_view key;
  for (const HttpField& f : request.fields) {
    if (equals_ignoring_case(f.name, "sec-websocket-key")) keys++, key = f.value;
  }
  // base64 of 16 bytes: 22 characters and "==" (4.1).
  unsigned char decoded[24];
  if (keys != 1 || key.size() != 24 || !key.ends_with("==") || key[21] == '=' ||
      EVP_DecodeBlock(decoded, reinterpret_cast<const unsigned char*>(key.data()), 24) != 18) {
    return refuse(400, "malformed Sec-WebSocket-Key");
  }
  if (request.has_body) return refuse(400, "a WebSocket request has no body");

  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // 1.3
  unsigned char digest[SHA_DIGEST_LENGTH];
  thread_local Sha1 sha1;
  sha1.digest(text, digest);
  unsigned char encoded[32];
  int size = EVP_EncodeBlock(encoded, digest, sizeof digest);
  result.accept.assign(reinterpret_cast<const char*>(encoded), static_cast<size_t>(size));
  result.subprotocol = request.has_token("sec-websocket-protocol", kSubprotocol);
  return result;
}

void append_ws_accept(std::string& out, const WsHandshake& handshake) {
  out +=
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Accept: ";
  out += handshake.accept;
  if (handshake.subprotocol) {
    out += "\r\nSec-WebSocket-Protocol: ";
    out += kSubprotocol;
  }
  out += "\r\n\r\n";
}

}  // namespace twinwire
