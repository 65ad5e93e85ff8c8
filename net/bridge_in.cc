#include "net/bridge_in.h"

#include <algorithm>
#include <vector>

#include "core/json.h"
#include "core/json_text.h"

namespace twinwire {
namespace {

// A string's text, or the JSON of anything else.
std::string plain_text(const JsonPart& value) {
  return value.kind == JsonKind::string ? json_text_of(value.raw) : std::string(value.raw);
}

// A key stands without its quotes in a JsonPart; json_text_of() wants them.
std::string quoted_key(std::string_view key) { return "\"" + std::string(key) + "\""; }

// Members of the body that is being put together: the first of a name stands.
class BodyWriter {
 public:
  void add(std::string_view name, std::string_view json) {
    if (has(name)) return;
    names_.emplace_back(name);
    body_ += body_.size() > 1 ? "," : "";
    append_json_string(body_, name);
    body_.append(":").append(json);
  }
  bool has(std::string_view name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }
  std::string finish() { return body_ + "}"; }

 private:
  std::string body_ = "{";
  std::vector<std::string> names_;
};

Result<std::string> command_of(const CommandAlias& alias, const JsonText* message, std::string_view tail) {
  std::string command = alias.command;
  const JsonPart* value = message && !alias.choose.empty() ? message->find(alias.choose) : nullptr;
  if (value != nullptr) {
    if (auto found = alias.commands.find(plain_text(*value)); found != alias.commands.end())
      command = found->second;
  }
  if (command.empty()) {
    std::string sentence = "'" + alias.choose + "' must be one of";
    for (const auto& [word, name] : alias.commands) sentence += " " + word;
    return fail(Code::invalid_argument, sentence);
  }
  if (size_t star = command.find('*'); star != std::string::npos) {
    if (tail.empty() || tail.find('/') != std::string_view::npos)
      return fail(Code::not_found, "there is nothing at this address");
    command.replace(star, 1, tail);
  }
  return command;
}

}  // namespace

Result<BridgedCommand> bridge_command(const CommandAlias& alias, std::string_view data, std::string_view tail,
                                      std::string_view room) {
  std::string_view text = data.empty() ? std::string_view("{}") : data;
  auto message = JsonText::read(text);
  bool readable = message && message->kind() == JsonKind::object;
  auto command = command_of(alias, readable ? &*message : nullptr, tail);
  if (!command) return command.error();
  if (!readable) return BridgedCommand{std::move(*command), std::string(data)};
  BodyWriter body;
  // What has our name already goes first, so that no other member takes its place.
  for (const JsonPart& part : message->parts()) {
    std::string name = json_text_of(quoted_key(part.key));
    if (alias.fields.find(name) == alias.fields.end()) body.add(name, part.raw);
  }
  for (const JsonPart& part : message->parts()) {
    auto ours = alias.fields.find(json_text_of(quoted_key(part.key)));
    if (ours != alias.fields.end() && part.kind != JsonKind::null) body.add(ours->second, part.raw);
  }
  if (!alias.wrap.empty()) body.add(alias.wrap, text);
  for (const auto& [name, json] : alias.set) body.add(name, json);
  // "to" names a user within a room.
  bool addressed = body.has("room") || body.has("conversationId") || body.has("user");
  if (!room.empty() && !addressed) body.add("room", json_string(room));
  return BridgedCommand{std::move(*command), body.finish()};
}

bool changes_replies(const Bridge& bridge) { return !bridge.errors.empty() || !bridge.replies.native(); }

void bridge_reply(Reply& reply, const Bridge& bridge, std::string_view command) {
  if (reply.code != Code::ok && !bridge.errors.empty()) {
    std::string_view word = word_of(reply.code);
    auto text = bridge.errors.find(std::string(command) + "." + std::string(word));
    if (text == bridge.errors.end()) text = bridge.errors.find(word);
    auto body = JsonText::read(reply.body);
    const JsonPart* sentence = body && body->kind() == JsonKind::object ? body->find("error") : nullptr;
    if (text != bridge.errors.end() && sentence != nullptr && sentence->kind == JsonKind::string) {
      std::string own = json_text_of(sentence->raw);
      reply.body.clear();
      JsonObject object(reply.body);
      object.field("success", false).field("error", text->second).field("code", word);
      object.field("retryable", retryable(reply.code)).field("detail", own).end();
    }
  }
  if (bridge.replies.native()) return;
  std::string renamed;
  append_with_keys(renamed, reply.body, bridge.replies);
  reply.body = std::move(renamed);
}

std::string hint_body(std::string_view target, const HintAsked& asked) {
  std::string out;
  JsonObject object(out);
  object.field("success", true).field("moved", true).field("path", target);
  if (!asked.host.empty()) {
    std::string url = target == "/ws" ? "ws" : "http";
    url += asked.secure ? "s://" : "://";
    object.field("url", url.append(asked.host).append(target));
  }
  object.field("message", "this stream has moved: connect to " + std::string(target));
  object.end();
  return out;
}

}  // namespace twinwire
