#include "core/bridge.h"

namespace twinwire {
namespace {

CommandAlias command(std::string name) {
  CommandAlias alias;
  alias.command = std::move(name);
  return alias;
}

Route to_path(std::string target) { return {Route::Kind::path, std::move(target), {}}; }
Route to_command(CommandAlias alias) { return {Route::Kind::command, {}, std::move(alias)}; }

// What the content of chat messages is called elsewhere.
CommandAlias sending() {
  CommandAlias alias = command("messages.send");
  alias.fields = {{"text", "content"}, {"message", "content"}, {"body", "content"}};
  return alias;
}

}  // namespace

Bridge::Bridge() : types(default_types()) {}
Bridge::~Bridge() = default;
Bridge::Bridge(const Bridge&) = default;
Bridge& Bridge::operator=(const Bridge&) = default;

RouteTable default_routes() {
  RouteTable routes;
  routes["/events"] = to_path("/api/events");
  routes["/realtime"] = to_path("/ws");
  routes["/api/chat"] = to_path("/ws");
  routes["/send-message"] = to_command(sending());
  routes["/api/conversations/*"] = to_command(command("rooms.*"));
  routes["/api/sse"] = {Route::Kind::hint, "/ws", {}};
  return routes;
}

TypeTable default_types() {
  TypeTable types;
  types["chat"] = sending();
  CommandAlias& typing = types["typing"] = command("typing.start");
  typing.choose = "isTyping";
  typing.commands = {{"true", "typing.start"}, {"false", "typing.stop"}};
  CommandAlias& presence = types["presence"] = command("presence.set");
  presence.choose = "action";
  presence.commands = {{"join", "rooms.join"}, {"leave", "rooms.leave"}};
  presence.wrap = "state";
  CommandAlias& signal = types["webrtc-signal"] = command("signal.send");
  signal.fields = {{"target", "to"}, {"targetId", "to"}, {"peerId", "to"}};
  signal.wrap = "data";
  CommandAlias& media = types["media-state"] = command("media.set");
  media.fields = {{"video", "camera"}, {"audio", "mic"}, {"screenShare", "screen"}};
  CommandAlias& bot = types["bot-toggle"] = command("bots.toggle");
  bot.fields = {{"botId", "bot"}};
  types["clear"] = command("rooms.clear");
  CommandAlias& ai = types["ai-request"] = command("ai.request");
  ai.fields = {{"botId", "bot"}};
  return types;
}

const Route* find_route(const RouteTable& routes, std::string_view path, std::string_view& tail) {
  if (auto exact = routes.find(path); exact != routes.end()) return &exact->second;
  const Route* best = nullptr;
  size_t longest = 0;
  for (const auto& [pattern, route] : routes) {
    if (!pattern.ends_with('*')) continue;
    std::string_view front = std::string_view(pattern).substr(0, pattern.size() - 1);
    if (front.size() < longest || path.size() <= front.size() || !path.starts_with(front)) continue;
    best = &route;
    longest = front.size();
    tail = path.substr(front.size());
  }
  return best;
}

}  // namespace twinwire
