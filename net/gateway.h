// Gateway: bytes to commands and streams, and answers back to bytes, for the connections of one shard. It is
// the sockets' handler on one side and the shard's Transport on the other.
//   bytes → HTTP request → command, stream, page, operators' answer        (gateway_http.cc, admin.cc)
//         → WebSocket message → command                                    (gateway_ws.cc)
//   stream requests, heartbeats, draining                                  (gateway_streams.cc)
// Not here: framing (http, websocket), what commands do (core), threads (net/server).
// The shard's thread only, but for what is constant and request_drain().
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/command.h"
#include "core/config.h"
#include "core/page.h"
#include "core/transport.h"
#include "net/admission.h"
#include "net/auth.h"
#include "net/connection.h"
#include "net/origin.h"
#include "net/sockets.h"

namespace twinwire {

class Engine;
class Query;
class Shard;
struct WsEnvelope;

// What all gateways share; constant while they run, but for the counters of Admission.
struct GatewayShared {
  const Config& config;
  const Clock& clock;
  std::span<const Page> pages;
  const Authenticator& authenticator;
  const OriginPolicy& public_origins;
  const OriginPolicy& operator_origins;
  Admission& admission;
  std::string operator_token;
};

class Gateway final : public SocketHandler, public Transport {
 public:
  // Which of the listeners given to Sockets::start is the operators'.
  static constexpr uint32_t kPublicListener = 0, kOperatorListener = 1;

  Gateway(const GatewayShared& shared, Loop& loop);
  ~Gateway() override;
  // Before the first turn.
  void bind(Engine& engine, Shard& shard);

  Sockets& sockets() { return sockets_; }

  // ---- the turn (net/server) ----
  // Deadlines, held-back bytes that may go on, draining. Before Shard::tick().
  void turn(Millis now);
  // Whether turn() has something to do at once.
  bool busy() const;
  // When turn() must come at the latest.
  Millis next_deadline() const;

  // Says good-bye to every stream, spread over `drain.seconds`. Any thread.
  void request_drain() { drain_requested_.store(true, std::memory_order_release); }  // partner: turn()
  // Every connection has gone.
  bool drained() const { return draining_ && sockets_.open_count() == 0; }

  // ---- Transport ----
  void send(ConnectionId id, const char* bytes, size_t size) override;
  void submit() override;
  void want_writable(ConnectionId id) override;
  void close(ConnectionId id) override;
  void reply(ConnectionId id, std::string_view tag, const Reply& reply) override;
  uint32_t connections() const override { return clients_; }
  void stream_opened(ConnectionId id) override;
  uint32_t operator_connections() const override { return operators_; }

  // ---- SocketHandler ----
  void on_open(const Opened& opened) override;
  void on_bytes(ConnectionId id, std::span<char> bytes) override;
  void on_end(ConnectionId id) override;
  void on_short(ConnectionId id, uint32_t sent) override;
  void on_writable(ConnectionId id) override;
  void on_gone(ConnectionId id) override;
  void on_closed(ConnectionId id) override;

 private:
  struct Answer {
    int status = 200;
    std::string_view body = {};
    std::string_view content_type = "application/json; charset=utf-8";
    std::string_view fields = {};
  };

  // ---- gateway.cc: the life of a connection ----
  Connection& at(ConnectionId id) { return connections_[index_of(id)]; }
  Extra& extra(Connection& c);
  void drop_extra_if_empty(Connection& c);
  void feed(ConnectionId id, std::span<char> bytes);
  void hold(ConnectionId id, std::string_view bytes);
  void go_on_later(ConnectionId id);
  void go_on(ConnectionId id);
  void end_after_flush(ConnectionId id);
  void hold_if_full(ConnectionId id);
  void set_deadline(ConnectionId id, Millis in_ms);
  void clear_deadline(ConnectionId id) { deadlines_[index_of(id)] = 0; }
  void expire(ConnectionId id);
  void abort_stalled(ConnectionId id);
  void scan_deadlines();
  uint32_t now_ds() const;
  std::string_view date();

  // ---- gateway_http.cc: requests ----
  void feed_http(ConnectionId id, std::span<char> bytes);
  void request_waits(ConnectionId id, std::unique_ptr<HttpReader> reader);
  void on_request(ConnectionId id, const HttpRequest& request);
  void route(ConnectionId id, const HttpRequest& request, std::string_view path);
  bool route_native(ConnectionId id, const HttpRequest& request, std::string_view path);
  void follow_route(ConnectionId id, const HttpRequest& request, const Route& route, std::string_view tail);
  const Bridge& bridge_of(const HttpRequest& request) const;
  void answer(ConnectionId id, const Answer& answer);
  void refuse(ConnectionId id, const Error& error, std::string_view fields = {});
  void refuse_command(ConnectionId id, const CommandRow& row, const Error& error,
                      std::string_view tenant = {});
  void refuse_status(ConnectionId id, int status, std::string_view sentence);
  void wrong_method(ConnectionId id, std::string_view allow);
  void on_page(ConnectionId id, const HttpRequest& request, const Page& page);
  void on_schema(ConnectionId id, const HttpRequest& request);
  void on_command(ConnectionId id, const HttpRequest& request, const CommandRow& row);
  void on_batch(ConnectionId id, const HttpRequest& request, const Command& like);
  void answer_reply(ConnectionId id, const Reply& reply);
  const Page* find_page(std::string_view path) const;

