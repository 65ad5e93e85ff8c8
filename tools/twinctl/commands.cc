#include "tools/twinctl/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <sstream>
#include <vector>

#include "bench/client/event.h"
#include "bench/client/text.h"
#include "core/json.h"
#include "tools/twinctl/show.h"
#include "tools/twinwire/cli.h"

namespace twinwire::ctl {
namespace {

int complain(const Error& error) {
  fmt::print(stderr, "twinctl: {}\n", error.sentence);
  return 1;
}

// "" or "&key=value"; the first one begins with '?'.
void add_query(std::string& target, std::string_view key, const std::string& value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target.append(key).append("=").append(client::percent_encoded(value));
}

std::string number_or_nothing(uint32_t number) { return number == 0 ? "" : std::to_string(number); }

// One POST and its answer: the line that `done` makes of it, or the JSON itself.
template <typename Done>
int act(const Access& access, const char* target, std::string body, bool json, Done done) {
  client::Request post;
  post.method = "POST";
  post.target = target;
  post.headers = {{"Content-Type", "application/json"}};
  post.body = std::move(body);
  const Result<std::string> answer = request(access, post);
  if (!answer) return complain(answer.error());
  client::JsonReader reader;
  const std::optional<client::Json> read = reader.read(*answer);
  if (json || !read) {
    fmt::print("{}\n", *answer);
    return 0;
  }
  fmt::print("{}\n", done(*read, client::Paint::for_stdout()));
  return 0;
}

}  // namespace

int list(const Access& access, const ListOptions& options) {
  static constexpr const char* targets[] = {"/admin/stats", "/admin/rooms", "/admin/room", "/admin/sessions"};
  client::Request get;
  get.target = targets[static_cast<size_t>(options.what)];
  add_query(get.target, "tenant", options.tenant);
  add_query(get.target, "sort", options.sort);
  add_query(get.target, "order", options.order);
  add_query(get.target, "contains", options.contains);
  add_query(get.target, "user", options.user);
  add_query(get.target, "room", options.room);
  add_query(get.target, "transport", options.transport);
  add_query(get.target, "state", options.state);
  add_query(get.target, "limit", number_or_nothing(options.limit));
  add_query(get.target, "offset", number_or_nothing(options.offset));
  const Result<std::string> body = request(access, get);
  if (!body) return complain(body.error());
  client::JsonReader reader;
  const std::optional<client::Json> answer = reader.read(*body);
  if (!answer)
    return complain(fail(Code::invalid_json, "The server's answer is not JSON. Is --url the admin address?"));
  if (options.json) {
    fmt::print("{}\n", *body);
    return 0;
  }
  const client::Paint paint = client::Paint::for_stdout();
  switch (options.what) {
    case Listing::stats:
      fmt::print("{}", show_stats(*answer, paint));
      break;
    case Listing::rooms:
      fmt::print("{}", show_rooms(*answer, paint));
      break;
    case Listing::room:
      fmt::print("{}", show_room(*answer, paint));
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

int kick(const Access& access, const KickOptions& options) {
  std::string body;
  JsonObject object(body);
  if (!options.user.empty()) object.field("user", options.user);
  if (!options.session.empty()) object.field("session", options.session);
  if (!options.tenant.empty()) object.field("tenant", options.tenant);
  if (!options.reason.empty()) object.field("reason", options.reason);
  object.field("reconnect", !options.stay_away).end();
  return act(access, "/admin/kick", std::move(body), options.json,
             [&](const client::Json& answer, const client::Paint& paint) {
               const uint64_t ended = client::number_at(answer, "ended");
               return fmt::format(
                   "{}kicked{} {} stream{} of {}; {}", paint.green, paint.off, ended, ended == 1 ? "" : "s",
                   printable(options.user.empty() ? options.session : options.user),
                   options.stay_away ? "the clients were told to stay away" : "the clients may come back");
             });
}

namespace {

std::string named_body(const char* key, const NamedOptions& options) {
  std::string body;
  JsonObject object(body);
  object.field(key, options.name);
  if (!options.tenant.empty()) object.field("tenant", options.tenant);
  object.end();
  return body;
}

}  // namespace

int clear(const Access& access, const NamedOptions& options) {
  return act(access, "/admin/clear", named_body("room", options), options.json,
             [&](const client::Json& answer, const client::Paint& paint) {
               return fmt::format("{}cleared{} {}: no message below {} is read any more", paint.green,
                                  paint.off, printable(options.name), client::text_at(answer, "eventId"));
             });
}

int revoke(const Access& access, const NamedOptions& options) {
  return act(access, "/admin/revoke", named_body("user", options), options.json,
             [&](const client::Json&, const client::Paint& paint) {
               return fmt::format(
                   "{}revoked{} {}: tokens issued until now are refused, and streams have ended", paint.green,
                   paint.off, printable(options.name));
             });
}

// The same words and the same check as `twinwire check-config`.
int check_config(const std::string& path, bool json) {
  std::vector<const char*> arguments{"check-config"};
  if (!path.empty()) arguments.insert(arguments.end(), {"--config", path.c_str()});
  size_t variables = 0;
  while (environ[variables] != nullptr) ++variables;
  std::ostringstream out, err;
  const int code = run_cli({.arguments = arguments,
                            .environment = {environ, variables},
                            .out = out,
                            .err = err,
                            .run_server = [](const Config&, const auto&) { return kExitFailure; }});
  std::vector<std::string> mistakes;
  std::istringstream lines(err.str());
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kSaid = "twinwire: ";
    mistakes.push_back(line.starts_with(kSaid) ? line.substr(kSaid.size()) : line);
  }
  const std::string source = path.empty() ? "The configuration of the environment" : path;
  if (json) {
    std::string text;
    JsonObject object(text);
    object.field("ok", code == kExitOk);
    std::string& list = object.begin("mistakes");
    list += '[';
    for (size_t i = 0; i < mistakes.size(); ++i) {
      if (i > 0) list += ',';
      append_json_string(list, mistakes[i]);
    }
    list += ']';
    object.end();
    fmt::print("{}\n", text);
  } else if (code == kExitOk) {
    const client::Paint paint = client::Paint::for_stdout();
    fmt::print("{}fine{}  {} can be served\n", paint.green, paint.off, source);
    for (const std::string& remark : mistakes) fmt::print("      {}\n", remark);
  } else {
    const client::Paint paint = client::Paint::for_stderr();
    for (const std::string& mistake : mistakes)
      fmt::print(stderr, "{}wrong{} {}\n", paint.red, paint.off, mistake);
  }
  return code == kExitOk ? 0 : 1;
}

}  // namespace twinwire::ctl
