// The admin answers as text for people. Not here: fetching them. Any thread; plain functions.
#pragma once

#include <string>
#include <string_view>

#include "bench/client/event.h"
#include "bench/client/table.h"

namespace twinwire::ctl {

std::string show_stats(const client::Json& stats, const client::Paint& paint);
std::string show_rooms(const client::Json& answer, const client::Paint& paint);
std::string show_room(const client::Json& answer, const client::Paint& paint);
std::string show_sessions(const client::Json& answer, const client::Paint& paint);
// One line: time, who, what. Empty for what is not an event of the log (a stream's own words).
std::string show_event(std::string_view json, const client::Paint& paint);
// Control characters as spaces: names and reasons never reach a terminal raw.
std::string printable(std::string_view text);
// "3 d 04 h", "5 h 07 min", "6 min 12 s", "42 s".
std::string age_text(uint64_t seconds);

}  // namespace twinwire::ctl
