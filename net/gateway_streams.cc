// Streams: what a request for one says, how each kind begins, turning away, draining.
#include <algorithm>
#include <charconv>

#include "core/engine.h"
#include "core/event.h"
#include "core/json.h"
#include "core/shard.h"
#include "net/gateway.h"
#include "net/http_response.h"
#include "net/query.h"

namespace twinwire {
namespace {

constexpr uint32_t kHeartbeatMin = 10, kHeartbeatMax = 600;
// `retry:` of an SSE stream: its own value per connection, so that a restart does not bring all back at once.
constexpr uint32_t kRetryMinMs = 1000, kRetrySpreadMs = 2000;
// Where the server itself sends clients away, they wait longer.
constexpr uint32_t kAwayMinMs = 2000, kAwaySpreadMs = 6000;
// Public suites send messages of 16 MiB through the echo.
constexpr uint64_t kEchoMax = 64 << 20;

// A whole number of at most nine digits; invalid_argument otherwise.
Result<uint32_t> number_of(std::string_view name, std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 9 || error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::invalid_argument, "'" + std::string(name) + "' must be a whole number");
  }
  return value;
}

// xorshift: spreads, hides nothing.
uint32_t spread(uint64_t& state, uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state % below);
}

std::string bye_json(Code code, std::string_view reason, bool reconnect, uint32_t after_ms) {
  std::string out;
  JsonObject object(out);
  object.field("code", word_of(code))
      .field("reason", reason)
      .field("reconnect", reconnect)
      .field("afterMs", after_ms);
  object.end();
  return out;
}

}  // namespace

// Everything of a stream's query but who asks.
Result<StreamRequest> Gateway::stream_request(const HttpRequest& request, Query& query, Form form) const {
  StreamRequest stream;
  stream.form = form;
  for (std::string& room : query.list("rooms")) {
    if (stream.rooms.size() > config_.limits.rooms_per_stream) break;  // too many already, whatever follows
    if (auto ok = check_name("rooms", room, names_.room_name_bytes); !ok) return ok.error();
    if (std::find(stream.rooms.begin(), stream.rooms.end(), room) == stream.rooms.end()) {
      stream.rooms.push_back(std::move(room));
    }
  }
  if (stream.rooms.size() > config_.limits.rooms_per_stream) {
    return fail(Code::limit_exceeded,
                "a stream follows at most " + std::to_string(config_.limits.rooms_per_stream) + " rooms");
  }
  std::string cursor;
  if (auto field = request.field("last-event-id"); field && !field->empty()) {
    cursor = *field;
  } else {
    for (const char* name : {"lastEventId", "last_event_id", "since"}) {
      if (auto value = query.value(name); value && !value->empty()) {
        cursor = std::move(*value);
        break;
      }
    }
  }
  if (cursor == "earliest") {
    stream.earliest = true;
  } else if (!cursor.empty()) {
    stream.cursor = Cursor::parse(cursor);
    stream.bad_cursor = !stream.cursor;
  }
  // A session id that is none of ours is no error: the stream gets a new one.
  if (auto session = query.value("session"))
    stream.session = SessionId::parse(*session).value_or(SessionId{});
  if (auto value = query.value("history")) {
    auto n = number_of("history", *value);
    if (!n) return n.error();
    stream.history = std::min(*n, config_.limits.history_max);
  }
  stream.heartbeat_seconds = form == Form::ws ? config_.ws.heartbeat_seconds : config_.sse.heartbeat_seconds;
  if (auto value = query.value("heartbeat")) {
    auto n = number_of("heartbeat", *value);
    if (!n) return n.error();
    stream.heartbeat_seconds = std::clamp(*n, kHeartbeatMin, kHeartbeatMax);
  }
  stream.poll_wait_ms = Millis{config_.poll.wait_seconds} * 1000;
  if (auto value = query.value("wait")) {
    auto n = number_of("wait", *value);
    if (!n) return n.error();
    stream.poll_wait_ms = std::min(stream.poll_wait_ms, Millis{*n} * 1000);
  }
  if (query.malformed()) return fail(Code::invalid_argument, "the query is not well encoded");
  return stream;
}

// What the tenant's bridge says of streams that say little.
void Gateway::fill_from_bridge(StreamRequest& stream) const {
  if (stream.observer) return;
  const Bridge& bridge = config_.bridges.of(stream.who.user.tenant());
  if (stream.rooms.empty() && !bridge.room.empty()) stream.rooms.push_back(bridge.room);
  bool resumes = stream.cursor || stream.earliest || stream.bad_cursor;
  if (stream.history == 0 && !resumes) stream.history = std::min(bridge.history, config_.limits.history_max);
}

