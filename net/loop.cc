#include "net/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace twinwire {
namespace {

// Rounds of deferred completions per poll() and ring, twenty each: a flood on one ring does not starve the
// tick.
constexpr int kRoundsMax = 128;

}  // namespace

Result<std::unique_ptr<Loop>> Loop::open(const LoopOptions& options) {
  TW_CHECK(options.rings >= 1 && options.rings <= kRingsMax);
  std::unique_ptr<Loop> self(new Loop);
  self->event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->event_fd_ < 0) return fail(Code::internal, std::string("no eventfd: ") + strerror(errno));
  for (uint32_t i = 0; i < options.rings; i++) {
    auto ring = Uring::open(options.ring);
    if (!ring) return ring.error();
    self->rings_.push_back(std::move(*ring));
  }
  return self;
}

Loop::~Loop() {
  rings_.clear();
  if (event_fd_ >= 0) close(event_fd_);
}

void Loop::attach() {
  for (auto& ring : rings_) ring->attach();
  // The rings behind the first tell the eventfd that something waits, but only while we sleep.
  for (size_t i = 1; i < rings_.size(); i++) {
    int rc = io_uring_register_eventfd(&rings_[i]->raw(), event_fd_);
    TW_CHECK(rc == 0);
  }
  for (size_t i = 1; i < rings_.size(); i++) (void)io_uring_cq_eventfd_toggle(&rings_[i]->raw(), false);
  arm_wake();
}

// A multishot poll counts wake-ups, so the eventfd's counter need never be read.
void Loop::arm_wake() {
  io_uring_sqe& sqe = rings_[0]->sqe();
  io_uring_prep_poll_multishot(&sqe, event_fd_, POLLIN);
  sqe.user_data = user_data(OpKind::wake, 0, 0);
}

void Loop::notify_by_eventfd(bool on) {
  for (size_t i = 1; i < used_; i++) (void)io_uring_cq_eventfd_toggle(&rings_[i]->raw(), on);
}

bool Loop::prepared() const {
  return std::ranges::any_of(in_use(), [](const auto& ring) { return ring->prepared() > 0; });
}

bool Loop::ready() {
  if (!incoming_.empty() || !sends_.empty()) return true;
  return std::ranges::any_of(in_use(), [](const auto& ring) { return ring->something_waits(); });
}

void Loop::submit() {
  for (auto& ring : in_use()) {
    if (ring->prepared() > 0) ring->submit();
    if (ring->something_waits()) gather(*ring);
  }
}

// Takes a ring's completions into the queues: sends apart, the loop's own handled at once.
void Loop::gather(Uring& ring) {
  scratch_.clear();
  if (ring.take(scratch_) == 0) return;
  for (const Completion& c : scratch_) {
    switch (kind_of(c.user_data)) {
      case OpKind::send:
        sends_.push_back(c);
        break;
      case OpKind::wake:
        // Both kinds of wake-up end here: the poll, which goes on, and messages, which carry generation 1.
        if (generation_of(c.user_data) == 0 && !(c.flags & IORING_CQE_F_MORE)) arm_wake();
        break;
      case OpKind::wake_peer:
        // The message did not arrive: its target's ring is not running yet or has no room. The eventfd always
        // has.
        if (number_of(c.user_data) < peers_.size()) peers_[number_of(c.user_data)].loop->wake();
        break;
      default:
        incoming_.push_back(c);
    }
  }
}

std::span<const Completion> Loop::poll() {
  for (auto& ring : in_use()) {
    for (int round = 0; round < kRoundsMax && ring->something_waits(); round++) {
      bool more = ring->deferred_waits() && ring->run_deferred();
      gather(*ring);
      if (!more) break;
    }
  }
  handling_.clear();
  handling_.swap(incoming_);
  return handling_;
}

void Loop::wait(uint32_t at_most_ms) {
  for (size_t i = 1; i < used_; i++) rings_[i]->submit();
  if (used_ > 1) {
    // What came before the notification was on is found by looking once more, after it is on.
    notify_by_eventfd(true);
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // partner: the kernel, between its queue and our flag
    for (size_t i = 1; i < used_; i++) {
      (void)rings_[i]->run_deferred();
      if (rings_[i]->something_waits()) at_most_ms = 0;
    }
  }
  if (!incoming_.empty() || !sends_.empty()) at_most_ms = 0;
  if (at_most_ms == 0) {
    rings_[0]->submit();
  } else {
    rings_[0]->submit_and_wait(at_most_ms);
  }
  if (used_ > 1) notify_by_eventfd(false);
}

void Loop::take_sends(std::vector<Completion>& out) {
  out.insert(out.end(), sends_.begin(), sends_.end());
  sends_.clear();
}

void Loop::wake() {
  uint64_t one = 1;
  // Fails only when the counter is full, and then the poll is ready anyway.
  ssize_t written = write(event_fd_, &one, sizeof one);
  (void)written;
}

void Loop::wake_from(Loop& from) {
  size_t index = 0;
  while (index < from.peers_.size() && from.peers_[index].loop != this) index++;
  if (index == from.peers_.size()) from.peers_.push_back({this, UINT64_MAX});
  // Once per submission is enough, but not less: the peer may sleep again between two.
  uint64_t submission = from.rings_[0]->submissions();
  if (from.peers_[index].submission == submission) return;
  io_uring_sqe& sqe = from.rings_[0]->sqe();
  io_uring_prep_msg_ring(&sqe, rings_[0]->fd(), 0, user_data(OpKind::wake, 1, 0), 0);
  sqe.user_data = user_data(OpKind::wake_peer, 0, static_cast<uint32_t>(index));
  sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
  from.peers_[index].submission = from.rings_[0]->submissions();  // which sqe() may have moved on
}

}  // namespace twinwire
