#include "bench/twinbench/irc_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "bench/client/text.h"

namespace twinwire::bench {
namespace {

constexpr size_t kUserBytesMax = 128;
constexpr size_t kTextBytesMax = 60'000;
constexpr uint32_t kDay = 24 * 60;

bool digit(char c) { return c >= '0' && c <= '9'; }

// `[HH:MM] ` in front; false for anything else.
bool take_time(std::string_view& line, uint32_t& minute) {
  if (line.size() < 8 || line[0] != '[' || line[3] != ':' || line[6] != ']' || line[7] != ' ') return false;
  if (!digit(line[1]) || !digit(line[2]) || !digit(line[4]) || !digit(line[5])) return false;
  const auto hour = static_cast<uint32_t>((line[1] - '0') * 10 + (line[2] - '0'));
  const auto rest = static_cast<uint32_t>((line[4] - '0') * 10 + (line[5] - '0'));
  if (hour > 23 || rest > 59) return false;
  minute = hour * 60 + rest;
  line.remove_prefix(8);
  return true;
}

// At most `limit` bytes of valid UTF-8, cut between characters.
std::string_view cut(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

// Control characters (U+0000…1F, 7F, 80…9F) are not allowed in ids: C0 and DEL become their pictures (U+2400
// block), C1 becomes U+FFFD.
std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7F) {
      const auto picture = static_cast<char>(0x80 | (c == 0x7F ? 0x21 : c));
      out.append("\xE2\x90").append(1, picture);
    } else if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      out.append("\xEF\xBF\xBD");
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string user_of(std::string_view bytes, Log& log) {
  client::Repaired repaired = client::repair_utf8(bytes);
  log.bytes_replaced += repaired.replaced;
  std::string out(cut(without_controls(repaired.text), kUserBytesMax));
  if (out.empty()) out = "(nobody)";
  if (out != repaired.text) ++log.names_changed;
  return out;
}

std::string text_of(std::string_view bytes, Log& log) {
  client::Repaired repaired = client::repair_utf8(bytes);
  log.bytes_replaced += repaired.replaced;
  std::string out(cut(repaired.text, kTextBytesMax));
  if (out.empty()) out = "(empty)";
  if (out != repaired.text) ++log.texts_changed;
  return out;
}

// The line without its time. Sets who says what.
void read_words(std::string_view words, bool timed, LogLine& line, Log& log) {
  const size_t nick_end = words.find('>');
  if (timed && words.starts_with('<') && nick_end != std::string_view::npos) {
    ++log.messages;
    line.user = user_of(words.substr(1, nick_end - 1), log);
    std::string_view text = words.substr(nick_end + 1);
    if (text.starts_with(' ')) text.remove_prefix(1);
    line.text = text_of(text, log);
  } else if (timed && words.starts_with(" * ")) {
    ++log.actions;
    const std::string_view rest = words.substr(3);
    line.user = user_of(rest.substr(0, rest.find(' ')), log);
    line.text = text_of(words.substr(1), log);
  } else {
    ++(words.starts_with("===") && !timed ? log.notices : log.others);
    line.user = kHarnessUser;
    line.text = text_of(words, log);
  }
}

}  // namespace

Log parse_log(std::string name, std::string_view bytes) {
  Log log;
  log.name = std::move(name);
  uint32_t day = 0;
  uint32_t last = 0;
  bool any_time = false;
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    std::string_view words = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    LogLine line;
    uint32_t minute = 0;
    const std::string_view whole = words;
    const bool timed = take_time(words, minute);
    if (timed) {
      // Half a day back is midnight; less is a clock that was set, and time stands still.
      if (any_time && day + minute + kDay / 2 < last) day += kDay;
      last = any_time ? std::max(last, day + minute) : minute;
      // Notices before the first time belong to its minute.
      if (!any_time) std::for_each(log.lines.begin(), log.lines.end(), [&](LogLine& l) { l.minute = last; });
      any_time = true;
    }
    line.minute = last;
    const bool said = timed && (words.starts_with('<') || words.starts_with(" * "));
    read_words(said ? words : whole, said, line, log);
    log.lines.push_back(std::move(line));
  }
  return log;
}

std::vector<uint64_t> schedule_of(const Log& log, double speed) {
  std::vector<uint64_t> due;
  due.reserve(log.lines.size());
  const uint32_t start = log.lines.empty() ? 0 : log.lines.front().minute;
  for (size_t i = 0; i < log.lines.size();) {
    size_t end = i;
    while (end < log.lines.size() && log.lines[end].minute == log.lines[i].minute) ++end;
    for (size_t k = i; k < end; ++k) {
      const double within = static_cast<double>(k - i) / static_cast<double>(end - i);
      const double seconds = (log.lines[i].minute - start + within) * 60;
      due.push_back(static_cast<uint64_t>(seconds / speed * 1e9));
    }
    i = end;
  }
  return due;
}

namespace {

constexpr std::array<std::string_view, 24> kWords{
    "kernel",     "does",        "anyone",      "know",         "how",
    "to",         "mount",       "a",           "disk",         "after",
    "upgrade",    "try",         "sudo",        "thanks",       "http://example.org/?q=1&r=2",
    "\"quoted\"", "back\\slash", "caf\xC3\xA9", "\xE2\x9C\x93", "\xF0\x9F\x90\xA7",
    ":-)",        "<b>",         "{json}",      "tab\there"};
// Bytes that are no UTF-8: a lone continuation, an overlong form, a surrogate, a cut character, Latin-1.
constexpr std::array<std::string_view, 6> kIllFormed{"\x80",     "\xC0\xAF", "\xED\xA0\x80",
                                                     "\xE2\x82", "caf\xE9",  "\xFF\xFE"};

using Random = std::mt19937_64;

std::string some_words(Random& random) {
  std::string out;
  for (uint64_t n = 1 + random() % 14; n > 0; --n) {
    if (!out.empty()) out += ' ';
    out += kWords[random() % kWords.size()];
  }
  if (random() % 50 == 0) out += kIllFormed[random() % kIllFormed.size()];
  if (random() % 80 == 0)
    out +=
        "\x03"
        "04red\x03\x1f";
  return out;
}

std::string some_nick(Random& random, uint64_t people) {
  const uint64_t who = random() % people;
  if (who % 37 == 5) return fmt::format("n\xE9\x02_{}", who);
  if (who % 23 == 3) return fmt::format("[z{}] ", who);
  return fmt::format("nick{}{}", who, who % 3 == 0 ? "|away" : "");
}

}  // namespace

std::string generate_log(uint64_t seed, uint32_t lines) {
  Random random(seed);
  std::string out;
  uint64_t minute = random() % kDay;
  const uint64_t people = 20 + random() % 60;
  for (uint32_t i = 0; i < lines; ++i) {
    if (random() % 8 == 0) minute += 1 + random() % 3;
    const std::string time = fmt::format("[{:02}:{:02}]", minute / 60 % 24, minute % 60);
    const uint64_t form = random() % 100;
    const std::string nick = some_nick(random, people);
    if (form < 12) {
      out += fmt::format("=== {} has joined #generated", nick);
    } else if (form < 15) {
      out += fmt::format("{}  * {} {}", time, nick, some_words(random));
    } else {
      out += fmt::format("{} <{}> {}", time, nick, some_words(random));
    }
    out += '\n';
  }
  return out;
}

}  // namespace twinwire::bench
