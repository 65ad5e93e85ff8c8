// Homes, the writing half: claiming, idempotency, acks as the writer passes, what could not be stored.
#include <xxhash.h>

#include <bit>

#include "core/hash_key.h"
#include "core/homes.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {
namespace {

DedupeKey dedupe_key(const Name& sender, std::string_view client_id) {
  std::string all;
  all += sender.tenant();
  all += '\0';
  all += sender.text();
  all += '\0';
  all += client_id;
  XXH128_hash_t hash = XXH3_128bits_withSeed(all.data(), all.size(), hash_key());
  return {hash.high64, hash.low64};
}

Error storage_unavailable() {
  return fail(Code::storage_unavailable,
              "the store cannot take this now; nothing was published, try again shortly");
}

}  // namespace

Result<EventRef> Homes::publish(Room& room, EventDraft draft, Ring::Priority priority) {
  bool kept = draft.event_class == EventClass::kept;
  bool marker = draft.event_class == EventClass::marker;
  Durability& durability = shard_.durability();
  if ((kept || marker) && priority != Ring::Priority::control && !durability.accepting()) {
    shard_.metrics().refused_storage++;
    return storage_unavailable();
  }
  draft.room = room.id;
  draft.room_name = room.name;
  draft.wall_ms = shard_.wall_ms();
  draft.style = &shard_.style_of(room.name.tenant());
  EventRef event = Event::encode(draft, shard_.epoch());
  Ring& ring = shard_.ring();
  uint64_t claimed_us = shard_.now_us();
  auto claim = ring.try_claim(1, event->size(), priority);
  if (!claim) {
    bool state = priority == Ring::Priority::state;
    (state ? shard_.metrics().claims_refused_state : shard_.metrics().claims_refused)++;
    if (!state) shard_.metrics().refused_overloaded++;
    return fail(Code::overloaded, "the server is overloaded; try again shortly");
  }
  event.mutable_event()->patch(claim->first);
  uint64_t mask = draft.writer_only ? 0 : room.mask;
  auto prepaid = static_cast<uint32_t>(std::popcount(mask)) + (kept || marker ? 1 : 0);
  if (shard_.engine().mutated(Mutation::prepaid_short_by_one) && prepaid > 1) prepaid--;
  if (prepaid) event->prepay(prepaid);
  Slot& slot = ring.slot(claim->first);
  slot.event = prepaid ? event.get() : nullptr;
  slot.room = room.id;
  slot.mask = mask;
  slot.bytes = priority == Ring::Priority::control ? 0 : event->size();
  slot.kind = draft.kind;
  slot.kept = kept || marker;
  slot.marker = marker;
  slot.claimed_us = claimed_us;
  if (LogWatch* watch = shard_.engine().parts().watch) watch->publishing(*event, slot.mask);
  // The writer is woken at the end of the tick's work: it takes all of that together.
  if (ring.wakes_writer(slot)) shard_.wake_writer_soon();
  ring.publish(claim->first, Ring::WakeWriter::later);
  count_published(room, draft.event_class);
  room.idle_since = shard_.now();
  if (kept) {
    room.last_kept = claim->first;
    if (!is_reserved_room(room.name.text()) || draft.effect == EventEffect::room_created) room.existed = true;
    room.updated_wall_ms = draft.wall_ms;
    room.tail.append(event);
    Unsettled& open = room.unsettled.emplace_back();
    open.event = event;
    if (draft.effect == EventEffect::member_removed)
      if (auto member = room.members.find(draft.subject); member != room.members.end())
        open.since_before = member->second;
    if (draft.effect == EventEffect::message_changed) room.last_change = claim->first;
    if (room.kind == RoomKind::inbox) note_inbox_event(room);
    mark_unsettled(room);
  }
  return event;
}

void Homes::count_published(Room& room, EventClass event_class) {
  Metrics& metrics = shard_.metrics();
  switch (event_class) {
    case EventClass::kept:
      metrics.published_kept++;
      break;
    case EventClass::ephemeral:
      metrics.published_ephemeral++;
      break;
    case EventClass::state:
      metrics.published_state++;
      break;
    case EventClass::marker:
      metrics.published_marker++;
  }
  shard_.tenant(room.tenant).published++;
  room.activity.count(shard_.now());
}

void Homes::mark_unsettled(Room& room) {
  if (room.in_unsettled) return;
  room.in_unsettled = true;
  unsettled_.push_back(room.id);
}

