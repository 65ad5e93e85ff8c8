// How the loop addresses one socket: a slot in a ring's direct table, or a plain descriptor of the process.
// Not an owner: whoever asked the loop to open it asks the loop to close it. The rest of the server never
// sees which of the two it is, so a plain one can stand in (hand-over to a successor process, tests). Any
// thread; a plain value of four bytes.
#pragma once

#include <cstdint>

namespace twinwire {

// Index of a ring within its loop.
enum class RingIndex : uint8_t {};
inline constexpr uint32_t kRingsMax = 64;
constexpr uint32_t index_of(RingIndex ring) { return static_cast<uint32_t>(ring); }

class Descriptor {
 public:
  constexpr Descriptor() = default;
  static constexpr Descriptor direct(RingIndex ring, uint32_t slot) { return Descriptor(ring, 0, slot); }
  static constexpr Descriptor plain(RingIndex ring, int fd) {
    return Descriptor(ring, kPlain, static_cast<uint32_t>(fd));
  }

  constexpr bool is_plain() const { return (bits_ & kPlain) != 0; }
  constexpr RingIndex ring() const { return RingIndex(static_cast<uint8_t>(bits_ >> 26)); }
  // The slot of a direct descriptor, the fd of a plain one.
  constexpr uint32_t number() const { return bits_ & (kPlain - 1); }
  constexpr bool operator==(const Descriptor&) const = default;

 private:
  static constexpr uint32_t kPlain = 1u << 25;  // numbers stay below 2^25
  constexpr Descriptor(RingIndex ring, uint32_t plain, uint32_t number)
      : bits_(index_of(ring) << 26 | plain | (number & (kPlain - 1))) {}
  uint32_t bits_ = 0;
};

}  // namespace twinwire
