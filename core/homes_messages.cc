// Homes, messages that change: finding one by its id with its newest edit or deletion, and what a read adds
// of them from the tail.
#include <algorithm>

#include "core/homes.h"
#include "core/shard.h"

namespace twinwire {
namespace {

// The newest change of a message that the tail holds.
EventRef change_in_tail(const Room& room, Sequence message) {
  const auto& events = room.tail.events();
  for (size_t i = events.size(); i-- > 0;) {
    const EventRef& event = events[i];
    if (event->sequence() <= message) break;
    if (event->effect() == EventEffect::message_changed && event->about() == message &&
        event->outcome() != Outcome::unsaved)
      return event;
  }
  return {};
}

}  // namespace

void Tail::collect_changes(Sequence upto, std::vector<MessageChange>& out) const {
  for (const EventRef& event : events_) {
    if (event->sequence() > upto) break;
    if (event->effect() != EventEffect::message_changed || event->outcome() == Outcome::unsaved) continue;
    out.push_back({event->about(), event});
  }
}

void Homes::find_message(Room& room, Sequence id, std::function<void(Room&, const FoundMessage&)> then) {
  FoundMessage found;
  found.change = change_in_tail(room, id);
  if (id > room.last_kept || id <= room.trimmed_through) return then(room, found);
  if (id >= room.tail.first()) {
    const Event* event = room.tail.find(id);
    if (event && event->type() == "message.created") found.created = EventRef::share(event);
    return then(room, found);
  }
  ReadRequest request{room.id, id - 1, id, 1, UINT32_MAX, false, true};
  room.busy++;
  shard_.metrics().store_reads++;
  shard_.use_history([this, request, newest = found.change, seen = room.last_change, then = std::move(then)] {
    shard_.history().read(request, shard_.from_history<std::shared_ptr<const ReadAnswer>>(
                                       [id = request.room, message = request.upto, seen, newest, then](
                                           Shard& shard, const std::shared_ptr<const ReadAnswer>& answer) {
                                         shard.homes().message_read(id, message, seen, newest, answer, then);
                                       }));
  });
}

void Homes::message_read(RoomId id, Sequence message, Sequence seen, EventRef newest,
                         const std::shared_ptr<const ReadAnswer>& answer,
                         const std::function<void(Room&, const FoundMessage&)>& then) {
  Room& room = *rooms_.at(id);
  room.busy--;
  FoundMessage found;
  found.failed = answer->failed;
  if (EventRef later = change_in_tail(room, message)) newest = later;
  // Something changed meanwhile and has left the tail already: the store knows it by now.
  else if (room.last_change > seen && room.last_change < room.tail.first() && !found.failed)
    return find_message(room, message, then);
  for (const MessageChange& change : answer->changes)
    if (!newest || newest->sequence() < change.event->sequence()) newest = change.event;
  found.change = newest;
  if (!answer->events.empty() && answer->events[0]->type() == "message.created")
    found.created = answer->events[0];
  then(room, found);
}

}  // namespace twinwire
