// History: how the engine reaches what is stored, without knowing the store. Requests are answered later, by
// a call of the request's `done` on a thread of the store's; `done` only posts mail to the asking shard
// (shard.cc). Not here: tails (room.h), the writer (it reads the ring by itself). Any shard's thread calls;
// nothing here blocks or touches the disk on the caller's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/status.h"
#include "core/types.h"

namespace twinwire {

// Events of one room with after < sequence <= upto, oldest first, at most max_events and (after the first)
// max_bytes of memory. With newest = true the last ones of the range instead, still oldest first.
// Messages below the room's cleared_through are left out, and everything at or below trimmed_through.
struct ReadRequest {
  RoomId room;
  Sequence after;
  Sequence upto;
  uint32_t max_events = 256;
  uint32_t max_bytes = 256 << 10;
  bool newest = false;
  bool changes = false;  // also the newest edit or deletion of each message that the answer holds
  bool operator==(const ReadRequest&) const = default;
};

// The newest event that changed a message (`message.updated`, `message.deleted`), whatever the range read.
struct MessageChange {
  Sequence message;  // the `message.created`
  EventRef event;
};

struct ReadAnswer {
  std::vector<EventRef> events;        // outcome stored
  std::vector<MessageChange> changes;  // of several of one message the newest counts
  bool more = false;         // cut by a limit: the range holds further events (beyond, or with newest before)
  Sequence trimmed_through;  // as persisted now
  bool failed = false;       // the store could not read; nothing is known
};

enum class RoomKind : uint8_t { open, closed, direct, inbox };
enum class HistoryAccess : uint8_t { since_joined, full };

struct Member {
  Name user;
  Sequence since;  // of the member_added event
};

// Up to where one user has received and read a room (last one wins; they never go back).
struct Receipt {
  Sequence delivered, read;
};
struct UserReceipt {
  Name user;
  Receipt receipt;
};

// A room as the store knows it. `exists` is false for a room never heard of.
struct RoomRecord {
  bool exists = false;
  RoomKind kind = RoomKind::open;
  HistoryAccess history = HistoryAccess::since_joined;  // only closed rooms use it
  std::string tenant, name;                             // the room's own id
  std::string title;                                    // what people see; may be empty
  std::string created_by;
  uint64_t created_wall_ms = 0, updated_wall_ms = 0;
  Sequence trimmed_through, cleared_through;
  Sequence last_kept;  // newest kept event, or trimmed_through if that is newer; 0 if neither
  std::vector<Member> members;
  std::vector<UserReceipt> receipts;
  bool failed = false;

  // The opaque form that travels in EventDraft::room_record (kind, history, title, creator, created time).
  std::string encode() const;
  static Result<RoomRecord> decode(std::string_view bytes);
};

struct Membership {
  RoomId room;
  Name room_name;
  RoomKind kind = RoomKind::open;
  Sequence since;
};

struct UserRecord {
  std::vector<Membership> memberships;
  Sequence inbox_last_kept;
  bool failed = false;
};

// What is stored under an idempotency key. found = false: new.
struct IdempotencyRecord {
  bool found = false;
  bool failed = false;
  Sequence sequence;
  uint64_t content_hash = 0;
};

template <typename Answer>
using Done = std::function<void(Answer)>;  // called once, on any thread

class History {
 public:
  virtual ~History() = default;
  // Concurrent equal requests share one read of the disk and one set of events.
  virtual void read(const ReadRequest& request, Done<std::shared_ptr<const ReadAnswer>> done) = 0;
  // `name` names the room (tenant, text); an inbox's text begins with \x01.
  virtual void load_room(RoomId room, const Name& name, Done<std::unique_ptr<RoomRecord>> done) = 0;
  virtual void load_user(const Name& user, RoomId inbox, Done<std::unique_ptr<UserRecord>> done) = 0;
  virtual void find_idempotent(RoomId room, const Name& sender, std::string_view client_id,
                               Done<IdempotencyRecord> done) = 0;
  // False only when nothing of this kind was ever stored (filters rebuilt before the engine starts, and
  // extended by the writer before the event's outcome is set): lets a home answer "new" without I/O. Any
  // thread.
  virtual bool may_know_room(RoomId room) const = 0;
  virtual bool may_know_user(RoomId inbox) const = 0;
  virtual bool may_know_idempotent(RoomId room, const Name& sender, std::string_view client_id) const = 0;
  // How often a room was read from disk, for operators: a read that many share counts once. Any thread.
  virtual uint64_t scans() const { return 0; }
};

}  // namespace twinwire
