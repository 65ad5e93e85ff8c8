#include "core/mailbox.h"

#include <bit>

namespace twinwire {

Mailbox::Mailbox(uint32_t requests, uint32_t credits)
    : requests_max_(requests),
      mask_(std::bit_ceil(uint64_t{requests} + credits) - 1),
      cells_(std::make_unique<Cell[]>(mask_ + 1)) {
  for (uint64_t i = 0; i <= mask_; i++) cells_[i].turn.store(i, std::memory_order_relaxed);
}

Mailbox::~Mailbox() {
  while (take()) {
  }
}

bool Mailbox::try_post(MailRef& mail) {
  uint32_t waiting = waiting_requests_.load(std::memory_order_relaxed);
  do {
    if (waiting >= requests_max_) return false;
  } while (!waiting_requests_.compare_exchange_weak(waiting, waiting + 1, std::memory_order_relaxed));
  push(std::move(mail), true);
  return true;
}

void Mailbox::post_reply(MailRef mail) { push(std::move(mail), false); }

void Mailbox::push(MailRef mail, bool request) {
  uint64_t at = tail_.fetch_add(1, std::memory_order_relaxed);
  Cell& cell = cells_[at & mask_];
  // The counts keep producers within the ring, so the cell is free but for the consumer's last store to it.
  while (cell.turn.load(std::memory_order_acquire) != at) {  // partner: take()
  }
  cell.mail = mail.release();
  cell.request = request;
  cell.turn.store(at + 1, std::memory_order_release);  // partner: take()
}

MailRef Mailbox::take() {
  Cell& cell = cells_[head_ & mask_];
  if (cell.turn.load(std::memory_order_acquire) != head_ + 1) return nullptr;  // partner: push()
  MailRef mail(cell.mail);
  bool request = cell.request;
  cell.turn.store(head_ + mask_ + 1, std::memory_order_release);  // partner: the push one lap later
  head_++;
  if (request) waiting_requests_.fetch_sub(1, std::memory_order_relaxed);
  return mail;
}

bool Mailbox::empty() const {
  return cells_[head_ & mask_].turn.load(std::memory_order_acquire) != head_ + 1;  // partner: push()
}

}  // namespace twinwire
