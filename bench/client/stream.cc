#include "bench/client/stream.h"

#include <fmt/format.h>

#include "bench/client/text.h"
#include "core/json.h"

namespace twinwire::client {
namespace {

constexpr size_t kBodyBytesMax = 8 * 1024 * 1024;

}  // namespace

std::string_view word_of(Transport transport) {
  switch (transport) {
    case Transport::sse:
      return "sse";
    case Transport::ws:
      return "ws";
    default:
      return "poll";
  }
}

Stream::Stream(Loop& loop, Owner& owner, Options options)
    : loop_(loop),
      owner_(owner),
      options_(std::move(options)),
      socket_(loop, *this),
      http_(*this),
      sse_(*this),
      ws_(*this),
      mask_(static_cast<uint32_t>(monotonic_now()) | 1) {}

void Stream::open() {
  state_ = State::connecting;
  socket_.open({.to = options_.to,
                .source = options_.source,
                .receive_buffer_bytes = options_.receive_buffer_bytes,
                .bytes_per_second = options_.bytes_per_second});
}

void Stream::close(bool abort) {
  if (state_ == State::closed) return;
  if (options_.transport == Transport::ws && state_ == State::streaming && !abort) {
    send_frame(WsOpcode::close, close_payload(1000, "done"));
  }
  state_ = State::closed;
  live_ = false;
  socket_.close(abort);
}

void Stream::finish(End end) {
  if (state_ == State::closed) return;
  if (end.status == 0) end.status = status_;
  close(false);
  owner_.on_stream_end(*this, end);
}

std::string Stream::target() const {
  static constexpr std::string_view paths[] = {"/api/events", "/ws", "/api/poll"};
  std::string out(paths[static_cast<size_t>(options_.transport)]);
  char separator = '?';
  const auto add = [&](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(out), "{}{}={}", separator, name, value);
    separator = '&';
  };
  if (!options_.auth_message) add("id", percent_encoded(options_.user));
  std::string rooms;
  for (const std::string& room : options_.rooms) {
    if (!rooms.empty()) rooms += ',';
    rooms += percent_encoded(room);
  }
  if (!rooms.empty()) add("rooms", rooms);
  if (!options_.session.empty()) add("session", options_.session);
  if (!options_.cursor.empty()) add("lastEventId", options_.cursor);
  if (options_.transport == Transport::poll) add("wait", std::to_string(options_.poll_wait_seconds));
  return out;
}

void Stream::request() {
  Request request;
  request.target = target();
  switch (options_.transport) {
    case Transport::sse:
      request.headers = {{"Accept", "text/event-stream"}};
      break;
    case Transport::ws:
      request.headers = {{"Upgrade", "websocket"},
                         {"Connection", "Upgrade"},
                         {"Sec-WebSocket-Version", "13"},
                         {"Sec-WebSocket-Key", std::string(kWsKey)}};
      break;
    case Transport::poll:
      request.headers = {{"Accept", "application/json"}};
  }
  state_ = State::answering;
  body_.clear();
  socket_.send(encode(request, options_.to));
}

void Stream::on_open() { request(); }

void Stream::on_data(std::string_view bytes) {
  while (!bytes.empty() && state_ != State::closed && !http_.upgraded()) {
    const Result<size_t> taken = http_.feed(bytes);
    if (!taken) {
      finish({.why = taken.error().sentence});
      return;
    }
    bytes.remove_prefix(*taken);
  }
  if (bytes.empty() || state_ == State::closed) return;
  if (Result<void> fed = ws_.feed(bytes); !fed) {
    if (state_ == State::streaming) send_frame(WsOpcode::close, close_payload(1002, "protocol error"));
    finish({.why = fed.error().sentence});
  }
}

void Stream::on_end(std::string_view why) {
  if (Result<void> ended = http_.finish(); !ended && state_ != State::closed) {
    finish({.why = fmt::format("{} ({})", ended.error().sentence, why)});
    return;
  }
  finish({.why = std::string(why)});
}

