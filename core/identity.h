// Identity: who acts, and what their token or key lets them do in rooms. Not here: how it is proved
// (net/auth, net/jwt), what a room adds to it (Homes::rights).
// Plain values; Grants are immutable and shared between shards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/types.h"

namespace twinwire {

// What one may do in a room. `none` in the command table: the command needs no right in a room.
enum class Right : uint8_t {
  none = 0,
  read = 1,      // follow it, load its history, be told its events, say up to where one has read
  write = 2,     // send, publish, type, signal
  presence = 4,  // be counted among those present, ask who is, be told who comes and goes
  manage = 8,    // clear, rename, invite, remove, edit and delete what others wrote
};
std::string_view word_of(Right right);

class Rights {
 public:
  constexpr Rights() = default;
  static constexpr Rights all() { return Rights(15); }
  constexpr bool has(Right right) const { return (bits_ & static_cast<uint8_t>(right)) != 0; }
  constexpr void add(Right right) { bits_ |= static_cast<uint8_t>(right); }
  constexpr void add(Rights rights) { bits_ |= rights.bits_; }
  constexpr bool operator==(const Rights&) const = default;
  // "read,write": as settings and tools write them.
  std::string text() const;
  // Adds the right that `word` names; false if none does.
  bool add_word(std::string_view word);

 private:
  explicit constexpr Rights(uint8_t bits) : bits_(bits) {}
  uint8_t bits_ = 0;
};

// The rights that a token or key brings: of each room the rights of all patterns that match its name.
struct Grants {
  static constexpr size_t kPatternsMax = 64;
  static constexpr size_t kPatternBytesMax = 128;
  struct Line {
    std::string pattern;  // core/pattern.h
    Rights rights;
    bool operator==(const Line&) const = default;
  };
  std::vector<Line> lines;

  Rights of(std::string_view room) const;
  bool operator==(const Grants&) const = default;
};

// How the name of a backend begins; no user's does.
inline constexpr std::string_view kBackendPrefix = "key:";

// The identity that a connection proved (or, in mode none, named). The tenant is the user's.
struct Identity {
  Name user;
  std::string display_name;
  std::shared_ptr<const Grants> grants;  // none: auth.default_rights
  bool bot = false;                      // a program, as its token says; nothing depends on it yet
  // An API key's or an operator's: acts in rooms without being a member, and as nobody in particular.
  bool backend = false;
  uint64_t expires_wall_ms = 0;  // 0: never
  // When the token was issued (0: it does not say), or kOfSession.
  uint64_t issued_wall_ms = 0;
  // Of a stream that is open: a revocation would have ended it.
  static constexpr uint64_t kOfSession = UINT64_MAX;
};

}  // namespace twinwire
