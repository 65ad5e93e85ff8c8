// Sessions: the sessions hosted on this shard, what they follow, and how they catch up.
//   joining → replaying → live ↔ lagging → (stream gone) detached → forgotten
// A session is fed from the ring only while live; otherwise it reads (cursor, target] from tails and store
// until it meets the live end. Opening, resuming, reading slowly and gaining a room are this one mechanism.
// Not here: rooms' own state (homes.h), bytes and sends (outbox.h).
// The shard's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/history.h"
#include "core/homes.h"
#include "core/index.h"
#include "core/outbox.h"
#include "core/slab.h"
#include "core/tickets.h"
#include "core/transport.h"
#include "core/types.h"

namespace twinwire {

class Shard;

enum class SessionState : uint8_t { joining, replaying, live, lagging, detached };
std::string_view word_of(SessionState state);

// What a session needs only while it is not live, or has no stream.
struct Catchup {
  StreamRequest request;
  uint32_t joins_due = 0;  // answers of homes that are still out
  Sequence cut;            // T: nothing is sent before the shard has consumed it
  bool connected_told = false;
  Sequence base;  // where the stream continued from
  bool resumed = false;
  std::vector<std::string> forbidden;
  uint32_t rooms_left_out = 0;  // memberships that the stream has no place for
  // one read over all rooms
  bool reading = false;
  bool newest = false;  // the read of history=N
  uint32_t reads_due = 0;
  Sequence target;  // what the read goes up to
  struct Part {
    Name room;
    RoomId id;
    Sequence after;
    std::shared_ptr<const ReadAnswer> answer;
  };
  std::vector<Part> parts;
  Sequence pushed_through;  // once the outbox is out, the cursor is here
  bool pushed = false;
  std::vector<EventRef> held;  // live events above `target`, to go behind the answer
  bool holding = false;
  Sequence inbox_last_kept;
  std::vector<std::pair<RoomId, Sequence>> told_trimmed;  // and up to where
  bool resume_open = false;  // continued from a cursor, and not yet counted by where the rest came from
  bool read_tail = false, read_store = false;
  bool state_skipped = false;  // typing or presence passed while not live
  Millis retry_at = 0;
  bool from_earliest = false;
  // `connected` is in the stream's bytes; with history=N it goes out behind that read, whose base it names.
  bool begun() const { return connected_told && !newest; }
  std::string poll_frames;  // connected, reset: what goes into a poll's answer before the events
};

// A session whose stream is gone.
struct Detached {
  Millis since = 0;
  bool presence_given_up = false;
  std::vector<PresenceDelta> present;  // where it still counts as present
};

struct Session {
  SessionId id;
  Name user;
  Sequence cursor;  // exact unless live; live: everything the shard has consumed and flushed
  uint32_t connection = kNone;
  uint32_t subscriptions = kNone;  // list head
  uint32_t next_of_user = kNone;
  uint32_t local_user = kNone;
  uint32_t generation = 0;  // of this object: answers to an earlier one with the same id are ignored
  SessionState state = SessionState::joining;
  bool observer : 1 = false;
  bool queued : 1 = false;  // in the list of those to be moved on
  uint16_t heartbeat_seconds = 15;
  uint32_t opened_ds = 0;       // tenths of a second, for operators
  uint32_t told_expires_s = 0;  // of a session of polls: the token whose end it was told
  std::unique_ptr<Catchup> catchup;
  std::unique_ptr<Detached> detached;
};

// One session follows one room.
struct Subscription {
  uint32_t session = kNone;
  uint32_t room = kNone;  // LocalRoom
  uint32_t next_of_session = kNone;
  uint32_t place = 0;        // in LocalRoom::subscriptions
  uint64_t since : 58 = 0;   // what lies below is not this stream's: gained later, or closed before
  uint64_t active : 1 = 0;   // delivered to; not yet while a command that gains the room is under way
  uint64_t present : 1 = 0;  // counted in the room's presence
  uint64_t gained : 1 = 0;   // by the inbox: its event tells the client, not `connected`
  uint64_t blind : 1 = 0;    // without the right `presence`: is told nobody's and counts as nobody
};

// A room that sessions of this shard follow.
struct LocalRoom {
  RoomId id;
  Name name;
  Sequence last_kept;  // newest kept event up to what the shard consumed
  Sequence cut;        // J of the shard's own join
  std::vector<uint32_t> subscriptions;
  uint32_t asks = 0;    // joins under way
  uint16_t tenant = 0;  // its place among those that are counted (tenants.h)
  RoomKind kind = RoomKind::open;
  bool joined = false;
  bool leaving = false;   // waits in the list of leaves of this tick
  bool stateful = false;  // somebody has typed or shown something: a fresh stream asks
};

// The sessions of one user here; stands for their subscription to the user's inbox.
struct LocalUser {
  Name user;
  uint32_t sessions = kNone;  // list by next_of_user
  uint32_t asks = 0;          // joins under way: no leave is told before they are answered
};

struct Released {
  bool found = false;
  uint32_t told_expires_s = 0;
  std::vector<PresenceDelta> present;
};

class Sessions {
 public:
  explicit Sessions(Shard& shard);
  ~Sessions();

