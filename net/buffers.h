// The provided receive buffers of one ring (IORING_REGISTER_PBUF_RING, Linux 5.19): the kernel picks one per
// receive, so a connection that is silent holds none. A fixed block of memory, touched at start so that it
// never grows with the number of connections. Not here: who reads what is in them, and the retry after
// -ENOBUFS (net/sockets). The ring's thread only. Owns the memory; the ring must be closed before it dies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/status.h"

struct io_uring;
struct io_uring_buf_ring;

namespace twinwire {

class Buffers {
 public:
  Buffers() = default;
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  // `count` buffers (a power of two, at most 32768) of `bytes` each, as group 0 of `ring`.
  Result<void> open(io_uring& ring, uint32_t count, uint32_t bytes);

  // What the kernel put into buffer `id`.
  std::span<char> at(uint32_t id, size_t size) { return {memory_ + size_t{id} * bytes_, size}; }
  // Gives buffer `id` back. The kernel sees it after publish().
  void give_back(uint32_t id);
  // Shows the kernel what was given back; must come before a receive that met -ENOBUFS is asked for again, or
  // it meets it again for ever.
  void publish();

  uint32_t bytes() const { return bytes_; }

 private:
  io_uring_buf_ring* ring_ = nullptr;
  char* memory_ = nullptr;
  uint32_t count_ = 0;
  uint32_t bytes_ = 0;
  uint32_t unpublished_ = 0;
};

}  // namespace twinwire
