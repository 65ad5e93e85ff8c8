// Room: one room as its home shard knows it: readers' mask, tail, dedupe, pending acks, members, presence,
// typing. Plain state with small operations; what happens when is decided in homes.cc. The home shard's
// thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/command.h"
#include "core/event.h"
#include "core/history.h"
#include "core/present.h"
#include "core/receipts.h"
#include "core/types.h"

namespace twinwire {

class Homes;

// The newest kept events of a room, oldest first: everything from first() on is here, so a read below asks
// the store.
class Tail {
 public:
  void append(EventRef event) {
    bytes_ += event->size();
    events_.push_back(std::move(event));
  }
  bool empty() const { return events_.empty(); }
  // Everything kept with a sequence >= first() is in the tail, also where that is nothing.
  Sequence first() const { return floor_ + 1; }
  const std::deque<EventRef>& events() const { return events_; }
  uint64_t bytes() const { return bytes_; }
  void drop_front() {
    floor_ = events_.front()->sequence();
    bytes_ -= events_.front()->size();
    events_.pop_front();
  }
  // Unsaved events leave; the order of the rest stays.
  template <typename Predicate>
  void remove_if(Predicate predicate) {
    std::erase_if(events_, [&](const EventRef& event) {
      if (!predicate(event)) return false;
      bytes_ -= event->size();
      return true;
    });
  }
  const Event* find(Sequence sequence) const;
  // Edits and deletions up to `upto`, oldest first, several of one message included.
  void collect_changes(Sequence upto, std::vector<MessageChange>& out) const;
  void set_floor(Sequence floor) { floor_ = std::max(floor_, floor); }
  // Events with after < sequence <= upto, oldest first; false when a limit cut them.
  bool collect(Sequence after, Sequence upto, uint32_t max_events, uint64_t max_bytes,
               std::vector<EventRef>& out) const;

 private:
  std::deque<EventRef> events_;
  Sequence floor_;  // everything kept at or below is settled in the store (or was never there)
  uint64_t bytes_ = 0;
};

// Identifies a command to be done once: hash of (sender, client id), 128 bits.
struct DedupeKey {
  uint64_t high = 0, low = 0;
  bool operator==(const DedupeKey&) const = default;
};
struct DedupeKeyHash {
  size_t operator()(const DedupeKey& key) const { return key.low; }
};

struct DedupeEntry {
  Sequence sequence;
  uint64_t content_hash = 0;
  EventRef event;                // until it is settled
  std::vector<Command> waiting;  // retries of a pending one: they get the first's outcome
};

// A kept event that the writer has not settled yet, and the command that waits for it, if one does.
struct Unsettled {
  EventRef event;
  std::unique_ptr<Command> command;  // null: accepted at once, or no command's
  std::vector<Command> others;       // that found its effect, and may say so once it is stored
  DedupeKey dedupe;
  bool has_dedupe = false;
  bool answer_with_data = false;  // see Homes::AnswerShape
  Sequence since_before;          // of the membership that was before, restored if the event was in vain
  std::string record_before;      // room_updated: the room's record until then
};

struct Typist {
  Name user;
  Millis until = 0;
};

// How busy a room is: events of the last whole ten seconds and of those that run. For operators.
class Activity {
 public:
  void count(Millis now) {
    turn(now);
    current_++;
  }
  uint64_t total() const { return total_ + current_; }
  // Events per second over the last ten.
  double per_second(Millis now) const {
    Activity at = *this;
    at.turn(now);
    double rest = 1.0 - static_cast<double>(now % kWindowMs) / kWindowMs;
    return (at.previous_ * rest + at.current_) * 1000.0 / kWindowMs;
  }

