// Bell: how a thread of these tests sleeps and is woken, with a bound: a wake-up that gets lost is a failure
// of the test, not a test that hangs. Any thread rings, one waits. The server's own bell is the ring of
// io_uring.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "core/ring.h"

namespace twinwire {

inline constexpr std::chrono::seconds kLostAfter{20};  // far above any pause of a loaded machine under TSan

class Bell {
 public:
  void ring() {
    {
      std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_one();
  }
  // False when nobody rang for `limit`.
  bool wait(std::chrono::milliseconds limit = kLostAfter) {
    std::unique_lock lock(mutex_);
    bool rung = condition_.wait_for(lock, limit, [this] { return rung_; });
    rung_ = false;
    return rung;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

// One bell per consumer of a ring.
class Bells final : public Waker {
 public:
  explicit Bells(uint32_t consumers) {
    for (uint32_t i = 0; i < consumers; i++) bells_.push_back(std::make_unique<Bell>());
  }
  void wake(uint32_t consumer) override { bells_[consumer]->ring(); }
  Bell& operator[](uint32_t consumer) { return *bells_[consumer]; }

 private:
  std::vector<std::unique_ptr<Bell>> bells_;
};

// A short pause of varying length, so that two threads meet at every point of each other's steps.
inline void dither(uint32_t random) {
  for (uint32_t i = 0; i < random % 64; i++) asm volatile("" ::: "memory");
}

}  // namespace twinwire
