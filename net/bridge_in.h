// What a bridge does to messages of an application that moves here, and to the answers it gets: its members
// become a command's parameters, and answers get the names and sentences the application knows. The settings
// themselves are core/bridge.h. Any thread; plain functions (a parser per thread).
#pragma once

#include <string>
#include <string_view>

#include "core/bridge.h"
#include "core/status.h"
#include "core/transport.h"

namespace twinwire {

struct BridgedCommand {
  std::string name;  // "messages.send"
  std::string body;  // its parameters as JSON
};

// `data` becomes the parameters of the alias's command; `tail` fills the "*" of its name, and `room` is the
// one meant where the message names none. What is no JSON object goes through as it is: the command's own
// decoding refuses it. `invalid_argument` where no command fits, `not_found` where the tail is none.
Result<BridgedCommand> bridge_command(const CommandAlias& alias, std::string_view data, std::string_view tail,
                                      std::string_view room);

// Whether answers of this bridge differ from the engine's own.
bool changes_replies(const Bridge& bridge);
// An answer as the application knows it; `command` may be empty.
void bridge_reply(Reply& reply, const Bridge& bridge, std::string_view command);

// {"success":true,"moved":true,…}: what stands at an address that a stream has left. `host` is empty or what
// the client calls us, `secure` whether it came to us over TLS, which a proxy in front has taken off.
struct HintAsked {
  std::string_view host;
  bool secure = false;
};
std::string hint_body(std::string_view target, const HintAsked& asked);

}  // namespace twinwire
