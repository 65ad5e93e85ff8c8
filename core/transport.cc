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

namespace {

// A sentence may quote what a client sent, cut somewhere: the bytes that are no characters then become '?',
// since JSON and WebSocket texts are UTF-8 throughout.
std::string as_utf8(const std::string& sentence) {
  std::string out;
  for (size_t at = 0; at < sentence.size();) {
    size_t size = 1;
    while (size <= 4 && !valid_utf8(std::string_view(sentence).substr(at, size))) size++;
    bool whole = size <= 4 && at + size <= sentence.size();
    if (!whole) size = 1;
    out.append(whole ? std::string_view(sentence).substr(at, size) : "?");
    at += size;
  }
  return out;
}

}  // namespace

Reply reply_of(const Error& error) {
  Reply reply{error.code, {}, 0};
  JsonObject object(reply.body);
  object.field("success", false);
  object.field("error", valid_utf8(error.sentence) ? error.sentence : as_utf8(error.sentence));
  object.field("code", word_of(error.code));
  object.field("retryable", retryable(error.code)).end();
  if (retryable(error.code)) reply.retry_after_seconds = 1;
  return reply;
}

}  // namespace twinwire
