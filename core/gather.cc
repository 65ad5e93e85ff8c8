// Shard::gather: what operators see, added up over all shards (admin JSON and Prometheus text).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>

#include "core/json.h"
#include "core/shard.h"
#include "core/version.h"

namespace twinwire {
namespace {

struct Piece {
  Metrics metrics;
  Sessions::Counts streams;
  uint32_t connections = 0, sessions = 0;
  uint64_t rooms = 0, users = 0;
  uint64_t tenant_sessions = 0, tenant_rooms = 0;  // of the one tenant that is asked for
  std::string list;                                // comma-separated JSON of sessions
  struct RoomLine {
    std::string head, end;  // a room's JSON, around the number of its readers
    RoomId id;
  };
  std::vector<RoomLine> lines;                   // the rooms homed on the shard
  std::unordered_map<RoomId, uint64_t> readers;  // of every room that the shard's sessions follow
};

Piece piece_of(Shard& shard, Shard::Gather what, std::string_view tenant) {
  Piece piece;
  piece.metrics = shard.metrics();
  piece.streams = shard.sessions().counts();
  piece.connections = shard.transport().connections();
  piece.sessions = shard.sessions().session_count();
  piece.users = shard.homes().user_count();
  if (!tenant.empty()) piece.tenant_sessions = shard.sessions().count_of(tenant);
  bool first = true;
  if (what == Shard::Gather::sessions) shard.sessions().list_json(piece.list, first, tenant);
  if (what == Shard::Gather::rooms) shard.sessions().count_readers(piece.readers);
  shard.homes().for_each_room([&](const Room& room) {
    if (room.kind == RoomKind::inbox) return;
    piece.rooms++;
    if (!tenant.empty() && room.name.tenant() == tenant) piece.tenant_rooms++;
    if (what != Shard::Gather::rooms || (!tenant.empty() && room.name.tenant() != tenant)) return;
    Piece::RoomLine& line = piece.lines.emplace_back();
    line.id = room.id;
    JsonObject head(line.head);
    head.field("tenant", room.name.tenant()).field("room", room.name.text());
    head.field("members", static_cast<uint64_t>(room.members.size()));
    head.field("present", static_cast<uint64_t>(room.present.size()));
    JsonObject object(line.end);
    object.field("readingShards", static_cast<uint64_t>(__builtin_popcountll(room.mask)));
    object.field("tail", static_cast<uint64_t>(room.tail.events().size()));
    object.field("lastEventId", shard.cursor(room.last_kept).text()).end();
  });
  return piece;
}

// Connections that carry no stream: requests, WebSockets before their stream, echoes.
uint64_t plain_connections(const Piece& sum) {
  uint32_t streams = sum.streams.sse + sum.streams.ws + sum.streams.poll;
  return sum.connections - std::min(sum.connections, streams);
}

std::string stats_json(Shard& shard, const Piece& sum, std::string_view tenant) {
  const Metrics& m = sum.metrics;
  Engine& engine = shard.engine();
  Durability& store = engine.durability();
  Ring& ring = engine.ring();
  std::string out;
  JsonObject o(out);
  o.field("version", version()).field("pid", static_cast<uint64_t>(getpid()));
  o.field("uptimeSeconds", (shard.now() - engine.started_ms()) / 1000);
  o.field("epoch", shard.cursor({0}).text().substr(0, 12));
  o.field("deliver", shard.config().server.deliver == DeliverPolicy::commit ? "commit" : "publish");
  o.field("shards", engine.shard_count());
  o.raw("connections", fmt::format(R"({{"sse":{},"ws":{},"poll":{},"http":{}}})", sum.streams.sse,
                                   sum.streams.ws, sum.streams.poll, plain_connections(sum)));
  if (!tenant.empty()) {
    JsonObject of_tenant(o.begin("tenant"));
    of_tenant.field("name", tenant)
        .field("sessions", sum.tenant_sessions)
        .field("rooms", sum.tenant_rooms)
        .end();
  }
  o.field("sessions", sum.sessions).field("rooms", sum.rooms).field("users", sum.users);
  o.raw("events", fmt::format(R"({{"published":{},"delivered":{},"stored":{},"unsaved":{}}})", m.published,
                              m.delivered, store.stored_events.load(std::memory_order_relaxed),
                              store.unsaved_events.load(std::memory_order_relaxed)));
  o.raw("ring",
        fmt::format(R"({{"capacity":{},"published":{},"consumedMin":{},"bytes":{}}})", ring.slot_count(),
                    ring.claimed().value, ring.consumed_min().value, ring.bytes_in_flight()));
  o.raw("store", fmt::format(R"({{"durable":{},"synced":{},"backlog":{},"failing":{},"syncs":{}}})",
                             store.durable().value, store.synced().value,
                             store.backlog_events.load(std::memory_order_relaxed), store.failing(),
                             store.syncs.load(std::memory_order_relaxed)));
  o.field("resumes", m.resumes)
      .field("takeOvers", m.take_overs)
      .field("lagged", m.lagged)
      .field("caughtUp", m.caught_up);
  o.raw("reads", fmt::format(R"({{"rooms":{},"store":{},"scans":{}}})", m.reads, m.store_reads,
                             engine.history().scans()));
  o.raw("resets", fmt::format(R"({{"trimmed":{},"unknown_cursor":{},"forbidden":{},"rolled_back":{}}})",
                              m.reset_trimmed, m.reset_unknown, m.reset_forbidden, m.reset_rolled_back));
  o.raw("shed", fmt::format(R"({{"typing":{},"presence":{}}})", m.shed_typing, m.shed_presence));
  o.raw("refused", fmt::format(R"({{"overloaded":{},"storage_unavailable":{},"rate_limited":{}}})",
                               m.refused_overloaded, m.refused_storage, m.refused_rate));
  o.raw("commands", fmt::format(R"({{"all":{},"failed":{},"duplicates":{}}})", m.commands, m.failed_commands,
                                m.duplicates));
  o.end();
  return out;
}

std::string metrics_text(Shard& shard, const Piece& sum) {
  const Metrics& m = sum.metrics;
  Engine& engine = shard.engine();
  Durability& store = engine.durability();
  std::string out;
  auto family = [&](std::string_view name, std::string_view type, std::string_view help) {
    out += fmt::format("# HELP twinwire_{0} {2}\n# TYPE twinwire_{0} {1}\n", name, type, help);
  };
  auto value = [&](std::string_view name, std::string_view labels, uint64_t v) {
    out += fmt::format("twinwire_{}{} {}\n", name, labels, v);
  };
  auto counter = [&](std::string_view name, std::string_view help, uint64_t v) {
    family(name, "counter", help);
    value(name, "", v);
  };
  auto gauge = [&](std::string_view name, std::string_view help, uint64_t v) {
    family(name, "gauge", help);
    value(name, "", v);
  };
  family("streams", "gauge", "Open streams by transport.");
  value("streams", "{transport=\"sse\"}", sum.streams.sse);
  value("streams", "{transport=\"ws\"}", sum.streams.ws);
  value("streams", "{transport=\"poll\"}", sum.streams.poll);
  gauge("connections", "Open connections of clients, streams included.", sum.connections);
  gauge("sessions", "Sessions, with or without a stream.", sum.sessions);
  gauge("rooms", "Rooms in memory.", sum.rooms);
  counter("events_published_total", "Events given a place in the log.", m.published);
  counter("events_delivered_total", "Events queued to streams.", m.delivered);
  counter("events_stored_total", "Kept events synced to the store.",
          store.stored_events.load(std::memory_order_relaxed));
  counter("events_unsaved_total", "Kept events the store gave up on.",
          store.unsaved_events.load(std::memory_order_relaxed));
  counter("store_scans_total", "Reads of a room from disk, each shared by all that asked meanwhile.",
          engine.history().scans());
  counter("store_syncs_total", "Synced commits of the writer.", store.syncs.load(std::memory_order_relaxed));
  gauge("store_backlog_events", "Kept events the writer holds.",
        store.backlog_events.load(std::memory_order_relaxed));
  if (!shard.config().hooks.save_url.empty()) {
    const HookCounters& hook = store.hook;
    auto read = [](const std::atomic<uint64_t>& v) { return v.load(std::memory_order_relaxed); };
    uint64_t since = read(hook.waiting_since_wall_ms), now = shard.wall_ms();
    gauge("hook_queue_events", "Kept events that the save hook has still to deliver.", read(hook.queued));
    gauge("hook_lag_seconds", "Age of the oldest of them.", since && since < now ? (now - since) / 1000 : 0);
    counter("hook_delivered_total", "Kept events that the save hook delivered.", read(hook.delivered));
    counter("hook_batches_total", "Batches they went in.", read(hook.batches));
    counter("hook_failures_total", "Tries of the save hook that failed.", read(hook.failures));
    counter("hook_dropped_total", "Kept events dropped because hooks.queue_events waited.",
            read(hook.dropped));
  }
  gauge("store_failing", "1 while the store fails.", store.failing() ? 1 : 0);
  gauge("writer_lag", "Positions between the log's end and what is settled.",
        engine.ring().claimed().value - std::min(engine.ring().claimed(), store.durable()).value);
  gauge("ring_occupancy", "Slots not yet read by every consumer.",
        engine.ring().claimed().value - engine.ring().consumed_min().value);
  gauge("ring_bytes", "Bytes of events in the ring.", engine.ring().bytes_in_flight());
  counter("resumes_total", "Streams that continued from a cursor.", m.resumes);
  counter("take_overs_total", "Streams that took over a session.", m.take_overs);
  counter("lagged_total", "Sessions that fell behind the live end.", m.lagged);
  counter("caught_up_total", "Sessions that came back to it.", m.caught_up);
  family("resets_total", "counter", "Streams told that their cursor could not be kept.");
  value("resets_total", "{reason=\"trimmed\"}", m.reset_trimmed);
  value("resets_total", "{reason=\"unknown_cursor\"}", m.reset_unknown);
  value("resets_total", "{reason=\"forbidden\"}", m.reset_forbidden);
  value("resets_total", "{reason=\"rolled_back\"}", m.reset_rolled_back);
  family("shed_total", "counter", "State left out under load, told later.");
  value("shed_total", "{state=\"typing\"}", m.shed_typing);
  value("shed_total", "{state=\"presence\"}", m.shed_presence);
  family("refused_total", "counter", "Commands refused.");
  value("refused_total", "{code=\"overloaded\"}", m.refused_overloaded);
  value("refused_total", "{code=\"storage_unavailable\"}", m.refused_storage);
  value("refused_total", "{code=\"rate_limited\"}", m.refused_rate);
  counter("commands_total", "Commands received.", m.commands);
  return out;
}

std::string rooms_json(const Piece& sum) {
  std::string out = "{\"rooms\":[";
  for (const Piece::RoomLine& line : sum.lines) {
    if (out.back() != '[') out += ',';
    auto readers = sum.readers.find(line.id);
    out += line.head;
    out += fmt::format(",\"readers\":{},", readers == sum.readers.end() ? 0 : readers->second);
    out += std::string_view(line.end).substr(1);
  }
  return out + "]}";
}

struct Gathering {
  Shard::Gather what;
  ConnectionId connection;
  uint32_t generation;
  std::string tag;
  uint32_t due;
  std::string tenant;
  Piece sum;
};

void finish(Shard& shard, const Gathering& g) {
  if (!shard.outboxes().is_open(g.connection, g.generation)) return;
  Reply reply;
  switch (g.what) {
    case Shard::Gather::stats:
      reply.body = stats_json(shard, g.sum, g.tenant);
      break;
    case Shard::Gather::metrics:
      reply.body = metrics_text(shard, g.sum);
      break;
    case Shard::Gather::rooms:
      reply.body = rooms_json(g.sum);
      break;
    case Shard::Gather::sessions:
      reply.body = "{\"sessions\":[" + g.sum.list + "]}";
      break;
  }
  shard.transport().reply(g.connection, g.tag, reply);
}

}  // namespace

void Shard::gather(Gather what, ConnectionId connection, std::string tag, std::string tenant) {
  auto gathering = std::make_shared<Gathering>(Gathering{what,
                                                         connection,
                                                         outboxes_.at(connection).generation,
                                                         std::move(tag),
                                                         engine_.shard_count(),
                                                         tenant,
                                                         {}});
  for (uint32_t i = 0; i < engine_.shard_count(); i++) {
    ask<Piece>(
        ShardIndex(i),
        [what, tenant](Shard& shard, const Answer<Piece>& answer) {
          answer(shard, piece_of(shard, what, tenant));
        },
        [gathering](Shard& shard, const Piece& piece) {
          Piece& sum = gathering->sum;
          sum.metrics += piece.metrics;
          sum.streams.sse += piece.streams.sse;
          sum.streams.ws += piece.streams.ws;
          sum.streams.poll += piece.streams.poll;
          sum.connections += piece.connections;
          sum.sessions += piece.sessions;
          sum.rooms += piece.rooms;
          sum.tenant_sessions += piece.tenant_sessions;
          sum.tenant_rooms += piece.tenant_rooms;
          sum.users += piece.users;
          sum.lines.insert(sum.lines.end(), piece.lines.begin(), piece.lines.end());
          for (const auto& [room, readers] : piece.readers) sum.readers[room] += readers;
          if (!sum.list.empty() && !piece.list.empty()) sum.list += ',';
          sum.list += piece.list;
          if (--gathering->due == 0) finish(shard, *gathering);
        });
  }
}

}  // namespace twinwire
