// Mailbox: what other cores tell a shard. A bounded lock-free ring of many producers and one consumer (each
// cell carries its turn). Requests are refused when too many wait; replies never, since whoever asks holds a
// credit that reserves the place of the reply. Not here: what the mail says (it runs itself on the receiving
// shard), waking the receiver (the poster does). try_post/post_reply: any thread. take: the owning shard's
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/status.h"

namespace twinwire {

class Shard;

// Something to run on the receiving shard, moved there whole.
class Mail {
 public:
  virtual ~Mail() = default;
  virtual void run(Shard& shard) = 0;
};
using MailRef = std::unique_ptr<Mail>;

template <typename F>
MailRef make_mail(F function) {
  struct Closure final : Mail {
    explicit Closure(F f) : function(std::move(f)) {}
    void run(Shard& shard) override { function(shard); }
    F function;
  };
  return std::make_unique<Closure>(std::move(function));
}

class Mailbox {
 public:
  // `requests`: how many may wait. `credits`: how many replies its owner may have outstanding. Both bound
  // memory.
  Mailbox(uint32_t requests, uint32_t credits);
  ~Mailbox();

  // False when `requests` wait already: the caller keeps the mail and says `overloaded`, or tries again
  // later.
  bool try_post(MailRef& mail);
  // For a reply whose credit the owner holds. Never refused.
  void post_reply(MailRef mail);
  // The next mail, or none. Requests and replies come in the order each sender posted them.
  MailRef take();
  bool empty() const;
  uint32_t requests_waiting() const { return waiting_requests_.load(std::memory_order_relaxed); }

 private:
  struct alignas(32) Cell {
    std::atomic<uint64_t> turn;
    Mail* mail;
    bool request;  // its place was taken from `waiting_requests_`
  };
  void push(MailRef mail, bool request);

  const uint32_t requests_max_;
  const uint64_t mask_;
  std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<uint64_t> tail_{0};              // producers
  alignas(64) std::atomic<uint32_t> waiting_requests_{0};  // producers add, the consumer subtracts
  alignas(64) uint64_t head_ = 0;                          // the consumer only
};

}  // namespace twinwire
