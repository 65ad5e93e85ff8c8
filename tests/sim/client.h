// Client: one user's device in the simulated world. It behaves as the protocol asks of clients and as people
// do: it connects over SSE, WS or polls, sends, joins, leaves, vanishes, reads slowly, switches, takes its
// own session over, and keeps what it received. Every rule of the wire that one client can see is checked
// here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/transport.h"
#include "core/types.h"

namespace twinwire {
class Sessions;
}

namespace twinwire::sim {

class Coverage;
class World;
struct TruthEvent;

class Client {
 public:
  Client(World& world, std::string user, std::vector<std::string> rooms, bool from_earliest);

  void act();                                          // one random action
  void read_some();                                    // takes bytes out of its pipe, at its own speed
  void settle_down();                                  // the end: reads fast, stays connected
  bool quiet() const;                                  // connected, nothing unread, nothing unanswered
  void server_gone();                                  // the process died
  void check_end();                                    // its transcripts against the truth
  void on_bytes_end(uint32_t shard, ConnectionId id);  // the server closed that connection
  void on_reply(ConnectionId id, uint32_t shard, std::string_view tag, const Reply& reply);

  const std::string& user() const { return user_; }
  std::string state() const;
  // That connection carries a stream whose successor has begun to send.
  bool replaced(uint32_t shard, ConnectionId id) const;
  static std::string restless(Sessions& sessions);  // streams there that are not at the live end
  static void count_states(Sessions& sessions, Coverage& coverage);

 private:
  // What a stream was given: from when it may have been in force, and until when.
  struct Token {
    uint64_t sent_ms = 0, expires_ms = UINT64_MAX;
  };
  struct Link {
    bool open = false;
    Form form = Form::none;
    uint32_t shard = 0;
    ConnectionId id = kNoConnection;
    std::string in;              // bytes read, not yet a whole frame
    uint64_t newest = 0;         // in the log when `connected` was read
    uint64_t last_sequence = 0;  // of this stream: must grow
    bool connected = false;
    std::string sse_id;
    std::optional<Cursor> asked;  // the cursor it came with
    bool earliest = false;
    std::set<std::string>
        rooms;  // of `connected`: events of these may come, whatever a replay says of memberships
    SessionId session, wanted;                  // what it is, and what it asked to continue
    bool overlap = false;                       // takes over from a stream whose bytes are still being read
    bool history = false;                       // opened with history=N
    bool foreign = false;                       // came with a cursor of another directory
    std::map<std::string, uint64_t> forbidden;  // rooms lost by a reset: what was decided of them until then
    uint64_t moved_to = 0;                      // `connected` named another cursor: a reset must say why
    uint64_t issued_ms = 0;                     // its first token's time
    uint64_t consumed = 0;                      // by the shard when it opened
    uint64_t expires_ms = UINT64_MAX;           // the latest end of all tokens that it was given
    std::vector<Token> tokens;                  // in the order in which they were sent
  };
  // What a room owes this client: every kept event with start < sequence <= end; from `may` on they may come.
  struct Interval {
    uint64_t may = 0;
    uint64_t start = 0;
    uint64_t end = UINT64_MAX;
  };
  struct Pending {
    enum class Kind : uint8_t { send, join, leave, other } kind = Kind::other;
    std::string command, json, client_id, room;
    uint32_t tries = 0;
    bool stored_wanted = true;
    bool with_session = false;
    bool over_stream = false;
    uint64_t stream = 0;  // the one that was open then: what the answer says of a stream is said of this one
    bool conflicts = false;                  // another content under an id that is taken
    uint64_t asked_after = 0;                // receipts: what the server had said when it was asked
    uint64_t issued_ms = 0, expires_ms = 0;  // of the token that it was sent with
    bool refusable = false;                  // that token had been revoked already
  };

  void connect(bool take_over);
  void disconnect();
  void send();
  void resend();
  void join_or_leave();
  void load();
  void typing();
  void act_widely();
  void create_room();
  void say_again(bool other_content);
  void change_or_mark();
  void on_mark(const Pending& pending, std::string_view body);
  // tokens and memberships (client_identity.cc)
  void act_with_identity();
  void new_token();
  Identity token();
  void refresh();
  void renewing();
  void on_bye(const Link& link, std::string_view json);
  void on_refreshed(const Pending& pending);
  static bool could_expire(const Link& link, uint64_t at_ms);
  bool on_unauthenticated(Pending& pending);
  void check_identity(const Link& link, uint64_t sequence, const TruthEvent* truth);
  void check_memberships();
  void heartbeat();
  void issue(Pending pending);
  void parse(Link& link);
  void parse_sse(Link& link);
  void parse_ws(Link& link);
  void on_event(Link& link, std::string_view json, const std::string& sse_id);
  void on_log_event(Link& link, uint64_t sequence, const TruthEvent& truth, const std::string& room);
  void on_connected(Link& link, std::string json);
  void on_reset(Link& link, std::string json);
  void on_answer(const std::string& tag, const std::string& body);
  void poll_answer(Link& link, const Reply& reply);
  void follow(const std::string& room, uint64_t may, uint64_t start);
  void follow(const std::string& room, uint64_t start) { follow(room, start, start); }
  bool by_membership(const std::string& room) const;  // not one of those it names itself
  bool gained_untold(const std::string& room, uint64_t sequence) const;
  bool was_member(const std::string& room, uint64_t sequence) const;
  uint64_t joined_last(const std::string& room) const;
  void unfollow(const std::string& room, uint64_t end);
  void unfollow_ended(const Link& link);
  void roll_back(uint64_t settled);
  void move_cursor(uint64_t sequence);
  std::string server_view() const;
  std::string where(const Link& link) const;

  World& world_;
  const std::string user_, name_;
  std::vector<std::string> rooms_;  // given as rooms=
  bool earliest_;
  Link link_, old_;  // the stream, and the one it is taking over from
  SessionId session_;
  std::optional<Cursor> cursor_;
  std::map<std::string, std::vector<Interval>> intervals_;
  std::map<uint64_t, std::string> received_;  // kept events by sequence: the room
  std::set<uint64_t> told_unsaved_;
  std::map<std::string, Pending> pending_;  // by tag
  std::vector<Pending> unanswered_;         // sends to repeat after a loss
  std::map<std::string, uint64_t> acked_;   // client id → sequence, answered `stored`
  std::map<std::string, Pending> said_;     // the same ones as they were sent
  std::set<std::string> member_;
  std::set<std::string> asked_;              // rooms it ever asked to join: an answer may have been lost
  std::map<std::string, uint64_t> excused_;  // trimmed, and told
  std::map<std::string, uint64_t> marks_;    // by command and room: up to where the server said
  std::map<std::string, uint64_t> gained_, removed_at_;
  uint64_t issued_ms_ = 0, expires_ms_ = 0;  // the token in use
  std::vector<Token> untaken_;               // sent by auth.refresh and not answered: may yet arrive
  uint64_t next_tag_ = 1, stream_ = 0;
  uint64_t repeats_through_ = 0;  // began anew below what it had: up to here events may come again
  uint32_t paused_ = 0;
  uint32_t speed_ = 4096;
  uint32_t polls_empty_ = 0;
  Form last_form_ = Form::none;
  bool settling_ = false;
  bool rolled_ = false;
  bool life_of_commit_ = false;
};

}  // namespace twinwire::sim
