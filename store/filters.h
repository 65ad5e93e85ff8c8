// Filters: what was ever stored, held in memory, so that a home shard can answer "new" without the disk. They
// may say "maybe" wrongly, never "no". Rebuilt before the engine starts (boot.cc), extended by the writer
// before an event's outcome is set. Not here: the truth (the database). One thread adds (boot, then the
// writer); any thread asks, without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/types.h"
#include "store/keys.h"

namespace twinwire::store {

// A growing set of 64-bit fingerprints of well-mixed ids. Two ids share one about never (2^-64 a pair). 16 to
// 32 bytes an entry; outgrown tables stay, since a reader may be in one, and are together as large as the
// current.
class FingerprintSet {
 public:
  FingerprintSet();
  void add(uint64_t fingerprint);
  bool contains(uint64_t fingerprint) const;
  size_t size() const { return size_; }  // the adder's thread

 private:
  struct Cells {
    explicit Cells(size_t count) : mask(count - 1), cell(std::make_unique<std::atomic<uint64_t>[]>(count)) {}
    const size_t mask;
    std::unique_ptr<std::atomic<uint64_t>[]> cell;
    // False when it was there already.
    bool insert(uint64_t fingerprint);
  };
  // The adder's thread only.
  std::vector<std::unique_ptr<Cells>> all_;
  size_t size_ = 0;
  // Shared: the table in use.
  std::atomic<Cells*> current_;
};

// Idempotency ids of the last keep_ms: a Bloom filter in kGenerations slices of time, the oldest of which is
// emptied when its last id has expired. About two bytes an id. At bytes_max it grows no further: it then
// answers "maybe" more often, which costs a read of the store and nothing else.
class IdempotencyFilter {
 public:
  struct Options {
    Millis keep_ms = 86'400'000;
    size_t bytes_max = size_t{512} << 20;
  };
  explicit IdempotencyFilter(const Options& options) : options_(options) {}
  void add(const IdempotencyKey& key, uint64_t wall_ms);
  bool may_contain(const IdempotencyKey& key) const;
  size_t bytes() const { return bytes_; }  // the adder's thread

 private:
  static constexpr size_t kGenerations = 5;
  static constexpr size_t kSegmentsMax = 20;
  static constexpr uint32_t kFirstKeys = 1024;
  static constexpr size_t kBitsPerKey = 16;
  static constexpr size_t kBlockWords = 8;  // one cache line
  struct Segment {
    explicit Segment(uint64_t key_count);
    const uint64_t keys;    // how many it is made for
    const uint64_t blocks;  // a power of two
    std::atomic<uint64_t> used{0};
    std::unique_ptr<std::atomic<uint64_t>[]> words;
    void add(const IdempotencyKey& key);
    bool may_contain(const IdempotencyKey& key) const;
    void empty();
  };
  struct Generation {
    std::array<std::atomic<Segment*>, kSegmentsMax> segment{};
    std::array<std::unique_ptr<Segment>, kSegmentsMax> owned;
    size_t count =
        0;  // segments made; the last is the largest and is filled first when the slice comes round
    size_t filling = 0;
    uint64_t begins_wall_ms = 0;
  };
  Segment& segment_with_room(Generation& generation);
  void turn(uint64_t wall_ms);

  const Options options_;
  // The adder's thread only, but for the atomics inside.
  std::array<Generation, kGenerations> generations_;
  size_t current_ = 0;
  bool begun_ = false;
  size_t bytes_ = 0;
};

struct Filters {
  explicit Filters(const IdempotencyFilter::Options& options) : ids(options) {}
  FingerprintSet rooms;  // rooms with a stored event
  FingerprintSet users;  // inboxes of users with memberships or stored inbox events
  IdempotencyFilter ids;
  static uint64_t fingerprint(RoomId room) { return room.low ^ (room.high << 1); }
};

}  // namespace twinwire::store
