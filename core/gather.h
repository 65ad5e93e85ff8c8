// What operators see of all shards: counters and gauges added up, and lists of rooms and sessions, sorted and
// cut to a page. A question goes to every shard by mail and its answer comes back to the shard that asked.
// Counters are copied whole; lists are walked in pieces between ticks (Shard::add_chore), so that no question
// holds deliveries up. Not here: JSON, Prometheus text (net/admin_json, net/metrics_text). The asking shard's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/history.h"
#include "core/metrics.h"
#include "core/tenants.h"
#include "core/transport.h"
#include "core/types.h"

namespace twinwire {

class Shard;

struct Totals {
  Metrics metrics;
  Gauges gauges;
  std::vector<Gauges> shards;         // by index
  std::vector<TenantCounts> tenants;  // by place (tenants.h)
};

// ---- lists ----

// A page of a sorted list. The first `offset` rows of the order are left out; offset + limit is at most
// kListedMax.
inline constexpr uint32_t kListedMax = 10000;
struct PageRequest {
  uint32_t offset = 0;
  uint32_t limit = 100;
  bool descending = false;
};

enum class RoomSort : uint8_t { name, members, present, rate, published, tail };
struct RoomQuery {
  PageRequest page;
  RoomSort sort = RoomSort::name;
  std::string tenant;    // empty: all
  std::string contains;  // in the room's name
};
struct RoomRow {
  uint64_t key = 0;  // what it is sorted by, before the name
  Name name;
  RoomId id;
  RoomKind kind = RoomKind::open;
  uint32_t home = 0, shards = 0;  // its home, and how many shards have readers
  uint64_t members = 0, present = 0, readers = 0, published = 0, tail_events = 0, tail_bytes = 0;
  double per_second = 0;
  uint64_t unsettled = 0, typing = 0, created_wall_ms = 0, updated_wall_ms = 0;
  Sequence last_kept, trimmed_through;
};

enum class SessionSort : uint8_t { user, age, rooms, lag };
struct SessionQuery {
  PageRequest page;
  SessionSort sort = SessionSort::user;
  std::string tenant, user;
  std::optional<RoomId> room;     // of those that follow this room
  std::optional<Form> transport;  // none: without a stream
  std::string state;              // a word of SessionState
};
struct SessionRow {
  uint64_t key = 0;
  Name name;  // the user
  SessionId id;
  std::string_view state;
  Form transport = Form::none;
  bool observer = false, blocked = false;
  uint32_t rooms = 0, shard = 0;
  uint64_t age_seconds = 0, lag = 0;
  Sequence cursor;
};

template <typename Row>
struct ListPage {
  std::vector<Row> rows;  // in order
  uint64_t total = 0;     // of all that match
  bool refused = false;   // too many lists are being made: nothing is known
};

// Ends streams on all shards (Sessions::kick); `then` gets how many there were.
void kick_streams(Shard& shard, const Name& user, SessionId session, const std::string& reason,
                  bool reconnect, std::function<void(Shard&, uint32_t)> then);

// Answered on the asking shard, later.
void list_rooms(Shard& shard, const RoomQuery& query, std::function<void(Shard&, ListPage<RoomRow>)> then);
void list_sessions(Shard& shard, const SessionQuery& query,
                   std::function<void(Shard&, ListPage<SessionRow>)> then);
// One room as its home knows it, read from the store if need be; nothing if neither ever heard of it.
struct RoomDetail {
  RoomRow row;
  std::string title, created_by;
  std::vector<std::pair<Name, Sequence>> members;  // and since when; at most kDetailNames of them
  std::string present_json;                        // {"users":[…],"count":…}, likewise
};
inline constexpr uint32_t kDetailNames = 256;
void find_room(Shard& shard, const Name& room, std::function<void(Shard&, std::optional<RoomDetail>)> then);

}  // namespace twinwire
