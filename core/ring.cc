#include "core/ring.h"

#include <algorithm>

#include "core/status.h"

namespace twinwire {

Ring::Ring(const Options& options, Waker& waker)
    : mask_(options.slots - 1),
      byte_budget_(options.bytes),
      shards_(options.shards),
      first_(options.first),
      wake_writer_always_(options.wake_writer_always),
      waker_(waker),
      slots_(std::make_unique<Slot[]>(options.slots)),
      consumers_(options.shards + 1),
      next_(options.first.value),
      lease_end_(options.lease_end.value) {
  TW_CHECK(options.shards >= 1 && options.shards <= kShardsMax && options.first.value >= 1);
  // Twice the slack of all shards and a quarter for control: less, and nothing could be claimed.
  TW_CHECK((options.slots & mask_) == 0 && options.slots >= 2 * options.shards * kBatchMax + 128);
  for (Consumer& c : consumers_) c.position.store(options.first.value - 1, std::memory_order_relaxed);
}

Sequence Ring::consumed_min() const {
  uint64_t least = UINT64_MAX;
  for (const Consumer& c : consumers_)  // acquire: the slots behind are free for the next lap
    least = std::min(least, c.position.load(std::memory_order_acquire));
  return {least};
}

uint64_t Ring::bytes_in_flight() const {
  uint64_t least = UINT64_MAX;
  for (const Consumer& c : consumers_) least = std::min(least, c.bytes.load(std::memory_order_relaxed));
  uint64_t claimed = claimed_bytes_.load(std::memory_order_relaxed);
  return claimed > least ? claimed - least : 0;
}

// Recomputes the cached limits; true when the claim fits now. `slack` slots stay free of it.
bool Ring::refresh_limits(uint64_t wanted_end, uint64_t wanted_bytes, uint64_t slack, uint64_t byte_slack) {
  uint64_t passed = consumed_min().value;
  uint64_t limit = std::min(passed + slot_count(), lease_end().value);
  uint64_t least_bytes = UINT64_MAX;
  for (const Consumer& c : consumers_)
    least_bytes = std::min(least_bytes, c.bytes.load(std::memory_order_relaxed));
  uint64_t byte_limit = least_bytes + byte_budget_;
  byte_limit_.store(byte_limit, std::memory_order_relaxed);
  look_at_bytes_.store(wanted_bytes + byte_budget_ / 16, std::memory_order_relaxed);
  look_at_.store(wanted_end + slot_count() / 16, std::memory_order_relaxed);
  // Release, partner: try_claim(). Who claims by this limit writes slots that the consumers were seen to have
  // left.
  limit_.store(limit, std::memory_order_release);
  bool fits = wanted_end + slack <= limit && wanted_bytes + byte_slack <= byte_limit;
  // From half a lap, or half the bytes, on nobody may sleep on it.
  if (!fits || wanted_end > passed + slot_count() / 2 || wanted_bytes > least_bytes + byte_budget_ / 2) {
    for (uint32_t c = 0; c <= shards_; c++) wake_if_sleeping(c);
  }
  return fits;
}

std::optional<Claim> Ring::try_claim(uint32_t count, uint64_t bytes, Priority priority) {
  TW_CHECK(count >= 1 && count <= kBatchMax);
  // Every shard may pass the check at the same moment: that many batches of slack make one fetch-add enough.
  // Above it lies the reserve for control events, and state is shed at three quarters.
  uint64_t slack = uint64_t{shards_} * kBatchMax;
  uint64_t byte_slack = 0;
  if (priority != Priority::control) slack += std::min<uint64_t>(kReserve, slot_count() / 4);
  if (priority == Priority::state) slack += slot_count() / 4, byte_slack = byte_budget_ / 4;
  if (priority == Priority::control) bytes = 0;  // never refused for bytes
  uint64_t end = next_.load(std::memory_order_relaxed) + count;
  uint64_t total = claimed_bytes_.load(std::memory_order_relaxed) + bytes;
  if (end + slack > limit_.load(std::memory_order_acquire) ||  // partner: refresh_limits()
      total + byte_slack > byte_limit_.load(std::memory_order_relaxed) ||
      end > look_at_.load(std::memory_order_relaxed) ||
      total > look_at_bytes_.load(std::memory_order_relaxed)) {
    if (!refresh_limits(end, total, slack, byte_slack)) return std::nullopt;
  }
  claimed_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  // seq_cst, partner claimed(): a join that reads the position after setting its mask bit must not be
  // overtaken.
  uint64_t first = next_.fetch_add(count, std::memory_order_seq_cst);
  return Claim{Sequence{first}, count};
}

void Ring::publish(Sequence sequence, WakeWriter wake) {
  Slot& at = slot(sequence);
  uint64_t wake_mask = at.mask;
  bool for_writer = wake == WakeWriter::now && wakes_writer(at);
  at.mark.store(sequence.value, std::memory_order_release);  // partner: peek()
  // Dekker with set_sleeping(): either we see the flag, or the sleeper's second look sees the mark.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (; wake_mask; wake_mask &= wake_mask - 1) {
    auto consumer = static_cast<uint32_t>(__builtin_ctzll(wake_mask));
    if (consumers_[consumer].sleeping.load(std::memory_order_relaxed)) waker_.wake(consumer);
  }
  if (for_writer && consumers_[shards_].sleeping.load(std::memory_order_relaxed)) waker_.wake(shards_);
}

void Ring::consumed(uint32_t consumer, Sequence position, uint64_t bytes) {
  Consumer& c = consumers_[consumer];
  if (bytes) c.bytes.store(c.bytes.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  c.position.store(position.value, std::memory_order_release);  // partner: consumed_min()
}

void Ring::set_sleeping(uint32_t consumer, bool sleeping) {
  consumers_[consumer].sleeping.store(sleeping, std::memory_order_relaxed);
  std::atomic_thread_fence(
      std::memory_order_seq_cst);  // partner: the fence in publish() and wake_if_sleeping()
}

void Ring::wake_if_sleeping(uint32_t consumer) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (consumers_[consumer].sleeping.load(std::memory_order_relaxed)) waker_.wake(consumer);
}

}  // namespace twinwire
