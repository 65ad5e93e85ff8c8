#include "store/writer_thread.h"

#include <pthread.h>

#include <algorithm>

namespace twinwire::store {

namespace {
inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}
}  // namespace

void WriterThread::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "tw-writer");
  minder_ = std::thread([this] { mind(); });
  pthread_setname_np(minder_.native_handle(), "tw-minder");
}

void WriterThread::stop(Millis patience) {
  if (!thread_.joinable()) return;
  patience_ = patience;
  stopping_.store(true, std::memory_order_release);  // partner: run()
  signal_.raise();
  thread_.join();
  minder_stopping_.store(true, std::memory_order_release);  // partner: mind()
  minder_signal_.raise();
  minder_.join();
}

bool WriterThread::published() const {
  return ring_.peek(ring_.consumed_position(ring_.writer_consumer()) + 1) != nullptr;
}

void WriterThread::run() {
  while (!stopping_.load(std::memory_order_acquire)) {
    if (uint64_t us = writer_.commit_wait_us()) {
      // Not "asleep" for the ring: no publisher needs to wake it meanwhile, only stop() does.
      uint32_t epoch = signal_.epoch();
      if (!stopping_.load(std::memory_order_acquire)) signal_.wait_us(epoch, us);
    }
    if (!writer_.step(clock_.now_ms())) wait();
  }
  finish();
}

void WriterThread::wait() {
  for (int i = 0; i < kSpins; i++) {
    if (published()) return;
    pause_cpu();
  }
  uint32_t consumer = ring_.writer_consumer();
  uint32_t epoch = signal_.epoch();
  ring_.set_sleeping(consumer, true);
  Millis nap = std::min(kNapMax, writer_.idle_for(clock_.now_ms()));
  // The second look, after the flag: a publisher either sees the flag or is seen here.
  if (nap != 0 && !published() && !stopping_.load(std::memory_order_acquire)) signal_.wait(epoch, nap);
  ring_.set_sleeping(consumer, false);
}

void WriterThread::finish() {
  Millis until = clock_.now_ms() + patience_;
  while (!writer_.drained()) {
    writer_.settle_now();
    if (writer_.step(clock_.now_ms())) continue;
    Millis now = clock_.now_ms();
    if (now >= until) {
      writer_.give_up_all();
      return;
    }
    signal_.wait(signal_.epoch(), std::min<Millis>(until - now, 10));
  }
}

void WriterThread::mind() {
  bool busy = false;
  while (!minder_stopping_.load(std::memory_order_acquire)) {
    minder_signal_.wait(minder_signal_.epoch(), busy ? kMindBusy : kMindIdle);
    busy = writer_.mind(clock_.now_ms());
  }
}

}  // namespace twinwire::store
