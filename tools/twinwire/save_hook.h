// SaveHook: delivers every kept event to hooks.save_url, in batches, in the order of the log, at least once.
// Its place in the log is the durable cursor of store/hook_queue.h, so it goes on where it was after a
// restart or a kill of either side. A batch that fails is sent again, the same, after a back-off with jitter.
// A thread of its own, which nothing waits for. Not here: HTTP (http_post.h), what is queued (the store's
// writer).
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "core/clock.h"
#include "core/config.h"
#include "core/durability.h"
#include "store/hook_queue.h"
#include "store/signal.h"
#include "tools/twinwire/http_post.h"

namespace twinwire {

// `t=<seconds>,v1=<hex>`: HMAC-SHA256 with the secret over "<seconds>.<body>".
std::string hook_signature(std::string_view secret, uint64_t wall_seconds, std::string_view body);

// Milliseconds until the next try after `failures` (from 1) in a row; `random` jitters between half and
// whole.
Millis hook_back_off(uint32_t failures, Millis max_ms, uint64_t random);

// How long a receiver asks to be left alone by `Retry-After` (RFC 9110, 10.2.3): seconds or a date; an hour
// at most, 0 where it says nothing that can be read.
Millis hook_asked_wait(std::string_view retry_after, uint64_t wall_ms);

class SaveHook {
 public:
  struct Parts {
    const Config::Hooks& config;
    store::HookQueue& queue;
    Durability& durability;
    const Clock& clock;
    Epoch epoch;
    std::function<uint64_t()> random;                 // the hook's thread only
    std::function<void(std::string_view)> log;        // what may pass by itself
    std::function<void(std::string_view)> log_error;  // what is lost to the receiver for good
  };
  SaveHook(Parts parts, HttpUrl url);
  ~SaveHook() { stop(); }

  void start();
  // There may be more to send. Any thread; never blocks.
  void wake() { signal_.raise(); }
  // Ends what is under way within a second; what is not delivered waits for the next start.
  void stop();

 private:
  void run();
  void rest(Millis ms);
  bool deliver(const store::HookQueue::Batch& batch);
  Millis after_failure(const std::string& why, Millis asked_ms);
  void tell_unreadable(const store::HookQueue::Batch& batch);
  void tell_lag(uint64_t oldest_wall_ms);

  const Parts parts_;
  HttpPost post_;
  store::Signal signal_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;

  // The hook's thread only.
  uint32_t failures_ = 0;  // in a row
  uint32_t events_max_;    // smaller while the receiver says 413
  std::string body_;
};

}  // namespace twinwire
