// The operators' listener: health for everyone, everything else for who holds the token.
#include <openssl/crypto.h>

#include "core/engine.h"
#include "core/json.h"
#include "core/shard.h"
#include "net/admin_json.h"
#include "net/gateway.h"
#include "net/json_in.h"
#include "net/metrics_text.h"
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

// Health is for whoever asks; everything else is for who holds the token.
void Gateway::on_operator_request(ConnectionId id, const HttpRequest& request) {
  std::string_view path = request.path;
  bool get = request.method == HttpMethod::get || request.method == HttpMethod::head;
  if (path == "/health/live" || path == "/health/ready") {
    if (!get) return wrong_method(id, "GET, HEAD");
    if (path == "/health/ready") return on_ready(id);
    return answer(id, {.body = "{\"status\":\"ok\"}"});
  }
  enum class Ask : uint8_t { metrics, stats, rooms, room, sessions, tail, publish, clear, kick, revoke };
  struct Known {
    std::string_view path;
    Ask ask;
  };
  constexpr Known kKnown[] = {{"/metrics", Ask::metrics},         {"/admin/stats", Ask::stats},
                              {"/admin/rooms", Ask::rooms},       {"/admin/room", Ask::room},
                              {"/admin/sessions", Ask::sessions}, {"/admin/tail", Ask::tail},
                              {"/admin/publish", Ask::publish},   {"/admin/clear", Ask::clear},
                              {"/admin/kick", Ask::kick},         {"/admin/revoke", Ask::revoke}};
  const Known* known = nullptr;
  for (const Known& each : kKnown)
    if (each.path == path) known = &each;
  if (!known) return refuse(id, fail(Code::not_found, "there is nothing here"));
  if (!bearer_matches(request, shared_.operator_token)) {
    return refuse(id, fail(Code::unauthenticated, "send Authorization: Bearer with the operators' token"),
                  "WWW-Authenticate: Bearer\r\n");
  }
  bool changes = known->ask == Ask::publish || known->ask == Ask::clear || known->ask == Ask::kick ||
                 known->ask == Ask::revoke;
  if (changes && request.method != HttpMethod::post) return wrong_method(id, "POST");
  if (!changes && !get) return wrong_method(id, "GET, HEAD");
  if (known->ask == Ask::tail && request.method != HttpMethod::get) return wrong_method(id, "GET");
  switch (known->ask) {
    case Ask::metrics:
      return on_operator_gather(id, request, true);
    case Ask::stats:
      return on_operator_gather(id, request, false);
    case Ask::rooms:
      return on_operator_rooms(id, request);
    case Ask::room:
      return on_operator_room(id, request);
    case Ask::sessions:
      return on_operator_sessions(id, request);
    case Ask::tail:
      return on_operator_tail(id, request);
    case Ask::publish:
      return on_operator_publish(id, request);
    case Ask::clear:
      return on_operator_command(id, request, "rooms.clear", std::string(request.body));
    case Ask::kick:
      return on_operator_kick(id, request);
    case Ask::revoke:
      return on_operator_revoke(id, request);
  }
}

void Gateway::on_ready(ConnectionId id) {
  bool ready = false;
  std::string body = ready_json(*shard_, ready);
  answer(id, {.status = ready ? 200 : 503, .body = body, .fields = ready ? "" : "Retry-After: 1\r\n"});
}

// What a shard gathered, if the connection that asked is still there.
void Gateway::answer_operator(ConnectionId id, uint32_t generation, const Reply& given) {
  if (shard_->outboxes().is_open(id, generation)) reply(id, "", given);
}

