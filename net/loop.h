// The event loop of one shard: one or several io_urings, submitted to, slept on and read as one.
// A direct table belongs to a ring and cannot be larger than RLIMIT_NOFILE, so more connections than that
// need more rings; the thread sleeps on the first, and the others reach it through one eventfd, armed only
// while it sleeps. Not here: what completions mean. They are queued, and the owner handles them in batches at
// its own pace. attach() binds it to a thread; wake() is for any thread. Owns the rings and the eventfd.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/status.h"
#include "net/descriptor.h"
#include "net/uring.h"

namespace twinwire {

struct LoopOptions {
  uint32_t rings = 1;
  UringOptions ring;
};

class Loop {
 public:
  static Result<std::unique_ptr<Loop>> open(const LoopOptions& options);
  ~Loop();

  // Makes the calling thread the loop's own.
  void attach();

  Uring& ring(RingIndex index) { return *rings_[index_of(index)]; }
  uint32_t ring_count() const { return static_cast<uint32_t>(rings_.size()); }
  // From here on something may be prepared on that ring. Rings are taken into use in order, the first is from
  // the start; those behind the last in use are not looked at, which a turn after a sleep would pay for.
  void use(RingIndex index) { used_ = std::max(used_, uint32_t{index_of(index)} + 1); }
  uint32_t rings_used() const { return used_; }

  // Submits what is prepared on every ring. Failed sends are then in take_sends().
  void submit();
  // Runs what the kernel deferred and gathers completions, without sleeping. Valid until the next call of
  // poll() or wait(). Bounded: at most a few thousand a call.
  std::span<const Completion> poll();
  // Whether anything is prepared and not submitted, and whether completions wait; both without a system call.
  bool prepared() const;
  bool ready();
  // Submits, then sleeps until a completion, wake(), or `at_most_ms`. The completions are for the next
  // poll().
  void wait(uint32_t at_most_ms);
  // Completions of sends (each one a failure, see net/sockets) gathered so far, ahead of all others: the
  // bytes they speak of are still the caller's. Moves them to `out`.
  void take_sends(std::vector<Completion>& out);

  // Ends the present or the next wait(). Any thread; about a microsecond of system call. Whether anybody
  // sleeps is the caller's to know (core/ring.h).
  void wake();
  // The same from another loop's thread, without a system call of its own: IORING_OP_MSG_RING, sent with that
  // loop's next submit(). `from` is the calling thread's loop.
  void wake_from(Loop& from);

 private:
  Loop() = default;
  void gather(Uring& ring);
  void arm_wake();
  void notify_by_eventfd(bool on);
  auto in_use() const { return std::span(rings_).first(used_); }

  // Constant after attach().
  std::vector<std::unique_ptr<Uring>> rings_;
  int event_fd_ = -1;

  // The loop's thread only.
  uint32_t used_ = 1;
  std::vector<Completion> incoming_;
  std::vector<Completion> handling_;
  std::vector<Completion> sends_;
  std::vector<Completion> scratch_;
  // Peers that were woken once: who they are (for a message that fails), and the submission that wakes them
  // already.
  struct Peer {
    Loop* loop;
    uint64_t submission;
  };
  std::vector<Peer> peers_;
};

}  // namespace twinwire
