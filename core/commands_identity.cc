// auth.refresh: a newer token for a stream that is open. The gateway has checked it already: the command's
// identity is what it proved.
#include "core/commands.h"
#include "core/event.h"
#include "core/json.h"
#include "core/shard.h"

namespace twinwire {

std::string auth_fields(const Identity& who) {
  std::string fields = "\"userId\":" + json_string(who.user.text()) + ",\"expiresAt\":";
  return fields + (who.expires_wall_ms ? json_string(format_timestamp(who.expires_wall_ms)) : "null");
}

void auth_refresh(Shard& shard, Command command) {
  Sessions& sessions = shard.sessions();
  std::string fields = auth_fields(command.who);
  if (command.session.none()) return accept(shard, command, fields);  // nothing but the token's own end
  uint32_t session = sessions.find(command.session);
  if (session == kNone) return refuse(shard, command, Code::not_found, "there is no such session");
  if (sessions.at(session).user != command.who.user) {
    Error error = fail(Code::forbidden, "this stream belongs to another user");
    bool own = command.origin == shard.index() && sessions.on_connection(command.connection) == session;
    shard.reply(command, reply_of(error));
    if (own) sessions.tell_session(session, "auth.error", reply_of(error).body);
    return;
  }
  if (!sessions.renew(session, command.who))
    return refuse(shard, command, Code::overloaded, "too many different grants");
  accept(shard, command, fields);
  sessions.tell_session(session, "auth.success", "{\"success\":true," + fields + "}");
}

}  // namespace twinwire
