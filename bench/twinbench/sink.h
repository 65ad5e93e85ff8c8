// Many readers that are all sent the same bytes: each compares what it gets with the others', so that a lost,
// repeated or reordered frame shows at any reader while only one copy is parsed. For measuring fan-out. Not
// here: full clients with cursors (bench/client). Thread: the loop's. A reader owns its socket and 8 bytes of
// place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/client/loop.h"
#include "bench/client/socket.h"
#include "bench/client/stream.h"

namespace twinwire::bench {

enum class SinkForm : uint8_t { raw, sse, ws };

class SinkGroup {
 public:
  struct Options {
    client::Endpoint to;
    SinkForm form = SinkForm::raw;
    std::string room = {};
    std::string user_prefix = "reader-";
    uint32_t first_source = 0;  // index for source_address; 20 readers share an address
  };
  SinkGroup(client::Loop& loop, Options options) : loop_(loop), options_(std::move(options)) {}

  // Opens `count` more; they are live once live() says so.
  void open(uint32_t count);
  uint32_t live() const { return live_; }
  uint32_t size() const { return static_cast<uint32_t>(readers_.size()); }
  uint32_t ended() const { return ended_; }
  uint32_t opening() const { return size() - live_ - ended_; }
  const std::string& last_end() const { return last_end_; }

  // From here every reader is to get the same bytes.
  void begin_burst();
  // Bytes that all readers together got since begin_burst().
  uint64_t received() const { return received_; }
  // The bytes of this burst, as the fastest reader has them.
  std::string_view bytes() const { return reference_; }
  // Readers whose bytes differed from the others', since the beginning.
  uint64_t differing() const { return differing_; }

 private:
  class Reader : client::Socket::Owner {
   public:
    Reader(SinkGroup& group, uint32_t index) : group_(group), index_(index), socket_(group.loop_, *this) {}
    void open();
    void begin_burst() { place_ = 0; }

   private:
    void on_open() override;
    void on_data(std::string_view bytes) override;
    void on_end(std::string_view why) override;
    // Takes the answer's head and `connected` from the front; the rest is the stream. True once that is done.
    bool greet(std::string_view& bytes);

    SinkGroup& group_;
    uint32_t index_;
    bool live_ = false;
    uint64_t place_ = 0;  // in the burst
    client::Socket socket_;
    std::unique_ptr<std::string> greeting_;  // until live
  };
  void compare(uint64_t& place, std::string_view bytes);

  client::Loop& loop_;
  Options options_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::string reference_;
  uint64_t received_ = 0;
  uint64_t differing_ = 0;
  uint32_t live_ = 0;
  uint32_t ended_ = 0;
  std::string last_end_;
};

}  // namespace twinwire::bench
