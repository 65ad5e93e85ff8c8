#include "bench/twinbench/mark.h"

#include <algorithm>
#include <cstring>

namespace twinwire::bench {
namespace {

constexpr char kEdge = '~';
constexpr size_t kDigits = 10;
constexpr size_t kHexDigits = 16;
constexpr char kHex[] = "0123456789abcdef";
enum Opcode : uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

bool is_control(uint8_t opcode) { return opcode >= kClose; }

}  // namespace

void append_mark(std::string& out, const Mark& mark) {
  char bytes[kMarkBytes];
  bytes[0] = kEdge;
  uint32_t number = mark.number;
  for (size_t i = kDigits; i > 0; --i, number /= 10) bytes[i] = static_cast<char>('0' + number % 10);
  bytes[1 + kDigits] = '.';
  uint64_t due = mark.due;
  for (size_t i = kHexDigits; i > 0; --i, due >>= 4) bytes[1 + kDigits + i] = kHex[due & 15];
  bytes[kMarkBytes - 1] = kEdge;
  out.append(bytes, kMarkBytes);
}

std::optional<Mark> parse_mark(const char* bytes) {
  if (bytes[0] != kEdge || bytes[kMarkBytes - 1] != kEdge || bytes[1 + kDigits] != '.') return std::nullopt;
  uint64_t number = 0;
  for (size_t i = 1; i <= kDigits; ++i) {
    if (bytes[i] < '0' || bytes[i] > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(bytes[i] - '0');
  }
  Mark out;
  out.number = static_cast<uint32_t>(number);
  for (size_t i = 2 + kDigits; i < kMarkBytes - 1; ++i) {
    const char c = bytes[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    out.due = out.due << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number <= UINT32_MAX ? std::optional(out) : std::nullopt;
}

std::string marked_content(const Mark& mark, size_t size) {
  std::string out;
  out.reserve(std::max(size, kMarkBytes));
  append_mark(out, mark);
  out.resize(std::max(size, kMarkBytes), 'x');
  return out;
}

bool EventScanner::feed(std::string_view bytes, const Rules& rules, Sink& sink) {
  if (form_ == Form::ws) return feed_ws(bytes, rules, sink);
  feed_sse(bytes, sink);
  return true;
}

void EventScanner::emit(Sink& sink) {
  if (!pending_) return;
  pending_ = false;
  sink.on_mark(mark_);
}

size_t EventScanner::fill_carry(std::string_view bytes, size_t at) {
  while (carry_size_ > 0) {
    const size_t take = std::min(kMarkBytes - carry_size_, bytes.size() - at);
    std::memcpy(carry_.data() + carry_size_, bytes.data() + at, take);
    carry_size_ = static_cast<uint8_t>(carry_size_ + take);
    at += take;
    if (carry_size_ < kMarkBytes) return bytes.size();
    if (const std::optional<Mark> mark = parse_mark(carry_.data())) {
      mark_ = *mark;
      pending_ = true;
      carry_size_ = 0;
      return at;
    }
    // It was another `~`; a mark may begin behind it.
    const char* next = std::find(carry_.data() + 1, carry_.data() + kMarkBytes, kEdge);
    carry_size_ = static_cast<uint8_t>(carry_.data() + kMarkBytes - next);
    std::memmove(carry_.data(), next, carry_size_);
  }
  return at;
}

size_t EventScanner::look(std::string_view bytes, size_t at) {
  if (carry_size_ > 0) {
    at = fill_carry(bytes, at);
    if (pending_) return at;
  }
  while (at < bytes.size()) {
    const void* found = std::memchr(bytes.data() + at, kEdge, bytes.size() - at);
    if (found == nullptr) return bytes.size();
    at = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (bytes.size() - at < kMarkBytes) {
      carry_size_ = static_cast<uint8_t>(bytes.size() - at);
      std::memcpy(carry_.data(), bytes.data() + at, carry_size_);
      return bytes.size();
    }
    if (const std::optional<Mark> mark = parse_mark(bytes.data() + at)) {
      mark_ = *mark;
      pending_ = true;
      return at + kMarkBytes;
    }
    ++at;
  }
  return at;
}

void EventScanner::feed_sse(std::string_view bytes, Sink& sink) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (!pending_) {
      at = look(bytes, at);
      line_start_ = false;
      continue;
    }
    // To the blank line that ends the event.
    const char c = bytes[at];
    if (line_start_ && c == '\n') {
      ++at;
      emit(sink);
    } else if (line_start_ && c == '\r') {
      ++at;
    } else {
      const void* found = std::memchr(bytes.data() + at, '\n', bytes.size() - at);
      line_start_ = found != nullptr;
      at = found == nullptr ? bytes.size()
                            : static_cast<size_t>(static_cast<const char*>(found) - bytes.data()) + 1;
    }
  }
}

bool EventScanner::take_header(uint8_t byte, const Rules& rules) {
  head_[head_size_++] = byte;
  if (head_size_ < 2) return true;
  if (head_[1] & 0x80) return false;  // a server does not mask
  const uint8_t length = head_[1];
  const size_t size = length < 126 ? 2 : length == 126 ? 4 : 10;
  if (head_size_ < size) return true;
  left_ = size == 2 ? length : 0;
  for (size_t i = 2; i < size; ++i) left_ = left_ << 8 | head_[i];
  opcode_ = head_[0] & 15;
  carry_size_ = 0;
  matched_ = 0;
  text_ = opcode_ == kText && !rules.answer.empty() ? Text::unknown : Text::event;
  const bool small = opcode_ == kText && rules.small_texts && left_ <= kSmallText;
  if (small || is_control(opcode_)) small_ = std::make_unique<std::string>();
  return true;
}

void EventScanner::take_payload(std::string_view piece, const Rules& rules, Sink& sink) {
  if (small_) small_->append(piece);
  if (is_control(opcode_)) return;
  if (text_ == Text::unknown) {
    const size_t n = std::min(piece.size(), rules.answer.size() - matched_);
    if (piece.substr(0, n) != rules.answer.substr(matched_, n)) {
      text_ = Text::event;
    } else {
      matched_ = static_cast<uint8_t>(matched_ + n);
      if (matched_ == rules.answer.size()) text_ = Text::answer;
    }
  }
  if (text_ == Text::answer) return;
  for (size_t at = 0; at < piece.size();) {
    const bool had = pending_;
    const Mark before = mark_;
    pending_ = false;
    at = look(piece, at);
    if (!had) continue;
    // Several messages in one frame: each has come when the next begins, the last with the frame's end.
    if (pending_) {
      sink.on_mark(before);
    } else {
      mark_ = before;
      pending_ = true;
    }
  }
}

void EventScanner::end_frame(Sink& sink) {
  head_size_ = 0;
  emit(sink);
  const std::unique_ptr<std::string> small = std::move(small_);
  if (opcode_ == kPing) {
    sink.on_ping(*small);
  } else if (opcode_ == kClose) {
    sink.on_close(*small);
  } else if (text_ == Text::answer) {
    sink.on_answer();
  } else if (opcode_ == kText && small) {
    sink.on_small_text(*small);
  }
}

bool EventScanner::feed_ws(std::string_view bytes, const Rules& rules, Sink& sink) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (left_ == 0) {
      if (!take_header(static_cast<uint8_t>(bytes[at++]), rules)) return false;
      const bool whole = head_size_ >= 2 && head_size_ == (head_[1] < 126 ? 2 : head_[1] == 126 ? 4 : 10);
      if (whole && left_ == 0) end_frame(sink);
      continue;
    }
    const size_t take = std::min<uint64_t>(left_, bytes.size() - at);
    take_payload(bytes.substr(at, take), rules, sink);
    at += take;
    left_ -= take;
    if (left_ == 0) end_frame(sink);
  }
  return true;
}

}  // namespace twinwire::bench
