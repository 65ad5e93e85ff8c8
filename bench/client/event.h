// What the server says, read: one event of a stream, one answer to a command, a poll's answer.
// Not here: transports. Thread: its owner's. The views live until the reader reads again.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace twinwire::client {

using Json = simdjson::dom::element;

// net/PROTOCOL.md, "Events". Fields that an event does not have are empty.
struct Event {
  std::string_view event_id;  // empty where the event is this stream's alone
  std::string_view type;
  std::string_view room;
  std::string_view user_id;
  Json data;  // the event itself where it has no data
};

// net/PROTOCOL.md, "Commands".
struct Reply {
  bool success = false;
  bool retryable = false;
  std::string_view id;        // of the command, on a WebSocket
  std::string_view code;      // of a failure
  std::string_view sentence;  // of a failure
  std::string_view event_id;
  bool duplicate = false;
  bool stored = false;
  Json json;
};

// A member's text, or nothing where it is missing or of another type.
std::string_view text_at(const Json& object, const char* key);
uint64_t number_at(const Json& object, const char* key, uint64_t otherwise = 0);
bool flag_at(const Json& object, const char* key);
std::optional<Json> member_at(const Json& object, const char* key);

Event event_of(const Json& json);
Reply reply_of(const Json& json);

// The sequence inside an `eventId` (`<12 hex>-<14 hex>`), or 0.
uint64_t sequence_of(std::string_view event_id);

class JsonReader {
 public:
  std::optional<Json> read(std::string_view text);

 private:
  simdjson::dom::parser parser_;
};

}  // namespace twinwire::client
