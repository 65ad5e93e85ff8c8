#include "bench/twinbench/transcript.h"

#include <algorithm>

namespace twinwire::bench {

Faults& Faults::operator+=(const Faults& other) {
  lost += other.lost;
  repeated += other.repeated;
  reordered += other.reordered;
  altered += other.altered;
  foreign += other.foreign;
  return *this;
}

void Transcript::forget(uint64_t sequence) {
  std::erase_if(entries_, [sequence](const Entry& entry) { return entry.sequence == sequence; });
}

void Transcript::forget_above(uint64_t sequence) {
  std::erase_if(entries_, [sequence](const Entry& entry) { return entry.sequence > sequence; });
}

Faults Transcript::check(uint32_t lines) const {
  Faults out;
  out.altered = altered_;
  out.foreign = foreign_;
  std::vector<bool> seen(lines, false);
  uint32_t next = 0;  // one above the latest line seen
  for (const Entry& entry : entries_) {
    if (entry.line >= lines) {
      ++out.foreign;
      continue;
    }
    if (seen[entry.line]) {
      ++out.repeated;
      continue;
    }
    seen[entry.line] = true;
    if (entry.line < next) ++out.reordered;
    next = std::max(next, entry.line + 1);
  }
  out.lost = static_cast<uint64_t>(std::count(seen.begin(), seen.end(), false));
  return out;
}

}  // namespace twinwire::bench