// ---- commands ----

// Behind a command whose id the store is asked about, all that its sender changes in the room waits: the
// order stays.
bool Homes::waits_behind(Room& room, Command& command) {
  auto held = room.held.find(command.who.user);
  if (held == room.held.end()) return false;
  if (held->second.size() >= shard_.engine().bounds().held_per_sender)
    shard_.reply(command, reply_of(fail(Code::overloaded, "too many commands wait for the store")));
  else
    held->second.push_back(std::move(command));
  shard_.metrics().held_behind++;
  return true;
}

void Homes::answer_when_stored(Room& room, Command command, std::string fields) {
  command.answer_fields = std::move(fields);
  room.unsettled.back().command = std::make_unique<Command>(std::move(command));
}

void Homes::publish_command(Room& room, Command&& command, EventDraft&& draft, AnswerShape shape,
                            const Error* refusal) {
  if (waits_behind(room, command)) return;
  const Name& sender = command.who.user;
  std::string_view client_id = command.args.text(Field::client_id);
  if (client_id.empty() || draft.event_class != EventClass::kept)
    return admit_new(room, std::move(command), std::move(draft), shape, nullptr, refusal);
  DedupeKey key = dedupe_key(sender, client_id);
  auto known = room.dedupe.find(key);
  if (known == room.dedupe.end()) {
    if (shard_.history().may_know_idempotent(room.id, sender, client_id))
      return ask_store(room, std::move(command));
    return admit_new(room, std::move(command), std::move(draft), shape, &key, refusal);
  }
  DedupeEntry& entry = known->second;
  if (entry.sequence.value == 0)
    return admit_new(room, std::move(command), std::move(draft), shape, &key,
                     refusal);  // the store said: new
  if (entry.content_hash != command.args.content_hash())
    return shard_.reply(command,
                        reply_of(fail(Code::conflict, "this clientId was used for another content")));
  shard_.metrics().duplicates++;
  bool accepted = command.args.text(Field::ack) == "accepted";
  // The first one's outcome is the answer, also where the writer knows it and this home has yet to settle it.
  bool open = entry.event && (!accepted || entry.event->outcome() == Outcome::unsaved);
  if (!open) return answer_duplicate(room, std::move(command), entry, shape);
  if (entry.waiting.size() >= shard_.engine().bounds().held_per_sender)
    return shard_.reply(command, reply_of(fail(Code::overloaded, "too many retries of this wait already")));
  shard_.metrics().retries_pending++;
  entry.waiting.push_back(std::move(command));
}

void Homes::admit_new(Room& room, Command&& command, EventDraft&& draft, AnswerShape shape,
                      const DedupeKey* key, const Error* refusal) {
  if (refusal) {
    if (key) room.dedupe.erase(*key);  // as below
    return shard_.reply(command, reply_of(*refusal));
  }
  if (key) {  // without an id nothing will ever be a retry of it
    draft.content_hash = command.args.content_hash();
    draft.client_id = command.args.text(Field::client_id);
  }
  auto event = publish(room, std::move(draft));
  if (!event) {
    // That the store knows nothing of the id is not kept: no event will ever let go of it.
    if (key) room.dedupe.erase(*key);
    return shard_.reply(command, reply_of(event.error()));
  }
  if (key) remember(room, *key, *event);
  if (!(*event)->kept() || command.args.text(Field::ack) == "accepted")
    answer_event(command, **event, false, false, shape);
  if (!(*event)->kept()) return;
  Unsettled& waiting = room.unsettled.back();
  waiting.answer_with_data = shape == AnswerShape::data;
  if (key) waiting.dedupe = *key, waiting.has_dedupe = true;
  if (command.args.text(Field::ack) != "accepted")
    waiting.command = std::make_unique<Command>(std::move(command));
}

void Homes::remember(Room& room, const DedupeKey& key, const EventRef& event) {
  DedupeEntry& entry = room.dedupe[key];
  entry.sequence = event->sequence();
  entry.content_hash = event->content_hash();
  entry.event = event;
}

void Homes::ask_store(Room& room, Command command) {
  Name sender = command.who.user;
  std::string client_id(command.args.text(Field::client_id));
  room.busy++;
  room.held[sender].push_back(std::move(command));
  shard_.metrics().store_reads++;
  shard_.use_history([this, id = room.id, sender, client_id] {
    shard_.history().find_idempotent(
        id, sender, client_id,
        shard_.from_history<IdempotencyRecord>([id, sender](Shard& shard, IdempotencyRecord record) {
          shard.homes().store_answered(*shard.homes().rooms_.at(id), sender, record);
        }));
  });
}

