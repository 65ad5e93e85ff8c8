#include "bench/client/event.h"

#include "core/types.h"

namespace twinwire::client {

std::optional<Json> member_at(const Json& object, const char* key) {
  Json out;
  if (object.at_key(key).get(out) != simdjson::SUCCESS) return std::nullopt;
  return out;
}

std::string_view text_at(const Json& object, const char* key) {
  std::string_view out;
  if (object.at_key(key).get_string().get(out) != simdjson::SUCCESS) return {};
  return out;
}

uint64_t number_at(const Json& object, const char* key, uint64_t otherwise) {
  uint64_t out = 0;
  if (object.at_key(key).get_uint64().get(out) != simdjson::SUCCESS) return otherwise;
  return out;
}

bool flag_at(const Json& object, const char* key) {
  bool out = false;
  return object.at_key(key).get_bool().get(out) == simdjson::SUCCESS && out;
}

Event event_of(const Json& json) {
  Event out;
  out.event_id = text_at(json, "eventId");
  out.type = text_at(json, "type");
  out.room = text_at(json, "room");
  out.user_id = text_at(json, "userId");
  out.data = member_at(json, "data").value_or(json);  // never an element of no document
  return out;
}

Reply reply_of(const Json& json) {
  Reply out;
  out.success = flag_at(json, "success");
  out.retryable = flag_at(json, "retryable");
  out.id = text_at(json, "id");
  out.code = text_at(json, "code");
  out.sentence = text_at(json, "error");
  out.event_id = text_at(json, "eventId");
  out.duplicate = flag_at(json, "duplicate");
  out.stored = flag_at(json, "stored");
  out.json = json;
  return out;
}

uint64_t sequence_of(std::string_view event_id) {
  const std::optional<Cursor> cursor = Cursor::parse(event_id);
  return cursor ? cursor->sequence.value : 0;
}

std::optional<Json> JsonReader::read(std::string_view text) {
  Json out;
  if (parser_.parse(text.data(), text.size()).get(out) != simdjson::SUCCESS) return std::nullopt;
  return out;
}

}  // namespace twinwire::client
