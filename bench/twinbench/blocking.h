// One connection used the plain way, for what is asked once: a figure of a server, the bytes it greets with,
// one of its frames. Not here: load. Any thread; every call blocks within its limit. Owns its socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/client/http.h"
#include "bench/twinbench/dialect.h"
#include "core/status.h"

namespace twinwire::bench {

class BlockingStream {
 public:
  explicit BlockingStream(client::Endpoint to) : to_(std::move(to)) {}
  ~BlockingStream();
  BlockingStream(const BlockingStream&) = delete;
  BlockingStream& operator=(const BlockingStream&) = delete;
  bool open();
  bool send(std::string_view bytes);
  // All that came since the last call, up to the end of `words`, which is looked for; empty: it did not come
  // in time.
  std::string until(std::string_view words, uint32_t limit_ms);
  // The same with all that comes behind it until nothing has come for `quiet_ms`.
  std::string until_quiet(std::string_view words, uint32_t limit_ms, uint32_t quiet_ms);
  // Whatever comes until nothing has come for `quiet_ms`.
  std::string rest(uint32_t quiet_ms);
  // A request and its whole answer, on a connection of its own that the server closes.
  static std::string ask(const client::Endpoint& to, const client::Request& request);

 private:
  bool fill(uint32_t limit_ms);
  client::Endpoint to_;
  int fd_ = -1;
  std::string buffer_;
};

// What one of our readers is greeted with, and our frame around a content of so many bytes.
struct Learned {
  std::string greeting;
  std::string frame_head;
  std::string frame_tail;
  size_t frame_bytes() const { return frame_head.size() + frame_tail.size(); }
};
Result<Learned> learn(const client::Endpoint& to, const Dialect& ours, Form form, size_t content_bytes);

}  // namespace twinwire::bench