// The store's word on the first held command; then all that waited behind it run again, in order.
void Homes::store_answered(Room& room, const Name& sender, const IdempotencyRecord& record) {
  room.busy--;
  std::deque<Command> held = std::move(room.held[sender]);
  room.held.erase(sender);
  if (record.failed) {
    shard_.reply(held.front(), reply_of(storage_unavailable()));
    held.pop_front();
  } else {
    DedupeKey key = dedupe_key(sender, held.front().args.text(Field::client_id));
    DedupeEntry& entry = room.dedupe[key];
    entry.sequence = record.found ? record.sequence : Sequence{0};
    entry.content_hash = record.content_hash;
    if (record.found) room.dedupe_order.push_back(key);
    forget_old_ids(room);
  }
  for (Command& command : held) {
    auto run = command.row->run;
    run(shard_, std::move(command));
  }
}

void Homes::answer_duplicate(Room& room, Command command, const DedupeEntry& entry, AnswerShape shape) {
  if (entry.event) {
    shard_.metrics().retries_memory++;
    bool stored = entry.event->outcome() == Outcome::stored;
    return answer_event(command, *entry.event, stored, true, shape);
  }
  if (const Event* event = room.tail.find(entry.sequence)) {
    shard_.metrics().retries_memory++;
    return answer_event(command, *event, true, true, shape);
  }
  shard_.metrics().retries_store++;
  answer_from_store(room, std::move(command), entry.sequence, shape);
}

void Homes::answer_from_store(Room& room, Command command, Sequence sequence, AnswerShape shape) {
  ReadRequest request{room.id, sequence - 1, sequence, 1, UINT32_MAX, false};
  auto kept = std::make_shared<Command>(std::move(command));
  room.busy++;
  shard_.use_history([this, request, kept, shape, sequence, id = room.id] {
    shard_.history().read(request, shard_.from_history<std::shared_ptr<const ReadAnswer>>(
                                       [kept, shape, sequence, id](
                                           Shard& shard, const std::shared_ptr<const ReadAnswer>& answer) {
                                         shard.homes().stored_event_read(id, *kept, sequence, shape, *answer);
                                       }));
  });
}

void Homes::stored_event_read(RoomId id, const Command& command, Sequence sequence, AnswerShape shape,
                              const ReadAnswer& answer) {
  rooms_.at(id)->busy--;
  if (answer.failed) return shard_.reply(command, reply_of(storage_unavailable()));
  if (!answer.events.empty()) return answer_event(command, *answer.events[0], true, true, shape);
  // Trimmed or cleared since: the id is all that is left of it.
  Reply reply;
  JsonObject object(reply.body);
  object.field("success", true).field("eventId", shard_.cursor(sequence).text());
  object.field("stored", true).field("duplicate", true).end();
  shard_.reply(command, std::move(reply));
}

bool Homes::answer_when_settled(Room& room, const Name& member, Command& command, const std::string& fields) {
  for (auto open = room.unsettled.rbegin(); open != room.unsettled.rend(); ++open) {
    const Event& event = *open->event;
    bool makes = event.effect() == EventEffect::room_created ||
                 (event.effect() == EventEffect::member_added && event.subject() == member);
    if (!makes) continue;
    if (open->others.size() >= shard_.engine().bounds().held_per_sender) {
      shard_.reply(command, reply_of(fail(Code::overloaded, "too many commands wait for the store")));
      return true;
    }
    command.answer_fields = fields;
    open->others.push_back(std::move(command));
    return true;
  }
  return false;
}

void Homes::answer_event(const Command& command, const Event& event, bool stored, bool duplicate,
                         AnswerShape shape) {
  constexpr size_t kAround = 128;
  Reply reply;
  reply.body.reserve(kAround + event.data().size());
  JsonObject object(reply.body);
  object.field("success", true).begin("eventId") += '"';
  shard_.cursor(event.sequence()).append_to(reply.body);
  reply.body += '"';
  if (shape == AnswerShape::data && event.data().size() > 2) {
    reply.body += ',';
    reply.body += event.data().substr(1, event.data().size() - 2);
  }
  if (!command.answer_fields.empty()) reply.body += "," + command.answer_fields;
  object.field("stored", stored);
  if (duplicate) object.field("duplicate", true);
  object.end();
  shard_.reply(command, std::move(reply));
}

