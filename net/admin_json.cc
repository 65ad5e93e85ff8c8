#include "net/admin_json.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "core/engine.h"
#include "core/event.h"
#include "core/json.h"
#include "core/shard.h"
#include "core/version.h"
#include "net/process.h"
#include "net/query.h"

namespace twinwire {
namespace {

uint64_t load(const std::atomic<uint64_t>& value) { return value.load(std::memory_order_relaxed); }

// {"unit":"us","count":…,"sum":…,"bounds":[…],"buckets":[…]}: the last bucket is what lies above all bounds.
template <typename Of>
std::string histogram_json(const Of& of, std::string_view unit) {
  std::string out;
  JsonObject o(out);
  if (!unit.empty()) o.field("unit", unit);
  o.field("count", of.count()).field("sum", of.sum);
  std::string bounds = "[", buckets = "[";
  for (uint32_t i = 0; i <= Of::kBounds; i++) {
    if (i < Of::kBounds) bounds.append(i ? "," : "").append(std::to_string(Of::bound(i)));
    buckets.append(i ? "," : "").append(std::to_string(of.buckets[i]));
  }
  o.raw("bounds", bounds + "]").raw("buckets", buckets + "]").end();
  return out;
}

std::string time_or_null(uint64_t wall_ms) {
  return wall_ms ? "\"" + format_timestamp(wall_ms) + "\"" : "null";
}

std::string cursor_or_null(Shard& shard, Sequence at) {
  return at.value ? "\"" + shard.cursor(at).text() + "\"" : "null";
}

std::string_view word_of(RoomKind kind) {
  switch (kind) {
    case RoomKind::open:
      return "open";
    case RoomKind::closed:
      return "closed";
    case RoomKind::direct:
      return "direct";
    case RoomKind::inbox:
      return "inbox";
  }
  return "open";
}

void append_room(std::string& out, Shard& shard, const RoomRow& row) {
  JsonObject o(out);
  o.field("tenant", row.name.tenant()).field("room", row.name.text()).field("kind", word_of(row.kind));
  o.field("members", row.members).field("present", row.present).field("readers", row.readers);
  o.field("readingShards", row.shards).field("home", row.home);
  o.raw("eventsPerSecond", fmt::format("{:.2f}", row.per_second)).field("published", row.published);
  o.field("tail", row.tail_events).field("tailBytes", row.tail_bytes);
  o.field("unsettled", row.unsettled).field("typing", row.typing);
  o.raw("lastEventId", cursor_or_null(shard, row.last_kept)).end();
}

template <typename Row>
void finish_page(JsonObject& o, const PageRequest& page, const ListPage<Row>& list) {
  o.field("total", list.total).field("offset", page.offset).field("limit", page.limit);
  o.field("more", page.offset + list.rows.size() < list.total).end();
}

// ---- questions ----

Result<uint32_t> number_in(Query& query, std::string_view name, uint32_t otherwise, uint32_t least,
                           uint32_t most) {
  auto text = query.value(name);
  if (!text) return otherwise;
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < least || value > most)
    return fail(Code::invalid_argument,
                fmt::format("'{}' must be a whole number from {} to {}", name, least, most));
  return value;
}

// The place of a word in a list, or a sentence that names the list.
template <size_t N>
Result<size_t> word_in(Query& query, std::string_view name, const std::string_view (&words)[N],
                       size_t otherwise) {
  auto text = query.value(name);
  if (!text) return otherwise;
  for (size_t i = 0; i < N; i++)
    if (words[i] == *text) return i;
  std::string all;
  for (std::string_view word : words) all.append(all.empty() ? "" : ", ").append(word);
  return fail(Code::invalid_argument, fmt::format("'{}' must be one of: {}", name, all));
}

constexpr std::string_view kOrders[] = {"asc", "desc"};

// Names rise unless asked otherwise; numbers fall.
Result<PageRequest> page_of(Query& query, bool by_name) {
  PageRequest page;
  auto limit = number_in(query, "limit", 100, 1, 1000);
  if (!limit) return limit.error();
  page.limit = *limit;
  auto offset = number_in(query, "offset", 0, 0, kListedMax - page.limit);
  if (!offset) return offset.error();
  page.offset = *offset;
  auto order = word_in(query, "order", kOrders, by_name ? 0 : 1);
  if (!order) return order.error();
  page.descending = *order == 1;
  if (query.malformed()) return fail(Code::invalid_argument, "the query is not well encoded");
  return page;
}

}  // namespace

