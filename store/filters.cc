#include "store/filters.h"

#include <algorithm>
#include <bit>

namespace twinwire::store {

namespace {
constexpr size_t kFirstCells = 256;
// Spreads a fingerprint over the cells; ids are well mixed already, tests' ids are not.
uint64_t mix(uint64_t x) { return (x ^ x >> 32) * 0x9e3779b97f4a7c15ull; }
}  // namespace

FingerprintSet::FingerprintSet() {
  all_.push_back(std::make_unique<Cells>(kFirstCells));
  current_.store(all_.back().get(), std::memory_order_release);  // partner: contains()
}

bool FingerprintSet::Cells::insert(uint64_t fingerprint) {
  size_t at = mix(fingerprint) >> 20 & mask;
  for (;; at = (at + 1) & mask) {
    uint64_t found = cell[at].load(std::memory_order_relaxed);
    if (found == fingerprint) return false;
    if (found == 0) break;
  }
  // Relaxed: what orders it is the release of the event's outcome, or of current_.
  cell[at].store(fingerprint, std::memory_order_relaxed);
  return true;
}

void FingerprintSet::add(uint64_t fingerprint) {
  if (fingerprint == 0) fingerprint = 1;  // 0 marks an empty cell
  Cells* cells = current_.load(std::memory_order_relaxed);
  if (!cells->insert(fingerprint)) return;
  size_++;
  if (size_ * 2 <= cells->mask) return;
  auto larger = std::make_unique<Cells>((cells->mask + 1) * 2);
  for (size_t i = 0; i <= cells->mask; i++) {
    uint64_t value = cells->cell[i].load(std::memory_order_relaxed);
    if (value != 0) larger->insert(value);
  }
  current_.store(larger.get(), std::memory_order_release);  // partner: contains()
  all_.push_back(std::move(larger));
}

bool FingerprintSet::contains(uint64_t fingerprint) const {
  if (fingerprint == 0) fingerprint = 1;
  const Cells* cells = current_.load(std::memory_order_acquire);  // partner: add()
  for (size_t at = mix(fingerprint) >> 20 & cells->mask;; at = (at + 1) & cells->mask) {
    uint64_t found = cells->cell[at].load(std::memory_order_relaxed);
    if (found == fingerprint) return true;
    if (found == 0) return false;
  }
}

IdempotencyFilter::Segment::Segment(uint64_t key_count)
    : keys(key_count),
      blocks(std::bit_ceil(std::max<uint64_t>(1, key_count * kBitsPerKey / (kBlockWords * 64)))),
      words(std::make_unique<std::atomic<uint64_t>[]>(blocks * kBlockWords)) {}

void IdempotencyFilter::Segment::add(const IdempotencyKey& key) {
  size_t block = (key.high & (blocks - 1)) * kBlockWords;
  for (size_t i = 0; i < kBlockWords; i++) {
    std::atomic<uint64_t>& word = words[block + i];
    uint64_t bit = uint64_t{1} << (key.low >> (6 * i) & 63);
    // One adder, so load and store suffice. Relaxed: the release of the event's outcome orders it.
    word.store(word.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
  }
  // Release, partner: the acquire in IdempotencyFilter::may_contain, which skips segments never used.
  used.store(used.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool IdempotencyFilter::Segment::may_contain(const IdempotencyKey& key) const {
  size_t block = (key.high & (blocks - 1)) * kBlockWords;
  for (size_t i = 0; i < kBlockWords; i++) {
    uint64_t bit = uint64_t{1} << (key.low >> (6 * i) & 63);
    if (!(words[block + i].load(std::memory_order_relaxed) & bit)) return false;
  }
  return true;
}

void IdempotencyFilter::Segment::empty() {
  // A reader in between may miss an id of this slice: all of them have expired.
  used.store(0, std::memory_order_relaxed);
  for (size_t i = 0; i < blocks * kBlockWords; i++) words[i].store(0, std::memory_order_relaxed);
}

IdempotencyFilter::Segment& IdempotencyFilter::segment_with_room(Generation& g) {
  while (g.filling < g.count) {
    Segment& segment = *g.owned[g.filling];
    if (segment.used.load(std::memory_order_relaxed) < segment.keys) return segment;
    if (g.filling + 1 == g.count) break;
    g.filling++;
  }
  uint64_t keys = g.count ? g.owned[g.count - 1]->keys * 4 : kFirstKeys;
  size_t cost = keys * kBitsPerKey / 8;
  bool may_grow = g.count < kSegmentsMax && bytes_ + cost <= options_.bytes_max;
  if (!may_grow && g.count > 0) return *g.owned[g.filling];
  g.owned[g.count] = std::make_unique<Segment>(keys);
  g.segment[g.count].store(g.owned[g.count].get(), std::memory_order_release);  // partner: may_contain()
  g.filling = g.count++;
  bytes_ += cost;
  return *g.owned[g.filling];
}

// The next slice of time begins: the oldest one's ids have all expired, its memory is used again.
void IdempotencyFilter::turn(uint64_t wall_ms) {
  current_ = (current_ + 1) % kGenerations;
  Generation& g = generations_[current_];
  for (size_t i = 0; i < g.count; i++) g.owned[i]->empty();
  g.filling = g.count ? g.count - 1 : 0;
  g.begins_wall_ms = wall_ms;
}

void IdempotencyFilter::add(const IdempotencyKey& key, uint64_t wall_ms) {
  if (!begun_) {
    begun_ = true;
    generations_[current_].begins_wall_ms = wall_ms;
  }
  if (wall_ms >= generations_[current_].begins_wall_ms + options_.keep_ms / (kGenerations - 1) + 1)
    turn(wall_ms);
  segment_with_room(generations_[current_]).add(key);
}

bool IdempotencyFilter::may_contain(const IdempotencyKey& key) const {
  for (const Generation& g : generations_) {
    for (const auto& slot : g.segment) {
      const Segment* segment = slot.load(std::memory_order_acquire);  // partner: segment_with_room()
      if (segment == nullptr) break;
      if (segment->used.load(std::memory_order_acquire) != 0 && segment->may_contain(key)) return true;
    }
  }
  return false;
}

}  // namespace twinwire::store
