#include "core/room.h"

namespace twinwire {

bool Tail::collect(Sequence after, Sequence upto, uint32_t max_events, uint64_t max_bytes,
                   std::vector<EventRef>& out) const {
  uint64_t bytes = 0;
  // The tail is ordered by sequence: start by halving.
  auto it = std::lower_bound(events_.begin(), events_.end(), after + 1,
                             [](const EventRef& event, Sequence s) { return event->sequence() < s; });
  for (; it != events_.end() && (*it)->sequence() <= upto; ++it) {
    if ((*it)->outcome() == Outcome::unsaved) continue;
    if (out.size() >= max_events || (!out.empty() && bytes + (*it)->size() > max_bytes)) return false;
    bytes += (*it)->size();
    out.push_back(*it);
  }
  return true;
}

bool Room::managed_by(const Name& user) const {
  auto self = members.find(user);
  if (self == members.end()) return false;
  if (user.text() == created_by) return true;
  if (created_by.starts_with(kBackendPrefix)) return false;
  for (const auto& [member, since] : members)
    if (member.text() == created_by || since < self->second) return false;
  return true;
}

const Event* Tail::find(Sequence sequence) const {
  auto it = std::lower_bound(events_.begin(), events_.end(), sequence,
                             [](const EventRef& event, Sequence s) { return event->sequence() < s; });
  return it != events_.end() && (*it)->sequence() == sequence ? it->get() : nullptr;
}

RoomRecord Room::record() const {
  RoomRecord out;
  out.kind = kind;
  out.history = history;
  out.title = title;
  out.created_by = created_by;
  out.created_wall_ms = created_wall_ms;
  return out;
}

void Room::apply(const RoomRecord& record) {
  kind = record.kind;
  history = record.history;
  title = record.title;
  created_by = record.created_by;
  created_wall_ms = record.created_wall_ms;
}

Sequence Room::readable_from(const Name& user) const {
  if (kind != RoomKind::closed || history == HistoryAccess::full) return {0};
  auto it = members.find(user);
  return it == members.end() ? Sequence{0} : it->second;
}

}  // namespace twinwire
