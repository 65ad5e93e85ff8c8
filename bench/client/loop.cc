#include "bench/client/loop.h"

#include <poll.h>

#include <algorithm>
#include <ctime>
#include <system_error>

namespace twinwire::client {
namespace {

constexpr unsigned kSubmissions = 4096;
constexpr unsigned kCompletions = 65536;
constexpr size_t kScratchBytes = 256 * 1024;
constexpr uint32_t kEvents = POLLIN | POLLOUT | POLLRDHUP;
constexpr uint64_t kNobody = UINT64_MAX;  // completions of poll removals

uint64_t pack(uint32_t index, uint32_t generation) { return uint64_t{generation} << 32 | index; }

bool open_ring(io_uring& ring, unsigned flags) {
  io_uring_params params{};
  params.flags = flags | IORING_SETUP_CQSIZE;
  params.cq_entries = kCompletions;
  return io_uring_queue_init_params(kSubmissions, &ring, &params) == 0;
}

}  // namespace

Nanos monotonic_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<Nanos>(time.tv_sec) * kSecond + static_cast<Nanos>(time.tv_nsec);
}

Loop::Loop() : scratch_(kScratchBytes), now_(monotonic_now()) {
  if (!open_ring(ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) && !open_ring(ring_, 0)) {
    throw std::system_error(errno, std::generic_category(), "io_uring is not available");
  }
}

Loop::~Loop() { io_uring_queue_exit(&ring_); }

io_uring_sqe* Loop::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

Loop::WatchId Loop::watch(int fd, Watcher* watcher) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.watcher = watcher;
  slot.fd = fd;
  ++slot.generation;
  arm(index);
  return static_cast<WatchId>(pack(index, slot.generation));
}

void Loop::arm(uint32_t index) {
  Slot& slot = slots_[index];
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_multishot(sqe, slot.fd, kEvents);
  io_uring_sqe_set_data64(sqe, pack(index, slot.generation));
  slot.armed = true;
}

void Loop::unwatch(WatchId id) {
  const auto packed = static_cast<uint64_t>(id);
  const auto index = static_cast<uint32_t>(packed);
  Slot& slot = slots_[index];
  if (id == WatchId::none || slot.generation != packed >> 32 || slot.watcher == nullptr) return;
  slot.watcher = nullptr;
  slot.fd = -1;
  if (!slot.armed) {
    free_.push_back(index);
    return;
  }
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_remove(sqe, packed);
  io_uring_sqe_set_data64(sqe, kNobody);
  // The caller closes the descriptor next: the removal must name the request before its number is used again.
  io_uring_submit(&ring_);
}

Loop::TimerId Loop::at(Nanos when, std::function<void()> work) {
  const uint64_t id = ++timers_made_;
  timers_.emplace(std::pair(when, id), std::move(work));
  timer_due_.emplace(id, when);
  return static_cast<TimerId>(id);
}

void Loop::cancel(TimerId& id) {
  const auto found = timer_due_.find(static_cast<uint64_t>(id));
  id = TimerId::none;
  if (found == timer_due_.end()) return;
  timers_.erase({found->second, found->first});
  timer_due_.erase(found);
}

void Loop::run_once(Nanos wait) {
  now_ = monotonic_now();
  if (!later_.empty()) wait = 0;
  if (!timers_.empty()) {
    const Nanos due = timers_.begin()->first.first;
    wait = std::min(wait, due > now_ ? due - now_ : 0);
  }
  __kernel_timespec limit{static_cast<int64_t>(wait / kSecond), static_cast<int64_t>(wait % kSecond)};
  io_uring_cqe* first = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
  now_ = monotonic_now();
  batch_.clear();
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) { batch_.push_back(*cqe); }
  io_uring_cq_advance(&ring_, static_cast<unsigned>(batch_.size()));
  for (const io_uring_cqe& each : batch_) handle(each);
  run_timers();
  run_later();
}

void Loop::handle(const io_uring_cqe& cqe) {
  const uint64_t packed = cqe.user_data;
  if (packed == kNobody || packed == LIBURING_UDATA_TIMEOUT) return;
  const auto index = static_cast<uint32_t>(packed);
  Slot& slot = slots_[index];
  if (slot.generation != packed >> 32) return;
  const bool last = !(cqe.flags & IORING_CQE_F_MORE);
  if (last) slot.armed = false;
  if (slot.watcher == nullptr) {
    if (last) free_.push_back(index);
    return;
  }
  Watcher* watcher = slot.watcher;
  if (last)
    arm(index);  // the kernel ends a multishot at its own discretion; arming again reports the present state
  if (cqe.res > 0) watcher->on_ready(static_cast<uint32_t>(cqe.res));
}

void Loop::run_timers() {
  // Timers that the work adds run in the next round, so that no round is endless.
  const uint64_t made = timers_made_;
  for (auto it = timers_.begin(); it != timers_.end() && it->first.first <= now_;) {
    if (it->first.second > made) {
      ++it;
      continue;
    }
    const std::function<void()> work = std::move(it->second);
    timer_due_.erase(it->first.second);
    timers_.erase(it);
    work();
    it = timers_.begin();
  }
}

void Loop::run_later() {
  std::vector<std::function<void()>> work;
  work.swap(later_);
  for (const auto& each : work) each();
}

void Loop::run() {
  stopped_ = false;
  while (!stopped_) run_once(kSecond);
}

}  // namespace twinwire::client
