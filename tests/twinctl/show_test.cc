// twinctl's tables and its search for the token.
#include "tools/twinctl/show.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tools/twinctl/admin.h"

namespace twinwire::ctl {
namespace {

TEST(Show, Ages) {
  EXPECT_EQ(age_text(42), "42 s");
  EXPECT_EQ(age_text(372), "6 min 12 s");
  EXPECT_EQ(age_text(3600 * 5 + 420), "5 h 07 min");
  EXPECT_EQ(age_text(86'400 * 3 + 3600 * 4), "3 d 04 h");
}

TEST(Show, Stats) {
  client::JsonReader reader;
  const auto json = reader.read(R"({"version":"0.1.0","uptimeSeconds":61,"pid":12345,"deliver":"publish",
    "connections":{"sse":12000,"ws":3},"ring":{"consumedMin":7,"bytes":2048},"store":{"failing":false}})");
  ASSERT_TRUE(json);
  EXPECT_EQ(show_stats(*json, {}),
            "server\n"
            "  version       0.1.0\n"
            "  uptime   1 min 01 s\n"
            "  pid           12345\n"
            "  deliver     publish\n"
            "\nconnections\n"
            "  sse  12,000\n"
            "  ws        3\n"
            "\nring\n"
            "  consumed min        7\n"
            "  bytes         2.0 KiB\n"
            "\nstore\n"
            "  failing  no\n");
}

TEST(Show, TroubleOnlyWhereThereWasSome) {
  client::JsonReader reader;
  const auto json = reader.read(R"({"version":"1","nowMicroseconds":5,"resets":{"trimmed":0,"forbidden":2},
    "shed":{"typing":0},"latency":{"write":{"bounds":[16,32],"buckets":[0,4,0],"sum":96}}})");
  ASSERT_TRUE(json);
  EXPECT_EQ(show_stats(*json, {}),
            "server\n"
            "  version  1\n"
            "\nresets\n"
            "  forbidden  2\n"
            "\nLATENCY            COUNT     MEAN      P50      P99\n"
            "event to write         4  24.0 us  24.0 us  31.8 us\n"
            "command to answer      0        -        -        -\n"
            "event to disk          0        -        -        -\n"
            "commit                 0        -        -        -\n"
            "tick                   0        -        -        -\n");
}

TEST(Show, RoomsAndSessions) {
  client::JsonReader reader;
  const auto rooms =
      reader.read(R"({"rooms":[{"tenant":"default","room":"lobby","members":1200,"present":3,"readers":4,
    "eventsPerSecond":0.40,"tail":64,"lastEventId":"9c1f00d2ab37-0000002a91c4e1"}]})");
  ASSERT_TRUE(rooms);
  EXPECT_EQ(show_rooms(*rooms, {}),
            "TENANT   ROOM   MEMBERS  PRESENT  READERS  EVENTS/S  TAIL  LAST EVENT\n"
            "default  lobby    1,200        3        4      0.40    64  9c1f00d2ab37-0000002a91c4e1\n"
            "1 room\n");
  const auto page = reader.read(R"({"rooms":[{"room":"a"},{"room":"b"}],"total":12,"offset":2,"limit":2})");
  ASSERT_TRUE(page);
  const std::string text = show_rooms(*page, {});
  EXPECT_NE(text.find("2 of 12 rooms; --offset 4 goes on\n"), std::string::npos) << text;
  const auto none = reader.read(R"({"sessions":[]})");
  ASSERT_TRUE(none);
  EXPECT_EQ(show_sessions(*none, {}), "0 sessions\n");
}

TEST(Show, EventsNeverReachTheTerminalRaw) {
  EXPECT_EQ(show_event(R"({"eventId":"x","type":"message.created","userId":"alice",
    "timestamp":"2026-11-20T12:00:00.123Z","data":{"message":{"content":"two\nlines\u001b[31m"}}})",
                       {}),
            "12:00:00.123  alice  two lines [31m\n");
  // U+009B is an escape sequence's beginning in one character.
  EXPECT_EQ(show_event("{\"eventId\":\"x\",\"type\":\"message.created\",\"userId\":\"u\",\"timestamp\":\"t\","
                       "\"data\":{\"message\":{\"content\":\"a\xc2\x9b"
                       "31m\xc2\xa0\xc3\xa9\"}}}",
                       {}),
            "t  u  a 31m\xc2\xa0\xc3\xa9\n");
  EXPECT_EQ(
      show_event(R"({"eventId":"x","type":"goal.created","userId":"api","timestamp":"t","data":{ "a" : 1 }})",
                 {}),
      "t  api  goal.created {\"a\":1}\n");
  // A number beyond 64 bits is no reason to hide an event.
  EXPECT_EQ(
      show_event(
          R"({"eventId":"x","type":"t.t","userId":"u","timestamp":"t","data":{"n":1e999,"m":99999999999999999999}})",
          {}),
      "t  u  t.t {\"n\":1e999,\"m\":99999999999999999999}\n");
  // A message without words is shown as it is; a stream's own words are not shown.
  EXPECT_EQ(show_event(R"({"eventId":"x","type":"message.created","userId":"u","timestamp":"t",
    "data":{"message":{"content":null,"fileUrl":"f"}}})",
                       {}),
            "t  u  message.created {\"message\":{\"content\":null,\"fileUrl\":\"f\"}}\n");
  EXPECT_EQ(show_event(R"({"type":"connected","data":{}})", {}), "");
}

TEST(Token, TheFirstSourceThatIsThere) {
  char folder[] = "/tmp/twinctl-test.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  std::ofstream(std::string(folder) + "/admin.token") << "from-file\n";
  Access access;
  find_token({"from-option", "from-env", folder}, access);
  EXPECT_EQ(access.token, "from-option");
  find_token({"", "from-env", folder}, access);
  EXPECT_EQ(access.token, "from-env");
  find_token({"", "", folder}, access);
  EXPECT_EQ(access.token, "from-file");
  std::filesystem::remove_all(folder);
  find_token({"", "", folder}, access);
  EXPECT_TRUE(access.token.empty());
  EXPECT_NE(access.token_origin.find("no readable"), std::string::npos);
}

TEST(Admin, AddressesOfBothFamilies) {
  const struct {
    const char* text;
    const char* authority;
  } good[] = {{"http://127.0.0.1:8081/", "127.0.0.1:8081"}, {"localhost:9", "127.0.0.1:9"},
              {"http://[::1]:8081/", "[::1]:8081"},         {"[::1]:9001", "[::1]:9001"},
              {"http://[fd00::2]", "[fd00::2]:80"},         {"10.0.0.1", "10.0.0.1:80"}};
  for (const auto& row : good) {
    const Result<client::Endpoint> to = admin_address(row.text);
    ASSERT_TRUE(to) << row.text;
    EXPECT_EQ(to->authority(), row.authority) << row.text;
  }
  for (const char* bad : {"", "::1", "::1:9001", "[::1", "[::1]9001", "[::1]:", "[::1]:0", "[::1]:65536",
                          "[]:1", "[127.0.0.1]:1", "[::zz]:1", "https://[::1]:1", "http://:1"})
    EXPECT_FALSE(admin_address(bad)) << bad;
}

TEST(Admin, ARefusedConnectionSaysHowToStart) {
  Access access;
  access.to = {"127.0.0.1", 1};
  const Result<std::string> answer = request(access, {});
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().sentence.find("twinwire serve"), std::string::npos);
}

}  // namespace
}  // namespace twinwire::ctl
