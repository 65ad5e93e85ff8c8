#include "net/sockets.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

namespace twinwire {
namespace {

constexpr uint32_t kNoPlace = UINT32_MAX;
// Sends per enter: between 8 and 255 it makes no difference (limits.md, 1).
constexpr size_t kSendsPerSubmit = 128;
// How long accepting pauses when the system has no file or memory left for a connection.
constexpr Millis kAcceptPauseMs = 100;
constexpr uint32_t kPollEvents = POLLIN | POLLRDHUP;

ConnectionId id_of(uint32_t number) { return ConnectionId(number); }

}  // namespace

Sockets::Sockets(Loop& loop, SocketHandler& handler, const SocketsOptions& options)
    : loop_(loop), handler_(handler), options_(options) {
  table_slots_ = loop.ring(RingIndex(0)).table_slots();
  uint32_t rings = loop.ring_count();
  TW_CHECK(table_slots_ > options.reserve_min);
  reserve_ = rings * std::max(options.reserve_min, table_slots_ / options.reserve_divisor);
  slots_.resize(size_t{table_slots_} * rings);
  free_heads_.assign(rings, kNoPlace);
  for (uint32_t number = places(); number-- > 0;) {  // the lowest numbers are taken first
    TW_CHECK(loop.ring(descriptor(number).ring()).table_slots() == table_slots_);
    uint32_t& head = free_heads_[number / table_slots_];
    slots_[number].next = head;
    head = number;
  }
}

void Sockets::start(std::span<const Listener* const> listeners) {
  listeners_.assign(listeners.begin(), listeners.end());
  for (uint32_t listener = 0; listener < listeners_.size(); listener++) {
    uint32_t armed = listener == 0 ? std::min(options_.accepts_armed, std::max(2u, places() / 16))
                                   : options_.accepts_armed_others;
    for (uint32_t i = 0; i < armed; i++) {
      Accept accept;
      accept.listener = listener;
      accepts_.push_back(accept);
    }
  }
  accepting_ = true;
  arm_accepts();
}

void Sockets::stop_accepting() {
  accepting_ = false;
  for (uint32_t i = 0; i < accepts_.size(); i++) {
    if (!accepts_[i].armed) continue;
    io_uring_sqe& sqe = loop_.ring(descriptor(accepts_[i].number).ring()).sqe();
    io_uring_prep_cancel64(&sqe, user_data(OpKind::accept, 0, i), 0);
    sqe.user_data = user_data(OpKind::cancel, 0, 0);
    sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
  }
}

// Rings are filled in order, so that those behind the first stay silent as long as it has room.
bool Sockets::take_place(uint32_t& number) {
  for (uint32_t& head : free_heads_) {
    if (head == kNoPlace) continue;
    number = head;
    head = slots_[number].next;
    loop_.use(descriptor(number).ring());
    return true;
  }
  return false;
}

void Sockets::free_place(uint32_t number) {
  Slot& slot = slots_[number];
  slot.flags = 0;
  slot.generation++;
  uint32_t& head = free_heads_[number / table_slots_];
  slot.next = head;
  head = number;
}

void Sockets::arm_accepts() {
  if (!accepting_ || accepts_paused_) return;
  for (uint32_t i = 0; i < accepts_.size(); i++) {
    if (!accepts_[i].armed && !arm_accept(i)) return;
  }
}

bool Sockets::arm_accept(uint32_t index) {
  Accept& accept = accepts_[index];
  if (!take_place(accept.number)) return false;
  accept.armed = true;
  accepts_in_flight_++;
  accept.peer.size = sizeof accept.peer.storage;
  Descriptor place = descriptor(accept.number);
  io_uring_sqe& sqe = loop_.ring(place.ring()).sqe();
  io_uring_prep_accept_direct(&sqe, listeners_[accept.listener]->fd(),
                              reinterpret_cast<sockaddr*>(&accept.peer.storage), &accept.peer.size, 0,
                              place.number());
  sqe.user_data = user_data(OpKind::accept, 0, index);
  return true;
}

// `wait`: the first receive stays in the kernel until bytes come, which is cheaper than a poll before it when
// the request is there already (limits.md, 3); later ones follow a poll and never wait.
void Sockets::receive(uint32_t number, bool wait) {
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  io_uring_prep_recv(&sqe, static_cast<int>(socket.number()), nullptr, 0, wait ? 0 : MSG_DONTWAIT);
  sqe.flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe.buf_group = 0;
  sqe.user_data = user_data(OpKind::receive, slots_[number].generation, number);
  slots_[number].flags |= kReceiving;
}

void Sockets::arm_poll(uint32_t number) {
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  // After the peer's FIN readability says nothing any more; a reset is still told.
  uint32_t events = (slots_[number].flags & kEnded) ? 0 : kPollEvents;
  io_uring_prep_poll_multishot(&sqe, static_cast<int>(socket.number()), events);
  sqe.flags |= IOSQE_FIXED_FILE;
  sqe.user_data = user_data(OpKind::poll_in, slots_[number].generation, number);
  slots_[number].flags |= kPolling;
}

void Sockets::want_writable(ConnectionId id) {
  uint32_t number = index_of(id);
  Slot& slot = slots_[number];
  TW_CHECK(slot.flags & kOpen);
  if (slot.flags & (kPollingOut | kClosing)) return;
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  io_uring_prep_poll_add(&sqe, static_cast<int>(socket.number()), POLLOUT);
  sqe.flags |= IOSQE_FIXED_FILE;
  sqe.user_data = user_data(OpKind::poll_out, slot.generation, number);
  slot.flags |= kPollingOut;
}

void Sockets::send(ConnectionId id, std::span<const char> bytes) {
  uint32_t number = index_of(id);
  Slot& slot = slots_[number];
  TW_CHECK((slot.flags & (kOpen | kClosing)) == kOpen);
  // Two sends in flight on a full socket would come out in reverse order (limits.md, Recipe).
  TW_CHECK(!(slot.flags & kSending));
  TW_CHECK(!bytes.empty());
  if (sending_.size() >= kSendsPerSubmit) flush();
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  // With these flags a completion is a failure, with the count that was sent, and no completion is success;
  // nothing stays in the kernel (limits.md, Send).
  io_uring_prep_send(&sqe, static_cast<int>(socket.number()), bytes.data(), bytes.size(),
                     MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
  sqe.flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
  sqe.user_data = user_data(OpKind::send, slot.generation, number);
  slot.flags |= kSending;
  sending_.push_back(number);
}

void Sockets::flush() {
  loop_.submit();
  for (uint32_t number : sending_) slots_[number].flags &= static_cast<uint16_t>(~kSending);
  sending_.clear();
  // The handlers below may send to others and flush again, so the list is taken out first.
  std::vector<Completion> failed;
  failed.swap(failed_sends_);
  failed.clear();
  loop_.take_sends(failed);
  for (const Completion& c : failed) on_send(c);
  failed.clear();
  failed_sends_.swap(failed);
}

void Sockets::on_send(const Completion& c) {
  uint32_t number = number_of(c.user_data);
  Slot& slot = slots_[number];
  if (slot.generation != generation_of(c.user_data) || (slot.flags & kClosing)) return;
  handler_.on_short(id_of(number), static_cast<uint32_t>(std::max(c.result, 0)));
  if (c.result < 0 && c.result != -EAGAIN) gone(number);
}

void Sockets::pause(ConnectionId id) { slots_[index_of(id)].flags |= kPaused; }

void Sockets::resume(ConnectionId id) {
  uint32_t number = index_of(id);
  Slot& slot = slots_[number];
  if (!(slot.flags & kPaused)) return;
  slot.flags &= static_cast<uint16_t>(~kPaused);
  if ((slot.flags & (kOpen | kClosing)) != kOpen) return;
  bool readable = (slot.flags & kReadable) != 0;
  slot.flags &= static_cast<uint16_t>(~kReadable);
  if (slot.flags & (kReceiving | kWaiting | kEnded)) return;
  if (readable) {
    receive(number, false);
  } else if (!(slot.flags & kPolling)) {
    arm_poll(number);
  }
}

void Sockets::handle(std::span<const Completion> completions) {
  for (const Completion& c : completions) handle_one(c);
  // Buffers first, then the receives that lacked one.
  for (uint32_t i = 0; i < loop_.rings_used(); i++)
    loop_.ring(RingIndex(static_cast<uint8_t>(i))).buffers().publish();
  if (!waiting_.empty()) retry_waiting();
}

void Sockets::retry_waiting() {
  for (uint32_t number : waiting_) {
    Slot& slot = slots_[number];
    slot.flags &= static_cast<uint16_t>(~kWaiting);
    if ((slot.flags & kClosing) && !(slot.flags & kLingering)) {
      close_when_idle(number);
    } else if (slot.flags & kPaused) {
      slot.flags |= kReadable;
    } else {
      receive(number, false);
    }
  }
  waiting_.clear();
}

void Sockets::handle_one(const Completion& c) {
  OpKind kind = kind_of(c.user_data);
  if (kind == OpKind::accept) return on_accept(c);
  if (kind == OpKind::cancel) return;  // what it meant to cancel had ended already
  uint32_t number = number_of(c.user_data);
  TW_CHECK(number < slots_.size());
  Slot& slot = slots_[number];
  // A place is reused only when nothing is in flight, so every other completion is of this life.
  TW_CHECK(slot.generation == generation_of(c.user_data));
  switch (kind) {
    case OpKind::receive:
      slot.flags &= static_cast<uint16_t>(~kReceiving);
      return on_receive(number, c);
    case OpKind::poll_in:
      if (!(c.flags & IORING_CQE_F_MORE)) slot.flags &= static_cast<uint16_t>(~kPolling);
      return on_poll(number, c);
    case OpKind::poll_out:
      slot.flags &= static_cast<uint16_t>(~kPollingOut);
      if (slot.flags & kClosing) return close_when_idle(number);
      if (c.result < 0) return gone(number);
      return handler_.on_writable(id_of(number));
    case OpKind::shut:
      slot.flags &= static_cast<uint16_t>(~kShutting);
      if (c.result < 0 || (slot.flags & kEnded)) slot.flags &= static_cast<uint16_t>(~kLingering);
      if (!(slot.flags & kLingering)) end(number);
      return;
    case OpKind::close: {
      free_place(number);
      open_--;
      handler_.on_closed(id_of(number));
      return arm_accepts();
    }
    default:
      TW_CHECK(false && "a completion of an unknown kind");
  }
}

void Sockets::on_accept(const Completion& c) {
  uint32_t index = number_of(c.user_data);
  Accept& accept = accepts_[index];
  accept.armed = false;
  accepts_in_flight_--;
  uint32_t number = accept.number;
  if (c.result < 0) {
    free_place(number);
    bool transient = c.result == -ECONNABORTED || c.result == -EINTR || c.result == -EAGAIN;
    if (accepting_ && !transient) {
      accepts_paused_ = true;
      accepts_resume_at_ = now_ + kAcceptPauseMs;
    }
    return arm_accepts();
  }
  slots_[number].flags = kOpen;
  open_++;
  handler_.on_open({id_of(number), accept.peer, accept.listener, open_ > open_max()});
  if (!(slots_[number].flags & kClosing)) receive(number, true);
  if (accepting_ && !accepts_paused_) arm_accept(index);
}

void Sockets::on_receive(uint32_t number, const Completion& c) {
  Slot& slot = slots_[number];
  Buffers& buffers = loop_.ring(descriptor(number).ring()).buffers();
  bool closing = (slot.flags & kClosing) != 0;
  if (c.result > 0) {
    uint32_t buffer = c.flags >> IORING_CQE_BUFFER_SHIFT;
    auto size = static_cast<uint32_t>(c.result);
    bool more = (c.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0 || size == buffers.bytes();
    if (!closing) {
      handler_.on_bytes(id_of(number), buffers.at(buffer, size));
    } else if (slot.flags & kLingering) {
      slot.next += size;
      if (slot.next > options_.linger_bytes) slot.flags &= static_cast<uint16_t>(~kLingering);
    }
    buffers.give_back(buffer);
    return after_bytes(number, more);
  }
  if (c.flags & IORING_CQE_F_BUFFER) buffers.give_back(c.flags >> IORING_CQE_BUFFER_SHIFT);
  if (c.result == 0) {
    slot.flags |= kEnded;
    if (closing) {
      slot.flags &= static_cast<uint16_t>(~kLingering);
    } else {
      handler_.on_end(id_of(number));
    }
    return after_bytes(number, false);
  }
  if (c.result == -ENOBUFS) {
    slot.flags |= kWaiting;
    waiting_.push_back(number);
    return;
  }
  if (c.result == -EAGAIN || c.result == -EINTR) return after_bytes(number, c.result == -EINTR);
  if (closing) {
    slot.flags &= static_cast<uint16_t>(~kLingering);
    return close_when_idle(number);
  }
  gone(number);
}

// What follows a read: another one, the poll, nothing while paused, or the end of a closing connection.
void Sockets::after_bytes(uint32_t number, bool more) {
  Slot& slot = slots_[number];
  if ((slot.flags & kClosing) && !(slot.flags & kLingering)) return end(number);
  if (slot.flags & kReceiving) return;  // the handler paused and resumed
  if ((slot.flags & kPaused) && !(slot.flags & kLingering)) {
    if (more) slot.flags |= kReadable;
    if (!(slot.flags & kPolling)) arm_poll(number);
  } else if ((more || (slot.flags & kReadable)) && !(slot.flags & kEnded)) {
    slot.flags &= static_cast<uint16_t>(~kReadable);
    receive(number, false);
  } else if (!(slot.flags & kPolling)) {
    arm_poll(number);
  }
}

void Sockets::on_poll(uint32_t number, const Completion& c) {
  Slot& slot = slots_[number];
  bool closing = (slot.flags & kClosing) != 0;
  if (closing && !(slot.flags & kLingering)) return close_when_idle(number);
  if (c.result < 0 || (c.result & POLLERR)) {
    if (!closing) return gone(number);
    slot.flags &= static_cast<uint16_t>(~kLingering);
    return end(number);
  }
  if (slot.flags & kEnded) {
    // Both directions are shut: nothing more can come or go.
    if ((c.result & POLLHUP) && !closing) return gone(number);
    if (!(slot.flags & kPolling) && !closing) arm_poll(number);
    return;
  }
  if (slot.flags & (kReceiving | kWaiting)) {
    // That receive may take only what came before, and nothing would tell of the rest again: look once more
    // after it.
    slot.flags |= kReadable;
    return;
  }
  if ((slot.flags & kPaused) && !(slot.flags & kLingering)) {
    slot.flags |= kReadable;
    if (c.result & POLLHUP) return gone(number);
    if (!(slot.flags & kPolling)) arm_poll(number);
    return;
  }
  receive(number, false);
}

void Sockets::gone(uint32_t number) {
  if (slots_[number].flags & kClosing) return;
  slots_[number].flags |= kClosing;
  handler_.on_gone(id_of(number));
  end(number);
}

void Sockets::close(ConnectionId id) {
  uint32_t number = index_of(id);
  Slot& slot = slots_[number];
  TW_CHECK(slot.flags & kOpen);
  if (slot.flags & kClosing) return;
  slot.flags |= kClosing;
  if (slot.flags & kEnded) return end(number);
  slot.flags |= kLingering | kShutting;
  slot.next = 0;
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  io_uring_prep_shutdown(&sqe, static_cast<int>(socket.number()), SHUT_WR);
  sqe.flags |= IOSQE_FIXED_FILE;
  sqe.user_data = user_data(OpKind::shut, slot.generation, number);
  lingering_.push_back({number, slot.generation, now_ + options_.linger_ms});
  if (!(slot.flags & (kReceiving | kWaiting))) receive(number, false);
}

void Sockets::abort(ConnectionId id) {
  uint32_t number = index_of(id);
  Slot& slot = slots_[number];
  TW_CHECK(slot.flags & kOpen);
  if ((slot.flags & kClosing) && !(slot.flags & kLingering)) return;
  slot.flags |= kClosing;
  slot.flags &= static_cast<uint16_t>(~kLingering);
  end(number);
}

void Sockets::abort_all() {
  for (uint32_t number = 0; number < places(); number++) {
    if (slots_[number].flags & kOpen) abort(id_of(number));
  }
}

// Cancels what is in flight; the last of it to end closes the socket.
void Sockets::end(uint32_t number) {
  uint16_t flags = slots_[number].flags;
  if (flags & kReceiving) cancel(number, OpKind::receive);
  if (flags & kPolling) cancel(number, OpKind::poll_in);
  if (flags & kPollingOut) cancel(number, OpKind::poll_out);
  close_when_idle(number);
}

void Sockets::cancel(uint32_t number, OpKind kind) {
  uint64_t target = user_data(kind, slots_[number].generation, number);
  io_uring_sqe& sqe = loop_.ring(descriptor(number).ring()).sqe();
  // Not POLL_REMOVE: with CQE_SKIP_SUCCESS the kernel skips the removed poll's completion too (seen on 6.18),
  // and we count on it.
  io_uring_prep_cancel64(&sqe, target, 0);
  sqe.user_data = user_data(OpKind::cancel, 0, 0);
  sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void Sockets::close_when_idle(uint32_t number) {
  Slot& slot = slots_[number];
  if (slot.flags & (kInFlight | kCloseSent | kLingering)) return;
  slot.flags |= kCloseSent;
  Descriptor socket = descriptor(number);
  io_uring_sqe& sqe = loop_.ring(socket.ring()).sqe();
  io_uring_prep_close_direct(&sqe, socket.number());
  sqe.user_data = user_data(OpKind::close, slot.generation, number);
}

void Sockets::tick(Millis now) {
  now_ = now;
  while (!lingering_.empty() && lingering_.front().deadline <= now) {
    Linger linger = lingering_.front();
    lingering_.pop_front();
    Slot& slot = slots_[linger.number];
    if (slot.generation != linger.generation || !(slot.flags & kLingering)) continue;
    slot.flags &= static_cast<uint16_t>(~kLingering);
    end(linger.number);
  }
  if (accepts_paused_ && now >= accepts_resume_at_) {
    accepts_paused_ = false;
    arm_accepts();
  }
}

}  // namespace twinwire