  // ---- from net ----
  void open(ConnectionId connection, StreamRequest request);
  void heartbeat(ConnectionId connection);
  void end_stream(ConnectionId connection, std::string_view code, std::string_view reason, int close_code,
                  bool reconnect, uint32_t after_ms);
  // Says `bye` to the streams of a user hosted here, or to one session's; how many there were.
  struct Kick {
    Name user;          // none where a session is named
    SessionId session;  // none: all of the user's
    std::string reason;
    bool reconnect = true;
  };
  uint32_t kick(const Kick& kick);
  void connection_closed(ConnectionId connection);
  uint32_t on_connection(ConnectionId connection) const;
  Session& at(uint32_t index) { return sessions_[index]; }
  uint32_t find(SessionId id) const;

  // ---- who its stream belongs to, as its token says (sessions_identity.cc) ----
  Identity identity(uint32_t session) const;
  // A newer token of the same user: what it allows holds at once. False: too many different grants.
  bool renew(uint32_t session, const Identity& who);
  // An event to this session's stream alone; nothing where it has none. A poll that waits is answered with
  // it.
  void tell_session(uint32_t session, std::string_view type, std::string_view data);

  // ---- commands of a session (its host runs them) ----
  // Follows a room from now on; `then` gets the cut, or why not.
  void follow_by_command(uint32_t session, const Name& room, std::function<void(Shard&, JoinAnswer)> then);
  // The command was refused after all: the stream loses the room again, unless something else gave it to it.
  void gained_in_vain(SessionId session, RoomId room, Sequence cut);
  std::string info_json(uint32_t session);

  // ---- the directory: sessions whose id is at home here ----
  void take_over(SessionId id, const Name& user, ShardIndex new_host, Answer<Released> answer);
  ShardIndex located(SessionId id) const;
  void moved_on(SessionId id, ShardIndex new_host, Released released, const Answer<Released>& answer);
  void came_home(SessionId id);
  void forget_moved(SessionId id, ShardIndex host);
  Released release(SessionId id, const Name& user);

  // ---- the tick ----
  // Delivers one event of the ring to this shard's readers. False: the budget ended inside the member list;
  // call again with the same slot.
  bool deliver(const Event& event, uint32_t& budget);
  void flushed(const FlushResult& result);
  void move_on();  // sessions that can go a step further
  void answer_polls();
  void run_timers();
  void send_leaves();
  void send_presence();
  bool runnable() const { return !queue_.empty() || !polls_ready_.empty(); }
  bool waits_for_ring() const { return !later_.empty() || !activations_.empty(); }
  bool paused() const { return paused_room_ != kNone; }
  Millis next_deadline() const;

