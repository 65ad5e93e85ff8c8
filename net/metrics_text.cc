#include "net/metrics_text.h"

#include <fmt/format.h>

#include "core/engine.h"
#include "core/gather.h"
#include "core/shard.h"
#include "core/version.h"
#include "net/process.h"

namespace twinwire {

// ---- the format ----

namespace {

constexpr double kMicrosecond = 1e-6;

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name.starts_with("process_") ? std::string(name) : "twinwire_" + std::string(name);
  out_.append("# HELP ").append(name_).append(" ");
  append_escaped(out_, help, false);
  out_.append("\n# TYPE ").append(name_).append(" ").append(type).append("\n");
}

void Exposition::sample(double value, Labels labels) { line("", labels, "", number(value)); }

std::string Exposition::number(double value) { return fmt::format("{}", value); }

void Exposition::line(std::string_view suffix, Labels labels, std::string_view le, std::string_view value) {
  out_.append(name_).append(suffix);
  if (labels.size() > 0 || !le.empty()) {
    char before = '{';
    auto label = [&](std::string_view key, std::string_view text) {
      out_ += before;
      before = ',';
      out_.append(key).append("=\"");
      append_escaped(out_, text, true);
      out_ += '"';
    };
    for (const auto& [key, text] : labels) label(key, text);
    if (!le.empty()) label("le", le);
    out_ += '}';
  }
  out_.append(" ").append(value).append("\n");
}

// ---- what there is ----

namespace {

void connections(Exposition& e, const Metrics& m, const Gauges& g) {
  e.family("connections", "gauge", "Open connections of clients by what they carry.");
  uint64_t streams = g.sse + g.ws + g.poll;
  e.sample(g.sse, {{"transport", "sse"}});
  e.sample(g.ws, {{"transport", "ws"}});
  e.sample(g.poll, {{"transport", "poll"}});
  e.sample(g.connections > streams ? g.connections - streams : 0, {{"transport", "http"}});
  e.gauge("operator_connections", "Open connections of the operators' listener.", g.operator_connections);
  e.gauge("operator_tails", "Operators' streams that follow a room.", g.tails);
  e.family("connections_accepted_total", "counter", "Connections accepted.");
  e.sample(m.accepted, {{"listener", "public"}});
  e.sample(m.accepted_operators, {{"listener", "operators"}});
  e.family("connections_closed_total", "counter",
           "Connections of clients that ended, by what began the end.");
  for (size_t i = 1; i < m.closed.size(); i++)
    e.sample(m.closed[i], {{"cause", word_of(static_cast<CloseCause>(i))}});
  e.counter("received_bytes_total", "Bytes received from clients and operators.", m.received_bytes);
  e.family("http_responses_total", "counter",
           "HTTP answers of the public listener, heads of streams included.");
  for (size_t i = 0; i < kHttpStatuses.size(); i++) {
    if (m.responses[i] == 0) continue;
    std::string status = kHttpStatuses[i] ? std::to_string(kHttpStatuses[i]) : "other";
    e.sample(m.responses[i], {{"status", status}});
  }
  e.family("turned_away_total", "counter", "Streams and requests sent away before they were looked at.");
  for (Code code : {Code::overloaded, Code::draining})
    e.sample(m.turned_away[static_cast<size_t>(code)], {{"code", word_of(code)}});
  e.family("websocket_closes_total", "counter", "Close frames of WebSockets, by who sent them first.");
  auto closes = [&](const auto& counts, std::string_view by) {
    for (size_t i = 0; i < counts.size(); i++) {
      if (counts[i] == 0) continue;
      std::string code = kWsCloseCodes[i] ? std::to_string(kWsCloseCodes[i]) : "other";
      e.sample(counts[i], {{"by", by}, {"code", code}});
    }
  };
  closes(m.ws_closes_sent, "server");
  closes(m.ws_closes_received, "client");
}

void streams(Exposition& e, const Metrics& m, const Gauges& g) {
  e.family("streams_opened_total", "counter", "Streams and polls that began.");
  for (Form form : {Form::sse, Form::ws, Form::poll})
    e.sample(m.streams_opened[static_cast<size_t>(form)], {{"transport", word_of(form)}});
  e.counter("polls_total", "Polls answered.", m.polls);
  e.family("sessions", "gauge", "Sessions by state; a detached one has no stream and waits for its client.");
  e.sample(g.joining, {{"state", "joining"}});
  e.sample(g.replaying, {{"state", "replaying"}});
  e.sample(g.live, {{"state", "live"}});
  e.sample(g.lagging, {{"state", "lagging"}});
  e.sample(g.detached, {{"state", "detached"}});
  e.gauge("rooms", "Rooms in memory.", g.rooms);
  e.gauge("users", "Users known to their homes.", g.users);
  e.gauge("room_tail_bytes", "Events kept in memory for streams that come back.", g.tail_bytes);
  e.gauge("slow_streams", "Streams behind the live end because they read slowly or gained a room.",
          g.lagging);
  e.gauge("blocked_streams", "Streams whose socket is full.", g.blocked);
  e.gauge("held_bytes", "Bytes that wait in memory for full sockets.", g.held_bytes);
  e.counter("resumes_total", "Streams that continued from a cursor.", m.resumes);
  e.family("resumes_caught_up_total", "counter",
           "How they came to the live end: nothing was missed, from memory, from the store, or cut before.");
  e.sample(m.resumed_live, {{"from", "live"}});
  e.sample(m.resumed_tail, {{"from", "tail"}});
  e.sample(m.resumed_store, {{"from", "store"}});
  e.sample(m.resumed_cut, {{"from", "cut"}});
  e.family("resets_total", "counter", "Streams told that their cursor could not be kept.");
  e.sample(m.reset_trimmed, {{"reason", "trimmed"}});
  e.sample(m.reset_unknown, {{"reason", "unknown_cursor"}});
  e.sample(m.reset_forbidden, {{"reason", "forbidden"}});
  e.sample(m.reset_rolled_back, {{"reason", "rolled_back"}});
  e.counter("take_overs_total", "Streams that took over a session from another connection.", m.take_overs);
  e.counter("lagged_total", "Times a stream fell behind the live end.", m.lagged);
  e.counter("caught_up_total", "Times it came back.", m.caught_up);
  e.family("reads_total", "counter", "Reads of a room's history: all, and those that needed the store.");
  e.sample(m.reads, {{"of", "rooms"}});
  e.sample(m.store_reads, {{"of", "store"}});
  e.family("byes_total", "counter", "Streams told `bye`.");
  for (size_t i = 0; i < m.byes.size(); i++)
    if (m.byes[i] > 0) e.sample(m.byes[i], {{"code", word_of(static_cast<Code>(i))}});
  e.sample(m.byes_replaced, {{"code", "replaced"}});
  e.sample(m.byes_other, {{"code", "other"}});
  e.family("shed_total", "counter",
           "State and ephemeral events left out; state is told later as it then is.");
  e.sample(m.shed_typing, {{"what", "typing"}});
  e.sample(m.shed_presence, {{"what", "presence"}});
  e.sample(m.shed_slow, {{"what", "slow_reader"}});
}

void events(Exposition& e, const Metrics& m) {
  e.family("events_published_total", "counter", "Events given a place in the log.");
  e.sample(m.published_kept, {{"class", "kept"}});
  e.sample(m.published_ephemeral, {{"class", "ephemeral"}});
  e.sample(m.published_state, {{"class", "state"}});
  e.sample(m.published_marker, {{"class", "marker"}});
  e.family("deliveries_total", "counter",
           "Events queued to streams, one for each event and stream: as they come, or from history.");
  e.sample(m.delivered, {{"from", "live"}});
  e.sample(m.caught_up_events, {{"from", "history"}});
  e.counter("sends_total", "Sends given to the kernel.", m.sends);
  e.counter("sent_frames_total", "Frames and answers in them: frames per send is the coalescing.", m.frames);
  e.counter("sent_bytes_total", "Bytes in them.", m.bytes);
  e.counter("short_sends_total", "Sends that a full socket did not take whole.", m.short_sends);
  e.counter("runs_joined_total", "Bursts whose frames were joined into one run of bytes.", m.runs_joined);
  e.counter("runs_reused_total", "Sends that used a run joined for another stream.", m.runs_reused);
  e.family(
      "write_latency_seconds", "histogram",
      "From the claim of an event's place in the log to the return of the flush that gave its frames to the "
      "kernel, once for each event and stream at the live end.");
  e.histogram(m.write_latency, kMicrosecond);
}

void commands(Exposition& e, const Metrics& m) {
  auto name_of = [](size_t row) {
    auto table = command_table();
    return row < table.size() ? table[row].name : std::string_view("other");
  };
  e.family("commands_total", "counter", "Commands answered, by their result.");
  for (size_t row = 0; row < kCountedCommands; row++)
    for (size_t code = 0; code < kCountedCodes; code++) {
      if (m.commands[row][code] == 0) continue;
      e.sample(m.commands[row][code],
               {{"command", name_of(row)}, {"code", word_of(static_cast<Code>(code))}});
    }
  e.family(
      "command_latency_seconds", "histogram",
      "From a command's decoding to its answer, the wait for the store included where it was asked for.");
  for (size_t row = 0; row < kCountedCommands; row++)
    if (m.command_latency[row].count() > 0)
      e.histogram(m.command_latency[row], kMicrosecond, {{"command", name_of(row)}});
  e.counter("duplicates_total", "Commands that repeated an earlier one by its clientId.", m.duplicates);
  e.family("refusals_total", "counter", "Commands refused by the rate limit, a full log or a failing store.");
  e.sample(m.refused_rate, {{"code", "rate_limited"}});
  e.sample(m.refused_overloaded, {{"code", "overloaded"}});
  e.sample(m.refused_storage, {{"code", "storage_unavailable"}});
}

// Of the tenants that have a place of their own, and of all others together (metrics.tenants_max).
void tenants(Exposition& e, Shard& shard, const Totals& totals) {
  std::vector<std::string> names = shard.engine().tenants().names();
  auto counter = [&](std::string_view name, std::string_view help, uint64_t TenantCounts::*which) {
    e.family(name, "counter", help);
    for (size_t i = 0; i < names.size(); i++) e.sample(totals.tenants[i].*which, {{"tenant", names[i]}});
  };
  e.family("tenant_streams", "gauge", "Open streams and polls of a tenant's users.");
  for (size_t i = 0; i < names.size(); i++) {
    e.sample(totals.tenants[i].sse, {{"tenant", names[i]}, {"transport", "sse"}});
    e.sample(totals.tenants[i].ws, {{"tenant", names[i]}, {"transport", "ws"}});
    e.sample(totals.tenants[i].poll, {{"tenant", names[i]}, {"transport", "poll"}});
  }
  counter("tenant_events_published_total", "Events given a place in the log.", &TenantCounts::published);
  counter("tenant_deliveries_total", "Events queued to streams, history included.", &TenantCounts::delivered);
  counter("tenant_refusals_total", "Commands refused, of whoever had said who they are.",
          &TenantCounts::refused);
}

void log_and_shards(Exposition& e, Shard& shard, const Totals& totals) {
  Ring& ring = shard.ring();
  uint64_t claimed = ring.claimed().value;
  e.gauge("ring_slots", "Places of the log in memory.", ring.slot_count());
  e.gauge("ring_occupied_slots", "Places not yet read by every consumer.",
          claimed - std::min(claimed, ring.consumed_min().value));
  e.gauge("ring_bytes", "Bytes of events in them.", ring.bytes_in_flight());
  e.gauge("ring_bytes_max", "Bytes at which new events are refused.", ring.byte_budget());
  e.family("ring_claims_refused_total", "counter", "Places refused for want of room: events, or shed state.");
  e.sample(totals.metrics.claims_refused, {{"priority", "event"}});
  e.sample(totals.metrics.claims_refused_state, {{"priority", "state"}});
  e.gauge("sequence_published", "The last place given.", claimed);
  e.gauge("sequence_lease_remaining", "Places that may be given before the store has to extend the lease.",
          ring.lease_end().value - std::min(ring.lease_end().value, claimed));
  auto per_shard = [&](std::string_view name, std::string_view help, uint64_t Gauges::*which) {
    e.family(name, "gauge", help);
    for (size_t i = 0; i < totals.shards.size(); i++)
      e.sample(totals.shards[i].*which, {{"shard", std::to_string(i)}});
  };
  per_shard("shard_connections", "Open connections of a shard.", &Gauges::connections);
  per_shard("shard_unread_slots", "Places of the log that the shard has not read.", &Gauges::unread_slots);
  per_shard("shard_mailbox_waiting", "Requests of other shards that wait in its mailbox.",
            &Gauges::mail_waiting);
  per_shard("shard_mail_held", "Requests to other shards that wait for a place in theirs.",
            &Gauges::mail_held);
  per_shard("shard_store_reads_waiting", "Reads that wait because too many are under way.",
            &Gauges::history_waiting);
  e.counter("mail_sent_total", "Requests between shards.", totals.metrics.mail_sent);
  e.counter("mail_held_total", "Requests that had to wait for a place or a credit.",
            totals.metrics.mail_waited);
  e.family("tick_seconds", "histogram", "How long the turns of the shards took.");
  e.histogram(totals.metrics.tick_time, kMicrosecond);
}

void store(Exposition& e, Shard& shard, const Metrics& m) {
  const Durability& d = shard.durability();
  auto load = [](const auto& value) { return uint64_t{value.load(std::memory_order_relaxed)}; };
  uint64_t claimed = shard.ring().claimed().value;
  uint64_t oldest = load(d.oldest_us), now = shard.now_us();
  e.gauge("sequence_durable", "Everything up to here is stored or given up.", d.durable().value);
  e.gauge("sequence_synced", "The last such place that is itself on disk.", d.synced().value);
  e.gauge("writer_lag_events", "Places between the log's end and what is settled.",
          claimed - std::min(claimed, d.durable().value));
  e.family("writer_lag_seconds", "gauge", "Age of the oldest event that waits for the store.");
  e.sample(oldest == 0 ? 0.0 : static_cast<double>(now - std::min(now, oldest)) * kMicrosecond);
  e.gauge("store_backlog_events", "Kept events that the writer holds.", load(d.backlog_events));
  e.gauge("store_backlog_bytes", "Bytes of them.", load(d.backlog_bytes));
  e.counter("store_events_total", "Kept events synced to disk.", load(d.stored_events));
  e.counter("store_unsaved_events_total", "Kept events the store gave up on.", load(d.unsaved_events));
  e.counter("store_unsaved_told_total", "Of those, the ones told to their room or sender.", m.unsaved);
  e.counter("store_scans_total", "Reads of a room from disk, each shared by all that asked meanwhile.",
            shard.history().scans());
  e.counter("store_commits_total", "Synced commits.", load(d.syncs));
  e.counter("store_commit_failures_total", "Commits that failed.", load(d.commit_failures));
  e.gauge("store_failing", "1 while commits fail or hang.", d.failing() ? 1 : 0);
  e.gauge("store_accepting", "1 while kept events are taken.", d.accepting() ? 1 : 0);
  e.gauge("store_given_up", "1 when it has failed for store.give_up_ms.", load(d.given_up));
  e.family("store_commit_seconds", "histogram", "Time of a commit, its sync included.");
  e.histogram(d.commit_time.snapshot(), kMicrosecond);
  e.family("store_commit_events", "histogram", "Kept events in one commit.");
  e.histogram(d.commit_events.snapshot(), 1.0);
  e.family("store_latency_seconds", "histogram",
           "From the claim of a kept event's place to its being on disk.");
  e.histogram(d.store_latency.snapshot(), kMicrosecond);
  const Durability::Database& db = d.database;
  e.gauge("rocksdb_table_bytes", "Size of the table files.", load(db.table_bytes));
  e.gauge("rocksdb_memory_bytes", "Memory of tables not yet written out.", load(db.memory_bytes));
  e.gauge("rocksdb_cache_bytes", "Block cache in use.", load(db.cache_bytes));
  e.gauge("rocksdb_keys_estimated", "Keys, estimated.", load(db.estimated_keys));
  e.gauge("rocksdb_compaction_pending_bytes", "Bytes that compaction has to rewrite, estimated.",
          load(db.compaction_pending_bytes));
  e.gauge("rocksdb_compactions_running", "Compactions under way.", load(db.compactions_running));
  e.gauge("rocksdb_flushes_running", "Flushes under way.", load(db.flushes_running));
  e.gauge("rocksdb_background_errors", "Errors of flushes and compactions since it was opened.",
          load(db.errors));
  e.gauge("rocksdb_write_stopped", "1 while RocksDB stops writes.", load(db.writes_stopped));
  e.gauge("rocksdb_write_rate_limit_bytes_per_second", "While it slows writes down: to what; else 0.",
          load(db.write_rate_limit));
}

// Only where a hook is configured.
void save_hook(Exposition& e, Shard& shard) {
  if (shard.config().hooks.save_url.empty()) return;
  const HookCounters& hook = shard.durability().hook;
  auto load = [](const std::atomic<uint64_t>& value) { return value.load(std::memory_order_relaxed); };
  uint64_t since = load(hook.waiting_since_wall_ms), now = shard.wall_ms();
  e.gauge("hook_queue_events", "Kept events that the save hook has still to deliver.", load(hook.queued));
  e.gauge("hook_lag_seconds", "Age of the oldest of them.", since && since < now ? (now - since) / 1000 : 0);
  e.counter("hook_delivered_total", "Kept events that the save hook delivered.", load(hook.delivered));
  e.counter("hook_batches_total", "Batches they went in.", load(hook.batches));
  e.counter("hook_failures_total", "Tries of the save hook that failed.", load(hook.failures));
  e.counter("hook_dropped_total", "Kept events dropped because hooks.queue_events waited.",
            load(hook.dropped));
  e.counter("hook_unreadable_total", "Kept events passed over because their record could not be read.",
            load(hook.unreadable));
}

void process(Exposition& e, Shard& shard) {
  ProcessFacts facts = read_process();
  e.family("build_info", "gauge", "What was built; always 1.");
  e.sample(uint64_t{1}, {{"version", version()}, {"compiler", __VERSION__}});
  bool commit = shard.config().server.deliver == DeliverPolicy::commit;
  e.family("info", "gauge", "How this run is configured; always 1.");
  e.sample(uint64_t{1}, {{"deliver", commit ? "commit" : "publish"},
                         {"epoch", shard.cursor({0}).text().substr(0, 12)},
                         {"shards", std::to_string(shard.engine().shard_count())}});
  e.gauge("draining", "1 once the server says good-bye to everyone.", shard.engine().draining() ? 1 : 0);
  e.gauge("uptime_seconds", "Seconds since the engine started.",
          (shard.now() - shard.engine().started_ms()) / 1000);
  e.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", facts.resident_bytes);
  e.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", facts.virtual_bytes);
  e.gauge("process_open_fds", "Open file descriptors; clients' sockets live in io_uring's own tables.",
          facts.open_descriptors);
  e.gauge("process_max_fds", "Maximum number of open file descriptors.", facts.max_descriptors);
  e.gauge("process_threads", "Threads of the process.", facts.threads);
  e.family("process_cpu_seconds_total", "counter", "User and system processor time in seconds.");
  e.sample(facts.cpu_seconds);
  e.family("process_start_time_seconds", "gauge", "Start time of the process since 1970 in seconds.");
  e.sample(facts.start_time_seconds);
}

}  // namespace

std::string metrics_text(Shard& shard, const Totals& totals) {
  std::string out;
  Exposition e(out);
  process(e, shard);
  connections(e, totals.metrics, totals.gauges);
  streams(e, totals.metrics, totals.gauges);
  events(e, totals.metrics);
  commands(e, totals.metrics);
  tenants(e, shard, totals);
  log_and_shards(e, shard, totals);
  store(e, shard, totals.metrics);
  save_hook(e, shard);
  return out;
}

}  // namespace twinwire
