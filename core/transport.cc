#include "core/transport.h"

#include "core/json.h"

namespace twinwire {

std::string_view word_of(Form form) {
  switch (form) {
    case Form::none:
      return "http";
    case Form::sse:
      return "sse";
    case Form::ws:
      return "ws";
    case Form::poll:
      return "poll";
  }
  return "http";
}

Reply reply_of(const Error& error) {
  Reply reply{error.code, {}, 0};
  JsonObject object(reply.body);
  object.field("success", false).field("error", error.sentence).field("code", word_of(error.code));
  object.field("retryable", retryable(error.code)).end();
  if (retryable(error.code)) reply.retry_after_seconds = 1;
  return reply;
}

}  // namespace twinwire
