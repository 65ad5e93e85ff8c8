// Transport: what the core asks of the sockets of one shard, and the plain data that crosses between them.
// Implemented by net (io_uring) and by the simulator (byte pipes). The other direction is shard.h.
// Everything here runs on the shard's own thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/identity.h"
#include "core/status.h"
#include "core/types.h"

namespace twinwire {

// How a connection carries events. `none`: plain HTTP requests, no stream.
enum class Form : uint8_t { none, sse, ws, poll };
std::string_view word_of(Form form);

// The answer to a command, or a poll's answer. `body` is a whole JSON object without "type" and "id";
// the gateway frames it (HTTP status from `code`, or a WS text message with "type":"reply" and the command's
// id).
struct Reply {
  Code code = Code::ok;
  std::string body;
  uint32_t retry_after_seconds = 0;  // for the Retry-After header where retryable, 0: leave it to the gateway
};
Reply reply_of(const Error& error);  // {"success":false,"error":…,"code":…,"retryable":…}

// What opens a stream (protocol: "Streams"), already parsed and checked for shape by the gateway.
struct StreamRequest {
  Form form = Form::sse;
  Identity who;
  std::vector<std::string> rooms;   // names of rooms= (the tenant is the user's)
  std::optional<Cursor> cursor;     // lastEventId
  bool earliest = false;            // lastEventId=earliest
  bool bad_cursor = false;          // a lastEventId that is no cursor of ours: told as unknown_cursor
  SessionId session;                // continue this one; none: a new one
  uint32_t history = 0;             // last N of each room
  uint32_t heartbeat_seconds = 15;  // told in `connected`; net runs the timer and calls Shard::heartbeat
  Millis poll_wait_ms = 25000;
  bool observer = false;  // operators' tail: no user, no inbox, no presence, every room readable
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Queues one send. The bytes stay valid until submit() returns; at most one send a connection between
  // submits.
  virtual void send(ConnectionId connection, const char* bytes, size_t size) = 0;
  // Performs what is queued. For each send that did not go out whole (full socket: sent < size, possibly 0)
  // calls Shard::on_short_send before returning; a dead socket counts as short and is reported by
  // connection_closed later.
  virtual void submit() = 0;
  // Calls Shard::on_writable(connection) once when the socket takes bytes again.
  virtual void want_writable(ConnectionId connection) = 0;
  // The connection's last byte is out and its stream has ended: close in good order (RFC 9112 9.6, RFC
  // 6455 7.1.1: for WS the close frame is already among the bytes). Afterwards net calls
  // Shard::connection_closed.
  virtual void close(ConnectionId connection) = 0;
  // The answer to the command or poll that this connection sent. `tag` is what the command brought (the WS
  // id). net turns it into bytes and gives them back through Shard::write.
  virtual void reply(ConnectionId connection, std::string_view tag, const Reply& reply) = 0;
  // The stream on this connection became open, or (for a WS) its session was refused: for net's own
  // bookkeeping.
  virtual void stream_opened(ConnectionId connection) = 0;
  // Connections of clients that are open, streams included; for operators.
  virtual uint32_t connections() const { return 0; }
  virtual uint32_t operator_connections() const { return 0; }
};

}  // namespace twinwire