 private:
  static constexpr Millis kWindowMs = 10000;
  void turn(Millis now) {
    auto window = static_cast<uint32_t>(now / kWindowMs);
    if (window == window_) return;
    previous_ = window == window_ + 1 ? current_ : 0;
    total_ += current_;
    current_ = 0;
    window_ = window;
  }
  uint64_t total_ = 0;  // without those of the window that runs
  uint32_t window_ = 0, previous_ = 0, current_ = 0;
};

// What users say of themselves in a room beside presence. A room has it from the first that says something.
struct Marks {
  static constexpr uint8_t kDelivered = 1, kRead = 2;
  static constexpr uint8_t kCamera = 1, kMic = 2, kScreen = 4;
  Receipts receipts;
  std::unordered_map<Name, uint8_t>
      untold;  // of a large room: whose receipts are to be told (kDelivered, kRead)
  Millis told_at = 0;
  std::deque<EventRef> open;  // markers that the writer has not settled yet
  // Whose receipts the store gave up (kDelivered, kRead): written again when it takes something.
  std::unordered_map<Name, uint8_t> unwritten;
  Sequence written_by;                      // once `durable` is here the store has all others
  std::unordered_map<Name, uint8_t> media;  // who has something on (kCamera, kMic, kScreen)
  // Nothing of the receipts is left to be told or written.
  bool written() const { return untold.empty() && open.empty() && unwritten.empty(); }
};

struct Room {
  RoomId id;
  Name name;
  RoomKind kind = RoomKind::open;
  bool loaded = false;
  bool existed = false;  // the store knew it, or it was created since
  HistoryAccess history = HistoryAccess::since_joined;
  uint16_t tenant = 0;  // its place among those that are counted (tenants.h)
  std::string title, created_by;
  uint64_t created_wall_ms = 0, updated_wall_ms = 0;
  uint64_t mask = 0;  // shards with readers
  Sequence last_kept, trimmed_through;
  Tail tail;
  std::deque<Unsettled> unsettled;
  std::unordered_map<DedupeKey, DedupeEntry, DedupeKeyHash> dedupe;
  std::deque<DedupeKey> dedupe_order;          // settled ones leave oldest first
  std::unordered_map<Name, Sequence> members;  // user → since
  // Commands of one sender that wait for the store's word on an earlier id.
  std::unordered_map<Name, std::deque<Command>> held;
  std::vector<std::function<void(Room&)>> when_loaded;
  bool in_unsettled = false, in_timed = false;  // whether the lists of homes.h name this room

  PresentUsers present;
  enum class Change : uint8_t { joined, left, updated };
  std::map<std::string, Change> presence_changes;  // not yet told, by user
  Millis presence_told_at = 0;
  std::vector<Typist> typing;
  bool typing_dirty = false;  // a change was shed and must still be told
  std::unique_ptr<Marks> marks;
  Sequence last_change;  // newest event of this run that changed a message

  uint32_t busy = 0;  // reads and look-ups under way: not to be dropped
  Millis idle_since = 0;
  Activity activity;

  bool is_member(const Name& user) const { return members.contains(user); }
  // Of a closed room: its creator while a member, else who has been in it for longest; of a backend's nobody.
  bool managed_by(const Name& user) const;
  RoomRecord record() const;  // what the store keeps of it
  void apply(const RoomRecord& record);
  Marks& made_marks() {
    if (!marks) marks = std::make_unique<Marks>();
    return *marks;
  }
  // From where this user may read (closed rooms show nothing from before the membership).
  Sequence readable_from(const Name& user) const;
};

// A user as the user's home shard knows it. Small: there is one per connected user. The Room of the inbox
// exists only while it holds events or is read.
struct UserHome {
  // What only users have whom the store knows, or who are members of a room. The budget of a connection
  // (limits.h) has no place for it.
  struct Known {
    std::vector<Membership> memberships;
    struct Waiting {
      std::function<void(UserHome&)> use;
      bool must;  // waits until the store can be read; the others are told that it cannot
    };
    std::vector<Waiting> when_loaded;
    Sequence inbox_last_kept;
    bool loading = false;  // while the store is asked
    bool load_failed = false;
  };
  Name user;
  uint64_t mask = 0;  // shards that host sessions of this user
  std::unique_ptr<Known> known;

  Known& made_known() {
    if (!known) known = std::make_unique<Known>();
    return *known;
  }
  bool loading() const { return known && known->loading; }
  bool load_failed() const { return known && known->load_failed; }
  Sequence inbox_last_kept() const { return known ? known->inbox_last_kept : Sequence{0}; }
};
static_assert(sizeof(UserHome) == 24);

}  // namespace twinwire
