// Metrics: what one shard counts, for the core and for the sockets in front of it. Plain numbers that only
// rise, added up over the shards when somebody asks (gather.h). What is true now (open streams, slow readers)
// is in Gauges. Not here: what the store counts (durability.h), how it is shown (net/metrics_text). The
// shard's thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/histogram.h"
#include "core/status.h"

namespace twinwire {

// Rows of the command table that are told apart, and words of Code; there is room for more of both.
inline constexpr size_t kCountedCommands = 64;
inline constexpr size_t kCountedCodes = 24;

// Why a connection ended: what happened to it first.
enum class CloseCause : uint8_t {
  none,
  client,    // the peer closed it, or asked for one answer only
  broken,    // reset, or keepalive gave up
  timeout,   // a head, body or identity did not arrive in time
  idle,      // kept alive without a request
  silent,    // a WebSocket from which nothing came for two heartbeats
  stalled,   // the socket took no byte for too long
  refused,   // malformed, too much, or one connection too many
  ended,     // the server ended the stream: `bye`, taken over, an expired token, an operator
  draining,  // the server is going down, politely
  shutdown,  // the server has gone down
  count_
};
std::string_view word_of(CloseCause cause);

// Close codes of WebSockets that are told apart (RFC 6455, 7.4, and the protocol's own); the last place is
// for all others.
inline constexpr std::array<uint16_t, 16> kWsCloseCodes = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008,
                                                           1009, 1011, 1012, 1013, 4401, 4403, 4429, 0};

// HTTP statuses that are told apart; the last place is for all others.
inline constexpr std::array<uint16_t, 26> kHttpStatuses = {101, 200, 201, 204, 304, 400, 401, 403, 404,
                                                           405, 406, 408, 409, 410, 411, 413, 415, 417,
                                                           421, 426, 429, 431, 500, 501, 503, 0};

struct Metrics {
  // ---- events: given a place, queued, written ----
  uint64_t published_kept = 0, published_ephemeral = 0, published_state = 0, published_marker = 0;
  uint64_t delivered = 0;                                      // (event, stream) pairs from the live end
  uint64_t caught_up_events = 0;                               // likewise, from tails and store
  uint64_t sends = 0, frames = 0, bytes = 0, short_sends = 0;  // frames / sends is the coalescing
  uint64_t runs_joined = 0, runs_reused = 0;  // bursts joined once, and how often the bytes served again
  // From the claim of an event's place to the return of the flush that gave its frames to the kernel; one
  // observation for each (event, stream) of the live end.
  LatencyHistogram write_latency;

  // ---- commands ----
  std::array<std::array<uint64_t, kCountedCodes>, kCountedCommands> commands{};
  std::array<LatencyHistogram, kCountedCommands> command_latency;  // from the gateway to the answer
  uint64_t duplicates = 0, refused_rate = 0, refused_overloaded = 0, refused_storage = 0;
  uint64_t claims_refused = 0, claims_refused_state = 0;

  // ---- streams ----
  std::array<uint64_t, 4> streams_opened{};  // by Form
  uint64_t resumes = 0, resumed_live = 0, resumed_tail = 0, resumed_store = 0, resumed_cut = 0;
  uint64_t take_overs = 0, lagged = 0, caught_up = 0, reads = 0, store_reads = 0, polls = 0;
  uint64_t reset_trimmed = 0, reset_unknown = 0, reset_forbidden = 0, reset_rolled_back = 0;
  std::array<uint64_t, kCountedCodes> byes{};  // by their code
  uint64_t byes_replaced = 0, byes_other = 0;
  uint64_t shed_typing = 0, shed_presence = 0, shed_slow = 0;
  uint64_t unsaved = 0;

  // ---- between cores, and time ----
  uint64_t mail_sent = 0, mail_waited = 0;
  uint64_t ticks = 0;
  LatencyHistogram tick_time;

  // ---- connections (net) ----
  uint64_t accepted = 0, accepted_operators = 0;
  std::array<uint64_t, static_cast<size_t>(CloseCause::count_)> closed{};
  uint64_t received_bytes = 0;
  std::array<uint64_t, kHttpStatuses.size()> responses{};  // of the public listener
  std::array<uint64_t, kWsCloseCodes.size()> ws_closes_sent{}, ws_closes_received{};
  std::array<uint64_t, kCountedCodes> turned_away{};  // overloaded, draining

  // ---- bounds that were met, and rare turns: the simulator asks that each is reached ----
  uint64_t crowded = 0, mailbox_full = 0, no_credit = 0, store_queue_full = 0;
  uint64_t held_overflows = 0, deliveries_paused = 0, tail_dropped = 0, steps_put_off = 0;
  uint64_t gained_by_inbox = 0, gained_by_command = 0, removals = 0, rooms_forgotten = 0,
           sessions_forgotten = 0;
  uint64_t retries_pending = 0, retries_memory = 0, retries_store = 0, held_behind = 0, inbox_waited = 0;
  uint64_t withdrawn_created = 0, withdrawn_added = 0, withdrawn_removed = 0, room_reloads = 0,
           user_reloads = 0, receipts_rewritten = 0;

  void count_command(size_t row, Code code) {
    size_t word = static_cast<size_t>(code);
    commands[row < kCountedCommands ? row : kCountedCommands - 1]
            [word < kCountedCodes ? word : static_cast<size_t>(Code::internal)]++;
  }
  void count_close(CloseCause cause) { closed[static_cast<size_t>(cause)]++; }
  void count_response(int status) { responses[place_of(kHttpStatuses, status)]++; }
  void count_ws_close(bool by_server, int code) {
    (by_server ? ws_closes_sent : ws_closes_received)[place_of(kWsCloseCodes, code)]++;
  }
  void count_bye(std::string_view word);
  template <size_t N>
  static size_t place_of(const std::array<uint16_t, N>& known, int number) {
    size_t i = 0;
    while (i + 1 < N && known[i] != number) i++;
    return i;
  }

  Metrics& operator+=(const Metrics& other) {
    const auto* from = reinterpret_cast<const uint64_t*>(&other);
    auto* to = reinterpret_cast<uint64_t*>(this);
    for (size_t i = 0; i < sizeof(Metrics) / sizeof(uint64_t); i++) to[i] += from[i];
    return *this;
  }
};
static_assert(sizeof(Metrics) % sizeof(uint64_t) == 0);

// What is so now, of one shard; added up like Metrics.
struct Gauges {
  uint64_t sse = 0, ws = 0, poll = 0, tails = 0;       // streams; tails: the operators' own
  uint64_t connections = 0, operator_connections = 0;  // open ones, those that are closing included
  uint64_t sessions = 0, joining = 0, replaying = 0, live = 0, lagging = 0, detached = 0;
  uint64_t rooms = 0, users = 0, tail_bytes = 0, unsettled_rooms = 0;
  uint64_t blocked = 0, held_bytes = 0;  // streams whose socket is full, and what waits for them in memory
  uint64_t mail_waiting = 0, mail_held = 0, history_due = 0, history_waiting = 0;
  uint64_t unread_slots = 0;  // published and not yet consumed by the shard

  Gauges& operator+=(const Gauges& other) {
    const auto* from = reinterpret_cast<const uint64_t*>(&other);
    auto* to = reinterpret_cast<uint64_t*>(this);
    for (size_t i = 0; i < sizeof(Gauges) / sizeof(uint64_t); i++) to[i] += from[i];
    return *this;
  }
};

}  // namespace twinwire
