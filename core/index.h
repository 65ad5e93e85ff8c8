// Index: finds slab objects by key. Open addressing over 32-bit slab indexes, at most 7/8 full; the keys stay
// in the objects. Five bytes a slot: the index, and one of the hash, so that a search looks at hardly any
// object but the one it is for: each is a cache line of its own, and who is new passes several. One thread
// (the owner's).
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
    for (uint32_t i = hash & mask(); tags_[i] != kNoTag; i = (i + 1) & mask())
      if (tags_[i] == tag_of(hash) && equal(slots_[i])) return slots_[i];
    return kNone;
  }
  // The key must not be there yet.
  void insert(uint32_t hash, uint32_t value) {
    if ((count_ + 1) * 8 > slots_.size() * 7) grow();
    place(hash, value);
    count_++;
  }
  // The value must be there.
  void erase(uint32_t hash, uint32_t value) {
    uint32_t hole = hash & mask();
    while (slots_[hole] != value) hole = (hole + 1) & mask();
    for (uint32_t i = (hole + 1) & mask(); slots_[i] != kNone; i = (i + 1) & mask()) {
      uint32_t ideal = hash_of_(slots_[i]) & mask();
      if (((i - ideal) & mask()) < ((i - hole) & mask())) continue;  // may not move before its own place
      slots_[hole] = slots_[i];
      tags_[hole] = tags_[i];
      hole = i;
    }
    slots_[hole] = kNone;
    tags_[hole] = kNoTag;
    count_--;
  }
  uint32_t size() const { return count_; }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (uint32_t value : slots_)
      if (value != kNone) visit(value);
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
      if (slots_[walk.at] != kNone) visit(slots_[walk.at]);
    return walk.at == size ? Walked::done : Walked::on;
  }

 private:
  static constexpr uint8_t kNoTag = 0;  // of an empty slot
  // Bits of the hash that do not choose the place (in tables of up to 2^24 slots).
  static uint8_t tag_of(uint32_t hash) { return static_cast<uint8_t>(std::max(1u, hash >> 24)); }
  uint32_t mask() const { return static_cast<uint32_t>(slots_.size()) - 1; }
  void place(uint32_t hash, uint32_t value) {
    uint32_t i = hash & mask();
    while (tags_[i] != kNoTag) i = (i + 1) & mask();
    slots_[i] = value;
    tags_[i] = tag_of(hash);
  }
  void grow() {
    std::vector<uint32_t> old = std::move(slots_);
    slots_.assign(old.empty() ? 16 : old.size() * 2, kNone);
    tags_.assign(slots_.size(), kNoTag);
    for (uint32_t value : old)
      if (value != kNone) place(hash_of_(value), value);
  }

  HashOf hash_of_;
  std::vector<uint32_t> slots_;
  std::vector<uint8_t> tags_;
  uint32_t count_ = 0;
};

}  // namespace twinwire
