#include "bench/twinbench/dialect.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "bench/client/text.h"
#include "bench/client/websocket.h"

namespace twinwire::bench {
namespace {

using Json = simdjson::dom::element;
using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string text_of(const Json& object, const char* key) {
  std::string_view out;
  return object[key].get_string().get(out) == simdjson::SUCCESS ? std::string(out) : std::string();
}

std::vector<std::string> list_of(const Json& object, const char* key) {
  std::vector<std::string> out;
  simdjson::dom::array items;
  if (object[key].get_array().get(items) != simdjson::SUCCESS) return out;
  for (const Json& item : items) {
    std::string_view text;
    if (item.get_string().get(text) == simdjson::SUCCESS) out.emplace_back(text);
  }
  return out;
}

Pairs pairs_of(const Json& object, const char* key) {
  Pairs out;
  simdjson::dom::object members;
  if (object[key].get_object().get(members) != simdjson::SUCCESS) return out;
  for (const auto& [name, value] : members) {
    std::string_view text;
    if (value.get_string().get(text) == simdjson::SUCCESS) out.emplace_back(name, text);
  }
  return out;
}

Dialect::Reading reading_of(const Json& json) {
  Dialect::Reading out;
  out.target = text_of(json, "target");
  out.headers = pairs_of(json, "headers");
  out.say = list_of(json, "say");
  out.live = text_of(json, "live");
  simdjson::dom::array answers;
  if (json["answers"].get_array().get(answers) == simdjson::SUCCESS) {
    for (const Json& each : answers) out.answers.emplace_back(text_of(each, "to"), text_of(each, "say"));
  }
  return out;
}

Result<Dialect::Publishing> publishing_of(const Json& json) {
  Dialect::Publishing out;
  const std::string via = text_of(json, "via");
  if (via != "post" && via != "ws")
    return fail(Code::invalid_argument, "`via` of publishing must be post or ws");
  out.via = via == "ws" ? Dialect::Via::ws : Dialect::Via::post;
  if (const std::string method = text_of(json, "method"); !method.empty()) out.method = method;
  out.target = text_of(json, "target");
  if (out.target.empty()) return fail(Code::invalid_argument, "publishing needs a `target`");
  out.headers = pairs_of(json, "headers");
  out.body = text_of(json, "body");
  bool pipeline = true;
  if (json["pipeline"].get_bool().get(pipeline) == simdjson::SUCCESS) out.pipeline = pipeline;
  out.say = list_of(json, "say");
  out.live = text_of(json, "live");
  out.message = text_of(json, "message");
  out.answer = text_of(json, "answer");
  out.refusal = text_of(json, "refusal");
  const std::string& holder = out.via == Dialect::Via::ws ? out.message : out.body + out.target;
  if (holder.find("{content}") == std::string::npos)
    return fail(Code::invalid_argument, "what is published must hold {content}");
  return out;
}

bool has(const Json& json, const char* key) { return json[key].error() == simdjson::SUCCESS; }

}  // namespace

std::string filled(std::string_view text, const Blanks& blanks) {
  const std::pair<std::string_view, std::string_view> names[] = {{"{room}", blanks.room},
                                                                 {"{user}", blanks.user},
                                                                 {"{content}", blanks.content},
                                                                 {"{cursor}", blanks.cursor}};
  std::string out;
  out.reserve(text.size() + blanks.content.size() + blanks.room.size() + blanks.user.size());
  while (!text.empty()) {
    const size_t brace = std::min(text.find('{'), text.size());
    out.append(text.substr(0, brace));
    text.remove_prefix(brace);
    if (text.empty()) break;
    size_t taken = 0;
    for (const auto& [name, value] : names) {
      if (!text.starts_with(name)) continue;
      out.append(value);
      taken = name.size();
      break;
    }
    if (taken == 0) out += text[taken++];
    text.remove_prefix(taken);
  }
  return out;
}

Result<PeerFile> parse_peer(std::string_view text) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  Json json;
  if (parser.parse(padded).get(json) != simdjson::SUCCESS || !json.is_object())
    return fail(Code::invalid_json, "it is not a JSON object");
  PeerFile out;
  out.dialect.name = text_of(json, "name");
  if (out.dialect.name.empty()) return fail(Code::invalid_argument, "it has no `name`");
  out.dialect.about = text_of(json, "about");
  out.start = list_of(json, "start");
  out.environment = pairs_of(json, "env");
  out.ready = text_of(json, "ready");
  Json readers;
  if (json["readers"].get(readers) != simdjson::SUCCESS)
    return fail(Code::invalid_argument, "it has no `readers`");
  if (has(readers, "sse")) out.dialect.sse = reading_of(readers["sse"]);
  if (has(readers, "ws")) out.dialect.ws = reading_of(readers["ws"]);
  if (!out.dialect.sse && !out.dialect.ws)
    return fail(Code::invalid_argument, "`readers` needs `sse` or `ws`");
  Json publish;
  if (json["publish"].get(publish) != simdjson::SUCCESS)
    return fail(Code::invalid_argument, "it has no `publish`");
  Result<Dialect::Publishing> publishing = publishing_of(publish);
  if (!publishing) return publishing.error();
  out.dialect.publish = *publishing;
  if (has(json, "post")) {
    publishing = publishing_of(json["post"]);
    if (!publishing) return publishing.error();
    out.dialect.post = *publishing;
  }
  out.dialect.speak = text_of(json, "speak");
  out.dialect.speak_answer = text_of(json, "speakAnswer");
  return out;
}

