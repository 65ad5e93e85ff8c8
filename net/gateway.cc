// The life of a connection: opening, bytes held back and let go on, deadlines, the end.
#include "net/gateway.h"

#include <algorithm>

#include "core/engine.h"
#include "core/shard.h"
#include "net/http_response.h"

namespace twinwire {
namespace {

// A kept-alive connection without a request, and the last bytes to a peer that does not read.
constexpr Millis kIdleMs = 75000;
constexpr Millis kEndingMs = 30000;
// Deadlines looked at in one turn: a few microseconds' worth.
constexpr uint32_t kScanMax = 16384;

}  // namespace

Gateway::Gateway(const GatewayShared& shared, Loop& loop)
    : shared_(shared), config_(shared.config), sockets_(loop, *this, SocketsOptions{}) {
  connections_.resize(sockets_.places());
  deadlines_.resize(sockets_.places());
  names_.room_name_bytes = config_.limits.room_name_bytes;
  names_.user_id_bytes = config_.limits.user_id_bytes;
  names_.message_bytes = static_cast<uint32_t>(config_.limits.message_bytes);
  started_ms_ = now_ = shared.clock.now_ms();
}

Gateway::~Gateway() {
  for (Connection& c : connections_) delete c.extra;
}

void Gateway::bind(Engine& engine, Shard& shard) {
  engine_ = &engine;
  shard_ = &shard;
  jitter_ = shard.random().next() | 1;
}

// Tenths of a second since the start; never 0, which means "none" in deadlines.
uint32_t Gateway::now_ds() const { return static_cast<uint32_t>((now_ - started_ms_) / 100) + 1; }

std::string_view Gateway::date() {
  uint64_t wall = shared_.clock.wall_ms();
  if (wall / 1000 != date_second_ || date_.empty()) {
    date_second_ = wall / 1000;
    date_ = http_date(wall);
  }
  return date_;
}

Extra& Gateway::extra(Connection& c) {
  if (!c.extra) c.extra = new Extra;
  return *c.extra;
}

void Gateway::drop_extra_if_empty(Connection& c) {
  if (!c.extra || !c.extra->empty()) return;
  delete c.extra;
  c.extra = nullptr;
}

// ---- SocketHandler ----

void Gateway::on_open(const Opened& opened) {
  Connection& c = at(opened.id);
  TW_CHECK(c.state == ConnectionState::free && c.extra == nullptr);
  c = Connection{};
  c.state = ConnectionState::http;
  c.heard_ds = now_ds();
  if (opened.listener == kOperatorListener) {
    operators_++;
    shard_->metrics().accepted_operators++;
    c.set(Connection::kOperators);
  } else {
    clients_++;
    shard_->metrics().accepted++;
    c.address = Admission::bucket_of(opened.peer.counting_key());
    if (!shared_.admission.enter(c.address) || opened.last_places) c.set(Connection::kOverLimit);
  }
  places_used_ = std::max(places_used_, index_of(opened.id) + 1);
  shard_->connection_opened(opened.id, sockets_.generation(opened.id));
  set_deadline(opened.id, config_.limits.head_timeout_ms);
}

void Gateway::on_bytes(ConnectionId id, std::span<char> bytes) {
  Connection& c = at(id);
  c.heard_ds = now_ds();
  shard_->metrics().received_bytes += bytes.size();
  if (c.flags & (Connection::kBusy | Connection::kOpening | Connection::kFull | Connection::kHolding)) {
    return hold(id, {bytes.data(), bytes.size()});
  }
  feed(id, bytes);
}

void Gateway::feed(ConnectionId id, std::span<char> bytes) {
  switch (at(id).state) {
    case ConnectionState::http:
      return feed_http(id, bytes);
    case ConnectionState::ws_auth:
    case ConnectionState::ws:
    case ConnectionState::echo:
      return feed_ws(id, bytes);
    default:
      return;  // nothing that a client says there means anything
  }
}

// Keeps bytes until the connection may go on, and stops reading: at most a receive or two are ever held.
void Gateway::hold(ConnectionId id, std::string_view bytes) {
  Connection& c = at(id);
  if (c.state == ConnectionState::sse || c.state == ConnectionState::ending || bytes.empty()) return;
  extra(c).held.append(bytes);
  c.set(Connection::kHolding);
  sockets_.pause(id);
}

void Gateway::go_on_later(ConnectionId id) {
  Connection& c = at(id);
  if (!(c.flags & (Connection::kHolding | Connection::kEnded)) || c.has(Connection::kReady)) return;
  c.set(Connection::kReady);
  ready_.push_back(id);
}

void Gateway::go_on(ConnectionId id) {
  Connection& c = at(id);
  c.clear(Connection::kReady);
  if (c.state == ConnectionState::free || !sockets_.takes(id)) return;
  if (c.flags & (Connection::kBusy | Connection::kOpening | Connection::kFull)) return;
  if (c.has(Connection::kHolding)) {
    c.clear(Connection::kHolding);
    std::string held;
    if (c.extra) held.swap(c.extra->held);
    drop_extra_if_empty(c);
    feed(id, held);
    if (!c.has(Connection::kHolding)) sockets_.resume(id);
  }
  bool waits = (c.flags & (Connection::kHolding | Connection::kBusy)) != 0;
  if (c.has(Connection::kEnded) && !waits && c.state == ConnectionState::http) end_after_flush(id);
}

void Gateway::hold_if_full(ConnectionId id) {
  Connection& c = at(id);
  if (c.has(Connection::kFull) || !shard_->overfull(id)) return;
  c.set(Connection::kFull);
  full_.push_back(id);
  sockets_.pause(id);
  c.set(Connection::kHolding);
}

void Gateway::on_end(ConnectionId id) {
  Connection& c = at(id);
  c.set(Connection::kEnded);
  c.ends_by(CloseCause::client);
  switch (c.state) {
    case ConnectionState::http:
      // Half-closed: what it asked for before is still answered.
      if (!(c.flags & (Connection::kBusy | Connection::kHolding))) end_after_flush(id);
      return;
    case ConnectionState::ending:
      return;
    default:
      c.state = ConnectionState::ending;
      sockets_.close(id);
  }
}

void Gateway::on_short(ConnectionId id, uint32_t sent) {
  Connection& c = at(id);
  if (c.blocked_ds == 0 || sent > 0) c.blocked_ds = now_ds();
  c.set(Connection::kSlow);
  shard_->on_short_send(id, sent);
}

void Gateway::on_writable(ConnectionId id) {
  // The peer has taken bytes: that is a sign of life too.
  at(id).blocked_ds = 0;
  at(id).heard_ds = now_ds();
  shard_->on_writable(id);
}

void Gateway::on_gone(ConnectionId id) {
  at(id).state = ConnectionState::ending;
  at(id).ends_by(CloseCause::broken);
}

void Gateway::on_closed(ConnectionId id) {
  Connection& c = at(id);
  shard_->connection_closed(id);
  if (c.has(Connection::kOperators)) {
    operators_--;
  } else {
    shared_.admission.leave(c.address);
    clients_--;
    shard_->metrics().count_close(c.cause == CloseCause::none ? CloseCause::shutdown : c.cause);
  }
  delete c.extra;
  c = Connection{};
  clear_deadline(id);
}

// ---- Transport ----

void Gateway::send(ConnectionId id, const char* bytes, size_t size) {
  if (sockets_.takes(id)) return sockets_.send(id, {bytes, size});
  dead_sends_.push_back(id);
}

void Gateway::submit() {
  sockets_.flush();
  for (size_t i = 0; i < dead_sends_.size(); i++) shard_->on_short_send(dead_sends_[i], 0);
  dead_sends_.clear();
}

void Gateway::want_writable(ConnectionId id) {
  if (sockets_.takes(id)) sockets_.want_writable(id);
}

void Gateway::close(ConnectionId id) {
  at(id).state = ConnectionState::ending;
  at(id).ends_by(CloseCause::ended);
  clear_deadline(id);
  if (sockets_.takes(id)) sockets_.close(id);
}

void Gateway::stream_opened(ConnectionId id) {
  Connection& c = at(id);
  c.clear(Connection::kOpening);
  go_on_later(id);
}

void Gateway::end_after_flush(ConnectionId id) {
  Connection& c = at(id);
  if (c.state == ConnectionState::ending) return;
  c.state = ConnectionState::ending;
  set_deadline(id, kEndingMs);
  shard_->close_when_flushed(id);
}

// ---- the turn ----

void Gateway::turn(Millis now) {
  now_ = now;
  sockets_.tick(now);
  scan_deadlines();
  for (size_t i = 0; i < full_.size();) {
    ConnectionId id = full_[i];
    Connection& c = at(id);
    if (c.has(Connection::kFull) && sockets_.takes(id) && shard_->overfull(id)) {
      i++;
      continue;
    }
    full_[i] = full_.back();
    full_.pop_back();
    c.clear(Connection::kFull);
    go_on_later(id);
  }
  going_on_.clear();
  going_on_.swap(ready_);
  for (ConnectionId id : going_on_) go_on(id);
  if (drain_requested_.load(std::memory_order_acquire)) drain_some();  // partner: request_drain()
}

// The tick may just have sent what a full connection had: nothing else would tell.
bool Gateway::busy() const {
  return !ready_.empty() || std::any_of(full_.begin(), full_.end(), [this](ConnectionId id) {
    return !sockets_.takes(id) || !shard_->overfull(id);
  });
}

Millis Gateway::next_deadline() const {
  if (scanning_ || !ready_.empty()) return now_;
  Millis next = UINT64_MAX;
  if (earliest_ds_ != UINT32_MAX) next = started_ms_ + Millis{earliest_ds_} * 100;
  // Lingering closes and paused accepts are looked at by sockets_.tick(); a second is soon enough for both.
  if (sockets_.has_timers()) next = std::min(next, now_ + 500);
  if (drain_requested_.load(std::memory_order_acquire))
    next = std::min(next, now_ + 20);  // partner: request_drain()
  return next;
}

void Gateway::set_deadline(ConnectionId id, Millis in_ms) {
  uint32_t at_ds = now_ds() + static_cast<uint32_t>((in_ms + 99) / 100);
  deadlines_[index_of(id)] = at_ds;
  earliest_ds_ = std::min(earliest_ds_, at_ds);
}

// A dense array of four bytes per connection, read a slice at a time and only when something can be due: no
// timer objects, and nothing to move when a deadline is set anew.
void Gateway::scan_deadlines() {
  uint32_t now = now_ds();
  if (!scanning_) {
    if (now < earliest_ds_) return;
    scanning_ = true;
    scan_at_ = 0;
    scan_earliest_ds_ = UINT32_MAX;
    earliest_ds_ = UINT32_MAX;
  }
  uint32_t end = std::min(places_used_, scan_at_ + kScanMax);
  for (; scan_at_ < end; scan_at_++) {
    uint32_t deadline = deadlines_[scan_at_];
    if (deadline == 0) continue;
    if (deadline > now) {
      scan_earliest_ds_ = std::min(scan_earliest_ds_, deadline);
      continue;
    }
    deadlines_[scan_at_] = 0;
    expire(ConnectionId(scan_at_));
  }
  if (scan_at_ < places_used_) return;
  scanning_ = false;
  earliest_ds_ = std::min(earliest_ds_, scan_earliest_ds_);
}

void Gateway::expire(ConnectionId id) {
  Connection& c = at(id);
  uint32_t stall_ds = config_.slow.stall_seconds * 10;
  bool stalled = c.blocked_ds != 0 && now_ds() - c.blocked_ds >= stall_ds;
  if (!sockets_.takes(id)) return;
  switch (c.state) {
    case ConnectionState::free:
      return;
    case ConnectionState::http:
      if (c.has(Connection::kInRequest)) {
        c.ends_by(CloseCause::timeout);
        return refuse_status(id, 408,
                             c.has(Connection::kInBody) ? "the request body did not arrive in time"
                                                        : "the request head did not arrive in time");
      }
      // An answer that the peer takes slowly is no idleness.
      if (c.blocked_ds != 0 && !stalled) return set_deadline(id, kIdleMs);
      c.ends_by(stalled ? CloseCause::stalled : CloseCause::idle);
      return end_after_flush(id);
    case ConnectionState::sse:
    case ConnectionState::poll:
      if (stalled) return abort_stalled(id);
      if (c.state == ConnectionState::sse) shard_->heartbeat(id);
      return set_deadline(id, Millis{c.heartbeat_seconds} * 1000);
    case ConnectionState::ws: {
      if (stalled) return abort_stalled(id);
      // A slow reader answers the pings when it has come to them.
      uint32_t patience_ds = c.has(Connection::kSlow) ? stall_ds : 20u * c.heartbeat_seconds;
      bool silent = c.blocked_ds == 0 && now_ds() - c.heard_ds >= patience_ds;
      if (silent && !c.has(Connection::kHolding)) {
        c.ends_by(CloseCause::silent);
        set_deadline(id, kEndingMs);
        return shard_->end_stream(id, Code::ok, "nothing came for two heartbeats", true, 0);
      }
      constexpr std::string_view kPing("\x89\x00", 2);
      if (c.blocked_ds == 0) shard_->write(id, kPing);
      return set_deadline(id, Millis{c.heartbeat_seconds} * 1000);
    }
    case ConnectionState::ws_auth:
      c.ends_by(CloseCause::timeout);
      return say_bye(id, Code::unauthenticated, "nobody said who this is", false);
    case ConnectionState::echo:
      return;
    case ConnectionState::ending:
      // Who takes its last bytes slowly may have them.
      if (c.blocked_ds != 0 && now_ds() - c.blocked_ds < kEndingMs / 100) return set_deadline(id, kEndingMs);
      return abort_stalled(id);
  }
}

void Gateway::abort_stalled(ConnectionId id) {
  at(id).ends_by(CloseCause::stalled);
  sockets_.abort(id);
}

}  // namespace twinwire
