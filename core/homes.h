// Homes: the rooms and users whose home is this shard. Home decides: who may, in which order, once; then it
// claims its place in the ring. It keeps tails for readers, settles acks as the writer passes, and tells
// presence and typing. Not here: sessions and what they are sent (sessions.h), the commands themselves
// (commands_*.cc). The shard's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/command.h"
#include "core/history.h"
#include "core/index.h"
#include "core/ring.h"
#include "core/room.h"
#include "core/slab.h"

namespace twinwire {

class Shard;
template <typename T>
class Answer;

// What a joiner's shard learns of a room. `cut` is J: everything the room publishes later is above it.
struct JoinAnswer {
  Code code = Code::ok;
  Sequence cut;
  Sequence last_kept;
  Sequence trimmed_through;
  Sequence readable_from;  // reads of this user start here
  RoomKind kind = RoomKind::open;
  Rights rights;
  bool stateful = false;  // somebody types there, or shows something
  bool followed = false;  // Sessions::follow_by_command: the stream had the room already
  static JoinAnswer failed(Code code) {
    JoinAnswer answer;
    answer.code = code;
    return answer;
  }
};

struct UserAnswer {
  Code code = Code::ok;
  Sequence cut;
  Sequence inbox_last_kept;
  std::vector<Membership> memberships;
};

// How sessions of one shard came and went in a room, told once per tick.
struct PresenceDelta {
  RoomId room;
  Name room_name;
  Name user;
  int32_t sessions = 0;
};

// Typing and presence as they are, for a session that skipped some.
struct RoomState {
  RoomId room;
  std::string typing_json;  // data of a `typing` event, empty if nobody types
  bool anyone_types = false;
  std::string presence_json;  // data of a `presence.diff` with the count
  std::string media_json;     // data of a `media.state` with all who show something; empty if nobody ever did
  bool anyone_shows = false;
  std::string receipts_json;  // data of a `receipt.diff` with the newest, empty if there are none
};

// A message with its newest change. `created` is empty where the room has no such message.
struct FoundMessage {
  EventRef created, change;
  bool failed = false;  // the store could not be read
};

class Homes {
 public:
  explicit Homes(Shard& shard);
  ~Homes();

  // ---- asked by sessions, anywhere ----
  // What makes a stream follow a room.
  enum class JoinBy : uint8_t {
    name,        // it named the room: whoever may read it
    membership,  // the user's list names it: only as long as the user is a member
    observer,    // an operator's stream: any
  };
  void join_room(RoomId room, const Name& name, const Identity& who, ShardIndex joiner, JoinBy by,
                 Answer<JoinAnswer> answer);
  void leave_room(RoomId room, ShardIndex leaver);
  void join_user(const Identity& who, ShardIndex joiner, Answer<UserAnswer> answer);
  // The same at once, where the user's list is in memory or never was anywhere; else nothing has been done.
  std::optional<UserAnswer> join_known_user(const Identity& who, RoomId inbox, ShardIndex joiner);
  void leave_user(const Name& user, ShardIndex leaver);
  // Whether the user's list has a place for this room, or holds it already; runs on the user's home.
  // limit_exceeded, or storage_unavailable where the list cannot be read. Two rooms that ask at once may both
  // be told yes: the bound is kept to within what is asked at the same time.
  void may_gain(const Name& user, RoomId room, Answer<Code> answer);
  void read(const Name& room_name, const ReadRequest& request,
            Answer<std::shared_ptr<const ReadAnswer>> answer);
  void presence(std::vector<PresenceDelta> deltas);
  RoomState room_state(RoomId room);
  void trimmed(RoomId room, Sequence trimmed_through);

