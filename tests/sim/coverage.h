// Coverage: what a run of the simulator ran into: each state of the engine, each fault, each bound that was
// met. The list is fixed: whatever is counted stands in it, and a run that is meant to reach everything fails
// where a line stays at zero. Not here: the counting (world.cc, client.cc).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace twinwire::sim {

class Coverage {
 public:
  // `what` must stand in the list (coverage.cc).
  void hit(std::string_view what, uint64_t n = 1);
  // A table by chapters; returns how many lines are zero.
  uint32_t print() const;

 private:
  std::map<std::string, uint64_t, std::less<>> counts_;
};

}  // namespace twinwire::sim
