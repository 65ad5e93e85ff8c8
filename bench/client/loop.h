// A small event loop over io_uring: readiness of sockets by multishot poll, timers, work for later.
// Reading and writing are plain non-blocking calls of whoever is told (for receiving, poll + recv was the
// cheapest of all ways measured). Not here: sockets themselves (socket.h), several threads: one loop is one
// thread. Owns: the ring, the timers, the slots of what it watches.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace twinwire::client {

using Nanos = uint64_t;  // of CLOCK_MONOTONIC
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
Nanos monotonic_now();

class Loop {
 public:
  struct Watcher {
    virtual ~Watcher() = default;
    // `events` are POLLIN, POLLOUT, POLLRDHUP, POLLERR, POLLHUP. Edge-triggered: drain, or remember that
    // there is more.
    virtual void on_ready(uint32_t events) = 0;
  };
  enum class WatchId : uint64_t { none = 0 };
  enum class TimerId : uint64_t { none = 0 };

  // Throws std::system_error where the kernel refuses io_uring: a start-up failure.
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  WatchId watch(int fd, Watcher* watcher);
  // No call comes after this one returns. The descriptor may be closed at once; the kernel's last reference
  // to the file goes with the poll request's completion.
  void unwatch(WatchId id);

  TimerId at(Nanos when, std::function<void()> work);
  TimerId after(Nanos delay, std::function<void()> work) { return at(now() + delay, std::move(work)); }
  void cancel(TimerId& id);
  // Runs when the current batch of completions is done: the place to destroy what is calling.
  void later(std::function<void()> work) { later_.push_back(std::move(work)); }

  // The time at which the current batch began.
  Nanos now() const { return now_; }
  // Waits for completions or the next timer, but no longer than `wait`, and handles them.
  void run_once(Nanos wait);
  void run();  // until stop()
  void stop() { stopped_ = true; }

  // Shared scratch for receiving; valid only inside one on_ready.
  char* scratch() { return scratch_.data(); }
  size_t scratch_size() const { return scratch_.size(); }

 private:
  struct Slot {
    Watcher* watcher = nullptr;  // null: free, or waiting for its last completion
    int fd = -1;
    uint32_t generation = 0;
    bool armed = false;
  };
  io_uring_sqe* next_sqe();
  void arm(uint32_t index);
  void handle(const io_uring_cqe& cqe);
  void run_timers();
  void run_later();

  io_uring ring_{};
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::map<std::pair<Nanos, uint64_t>, std::function<void()>> timers_;
  std::map<uint64_t, Nanos> timer_due_;
  uint64_t timers_made_ = 0;
  std::vector<std::function<void()>> later_;
  std::vector<io_uring_cqe> batch_;
  std::vector<char> scratch_;
  Nanos now_ = 0;
  bool stopped_ = false;
};

}  // namespace twinwire::client
