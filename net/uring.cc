#include "net/uring.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace twinwire {
namespace {

// The kernel runs at least this many deferred completions per enter, and no more when nobody waits for more
// (limits.md, 2); as many as that back means: ask again.
constexpr uint32_t kDeferredPerEnter = 20;

}  // namespace

Result<std::unique_ptr<Uring>> Uring::open(const UringOptions& options) {
  std::unique_ptr<Uring> self(new Uring);
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = options.cq_entries;
  if (int rc = io_uring_queue_init_params(options.sq_entries, &self->ring_, &params); rc < 0) {
    return fail(Code::internal, std::string("a ring cannot be set up: ") + strerror(-rc));
  }
  self->fd_ = self->ring_.ring_fd;
  if (options.table_slots > 0) {
    if (int rc = io_uring_register_files_sparse(&self->ring_, options.table_slots); rc < 0) {
      return fail(Code::internal,
                  "a table of " + std::to_string(options.table_slots) +
                      " direct descriptors is refused: " + strerror(-rc) +
                      (rc == -EMFILE ? " (more than the limit of open files, ulimit -n)" : ""));
    }
    self->table_slots_ = options.table_slots;
  }
  if (options.buffer_count > 0) {
    auto opened = self->buffers_.open(self->ring_, options.buffer_count, options.buffer_bytes);
    if (!opened) return opened.error();
  }
  return self;
}

Uring::~Uring() {
  if (fd_ >= 0) io_uring_queue_exit(&ring_);
}

void Uring::attach() {
  // liburing 2.3 declares io_uring_enable_rings() and does not export it.
  long rc = syscall(__NR_io_uring_register, fd_, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  TW_CHECK(rc == 0);
  // One lookup less per enter; without it everything works the same.
  (void)io_uring_register_ring_fd(&ring_);
}

io_uring_sqe& Uring::sqe() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (!entry) {
    submit();
    entry = io_uring_get_sqe(&ring_);
    TW_CHECK(entry);
  }
  return *entry;
}

void Uring::submit() {
  while (io_uring_sq_ready(&ring_) > 0) {
    submissions_++;
    int rc = io_uring_submit(&ring_);
    if (rc >= 0 || rc == -EINTR) continue;
    // -EBUSY: the kernel holds completions that do not fit; -EAGAIN: it lacks memory for a request. Both pass
    // once completions are taken out.
    TW_CHECK(rc == -EBUSY || rc == -EAGAIN);
    uint32_t head, taken = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      spilled_.push_back({cqe->user_data, cqe->res, cqe->flags});
      taken++;
    }
    io_uring_cq_advance(&ring_, taken);
    (void)io_uring_get_events(&ring_);
  }
}

bool Uring::something_waits() {
  return !spilled_.empty() || io_uring_cq_ready(&ring_) > 0 || deferred_waits();
}

bool Uring::deferred_waits() {
  // A full round came back from the last enter: the kernel may keep the rest without raising its flag again.
  if (io_uring_cq_ready(&ring_) >= kDeferredPerEnter) return true;
  uint32_t flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool Uring::run_deferred() {
  uint32_t before = io_uring_cq_ready(&ring_);
  (void)io_uring_get_events(&ring_);
  return io_uring_cq_ready(&ring_) - before >= kDeferredPerEnter;
}

uint32_t Uring::take(std::vector<Completion>& out) {
  uint32_t spilled = static_cast<uint32_t>(spilled_.size());
  if (spilled > 0) {
    out.insert(out.end(), spilled_.begin(), spilled_.end());
    spilled_.clear();
  }
  uint32_t head, taken = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    out.push_back({cqe->user_data, cqe->res, cqe->flags});
    taken++;
  }
  if (taken > 0) io_uring_cq_advance(&ring_, taken);
  return spilled + taken;
}

void Uring::submit_and_wait(uint32_t timeout_ms) {
  if (!spilled_.empty()) return submit();
  __kernel_timespec at_most{};
  at_most.tv_sec = timeout_ms / 1000;
  at_most.tv_nsec = (timeout_ms % 1000) * 1000000L;
  io_uring_cqe* first = nullptr;
  // Errors here are a time-out, a signal, or a full completion queue: the caller looks at the queue anyway.
  submissions_++;
  (void)io_uring_submit_and_wait_timeout(&ring_, &first, 1, &at_most, nullptr);
  submit();
}

}  // namespace twinwire
