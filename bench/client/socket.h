// One non-blocking TCP connection of a client: connect from a chosen source address, send, receive at a
// chosen pace. Not here: what the bytes mean. Thread: its loop's. Owns: the descriptor and what is not yet
// sent.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/client/http.h"
#include "bench/client/loop.h"

namespace twinwire::client {

class Socket : Loop::Watcher {
 public:
  struct Owner {
    virtual ~Owner() = default;
    virtual void on_open() = 0;
    // `bytes` lives until the call returns. The owner may close the socket in it, but not destroy it.
    virtual void on_data(std::string_view bytes) = 0;
    // The peer or the network ended it (also a failed connect). Never called after close().
    virtual void on_end(std::string_view why) = 0;
  };
  struct Options {
    Endpoint to;
    uint32_t source = 0;            // IPv4 in host order; 0: the kernel chooses
    int receive_buffer_bytes = 0;   // SO_RCVBUF; 0: the kernel chooses
    uint64_t bytes_per_second = 0;  // pace of reading; 0: as fast as they come
  };

  Socket(Loop& loop, Owner& owner) : loop_(loop), owner_(owner) {}
  ~Socket() override { close(false); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Result by on_open or on_end, never from within the call.
  void open(const Options& options);
  void send(std::string_view bytes);
  // Between the two, send() only gathers.
  void cork() { corked_ = true; }
  void uncork() {
    corked_ = false;
    if (state_ == State::open) flush();
  }
  // `abort`: with a reset instead of an orderly end.
  void close(bool abort);
  bool open() const { return state_ == State::open; }
  bool closed() const { return state_ == State::closed; }

  void pause();
  void resume();
  void pace(uint64_t bytes_per_second);

 private:
  enum class State : uint8_t { closed, connecting, open };
  void on_ready(uint32_t events) override;
  void connected();
  void receive();
  void receive_paced();
  // Reads at most `limit` bytes; false when there is nothing more for now or the socket has ended.
  bool receive_some(size_t limit, size_t& got);
  void flush();
  void end(const char* why);

  Loop& loop_;
  Owner& owner_;
  int fd_ = -1;
  State state_ = State::closed;
  bool paused_ = false;
  bool readable_ = false;
  bool hung_up_ = false;
  bool corked_ = false;
  uint64_t bytes_per_second_ = 0;
  Loop::WatchId watch_ = Loop::WatchId::none;
  Loop::TimerId pacer_ = Loop::TimerId::none;
  Loop::TimerId failure_ = Loop::TimerId::none;
  std::string unsent_;
};

// 127.x.y.z for a client's index: many addresses, so that no single one runs out of ports. Host order.
uint32_t source_address(uint64_t index);

}  // namespace twinwire::client
