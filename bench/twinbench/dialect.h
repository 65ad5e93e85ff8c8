// How a server is spoken to: what its readers ask for, when they are subscribed, how a message gets in. Ours,
// the bare one's, and any peer's from bench/peers/NAME.json (the form is described in README.md). Not here:
// sockets. Plain values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/client/http.h"
#include "bench/twinbench/mark.h"
#include "core/status.h"

namespace twinwire::bench {

// What stands for {room}, {user}, {content} and {cursor} in a dialect's texts.
struct Blanks {
  std::string_view room = {};
  std::string_view user = {};
  std::string_view content = {};
  std::string_view cursor = {};
};
// Unknown names in braces stay as they are, since JSON has braces too.
std::string filled(std::string_view text, const Blanks& blanks);

struct Dialect {
  struct Reading {
    std::string target;
    client::Headers headers;
    std::vector<std::string> say;  // after the upgrade
    std::string live;              // the bytes after which it is subscribed; empty: the head is enough
    std::vector<std::pair<std::string, std::string>> answers;  // a text, and what it is answered with
    std::string resume;  // appended to the target by a reader that comes back; holds {cursor}
  };
  enum class Via : uint8_t { post, ws, records };  // records: floor_bare's own
  struct Publishing {
    Via via = Via::post;
    std::string method = "POST";
    std::string target;
    client::Headers headers;
    std::string body;
    bool pipeline = true;
    std::vector<std::string> say;
    std::string live;
    std::string message;  // of each, on a WebSocket
    std::string answer;   // what every answer on a WebSocket contains; empty: none comes
    std::string refusal;  // what a refusal contains
  };

  std::string name;
  std::string about;
  std::optional<Reading> sse;
  std::optional<Reading> ws;
  Publishing publish;
  std::optional<Publishing> post;  // in chats on SSE, instead of `publish`
  std::string speak;               // what a member says on its own WebSocket; empty: `publish`
  std::string speak_answer;        // how the answers to it begin

  const std::optional<Reading>& reading(Form form) const { return form == Form::sse ? sse : ws; }
};

struct PeerFile {
  Dialect dialect;
  std::vector<std::string> start;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string ready;
};
// Error: what is wrong with the text, in a sentence.
Result<PeerFile> parse_peer(std::string_view json);

// Ours. `kept`: stored messages, else ephemeral events. `ack`: accepted, stored.
struct TwinwireWords {
  bool kept = true;
  std::string ack = "accepted";
  unsigned heartbeat_seconds = 600;  // none falls into a measurement; 0: the server's defaults
};
// Whether a target's name says that it is ours: "twinwire", or another build of it, "twinwire:LABEL".
inline bool is_ours(std::string_view name) { return name == "twinwire" || name.starts_with("twinwire:"); }
Dialect twinwire_dialect(const TwinwireWords& words);
// floor_bare reads what our clients say and answers with our server's bytes; only the way in is its own.
Dialect bare_dialect(const TwinwireWords& words);

// The request of a reader, whole.
client::Request reader_request(const Dialect::Reading& reading, Form form, const Blanks& blanks);

}  // namespace twinwire::bench