  uint32_t session_count() const { return sessions_.live(); }
  struct Counts {
    uint32_t sse = 0, ws = 0, poll = 0, tails = 0;
  };
  Counts counts() const { return counts_; }
  uint32_t in_state(SessionState state) const { return by_state_[static_cast<size_t>(state)]; }
  uint32_t readers_of(RoomId room) const;
  // Some of the sessions, for a walk in pieces; `walk` begins as {}. An entry that moves in the index
  // meanwhile may be missed.
  template <typename Visit>
  Walked walk_sessions(IndexWalk& walk, uint32_t places, Visit&& visit) const {
    return by_id_.walk(walk, places, [&](uint32_t index) { visit(sessions_[index]); });
  }
  uint32_t rooms_followed(const Session& session) const;
  bool follows(const Session& session, RoomId room) const;

 private:
  friend class SessionsForTest;  // tests/sim
  // opening (sessions_open.cc)
  void start(ConnectionId connection, uint32_t generation, StreamRequest request, SessionId id, bool resumed,
             std::vector<PresenceDelta> present);
  uint32_t make_session(SessionId id, const Name& user);
  void user_answered(uint32_t session, const UserAnswer& answer);
  std::vector<Membership> memberships_followed(Catchup& catchup, const UserAnswer& answer,
                                               const std::vector<Name>& asked) const;
  void told_by_list(uint32_t session, RoomId room);
  Name room_name(std::string_view tenant, std::string_view text) const;
  void follow(uint32_t session, const Name& room, Sequence since, Homes::JoinBy by);
  void ask_join(uint32_t session, uint32_t room, Homes::JoinBy by,
                std::function<void(Shard&, uint32_t, const JoinAnswer&)> then);
  void join_answered(uint32_t session, const Name& room, const JoinAnswer& answer);
  void connected(uint32_t session);
  Sequence base_cursor(Session& session, std::string& reset_reason);
  void settle_presence(uint32_t session);
  void activate(uint32_t session, uint32_t room, const std::function<void(Shard&, JoinAnswer)>& then,
                JoinAnswer answer);
  // The session's handle that survives its end: find again by id and generation.
  struct Handle {
    SessionId id;
    uint32_t generation;
  };
  Handle handle(uint32_t session) const { return {sessions_[session].id, sessions_[session].generation}; }
  uint32_t find(const Handle& handle) const;
  SessionId new_session_id();
  // telling one stream alone (sessions.cc)
  void tell_connected(uint32_t session, Sequence base);
  void tell_reset(Session& session, std::string_view reason, const std::vector<std::string>& rooms,
                  Sequence at);
  void tell(Session& session, std::string_view type, std::string_view data, bool with_id, Sequence id);
  void push_frame(ConnectionId connection, const WireStyle& style, std::string_view type,
                  std::string_view json, std::string_view id);
  const std::string& make_json(Form form, const WireStyle& style, std::string_view type,
                               std::string_view tenant, std::string_view data);
  void say_bye(ConnectionId connection, std::string_view code, std::string_view reason, int close_code,
               bool reconnect, uint32_t after_ms);
  // catching up (sessions_catchup.cc)
  void queue(uint32_t session);
  void step(uint32_t session);
  void read_history(uint32_t session);
  void read_rooms(uint32_t session);
  void ask_reads(uint32_t session, uint32_t max_events);
  void read_done(uint32_t session);
  void history_done(uint32_t session);
  bool any_failed(uint32_t session);
  void tell_trimmed(Session& session);
  std::vector<EventRef> merge(uint32_t session, Sequence& bound, uint32_t max_events);
  void push_read(uint32_t session, const std::vector<EventRef>& events);
  bool still_follows(uint32_t session, const Event& event) const;
  void go_live(uint32_t session);
  void fall_back(uint32_t session, Sequence cursor);
  Sequence live_cursor(uint32_t session) const;
  void tell_states(uint32_t session, bool fresh);
  void ask_state(uint32_t session, uint32_t local_room, bool fresh);
  void tell_room_state(uint32_t session, const Name& room, const RoomState& state, bool fresh);
  // delivery (sessions_deliver.cc)
  static bool wants(const Session& session, const Event& event);
  void fetch_ahead(const LocalRoom& room, size_t at) const;
  void deliver_one(uint32_t session, const Event& event);
  void deliver_inbox(const Event& event);
  void gained(uint32_t session, const Event& event);
  void removed(uint32_t local_room, const Event& event);
  void hold(Session& session, const Event& event);
  void answer_poll(uint32_t session);
  // identity (sessions_identity.cc)
  bool has_right(uint32_t session, const LocalRoom& room, Right right) const;
  void drop_forbidden(uint32_t session, uint32_t room);
  void look_at_tickets();
  uint32_t expiry_to_tell(uint32_t session) const;
  void tell_poll_expiry(uint32_t session);
  void end_all_of(uint32_t local_user, const Event& event);
  // following (sessions_deliver.cc)
  uint32_t local_room(RoomId id, const Name& name);
  uint32_t find_room(RoomId id) const;
  uint32_t find_local_user(const Name& user) const;
  uint32_t subscription_of(uint32_t session, uint32_t room) const;
  uint32_t subscribe(uint32_t session, uint32_t room, Sequence since, bool active);
  void unsubscribe(uint32_t session, uint32_t room);
  void drop_room_if_unused(uint32_t room);
  void count_present(uint32_t session, uint32_t subscription);
  void queue_presence(PresenceDelta delta) { presence_.push_back(std::move(delta)); }
  // ending (sessions_end.cc)
  void detach(uint32_t session, bool keep_presence);
  void give_up_presence(Detached& detached);
  void forget(uint32_t session);
  void unlink_user(uint32_t session);
  void count_stream(const Session& session, Form form, int by);
  void set_state(Session& session, SessionState state);
  void count_resume(Catchup& catchup);
  void count_caught_up(const Session& session, uint64_t events);

