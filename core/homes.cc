#include "core/homes.h"

#include <algorithm>

#include "core/commands.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/shard.h"

namespace twinwire {

Homes::Homes(Shard& shard) : shard_(shard), user_index_(HashUser{&users_}) {}
Homes::~Homes() {
  user_index_.for_each([this](uint32_t i) { users_.drop(i); });
}

// ---- rooms ----

Room& Homes::make_room(RoomId id, const Name& name) {
  auto room = std::make_unique<Room>();
  room->id = id;
  room->name = name;
  room->idle_since = shard_.now();
  room->tenant = shard_.tenant_place(name.tenant());
  Room& made = *room;
  rooms_.emplace(id, std::move(room));
  if (is_inbox(name)) {
    inbox_count_++;
    made.kind = RoomKind::inbox;
    Name user(name.tenant(), name.text().substr(1));
    if (uint32_t index = find_user(user); index != kNone) made.mask = users_[index].mask;
  }
  // A room the store never heard of is open and empty, and needs no reading.
  if (!shard_.history().may_know_room(id)) {
    made.loaded = true;
    made.created_wall_ms = made.updated_wall_ms = shard_.wall_ms();
  } else {
    load(made);
  }
  return made;
}

void Homes::load(Room& room) {
  room.busy++;
  shard_.metrics().store_reads++;
  shard_.use_history([this, id = room.id, name = room.name] {
    shard_.history().load_room(id, name,
                               shard_.from_history<std::unique_ptr<RoomRecord>>(
                                   [id](Shard& shard, std::unique_ptr<RoomRecord> record) {
                                     shard.homes().loaded(id, std::move(record));
                                   }));
  });
}

void Homes::loaded(RoomId id, std::unique_ptr<RoomRecord> record) {
  Room& room = *rooms_.at(id);
  room.busy--;
  if (record->failed) {
    shard_.metrics().room_reloads++;
    reloads_.push_back({shard_.now() + kStoreRetryMs, id});
    return;
  }
  if (record->exists) {
    // Of a room whose creation was never stored there may be events and members, but no record: it does not
    // exist.
    room.existed = !is_reserved_room(room.name.text()) || record->kind != RoomKind::open;
    room.apply(*record);
    if (is_inbox(room.name)) room.kind = RoomKind::inbox;
    room.updated_wall_ms = record->updated_wall_ms;
    for (Member& member : record->members) room.members.emplace(member.user, member.since);
    for (UserReceipt& line : record->receipts) room.made_marks().receipts.raise(line.user, line.receipt);
  }
  room.trimmed_through = record->trimmed_through;
  room.last_kept = record->last_kept;
  room.tail.set_floor(record->last_kept);
  room.loaded = true;
  auto waiting = std::move(room.when_loaded);
  for (auto& use : waiting) use(room);
}

void Homes::with_room(RoomId id, const Name& name, std::function<void(Room&)> use) {
  auto it = rooms_.find(id);
  Room& room = it != rooms_.end() ? *it->second : make_room(id, name);
  if (room.loaded) return use(room);
  room.when_loaded.push_back(std::move(use));
}

Rights Homes::rights(const Identity& who, const Room& room) const {
  std::string_view name = room.name.text();
  bool unmade = room.kind == RoomKind::open && !room.existed && is_reserved_room(name);
  if (unmade || room.kind == RoomKind::inbox || who.user.tenant() != room.name.tenant()) return {};
  if (who.backend) return who.grants ? who.grants->of(name) : Rights::all();
  if (room.kind == RoomKind::open) return shard_.open_rights(who.grants.get(), name);
  if (!room.is_member(who.user)) return {};
  Rights rights = Rights::all();
  if (room.kind == RoomKind::direct || room.managed_by(who.user)) return rights;
  rights = {};
  for (Right right : {Right::read, Right::write, Right::presence}) rights.add(right);
  if (who.grants && who.grants->of(name).has(Right::manage)) rights.add(Right::manage);
  return rights;
}

Result<void> Homes::may(const Identity& who, const Room& room, Right right) const {
  if (shard_.engine().revocations().refuses(who))
    return fail(Code::unauthenticated, "this token has been revoked");
  if (right == Right::none || rights(who, room).has(right)) return {};
  return fail(Code::forbidden, refusal_of(right));
}

void Homes::with_room(RoomId id, const Name& name, const std::shared_ptr<Command>& command,
                      std::function<void(Room&)> use) {
  auto it = rooms_.find(id);
  bool crowded =
      it != rooms_.end() && it->second->when_loaded.size() >= shard_.engine().bounds().waiting_per_room;
  if (!crowded) return with_room(id, name, std::move(use));
  shard_.metrics().refused_storage++;
  shard_.reply(*command, reply_of(fail(Code::storage_unavailable,
                                       "the room cannot be read now; nothing was done, try again shortly")));
}

// The position below which everything this home has published lies: its next claim is above.
Sequence Homes::cut() {
  Sequence claimed = shard_.ring().claimed();
  return shard_.engine().mutated(Mutation::cut_off_by_one) ? claimed - 1 : claimed;
}

void Homes::join_room(RoomId id, const Name& name, const Identity& who, ShardIndex joiner, JoinBy by,
                      Answer<JoinAnswer> answer) {
  with_room(id, name, [this, who, joiner, by, answer](Room& room) {
    JoinAnswer out;
    bool observer = by == JoinBy::observer;
    // A list of rooms may be older than the removal that ends a membership: the home knows.
    bool ended = by == JoinBy::membership && !room.is_member(who.user);
    out.rights = observer ? Rights::all() : rights(who, room);
    if (ended || !out.rights.has(Right::read)) {
      out.code = Code::forbidden;
      return answer(shard_, std::move(out));
    }
    room.mask |= mask_of(joiner);
    out.cut = cut();  // after the mask: whatever is claimed from here on, the joiner's shard is told
    out.last_kept = room.last_kept;
    out.trimmed_through = room.trimmed_through;
    bool all = observer || shard_.engine().mutated(Mutation::history_before_membership);
    out.readable_from = all ? Sequence{0} : room.readable_from(who.user);
    out.kind = room.kind;
    out.stateful = !room.typing.empty() || (room.marks && !room.marks->media.empty());
    answer(shard_, std::move(out));
  });
}

void Homes::leave_room(RoomId id, ShardIndex leaver) {
  auto it = rooms_.find(id);
  if (it == rooms_.end()) return;
  it->second->mask &= ~mask_of(leaver);
  if (it->second->mask == 0) it->second->idle_since = shard_.now();
}

void Homes::trimmed(RoomId id, Sequence trimmed_through) {
  auto it = rooms_.find(id);
  if (it != rooms_.end())
    it->second->trimmed_through = std::max(it->second->trimmed_through, trimmed_through);
}

// ---- users ----

uint32_t Homes::find_user(const Name& user) const {
  return user_index_.find(user.hash(), [&](uint32_t index) { return users_[index].user == user; });
}

UserHome& Homes::make_user(const Name& user) {
  uint32_t index = users_.make();
  UserHome& made = users_[index];
  made.user = user;
  user_index_.insert(user.hash(), index);
  RoomId inbox = shard_.inbox_id(user);
  // What is in the inbox may not be stored yet.
  if (auto it = rooms_.find(inbox); it != rooms_.end() && it->second->last_kept.value)
    made.made_known().inbox_last_kept = it->second->last_kept;
  if (shard_.history().may_know_user(inbox)) load_user(made);
  return made;
}

void Homes::load_user(UserHome& home) {
  home.made_known().loading = true;
  home.known->load_failed = false;
  shard_.metrics().store_reads++;
  shard_.use_history([this, user = home.user] {
    shard_.history().load_user(user, shard_.inbox_id(user),
                               shard_.from_history<std::unique_ptr<UserRecord>>(
                                   [user](Shard& shard, std::unique_ptr<UserRecord> record) {
                                     shard.homes().user_loaded(user, std::move(record));
                                   }));
  });
}

void Homes::user_loaded(const Name& user, std::unique_ptr<UserRecord> record) {
  UserHome::Known& known = *users_[find_user(user)].known;
  known.load_failed = record->failed;
  auto waiting = std::exchange(known.when_loaded, {});
  if (record->failed) {
    // Who can be told so is told; what must not be lost waits for the next try.
    auto must = std::stable_partition(waiting.begin(), waiting.end(), [](const auto& w) { return !w.must; });
    known.when_loaded.assign(std::make_move_iterator(must), std::make_move_iterator(waiting.end()));
    waiting.erase(must, waiting.end());
  } else {
    known.inbox_last_kept = std::max(known.inbox_last_kept, record->inbox_last_kept);
    known.memberships = std::move(record->memberships);
  }
  known.loading = !known.when_loaded.empty();
  if (known.loading) shard_.metrics().user_reloads++;
  if (known.loading) user_reloads_.push_back({shard_.now() + kStoreRetryMs, user});
  for (auto& [use, must] : waiting) {
    uint32_t index = find_user(user);
    bool answered = index != kNone && (!users_[index].loading() || users_[index].load_failed());
    if (answered)
      use(users_[index]);
    else
      with_user(user, use);  // one that left meanwhile has dropped the user
  }
  if (uint32_t index = find_user(user); index != kNone) drop_user_if_unused(index);
}

// Of one that is not in memory reading begins here, if there can be anything to read.
UserHome& Homes::user_home(const Name& user) {
  uint32_t index = find_user(user);
  UserHome& home = index != kNone ? users_[index] : make_user(user);
  if (home.load_failed() && !home.loading()) load_user(home);
  return home;
}

void Homes::with_user(const Name& user, std::function<void(UserHome&)> use, bool must) {
  UserHome& home = user_home(user);
  if (home.loading()) return home.known->when_loaded.push_back({std::move(use), must});
  Name name = home.user;
  use(home);
  // Whoever is only asked about is not kept: anybody may name anybody.
  if (uint32_t index = find_user(name); index != kNone) drop_user_if_unused(index);
}

void Homes::join_user(const Identity& who, ShardIndex joiner, Answer<UserAnswer> answer) {
  with_user(who.user, [this, who, joiner, answer](UserHome& home) {
    answer(shard_, join_loaded(home, who, shard_.inbox_id(home.user), joiner));
  });
}

std::optional<UserAnswer> Homes::join_known_user(const Identity& who, RoomId inbox, ShardIndex joiner) {
  UserHome& home = user_home(who.user);
  if (home.loading()) return std::nullopt;
  UserAnswer answer = join_loaded(home, who, inbox, joiner);
  if (home.mask == 0) drop_user_if_unused(find_user(who.user));  // refused
  return answer;
}

UserAnswer Homes::join_loaded(UserHome& home, const Identity& who, RoomId inbox, ShardIndex joiner) {
  UserAnswer out;
  // Whoever comes after the place at which the user's streams were ended must not slip past it.
  bool careless = shard_.engine().mutated(Mutation::revoked_comes_back);
  if (!careless && shard_.engine().revocations().refuses(who)) {
    out.code = Code::unauthenticated;
    return out;
  }
  if (home.load_failed()) {
    out.code = Code::storage_unavailable;
    return out;
  }
  home.mask |= mask_of(joiner);
  if (auto it = rooms_.find(inbox); it != rooms_.end()) it->second->mask = home.mask;
  out.cut = cut();
  out.inbox_last_kept = home.inbox_last_kept();
  if (home.known) out.memberships = home.known->memberships;
  return out;
}

void Homes::leave_user(const Name& user, ShardIndex leaver) {
  uint32_t index = find_user(user);
  if (index == kNone) return;
  UserHome& home = users_[index];
  if (home.loading()) {  // behind the joins that wait for the record too
    home.known->when_loaded.push_back({[this, user, leaver](UserHome&) { leave_user(user, leaver); }, false});
    return;
  }
  home.mask &= ~mask_of(leaver);
  if (auto it = rooms_.find(shard_.inbox_id(user)); it != rooms_.end()) it->second->mask = home.mask;
  drop_user_if_unused(index);
}

void Homes::may_gain(const Name& user, RoomId room, Answer<Code> answer) {
  with_user(user, [this, room, answer](UserHome& home) {
    Code code = home.load_failed() ? Code::storage_unavailable : Code::ok;
    if (code == Code::ok && home.known) {
      const auto& list = home.known->memberships;
      bool there = std::any_of(list.begin(), list.end(), [&](const Membership& m) { return m.room == room; });
      if (!there && list.size() >= shard_.config().limits.rooms_per_user) code = Code::limit_exceeded;
    }
    answer(shard_, code);
  });
}

// A user whom nobody hosts is forgotten once the inbox is settled: the store then knows all that memory knew.
void Homes::drop_user_if_unused(uint32_t index) {
  UserHome& home = users_[index];
  if (home.mask || home.loading() || rooms_.contains(shard_.inbox_id(home.user))) return;
  user_index_.erase(home.user.hash(), index);
  users_.drop(index);
}

void Homes::membership_changed(const Name& user, Membership membership, bool added, InboxEvent event) {
  with_user(
      user,
      [this, membership = std::move(membership), added, event = std::move(event)](UserHome& home) {
        auto& list = home.made_known().memberships;
        std::erase_if(list, [&](const Membership& m) { return m.room == membership.room; });
        if (added) list.push_back(membership);
        publish_inbox(event);
      },
      true);
}

// ---- reading ----

void Homes::read(const Name& room_name, const ReadRequest& request,
                 Answer<std::shared_ptr<const ReadAnswer>> answer) {
  shard_.metrics().reads++;
  with_room(request.room, room_name,
            [this, request, answer](Room& room) { read_loaded(room, request, answer); });
}

// First refs on the tail's part, then the store for what lies below it: whatever the tail drops meanwhile is
// held.
void Homes::read_loaded(Room& room, const ReadRequest& wanted,
                        Answer<std::shared_ptr<const ReadAnswer>> answer) {
  ReadRequest request = wanted;
  request.upto = std::min(request.upto, shard_.barrier());
  request.after = std::max(request.after, room.trimmed_through);
  auto out = std::make_shared<ReadAnswer>();
  out->trimmed_through = room.trimmed_through;
  if (request.changes) room.tail.collect_changes(shard_.barrier(), out->changes);
  Sequence first = room.tail.first();
  bool store_needed = request.after + 1 < first && request.upto > request.after;
  if (!request.newest && !store_needed) {
    out->more =
        !room.tail.collect(request.after, request.upto, request.max_events, request.max_bytes, out->events);
    return answer(shard_, std::move(out));
  }
  std::vector<EventRef> tail;
  room.tail.collect(std::max(request.after, first - 1), request.upto, UINT32_MAX, UINT64_MAX, tail);
  if (request.newest) {
    size_t keep = std::min<size_t>(tail.size(), request.max_events);
    bool cut_off = keep < tail.size();
    tail.erase(tail.begin(), tail.end() - static_cast<ptrdiff_t>(keep));
    if (cut_off || keep == request.max_events || !store_needed) {
      out->events = std::move(tail);
      out->more = cut_off || (store_needed && keep == request.max_events);
      return answer(shard_, std::move(out));
    }
    request.max_events -= static_cast<uint32_t>(keep);
  }
  request.upto = std::min(request.upto, first - 1);
  room.busy++;
  shard_.metrics().store_reads++;
  shard_.use_history([this, request, wanted, answer, tail = std::move(tail), changes = out->changes] {
    shard_.history().read(request, shard_.from_history<std::shared_ptr<
                                       const ReadAnswer>>([answer, tail, changes, wanted](
                                                              Shard& shard, std::shared_ptr<const ReadAnswer>
                                                                                stored) mutable {
      shard.homes().store_read_done(wanted, {std::move(tail), std::move(changes)}, std::move(stored), answer);
    }));
  });
}

void Homes::store_read_done(const ReadRequest& wanted, OfTail of_tail,
                            std::shared_ptr<const ReadAnswer> stored,
                            const Answer<std::shared_ptr<const ReadAnswer>>& answer) {
  Room& room = *rooms_.at(wanted.room);
  room.busy--;
  if (stored->failed) return answer(shard_, std::move(stored));
  room.trimmed_through = std::max(room.trimmed_through, stored->trimmed_through);
  bool cut_off = stored->more && !wanted.newest;
  if ((of_tail.events.empty() || cut_off) && of_tail.changes.empty())
    return answer(shard_, std::move(stored));
  auto out = std::make_shared<ReadAnswer>(*stored);
  for (MessageChange& change : of_tail.changes) out->changes.push_back(std::move(change));
  if (cut_off) return answer(shard_, std::move(out));
  for (EventRef& event : of_tail.events) {
    if (out->events.size() >= wanted.max_events) {
      out->more = true;
      break;
    }
    out->events.push_back(std::move(event));
  }
  answer(shard_, std::move(out));
}

// ---- the tick ----

Millis Homes::next_deadline() const {
  Millis next = sweep_bucket_ > 0 ? shard_.now() : next_sweep_;
  if (!timed_.empty() || !waiting_inbox_.empty()) next = std::min(next, shard_.now() + kTimerStepMs);
  for (const auto& [at, id] : reloads_) next = std::min(next, at);
  for (const auto& [at, user] : user_reloads_) next = std::min(next, at);
  return next;
}

void Homes::run_timers() {
  Millis now = shard_.now();
  publish_waiting();
  for (size_t i = 0; i < reloads_.size();) {
    if (reloads_[i].first > now) {
      i++;
      continue;
    }
    RoomId id = reloads_[i].second;
    reloads_.erase(reloads_.begin() + static_cast<ptrdiff_t>(i));
    load(*rooms_.at(id));
  }
  for (size_t i = 0; i < user_reloads_.size();) {
    if (user_reloads_[i].first > now) {
      i++;
      continue;
    }
    Name user = user_reloads_[i].second;
    user_reloads_.erase(user_reloads_.begin() + static_cast<ptrdiff_t>(i));
    load_user(users_[find_user(user)]);
  }
  if (now >= next_timed_ && !timed_.empty()) {
    next_timed_ = now + kTimerStepMs;
    std::erase_if(timed_, [this](RoomId id) {
      auto it = rooms_.find(id);
      return it == rooms_.end() || !room_timers(*it->second);
    });
  }
  if (sweep_bucket_ > 0 || now >= next_sweep_) sweep();
}

// Forgets rooms that nobody reads and whose events are settled, and keeps all tails within the shard's
// budget. A round takes as many ticks as there are thousands of rooms.
void Homes::sweep() {
  if (sweep_bucket_ == 0) {
    next_sweep_ = shard_.now() + kSweepMs;
    tail_bytes_ = 0;
  }
  std::vector<RoomId> unused;
  uint32_t looked = 0;
  for (; sweep_bucket_ < rooms_.bucket_count() && looked < kSweepRooms; sweep_bucket_++, looked++) {
    for (auto it = rooms_.begin(sweep_bucket_); it != rooms_.end(sweep_bucket_); ++it, looked++) {
      Room& room = *it->second;
      if (unused_since(room, shard_.now() - std::min(shard_.now(), kRoomIdleMs))) {
        unused.push_back(room.id);
        continue;
      }
      tail_bytes_ += room.tail.bytes();
      Sequence durable = shard_.durability().durable();
      while (tail_bytes_ > shard_.engine().bounds().tail_bytes_per_shard && !room.tail.empty() &&
             room.tail.events().front()->sequence() <= durable) {
        tail_bytes_ -= room.tail.events().front()->size();
        room.tail.drop_front();
      }
    }
  }
  if (sweep_bucket_ >= rooms_.bucket_count()) {
    sweep_bucket_ = 0;
    tail_bytes_told_ = tail_bytes_;
  }
  for (RoomId id : unused) {
    shard_.metrics().rooms_forgotten++;
    Name name = rooms_.at(id)->name;
    rooms_.erase(id);
    if (!is_inbox(name)) continue;
    inbox_count_--;
    uint32_t user = find_user(Name(name.tenant(), name.text().substr(1)));
    if (user != kNone) drop_user_if_unused(user);
  }
}

bool Homes::unused_since(const Room& room, Millis since) const {
  bool inbox = room.kind == RoomKind::inbox;
  bool used = room.busy || !room.unsettled.empty() || !room.present.empty() || !room.typing.empty() ||
              !room.held.empty() || !room.loaded || !room.when_loaded.empty() || (room.mask && !inbox);
  bool unwritten = room.marks && (!room.marks->open.empty() || !room.marks->unwritten.empty() ||
                                  room.marks->written_by > shard_.durability().durable());
  return !used && !unwritten && room.idle_since <= since;
}

}  // namespace twinwire
