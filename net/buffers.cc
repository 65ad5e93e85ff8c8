#include "net/buffers.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>

namespace twinwire {

Buffers::~Buffers() {
  if (ring_) munmap(ring_, count_ * sizeof(io_uring_buf));
  if (memory_) munmap(memory_, size_t{count_} * bytes_);
}

Result<void> Buffers::open(io_uring& ring, uint32_t count, uint32_t bytes) {
  TW_CHECK(count > 0 && (count & (count - 1)) == 0 && count <= 32768);
  count_ = count;
  bytes_ = bytes;
  constexpr int kProtection = PROT_READ | PROT_WRITE, kKind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* entries = mmap(nullptr, count * sizeof(io_uring_buf), kProtection, kKind, -1, 0);
  if (entries != MAP_FAILED) ring_ = static_cast<io_uring_buf_ring*>(entries);
  void* memory = mmap(nullptr, size_t{count} * bytes, kProtection, kKind, -1, 0);
  if (memory != MAP_FAILED) memory_ = static_cast<char*>(memory);
  if (!ring_ || !memory_) return fail(Code::internal, "no memory for receive buffers");

  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uint64_t>(ring_);
  reg.ring_entries = count;
  reg.bgid = 0;
  if (int rc = io_uring_register_buf_ring(&ring, &reg, 0); rc < 0) {
    return fail(Code::internal, std::string("receive buffers are refused by the kernel: ") + strerror(-rc));
  }
  io_uring_buf_ring_init(ring_);
  for (uint32_t id = 0; id < count; id++) give_back(id);
  publish();
  return {};
}

void Buffers::give_back(uint32_t id) {
  io_uring_buf_ring_add(ring_, memory_ + size_t{id} * bytes_, bytes_, static_cast<uint16_t>(id),
                        io_uring_buf_ring_mask(count_), static_cast<int>(unpublished_));
  unpublished_++;
}

void Buffers::publish() {
  if (unpublished_ == 0) return;
  io_uring_buf_ring_advance(ring_, static_cast<int>(unpublished_));
  unpublished_ = 0;
}

}  // namespace twinwire