Result<RoomQuery> room_query(Query& query) {
  constexpr std::string_view kSorts[] = {"name", "members", "present", "rate", "published", "tail"};
  RoomQuery out;
  auto sort = word_in(query, "sort", kSorts, 0);
  if (!sort) return sort.error();
  out.sort = static_cast<RoomSort>(*sort);
  out.tenant = query.value("tenant").value_or(std::string());
  out.contains = query.value("contains").value_or(std::string());
  auto page = page_of(query, out.sort == RoomSort::name);
  if (!page) return page.error();
  out.page = *page;
  return out;
}

Result<SessionQuery> session_query(Query& query, Shard& shard, std::string_view tenant) {
  constexpr std::string_view kSorts[] = {"user", "age", "rooms", "lag"};
  constexpr std::string_view kTransports[] = {"none", "sse", "ws", "poll"};
  constexpr std::string_view kStates[] = {"joining", "replaying", "live", "lagging", "detached"};
  SessionQuery out;
  auto sort = word_in(query, "sort", kSorts, 0);
  if (!sort) return sort.error();
  out.sort = static_cast<SessionSort>(*sort);
  out.tenant = query.value("tenant").value_or(std::string());
  out.user = query.value("user").value_or(std::string());
  if (auto room = query.value("room")) {
    if (auto ok = check_name("room", *room, 128); !ok) return ok.error();
    out.room = shard.room_id(Name(out.tenant.empty() ? tenant : std::string_view(out.tenant), *room));
  }
  if (query.value("transport")) {
    auto transport = word_in(query, "transport", kTransports, 0);
    if (!transport) return transport.error();
    out.transport = static_cast<Form>(*transport);
  }
  if (query.value("state")) {
    auto state = word_in(query, "state", kStates, 0);
    if (!state) return state.error();
    out.state = kStates[*state];
  }
  auto page = page_of(query, out.sort == SessionSort::user);
  if (!page) return page.error();
  out.page = *page;
  return out;
}

// ---- answers ----

std::string rooms_json(Shard& shard, const PageRequest& page, const ListPage<RoomRow>& rooms) {
  std::string out;
  JsonObject o(out);
  std::string& list = o.begin("rooms");
  for (size_t i = 0; i < rooms.rows.size(); i++) {
    list += i ? ',' : '[';
    append_room(list, shard, rooms.rows[i]);
  }
  list += rooms.rows.empty() ? "[]" : "]";
  finish_page(o, page, rooms);
  return out;
}

std::string room_json(Shard& shard, const RoomDetail& room) {
  std::string out, basic;
  append_room(basic, shard, room.row);
  JsonObject o(out);
  o.raw("room", basic).text_or_null("name", room.title).text_or_null("createdBy", room.created_by);
  o.raw("createdAt", time_or_null(room.row.created_wall_ms));
  o.raw("updatedAt", time_or_null(room.row.updated_wall_ms));
  o.raw("trimmedThrough", cursor_or_null(shard, room.row.trimmed_through));
  std::string& members = o.begin("members");
  members += '[';
  for (size_t i = 0; i < room.members.size(); i++) {
    if (i) members += ',';
    JsonObject member(members);
    member.field("userId", room.members[i].first.text());
    member.raw("since", cursor_or_null(shard, room.members[i].second)).end();
  }
  members += ']';
  o.field("membersMore", room.members.size() < room.row.members).raw("present", room.present_json).end();
  return out;
}

std::string sessions_json(Shard& shard, const PageRequest& page, const ListPage<SessionRow>& sessions) {
  std::string out;
  JsonObject o(out);
  std::string& list = o.begin("sessions");
  list += '[';
  for (size_t i = 0; i < sessions.rows.size(); i++) {
    const SessionRow& row = sessions.rows[i];
    if (i) list += ',';
    JsonObject s(list);
    s.field("sessionId", row.id.text()).field("tenant", row.name.tenant()).field("userId", row.name.text());
    s.field("transport", row.transport == Form::none ? "none" : word_of(row.transport));
    s.field("state", row.state).field("rooms", row.rooms).field("shard", row.shard);
    s.field("cursor", shard.cursor(row.cursor).text()).field("lag", row.lag).field("blocked", row.blocked);
    s.field("ageSeconds", row.age_seconds);
    if (row.observer) s.field("operator", true);
    s.end();
  }
  list += ']';
  finish_page(o, page, sessions);
  return out;
}

