// Bridge: what the settings say about applications that move here with their own paths, type names, member
// names and error texts (protocol: "Bridges"). One Bridge per tenant, one table of routes for the server,
// since a path is looked up before anyone knows who asks. Not here: applying them to requests
// (net/bridge_in.h), to events (wire_style.h), reading them from a file (tools/twinwire/bridge_file.h).
// Filled by main before any thread starts, immutable afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/wire_style.h"

namespace twinwire {

// How a message of an application's own kind becomes a command.
struct CommandAlias {
  std::string command;  // "messages.send"; may be empty where `choose` decides alone
  // The member whose value picks the command, and the commands by that value ("true", "join").
  std::string choose;
  NameTable commands;
  NameTable fields;    // the application's member → ours, unless ours is there too
  NameTable set;       // our member → its value as JSON, where the message has none
  std::string wrap;    // our member that gets the message's data whole
  std::string inside;  // the member of a WebSocket message that holds the data; "data" unless said
  bool operator==(const CommandAlias&) const = default;
};

// What an application's path means here.
struct Route {
  enum class Kind : uint8_t {
    path,     // another address of ours
    command,  // by POST
    hint,     // 200 and a JSON object that names the new address
  };
  Kind kind = Kind::path;
  std::string target;  // "/api/events"; for a command, see `alias`; with a wildcard, "*" stands for the tail
  CommandAlias alias;
  bool operator==(const Route&) const = default;
};

// Exact paths, and paths that end in "*", of which the longest that fits counts.
using RouteTable = std::map<std::string, Route, std::less<>>;
using TypeTable = std::map<std::string, CommandAlias, std::less<>>;

RouteTable default_routes();
TypeTable default_types();

struct Bridge {
  Bridge();
  ~Bridge();
  Bridge(const Bridge&);
  Bridge& operator=(const Bridge&);

  WireStyle style;
  TypeTable types;   // by the "type" of a WebSocket message; "*": of one without
  KeyStyle replies;  // member names in the answers of commands
  // The sentence of a refusal by "<command>.<code>" or "<code>"; the engine's own goes to "detail".
  NameTable errors;
  std::string room;      // of streams and bridged messages that name none
  uint32_t history = 0;  // of streams that give none
};

class Bridges {
 public:
  Bridge common;
  std::map<std::string, Bridge, std::less<>> tenants;  // of those that differ, whole
  const Bridge& of(std::string_view tenant) const {
    if (tenants.empty()) return common;
    auto found = tenants.find(tenant);
    return found == tenants.end() ? common : found->second;
  }
};

// The route of a path, and its tail where the route has a wildcard; nothing if there is none.
const Route* find_route(const RouteTable& routes, std::string_view path, std::string_view& tail);

}  // namespace twinwire