Dialect twinwire_dialect(const TwinwireWords& words) {
  Dialect out;
  out.name = "twinwire";
  std::string query = "?id={user}&rooms={room}";
  if (words.heartbeat_seconds > 0) query += fmt::format("&heartbeat={}", words.heartbeat_seconds);
  out.sse = Dialect::Reading{.target = "/api/events" + query,
                             .headers = {{"Accept", "text/event-stream"}},
                             .say = {},
                             .live = "event: connected\n",
                             .answers = {},
                             .resume = "&lastEventId={cursor}"};
  out.ws = *out.sse;
  out.ws->target = "/ws" + query;
  out.ws->headers.clear();
  out.ws->live = R"("type":"connected")";
  const std::string data =
      words.kept ? fmt::format(R"({{"room":"{{room}}","content":"{{content}}","ack":"{}"}})", words.ack)
                 : R"({"room":"{room}","type":"bench.tick","ephemeral":true,"data":{"content":"{content}"}})";
  out.speak = fmt::format(R"({{"type":"{}","id":"1","data":{}}})",
                          words.kept ? "messages.send" : "events.publish", data);
  out.speak_answer = R"({"type":"reply")";
  out.publish.via = Dialect::Via::ws;
  out.publish.target = "/ws?id={user}&heartbeat=600";
  out.publish.live = R"("type":"connected")";
  out.publish.message = out.speak;
  out.publish.answer = R"("success":true)";
  out.publish.refusal = R"("success":false)";
  out.post = Dialect::Publishing{};
  out.post->target = words.kept ? "/api/messages/send?id={user}" : "/api/events/publish?id={user}";
  out.post->headers = {{"Content-Type", "application/json"}};
  out.post->body = data;
  return out;
}

Dialect bare_dialect(const TwinwireWords& words) {
  Dialect out = twinwire_dialect(words);
  out.name = "bare";
  out.publish = Dialect::Publishing{};
  out.publish.via = Dialect::Via::records;
  out.publish.message = "{content}";
  out.post.reset();
  out.speak.clear();
  out.speak_answer.clear();
  return out;
}

client::Request reader_request(const Dialect::Reading& reading, Form form, const Blanks& blanks) {
  client::Request out;
  out.target = filled(reading.target, blanks);
  if (!blanks.cursor.empty()) out.target += filled(reading.resume, blanks);
  out.headers = reading.headers;
  if (form == Form::ws) {
    out.headers.insert(out.headers.begin(), {{"Upgrade", "websocket"},
                                             {"Connection", "Upgrade"},
                                             {"Sec-WebSocket-Version", "13"},
                                             {"Sec-WebSocket-Key", std::string(client::kWsKey)}});
  }
  return out;
}

}  // namespace twinwire::bench
