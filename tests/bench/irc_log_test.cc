// Reading and making chat logs, and the comparison of a transcript with one.
#include "bench/twinbench/irc_log.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "bench/twinbench/transcript.h"

namespace twinwire::bench {
namespace {

TEST(IrcLog, EveryFormOfLine) {
  const Log log = parse_log("x",
                            "=== someone has joined\n"
                            "[11:22] <nick> a > b  \n"
                            "[11:22]  * nick waves\n"
                            "=== mode/#ubuntu\n"
                            "[11:23] <[zero] > hi\r\n"
                            "no form at all\n"
                            "[11:23] neither\n"
                            "[99:99] <a> b\n"
                            "\n"
                            "[11:24] <nick>no space\n"
                            "[11:24] <> nobody\n"
                            "[11:24] <nick>\n"
                            "[11:25] <last> without end");
  struct Expected {
    uint32_t minute;
    std::string_view user;
    std::string_view text;
  };
  const Expected expected[] = {
      {682, "===", "=== someone has joined"},
      {682, "nick", "a > b  "},
      {682, "nick", "* nick waves"},
      {682, "===", "=== mode/#ubuntu"},
      {683, "[zero] ", "hi\r"},
      {683, "===", "no form at all"},
      {683, "===", "[11:23] neither"},
      {683, "===", "[99:99] <a> b"},
      {683, "===", "(empty)"},
      {684, "nick", "no space"},
      {684, "(nobody)", "nobody"},
      {684, "nick", "(empty)"},
      {685, "last", "without end"},
  };
  ASSERT_EQ(log.lines.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(log.lines[i].minute, expected[i].minute) << i;
    EXPECT_EQ(log.lines[i].user, expected[i].user) << i;
    EXPECT_EQ(log.lines[i].text, expected[i].text) << i;
  }
  EXPECT_EQ(log.messages, 6u);
  EXPECT_EQ(log.actions, 1u);
  EXPECT_EQ(log.notices, 2u);
  EXPECT_EQ(log.others, 4u);
  EXPECT_EQ(log.names_changed, 1u);
  EXPECT_EQ(log.texts_changed, 2u);
}

TEST(IrcLog, NamesBecomeValidIds) {
  const Log log = parse_log("x",
                            "[00:00] <a\x02"
                            "b\x7F\xC2\x85\xE9> t\xFF\x03t\n[00:00] <" +
                                std::string(200, 'n') + "> t\n");
  EXPECT_EQ(log.lines[0].user,
            "a\xE2\x90\x82"
            "b\xE2\x90\xA1\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(log.lines[0].text, "t\xEF\xBF\xBD\x03t");
  EXPECT_EQ(log.bytes_replaced, 2u);
  EXPECT_EQ(log.lines[1].user.size(), 128u);
  EXPECT_EQ(log.names_changed, 2u);
}

TEST(IrcLog, MidnightAndClocksThatGoBack) {
  const Log log = parse_log("x", "[23:59] <a> 1\n[00:01] <a> 2\n[00:00] <a> 3\n[00:02] <a> 4\n");
  EXPECT_EQ(log.lines[0].minute, 1439u);
  EXPECT_EQ(log.lines[1].minute, 1441u);
  EXPECT_EQ(log.lines[2].minute, 1441u);
  EXPECT_EQ(log.lines[3].minute, 1442u);
}

TEST(IrcLog, MinutesAreSpreadEvenly) {
  const Log log = parse_log("x", "[10:00] <a> 1\n[10:00] <a> 2\n=== x\n[10:00] <a> 4\n[10:02] <a> 5\n");
  const std::vector<uint64_t> due = schedule_of(log, 60);
  const std::vector<uint64_t> expected{0, 250'000'000, 500'000'000, 750'000'000, 2'000'000'000};
  EXPECT_EQ(due, expected);
  EXPECT_EQ(schedule_of(log, 120)[4], 1'000'000'000u);
}

TEST(IrcLog, MadeLogsAreTheSameForTheSameSeedAndHoldEveryForm) {
  const std::string bytes = generate_log(5, 3000);
  EXPECT_EQ(bytes, generate_log(5, 3000));
  EXPECT_NE(bytes, generate_log(6, 3000));
  const Log log = parse_log("x", bytes);
  EXPECT_EQ(log.lines.size(), 3000u);
  EXPECT_GT(log.messages, 2000u);
  EXPECT_GT(log.actions, 20u);
  EXPECT_GT(log.notices, 100u);
  EXPECT_EQ(log.others, 0u);
  EXPECT_GT(log.bytes_replaced, 20u);
  EXPECT_GT(log.names_changed, 0u);
  for (const LogLine& line : log.lines) {
    EXPECT_TRUE(simdjson::validate_utf8(line.text.data(), line.text.size()));
    EXPECT_TRUE(simdjson::validate_utf8(line.user.data(), line.user.size()));
  }
}

struct Sight {
  uint64_t sequence;
  uint32_t line;
};

Transcript transcript_of(std::initializer_list<Sight> sights) {
  Transcript out;
  for (const Sight& sight : sights) out.saw(sight.sequence, sight.line);
  return out;
}

TEST(Transcript, EqualToTheFile) { EXPECT_TRUE(transcript_of({{1, 0}, {5, 1}, {9, 2}}).check(3).none()); }

TEST(Transcript, EachFaultIsCounted) {
  EXPECT_EQ(transcript_of({{1, 0}, {9, 2}}).check(3).lost, 1u);
  EXPECT_EQ(transcript_of({}).check(3).lost, 3u);
  const Faults repeated = transcript_of({{1, 0}, {5, 1}, {6, 1}, {9, 2}}).check(3);
  EXPECT_EQ(repeated.repeated, 1u);
  EXPECT_EQ(repeated.lost + repeated.reordered, 0u);
  const Faults reordered = transcript_of({{1, 0}, {5, 2}, {6, 1}}).check(3);
  EXPECT_EQ(reordered.reordered, 1u);
  EXPECT_EQ(reordered.lost + reordered.repeated, 0u);
  EXPECT_EQ(transcript_of({{1, 0}, {2, 7}}).check(1).foreign, 1u);
}

TEST(Transcript, ForgetsWhatWasUnsavedOrRolledBack) {
  Transcript transcript = transcript_of({{1, 0}, {5, 1}, {7, 1}, {9, 2}});
  transcript.forget(5);
  EXPECT_TRUE(transcript.check(3).none());
  transcript.forget_above(7);
  EXPECT_EQ(transcript.check(3).lost, 1u);
  EXPECT_EQ(transcript.size(), 2u);
}

}  // namespace
}  // namespace twinwire::bench