  Shard& shard_;
  Slab<Session> sessions_;
  Slab<Subscription> subscriptions_;
  Slab<LocalRoom> rooms_;
  Slab<LocalUser> users_;
  struct HashSession {
    const Slab<Session>* slab;
    uint32_t operator()(uint32_t i) const { return static_cast<uint32_t>(slab->at(i).id.low); }
  };
  struct HashRoom {
    const Slab<LocalRoom>* slab;
    uint32_t operator()(uint32_t i) const { return static_cast<uint32_t>(slab->at(i).id.low); }
  };
  struct HashUser {
    const Slab<LocalUser>* slab;
    uint32_t operator()(uint32_t i) const { return slab->at(i).user.hash(); }
  };
  Index<HashSession> by_id_;
  Index<HashRoom> room_index_;
  Index<HashUser> user_index_;
  struct Moved {
    ShardIndex host{};
    bool busy = false;
    std::deque<std::function<void()>> waiting;
  };
  std::unordered_map<SessionId, Moved> moved_;
  std::vector<Handle> queue_, moving_;  // sessions that can go a step
  std::vector<Handle> later_;           // sessions that wait for their cut, or to try the store again
  std::vector<Handle> polls_ready_;
  std::vector<RoomId> leaves_;
  std::vector<Name> user_leaves_;
  std::vector<PresenceDelta> presence_;
  std::deque<std::pair<Millis, SessionId>> detached_;  // in order of `since`: presence ends, then the session
  std::deque<std::pair<Millis, SessionId>> kept_;
  // A heap, soonest first; polls answered before stay in it until their time.
  struct PollDeadline {
    Millis at;
    Handle session;
    bool operator<(const PollDeadline& other) const { return at > other.at; }
  };
  std::priority_queue<PollDeadline> poll_deadlines_;
  struct Activation {
    Handle session;
    RoomId room;
    Sequence cut;
    std::function<void(Shard&, JoinAnswer)> then;
    JoinAnswer answer;
  };
  std::vector<Activation> activations_;  // rooms gained by command, until their cut is consumed
  uint32_t next_generation_ = 1;
  // What a frame for one stream is made in, kept for its memory.
  std::string data_, json_, frame_;
  // a delivery that paused inside a member list
  uint32_t paused_room_ = kNone;
  uint32_t paused_at_ = 0;
  Counts counts_;
  const bool with_tickets_;  // auth.mode jwt
  Tickets tickets_;
  std::array<uint32_t, 5> by_state_{};
};

}  // namespace twinwire
