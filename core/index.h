// Index: finds slab objects by key. Open addressing over slab indexes, 4 bytes a slot, at most 7/8 full; the
// keys stay in the objects. A slot holds six bits of the hash beside the index, so that a search looks at
// hardly any object but the one it is for: each is a cache line of its own, and a search for who is new
// passes several. So an index holds at most 2^26 - 1 objects, far more than fit a shard. One thread (the
// owner's).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/slab.h"

namespace twinwire {

// Where a walk over an index stands that is made in pieces.
struct IndexWalk {
  uint32_t at = 0, size = 0;
};
enum class Walked : uint8_t { on, done, anew };  // anew: the table has grown; forget what was seen

// HashOf: uint32_t(uint32_t index), the hash of a stored object; called while growing and erasing.
template <typename HashOf>
class Index {
 public:
  explicit Index(HashOf hash_of) : hash_of_(std::move(hash_of)) {}

  // The stored index for which `equal(index)` holds, or kNone.
  template <typename Equal>
  uint32_t find(uint32_t hash, Equal&& equal) const {
    if (slots_.empty()) return kNone;
    const uint32_t tag = hash & kTagMask;
    for (uint32_t i = hash & mask(); slots_[i] != kNone; i = (i + 1) & mask())
      if ((slots_[i] & kTagMask) == tag && equal(slots_[i] & kIndexMask)) return slots_[i] & kIndexMask;
    return kNone;
  }
  // The key must not be there yet.
  void insert(uint32_t hash, uint32_t value) {
    TW_CHECK(value < kIndexMask);
    if ((count_ + 1) * 8 > slots_.size() * 7) grow();
    place(hash, value);
    count_++;
  }
  // The value must be there.
  void erase(uint32_t hash, uint32_t value) {
    uint32_t hole = hash & mask();
    while (slots_[hole] != slot_of(hash, value)) hole = (hole + 1) & mask();
    for (uint32_t i = (hole + 1) & mask(); slots_[i] != kNone; i = (i + 1) & mask()) {
      uint32_t ideal = hash_of_(slots_[i] & kIndexMask) & mask();
      if (((i - ideal) & mask()) < ((i - hole) & mask())) continue;  // may not move before its own place
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = kNone;
    count_--;
  }
  uint32_t size() const { return count_; }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (uint32_t slot : slots_)
      if (slot != kNone) visit(slot & kIndexMask);
  }

  // Visits what `places` further slots hold. What an erase moves back meanwhile may be missed.
  template <typename Visit>
  Walked walk(IndexWalk& walk, uint32_t places, Visit&& visit) const {
    auto size = static_cast<uint32_t>(slots_.size());
    if (walk.size != 0 && walk.size != size) {
      walk = {};
      return Walked::anew;
    }
    walk.size = size;
    uint32_t end = walk.at + std::min(places, size - walk.at);
    for (; walk.at < end; walk.at++)
      if (slots_[walk.at] != kNone) visit(slots_[walk.at] & kIndexMask);
    return walk.at == size ? Walked::done : Walked::on;
  }

 private:
  static constexpr uint32_t kIndexMask = (1u << 26) - 1, kTagMask = ~kIndexMask;
  // The bits of the hash that a slot holds do not choose its place (in tables of up to 2^26 slots).
  static uint32_t slot_of(uint32_t hash, uint32_t value) { return (hash & kTagMask) | value; }
  uint32_t mask() const { return static_cast<uint32_t>(slots_.size()) - 1; }
  void place(uint32_t hash, uint32_t value) {
    uint32_t i = hash & mask();
    while (slots_[i] != kNone) i = (i + 1) & mask();
    slots_[i] = slot_of(hash, value);
  }
  void grow() {
    std::vector<uint32_t> old = std::move(slots_);
    slots_.assign(old.empty() ? 16 : old.size() * 2, kNone);
    for (uint32_t slot : old)
      if (slot != kNone) place(hash_of_(slot & kIndexMask), slot & kIndexMask);
  }

  HashOf hash_of_;
  std::vector<uint32_t> slots_;
  uint32_t count_ = 0;
};

}  // namespace twinwire
