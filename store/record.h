// The record of an event: the value under its key in `events`. Compact, versioned, and enough to build the
// event anew with both wire forms byte for byte as they were first sent (in another style, if the tenant's
// settings have changed since). Byte by byte: FORMAT.md. Any thread;
// an encoder or decoder belongs to one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/bridge.h"
#include "core/event.h"
#include "core/status.h"
#include "core/types.h"

namespace twinwire::store {

inline constexpr uint8_t kRecordVersion = 1;
// Written by a server that knows more.
bool is_newer_record(std::string_view value);

// Appends the record of a kept event to `out`. The event is patched.
void append_record(std::string& out, const Event& event);

// What filters and retention look at, without building the event. The view ends with the value.
struct RecordHead {
  std::string_view type;
  uint64_t wall_ms = 0;
  bool message() const { return type.starts_with("message."); }
};
std::optional<RecordHead> peek_record(std::string_view value);

// Builds events from records; remembers the last names, since neighbours share them.
class RecordDecoder {
 public:
  // With `bridges`, events get the style of their room's tenant; without, the native one.
  explicit RecordDecoder(Epoch epoch, const Bridges* bridges = nullptr) : epoch_(epoch), bridges_(bridges) {}
  // The event, patched, outcome stored. Bytes of any origin give an event or `internal`, never more.
  Result<EventRef> decode(std::string_view value, RoomId room, Sequence sequence);

 private:
  const Name& named(Name& last, std::string_view tenant, std::string_view text);
  const Epoch epoch_;
  const Bridges* const bridges_;
  Name room_name_, user_, subject_;
};

}  // namespace twinwire::store
