// WebSocket messages: commands, `auth`, ping; and the echo for public test suites.
#include "core/event.h"
#include "core/json.h"
#include "core/shard.h"
#include "net/bridge_in.h"
#include "net/gateway.h"
#include "net/json_in.h"

namespace twinwire {

void Gateway::feed_ws(ConnectionId id, std::span<char> bytes) {
  Connection& c = at(id);
  std::unique_ptr<WsReader> reader;
  if (c.extra && c.extra->ws) {
    reader = std::move(c.extra->ws);
    drop_extra_if_empty(c);
  } else if (spare_ws_) {
    reader = std::move(spare_ws_);
  } else {
    reader = std::make_unique<WsReader>(config_.limits.message_bytes);
  }
  constexpr uint16_t kStops = Connection::kOpening | Connection::kFull;
  bool echo = c.state == ConnectionState::echo;
  while (c.state != ConnectionState::ending && !(c.flags & kStops)) {
    WsReader::Step step = reader->next(bytes);
    if (step == WsReader::Step::need_more) break;
    std::string_view payload = reader->payload();
    out_.clear();
    switch (step) {
      case WsReader::Step::text:
      case WsReader::Step::binary:
        if (echo) {
          append_ws_frame(out_, step == WsReader::Step::text ? kWsText : kWsBinary, payload);
          shard_->write(id, out_);
        } else if (step == WsReader::Step::text) {
          ws_message(id, payload);
        } else {
          Reply refusal =
              reply_of(fail(Code::invalid_argument, "binary messages are not known here: send text"));
          write_ws_reply(id, "", refusal);
        }
        hold_if_full(id);
        break;
      case WsReader::Step::ping:
        append_ws_frame(out_, kWsPong, payload);
        shard_->write(id, out_);
        hold_if_full(id);
        break;
      case WsReader::Step::close:
        // The same code comes back (RFC 6455, 5.5.1).
        if (reader->close_code() == kWsCloseNoStatus) {
          append_ws_frame(out_, kWsClose, {});
        } else {
          append_ws_close(out_, reader->close_code(), payload);
        }
        shard_->metrics().count_ws_close(false, reader->close_code());
        c.ends_by(CloseCause::client);
        shard_->write(id, out_);
        end_after_flush(id);
        break;
      case WsReader::Step::failed:
        ws_failed(id, reader->close_code());
        break;
      default:  // a pong: a sign of life, which is noted already
        if (c.blocked_ds == 0) c.clear(Connection::kSlow);
        break;
    }
  }
  if (out_.capacity() > (1u << 20)) std::string().swap(out_);
  if (c.state == ConnectionState::ending) return;
  if (echo || !reader->idle()) {
    extra(c).ws = std::move(reader);
  } else {
    spare_ws_ = std::move(reader);
  }
  if (!bytes.empty()) hold(id, {bytes.data(), bytes.size()});
}

void Gateway::ws_failed(ConnectionId id, uint16_t close_code) {
  at(id).ends_by(CloseCause::refused);
  if (close_code == kWsCloseTooBig && at(id).state != ConnectionState::echo) {
    std::string reason = "a message is at most " + std::to_string(config_.limits.message_bytes) + " bytes";
    if (!shard_->has_stream(id)) return say_bye(id, Code::too_large, reason, true);
    set_deadline(id, 30000);
    at(id).state = ConnectionState::ending;
    return shard_->end_stream(id, Code::too_large, reason, true, 0);
  }
  append_ws_close(out_, close_code,
                  close_code == kWsCloseBadData ? "text must be UTF-8" : "this breaks RFC 6455");
  shard_->metrics().count_ws_close(true, close_code);
  shard_->write(id, out_);
  end_after_flush(id);
}

void Gateway::write_ws_json(ConnectionId id, std::string_view json) {
  char header[10];
  shard_->write(id, {{header, write_ws_header(header, kWsText, json.size())}, json});
}

// {"type":"reply","id":…,…}: the body without its first brace goes behind.
void Gateway::write_ws_reply(ConnectionId id, std::string_view id_json, const Reply& reply) {
  const Bridge& bridge = ws_bridge(id);
  if (changes_replies(bridge)) {
    Reply bridged = reply;
    bridge_reply(bridged, bridge, {});
    return write_ws_reply_body(id, id_json, bridged.body);
  }
  write_ws_reply_body(id, id_json, reply.body);
}

void Gateway::write_ws_reply_body(ConnectionId id, std::string_view id_json, std::string_view body) {
  constexpr std::string_view kHead = "{\"type\":\"reply\"", kId = ",\"id\":";
  const std::string_view id_key = id_json.empty() ? std::string_view() : kId;
  const std::string_view comma = body.size() > 2 ? "," : "";
  body.remove_prefix(1);
  char header[10];
  const size_t size = kHead.size() + id_key.size() + id_json.size() + comma.size() + body.size();
  shard_->write(id, {{header, write_ws_header(header, kWsText, size)}, kHead, id_key, id_json, comma, body});
}

// Under whose bridge a WebSocket is: its user's tenant's, once it has said who it is.
const Bridge& Gateway::ws_bridge(ConnectionId id) const {
  if (config_.bridges.tenants.empty()) return config_.bridges.common;
  uint32_t session = shard_->sessions().on_connection(id);
  if (session == kNone) return config_.bridges.common;
  return config_.bridges.of(shard_->sessions().at(session).user.tenant());
}

void Gateway::ws_message(ConnectionId id, std::string_view text) {
  const TypeTable& types = ws_bridge(id).types;
  auto untyped = types.find("*");
  WsEnvelope envelope;
  if (auto ok = read_envelope(text, envelope, untyped != types.end()); !ok) {
    return write_ws_reply(id, envelope.id, reply_of(ok.error()));
  }
  if (envelope.type == "ping") return write_ws_json(id, "{\"type\":\"pong\"}");
  if (envelope.type == "pong") return;
  auto alias = envelope.type.empty() ? untyped : types.find(envelope.type);
  if (alias != types.end()) return ws_alias(id, alias->second, envelope, text);
  if (envelope.type == "auth" || envelope.type == "auth.refresh") {
    return ws_auth(id, std::move(envelope.id), envelope.data);
  }
  ws_command(id, envelope.type, std::move(envelope.id), envelope.data);
}

// A message under a name of the application's own. Where it has no member for the data, it is the data.
void Gateway::ws_alias(ConnectionId id, const CommandAlias& alias, const WsEnvelope& envelope,
                       std::string_view text) {
  std::string data = alias.inside.empty() ? std::string(envelope.data) : raw_member(text, alias.inside);
  if (data.empty()) data = text;
  auto command = bridge_command(alias, data, {}, ws_bridge(id).room);
  if (!command) return write_ws_reply(id, envelope.id, reply_of(command.error()));
  if (command->name == "auth" || command->name == "auth.refresh")
    return ws_auth(id, envelope.id, command->body);
  if (!find_command(command->name)) {
    return write_ws_reply(
        id, envelope.id,
        reply_of(fail(Code::not_found, json_string(envelope.type.substr(0, 80)) + " stands for the command " +
                                           command->name.substr(0, 80) +
                                           ", which this server does not have")));
  }
  ws_command(id, command->name, envelope.id, command->body);
}

void Gateway::ws_command(ConnectionId id, std::string_view type, std::string id_json, std::string_view data) {
  auto refuse_ws = [&](const Error& error) { write_ws_reply(id, id_json, reply_of(error)); };
  if (at(id).state == ConnectionState::ws_auth) {
    return refuse_ws(fail(Code::unauthenticated, "send {\"type\":\"auth\"} first"));
  }
  const CommandRow* row = find_command(type);
  if (!row) return refuse_ws(fail(Code::not_found, "there is no command " + json_string(type.substr(0, 80))));
  uint32_t session = shard_->sessions().on_connection(id);
  if (session == kNone) return;  // its stream has just ended; the good-bye is on its way
  Command command;
  command.row = row;
  command.who = shard_->sessions().identity(session);
  command.session = shard_->sessions().at(session).id;
  command.origin = shard_->index();
  command.connection = id;
  command.connection_generation = sockets_.generation(id);
  command.tag = id_json;
  if (takes_batch(*row) && data.starts_with('[')) {
    auto elements = array_elements(data, config_.limits.batch_events);
    return elements ? shard_->batch(command, *elements, names_) : refuse_ws(elements.error());
  }
  auto args = decode_args(*row, data, names_);
  if (!args) {
    shard_->command_refused(*row, args.error().code, command.who.user.tenant());
    return refuse_ws(args.error());
  }
  command.args = std::move(*args);
  shard_->command(std::move(command));
}

}  // namespace twinwire