void Stream::on_head(const ResponseHead& head) {
  status_ = head.status;
  keep_alive_ = head.keep_alive;
  const bool sse = options_.transport == Transport::sse && head.status == 200;
  const bool ws = options_.transport == Transport::ws && head.status == 101;
  if (sse && !head.find("content-type").starts_with("text/event-stream")) {
    finish({.why = "the answer is not text/event-stream"});
  } else if (ws && head.find("sec-websocket-accept") != kWsAccept) {
    finish({.why = "the WebSocket handshake was not answered with the right key"});
  } else if (sse || ws) {
    state_ = State::streaming;
    if (ws && options_.auth_message) {
      const std::string user = json_string(options_.user);
      send_text(fmt::format(R"({{"type":"auth","id":"auth","data":{{"userId":{0},"userName":{0}}}}})", user));
    }
  }
}

void Stream::on_body(std::string_view bytes) {
  if (state_ == State::streaming && options_.transport == Transport::sse) {
    if (!sse_.feed(bytes)) finish({.why = "an event above 4 MiB"});
    return;
  }
  body_.append(bytes);
  if (body_.size() > kBodyBytesMax) finish({.why = "an answer above 8 MiB"});
}

void Stream::on_complete() {
  if (state_ == State::closed) return;
  if (options_.transport == Transport::poll && status_ == 200) {
    poll_answer();
    return;
  }
  const bool ended_stream = state_ == State::streaming;
  finish({.why = ended_stream ? "the stream ended"
                              : fmt::format("status {}: {}", status_, body_.substr(0, 300))});
}

void Stream::poll_answer() {
  const std::optional<Json> json = json_.read(body_);
  simdjson::dom::array events;
  if (!json || json->at_key("events").get_array().get(events) != simdjson::SUCCESS) {
    finish({.why = fmt::format("a poll's answer without events: {}", body_.substr(0, 300))});
    return;
  }
  live_ = true;
  for (const Json& each : events) {
    if (state_ == State::closed) return;
    const Event event = event_of(each);
    if (event.type == "connected") options_.session = text_at(event.data, "sessionId");
    owner_.on_event(*this, event);
  }
  if (state_ == State::closed) return;
  const std::string_view cursor = text_at(*json, "lastEventId");
  if (!cursor.empty()) {
    options_.cursor = cursor;
    owner_.on_cursor(*this, cursor);
  }
  if (state_ == State::closed) return;
  if (last_) {
    finish({.why = "replaced"});
    return;
  }
  if (!keep_alive_) {
    finish({.why = "the server ends connections after an answer"});
    return;
  }
  // From the loop: this is inside the parser of the answer that just ended.
  next_poll_ = loop_.after(0, [this] {
    next_poll_ = Loop::TimerId::none;
    if (state_ == State::answering) request();
  });
}

void Stream::on_block(const SseParser::Block& block) {
  if (state_ != State::streaming) return;
  const std::optional<Json> json = json_.read(block.data);
  if (!json) {
    finish({.why = "an event that is not JSON"});
    return;
  }
  deliver(*json, block.last_event_id);
}

void Stream::on_id_only(std::string_view last_event_id) {
  if (state_ == State::streaming) owner_.on_cursor(*this, last_event_id);
}

void Stream::deliver(const Json& json, std::string_view sse_id) {
  const Event event = event_of(json);
  if (event.type == "connected") live_ = true;
  const std::string cursor(sse_id.empty() ? event.event_id : sse_id);
  owner_.on_event(*this, event);
  if (state_ != State::closed && !cursor.empty()) owner_.on_cursor(*this, cursor);
}

void Stream::on_text(std::string_view message) {
  if (state_ != State::streaming) return;
  const std::optional<Json> json = json_.read(message);
  if (!json) {
    finish({.why = "a message that is not JSON"});
  } else if (text_at(*json, "type") == "reply") {
    owner_.on_reply(*this, reply_of(*json));
  } else {
    deliver(*json, {});
  }
}

void Stream::on_ping(std::string_view payload) {
  if (state_ == State::streaming) send_frame(WsOpcode::pong, payload);
}

void Stream::on_close(uint16_t code, std::string_view reason) {
  if (state_ != State::streaming) return;
  send_frame(WsOpcode::close, close_payload(code == 1005 ? 1000 : code, {}));
  finish({.close_code = code, .why = fmt::format("closed with {} {}", code, reason)});
}

void Stream::send_text(std::string_view json) { send_frame(WsOpcode::text, json); }

void Stream::send_frame(WsOpcode opcode, std::string_view payload) {
  mask_ = mask_ * 1664525 + 1013904223;
  std::string frame;
  append_frame(frame, opcode, payload, mask_);
  socket_.send(frame);
}

}  // namespace twinwire::client
