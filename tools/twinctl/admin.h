// The admin listener as twinctl sees it: one request and its whole answer, or a stream of events; blocking.
// Not here: what is printed. One thread. Owns a socket for the length of a call.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "bench/client/http.h"
#include "core/status.h"

namespace twinwire::ctl {

struct Access {
  client::Endpoint to;
  std::string token;
  std::string token_origin;  // for people: where the token was looked for
};

struct TokenSources {
  std::string option;       // --token
  std::string environment;  // TWINCTL_TOKEN
  std::string data_folder;  // --data: <folder>/admin.token
};
// The first that is there. An unreadable file is no error: the server says 401, and the answer explains.
void find_token(const TokenSources& sources, Access& access);

// "http://127.0.0.1:8081/", "localhost:8081", "http://[::1]:8081": where the admin listener is. An IPv6
// address stands in brackets, in the result too, as in a URL. Errors are sentences.
Result<client::Endpoint> admin_address(std::string_view url);

// The body of a 200 or 201. Errors are sentences that say what to do.
Result<std::string> request(const Access& access, client::Request request);

// An event stream. `on_event` gets each event's JSON and the cursor behind it, and says whether to go on.
// Returns when told to stop (true) or when the stream ended (false).
using OnEvent = std::function<bool(std::string_view json, std::string_view cursor)>;
Result<bool> follow(const Access& access, const std::string& target, const OnEvent& on_event);

}  // namespace twinwire::ctl
