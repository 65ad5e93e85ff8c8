#include "core/present.h"

namespace twinwire {

size_t PresentUsers::find(const Name& user) const {
  if (slots_.empty()) return kNowhere;
  for (size_t at = ideal(user.hash()); slots_[at].sessions; at = next(at))
    if (slots_[at].hash == user.hash() && slots_[at].user == user) return at;
  return kNowhere;
}

void PresentUsers::set_sessions(const Name& user, uint32_t sessions) {
  size_t at = find(user);
  if (at != kNowhere) {
    if (sessions)
      slots_[at].sessions = sessions;
    else
      erase(at);
    return;
  }
  if (!sessions) return;
  if ((count_ + 1) * size_t{8} > slots_.size() * 7) {  // at most 7/8 full
    std::vector<Slot> old = std::move(slots_);
    slots_ = std::vector<Slot>(old.size() + old.size() / 4 + 4);
    for (Slot& slot : old)
      if (slot.sessions) insert(std::move(slot));
  }
  insert({user, sessions, user.hash()});
  count_++;
}

bool PresentUsers::set_state(const Name& user, std::string state) {
  if (!contains(user) || this->state(user) == state) return false;
  if (state.empty())
    states_.erase(user);
  else
    states_[user] = std::move(state);
  return true;
}

void PresentUsers::insert(Slot slot) {
  size_t at = ideal(slot.hash);
  while (slots_[at].sessions) at = next(at);
  slots_[at] = std::move(slot);
}

// Whoever stands behind and wanted to stand before moves up, so that no search ends too early.
void PresentUsers::erase(size_t hole) {
  states_.erase(slots_[hole].user);
  for (size_t at = next(hole); slots_[at].sessions; at = next(at)) {
    if (distance(ideal(slots_[at].hash), at) < distance(hole, at)) continue;
    slots_[hole] = std::move(slots_[at]);
    hole = at;
  }
  slots_[hole] = Slot();
  if (--count_ == 0) slots_ = {};
}

}  // namespace twinwire
