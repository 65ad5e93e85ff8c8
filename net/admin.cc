// The operators' listener: health for everyone, everything else for who holds the token.
#include <openssl/crypto.h>

#include "core/engine.h"
#include "core/json.h"
#include "core/shard.h"
#include "net/gateway.h"
#include "net/json_in.h"
#include "net/query.h"

namespace twinwire {
namespace {

// What an operator acts as in rooms and events.
constexpr std::string_view kOperatorName = "operator";

bool bearer_matches(const HttpRequest& request, std::string_view token) {
  auto field = request.field("authorization");
  if (!field || !equals_ignoring_case(field->substr(0, 7), "bearer ")) return false;
  std::string_view given = trim_http(field->substr(7));
  // The time it takes says nothing about how much was right.
  return given.size() == token.size() && !token.empty() &&
         CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;
}

}  // namespace

void Gateway::on_operator_request(ConnectionId id, const HttpRequest& request) {
  std::string_view path = request.path;
  bool get = request.method == HttpMethod::get || request.method == HttpMethod::head;
  if (path == "/health/live" || path == "/health/ready") {
    if (!get) return wrong_method(id, "GET, HEAD");
    if (path == "/health/ready" && engine_->draining()) return refuse(id, fail(Code::draining, "going down"));
    return answer(id, {.body = "{\"status\":\"ok\"}"});
  }
  struct Question {
    std::string_view path;
    Shard::Gather what;
  };
  constexpr Question kQuestions[] = {{"/admin/stats", Shard::Gather::stats},
                                     {"/admin/rooms", Shard::Gather::rooms},
                                     {"/admin/sessions", Shard::Gather::sessions},
                                     {"/metrics", Shard::Gather::metrics}};
  const Question* question = nullptr;
  for (const Question& q : kQuestions) {
    if (q.path == path) question = &q;
  }
  bool tail = path == "/admin/tail", publish = path == "/admin/publish";
  bool ending = path == "/admin/revoke" || path == "/admin/kick";
  if (!question && !tail && !publish && !ending)
    return refuse(id, fail(Code::not_found, "there is nothing here"));
  if (!bearer_matches(request, shared_.operator_token)) {
    return refuse(id, fail(Code::unauthenticated, "send Authorization: Bearer with the operators' token"),
                  "WWW-Authenticate: Bearer\r\n");
  }
  if (publish) return on_operator_publish(id, request);
  if (ending) return on_operator_ending(id, request);
  if (!get) return wrong_method(id, "GET, HEAD");
  if (tail) return on_operator_tail(id, request);
  Connection& c = at(id);
  c.set(Connection::kBusy);
  if (question->what == Shard::Gather::metrics) c.set(Connection::kPlainText);
  Query query(request.query);
  shard_->gather(question->what, id, std::string(), query.value("tenant").value_or(std::string()));
}

// {tenant?, user}: ends the user's streams, and with /admin/revoke refuses the tokens issued until now.
void Gateway::on_operator_ending(ConnectionId id, const HttpRequest& request) {
  if (request.method != HttpMethod::post) return wrong_method(id, "POST");
  std::string user = text_member(request.body, "user").value_or(std::string());
  std::string tenant = text_member(request.body, "tenant").value_or(config_.server.tenant);
  if (auto ok = check_name("user", user, names_.user_id_bytes); !ok) return refuse(id, ok.error());
  if (auto ok = check_name("tenant", tenant, kTenantBytesMax); !ok) return refuse(id, ok.error());
  at(id).set(Connection::kBusy);
  bool revoke = request.path == "/admin/revoke";
  shard_->end_user(Name(tenant, user), revoke ? Homes::Ending::revoked : Homes::Ending::kicked, id,
                   std::string());
}

Result<Identity> Gateway::operator_identity(Query& query) const {
  std::string tenant = query.value("tenant").value_or(config_.server.tenant);
  if (auto ok = check_name("tenant", tenant, kTenantBytesMax); !ok) return ok.error();
  Identity who;
  who.user = Name(tenant, kOperatorName);
  who.backend = true;
  return who;
}

// A stream of one room that counts as nobody's presence.
void Gateway::on_operator_tail(ConnectionId id, const HttpRequest& request) {
  Query query(request.query);
  auto stream = stream_request(request, Form::sse);
  if (!stream) return refuse(id, stream.error());
  for (std::string& room : query.list("room")) {
    if (auto ok = check_name("room", room, names_.room_name_bytes); !ok) return refuse(id, ok.error());
    stream->rooms.push_back(std::move(room));
  }
  if (stream->rooms.empty()) return refuse(id, fail(Code::invalid_argument, "'room' is required"));
  auto who = operator_identity(query);
  if (!who) return refuse(id, who.error());
  stream->who = std::move(*who);
  stream->observer = true;
  stream->session = SessionId{};
  begin_sse(id, std::move(*stream));
}

// {room, text}: a message; {room or user, type, data, ephemeral?}: any event.
void Gateway::on_operator_publish(ConnectionId id, const HttpRequest& request) {
  if (request.method != HttpMethod::post) return wrong_method(id, "POST");
  Query query(request.query);
  auto text = text_member(request.body, "text");
  const CommandRow* row = find_command(text ? "messages.send" : "events.publish");
  TW_CHECK(row);
  std::string body(request.body);
  if (text) {
    body.clear();
    JsonObject object(body);
    object.field("room", text_member(request.body, "room").value_or(std::string()))
        .field("content", *text)
        .end();
  }
  auto args = decode_args(*row, body, names_);
  if (!args) return refuse(id, args.error());
  Command command;
  command.row = row;
  command.args = std::move(*args);
  auto who = operator_identity(query);
  if (!who) return refuse(id, who.error());
  command.who = std::move(*who);
  command.origin = shard_->index();
  command.connection = id;
  command.connection_generation = sockets_.generation(id);
  at(id).set(Connection::kBusy);
  shard_->command(std::move(command));
}

}  // namespace twinwire