// Whether a new stream or command has to be sent away, and with which word.
bool Gateway::turned_away(ConnectionId id, Code& code) const {
  if (engine_->draining()) {
    code = Code::draining;
  } else if (connections_[index_of(id)].has(Connection::kOverLimit)) {
    code = Code::overloaded;
  }
  if (code == Code::ok) return false;
  shard_->metrics().turned_away[static_cast<size_t>(code)]++;
  return true;
}

// ---- server-sent events ----

void Gateway::on_events(ConnectionId id, const HttpRequest& request) {
  if (request.method != HttpMethod::get) return wrong_method(id, "GET, OPTIONS");
  Code away = Code::ok;
  if (turned_away(id, away)) return refuse_sse(id, away);
  Query query(request.query);
  auto who = identify_reader(request, query);
  if (!who) return refuse(id, who.error());
  auto stream = stream_request(request, query, Form::sse);
  if (!stream) return refuse(id, stream.error());
  stream->who = std::move(*who);
  begin_sse(id, std::move(*stream));
}

// The body ends with the connection: no chunk framing, so that one joined run of bytes serves every reader.
void Gateway::begin_sse(ConnectionId id, StreamRequest stream) {
  Connection& c = at(id);
  c.state = ConnectionState::sse;
  if (!c.has(Connection::kOperators)) shard_->metrics().count_response(200);
  c.heartbeat_seconds = static_cast<uint16_t>(stream.heartbeat_seconds);
  out_.clear();
  append_stream_head(out_, date(), fields_);
  out_ += "retry: " + std::to_string(kRetryMinMs + spread(jitter_, kRetrySpreadMs)) + "\n\n";
  shard_->write(id, out_);
  set_deadline(id, Millis{c.heartbeat_seconds} * 1000);
  fill_from_bridge(stream);
  shard_->open_stream(id, std::move(stream));
}

// A native EventSource gives up for good on any status but 200: it is told to come back in the stream itself.
void Gateway::refuse_sse(ConnectionId id, Code code) {
  uint32_t after_ms = kAwayMinMs + spread(jitter_, kAwaySpreadMs);
  out_.clear();
  append_stream_head(out_, date(), fields_);
  out_ += "retry: " + std::to_string(after_ms) + "\n\n";
  EventRef bye =
      encode_direct("bye", config_.server.tenant, bye_json(code, "come back a little later", true, after_ms),
                    shared_.clock.wall_ms(), &config_.bridges.common.style);
  out_ += bye->sse();
  shard_->write(id, out_);
  shard_->metrics().count_response(200);
  shard_->metrics().count_bye(word_of(code));
  at(id).ends_by(code == Code::draining ? CloseCause::draining : CloseCause::refused);
  end_after_flush(id);
}

// ---- long polling ----

void Gateway::on_poll(ConnectionId id, const HttpRequest& request) {
  if (request.method != HttpMethod::get) return wrong_method(id, "GET, OPTIONS");
  Query query(request.query);
  auto who = identify_reader(request, query);
  if (!who) return refuse(id, who.error());
  auto stream = stream_request(request, query, Form::poll);
  if (!stream) return refuse(id, stream.error());
  stream->who = std::move(*who);
  Connection& c = at(id);
  c.state = ConnectionState::poll;
  c.set(Connection::kBusy);
  c.heartbeat_seconds = kHeartbeatMax;
  set_deadline(id, stream->poll_wait_ms + Millis{kHeartbeatMax} * 1000);
  if (!fields_.empty()) extra(c).fields = fields_;
  fill_from_bridge(*stream);
  shard_->open_stream(id, std::move(*stream));
}

// ---- WebSocket ----

void Gateway::refuse_handshake(ConnectionId id, const WsHandshake& handshake) {
  at(id).clear(Connection::kKeepAlive);
  Reply reply = reply_of(fail(Code::invalid_argument, std::string(handshake.sentence)));
  std::string_view more;
  if (handshake.status == 426) more = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
  if (handshake.status == 405) more = "Allow: GET\r\n";
  answer(id, {.status = handshake.status, .body = reply.body, .fields = more});
}