// ---- as the writer passes ----

void Homes::settle() {
  Sequence durable = shard_.durability().durable();
  if (shard_.engine().mutated(Mutation::ack_before_sync))
    durable = shard_.ring().consumed_position(shard_.ring().writer_consumer());
  // What was published since lies above it: nothing can be settled that was not settled then.
  if (durable == settled_at_) return;
  settled_at_ = durable;
  for (size_t i = 0; i < unsettled_.size();) {
    Room& room = *rooms_.at(unsettled_[i]);
    settle_room(room, durable);
    if (!room.unsettled.empty()) {
      i++;
      continue;
    }
    room.in_unsettled = false;
    unsettled_[i] = unsettled_.back();
    unsettled_.pop_back();
  }
}

void Homes::settle_room(Room& room, Sequence durable) {
  while (!room.unsettled.empty() && room.unsettled.front().event->sequence() <= durable) {
    Unsettled done = std::move(room.unsettled.front());
    room.unsettled.pop_front();
    if (done.event->outcome() == Outcome::unsaved)
      settle_unsaved(room, done);
    else
      settle_stored(room, done);
  }
  trim_tail(room, durable);
}

void Homes::settle_stored(Room& room, Unsettled& done) {
  AnswerShape shape = done.answer_with_data ? AnswerShape::data : AnswerShape::id;
  settle_effect(room, *done.event);
  if (done.command) answer_event(*done.command, *done.event, true, false, shape);
  for (Command& command : done.others) answer_event(command, *done.event, true, false, AnswerShape::id);
  if (!done.has_dedupe) return;
  auto it = room.dedupe.find(done.dedupe);
  if (it == room.dedupe.end()) return;
  auto waiting = std::exchange(it->second.waiting, {});
  it->second.event = EventRef();  // from here on the tail has it, or the store
  room.dedupe_order.push_back(done.dedupe);
  for (Command& command : waiting) answer_event(command, *done.event, true, true, shape);
  forget_old_ids(room);
}

void Homes::forget_old_ids(Room& room) {
  while (room.dedupe_order.size() > shard_.engine().bounds().dedupe_per_room) {
    room.dedupe.erase(room.dedupe_order.front());
    room.dedupe_order.pop_front();
  }
}

namespace {

// What told a user of a new room of theirs could not be stored. A stream that was opening or read behind has
// not seen it, and would follow the room without a word: it is told once more, if the membership stands.
void tell_gain_again(Shard& home, const Event& event) {
  if (event.type() != "room.member_added" && event.type() != "room.created") return;
  Name user(event.room_name().tenant(), event.room_name().text().substr(1));
  Homes::InboxEvent again{user, std::string(event.type()), std::string(event.shown_room()),
                          std::string(event.data())};
  again.by = event.user();
  again.exclude_session = event.exclude_session();
  home.homes().with_user(
      user,
      [&home, again](UserHome& known) {
        const std::vector<Membership> none;
        const auto& list = known.known ? known.known->memberships : none;
        bool stands = std::any_of(list.begin(), list.end(), [&](const Membership& m) {
          return m.room_name.text() == again.shown_room;
        });
        if (stands) home.homes().publish_inbox(again);
      },
      true);
}

}  // namespace

void Homes::settle_unsaved(Room& room, Unsettled& done) {
  shard_.metrics().unsaved++;
  Error error = fail(Code::storage_unavailable, "the message could not be stored and has been withdrawn");
  if (done.command) shard_.reply(*done.command, reply_of(error));
  for (Command& command : done.others) shard_.reply(command, reply_of(error));
  if (done.has_dedupe) {
    auto it = room.dedupe.find(done.dedupe);
    if (it != room.dedupe.end()) {
      auto waiting = std::move(it->second.waiting);
      room.dedupe.erase(it);  // the id is free again
      for (Command& command : waiting) shard_.reply(command, reply_of(error));
    }
  }
  room.tail.remove_if([&](const EventRef& event) { return event->sequence() == done.event->sequence(); });
  withdraw_effect(room, done);
  if (room.kind == RoomKind::inbox)
    tell_gain_again(shard_, *done.event);
  else
    tell_unsaved(room, *done.event);
}