  // ---- used by commands at home ----
  // What this identity may do in the room: of an open room what the token grants, or auth.default_rights; of
  // a closed or direct one by membership.
  Rights rights(const Identity& who, const Room& room) const;
  // The check of every command and join. `forbidden`, in the same words for a room that does not exist and
  // one that is closed to `who`. Right::none is always there.
  Result<void> may(const Identity& who, const Room& room, Right right) const;
  // Runs `use` with the room, loaded from the store if need be (then later). Inboxes included.
  void with_room(RoomId id, const Name& name, std::function<void(Room&)> use);
  // The room where with_room() would use it at once, else nullptr.
  Room* loaded_room(RoomId id) {
    auto it = rooms_.find(id);
    return it == rooms_.end() || !it->second->loaded ? nullptr : it->second.get();
  }
  // The same for a command; refused when too many wait for that already.
  void with_room(RoomId id, const Name& name, const std::shared_ptr<Command>& command,
                 std::function<void(Room&)> use);
  // Where the store cannot say what it knows of the user, `use` sees load_failed(), or with `must` waits.
  void with_user(const Name& user, std::function<void(UserHome&)> use, bool must = false);
  // Claims a place for the event and publishes it: patch, slot, tail. No claim: overloaded or
  // storage_unavailable.
  Result<EventRef> publish(Room& room, EventDraft draft, Ring::Priority priority = Ring::Priority::normal);
  // Publishes a command's event: idempotency first, then the claim; answers now or when it is stored. The
  // answer holds the event's id, and with `data` the fields of the event's data too ({"message":…}).
  // With `refusal` only a retry is answered: what is new is refused with it.
  enum class AnswerShape : uint8_t { id, data };
  // True: the command has been put behind an earlier one of its sender (or refused), and runs again later.
  bool waits_behind(Room& room, Command& command);
  void publish_command(Room& room, Command&& command, EventDraft&& draft, AnswerShape shape,
                       const Error* refusal = nullptr);
  // True: the user's membership, or the room itself, is not stored yet, and the command is answered (with
  // `fields`) when it is.
  bool answer_when_settled(Room& room, const Name& member, Command& command, const std::string& fields);
  // The newest event's outcome answers the command, with `fields` in the answer.
  static void answer_when_stored(Room& room, Command command, std::string fields);
  // The message that `id` names, now or when the store has been read.
  void find_message(Room& room, Sequence id, std::function<void(Room&, const FoundMessage&)> then);
  // An event for one user's every session, through the inbox; runs on the user's home. Waits for room in the
  // ring, is never lost.
  struct InboxEvent {
    Name user;
    std::string type, shown_room, data;
    bool kept = true;
    EventKind kind = EventKind::event;
    Name by = {};                    // the envelope's "userId"
    SessionId exclude_session = {};  // is not told
  };
  void publish_inbox(InboxEvent event);
  // The user's list changed at the room's home: the user's home follows and tells the user's sessions.
  void membership_changed(const Name& user, Membership membership, bool added, InboxEvent event);
  // Ends all streams of the user at one place in the order, which the answer tells; 0 if there are none, or
  // if the ring is full and the place is still to come.
  enum class Ending : uint8_t { revoked, kicked };
  void end_user(const Name& user, Ending why, Answer<Sequence> answer);
  // The user is a member no longer from the event on: memory, the user's own list, typing and media follow.
  void member_gone(Room& room, const Name& user);
  void set_typing(Room& room, const Name& user, bool typing);
  void set_presence_state(Room& room, const Name& user, std::string state);
  std::string presence_list(const Room& room, uint32_t max) const;
  // Up to where `user` has received or read; false: no further than known. Told to the room, in large ones
  // gathered.
  Result<bool> set_receipt(Room& room, const Name& user, bool read, Sequence upto, SessionId from);
  // [{"userId","delivered","read"}] of at most kReceiptsListed users, the newest ones.
  std::string receipts_json(const Room& room) const;
  // {"delivered","read"} of one user.
  std::string receipt_json(const Room& room, const Name& user) const;
  Result<void> set_media(Room& room, const Name& user, uint8_t on, SessionId from);
  // The user has left the room: what they showed ends.
  void end_media(Room& room, const Name& user);
  bool presence_on(const Room& room) const;
  static std::string room_json(const Room& room, bool with_participants);

  // ---- the tick ----
  void settle();      // acks, unsaved events, tails; as far as the writer is
  void run_timers();  // typing that ends, presence to tell, rooms to drop
  bool waits_for_store() const { return !unsettled_.empty(); }
  Millis next_deadline() const;
  size_t room_count() const { return rooms_.size() - inbox_count_; }
  size_t user_count() const { return user_index_.size(); }
  size_t unsettled_count() const { return unsettled_.size(); }
  uint64_t tail_bytes() const { return tail_bytes_told_; }
  const Room* room_at(RoomId id) const {
    auto it = rooms_.find(id);
    return it == rooms_.end() ? nullptr : it->second.get();
  }
  // Where a walk over all rooms stands that is made in pieces.
  struct Walk {
    size_t bucket = 0, buckets = 0;
  };
  // Visits some of the rooms, inboxes included.
  template <typename Visit>
  Walked walk_rooms(Walk& walk, size_t pieces, Visit&& visit) const {
    bool grown = walk.buckets != 0 && walk.buckets != rooms_.bucket_count();
    if (grown) {
      walk = {};
      return Walked::anew;
    }
    walk.buckets = rooms_.bucket_count();
    for (; pieces > 0 && walk.bucket < walk.buckets; pieces--, walk.bucket++)
      for (auto it = rooms_.begin(walk.bucket); it != rooms_.end(walk.bucket); ++it) visit(*it->second);
    return walk.bucket < walk.buckets ? Walked::on : Walked::done;
  }

