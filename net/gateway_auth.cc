// Where in a request a client says who it is: header, key, cookie, query, body, and the `auth` message of a
// WebSocket.
#include "core/commands.h"
#include "core/engine.h"
#include "core/event.h"
#include "core/json.h"
#include "core/shard.h"
#include "net/gateway.h"
#include "net/json_in.h"
#include "net/query.h"

namespace twinwire {
namespace {

// Tokens that may be tried on one WebSocket before it is closed.
constexpr uint8_t kTriesMax = 5;

// The value of a cookie (RFC 6265, 4.2.1).
std::string_view cookie_value(const HttpRequest& request, std::string_view name) {
  auto field = request.field("cookie");
  std::string_view rest = field.value_or(std::string_view());
  while (!rest.empty()) {
    size_t end = rest.find(';');
    std::string_view pair = trim_http(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return value;
  }
  return {};
}

}  // namespace

// A token that was revoked while it was on its way is refused here, and again at the room's home.
Result<Identity> Gateway::authenticate(const Credentials& credentials) const {
  auto who = shared_.authenticator.check(credentials, shared_.clock.wall_ms());
  if (who && engine_->revocations().refuses(*who))
    return fail(Code::unauthenticated, "this token has been revoked");
  return who;
}

// The first of these counts: a token in the body (auth.refresh), Authorization, X-Api-Key, the cookie, the
// query; `id` in mode none. `brought`, if given, says whether there was any.
Result<Identity> Gateway::identify(const HttpRequest& request, Query& query, std::string_view body_token,
                                   bool* brought) const {
  Credentials credentials;
  bool named = config_.auth.mode == AuthMode::none;
  std::string user, query_token;
  if (named) {
    user = query.value("id").value_or(std::string());
    if (user.empty() && !request.body.empty()) user = text_member(request.body, "id").value_or(std::string());
  }
  auto header = request.field("authorization");
  // Another scheme is another's: a proxy in front may ask for a password of its own.
  if (header && !equals_ignoring_case(header->substr(0, 7), "bearer ")) header.reset();
  auto key = request.field("x-api-key");
  std::string_view cookie;
  if (!config_.auth.cookie.empty()) cookie = cookie_value(request, config_.auth.cookie);
  query_token = query.value("token").value_or(std::string());
  if (query.malformed()) return fail(Code::invalid_argument, "the query is not well encoded");
  if (brought)
    *brought =
        !user.empty() || !body_token.empty() || header || key || !cookie.empty() || !query_token.empty();
  credentials.user_id = user;
  if (!body_token.empty()) {
    credentials.token = body_token;
  } else if (header) {
    credentials.token = trim_http(header->substr(7));
  } else if (key) {
    credentials.api_key = *key;
  } else if (!cookie.empty()) {
    // A browser sends cookies along with what any page makes it ask: the page must be one of ours.
    if (!shared_.public_origins.is_ours(request))
      return fail(Code::forbidden,
                  "cookies count only from pages of this server or of an origin in origins.allow");
    credentials.token = cookie;
  } else if (!query_token.empty()) {
    if (!config_.auth.query_token && !named)
      return fail(Code::unauthenticated, "tokens in the query do not count here: auth.query_token is off");
    if (config_.auth.query_token) credentials.token = query_token;
  }
  return authenticate(credentials);
}

// Of who wants a stream: backends have none.
Result<Identity> Gateway::identify_reader(const HttpRequest& request, Query& query, bool* brought) const {
  auto who = identify(request, query, {}, brought);
  if (who && who->backend) return fail(Code::forbidden, "a backend acts as nobody: it has no stream");
  return who;
}

// The first `auth` opens the stream; a later one renews, for the same user only.
void Gateway::ws_auth(ConnectionId id, std::string id_json, std::string_view data) {
  Connection& c = at(id);
  std::string user = text_member(data, "userId").value_or(std::string());
  std::string name = text_member(data, "userName").value_or(std::string());
  std::string token = text_member(data, "token").value_or(std::string());
  auto who = authenticate({user, name, token, {}});
  if (who && who->backend) who = fail(Code::forbidden, "a backend acts as nobody: it has no stream");
  auto tell = [&](std::string_view type, std::string_view json) {
    std::string_view tenant = who ? who->user.tenant() : std::string_view(config_.server.tenant);
    EventRef event =
        encode_direct(type, tenant, json, shared_.clock.wall_ms(), &config_.bridges.of(tenant).style);
    shard_->write(id, event->ws());
  };
  if (!who) {
    Reply refusal = reply_of(who.error());
    write_ws_reply(id, id_json, refusal);
    tell("auth.error", refusal.body);
    if (c.state == ConnectionState::ws_auth && ++extra(c).tries >= kTriesMax)
      say_bye(id, Code::unauthenticated, "too many tokens that do not count", false);
    return;
  }
  if (c.state == ConnectionState::ws) {
    uint32_t session = shard_->sessions().on_connection(id);
    if (session == kNone) return;  // its stream has just ended; the good-bye is on its way
    Command command;
    command.row = find_command("auth.refresh");
    command.who = std::move(*who);
    command.session = shard_->sessions().at(session).id;
    command.origin = shard_->index();
    command.connection = id;
    command.connection_generation = sockets_.generation(id);
    command.tag = std::move(id_json);
    return shard_->command(std::move(command));
  }
  std::string result = "{\"success\":true," + auth_fields(*who) + "}";
  write_ws_reply(id, id_json, Reply{Code::ok, result, 0});
  tell("auth.success", result);
  StreamRequest stream = std::move(*c.extra->stream);
  c.extra->stream.reset();
  drop_extra_if_empty(c);
  stream.who = std::move(*who);
  open_websocket(id, std::move(stream));
}

}  // namespace twinwire
