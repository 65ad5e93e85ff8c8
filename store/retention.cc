#include "store/retention.h"

#include <algorithm>
#include <utility>

#include "store/keys.h"
#include "store/record.h"
#include "store/room_reader.h"

namespace twinwire::store {

Retention::Retention(const RetentionOptions& options, Database& database, const Durability& durability,
                     SharedState& shared, const Clock& clock,
                     std::function<void(RoomId, Sequence)> on_trimmed)
    : options_(options),
      database_(database),
      durability_(durability),
      shared_(shared),
      clock_(clock),
      on_trimmed_(std::move(on_trimmed)),
      writes_(database.make_write_set()) {}

bool Retention::step(Millis now) {
  if (database_.would_stall() || !choose(now)) return false;
  if (auto done = run(); !done) {
    // What was decided and not written is decided again; what was written and not removed is found again.
    counts_.failures++;
    trims_.clear();
    removals_.clear();
    purges_.clear();
    phase_ = Phase::idle;
    first_round_ = true;
    next_round_ = next_ids_ = now + options_.pause_ms;
  }
  return true;
}

// What to do next; false when nothing is due.
bool Retention::choose(Millis now) {
  for (RoomId room : shared_.cleared.take()) purges_.push_back({room, Sequence{}, Sequence{}});
  if (now >= postponed_until_)
    for (RoomId room : std::exchange(postponed_, {})) purges_.push_back({room, Sequence{}, Sequence{}});
  if (phase_ != Phase::idle) return true;
  bool trims = options_.keep_ms != 0 || options_.keep_events != 0;
  if (!removals_.empty()) {
    phase_ = Phase::remove;
  } else if (!purges_.empty()) {
    phase_ = Phase::purge;
  } else if (now >= next_round_ && (trims || first_round_)) {
    phase_ = Phase::next_room;
    rooms_from_.clear();
    rooms_end_ = false;
    leftovers_ = first_round_;
    first_round_ = false;
    counts_.rounds++;
    next_round_ = now + options_.pause_ms;
  } else if (now >= next_ids_) {
    phase_ = Phase::ids;
    ids_from_.clear();
    next_ids_ = now + options_.ids_pause_ms;
  }
  return phase_ != Phase::idle;
}

Result<void> Retention::run() {
  writes_->clear();
  switch (phase_) {
    case Phase::idle:
      return {};
    case Phase::next_room:
      return find_room();
    case Phase::count:
      return count_back();
    case Phase::age:
      return look_at_age();
    case Phase::persist:
      return persist();
    case Phase::remove:
      return remove();
    case Phase::purge:
      return purge();
    case Phase::ids:
      return expire_ids();
  }
  return {};
}

// The next room of the table with its marks: what is left of earlier rounds is queued, and it is judged anew.
Result<void> Retention::find_room() {
  std::optional<RoomId> room;
  Sequence trimmed, cleared, purged;
  auto read =
      database_.scan({Table::rooms, rooms_from_, {}}, [&](std::string_view key, std::string_view value) {
        auto parsed = parse_room(key);
        if (!parsed || key.size() != kRoomKeySize + 1) return true;
        if (room && *parsed != *room) return false;
        room = parsed;
        auto sequence = decode_sequence(value);
        if (key.back() == static_cast<char>(RoomTag::trimmed) && sequence) trimmed = *sequence;
        if (key.back() == static_cast<char>(RoomTag::cleared) && sequence) cleared = *sequence;
        if (key.back() == static_cast<char>(RoomTag::purged) && sequence) purged = *sequence;
        return true;
      });
  if (!read) return read.error();
  if (!room) {
    rooms_end_ = true;
    phase_ = trims_.empty() ? Phase::idle : Phase::persist;
    return {};
  }
  rooms_from_ = after_room(*room);
  rooms_end_ = rooms_from_.empty();
  if (leftovers_) {
    if (auto noted = note_leftovers(*room, trimmed, cleared, purged); !noted) return noted;
  }
  room_ = *room;
  trimmed_ = target_ = trimmed;
  counted_ = 0;
  position_ = options_.keep_events ? durability_.durable() + 1 : trimmed + 1;
  phase_ = options_.keep_events ? Phase::count : Phase::age;
  if (!options_.keep_events && !options_.keep_ms) next_after_room();
  return {};
}

Result<void> Retention::note_leftovers(RoomId room, Sequence trimmed, Sequence cleared, Sequence purged) {
  if (cleared > purged) purges_.push_back({room, Sequence{}, Sequence{}});
  if (trimmed.value == 0) return {};
  bool left = false;
  EventKey from = event_key(room, Sequence{}), to = event_key(room, trimmed + 1);
  auto read = database_.scan({Table::events, view(from), view(to)}, [&](std::string_view, std::string_view) {
    left = true;
    return false;
  });
  if (read && left) removals_.push_back({room, trimmed, {}});
  return read;
}

// From the newest back: the event after keep_events others is the newest that goes.
Result<void> Retention::count_back() {
  uint32_t visits = 0;
  bool found = false, end = true;
  EventKey from = event_key(room_, trimmed_ + 1), to = event_key(room_, position_);
  auto read = database_.scan({Table::events, view(from), view(to), true},
                             [&](std::string_view key, std::string_view) {
                               auto parsed = parse_event_key(key);
                               if (!parsed) return true;
                               position_ = parsed->second;
                               if (counted_++ == options_.keep_events) {
                                 target_ = std::max(target_, parsed->second);
                                 found = true;
                                 return false;
                               }
                               end = ++visits < options_.visits_per_step;
                               return end;
                             });
  if (!read) return read.error();
  if (!found && !end) return {};
  if (options_.keep_ms == 0) {
    judge();
  } else {
    phase_ = Phase::age;
    position_ = target_ + 1;
  }
  return {};
}

// From the oldest on, while they are old.
Result<void> Retention::look_at_age() {
  uint64_t now = clock_.wall_ms();
  uint32_t visits = 0;
  bool young = false, end = true;
  Sequence durable = durability_.durable();
  if (position_ <= durable) {
    EventKey from = event_key(room_, position_), to = event_key(room_, durable + 1);
    auto read = database_.scan({Table::events, view(from), view(to)},
                               [&](std::string_view key, std::string_view value) {
                                 auto parsed = parse_event_key(key);
                                 auto head = peek_record(value);
                                 if (!parsed || !head || head->wall_ms + options_.keep_ms > now) {
                                   young = true;
                                   return false;
                                 }
                                 target_ = std::max(target_, parsed->second);
                                 position_ = parsed->second + 1;
                                 end = ++visits < options_.visits_per_step;
                                 return end;
                               });
    if (!read) return read.error();
  }
  if (young || end) judge();
  return {};
}

void Retention::judge() {
  if (target_ > trimmed_) trims_.push_back({room_, target_, {}});
  next_after_room();
}

void Retention::next_after_room() {
  if (trims_.size() >= options_.trims_per_sync || (rooms_end_ && !trims_.empty())) {
    phase_ = Phase::persist;
  } else {
    phase_ = rooms_end_ ? Phase::idle : Phase::next_room;
  }
}

// trimmed_through first, synced and told; only then is anything removed.
Result<void> Retention::persist() {
  for (const Trim& trim : trims_)
    writes_->put(Table::rooms, view(room_key_of(trim.room, RoomTag::trimmed)), encode_sequence(trim.upto));
  if (auto written = database_.commit(*writes_, Sync::yes); !written) return written;
  for (const Trim& trim : trims_) {
    shared_.versions.changed(trim.room);
    if (on_trimmed_) on_trimmed_(trim.room, trim.upto);
    counts_.trimmed_rooms++;
    removals_.push_back(trim);
  }
  trims_.clear();
  phase_ = removals_.empty() ? Phase::idle : Phase::remove;
  return {};
}

Result<void> Retention::remove() {
  Trim& trim = removals_.front();
  EventKey from = event_key(trim.room, trim.from), to = event_key(trim.room, trim.upto + 1);
  uint32_t visits = 0;
  Sequence began = trim.from;
  auto read =
      database_.scan({Table::events, view(from), view(to)}, [&](std::string_view key, std::string_view) {
        writes_->remove(Table::events, key);
        if (auto parsed = parse_event_key(key)) trim.from = parsed->second + 1;
        return ++visits < options_.visits_per_step;
      });
  if (!read) return read.error();
  if (visits) {
    if (auto found = remove_changes(trim.room, began, trim.from); !found) return found;
    if (auto written = database_.commit(*writes_, Sync::no); !written) return written;
  }
  counts_.removed_events += visits;
  if (visits == options_.visits_per_step) return {};  // there may be more
  removals_.pop_front();
  if (removals_.empty()) phase_ = rooms_end_ ? Phase::idle : Phase::next_room;
  return {};
}

// With messages from <= sequence < to goes what `membership` says of their changes. A message with more of
// them than one step may remove leaves the rest behind: nobody asks for the changes of what is gone.
Result<void> Retention::remove_changes(RoomId room, Sequence from, Sequence to) {
  uint32_t visits = 0;
  std::string first = changes_from(room, from), end = changes_from(room, to);
  return database_.scan({Table::membership, first, end}, [&](std::string_view key, std::string_view) {
    writes_->remove(Table::membership, key);
    return ++visits < options_.visits_per_step;
  });
}

Result<void> Retention::purge() {
  Purge& purge = purges_.front();
  if (purge.upto.value == 0) {
    // Only what a settled event cleared may go: not one in flight, nor one that was given up and will be
    // taken back. An earlier clearing may stand behind either: the room is looked at again.
    Sequence durable = durability_.durable();
    auto ghosts = shared_.ghosts.snapshot();
    auto marks = read_marks(database_, purge.room);
    if (!marks) return marks.error();
    if (marks->cleared > durable || ghosts.contains(marks->cleared.value)) {
      postponed_.push_back(purge.room);
      postponed_until_ = clock_.now_ms() + options_.pause_ms;
      purges_.pop_front();
      if (purges_.empty()) phase_ = Phase::idle;
      return {};
    }
    purge.from = marks->trimmed + 1;
    purge.upto = marks->cleared;
  }
  uint32_t visits = 0;
  bool end = true;
  Sequence began = purge.from;
  if (purge.from < purge.upto) {
    EventKey from = event_key(purge.room, purge.from), to = event_key(purge.room, purge.upto);
    auto read = database_.scan({Table::events, view(from), view(to)},
                               [&](std::string_view key, std::string_view value) {
                                 auto parsed = parse_event_key(key);
                                 auto head = peek_record(value);
                                 if (parsed && head && head->message()) {
                                   writes_->remove(Table::events, key);
                                   counts_.purged_events++;
                                 }
                                 if (parsed) purge.from = parsed->second + 1;
                                 end = ++visits < options_.visits_per_step;
                                 return end;
                               });
    if (!read) return read.error();
    if (auto found = remove_changes(purge.room, began, purge.from); !found) return found;
  }
  if (end)
    writes_->put(Table::rooms, view(room_key_of(purge.room, RoomTag::purged)), encode_sequence(purge.upto));
  if (auto written = database_.commit(*writes_, Sync::no); !written) return written;
  if (!end) return {};
  purges_.pop_front();
  if (purges_.empty()) phase_ = Phase::idle;
  return {};
}

Result<void> Retention::expire_ids() {
  uint64_t now = clock_.wall_ms();
  uint32_t visits = 0, removed = 0;
  bool end = true;
  std::string last;
  auto read =
      database_.scan({Table::idempotency, ids_from_, {}}, [&](std::string_view key, std::string_view value) {
        auto entry = decode_idempotency(value);
        if (!entry || entry->wall_ms + options_.idempotency_keep_ms <= now) {
          writes_->remove(Table::idempotency, key);
          removed++;
        }
        last = key;
        end = ++visits < options_.visits_per_step;
        return end;
      });
  if (!read) return read.error();
  if (removed) {
    if (auto written = database_.commit(*writes_, Sync::no); !written) return written;
  }
  counts_.removed_ids += removed;
  ids_from_ = last + '\0';
  if (end) phase_ = Phase::idle;
  return {};
}

}  // namespace twinwire::store
