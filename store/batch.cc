#include "store/batch.h"

#include "store/hook_queue.h"
#include "store/record.h"

namespace twinwire::store {

BatchBuilder::BatchBuilder(uint64_t room_key, Database& database, SharedState& shared, bool for_hook)
    : room_key_(room_key),
      for_hook_(for_hook),
      database_(database),
      shared_(shared),
      set_(database.make_write_set()) {}

void BatchBuilder::begin(Sequence settled) {
  settled_ = settled;
  ghosts_ = shared_.ghosts.snapshot();  // what becomes one later lies above `settled`
  set_->clear();
  ids_.clear();
  if (!buried_.empty()) buried_.clear();
}

void BatchBuilder::bury(const Undo& undo) {
  for (const Undo::Entry& entry : undo.entries) {
    if (entry.before) {
      set_->put(entry.table, entry.key, *entry.before);
    } else {
      set_->remove(entry.table, entry.key);
    }
    buried_[{entry.table, entry.key}] = entry.before;
  }
}

Result<void> BatchBuilder::add(const Event& event) {
  if (event.marker()) {
    ids_.emplace_back();
    return add_effect(event);
  }
  record_.clear();
  append_record(record_, event);
  set_->put(Table::events, view(event_key(event.room(), event.sequence())), record_);
  if (for_hook_) {
    hook_entry_.clear();
    append_hook_entry(hook_entry_, event.room(), record_);
    set_->put(Table::hook, hook_key(event.sequence()), hook_entry_);
  }
  std::optional<IdempotencyKey>& id = ids_.emplace_back();
  if (!event.client_id().empty()) {
    id = idempotency_key(room_key_, event.room(), event.user(), event.client_id());
    auto key = id->bytes();
    set_->put(Table::idempotency, {key.data(), key.size()},
              view(encode_idempotency({event.sequence(), event.content_hash(), event.wall_ms()})));
  }
  if (!shared_.filters.rooms.contains(Filters::fingerprint(event.room())))
    set_->put(Table::rooms, view(room_key_of(event.room(), RoomTag::name)),
              encode_room_name(event.room_name()));
  return event.effect() == EventEffect::none ? Result<void>() : add_effect(event);
}

Result<void> BatchBuilder::add_effect(const Event& event) {
  // What was there is noted when the event's batch is handed over the first time; a later look might see the
  // batch.
  auto known = before_.find(event.sequence().value);
  std::vector<Undo::Entry> noted;
  std::vector<Undo::Entry>* before = known == before_.end() ? &noted : nullptr;
  Result<void> done;
  if (event.marker()) {
    auto kind = event.type() == "receipt.read" ? ReceiptKind::read : ReceiptKind::delivered;
    done = change(Table::membership, receipt_key(event.room(), kind, event.user()),
                  encode_sequence(event.about()), before);
  }
  switch (event.effect()) {
    case EventEffect::none:
      break;
    case EventEffect::message_changed:
      done = change(Table::membership, change_key(event.room(), event.about(), event.sequence()), "", before);
      if (done) done = forget_older_changes(event);
      break;
    case EventEffect::member_added:
    case EventEffect::member_removed: {
      bool added = event.effect() == EventEffect::member_added;
      std::string since = encode_sequence(event.sequence());
      std::string room = encode_user_room(event.sequence(), event.room_name());
      std::optional<std::string_view> member_value, room_value;
      if (added) member_value = since, room_value = room;
      done = change(Table::membership, member_key(event.room(), event.subject()), member_value, before);
      if (done)
        done = change(Table::membership, user_room_key(inbox_id_of(room_key_, event.subject()), event.room()),
                      room_value, before);
      // Who is no member any more has left no marks either.
      for (ReceiptKind kind : {ReceiptKind::delivered, ReceiptKind::read})
        if (done && !added)
          done = change(Table::membership, receipt_key(event.room(), kind, event.subject()), {}, before);
      break;
    }
    case EventEffect::room_created:
    case EventEffect::room_updated:
      done = change(Table::rooms, view(room_key_of(event.room(), RoomTag::record)),
                    encode_room_record(event.wall_ms(), event.room_record()), before);
      break;
    case EventEffect::room_cleared:
      done = change(Table::rooms, view(room_key_of(event.room(), RoomTag::cleared)),
                    encode_sequence(event.sequence()), before);
      break;
  }
  if (done && before) before_[event.sequence().value] = std::move(noted);
  return done;
}

// Of a message's changes those that lie below its newest settled one are shown to nobody any more: that one
// stays until the message goes, so they need no undo. The newest settled one is left, since this change may
// still fail, and readers see none that is not settled.
Result<void> BatchBuilder::forget_older_changes(const Event& event) {
  std::string from = changes_from(event.room(), event.about());
  std::string to = change_key(event.room(), event.about(), event.sequence());
  std::vector<std::string> older;  // and the newest settled one, which comes last
  auto read = database_.scan({Table::membership, from, to}, [&](std::string_view key, std::string_view) {
    auto entry = parse_change(key);
    bool shown = entry && entry->change <= settled_ && !ghosts_.contains(entry->change.value);
    if (shown) older.emplace_back(key);
    return true;
  });
  if (!read) return read.error();
  if (!older.empty()) older.pop_back();
  for (const std::string& key : older) set_->remove(Table::membership, key);
  return {};
}

Result<void> BatchBuilder::change(Table table, std::string_view key, std::optional<std::string_view> value,
                                  std::vector<Undo::Entry>* before) {
  if (before) {
    Undo::Entry& entry = before->emplace_back();
    entry.table = table;
    entry.key = key;
    if (auto buried = buried_.find({table, entry.key}); buried != buried_.end()) {
      entry.before = buried->second;
    } else {
      auto found = database_.get(table, key);
      if (!found) return found.error();
      entry.before = std::move(*found);
    }
  }
  if (value) {
    set_->put(table, key, *value);
  } else {
    set_->remove(table, key);
  }
  return {};
}

void BatchBuilder::extend_filters(const Event& event, size_t index) {
  if (event.marker()) return;  // about a kept event, so the room is known
  uint64_t room = Filters::fingerprint(event.room());
  Filters& filters = shared_.filters;
  if (!filters.rooms.contains(room)) filters.rooms.add(room);
  if (is_inbox(event.room_name())) filters.users.add(room);
  if (event.effect() == EventEffect::member_added)
    filters.users.add(Filters::fingerprint(inbox_id_of(room_key_, event.subject())));
  if (ids_[index]) filters.ids.add(*ids_[index], event.wall_ms());
}

Undo BatchBuilder::take_undo(const Event& event) {
  Undo undo;
  undo.sequence = event.sequence();
  if (!event.marker())
    undo.entries.push_back({Table::events, std::string(view(event_key(event.room(), event.sequence()))), {}});
  if (for_hook_ && !event.marker()) undo.entries.push_back({Table::hook, hook_key(event.sequence()), {}});
  if (!event.client_id().empty()) {
    auto key = idempotency_key(room_key_, event.room(), event.user(), event.client_id()).bytes();
    undo.entries.push_back({Table::idempotency, std::string(key.data(), key.size()), {}});
  }
  if (auto found = before_.find(event.sequence().value); found != before_.end()) {
    for (Undo::Entry& entry : found->second) undo.entries.push_back(std::move(entry));
    before_.erase(found);
  }
  return undo;
}

}  // namespace twinwire::store
