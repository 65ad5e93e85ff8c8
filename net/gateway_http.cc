// HTTP requests: reading them, finding who answers, and the answers.
#include <algorithm>
#include <charconv>

#include "core/engine.h"
#include "core/json.h"
#include "core/schema.h"
#include "core/shard.h"
#include "net/bridge_in.h"
#include "net/gateway.h"
#include "net/http_response.h"
#include "net/json_in.h"
#include "net/query.h"

namespace twinwire {
namespace {

constexpr std::string_view kTextPlain = "text/plain; version=0.0.4; charset=utf-8";

// application/json, with or without parameters, and what is built on it. Absent is taken for it: browsers
// always say.
bool is_json(const HttpRequest& request) {
  auto type = request.field("content-type");
  if (!type) return true;
  std::string_view essence = trim_http(type->substr(0, type->find(';')));
  return equals_ignoring_case(essence, "application/json") ||
         (essence.size() > 5 && equals_ignoring_case(essence.substr(essence.size() - 5), "+json"));
}

// "/api/rooms/create" → "rooms.create"; nothing if the path has another form.
std::string command_name(std::string_view path) {
  constexpr std::string_view kPrefix = "/api/";
  if (!path.starts_with(kPrefix)) return {};
  path.remove_prefix(kPrefix.size());
  size_t slash = path.find('/');
  if (slash == std::string_view::npos || path.find('/', slash + 1) != std::string_view::npos) return {};
  std::string name(path);
  name[slash] = '.';
  return name;
}

// Whether the client speaks TLS, to a proxy in front of us: by the proxy's word, the first where several
// wrote one, or by the browser's, whose page of ours was loaded so. No proxy needs to be known for what this
// is used for: an answer that is kept by nobody and names an address to the very client that sent the word.
bool came_by_tls(const HttpRequest& request) {
  if (auto proto = request.field("x-forwarded-proto"))
    return equals_ignoring_case(trim_http(proto->substr(0, proto->find(','))), "https");
  auto referer = request.field("referer");
  std::string ours = "https://" + std::string(request.host) + "/";
  return referer && equals_ignoring_case(referer->substr(0, ours.size()), ours);
}

// Whether a body that is JSON can have a member of that name: it need not be read where it cannot.
bool may_name(std::string_view body, std::string_view name) {
  return body.find(name) != std::string_view::npos || body.find('\\') != std::string_view::npos;
}

// The word that goes with a status that no command gives.
Code code_of_status(int status) {
  switch (status) {
    case 401:
      return Code::unauthenticated;
    case 403:
      return Code::forbidden;
    case 404:
      return Code::not_found;
    case 405:
      return Code::method_not_allowed;
    case 413:
    case 431:
      return Code::too_large;
    case 415:
      return Code::unsupported_media_type;
    case 503:
      return Code::overloaded;
    default:
      return status >= 500 ? Code::internal : Code::invalid_argument;
  }
}

}  // namespace

void Gateway::feed_http(ConnectionId id, std::span<char> bytes) {
  Connection& c = at(id);
  std::unique_ptr<HttpReader> reader;
  if (c.extra && c.extra->http) {
    reader = std::move(c.extra->http);
    drop_extra_if_empty(c);
  } else if (spare_reader_) {
    reader = std::move(spare_reader_);
  } else {
    reader = std::make_unique<HttpReader>(
        HttpLimits{config_.limits.request_head_bytes, config_.limits.message_bytes, 100});
  }
  std::string_view rest(bytes.data(), bytes.size());
  // Requests that came together wait as soon as one is being answered, or too many answers are unsent.
  while (c.state == ConnectionState::http && !(c.flags & (Connection::kBusy | Connection::kFull))) {
    switch (reader->next(rest)) {
      case HttpReader::Step::need_more:
        return request_waits(id, std::move(reader));
      case HttpReader::Step::head:
        // A body that will be refused is not asked for.
        if (reader->request().expects_continue && reader->request().has_body && rest.empty() &&
            reader->request().content_length <= config_.limits.message_bytes) {
          shard_->write(id, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        break;
      case HttpReader::Step::message:
        c.clear(Connection::kInRequest | Connection::kInBody);
        clear_deadline(id);
        on_request(id, reader->request());
        break;
      case HttpReader::Step::refused:
        c.clear(Connection::kInRequest | Connection::kInBody);
        refuse_status(id, reader->refusal().status, reader->refusal().sentence);
        break;
    }
  }
  reader->reset();
  spare_reader_ = std::move(reader);
  if (rest.empty()) return;
  // The rest is another protocol's, or the next request's, which waits for the answer to this one.
  std::span<char> left = bytes.last(rest.size());
  bool wait = (c.flags & (Connection::kBusy | Connection::kOpening | Connection::kFull)) != 0;
  if (wait) {
    hold(id, rest);
  } else {
    feed(id, left);
  }
}

// The bytes ran out: keep what is incomplete, and see that it does not take for ever.
void Gateway::request_waits(ConnectionId id, std::unique_ptr<HttpReader> reader) {
  Connection& c = at(id);
  if (reader->idle()) {
    spare_reader_ = std::move(reader);
    if (!c.has(Connection::kInRequest) && c.has(Connection::kServedOne)) set_deadline(id, 75000);
    return;
  }
  if (reader->in_body() && !c.has(Connection::kInBody)) {
    c.set(Connection::kInRequest | Connection::kInBody);
    set_deadline(id, config_.limits.body_timeout_ms);
  } else if (!c.has(Connection::kInRequest)) {
    c.set(Connection::kInRequest);
    set_deadline(id, config_.limits.head_timeout_ms);
  }
  extra(c).http = std::move(reader);
}

void Gateway::on_request(ConnectionId id, const HttpRequest& request) {
  Connection& c = at(id);
  c.clear(Connection::kHeadOnly | Connection::kKeepAlive | Connection::kPlainText);
  c.set(Connection::kServedOne);
  if (request.method == HttpMethod::head) c.set(Connection::kHeadOnly);
  if (request.keep_alive && !c.has(Connection::kOverLimit) && !engine_->draining())
    c.set(Connection::kKeepAlive);

  const OriginPolicy& origins =
      c.has(Connection::kOperators) ? shared_.operator_origins : shared_.public_origins;
  switch (origins.check(request)) {
    case OriginPolicy::Verdict::allowed:
      break;
    case OriginPolicy::Verdict::bad_host:
      return refuse(id,
                    fail(Code::forbidden, c.has(Connection::kOperators)
                                              ? "the operators' listener is asked by address or localhost"
                                              : "this server is not known by that Host: see origins.allow"));
    case OriginPolicy::Verdict::foreign_origin:
      return refuse(id,
                    fail(Code::forbidden, c.has(Connection::kOperators)
                                              ? "pages of other origins may not ask the operators' listener"
                                              : "pages of that origin may not come here: see origins.allow"));
  }
  std::string fields;
  if (request.method == HttpMethod::options) {
    origins.append_preflight(fields, request);
    return answer(id, {.status = 204, .fields = fields});
  }
  origins.append_cors(fields, request);
  fields_ = std::move(fields);
  std::string decoded;
  std::string_view path = request.path;
  if (path.find('%') != std::string_view::npos) {
    auto plain = percent_decode(path);
    if (!plain) {
      refuse(id, fail(Code::invalid_argument, "the path is not well encoded"));
    } else {
      decoded = std::move(*plain);
      route(id, request, decoded);
    }
  } else {
    route(id, request, path);
  }
  fields_.clear();
  request_bridge_ = nullptr;
  request_command_ = {};
}

void Gateway::route(ConnectionId id, const HttpRequest& request, std::string_view path) {
  if (at(id).has(Connection::kOperators)) return on_operator_request(id, request);
  // A path that the settings name goes first: an application may need its own members on a path of ours.
  if (auto exact = config_.routes.find(path); exact != config_.routes.end())
    return follow_route(id, request, exact->second, {});
  if (route_native(id, request, path)) return;
  std::string_view tail;
  if (const Route* route = find_route(config_.routes, path, tail))
    return follow_route(id, request, *route, tail);
  refuse(id, fail(Code::not_found, "there is nothing at " + std::string(path.substr(0, 200))));
}

// The engine's own addresses. False: it is none of them, and nothing was answered.
bool Gateway::route_native(ConnectionId id, const HttpRequest& request, std::string_view path) {
  if (path == "/api/events") return on_events(id, request), true;
  if (path == "/ws") return on_websocket(id, request), true;
  if (path == "/debug/echo" && config_.debug.echo) return on_echo(id, request), true;
  Code code = Code::ok;
  if (turned_away(id, code)) return refuse(id, fail(code, "come back a little later")), true;
  if (path == "/api/poll") return on_poll(id, request), true;
  if (path == "/api/schema") return on_schema(id, request), true;
  if (std::string name = command_name(path); !name.empty()) {
    if (const CommandRow* row = find_command(name)) return on_command(id, request, *row), true;
  } else if (const Page* page = find_page(path)) {
    return on_page(id, request, *page), true;
  }
  return false;
}

void Gateway::follow_route(ConnectionId id, const HttpRequest& request, const Route& route,
                           std::string_view tail) {
  if (route.kind == Route::Kind::hint) {
    std::string body =
        hint_body(route.target, {request.field("host").value_or(std::string_view()), came_by_tls(request)});
    std::string fields =
        "Cache-Control: no-store\r\nLink: <" + route.target + ">; rel=\"successor-version\"\r\n";
    return answer(id, {.body = body, .fields = fields});
  }
  if (route.kind == Route::Kind::path) {
    std::string path = route.target;
    if (size_t star = path.find('*'); star != std::string::npos) path.replace(star, 1, tail);
    if (!route_native(id, request, path))
      refuse(id, fail(Code::not_found, "there is nothing at " + path.substr(0, 200)));
    return;
  }
  Code code = Code::ok;
  if (turned_away(id, code)) return refuse(id, fail(code, "come back a little later"));
  if (request.method != HttpMethod::post) return wrong_method(id, "POST, OPTIONS");
  const Bridge& bridge = bridge_of(request);
  auto command = bridge_command(route.alias, request.body, tail, bridge.room);
  if (!command) {
    request_bridge_ = &bridge;
    return refuse(id, command.error());
  }
  HttpRequest bridged = request;
  bridged.body = command->body;
  if (const CommandRow* row = find_command(command->name)) return on_command(id, bridged, *row);
  refuse(id, fail(Code::not_found, "this address stands for the command " + command->name.substr(0, 80) +
                                       ", which this server does not have"));
}

// Under whose bridge a request is: its user's tenant's, where tenants differ and it proves who asks. (Whoever
// does not is refused by the command.)
const Bridge& Gateway::bridge_of(const HttpRequest& request) const {
  if (config_.bridges.tenants.empty()) return config_.bridges.common;
  Query query(request.query);
  auto who = identify(request, query);
  return who ? config_.bridges.of(who->user.tenant()) : config_.bridges.common;
}

const Page* Gateway::find_page(std::string_view path) const {
  for (const Page& page : shared_.pages) {
    if (page.path == path) return &page;
  }
  return nullptr;
}

void Gateway::on_page(ConnectionId id, const HttpRequest& request, const Page& page) {
  if (request.method != HttpMethod::get && request.method != HttpMethod::head) {
    return wrong_method(id, "GET, HEAD, OPTIONS");
  }
  answer(id, {.body = page.body,
              .content_type = page.content_type,
              // No page of another origin may show it in a frame and have it clicked.
              .fields = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
                        "Content-Security-Policy: frame-ancestors 'none'\r\nX-Frame-Options: DENY\r\n"});
}

void Gateway::on_schema(ConnectionId id, const HttpRequest& request) {
  if (request.method != HttpMethod::get && request.method != HttpMethod::head) {
    return wrong_method(id, "GET, HEAD, OPTIONS");
  }
  answer(id, {.body = schema_json(config_),
              .content_type = "application/schema+json; charset=utf-8",
              .fields = "Cache-Control: no-cache\r\n"});
}

// ---- answers ----

void Gateway::answer(ConnectionId id, const Answer& answer) {
  Connection& c = at(id);
  std::string more(answer.fields);
  more += fields_;
  bool keep = c.has(Connection::kKeepAlive) && !(c.has(Connection::kEnded) && !c.has(Connection::kHolding));
  if (!c.has(Connection::kOperators)) shard_->metrics().count_response(answer.status);
  out_.clear();
  append_response_head(out_, {.status = answer.status,
                              .content_type = answer.content_type,
                              .content_length = answer.body.size(),
                              .keep_alive = keep,
                              .date = date(),
                              .more_fields = more});
  shard_->write(id, {out_, c.has(Connection::kHeadOnly) ? std::string_view() : answer.body});
  if (out_.capacity() > (1u << 20)) std::string().swap(out_);
  c.clear(Connection::kBusy);
  if (!keep) {
    c.ends_by(c.has(Connection::kOverLimit) ? CloseCause::refused
              : engine_->draining()         ? CloseCause::draining
                                            : CloseCause::client);
    return end_after_flush(id);
  }
  set_deadline(id, 75000);
  hold_if_full(id);
  go_on_later(id);
}

void Gateway::refuse(ConnectionId id, const Error& error, std::string_view fields) {
  Reply reply = reply_of(error);
  const Bridge& bridge = request_bridge_ ? *request_bridge_ : config_.bridges.common;
  if (changes_replies(bridge)) bridge_reply(reply, bridge, request_command_);
  std::string more(fields);
  if (reply.retry_after_seconds > 0)
    more += "Retry-After: " + std::to_string(reply.retry_after_seconds) + "\r\n";
  answer(id, {.status = http_status_of(error.code), .body = reply.body, .fields = more});
}

// A command that did not come as far as the shard.
void Gateway::refuse_command(ConnectionId id, const CommandRow& row, const Error& error,
                             std::string_view tenant) {
  shard_->command_refused(row, error.code, tenant);
  refuse(id, error);
}

// A refusal that ends the connection: where the next request would begin is not known any more.
void Gateway::refuse_status(ConnectionId id, int status, std::string_view sentence) {
  at(id).clear(Connection::kKeepAlive | Connection::kHeadOnly);
  at(id).ends_by(CloseCause::refused);
  Reply reply = reply_of(fail(code_of_status(status), std::string(sentence)));
  answer(id, {.status = status, .body = reply.body});
}

void Gateway::wrong_method(ConnectionId id, std::string_view allow) {
  refuse(id, fail(Code::method_not_allowed, "this path knows " + std::string(allow)),
         "Allow: " + std::string(allow) + "\r\n");
}

// The answer of a command, a poll, or the operators' questions, as it comes from the shard.
void Gateway::answer_reply(ConnectionId id, const Reply& given) {
  Connection& c = at(id);
  Reply reply = given;
  if (c.extra && c.extra->bridge) bridge_reply(reply, *c.extra->bridge, c.extra->command);
  if (c.extra) fields_ = std::move(c.extra->fields);
  std::string retry;
  if (reply.retry_after_seconds > 0)
    retry = "Retry-After: " + std::to_string(reply.retry_after_seconds) + "\r\n";
  if (c.extra) {
    c.extra->fields.clear();
    c.extra->bridge = nullptr;
    drop_extra_if_empty(c);
  }
  answer(id, {.status = http_status_of(reply.code),
              .body = reply.body,
              .content_type = c.has(Connection::kPlainText) ? kTextPlain : "application/json; charset=utf-8",
              .fields = retry});
  fields_.clear();
}

void Gateway::reply(ConnectionId id, std::string_view tag, const Reply& reply) {
  Connection& c = at(id);
  switch (c.state) {
    case ConnectionState::ws:
      return write_ws_reply(id, tag, reply);
    case ConnectionState::poll:
      c.state = ConnectionState::http;
      return answer_reply(id, reply);
    case ConnectionState::http:
      return answer_reply(id, reply);
    default:
      return;  // it is ending, and nobody waits any more
  }
}

// ---- commands by POST ----

void Gateway::on_command(ConnectionId id, const HttpRequest& request, const CommandRow& row) {
  if (request.method != HttpMethod::post) return wrong_method(id, "POST, OPTIONS");
  request_command_ = row.name;
  if (!is_json(request)) {
    return refuse_command(id, row, fail(Code::unsupported_media_type, "commands are application/json"));
  }
  Query query(request.query);
  // A refresh may bring its token where every other command has its parameters.
  std::string body_token;
  if (row.name == "auth.refresh") body_token = text_member(request.body, "token").value_or(std::string());
  auto who = identify(request, query, body_token);
  if (!who) return refuse_command(id, row, who.error());

  const Bridge& bridge = config_.bridges.of(who->user.tenant());
  request_bridge_ = &bridge;
  Command command;
  command.row = &row;
  command.who = std::move(*who);
  command.origin = shard_->index();
  command.connection = id;
  command.connection_generation = sockets_.generation(id);
  std::string session;
  if (auto field = request.field("twinwire-session")) {
    session = *field;
  } else if (auto value = query.value("session")) {
    session = std::move(*value);
  } else if (may_name(request.body, "session")) {
    session = text_member(request.body, "session").value_or(std::string());
  }
  if (!session.empty()) {
    auto parsed = SessionId::parse(session);
    if (!parsed) return refuse(id, fail(Code::invalid_argument, "'session' must be 32 hex digits"));
    command.session = *parsed;
  }
  size_t first = request.body.find_first_not_of(" \t\r\n");
  if (takes_batch(row) && first != std::string_view::npos && request.body[first] == '[') {
    return on_batch(id, request, command);
  }
  bool needs =
      std::any_of(row.fields.begin(), row.fields.end(), [](const FieldSpec& spec) { return spec.required; });
  if (request.body.empty() && needs)
    return refuse_command(id, row, fail(Code::invalid_json, "the body must be a JSON object"),
                          command.who.user.tenant());
  auto args = decode_args(row, request.body, names_);
  if (!args) return refuse_command(id, row, args.error(), command.who.user.tenant());
  command.args = std::move(*args);
  if (auto key = request.field("idempotency-key"); key && !command.args.has(Field::client_id)) {
    for (const FieldSpec& spec : row.fields) {
      if (spec.field != Field::client_id) continue;
      if (auto ok = check_name("Idempotency-Key", *key, spec.max ? static_cast<uint32_t>(spec.max) : 128);
          !ok) {
        return refuse(id, ok.error());
      }
      command.args.set(Field::client_id, std::string(*key));
    }
  }
  Connection& c = at(id);
  c.set(Connection::kBusy);
  if (!fields_.empty()) extra(c).fields = fields_;
  if (changes_replies(bridge)) {
    extra(c).bridge = &bridge;
    extra(c).command = row.name;
  }
  shard_->command(std::move(command));
}

// Each element is a command of its own, but the rate counts the batch as one; the answers come in any order
// and leave as one.
void Gateway::on_batch(ConnectionId id, const HttpRequest& request, const Command& like) {
  auto elements = array_elements(request.body, config_.limits.batch_events);
  if (!elements) return refuse(id, elements.error());
  at(id).set(Connection::kBusy);
  if (!fields_.empty()) extra(at(id)).fields = fields_;
  shard_->batch(like, *elements, names_);
}

}  // namespace twinwire
