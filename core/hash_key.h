// What the hashes that live in memory only are keyed with, so that nobody outside can choose names that meet
// in a table. One for the process, since a Name hashes itself wherever it is made. Set by main before the
// first Name and before the first thread; 0 where nobody sets it, so that a test or a seed of the simulator
// sees the same tables each time. Not here: the ids of rooms, whose key belongs to the data directory
// (StoreBoot).
#pragma once

#include <cstdint>

namespace twinwire {

uint64_t hash_key();
void set_hash_key(uint64_t key);

}  // namespace twinwire
