// Reading events and answers as a client does. Used by the simulator's client alone.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "core/types.h"

namespace twinwire::sim {

inline std::string text_of(simdjson::dom::element element, std::string_view key) {
  std::string_view text;
  return element.at_key(key).get_string().get(text) ? std::string() : std::string(text);
}

inline uint64_t sequence_of(const std::string& id) {
  auto cursor = Cursor::parse(id);
  return cursor ? cursor->sequence.value : 0;
}

}  // namespace twinwire::sim
