// What net knows of one connection: 28 bytes here and 8 in net/sockets, in arrays indexed by connection
// number, so that an idle one costs nothing more. Readers, held-back bytes and the like are an Extra, which
// exists only while a request or message is incomplete, or one is being answered. The shard's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/bridge.h"
#include "core/limits.h"
#include "core/transport.h"
#include "core/types.h"
#include "net/http.h"
#include "net/websocket.h"

namespace twinwire {

// What a connection is being used for.
enum class ConnectionState : uint8_t {
  free,
  http,     // requests, one after the other
  sse,      // the body of a stream; nothing is read any more
  poll,     // a request whose answer waits for events
  ws_auth,  // a WebSocket that has not said who it is
  ws,
  echo,    // /debug/echo
  ending,  // the last bytes are on their way
};

struct Extra {
  std::unique_ptr<HttpReader> http;
  std::unique_ptr<WsReader> ws;
  std::string held;                       // bytes that came while they could not be handled
  std::string fields;                     // CORS fields of the answer that is due
  std::unique_ptr<StreamRequest> stream;  // of a WebSocket that has not said who it is
  uint8_t tries = 0;                      // of that one: tokens that did not count
  const Bridge* bridge = nullptr;         // by which the answer that is due is changed, and its command
  std::string_view command;
  bool empty() const {
    return !http && !ws && held.empty() && fields.empty() && !stream && bridge == nullptr;
  }
};

struct Connection {
  enum Flag : uint16_t {
    kOperators = 1 << 0,   // came through the operators' listener
    kOverLimit = 1 << 1,   // one too many: told `overloaded`, then closed
    kBusy = 1 << 2,        // a request is being answered; what comes is held
    kKeepAlive = 1 << 3,   // after that answer the next request may come
    kHeadOnly = 1 << 4,    // that request was HEAD
    kPlainText = 1 << 5,   // that answer is Prometheus text
    kOpening = 1 << 6,     // a WebSocket whose session is not there yet; what comes is held
    kEnded = 1 << 7,       // the peer has sent its FIN
    kServedOne = 1 << 8,   // not the first request any more
    kHolding = 1 << 9,     // reading is paused
    kFull = 1 << 10,       // too much unsent: in the list of those to look at again
    kReady = 1 << 11,      // in the list of those whose held bytes may go on
    kInRequest = 1 << 12,  // the deadline of a head or body runs
    kInBody = 1 << 13,
    kSlow = 1 << 14,  // a WebSocket that has been full: its next pong stands behind what it still reads
  };
  Extra* extra = nullptr;
  uint32_t heard_ds = 0;    // when bytes last came, tenths of a second
  uint32_t blocked_ds = 0;  // since when the socket has taken nothing; 0: it takes
  uint16_t flags = 0;
  uint16_t address = 0;  // bucket of Admission
  uint16_t heartbeat_seconds = 0;
  ConnectionState state = ConnectionState::free;

  bool has(uint16_t flag) const { return (flags & flag) != 0; }
  void set(uint16_t flag) { flags |= flag; }
  void clear(uint16_t flag) { flags &= static_cast<uint16_t>(~flag); }
};
static_assert(sizeof(Connection) + 4 /* its deadline */ + 8 /* Sockets::Slot */ <= kNetConnectionBytes);

}  // namespace twinwire