// Numbers of the node; with `tenant` also how many sessions and rooms are that tenant's.
void Gateway::on_operator_gather(ConnectionId id, const HttpRequest& request, bool text) {
  Connection& c = at(id);
  c.set(Connection::kBusy);
  if (text) c.set(Connection::kPlainText);
  uint32_t generation = sockets_.generation(id);
  Query query(request.query);
  std::string tenant = query.value("tenant").value_or(std::string());
  auto tell = [this, id, generation, text](Shard& asker, const TenantLists& of_tenant) {
    asker.gather([this, id, generation, text, of_tenant](Shard& shard, const Totals& totals) {
      Reply whole;
      whole.body = text ? metrics_text(shard, totals) : stats_json(shard, totals, of_tenant);
      answer_operator(id, generation, whole);
    });
  };
  if (text || tenant.empty()) return tell(*shard_, {});
  RoomQuery rooms;
  rooms.tenant = tenant;
  rooms.page.limit = 1;
  list_rooms(*shard_, rooms, [tell, tenant](Shard& shard, const ListPage<RoomRow>& found) {
    SessionQuery sessions;
    sessions.tenant = tenant;
    sessions.page.limit = 1;
    list_sessions(shard, sessions,
                  [tell, tenant, count = found.total](Shard& asker, const ListPage<SessionRow>& all) {
                    tell(asker, {tenant, all.total, count});
                  });
  });
}

namespace {

Reply too_many_lists() {
  return reply_of(fail(Code::overloaded, "too many lists are being made; try again shortly"));
}

}  // namespace

void Gateway::on_operator_rooms(ConnectionId id, const HttpRequest& request) {
  Query query(request.query);
  auto asked = room_query(query);
  if (!asked) return refuse(id, asked.error());
  at(id).set(Connection::kBusy);
  list_rooms(*shard_, *asked,
             [this, id, generation = sockets_.generation(id), page = asked->page](
                 Shard& shard, const ListPage<RoomRow>& rooms) {
               if (rooms.refused) return answer_operator(id, generation, too_many_lists());
               answer_operator(id, generation, {Code::ok, rooms_json(shard, page, rooms), 0});
             });
}

void Gateway::on_operator_room(ConnectionId id, const HttpRequest& request) {
  Query query(request.query);
  std::string room = query.value("room").value_or(std::string());
  if (auto ok = check_name("room", room, names_.room_name_bytes); !ok) return refuse(id, ok.error());
  auto who = operator_identity(request);
  if (!who) return refuse(id, who.error());
  at(id).set(Connection::kBusy);
  find_room(*shard_, Name(who->user.tenant(), room),
            [this, id, generation = sockets_.generation(id)](Shard& shard,
                                                             const std::optional<RoomDetail>& detail) {
              if (!detail) {
                return answer_operator(id, generation,
                                       reply_of(fail(Code::not_found, "no room of that name was ever used")));
              }
              answer_operator(id, generation, {Code::ok, room_json(shard, *detail), 0});
            });
}

void Gateway::on_operator_sessions(ConnectionId id, const HttpRequest& request) {
  Query query(request.query);
  auto asked = session_query(query, *shard_, config_.server.tenant);
  if (!asked) return refuse(id, asked.error());
  at(id).set(Connection::kBusy);
  list_sessions(*shard_, *asked,
                [this, id, generation = sockets_.generation(id), page = asked->page](
                    Shard& shard, const ListPage<SessionRow>& sessions) {
                  if (sessions.refused) return answer_operator(id, generation, too_many_lists());
                  answer_operator(id, generation, {Code::ok, sessions_json(shard, page, sessions), 0});
                });
}

// The tenant an operator means: of the query, of the body, or the server's own.
Result<Identity> Gateway::operator_identity(const HttpRequest& request) const {
  Query query(request.query);
  auto tenant = query.value("tenant");
  if (!tenant && !request.body.empty()) tenant = text_member(request.body, "tenant");
  if (!tenant) tenant = config_.server.tenant;
  if (auto ok = check_name("tenant", *tenant, kTenantBytesMax); !ok) return ok.error();
  Identity who;
  who.user = Name(*tenant, kOperatorName);
  who.backend = true;
  return who;
}

// A stream of one room that counts as nobody's presence.
void Gateway::on_operator_tail(ConnectionId id, const HttpRequest& request) {
  Query query(request.query);
  auto stream = stream_request(request, query, Form::sse);
  if (!stream) return refuse(id, stream.error());
  for (std::string& room : query.list("room")) {
    if (auto ok = check_name("room", room, names_.room_name_bytes); !ok) return refuse(id, ok.error());
    stream->rooms.push_back(std::move(room));
  }
  if (stream->rooms.empty()) return refuse(id, fail(Code::invalid_argument, "'room' is required"));
  auto who = operator_identity(request);
  if (!who) return refuse(id, who.error());
  stream->who = std::move(*who);
  stream->observer = true;
  stream->session = SessionId{};
  begin_sse(id, std::move(*stream));
}

