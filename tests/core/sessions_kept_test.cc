// Sessions without a stream: how many are kept, and that whoever is forgotten is present no longer.
#include <gtest/gtest.h>

#include "tests/core/small_engine.h"

namespace twinwire {
namespace {

StreamRequest stream_of(const std::string& user) {
  StreamRequest request;
  request.who.user = Name("default", user);
  request.rooms = {"lobby"};
  return request;
}

SessionId session_in(const std::string& sent) {
  size_t at = sent.find("\"sessionId\":\"") + 13;
  return SessionId::parse(std::string_view(sent).substr(at, 32)).value_or(SessionId{});
}

uint64_t present(SmallEngine& small) {
  Identity who;
  who.user = Name("default", "watcher");
  std::string body = small.command(0, who, "presence.list", R"({"room":"lobby"})").body;
  size_t at = body.find("\"count\":");
  return at == std::string::npos ? UINT64_MAX : std::stoull(body.substr(at + 8));
}

// Opens a stream and leaves it; the session's id.
SessionId come_and_go(SmallEngine& small, uint32_t i) {
  ConnectionId id{i};
  small.open(0, id, stream_of("u" + std::to_string(i)));
  SessionId session = session_in(small.transport(0).sent[id]);
  small.shard(0).connection_closed(id);
  small.settle();
  return session;
}

TEST(KeptSessions, BeyondTheBoundTheOldestGoAndAreNotPresent) {
  SmallEngine small(1, {}, Bounds{.detached = 4});
  std::vector<SessionId> ids;
  for (uint32_t i = 0; i < 10; i++) ids.push_back(come_and_go(small, i));
  Sessions& sessions = small.shard(0).sessions();
  EXPECT_EQ(sessions.in_state(SessionState::detached), 4u);
  EXPECT_EQ(present(small), 4u);
  // Who was forgotten comes back under a new id, who was kept under its own.
  for (uint32_t i : {0u, 9u}) {
    StreamRequest again = stream_of("u" + std::to_string(i));
    again.session = ids[i];
    small.open(0, ConnectionId{100 + i}, std::move(again));
    SessionId now = session_in(small.transport(0).sent[ConnectionId{100 + i}]);
    EXPECT_EQ(now == ids[i], i == 9) << i;
  }
}

// A client that polls leaves one session and takes it up again, over and over: what was noted for each time
// is bounded too.
TEST(KeptSessions, OneThatComesAndGoesIsOne) {
  SmallEngine small(1, {}, Bounds{.detached = 4});
  SessionId id = come_and_go(small, 0);
  for (uint32_t i = 1; i < 100; i++) {
    StreamRequest again = stream_of("u0");
    again.session = id;
    small.clock.now++;
    small.open(0, ConnectionId{i}, std::move(again));
    ASSERT_EQ(session_in(small.transport(0).sent[ConnectionId{i}]), id) << i;
    small.shard(0).connection_closed(ConnectionId{i});
    small.settle();
  }
  EXPECT_EQ(small.shard(0).sessions().in_state(SessionState::detached), 1u);
}

TEST(KeptSessions, ForgottenBeforePresenceWouldEndItEndsWithThem) {
  Config config;
  config.session.keep_seconds = 1;
  config.session.presence_grace_seconds = 15;
  SmallEngine small(1, config);
  come_and_go(small, 0);
  EXPECT_EQ(present(small), 1u);
  small.pass(2000);
  EXPECT_EQ(small.shard(0).sessions().session_count(), 0u);
  EXPECT_EQ(present(small), 0u);
}

}  // namespace
}  // namespace twinwire