namespace {

// What is counted of a tenant: null where it has no place of its own.
std::string tenant_json(Shard& shard, const Totals& totals, const TenantLists& tenant) {
  std::string out;
  JsonObject o(out);
  o.field("name", tenant.name).field("sessions", tenant.sessions).field("rooms", tenant.rooms);
  uint16_t place = shard.engine().tenants().find(tenant.name);
  if (place == Tenants::kOthers) {
    for (std::string_view key : {"streams", "published", "delivered", "refused"}) o.raw(key, "null");
    o.end();
    return out;
  }
  const TenantCounts& counts = totals.tenants[place];
  JsonObject streams(o.begin("streams"));
  streams.field("sse", counts.sse).field("ws", counts.ws).field("poll", counts.poll).end();
  o.field("published", counts.published).field("delivered", counts.delivered);
  o.field("refused", counts.refused).end();
  return out;
}

}  // namespace

std::string stats_json(Shard& shard, const Totals& totals, const TenantLists& tenant) {
  const Metrics& m = totals.metrics;
  const Gauges& g = totals.gauges;
  Engine& engine = shard.engine();
  Durability& d = engine.durability();
  Ring& ring = engine.ring();
  ProcessFacts process = read_process();
  std::string out;
  JsonObject o(out);
  auto object = [&](std::string_view key,
                    std::initializer_list<std::pair<std::string_view, uint64_t>> numbers) {
    JsonObject inner(o.begin(key));
    for (const auto& [name, value] : numbers) inner.field(name, value);
    inner.end();
  };
  o.field("version", version()).field("pid", static_cast<uint64_t>(getpid()));
  o.field("uptimeSeconds", (shard.now() - engine.started_ms()) / 1000)
      .field("nowMicroseconds", shard.now_us());
  o.field("epoch", shard.cursor({0}).text().substr(0, 12));
  o.field("deliver", shard.config().server.deliver == DeliverPolicy::commit ? "commit" : "publish");
  o.field("shards", engine.shard_count()).field("draining", engine.draining());
  uint64_t streams = g.sse + g.ws + g.poll;
  object("connections", {{"sse", g.sse},
                         {"ws", g.ws},
                         {"poll", g.poll},
                         {"http", g.connections - std::min(g.connections, streams)}});
  object("accepted", {{"clients", m.accepted}, {"operators", m.accepted_operators}});
  JsonObject closed(o.begin("closed"));
  for (size_t i = 1; i < m.closed.size(); i++) closed.field(word_of(static_cast<CloseCause>(i)), m.closed[i]);
  closed.end();
  if (!tenant.name.empty()) o.raw("tenant", tenant_json(shard, totals, tenant));
  o.field("sessions", g.sessions).field("rooms", g.rooms).field("users", g.users);
  object("sessionStates", {{"joining", g.joining},
                           {"replaying", g.replaying},
                           {"live", g.live},
                           {"lagging", g.lagging},
                           {"detached", g.detached}});
  object("events",
         {{"published", m.published_kept + m.published_ephemeral + m.published_state + m.published_marker},
          {"kept", m.published_kept},
          {"ephemeral", m.published_ephemeral},
          {"state", m.published_state},
          {"marker", m.published_marker},
          {"delivered", m.delivered + m.caught_up_events},
          {"fromHistory", m.caught_up_events},
          {"stored", load(d.stored_events)},
          {"unsaved", load(d.unsaved_events)}});
  object("output", {{"sends", m.sends},
                    {"frames", m.frames},
                    {"bytes", m.bytes},
                    {"short", m.short_sends},
                    {"blockedStreams", g.blocked},
                    {"heldBytes", g.held_bytes}});
  uint64_t claimed = ring.claimed().value;
  object("ring", {{"capacity", ring.slot_count()},
                  {"occupied", claimed - std::min(claimed, ring.consumed_min().value)},
                  {"published", claimed},
                  {"consumedMin", ring.consumed_min().value},
                  {"bytes", ring.bytes_in_flight()},
                  {"bytesMax", ring.byte_budget()},
                  {"refused", m.claims_refused},
                  {"leaseRemaining", ring.lease_end().value - std::min(ring.lease_end().value, claimed)}});
  uint64_t now = shard.now_us(), oldest = load(d.oldest_us);
  JsonObject store(o.begin("store"));
  store.field("durable", d.durable().value).field("synced", d.synced().value);
  store.field("lagEvents", claimed - std::min(claimed, d.durable().value));
  store.field("lagMicroseconds", oldest ? now - std::min(now, oldest) : 0);
  store.field("backlog", load(d.backlog_events)).field("backlogBytes", load(d.backlog_bytes));
  store.field("failing", d.failing()).field("accepting", d.accepting());
  store.field("syncs", load(d.syncs)).field("commitFailures", load(d.commit_failures));
  store.field("tableBytes", load(d.database.table_bytes)).field("memoryBytes", load(d.database.memory_bytes));
  store.end();
  object("streams", {{"resumes", m.resumes},
                     {"takeOvers", m.take_overs},
                     {"lagged", m.lagged},
                     {"caughtUp", m.caught_up},
                     {"polls", m.polls}});
  object("resumes", {{"live", m.resumed_live},
                     {"tail", m.resumed_tail},
                     {"store", m.resumed_store},
                     {"cut", m.resumed_cut}});
  object("reads", {{"rooms", m.reads}, {"store", m.store_reads}, {"scans", engine.history().scans()}});
  object("resets", {{"trimmed", m.reset_trimmed},
                    {"unknown_cursor", m.reset_unknown},
                    {"forbidden", m.reset_forbidden},
                    {"rolled_back", m.reset_rolled_back}});
  object("shed", {{"typing", m.shed_typing}, {"presence", m.shed_presence}, {"slowReader", m.shed_slow}});
  object("refused", {{"overloaded", m.refused_overloaded},
                     {"storage_unavailable", m.refused_storage},
                     {"rate_limited", m.refused_rate},
                     {"turnedAway", m.turned_away[static_cast<size_t>(Code::overloaded)] +
                                        m.turned_away[static_cast<size_t>(Code::draining)]}});
  uint64_t all = 0, failed = 0;
  LatencyHistogram answers;
  for (size_t row = 0; row < kCountedCommands; row++) {
    for (size_t code = 0; code < kCountedCodes; code++) {
      all += m.commands[row][code];
      if (code) failed += m.commands[row][code];
    }
    for (size_t i = 0; i < answers.buckets.size(); i++)
      answers.buckets[i] += m.command_latency[row].buckets[i];
    answers.sum += m.command_latency[row].sum;
  }
  object("commands", {{"all", all}, {"failed", failed}, {"duplicates", m.duplicates}});
  JsonObject mail(o.begin("mail"));
  uint64_t deepest = 0;
  for (const Gauges& each : totals.shards) deepest = std::max(deepest, each.mail_waiting);
  mail.field("sent", m.mail_sent).field("held", m.mail_waited).field("deepest", deepest).end();
  JsonObject self(o.begin("process"));
  self.field("residentBytes", process.resident_bytes).field("threads", process.threads);
  self.field("descriptors", process.open_descriptors);
  self.raw("cpuSeconds", fmt::format("{:.3f}", process.cpu_seconds)).end();
  JsonObject latency(o.begin("latency"));
  latency.raw("write", histogram_json(m.write_latency, "us"));
  latency.raw("command", histogram_json(answers, "us"));
  latency.raw("store", histogram_json(d.store_latency.snapshot(), "us"));
  latency.raw("commit", histogram_json(d.commit_time.snapshot(), "us"));
  latency.raw("commitEvents", histogram_json(d.commit_events.snapshot(), ""));
  latency.raw("tick", histogram_json(m.tick_time, "us")).end();
  o.end();
  return out;
}

std::string ready_json(Shard& shard, bool& ready) {
  std::string reasons;
  auto reason = [&](std::string_view code, std::string_view sentence) {
    if (!reasons.empty()) reasons += ',';
    JsonObject o(reasons);
    o.field("code", code).field("reason", sentence).end();
  };
  if (shard.engine().draining()) reason("draining", "the server is going down and sends its streams away");
  if (shard.durability().given_up.load(std::memory_order_relaxed))
    reason("storage_unavailable", "the store has failed for store.give_up_ms: kept events are refused");
  ready = reasons.empty();
  std::string out;
  JsonObject o(out);
  o.field("status", ready ? "ready" : "not_ready").raw("reasons", "[" + reasons + "]").end();
  return out;
}

}  // namespace twinwire
