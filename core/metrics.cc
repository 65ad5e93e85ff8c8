#include "core/metrics.h"

namespace twinwire {

std::string_view word_of(CloseCause cause) {
  switch (cause) {
    case CloseCause::none:
    case CloseCause::count_:
      break;
    case CloseCause::client:
      return "client";
    case CloseCause::broken:
      return "broken";
    case CloseCause::timeout:
      return "timeout";
    case CloseCause::idle:
      return "idle";
    case CloseCause::silent:
      return "silent";
    case CloseCause::stalled:
      return "stalled";
    case CloseCause::refused:
      return "refused";
    case CloseCause::ended:
      return "ended";
    case CloseCause::draining:
      return "draining";
    case CloseCause::shutdown:
      return "shutdown";
  }
  return "shutdown";
}

void Metrics::count_bye(std::string_view word) {
  if (word == "replaced") {
    byes_replaced++;
    return;
  }
  for (size_t code = 0; code <= static_cast<size_t>(Code::draining); code++) {
    if (word_of(static_cast<Code>(code)) != word) continue;
    byes[code]++;
    return;
  }
  byes_other++;
}

}  // namespace twinwire
