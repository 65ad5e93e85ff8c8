#include "store/pace.h"

#include <algorithm>

namespace twinwire::store {

uint64_t CommitPace::wait_us(uint64_t now_us) const {
  if (mode_ != Mode::delayed) return 0;
  uint64_t at = last_began_us_ + delay_us_;
  return at > now_us ? at - now_us : 0;
}

void CommitPace::committed(uint64_t events, uint64_t began_us, uint64_t now_us) {
  if (delay_us_ == 0) return;
  last_began_us_ = began_us;
  events_ += events;
  commits_++;
  uint64_t took = now_us - std::min(now_us, window_us_);
  if (took < (mode_ == Mode::look ? kGlanceUs : kWindowUs)) return;
  double rate = static_cast<double>(events_) * 1e6 / static_cast<double>(took);
  double mean = static_cast<double>(events_) / static_cast<double>(commits_);
  window_ended(rate, mean, now_us);
  window_us_ = now_us;
  events_ = commits_ = 0;
}

void CommitPace::window_ended(double rate, double mean, uint64_t now_us) {
  // Fewer by a quarter is more than chance: a window holds a hundred events and more.
  constexpr double kSlower = 0.75;
  bool would_share = rate * static_cast<double>(delay_us_) >= 1e6 * kShared;
  switch (mode_) {
    case Mode::direct:
      direct_rate_ = rate;
      if (!would_share || mean >= kEnough || now_us < rest_until_us_) return;
      mode_ = Mode::delayed;
      delayed_rate_ = 0;
      looked_us_ = now_us;
      return;
    case Mode::delayed: {
      bool first = delayed_rate_ == 0;
      delayed_rate_ = rate;
      if (first && rate < direct_rate_ * kSlower) return rest(now_us);
      if (!would_share) {
        mode_ = Mode::direct;
      } else if (now_us - looked_us_ >= kLookUs) {
        looked_us_ = now_us;
        mode_ = Mode::look;
      }
      return;
    }
    case Mode::look:
      direct_rate_ = rate;
      if (delayed_rate_ < rate * kSlower) return rest(now_us);
      rest_us_ = kRestUs;
      mode_ = mean < kEnough ? Mode::delayed : Mode::direct;
  }
}

void CommitPace::rest(uint64_t now_us) {
  mode_ = Mode::direct;
  rest_until_us_ = now_us + rest_us_;
  rest_us_ = std::min(rest_us_ * 2, kRestMaxUs);
}

}  // namespace twinwire::store
