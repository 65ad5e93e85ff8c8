#include "bench/client/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/client/text.h"

namespace twinwire::client {
namespace {

constexpr Nanos kOpeningLimit = 15 * kSecond;
constexpr Nanos kOverlapLimit = 10 * kSecond;
constexpr Nanos kReplyLimit = 20 * kSecond;
constexpr Nanos kBackoffFirst = 20 * kMillisecond;
constexpr Nanos kBackoffMax = 2 * kSecond;

// POST /api/<group>/<verb>
std::string path_of(std::string_view type) {
  std::string out = "/api/" + std::string(type);
  const size_t dot = out.rfind('.');
  if (dot != std::string::npos) out[dot] = '/';
  return out;
}

}  // namespace

Client::Client(Loop& loop, Watcher& watcher, Options options)
    : loop_(loop),
      watcher_(watcher),
      options_(std::move(options)),
      poster_(loop, options_.to, options_.source),
      random_(options_.seed) {}

Client::~Client() {
  stop();
  for (auto& [id, command] : commands_) loop_.cancel(command.timer);
}

void Client::stop() {
  stopped_ = true;
  loop_.cancel(reopen_);
  loop_.cancel(opening_limit_);
  loop_.cancel(overlap_limit_);
  if (stream_) stream_->close(false);
  if (overlapping_) overlapping_->close(false);
}

void Client::cork() {
  if (stream_) stream_->socket().cork();
}

void Client::uncork() {
  if (stream_) stream_->socket().uncork();
}

// Streams are destroyed by the loop, since the call may come from inside one.
void Client::retire(std::unique_ptr<Stream> stream, bool abort) {
  if (!stream) return;
  stream->close(abort);
  for (auto& [id, command] : commands_) {
    if (command.on != stream.get()) continue;
    command.on = nullptr;
    attempt_later(id, kBackoffFirst);
  }
  loop_.later([held = std::shared_ptr<Stream>(std::move(stream))] {});
}

void Client::open_stream() {
  loop_.cancel(reopen_);
  loop_.cancel(opening_limit_);
  if (stopped_) return;
  ++counts_.opened;
  stream_last_.clear();
  Stream::Owner& owner = *this;
  stream_ = std::make_unique<Stream>(
      loop_, owner,
      Stream::Options{.to = options_.to,
                      .transport = options_.transport,
                      .user = options_.user,
                      .rooms = options_.rooms,
                      .session = session_,
                      .cursor = options_.cursor,
                      .auth_message = options_.auth_message && options_.transport == Transport::ws,
                      .source = options_.source,
                      .receive_buffer_bytes = options_.receive_buffer_bytes,
                      .bytes_per_second = options_.bytes_per_second});
  stream_->open();
  opening_limit_ = loop_.after(kOpeningLimit, [this] {
    if (live()) return;
    last_end_ = "no `connected` within 15 s";
    ++counts_.ended;
    retire(std::move(stream_), true);
    open_later(backoff(++failures_));
  });
}

void Client::open_later(Nanos delay) {
  loop_.cancel(reopen_);
  if (!stopped_) reopen_ = loop_.after(delay, [this] { open_stream(); });
}

void Client::drop(Drop how) {
  if (how.forget_session) session_.clear();
  if (stream_) ++counts_.dropped;
  loop_.cancel(opening_limit_);
  retire(std::move(overlapping_), how.abort);
  retire(std::move(stream_), how.abort);
  open_later(how.away);
}

void Client::take_over(Transport transport) {
  options_.transport = transport;
  if (!live() || overlapping_ || session_.empty()) {
    drop({});
    return;
  }
  ++counts_.taken_over;
  overlapping_ = std::move(stream_);
  overlapping_->make_last();
  overlapping_last_ = stream_last_;
  open_stream();
  loop_.cancel(overlap_limit_);
  overlap_limit_ = loop_.after(kOverlapLimit, [this] { retire(std::move(overlapping_), false); });
}

void Client::pause() {
  if (stream_) stream_->socket().pause();
}

void Client::resume() {
  if (stream_) stream_->socket().resume();
}

void Client::pace(uint64_t bytes_per_second) {
  options_.bytes_per_second = bytes_per_second;
  if (stream_) stream_->socket().pace(bytes_per_second);
}

// Ids of one epoch compare as strings; of another epoch the new one counts.
void Client::moved(std::string_view cursor) {
  if (cursor.empty()) return;
  const bool other_epoch =
      options_.cursor.size() != cursor.size() || options_.cursor.substr(0, 12) != cursor.substr(0, 12);
  if (other_epoch || cursor > options_.cursor) options_.cursor = cursor;
}

void Client::on_event(Stream& stream, const Event& event) {
  if (event.type == "connected") {
    handle_connected(event);
  } else if (event.type == "reset") {
    handle_reset(event);
  } else if (event.type == "bye") {
    last_end_ = fmt::format("bye: {} {}", text_at(event.data, "code"), text_at(event.data, "reason"));
  } else if (event.event_id.empty()) {
    watcher_.on_event(*this, event);
  } else {
    handle_logged(stream, event);
  }
}

void Client::handle_connected(const Event& event) {
  failures_ = 0;
  loop_.cancel(opening_limit_);
  session_ = text_at(event.data, "sessionId");
  // Otherwise the stream goes on from the cursor that it was given, or a `reset` says from where.
  if (options_.cursor.empty() || options_.cursor == "earliest")
    options_.cursor = text_at(event.data, "lastEventId");
  watcher_.on_connected(*this, event);
}

void Client::handle_reset(const Event& event) {
  const std::string_view reason = text_at(event.data, "reason");
  const std::string cursor(text_at(event.data, "lastEventId"));
  watcher_.on_reset(*this, reason, cursor, event);
  if (reason == "rolled_back" || reason == "unknown_cursor") {
    options_.cursor = cursor;
    stream_last_.clear();
  }
}

void Client::handle_logged(Stream& stream, const Event& event) {
  std::string& last = &stream == stream_.get() ? stream_last_ : overlapping_last_;
  if (event.event_id <= last) {
    ++counts_.went_back;
    last_fault_ =
        fmt::format("{} behind {} on one {} stream", event.event_id, last, word_of(stream.transport()));
  }
  last = event.event_id;
  if (options_.cursor.substr(0, 12) == event.event_id.substr(0, 12) && event.event_id <= options_.cursor) {
    ++counts_.overlapped;
    return;
  }
  watcher_.on_event(*this, event);
}

void Client::on_cursor(Stream&, std::string_view cursor) { moved(cursor); }

void Client::on_stream_end(Stream& stream, const Stream::End& end) {
  if (&stream == overlapping_.get()) {
    loop_.cancel(overlap_limit_);
    retire(std::move(overlapping_), false);
    return;
  }
  ++counts_.ended;
  if (!end.why.empty()) last_end_ = end.why;
  loop_.cancel(opening_limit_);
  retire(std::move(stream_), false);
  open_later(backoff(++failures_));
}

Nanos Client::backoff(uint32_t tries) {
  const Nanos full = std::min(kBackoffMax, kBackoffFirst << std::min<uint32_t>(tries, 8));
  return full / 2 + random_() % (full / 2 + 1);
}

void Client::command(std::string type, std::string data, Done done) {
  const uint64_t id = ++commands_made_;
  commands_.emplace(id, Command{std::move(type), std::move(data), std::move(done)});
  attempt(id);
}

void Client::attempt_later(uint64_t id, Nanos delay) {
  Command& command = commands_.at(id);
  loop_.cancel(command.timer);
  command.timer = loop_.after(delay, [this, id] { attempt(id); });
}

void Client::attempt(uint64_t id) {
  Command& command = commands_.at(id);
  loop_.cancel(command.timer);
  if (command.tries++ > 0) ++counts_.retried;
  command.timer = loop_.after(kReplyLimit, [this, id] { attempt(id); });
  if (live() && stream_->transport() == Transport::ws && !options_.post_only) {
    command.on = stream_.get();
    stream_->send_text(fmt::format(R"({{"type":"{}","id":"{}","data":{}}})", command.type, id, command.data));
    return;
  }
  Request request;
  request.method = "POST";
  request.target = path_of(command.type) + "?id=" + percent_encoded(options_.user);
  request.headers = {{"Content-Type", "application/json"}};
  if (!session_.empty()) request.headers.emplace_back("Twinwire-Session", session_);
  request.body = command.data;
  poster_.send(std::move(request), [this, id](int status, std::string_view body) {
    const std::optional<Json> json = status == 0 ? std::nullopt : json_.read(body);
    if (json) {
      settle(id, reply_of(*json));
    } else if (commands_.contains(id)) {
      attempt_later(id, backoff(commands_.at(id).tries));
    }
  });
}

void Client::on_reply(Stream&, const Reply& reply) {
  uint64_t id = 0;
  for (const char c : reply.id) {
    if (c < '0' || c > '9') return;  // the answer to `auth`
    id = id * 10 + static_cast<uint64_t>(c - '0');
  }
  settle(id, reply);
}

void Client::settle(uint64_t id, const Reply& reply) {
  const auto found = commands_.find(id);
  if (found == commands_.end()) return;  // an earlier attempt has already been answered
  if (!reply.success && reply.retryable) {
    found->second.on = nullptr;
    attempt_later(id, backoff(found->second.tries));
    return;
  }
  loop_.cancel(found->second.timer);
  const Done done = std::move(found->second.done);
  commands_.erase(found);
  done(reply);
}

}  // namespace twinwire::client