void Gateway::on_websocket(ConnectionId id, const HttpRequest& request) {
  WsHandshake handshake = check_ws_handshake(request);
  if (handshake.status != 101) return refuse_handshake(id, handshake);
  Code away = Code::ok;
  if (turned_away(id, away)) return refuse(id, fail(away, "come back a little later"));
  Query query(request.query);
  auto stream = stream_request(request, query, Form::ws);
  if (!stream) return refuse(id, stream.error());
  bool brought = false;
  auto who = identify_reader(request, query, &brought);
  // Who brings nothing may still send an `auth` message.
  bool later = !who && !brought;
  if (!who && !later) return refuse(id, who.error());
  out_.clear();
  append_ws_accept(out_, handshake);
  shard_->write(id, out_);
  shard_->metrics().count_response(101);
  Connection& c = at(id);
  c.heartbeat_seconds = static_cast<uint16_t>(stream->heartbeat_seconds);
  if (!later) {
    stream->who = std::move(*who);
    return open_websocket(id, std::move(*stream));
  }
  c.state = ConnectionState::ws_auth;
  extra(c).stream = std::make_unique<StreamRequest>(std::move(*stream));
  set_deadline(id, config_.auth.timeout_ms);
}

void Gateway::open_websocket(ConnectionId id, StreamRequest stream) {
  Connection& c = at(id);
  c.state = ConnectionState::ws;
  c.set(Connection::kOpening);
  set_deadline(id, Millis{c.heartbeat_seconds} * 1000);
  fill_from_bridge(stream);
  shard_->open_stream(id, std::move(stream));
}

void Gateway::on_echo(ConnectionId id, const HttpRequest& request) {
  WsHandshake handshake = check_ws_handshake(request);
  if (handshake.status != 101) return refuse_handshake(id, handshake);
  Connection& c = at(id);
  c.state = ConnectionState::echo;
  extra(c).ws = std::make_unique<WsReader>(kEchoMax);
  clear_deadline(id);
  out_.clear();
  append_ws_accept(out_, handshake);
  shard_->write(id, out_);
}

// For WebSockets that have no session in the core yet.
void Gateway::say_bye(ConnectionId id, Code code, std::string_view reason, bool reconnect) {
  EventRef bye = encode_direct("bye", config_.server.tenant, bye_json(code, reason, reconnect, 0),
                               shared_.clock.wall_ms(), &config_.bridges.common.style);
  out_ = bye->ws();
  append_ws_close(out_, static_cast<uint16_t>(close_code_of(code)), reason);
  shard_->write(id, out_);
  shard_->metrics().count_bye(word_of(code));
  shard_->metrics().count_ws_close(true, close_code_of(code));
  at(id).ends_by(code == Code::draining ? CloseCause::draining : CloseCause::refused);
  end_after_flush(id);
}

// ---- draining ----

// Good-byes spread evenly over the time configured, in the order of connection numbers; then again from the
// front for what came meanwhile.
void Gateway::drain_some() {
  if (!draining_) {
    draining_ = true;
    drain_began_ = now_;
    drain_at_ = 0;
  }
  // A few connections need not wait out the whole time.
  Millis whole =
      std::max<Millis>(1, std::min(Millis{config_.drain.seconds} * 1000, Millis{places_used_} * 10));
  Millis passed = std::min(now_ - drain_began_, whole);
  auto until = std::min(places_used_, static_cast<uint32_t>(uint64_t{places_used_} * passed / whole) + 1);
  for (; drain_at_ < until; drain_at_++) end_for_drain(ConnectionId(drain_at_));
  if (drain_at_ >= places_used_ && passed == whole) {
    drain_began_ = now_;
    drain_at_ = 0;
  }
}

void Gateway::end_for_drain(ConnectionId id) {
  Connection& c = at(id);
  if (!sockets_.takes(id)) return;
  c.ends_by(CloseCause::draining);
  switch (c.state) {
    case ConnectionState::sse:
    case ConnectionState::ws:
    case ConnectionState::poll: {
      uint32_t after_ms = kAwayMinMs + spread(jitter_, kAwaySpreadMs);
      return shard_->end_stream(id, Code::draining, "the server is going down", true, after_ms);
    }
    case ConnectionState::ws_auth:
      return say_bye(id, Code::draining, "the server is going down", true);
    case ConnectionState::http:
      c.clear(Connection::kKeepAlive);
      if (!c.has(Connection::kBusy)) end_after_flush(id);
      return;
    case ConnectionState::echo:
      out_.clear();
      append_ws_close(out_, static_cast<uint16_t>(close_code_of(Code::draining)), "the server is going down");
      shard_->write(id, out_);
      return end_after_flush(id);
    default:
      return;
  }
}

}  // namespace twinwire
