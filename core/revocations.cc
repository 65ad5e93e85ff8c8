#include "core/revocations.h"

#include <algorithm>

namespace twinwire {

void Revocations::add(const Entry& entry) {
  {
    std::lock_guard lock(writing_);
    auto next = std::make_shared<State>(*state_.load(std::memory_order_acquire));  // partner: the store below
    if (entry.user) {
      uint64_t& since = next->users[entry.user];
      since = std::max(since, entry.wall_ms);
    } else {
      next->everybody_wall_ms = std::max(next->everybody_wall_ms, entry.wall_ms);
    }
    if (next->users.size() > kUsersMax) {
      auto earliest = std::min_element(next->users.begin(), next->users.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
      next->everybody_wall_ms = std::max(next->everybody_wall_ms, earliest->second);
      next->users.erase(earliest);
    }
    state_.store(std::move(next), std::memory_order_release);  // partner: refuses(), list()
    any_.store(true, std::memory_order_release);               // partner: refuses()
  }
  if (on_add) on_add(entry);
}

bool Revocations::refuses(const Identity& who) const {
  if (who.backend || !any_.load(std::memory_order_acquire)) return false;  // partner: add()
  auto state = state_.load(std::memory_order_acquire);                     // partner: add()
  if (who.issued_wall_ms <= state->everybody_wall_ms && state->everybody_wall_ms > 0) return true;
  auto it = state->users.find(who.user);
  return it != state->users.end() && who.issued_wall_ms <= it->second;
}

std::vector<Revocations::Entry> Revocations::list() const {
  auto state = state_.load(std::memory_order_acquire);  // partner: add()
  std::vector<Entry> entries;
  for (const auto& [user, wall_ms] : state->users) entries.push_back({user, wall_ms});
  if (state->everybody_wall_ms > 0) entries.push_back({Name(), state->everybody_wall_ms});
  return entries;
}

}  // namespace twinwire