// What an event means for its room once it is stored, beyond what it meant when it was published.
void Homes::settle_effect(Room& room, const Event& event) {
  if (event.effect() == EventEffect::room_cleared) {
    // Now, and not when it was claimed: had it been in vain, the tail would miss what the store still has.
    room.tail.remove_if([&](const EventRef& e) {
      return e->sequence() < event.sequence() && e->type().starts_with("message.");
    });
  }
  bool orphan = event.effect() == EventEffect::member_added && !room.existed &&
                is_reserved_room(room.name.text()) && room.is_member(event.subject());
  if (orphan) end_membership(room, event.subject(), true);  // of a room whose creation could not be stored
}

// The store gave an event up: the room is again as if it had not been.
void Homes::withdraw_effect(Room& room, const Unsettled& done) {
  const Event& event = *done.event;
  const Name& user = event.subject();
  bool reserved = is_reserved_room(room.name.text());
  switch (event.effect()) {
    case EventEffect::none:
    case EventEffect::room_cleared:
    case EventEffect::message_changed:
      break;
    case EventEffect::room_updated:
      withdraw_update(room, done);
      break;
    case EventEffect::room_created:
      shard_.metrics().withdrawn_created++;
      room.title.clear();
      room.created_by.clear();
      room.kind = RoomKind::open;
      if (reserved) room.existed = false;  // its members follow as their own events are settled
      break;
    case EventEffect::member_added: {
      shard_.metrics().withdrawn_added++;
      // A removal behind it, should it be given up too, has nothing to bring back.
      for (Unsettled& later : room.unsettled)
        if (later.since_before == event.sequence()) later.since_before = {0};
      auto member = room.members.find(user);
      if (member == room.members.end() || member->second != event.sequence()) break;
      if (done.since_before.value)
        restore_member(room, user, done.since_before);
      else
        end_membership(room, user, false);
      break;
    }
    case EventEffect::member_removed:
      shard_.metrics().withdrawn_removed++;
      if (room.is_member(
              user)) {  // came again since: should that be in vain too, the former membership is left
        for (Unsettled& later : room.unsettled)
          if (later.event->effect() == EventEffect::member_added && later.event->subject() == user)
            later.since_before = done.since_before;
      } else if (reserved && !room.existed) {
        end_membership(room, user, true);  // still to be written
      } else if (done.since_before.value) {
        restore_member(room, user, done.since_before);
      }
      break;
  }
}

void Homes::restore_member(Room& room, const Name& user, Sequence since) {
  room.members[user] = since;
  tell_user(room, user, since, true);
}

// A later update that is not settled yet stands, and only learns what there was before.
void Homes::withdraw_update(Room& room, const Unsettled& done) {
  for (Unsettled& later : room.unsettled) {
    if (later.record_before.empty()) continue;
    later.record_before = done.record_before;
    return;
  }
  if (auto record = RoomRecord::decode(done.record_before)) room.apply(*record);
}

// Ends a membership that the engine itself takes back. `stored`: the store has it, and must lose it.
void Homes::end_membership(Room& room, const Name& user, bool stored) {
  std::string data = "{\"userId\":" + json_string(user.text()) + "}";
  EventDraft draft;
  draft.type = "room.member_removed";
  draft.shown_room = room.name.text();
  draft.data = data;
  draft.kind = EventKind::removal;
  draft.subject = user;
  draft.event_class = stored ? EventClass::kept : EventClass::ephemeral;
  draft.effect = stored ? EventEffect::member_removed : EventEffect::none;
  // Whoever gained the room by the membership loses it where this stands. Should even the reserve of the ring
  // be used up, the home refuses the user all the same.
  (void)publish(room, draft, Ring::Priority::control);
  room.members.erase(user);
  tell_user(room, user, {0}, false);
}

void Homes::tell_user(Room& room, const Name& user, Sequence since, bool added) {
  Membership membership{room.id, room.name, room.kind, since};
  std::string data = "{\"userId\":" + json_string(user.text());
  if (added) data += ",\"room\":" + room_json(room, true);
  InboxEvent told{user, added ? "room.member_added" : "room.member_removed", std::string(room.name.text()),
                  data + "}"};
  shard_.post(shard_.home_of(shard_.inbox_id(user)), [user, membership, added, told](Shard& shard) {
    shard.homes().membership_changed(user, membership, added, told);
  });
}

void Homes::member_gone(Room& room, const Name& user) {
  room.members.erase(user);
  set_typing(room, user, false);
  end_media(room, user);
  if (room.marks) {
    room.marks->receipts.erase(user);
    room.marks->untold.erase(user);
    room.marks->unwritten.erase(user);
  }
  tell_user(room, user, {0}, false);
}

