// Peers' files: what is taken from them, and what is wrong with those that cannot be used.
#include "bench/twinbench/dialect.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace twinwire::bench {
namespace {

constexpr std::string_view kPeer = R"({
  "name": "some", "start": ["node", "{root}/x.mjs", "{port}"], "env": {"A": "b"}, "ready": "up",
  "readers": {
    "sse": {"target": "/s?r={room}&u={user}", "headers": {"Accept": "text/event-stream"}, "live": ":ok"},
    "ws": {"target": "/w", "say": ["{\"join\":\"{room}\"}"], "answers": [{"to": "2", "say": "3"}]}
  },
  "publish": {"via": "post", "target": "/p/{room}", "body": "{content}", "pipeline": false},
  "speak": "42[\"{content}\"]", "speakAnswer": "43"
})";

TEST(Dialect, APeersFileIsTakenAsItSays) {
  const Result<PeerFile> file = parse_peer(kPeer);
  ASSERT_TRUE(file) << file.error().sentence;
  EXPECT_EQ(file->dialect.name, "some");
  EXPECT_EQ(file->start.size(), 3U);
  EXPECT_EQ(file->ready, "up");
  ASSERT_TRUE(file->dialect.sse && file->dialect.ws);
  EXPECT_EQ(file->dialect.sse->live, ":ok");
  EXPECT_EQ(file->dialect.ws->answers.at(0).second, "3");
  EXPECT_FALSE(file->dialect.publish.pipeline);
  EXPECT_EQ(file->dialect.speak_answer, "43");
  const client::Request request =
      reader_request(*file->dialect.sse, Form::sse, {.room = "bench-0", .user = "r1"});
  EXPECT_EQ(request.target, "/s?r=bench-0&u=r1");
}

TEST(Dialect, BlanksAreFilledAndOtherBracesStay) {
  EXPECT_EQ(filled(R"({"a":{"room":"{room}"},"x":"{unknown}{content}"})", {.room = "r", .content = "c"}),
            R"({"a":{"room":"r"},"x":"{unknown}c"})");
}

TEST(Dialect, WhatCannotBeUsedIsSaid) {
  EXPECT_FALSE(parse_peer("[]"));
  EXPECT_FALSE(parse_peer("{}"));
  EXPECT_FALSE(
      parse_peer(R"({"name":"x","readers":{},"publish":{"via":"post","target":"/","body":"{content}"}})"));
  EXPECT_FALSE(parse_peer(R"({"name":"x","readers":{"sse":{"target":"/"}}})"));
  EXPECT_FALSE(parse_peer(
      R"({"name":"x","readers":{"sse":{"target":"/"}},"publish":{"via":"fax","target":"/","body":"{content}"}})"));
  EXPECT_FALSE(parse_peer(
      R"({"name":"x","readers":{"sse":{"target":"/"}},"publish":{"via":"post","target":"/","body":"nothing"}})"));
}

TEST(Dialect, ThePeersOfThisTreeCanBeRead) {
  const std::filesystem::path folder = std::filesystem::path(TWINWIRE_SOURCE_DIR) / "bench/peers";
  size_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream in(entry.path());
    std::ostringstream text;
    text << in.rdbuf();
    if (text.str().find("\"readers\"") == std::string::npos) continue;  // package.json and the like
    const Result<PeerFile> file = parse_peer(text.str());
    EXPECT_TRUE(file) << entry.path() << ": " << file.error().sentence;
    ++read;
  }
  EXPECT_GT(read, 0U);
}

}  // namespace
}  // namespace twinwire::bench
