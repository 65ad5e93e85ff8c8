#include "tools/twinctl/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include "bench/client/event.h"
#include "bench/client/text.h"
#include "core/json.h"
#include "tools/twinctl/show.h"

namespace twinwire::ctl {
namespace {

int complain(const Error& error) {
  fmt::print(stderr, "twinctl: {}\n", error.sentence);
  return 1;
}

}  // namespace

int list(const Access& access, Listing what, bool json) {
  static constexpr const char* targets[] = {"/admin/stats", "/admin/rooms", "/admin/sessions"};
  client::Request get;
  get.target = targets[static_cast<size_t>(what)];
  const Result<std::string> body = request(access, get);
  if (!body) return complain(body.error());
  client::JsonReader reader;
  const std::optional<client::Json> answer = reader.read(*body);
  if (!answer)
    return complain(fail(Code::invalid_json, "The server's answer is not JSON. Is --url the admin address?"));
  if (json) {
    fmt::print("{}\n", *body);
    return 0;
  }
  const client::Paint paint = client::Paint::for_stdout();
  switch (what) {
    case Listing::stats:
      fmt::print("{}", show_stats(*answer, paint));
      break;
    case Listing::rooms:
      fmt::print("{}", show_rooms(*answer, paint));
      break;
    case Listing::sessions:
      fmt::print("{}", show_sessions(*answer, paint));
  }
  return 0;
}

int tail(const Access& access, const TailOptions& options) {
  const client::Paint paint = client::Paint::for_stdout();
  std::string cursor = options.from;
  uint64_t shown = 0;
  bool opened = false;
  const OnEvent on_event = [&](std::string_view json, std::string_view last) {
    opened = true;
    if (!last.empty()) cursor = last;
    const std::string line = show_event(json, paint);
    if (line.empty()) return true;
    if (options.json) {
      fmt::print("{}\n", json);
    } else {
      fmt::print("{}", line);
    }
    std::fflush(stdout);
    return options.count == 0 || ++shown < options.count;
  };
  while (true) {
    std::string target = "/admin/tail?room=" + client::percent_encoded(options.room);
    if (!options.tenant.empty()) target += "&tenant=" + client::percent_encoded(options.tenant);
    if (!cursor.empty()) target += "&lastEventId=" + client::percent_encoded(cursor);
    const Result<bool> stopped = follow(access, target, on_event);
    if (!stopped && !opened) return complain(stopped.error());
    if (stopped && *stopped) return 0;
    fmt::print(stderr, "{}twinctl: the stream ended; going on from {} in a second{}\n",
               client::Paint::for_stderr().dim, cursor.empty() ? "now" : cursor,
               client::Paint::for_stderr().off);
    sleep(1);
  }
}

int publish(const Access& access, const PublishOptions& options) {
  client::Request post;
  post.method = "POST";
  post.target = "/admin/publish";
  post.headers = {{"Content-Type", "application/json"}};
  JsonObject body(post.body);
  body.field("room", options.room);
  if (!options.tenant.empty()) body.field("tenant", options.tenant);
  if (options.type.empty()) {
    body.field("text", options.text);
  } else {
    body.field("type", options.type).raw("data", options.data.empty() ? "{}" : options.data);
  }
  if (options.ephemeral) body.field("ephemeral", true);
  body.end();
  const Result<std::string> answer = request(access, post);
  if (!answer) return complain(answer.error());
  client::JsonReader reader;
  const std::optional<client::Json> json = reader.read(*answer);
  if (options.json || !json) {
    fmt::print("{}\n", *answer);
    return 0;
  }
  const client::Paint paint = client::Paint::for_stdout();
  const client::Reply reply = client::reply_of(*json);
  fmt::print("{}published{} {} to {}{}\n", paint.green, paint.off, reply.event_id, options.room,
             reply.stored ? ", stored" : "");
  return 0;
}

}  // namespace twinwire::ctl
