// WriterThread: gives the writer its thread: steps it, spins briefly when there is nothing, then sleeps by
// the ring's protocol; and a minder that keeps consuming and giving up while a commit hangs in the disk. Not
// here: what a step does (writer.h). wake() from any thread; start() and stop() from one.
#pragma once

#include <atomic>
#include <thread>

#include "core/clock.h"
#include "core/ring.h"
#include "store/signal.h"
#include "store/writer.h"

namespace twinwire::store {

class WriterThread {
 public:
  WriterThread(Writer& writer, Ring& ring, const Clock& clock)
      : writer_(writer), ring_(ring), clock_(clock) {}
  ~WriterThread() { stop(0); }

  void start();
  // For the ring's Waker. Never blocks.
  void wake() { signal_.raise(); }
  // Nobody publishes any more: commits what is left and a last settled_through, for at most `patience` ms
  // while the store fails; what is left then becomes unsaved.
  void stop(Millis patience);

 private:
  static constexpr int kSpins = 200;        // looks at the ring before sleeping: a few microseconds
  static constexpr Millis kNapMax = 1'000;  // asleep at most, whatever happens
  static constexpr Millis kMindBusy = 25;   // between the minder's looks while a commit is in flight
  static constexpr Millis kMindIdle = 250;

  void run();
  void mind();
  void wait();
  void finish();
  bool published() const;

  Writer& writer_;
  Ring& ring_;
  const Clock& clock_;
  Signal signal_;
  Signal minder_signal_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> minder_stopping_{false};
  Millis patience_ = 0;  // written before stopping_
  std::thread thread_;
  std::thread minder_;
};

}  // namespace twinwire::store