// {room, text}: a message; {room or user, type, data, ephemeral?}: any event.
void Gateway::on_operator_publish(ConnectionId id, const HttpRequest& request) {
  auto text = text_member(request.body, "text");
  std::string body(request.body);
  if (text) {
    body.clear();
    JsonObject object(body);
    object.field("room", text_member(request.body, "room").value_or(std::string()))
        .field("content", *text)
        .end();
  }
  on_operator_command(id, request, text ? "messages.send" : "events.publish", body);
}

// {user} or {session}, reason?, reconnect? (default true): ends the streams with `bye` `kicked`. They may
// come back, also at once where reconnect is false and their client does not listen.
void Gateway::on_operator_kick(ConnectionId id, const HttpRequest& request) {
  auto session_text = text_member(request.body, "session");
  auto user_text = text_member(request.body, "user");
  if (session_text.has_value() == user_text.has_value())
    return refuse(id, fail(Code::invalid_argument, "one of 'user' and 'session' is required, as a string"));
  Name user;
  SessionId session;
  if (user_text) {
    if (auto ok = check_name("user", *user_text, names_.user_id_bytes); !ok) return refuse(id, ok.error());
    auto who = operator_identity(request);
    if (!who) return refuse(id, who.error());
    user = Name(who->user.tenant(), *user_text);
  } else {
    auto parsed = SessionId::parse(*session_text);
    if (!parsed) return refuse(id, fail(Code::invalid_argument, "'session' must be 32 hex digits"));
    session = *parsed;
  }
  std::string reason = text_member(request.body, "reason").value_or("an operator ended this stream");
  if (auto ok = check_name("reason", reason, 120); !ok) return refuse(id, ok.error());
  auto reconnect = flag_member(request.body, "reconnect");
  at(id).set(Connection::kBusy);
  kick_streams(*shard_, user, session, reason, reconnect.value_or(true),
               [this, id, generation = sockets_.generation(id)](Shard&, uint32_t ended) {
                 if (ended == 0) {
                   return answer_operator(
                       id, generation,
                       reply_of(fail(Code::not_found, "nobody of that name has a stream now")));
                 }
                 answer_operator(id, generation,
                                 {Code::ok, "{\"success\":true,\"ended\":" + std::to_string(ended) + "}", 0});
               });
}

// {user}: refuses the user's tokens issued until now, and ends the streams at that place of the order.
void Gateway::on_operator_revoke(ConnectionId id, const HttpRequest& request) {
  std::string user = text_member(request.body, "user").value_or(std::string());
  if (auto ok = check_name("user", user, names_.user_id_bytes); !ok) return refuse(id, ok.error());
  auto who = operator_identity(request);
  if (!who) return refuse(id, who.error());
  at(id).set(Connection::kBusy);
  shard_->end_user(Name(who->user.tenant(), user), Homes::Ending::revoked, id, std::string());
}

// A command of the table, run with the right to act in any room.
void Gateway::on_operator_command(ConnectionId id, const HttpRequest& request, std::string_view name,
                                  const std::string& body) {
  const CommandRow* row = find_command(name);
  TW_CHECK(row);
  if (body.empty()) return refuse(id, fail(Code::invalid_json, "the body must be a JSON object"));
  auto args = decode_args(*row, body, names_);
  if (!args) return refuse(id, args.error());
  Command command;
  command.row = row;
  command.args = std::move(*args);
  auto who = operator_identity(request);
  if (!who) return refuse(id, who.error());
  command.who = std::move(*who);
  command.origin = shard_->index();
  command.connection = id;
  command.connection_generation = sockets_.generation(id);
  at(id).set(Connection::kBusy);
  shard_->command(std::move(command));
}

}  // namespace twinwire
