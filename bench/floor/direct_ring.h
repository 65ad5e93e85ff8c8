// What the floors on io_uring have in common: a ring with a table of direct descriptors and a group of
// receive buffers, operations on sockets of that table, and a listener on loopback. Not here: what a program
// does with its connections. A ring is its thread's alone, made on it; what fails on the way up ends the
// program.
#pragma once

#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace twinwire::bench {

[[noreturn]] inline void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// `port` 0: the kernel chooses, and it is said. Without delay, which connections inherit; `shared`: several
// listen on the port, each for its thread.
inline int listen_on_loopback(uint16_t& port, bool shared) {
  const int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof address;
  const int on = 1;
  setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (shared) setsockopt(out, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(out, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(out, 4096) != 0) die("listen");
  getsockname(out, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return out;
}

class DirectRing {
 public:
  struct Sizes {
    unsigned submissions;
    unsigned completions;
    unsigned buffers;
    unsigned table;  // sockets; at most the limit of descriptors
  };
  static constexpr size_t kBufferBytes = 4096;
  // Takes all or fails with the count, and nothing stays in the kernel.
  static constexpr int kAtOnce = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;

  explicit DirectRing(const Sizes& sizes) : buffers_count_(sizes.buffers) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = sizes.completions;
    if (io_uring_queue_init_params(sizes.submissions, &ring_, &params) != 0) die("io_uring");
    if (io_uring_register_files_sparse(&ring_, sizes.table) != 0) die("table");
    const size_t ring_bytes = sizes.buffers * sizeof(io_uring_buf);
    void* memory = mmap(nullptr, ring_bytes + sizes.buffers * kBufferBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    memory_ = static_cast<char*>(memory) + ring_bytes;
    io_uring_buf_reg group{};
    group.ring_addr = reinterpret_cast<uint64_t>(buffers_);
    group.ring_entries = sizes.buffers;
    group.bgid = kGroup;
    if (io_uring_register_buf_ring(&ring_, &group, 0) != 0) die("buffers");
    io_uring_buf_ring_init(buffers_);
    for (unsigned i = 0; i < sizes.buffers; ++i) give_back(i);
  }
  DirectRing(const DirectRing&) = delete;
  DirectRing& operator=(const DirectRing&) = delete;

  io_uring& raw() { return ring_; }

  // The next submission; what is prepared goes first where there is no place.
  io_uring_sqe* next() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }
  void poll(unsigned index, uint64_t tag) {
    io_uring_sqe* sqe = next();
    io_uring_prep_poll_multishot(sqe, static_cast<int>(index), POLLIN | POLLRDHUP);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, tag);
  }
  void receive(unsigned index, uint64_t tag) {
    io_uring_sqe* sqe = next();
    io_uring_prep_recv(sqe, static_cast<int>(index), nullptr, kBufferBytes, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = kGroup;
    io_uring_sqe_set_data64(sqe, tag);
  }
  // A completion is a failure, with the count that was taken; it is there when the submission has returned.
  void send(unsigned index, std::string_view bytes, uint64_t tag) {
    io_uring_sqe* sqe = next();
    io_uring_prep_send(sqe, static_cast<int>(index), bytes.data(), bytes.size(), kAtOnce);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, tag);
  }
  void close(unsigned index, uint64_t tag) {
    io_uring_sqe* sqe = next();
    io_uring_prep_close_direct(sqe, index);
    io_uring_sqe_set_data64(sqe, tag);
  }

  // What a receive has put into a buffer; give_back() when it is read.
  static unsigned buffer_of(const io_uring_cqe& cqe) { return cqe.flags >> IORING_CQE_BUFFER_SHIFT; }
  std::string_view received(const io_uring_cqe& cqe) const {
    return {memory_ + buffer_of(cqe) * kBufferBytes, static_cast<size_t>(cqe.res)};
  }
  void give_back(unsigned id) {
    io_uring_buf_ring_add(buffers_, memory_ + id * kBufferBytes, kBufferBytes,
                          static_cast<unsigned short>(id), io_uring_buf_ring_mask(buffers_count_), 0);
    io_uring_buf_ring_advance(buffers_, 1);
  }

  // Takes out what has completed; valid until the next call.
  const std::vector<io_uring_cqe>& completed() {
    batch_.clear();
    unsigned head = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) batch_.push_back(*cqe);
    io_uring_cq_advance(&ring_, static_cast<unsigned>(batch_.size()));
    return batch_;
  }

 private:
  static constexpr int kGroup = 0;
  const unsigned buffers_count_;
  io_uring ring_{};
  io_uring_buf_ring* buffers_ = nullptr;
  char* memory_ = nullptr;
  std::vector<io_uring_cqe> batch_;
};

}  // namespace twinwire::bench
