#include "store/signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace twinwire::store {

namespace {
long futex(std::atomic<uint32_t>* word, int operation, uint32_t value, const timespec* timeout) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), operation, value, timeout, nullptr, 0);
}
}  // namespace

void Signal::wait_us(uint32_t epoch, uint64_t timeout_us) {
  // seq_cst with raise(): either the raiser sees the sleeper, or the kernel sees the new count.
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (count_.load(std::memory_order_seq_cst) == epoch) {
    timespec time{static_cast<time_t>(timeout_us / 1'000'000),
                  static_cast<long>(timeout_us % 1'000'000 * 1000)};
    futex(&count_, FUTEX_WAIT_PRIVATE, epoch, &time);
  }
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void Signal::raise(bool all) {
  count_.fetch_add(1, std::memory_order_seq_cst);  // partner: wait()
  if (sleepers_.load(std::memory_order_seq_cst) != 0)
    futex(&count_, FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1, nullptr);
}

}  // namespace twinwire::store
