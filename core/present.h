// PresentUsers: who is present in one room, with how many sessions, and the few who set a state. A flat table
// of 16-byte slots, since every idle connection has one (limits.h). Not here: who is told of it, and when
// (homes_state.cc). The thread of the room's home only.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/types.h"

namespace twinwire {

class PresentUsers {
 public:
  uint32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  bool contains(const Name& user) const { return sessions(user) != 0; }
  // How many sessions; 0 for who is not present.
  uint32_t sessions(const Name& user) const {
    size_t at = find(user);
    return at == kNowhere ? 0 : slots_[at].sessions;
  }
  // 0: the user is gone, with the state.
  void set_sessions(const Name& user, uint32_t sessions);
  // JSON that the user set; empty for none.
  const std::string& state(const Name& user) const {
    static const std::string none;
    auto it = states_.find(user);
    return it == states_.end() ? none : it->second;
  }
  // False when the user is not present, or the state is this one already.
  bool set_state(const Name& user, std::string state);
  // Calls visit(user) for everyone, in no order, until it returns false.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.sessions && !visit(slot.user)) return;
  }

 private:
  struct Slot {
    Name user;
    uint32_t sessions = 0;  // 0: nobody's slot
    uint32_t hash = 0;
  };
  static constexpr size_t kNowhere = SIZE_MAX;
  // Any number of slots, not only powers of two: the hash times the size, so that the table can grow by a
  // quarter.
  size_t ideal(uint32_t hash) const { return static_cast<size_t>(uint64_t{hash} * slots_.size() >> 32); }
  size_t next(size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
  size_t distance(size_t from, size_t to) const { return to >= from ? to - from : to + slots_.size() - from; }
  size_t find(const Name& user) const;
  void insert(Slot slot);
  void erase(size_t at);

  std::vector<Slot> slots_;
  uint32_t count_ = 0;
  std::unordered_map<Name, std::string> states_;
};

}  // namespace twinwire