// `message.unsaved`: to the room where everyone saw it (deliver = publish), and always to the sender.
void Homes::tell_unsaved(Room& room, const Event& event) {
  std::string data;
  JsonObject object(data);
  object.field("eventId", shard_.cursor(event.sequence()).text()).text_or_null("clientId", event.client_id());
  object.field("reason", "the store could not keep it").end();
  if (shard_.config().server.deliver == DeliverPolicy::publish) {
    EventDraft draft;
    draft.type = "message.unsaved";
    draft.shown_room = room.name.text();
    draft.data = data;
    draft.user = event.user();
    draft.event_class = EventClass::ephemeral;
    draft.exclude = event.user() ? Exclude::user : Exclude::none;  // the sender hears of it by the inbox
    (void)publish(room, draft, Ring::Priority::control);
  }
  if (!event.user()) return;
  InboxEvent to_sender{event.user(), "message.unsaved", std::string(room.name.text()), data, false};
  shard_.post(shard_.home_of(shard_.inbox_id(event.user())),
              [to_sender](Shard& shard) { shard.homes().publish_inbox(to_sender); });
}

// The tail keeps what is not durable, and as much of the rest as fits.
void Homes::trim_tail(Room& room, Sequence durable) {
  while (shard_.engine().mutated(Mutation::tail_drops_above_durable) && !room.tail.empty())
    room.tail.drop_front();
  while (room.tail.events().size() > shard_.engine().bounds().tail_events || room.tail.bytes() > kTailBytes) {
    if (room.tail.events().front()->sequence() > durable) break;
    shard_.metrics().tail_dropped++;
    room.tail.drop_front();
  }
}

// ---- inboxes ----

// The user's next stream must know that there is something to read, whoever put it there.
void Homes::note_inbox_event(const Room& inbox) {
  uint32_t index = find_user(Name(inbox.name.tenant(), inbox.name.text().substr(1)));
  if (index != kNone) users_[index].made_known().inbox_last_kept = inbox.last_kept;
}

// False: the ring has no room now, and the event waits for it.
bool Homes::publish_inbox_soon(Room& room, const InboxEvent& event) {
  if (waiting_inbox_.empty() && try_inbox(room, event)) return true;
  room.busy++;  // is not swept before the event is published
  waiting_inbox_.push_back(event);
  return false;
}

void Homes::publish_inbox(InboxEvent event) {
  auto publish_it = [this, event](UserHome& home) {
    if (home.mask == 0 && !event.kept) return;  // nobody would see it
    Name inbox = inbox_name_of(home.user);
    with_room(shard_.inbox_id(home.user), inbox, [this, event](Room& room) {
      if (!publish_inbox_soon(room, event)) shard_.metrics().inbox_waited++;
    });
  };
  with_user(event.user, publish_it, event.kept);
}

void Homes::end_user(const Name& user, Ending why, Answer<Sequence> answer) {
  with_user(user, [this, why, answer](UserHome& home) {
    if (home.mask == 0) return answer(shard_, Sequence{0});
    InboxEvent event{home.user,        why == Ending::revoked ? "revoked" : "kicked", "", "{}", false,
                     EventKind::ending};
    with_room(shard_.inbox_id(home.user), inbox_name_of(home.user), [this, event, answer](Room& room) {
      bool done = publish_inbox_soon(room, event);
      answer(shard_, done ? shard_.ring().claimed() : Sequence{0});
    });
  });
}

bool Homes::try_inbox(Room& room, const InboxEvent& event) {
  EventDraft draft;
  draft.kind = event.kind;
  draft.type = event.type;
  draft.shown_room = event.shown_room;
  draft.data = event.data;
  draft.user = event.by;
  draft.event_class = event.kept ? EventClass::kept : EventClass::ephemeral;
  draft.exclude = event.exclude_session.none() ? Exclude::none : Exclude::connection;
  draft.exclude_session = event.exclude_session;
  return static_cast<bool>(publish(room, draft, Ring::Priority::control));
}

void Homes::publish_waiting() {
  size_t done = 0;
  for (; done < waiting_inbox_.size(); done++) {
    Room& room = *rooms_.at(shard_.inbox_id(waiting_inbox_[done].user));
    if (!try_inbox(room, waiting_inbox_[done])) break;
    room.busy--;
  }
  waiting_inbox_.erase(waiting_inbox_.begin(), waiting_inbox_.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace twinwire
