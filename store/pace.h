// CommitPace: whether the next commit should be put off a little, so that more events share its sync. A sync
// costs the same CPU and the same wear of the disk whatever is in it; where a thousand events a second and
// more come one by one, putting it off by some milliseconds saves most of that. It pays only while those who
// publish do not wait for it: callers that send the next message when the last is answered would come more
// slowly. So this measures: it puts commits off for a while, compares how many events come, and leaves it
// where fewer do. Not here: waiting (writer_thread.h), which events share a commit (writer.h). One thread.
#pragma once

#include <cstdint>

namespace twinwire::store {

class CommitPace {
 public:
  // At most so long is a commit put off, in microseconds; 0: never.
  explicit CommitPace(uint64_t delay_us) : delay_us_(delay_us) {}

  // Microseconds from now until the next commit may begin.
  uint64_t wait_us(uint64_t now_us) const;
  // A commit of `events` events, at least one, began and has ended.
  void committed(uint64_t events, uint64_t began_us, uint64_t now_us);

 private:
  static constexpr uint64_t kWindowUs = 100'000;  // what one measurement takes
  static constexpr uint64_t kGlanceUs = 50'000;   // what a look takes: it costs what the delay saves
  static constexpr uint64_t kLookUs = 5'000'000;  // between measurements without delay
  static constexpr uint64_t kRestUs = 1'000'000;  // after a delay that slowed somebody; doubled each time
  static constexpr uint64_t kRestMaxUs = 64'000'000;
  static constexpr uint64_t kShared = 4;  // events that would have to share a commit for a delay to pay
  static constexpr uint64_t kEnough = 8;  // events that share one without any delay

  enum class Mode : uint8_t {
    direct,   // commits begin as soon as there is something
    delayed,  // they are put off
    look,     // direct for one window, to compare
  };

  void window_ended(double rate, double mean, uint64_t now_us);
  void rest(uint64_t now_us);

  uint64_t delay_us_;
  Mode mode_ = Mode::direct;
  uint64_t last_began_us_ = 0;
  uint64_t window_us_ = 0;  // its beginning
  uint64_t events_ = 0;
  uint64_t commits_ = 0;
  double direct_rate_ = 0;   // events a second when nothing was put off, of the last window of that kind
  double delayed_rate_ = 0;  // likewise when it was
  uint64_t looked_us_ = 0;
  uint64_t rest_until_us_ = 0;
  uint64_t rest_us_ = kRestUs;
};

}  // namespace twinwire::store
