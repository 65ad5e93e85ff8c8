// One io_uring with its own table of direct descriptors and its own receive buffers.
// Not here: several rings as one loop, sleeping and waking (net/loop); what the operations mean
// (net/sockets). Opened by any thread; from attach() on that thread only (IORING_SETUP_SINGLE_ISSUER). Owns
// the ring: whoever has operations in flight on it has to see their ends before it dies.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/status.h"
#include "net/buffers.h"

namespace twinwire {

struct UringOptions {
  uint32_t sq_entries = 512;
  uint32_t cq_entries = 8192;
  // Slots of the direct table; the kernel wants it at most RLIMIT_NOFILE. 0: no table.
  uint32_t table_slots = 0;
  // A power of two; 0: no receive buffers.
  uint32_t buffer_count = 256;
  uint32_t buffer_bytes = 4096;
};

// A completion as it is queued for its owner, 16 bytes. `user_data` is built by user_data() below.
struct Completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};

// What an operation was: the top byte of its user_data.
enum class OpKind : uint8_t {
  none,
  wake,
  wake_peer,
  accept,
  receive,
  poll_in,
  poll_out,
  send,
  shut,
  close,
  cancel,
  timer
};

// kind (8 bits) | generation (16) | number (32): who it belongs to, and which life of the slot.
constexpr uint64_t user_data(OpKind kind, uint16_t generation, uint32_t number) {
  return uint64_t{static_cast<uint8_t>(kind)} << 56 | uint64_t{generation} << 32 | number;
}
constexpr OpKind kind_of(uint64_t data) { return static_cast<OpKind>(data >> 56); }
constexpr uint16_t generation_of(uint64_t data) { return static_cast<uint16_t>(data >> 32); }
constexpr uint32_t number_of(uint64_t data) { return static_cast<uint32_t>(data); }

class Uring {
 public:
  static Result<std::unique_ptr<Uring>> open(const UringOptions& options);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // Makes the calling thread the one that may use the ring.
  void attach();

  // The next submission entry, cleared by the caller's io_uring_prep_*; submits first when the queue is full.
  io_uring_sqe& sqe();
  // Gives the kernel all that is prepared; afterwards every operation that could be done at once has been
  // done (a send's bytes are copied), and its completion, if it has one, is in the completion queue.
  void submit();
  // Runs up to one round of deferred completions without sleeping. Returns whether it may be worth calling
  // again.
  bool run_deferred();
  // Whether completions wait, seen without a system call; the second: whether run_deferred() may find more.
  bool something_waits();
  bool deferred_waits();
  // Moves what is in the completion queue to the end of `out`. Returns how many.
  uint32_t take(std::vector<Completion>& out);
  // Submits and sleeps until a completion or `timeout_ms`.
  void submit_and_wait(uint32_t timeout_ms);
  uint32_t prepared() const { return io_uring_sq_ready(const_cast<io_uring*>(&ring_)); }

  // How often submissions were given to the kernel so far.
  uint64_t submissions() const { return submissions_; }

  io_uring& raw() { return ring_; }
  int fd() const { return fd_; }
  Buffers& buffers() { return buffers_; }
  uint32_t table_slots() const { return table_slots_; }

 private:
  Uring() = default;
  io_uring ring_{};
  int fd_ =
      -1;  // the plain descriptor: ring_.ring_fd is the ring itself, enter_ring_fd an index after attach()
  uint32_t table_slots_ = 0;
  uint64_t submissions_ = 0;
  Buffers buffers_;
  // Completions met while making room inside submit(); take() hands them out first.
  std::vector<Completion> spilled_;
};

}  // namespace twinwire
