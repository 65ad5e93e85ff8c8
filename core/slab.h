// Slab: objects of one type in chunks, named by a 32-bit index; freed ones are reused. Indexes are half a
// pointer, and a million small objects cost no allocator headers. One thread (the owner's). Objects never
// move.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "core/status.h"

namespace twinwire {

inline constexpr uint32_t kNone = UINT32_MAX;

template <typename T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  template <typename... A>
  uint32_t make(A&&... args) {
    uint32_t index = free_;
    if (index != kNone) {
      std::memcpy(&free_, cell(index), sizeof free_);
    } else {
      if (made_ % kChunk == 0) chunks_.push_back(std::make_unique<Cell[]>(kChunk));
      index = made_++;
    }
    new (cell(index)) T(std::forward<A>(args)...);
    live_++;
    return index;
  }
  void drop(uint32_t index) {
    at(index).~T();
    std::memcpy(cell(index), &free_, sizeof free_);
    free_ = index;
    live_--;
  }
  T& at(uint32_t index) { return *std::launder(reinterpret_cast<T*>(cell(index))); }
  const T& at(uint32_t index) const { return const_cast<Slab*>(this)->at(index); }
  T& operator[](uint32_t index) { return at(index); }
  const T& operator[](uint32_t index) const { return at(index); }
  uint32_t live() const { return live_; }

 private:
  static constexpr uint32_t kChunk = 512;
  static_assert(sizeof(T) >= sizeof(uint32_t));
  struct Cell {
    alignas(T) unsigned char bytes[sizeof(T)];
  };
  void* cell(uint32_t index) { return chunks_[index / kChunk][index % kChunk].bytes; }

  std::vector<std::unique_ptr<Cell[]>> chunks_;
  uint32_t made_ = 0;
  uint32_t live_ = 0;
  uint32_t free_ = kNone;
};

}  // namespace twinwire
