// Revocations: users whose tokens, as far as they were issued up to a moment, count no longer.
// Not here: ending their streams (Homes::end_user), keeping the list over a restart (tools/twinwire).
// add() from any thread, rarely; refuses() from any, for every command: readers take no lock.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/identity.h"

namespace twinwire {

class Revocations {
 public:
  // At most this many users; then the earliest is forgotten and its moment holds for everybody's tokens: too
  // many are refused rather than one too few.
  static constexpr size_t kUsersMax = 1 << 16;

  struct Entry {
    Name user;  // none: every user
    uint64_t wall_ms = 0;
  };
  // Tokens of this user that were issued until now are refused from here on.
  void add(const Entry& entry);
  // Whether this identity was proved by such a token. Backends' keys are not tokens.
  bool refuses(const Identity& who) const;
  std::vector<Entry> list() const;
  // Called with each entry of add(), on its thread.
  std::function<void(const Entry&)> on_add;

 private:
  struct State {
    std::unordered_map<Name, uint64_t> users;
    uint64_t everybody_wall_ms = 0;
  };
  std::atomic<bool> any_{false};
  std::atomic<std::shared_ptr<const State>> state_{std::make_shared<const State>()};
  std::mutex writing_;
};

}  // namespace twinwire
