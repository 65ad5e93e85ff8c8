// How the harness knows its own messages in any server's bytes: each content begins with a mark, the
// message's number in its room and the time it was due. A scanner walks one reader's stream (SSE or WebSocket
// frames) and tells the marks of the events that are complete. Not here: sockets, what was lost (crowd.h).
// Thread: its owner's. A scanner owns some 80 bytes; more only while a small frame waits for its end.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace twinwire::bench {

struct Mark {
  uint32_t number = 0;
  uint64_t due = 0;  // CLOCK_MONOTONIC, ns
};

// `~0000000042.00000a1b2c3d4e5f~`: needs no escaping in JSON, URLs, forms or event streams.
inline constexpr size_t kMarkBytes = 29;
void append_mark(std::string& out, const Mark& mark);
// `bytes` has kMarkBytes.
std::optional<Mark> parse_mark(const char* bytes);
// A mark filled up with x to `size` bytes, at least the mark.
std::string marked_content(const Mark& mark, size_t size);

enum class Form : uint8_t { sse, ws };
// In the room of a record: a bare loop of both sends the frame to readers of this kind only.
inline constexpr uint32_t kOnlySse = 1U << 30;
inline constexpr uint32_t kOnlyWs = 1U << 31;

class EventScanner {
 public:
  struct Sink {
    virtual ~Sink() = default;
    virtual void on_mark(const Mark& mark) = 0;
    virtual void on_answer() = 0;                           // a text that begins with Rules::answer
    virtual void on_ping(std::string_view payload) = 0;     // WebSocket
    virtual void on_close(std::string_view payload) = 0;    // WebSocket
    virtual void on_small_text(std::string_view text) = 0;  // WebSocket, where Rules::small_texts
  };
  struct Rules {
    std::string_view answer = {};  // WebSocket texts that begin so hold no event
    bool small_texts = false;      // tell texts of at most kSmallText bytes
  };
  static constexpr size_t kSmallText = 64;

  explicit EventScanner(Form form) : form_(form) {}
  // False: not WebSocket as RFC 6455 has a server speak it.
  [[nodiscard]] bool feed(std::string_view bytes, const Rules& rules, Sink& sink);
  // Between two events: nothing has begun that is not complete. (For cutting a stream cleanly in tests.)
  bool between() const { return !pending_ && left_ == 0 && head_size_ == 0; }

 private:
  void feed_sse(std::string_view bytes, Sink& sink);
  bool feed_ws(std::string_view bytes, const Rules& rules, Sink& sink);
  // The place behind the next mark from `at`, which is then pending, or the end.
  size_t look(std::string_view bytes, size_t at);
  size_t fill_carry(std::string_view bytes, size_t at);
  bool take_header(uint8_t byte, const Rules& rules);
  void take_payload(std::string_view piece, const Rules& rules, Sink& sink);
  void end_frame(Sink& sink);
  void emit(Sink& sink);

  Form form_;
  bool pending_ = false;
  bool line_start_ = false;  // SSE: the last byte ended a line
  uint8_t carry_size_ = 0;
  uint8_t head_size_ = 0;  // of a frame, so far
  uint8_t opcode_ = 0;
  uint8_t matched_ = 0;  // bytes of Rules::answer that this text begins with
  enum class Text : uint8_t { unknown, event, answer } text_ = Text::event;
  std::array<char, kMarkBytes> carry_{};  // the beginning of a mark
  std::array<uint8_t, 10> head_{};
  Mark mark_;
  uint64_t left_ = 0;  // payload bytes to come
  std::unique_ptr<std::string> small_;
};

}  // namespace twinwire::bench
