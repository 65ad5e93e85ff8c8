// The operators' answers as JSON, from what gather.h adds up, and their questions, from a query. Not here:
// HTTP, who may ask. The asking shard's thread.
#pragma once

#include <string>

#include "core/gather.h"
#include "core/status.h"

namespace twinwire {

class Query;
class Shard;

// The tenant that was asked about, and what a walk over all lists found of it.
struct TenantLists {
  std::string name;  // empty: none was
  uint64_t sessions = 0, rooms = 0;
};
std::string stats_json(Shard& shard, const Totals& totals, const TenantLists& tenant = {});
std::string rooms_json(Shard& shard, const PageRequest& page, const ListPage<RoomRow>& rooms);
std::string room_json(Shard& shard, const RoomDetail& room);
std::string sessions_json(Shard& shard, const PageRequest& page, const ListPage<SessionRow>& sessions);

// `tenant`: of rooms that are named and whose tenant is not.
Result<RoomQuery> room_query(Query& query);
Result<SessionQuery> session_query(Query& query, Shard& shard, std::string_view tenant);

// {"status":"ready"|"not_ready","reasons":[{"code","reason"}]}; `ready` says which.
std::string ready_json(Shard& shard, bool& ready);

}  // namespace twinwire
