// Chat logs as input: lines of `[HH:MM] <nick> text`, `[HH:MM]  * nick text` and `=== notice`, any bytes.
// Every line becomes a message: who says it and what, as valid UTF-8. Also makes such logs from a seed.
// Not here: sending them (replay.h). Any thread; plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire::bench {

// The harness's own user: says what no nick says.
inline constexpr std::string_view kHarnessUser = "===";

struct LogLine {
  uint32_t minute = 0;  // since the log's first midnight; never falls
  std::string user;     // a valid user id: UTF-8 without control characters, 1…128 bytes
  std::string text;     // valid UTF-8, 1…60,000 bytes
};

struct Log {
  std::string name;
  std::vector<LogLine> lines;
  uint64_t messages = 0;        // `<nick>` lines
  uint64_t actions = 0;         // `* nick` lines
  uint64_t notices = 0;         // `===` lines
  uint64_t others = 0;          // of no known form: said by the harness
  uint64_t bytes_replaced = 0;  // ill-formed UTF-8 parts, now U+FFFD
  uint64_t names_changed = 0;   // nicks that were no valid user id
  uint64_t texts_changed = 0;   // texts that were empty or too long to send
};

Log parse_log(std::string name, std::string_view bytes);

// When each line is due, in nanoseconds from the start: the lines of a minute spread evenly over it, all
// divided by `speed`.
std::vector<uint64_t> schedule_of(const Log& log, double speed);

// A log of `lines` lines in the same form, the same for the same seed; about one line in fifty holds invalid
// bytes.
std::string generate_log(uint64_t seed, uint32_t lines);

}  // namespace twinwire::bench
