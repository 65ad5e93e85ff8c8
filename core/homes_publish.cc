// Homes, the writing half: claiming, idempotency, acks as the writer passes, what could not be stored.
#include <xxhash.h>

#include <bit>

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
  XXH128_hash_t hash = XXH3_128bits(all.data(), all.size());
  return {hash.high64, hash.low64};
}

Error storage_unavailable() {
  return fail(Code::storage_unavailable,
              "the store cannot take this now; nothing was published, try again shortly");
}

}  // namespace

Result<EventRef> Homes::publish(Room& room, const EventDraft& draft, Ring::Priority priority) {
  bool kept = draft.event_class == EventClass::kept;
  Durability& durability = shard_.durability();
  if (kept && priority != Ring::Priority::control && !durability.accepting()) {
    shard_.metrics().refused_storage++;
    return storage_unavailable();
  }
  EventDraft stamped = draft;
  stamped.room = room.id;
  stamped.room_name = room.name;
  stamped.wall_ms = shard_.wall_ms();
  EventRef event = Event::encode(stamped, shard_.epoch());
  Ring& ring = shard_.ring();
  auto claim = ring.try_claim(1, event->size(), priority);
  if (!claim) {
    shard_.metrics().refused_overloaded++;
    return fail(Code::overloaded, "the server is overloaded; try again shortly");
  }
  event.mutable_event()->patch(claim->first);
  auto prepaid = static_cast<uint32_t>(std::popcount(room.mask)) + (kept ? 1 : 0);
  if (shard_.engine().mutated(Mutation::prepaid_short_by_one) && prepaid > 1) prepaid--;
  if (prepaid) event->prepay(prepaid);
  Slot& slot = ring.slot(claim->first);
  slot.event = prepaid ? event.get() : nullptr;
  slot.room = room.id;
  slot.mask = room.mask;
  slot.bytes = priority == Ring::Priority::control ? 0 : event->size();
  slot.kind = draft.kind;
  slot.kept = kept;
  ring.publish(claim->first);
  shard_.metrics().published++;
  room.idle_since = shard_.now();
  if (kept) {
    room.last_kept = claim->first;
    room.existed = true;
    room.updated_wall_ms = stamped.wall_ms;
    room.tail.append(event);
    room.unsettled.push_back(Unsettled{event, nullptr, {}, false, false});
    mark_unsettled(room);
  }
  return event;
}

void Homes::mark_unsettled(Room& room) {
  if (room.in_unsettled) return;
  room.in_unsettled = true;
  unsettled_.push_back(room.id);
}

// ---- commands ----

void Homes::publish_command(Room& room, Command command, const EventDraft& draft, AnswerShape shape) {
  std::string_view client_id = command.args.text(Field::client_id);
  if (client_id.empty() || draft.event_class != EventClass::kept)
    return admit_new(room, std::move(command), draft, shape, nullptr);
  const Name& sender = command.who.user;
  if (auto held = room.held.find(sender); held != room.held.end()) {
    if (held->second.size() >= kHeldPerSender)
      return shard_.reply(command, reply_of(fail(Code::overloaded, "too many commands wait for the store")));
    held->second.push_back(std::move(command));
    return;
  }
  DedupeKey key = dedupe_key(sender, client_id);
  auto known = room.dedupe.find(key);
  if (known == room.dedupe.end()) {
    if (shard_.history().may_know_idempotent(room.id, sender, client_id))
      return ask_store(room, std::move(command));
    return admit_new(room, std::move(command), draft, shape, &key);
  }
  DedupeEntry& entry = known->second;
  if (entry.sequence.value == 0)
    return admit_new(room, std::move(command), draft, shape, &key);  // the store said: new
  if (entry.content_hash != command.args.content_hash())
    return shard_.reply(command,
                        reply_of(fail(Code::conflict, "this clientId was used for another content")));
  shard_.metrics().duplicates++;
  if (entry.event && entry.event->outcome() == Outcome::pending &&
      command.args.text(Field::ack) != "accepted") {
    entry.waiting.push_back(std::move(command));
    return;
  }
  answer_duplicate(room, std::move(command), entry, shape);
}

void Homes::admit_new(Room& room, Command command, const EventDraft& draft, AnswerShape shape,
                      const DedupeKey* key) {
  EventDraft full = draft;
  full.content_hash = command.args.content_hash();
  full.client_id = key ? command.args.text(Field::client_id) : std::string_view();
  auto event = publish(room, full);
  if (!event) return shard_.reply(command, reply_of(event.error()));
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
  }
  for (Command& command : held) {
    auto run = command.row->run;
    run(shard_, std::move(command));
  }
}