  // ---- gateway_auth.cc ----
  Result<Identity> authenticate(const Credentials& credentials) const;
  Result<Identity> identify(const HttpRequest& request, Query& query, std::string_view body_token = {},
                            bool* brought = nullptr) const;
  Result<Identity> identify_reader(const HttpRequest& request, Query& query, bool* brought = nullptr) const;
  void ws_auth(ConnectionId id, std::string id_json, std::string_view data);

  // ---- gateway_streams.cc ----
  void fill_from_bridge(StreamRequest& stream) const;
  Result<StreamRequest> stream_request(const HttpRequest& request, Query& query, Form form) const;
  void on_events(ConnectionId id, const HttpRequest& request);
  void begin_sse(ConnectionId id, StreamRequest stream);
  void refuse_sse(ConnectionId id, Code code);
  void refuse_handshake(ConnectionId id, const WsHandshake& handshake);
  void on_poll(ConnectionId id, const HttpRequest& request);
  void on_websocket(ConnectionId id, const HttpRequest& request);
  void on_echo(ConnectionId id, const HttpRequest& request);
  void open_websocket(ConnectionId id, StreamRequest stream);
  bool turned_away(ConnectionId id, Code& code) const;
  void drain_some();
  void end_for_drain(ConnectionId id);
  void say_bye(ConnectionId id, Code code, std::string_view reason, bool reconnect);

  // ---- gateway_ws.cc ----
  void feed_ws(ConnectionId id, std::span<char> bytes);
  void ws_message(ConnectionId id, std::string_view text);
  void ws_command(ConnectionId id, std::string_view type, std::string id_json, std::string_view data);
  void ws_alias(ConnectionId id, const CommandAlias& alias, const WsEnvelope& envelope,
                std::string_view text);
  const Bridge& ws_bridge(ConnectionId id) const;
  void ws_failed(ConnectionId id, uint16_t close_code);
  void write_ws_json(ConnectionId id, std::string_view json);
  void write_ws_reply(ConnectionId id, std::string_view id_json, const Reply& reply);
  void write_ws_reply_body(ConnectionId id, std::string_view id_json, std::string_view body);

  // ---- admin.cc: the operators' listener ----
  void on_operator_request(ConnectionId id, const HttpRequest& request);
  void on_operator_tail(ConnectionId id, const HttpRequest& request);
  void on_operator_publish(ConnectionId id, const HttpRequest& request);
  void on_operator_command(ConnectionId id, const HttpRequest& request, std::string_view name,
                           const std::string& body);
  void on_operator_revoke(ConnectionId id, const HttpRequest& request);
  void on_operator_kick(ConnectionId id, const HttpRequest& request);
  void on_operator_gather(ConnectionId id, const HttpRequest& request, bool text);
  void on_operator_rooms(ConnectionId id, const HttpRequest& request);
  void on_operator_room(ConnectionId id, const HttpRequest& request);
  void on_operator_sessions(ConnectionId id, const HttpRequest& request);
  void on_ready(ConnectionId id);
  void answer_operator(ConnectionId id, uint32_t generation, const Reply& reply);
  Result<Identity> operator_identity(const HttpRequest& request) const;

  // Constant after bind().
  const GatewayShared& shared_;
  const Config& config_;
  Engine* engine_ = nullptr;
  Shard* shard_ = nullptr;
  Millis started_ms_ = 0;
  NameLimits names_;

  // The shard's thread only.
  Sockets sockets_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> deadlines_;       // tenths of a second, 0: none
  uint32_t clients_ = 0, operators_ = 0;  // open connections
  uint32_t places_used_ = 0;              // one more than the largest number seen
  std::vector<ConnectionId> ready_, going_on_;
  std::vector<ConnectionId> full_;
  std::vector<ConnectionId> dead_sends_;
  std::unique_ptr<HttpReader> spare_reader_;
  std::unique_ptr<WsReader> spare_ws_;
  std::string out_;
  std::string fields_;  // CORS fields of the request that is being handled
  // Whose bridge it is under, once known, and its command: for refusals.
  const Bridge* request_bridge_ = nullptr;
  std::string_view request_command_;
  Millis now_ = 0;
  uint32_t scan_at_ = 0;
  bool scanning_ = false;
  uint32_t earliest_ds_ = UINT32_MAX;       // no deadline is before it
  uint32_t scan_earliest_ds_ = UINT32_MAX;  // of the part scanned so far
  Millis scanned_ms_ = 0;
  uint64_t jitter_ = 1;
  bool draining_ = false;
  Millis drain_began_ = 0;
  uint32_t drain_at_ = 0;
  std::string date_;
  uint64_t date_second_ = 0;

  // Shared.
  std::atomic<bool> drain_requested_{false};
};

}  // namespace twinwire
