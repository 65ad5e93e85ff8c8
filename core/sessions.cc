// Sessions, the whole of them: finding and counting, and what one stream alone is told (`connected`, `reset`,
// `bye`). How a stream opens is in sessions_open.cc, how it ends in sessions_end.cc, catching up in
// sessions_catchup.cc, delivery in sessions_deliver.cc, tokens in sessions_identity.cc.
#include "core/sessions.h"

#include <algorithm>

#include "core/json.h"
#include "core/shard.h"

namespace twinwire {
namespace {

std::string name_list(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& name : names) {
    if (out.size() > 1) out += ',';
    append_json_string(out, name);
  }
  return out + "]";
}

}  // namespace

std::string_view word_of(SessionState state) {
  switch (state) {
    case SessionState::joining:
      return "joining";
    case SessionState::replaying:
      return "replaying";
    case SessionState::live:
      return "live";
    case SessionState::lagging:
      return "lagging";
    case SessionState::detached:
      return "detached";
  }
  return "joining";
}

Sessions::Sessions(Shard& shard)
    : shard_(shard),
      by_id_(HashSession{&sessions_}),
      room_index_(HashRoom{&rooms_}),
      user_index_(HashUser{&users_}),
      with_tickets_(shard.config().auth.mode == AuthMode::jwt),
      tickets_(shard.config().auth.expiring_seconds) {}

Sessions::~Sessions() {
  by_id_.for_each([this](uint32_t i) { sessions_.drop(i); });
  room_index_.for_each([this](uint32_t i) { rooms_.drop(i); });
  user_index_.for_each([this](uint32_t i) { users_.drop(i); });
}

uint32_t Sessions::find(SessionId id) const {
  return by_id_.find(static_cast<uint32_t>(id.low), [&](uint32_t i) { return sessions_[i].id == id; });
}

uint32_t Sessions::find(const Handle& handle) const {
  uint32_t session = find(handle.id);
  return session != kNone && sessions_[session].generation == handle.generation ? session : kNone;
}

uint32_t Sessions::on_connection(ConnectionId connection) const {
  auto& outboxes = shard_.outboxes();
  return outboxes.is_open(connection) ? outboxes.at(connection).session : kNone;
}

// ---- counting ----

void Sessions::count_stream(const Session& session, Form form, int by) {
  auto step = [by](auto& count) { count += static_cast<std::remove_reference_t<decltype(count)>>(by); };
  if (session.observer) return step(counts_.tails);
  TenantCounts& tenant = shard_.tenant_of(session.user.tenant());
  if (form == Form::sse) step(counts_.sse), step(tenant.sse);
  if (form == Form::ws) step(counts_.ws), step(tenant.ws);
  if (form == Form::poll) step(counts_.poll), step(tenant.poll);
}

void Sessions::set_state(Session& session, SessionState state) {
  by_state_[static_cast<size_t>(session.state)]--;
  by_state_[static_cast<size_t>(state)]++;
  session.state = state;
}

// Where a continued stream got what it had missed, once it is at the live end.
void Sessions::count_resume(Catchup& catchup) {
  if (!catchup.resume_open) return;
  catchup.resume_open = false;
  Metrics& metrics = shard_.metrics();
  (catchup.read_store  ? metrics.resumed_store
   : catchup.read_tail ? metrics.resumed_tail
                       : metrics.resumed_live)++;
}

// ---- told to one stream alone ----

void Sessions::tell_connected(uint32_t index, Sequence base) {
  Session& session = sessions_[index];
  // A room gained while opening is told by its event or its command's answer, unless the stream begins above.
  auto told = [base](const Subscription& sub) {
    return sub.active && (!sub.gained || sub.since <= base.value);
  };
  std::vector<uint32_t> rooms;  // the list of subscriptions has the newest first
  for (uint32_t s = session.subscriptions; s != kNone; s = subscriptions_[s].next_of_session)
    if (told(subscriptions_[s])) rooms.push_back(subscriptions_[s].room);
  data_.clear();
  JsonObject object(data_);
  char id[SessionId::kTextSize], cursor[Cursor::kTextSize];
  session.id.write(id);
  shard_.cursor(base).write(cursor);
  object.field("sessionId", std::string_view(id, sizeof id)).field("userId", session.user.text());
  object.field("lastEventId", std::string_view(cursor, sizeof cursor));
  object.field("resumed", session.catchup->resumed);
  object.field("heartbeat", uint32_t{session.heartbeat_seconds});
  std::string& list = object.begin("rooms");
  list += '[';
  for (size_t i = rooms.size(); i-- > 0;) {
    append_json_string(list, rooms_[rooms[i]].name.text());
    if (i > 0) list += ',';
  }
  list += ']';
  if (uint32_t left_out = session.catchup->rooms_left_out) object.field("roomsLeftOut", left_out);
  object.end();
  tell(session, "connected", data_, true, base);
}