void Homes::answer_duplicate(Room& room, Command command, const DedupeEntry& entry, AnswerShape shape) {
  if (entry.event) {
    bool stored = entry.event->outcome() == Outcome::stored;
    return answer_event(command, *entry.event, stored, true, shape);
  }
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

void Homes::answer_event(const Command& command, const Event& event, bool stored, bool duplicate,
                         AnswerShape shape) {
  Reply reply;
  JsonObject object(reply.body);
  object.field("success", true).field("eventId", shard_.cursor(event.sequence()).text());
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
  if (done.command) answer_event(*done.command, *done.event, true, false, shape);
  if (!done.has_dedupe) return;
  auto it = room.dedupe.find(done.dedupe);
  if (it == room.dedupe.end()) return;
  auto waiting = std::move(it->second.waiting);
  room.dedupe_order.push_back(done.dedupe);
  for (Command& command : waiting) answer_event(command, *done.event, true, true, shape);
  while (room.dedupe_order.size() > kDedupePerRoom) {
    room.dedupe.erase(room.dedupe_order.front());
    room.dedupe_order.pop_front();
  }
}

void Homes::settle_unsaved(Room& room, Unsettled& done) {
  shard_.metrics().unsaved++;
  Error error = fail(Code::storage_unavailable, "the message could not be stored and has been withdrawn");
  if (done.command) shard_.reply(*done.command, reply_of(error));
  if (done.has_dedupe) {
    auto it = room.dedupe.find(done.dedupe);
    if (it != room.dedupe.end()) {
      auto waiting = std::move(it->second.waiting);
      room.dedupe.erase(it);  // the id is free again
      for (Command& command : waiting) shard_.reply(command, reply_of(error));
    }
  }
  room.tail.remove_if([&](const EventRef& event) { return event->sequence() == done.event->sequence(); });
  if (done.event->effect() == EventEffect::member_added) {
    const Name& user = done.event->subject();
    room.members.erase(user);
    Membership membership{room.id, room.name, room.kind, done.event->sequence()};
    InboxEvent gone{user, "room.member_removed", std::string(room.name.text()),
                    "{\"userId\":" + json_string(user.text()) + "}", true};
    shard_.post(shard_.home_of(shard_.inbox_id(user)), [user, membership, gone](Shard& shard) {
      shard.homes().membership_changed(user, membership, false, gone);
    });
  }
  if (room.kind != RoomKind::inbox) tell_unsaved(room, *done.event);
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
  while (room.tail.events().size() > kTailEvents || room.tail.bytes() > kTailBytes) {
    if (room.tail.events().front()->sequence() > durable) break;
    room.tail.drop_front();
  }
}

// ---- inboxes ----

void Homes::publish_inbox(InboxEvent event) {
  with_user(event.user, [this, event](UserHome& home) {
    if (home.mask == 0 && !event.kept) return;  // nobody would see it
    Name inbox = inbox_name_of(home.user);
    with_room(shard_.inbox_id(home.user), inbox, [this, event](Room& room) {
      if (!waiting_inbox_.empty() || !try_inbox(room, event)) waiting_inbox_.push_back(event);
    });
  });
}

bool Homes::try_inbox(Room& room, const InboxEvent& event) {
  EventDraft draft;
  draft.type = event.type;
  draft.shown_room = event.shown_room;
  draft.data = event.data;
  draft.event_class = event.kept ? EventClass::kept : EventClass::ephemeral;
  auto published = publish(room, draft, Ring::Priority::control);
  if (!published) return false;
  if (event.kept) {
    if (uint32_t index = find_user(event.user); index != kNone)
      users_[index].made_known().inbox_last_kept = (*published)->sequence();
  }
  return true;
}

void Homes::publish_waiting() {
  size_t done = 0;
  for (; done < waiting_inbox_.size(); done++) {
    auto it = rooms_.find(shard_.inbox_id(waiting_inbox_[done].user));
    if (it == rooms_.end()) continue;  // swept: it had been idle and nobody hosts the user
    if (!try_inbox(*it->second, waiting_inbox_[done])) break;
  }
  waiting_inbox_.erase(waiting_inbox_.begin(), waiting_inbox_.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace twinwire