 private:
  Room& make_room(RoomId id, const Name& name);
  void load(Room& room);
  void loaded(RoomId id, std::unique_ptr<RoomRecord> record);
  void user_loaded(const Name& user, std::unique_ptr<UserRecord> record);
  struct OfTail {
    std::vector<EventRef> events;
    std::vector<MessageChange> changes;
  };
  void store_read_done(const ReadRequest& wanted, OfTail of_tail, std::shared_ptr<const ReadAnswer> stored,
                       const Answer<std::shared_ptr<const ReadAnswer>>& answer);
  uint32_t find_user(const Name& user) const;
  UserHome& make_user(const Name& user);
  UserHome& user_home(const Name& user);
  UserAnswer join_loaded(UserHome& home, const Identity& who, RoomId inbox, ShardIndex joiner);
  void load_user(UserHome& home);
  void drop_user_if_unused(uint32_t index);
  void read_loaded(Room& room, const ReadRequest& request, Answer<std::shared_ptr<const ReadAnswer>> answer);
  Sequence cut();
  void admit_new(Room& room, Command&& command, EventDraft&& draft, AnswerShape shape, const DedupeKey* key,
                 const Error* refusal);
  void answer_duplicate(Room& room, Command command, const DedupeEntry& entry, AnswerShape shape);
  void answer_from_store(Room& room, Command command, Sequence sequence, AnswerShape shape);
  void stored_event_read(RoomId id, const Command& command, Sequence sequence, AnswerShape shape,
                         const ReadAnswer& answer);
  void ask_store(Room& room, Command command);
  void store_answered(Room& room, const Name& sender, const IdempotencyRecord& record);
  void answer_event(const Command& command, const Event& event, bool stored, bool duplicate,
                    AnswerShape shape);
  void remember(Room& room, const DedupeKey& key, const EventRef& event);
  void settle_room(Room& room, Sequence durable);
  void settle_stored(Room& room, Unsettled& done);
  void settle_unsaved(Room& room, Unsettled& done);
  void settle_effect(Room& room, const Event& event);
  void withdraw_effect(Room& room, const Unsettled& done);
  void restore_member(Room& room, const Name& user, Sequence since);
  static void withdraw_update(Room& room, const Unsettled& done);
  void end_membership(Room& room, const Name& user, bool stored);
  void tell_user(Room& room, const Name& user, Sequence since, bool added);
  void message_read(RoomId id, Sequence message, Sequence seen, EventRef newest,
                    const std::shared_ptr<const ReadAnswer>& answer,
                    const std::function<void(Room&, const FoundMessage&)>& then);
  void tell_unsaved(Room& room, const Event& event);
  void trim_tail(Room& room, Sequence durable);
  void count_present(Room& room, const Name& user, int32_t sessions);
  void tell_presence(Room& room);
  void tell_typing(Room& room, const Name& user, bool is_typing);
  void tell_receipts(Room& room);
  void settle_marks(Room& room);
  Result<void> write_receipt(Room& room, const Name& user, uint8_t kind, Sequence upto, bool writer_only,
                             SessionId from);
  void add_marks(const Room& room, RoomState& state) const;
  Result<void> tell_media(Room& room, const Name& user, uint8_t on, SessionId from,
                          Ring::Priority priority = Ring::Priority::normal);
  bool room_timers(Room& room);
  void wants_timer(Room& room);
  void publish_waiting();
  bool try_inbox(Room& room, const InboxEvent& event);
  bool publish_inbox_soon(Room& room, const InboxEvent& event);
  void note_inbox_event(const Room& inbox);
  void forget_old_ids(Room& room);
  void sweep();
  bool unused_since(const Room& room, Millis since) const;
  void mark_unsettled(Room& room);
  void count_published(Room& room, EventClass event_class);

  Shard& shard_;
  std::unordered_map<RoomId, std::unique_ptr<Room>> rooms_;
  size_t inbox_count_ = 0;         // of rooms_
  std::vector<RoomId> unsettled_;  // rooms with events the writer has not settled
  Sequence settled_at_;            // `durable` at the last settling
  std::vector<RoomId> timed_;      // rooms with typing or presence to tell
  Slab<UserHome> users_;
  struct HashUser {
    const Slab<UserHome>* users;
    uint32_t operator()(uint32_t index) const { return users->at(index).user.hash(); }
  };
  Index<HashUser> user_index_;
  std::vector<InboxEvent> waiting_inbox_;           // the ring had no room for them yet
  std::vector<std::pair<Millis, RoomId>> reloads_;  // rooms the store could not load: tried again
  std::vector<std::pair<Millis, Name>> user_reloads_;
  uint64_t tail_bytes_ = 0;       // of all tails, as far as this round of the sweep is
  uint64_t tail_bytes_told_ = 0;  // of the last whole sweep
  Millis next_sweep_ = 0;
  size_t sweep_bucket_ = 0;  // where a round goes on; 0: none is under way
  Millis next_timed_ = 0;
};

}  // namespace twinwire