void Sessions::tell_reset(Session& session, std::string_view reason, const std::vector<std::string>& rooms,
                          Sequence at) {
  std::string data;
  JsonObject object(data);
  object.raw("rooms", name_list(rooms)).field("reason", reason);
  object.field("lastEventId", shard_.cursor(at).text()).end();
  tell(session, "reset", data, reason == "rolled_back" || reason == "unknown_cursor", at);
}

void Sessions::tell(Session& session, std::string_view type, std::string_view data, bool with_id,
                    Sequence id) {
  if (session.connection == kNone) return;
  ConnectionId connection{session.connection};
  Form form = shard_.outboxes().at(connection).form;
  const WireStyle& style = shard_.style_of(session.user.tenant());
  const std::string& json = make_json(form, style, type, session.user.tenant(), data);
  if (form == Form::poll) {
    std::string& frames = session.catchup->poll_frames;
    if (!frames.empty()) frames += ',';
    frames += json;
    session.catchup->forbidden.clear();
    return;
  }
  char cursor[Cursor::kTextSize];
  shard_.cursor(id).write(cursor);
  push_frame(connection, style, type, json, std::string_view(cursor, with_id ? sizeof cursor : 0));
}

// Valid until the next call.
const std::string& Sessions::make_json(Form form, const WireStyle& style, std::string_view type,
                                       std::string_view tenant, std::string_view data) {
  std::string timestamp = format_timestamp(shard_.wall_ms());
  Envelope envelope;
  envelope.type = type;
  envelope.tenant = tenant;
  envelope.timestamp = timestamp;
  envelope.data = data;
  Body body;
  body.json.swap(json_);
  body.json.clear();
  write_body(body, envelope, form == Form::sse ? style.sse : style.ws);
  body.json.swap(json_);
  return json_;
}

// A frame for one stream alone: never in the log, no eventId. `id` gives an SSE stream its cursor.
void Sessions::push_frame(ConnectionId connection, const WireStyle& style, std::string_view type,
                          std::string_view json, std::string_view id) {
  Form form = shard_.outboxes().at(connection).form;
  frame_.clear();
  if (form == Form::ws) {
    char header[10];
    frame_.append(header, write_ws_header(header, 1, json.size()));
    frame_ += json;
  } else if (form == Form::sse) {
    if (!id.empty()) frame_.append("id: ").append(id) += '\n';
    append_sse_head(frame_, style.sse, type);
    frame_ += json;
    frame_ += "\n\n";
  }
  shard_.outboxes().push_raw(connection, frame_);
}

void Sessions::say_bye(ConnectionId connection, std::string_view code, std::string_view reason,
                       int close_code, bool reconnect, uint32_t after_ms) {
  Outboxes& outboxes = shard_.outboxes();
  Form form = outboxes.at(connection).form;
  std::string data;
  JsonObject object(data);
  object.field("code", code)
      .field("reason", reason)
      .field("reconnect", reconnect)
      .field("afterMs", after_ms)
      .end();
  shard_.metrics().count_bye(code);
  if (form == Form::ws) shard_.metrics().count_ws_close(true, close_code);
  uint32_t session = on_connection(connection);
  const WireStyle& style = shard_.style_of(session == kNone ? "" : sessions_[session].user.tenant());
  push_frame(connection, style, "bye", make_json(form, style, "bye", "", data), "");
  if (form == Form::ws) {
    std::string payload{static_cast<char>(close_code >> 8), static_cast<char>(close_code)};
    payload += code.substr(0, 120);
    char header[10];
    std::string frame(header, write_ws_header(header, 8, payload.size()));
    outboxes.push_raw(connection, frame + payload);
  }
  outboxes.close_when_flushed(connection);
}

}  // namespace twinwire
