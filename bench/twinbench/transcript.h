// What one client saw of one room, held against the truth: the lines of a file, in order, each once.
// Not here: receiving. Thread: its owner's. Owns 16 bytes for each message seen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace twinwire::bench {

struct Faults {
  uint64_t lost = 0;       // lines never seen
  uint64_t repeated = 0;   // sights of a line beyond its first
  uint64_t reordered = 0;  // first sights of a line after a later one
  uint64_t altered = 0;    // another text or another sender than the file says
  uint64_t foreign = 0;    // messages that no line of the file is

  Faults& operator+=(const Faults& other);
  bool none() const { return lost + repeated + reordered + altered + foreign == 0; }
};

class Transcript {
 public:
  // `sequence`: the message's place in the log; `line`: which line of the file it claims to be.
  void saw(uint64_t sequence, uint32_t line) { entries_.push_back({sequence, line}); }
  void saw_altered() { ++altered_; }
  void saw_foreign() { ++foreign_; }
  // A `message.unsaved`: what was seen at `sequence` is not so.
  void forget(uint64_t sequence);
  // A `reset` `rolled_back`: forgets everything above `sequence`.
  void forget_above(uint64_t sequence);

  size_t size() const { return entries_.size(); }
  // Compares with lines 0…`lines`-1, all of which were to be seen.
  Faults check(uint32_t lines) const;

 private:
  struct Entry {
    uint64_t sequence;
    uint32_t line;
  };
  std::vector<Entry> entries_;
  uint64_t altered_ = 0;
  uint64_t foreign_ = 0;
};

}  // namespace twinwire::bench
