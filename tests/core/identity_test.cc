// Tokens over time: refreshed streams that never break, streams that end with their token, new grants at
// once, and a revoked user's place in the order. On a clock that the test moves.
#include <gtest/gtest.h>

#include "tests/core/small_engine.h"

namespace twinwire {
namespace {

constexpr Millis kSecond = 1000;

Config jwt_config() {
  Config config;
  config.auth.mode = AuthMode::jwt;
  return config;
}

Identity user(const SmallEngine& small, std::string_view name, uint64_t lives_s = 0) {
  Identity who;
  who.user = Name("default", name);
  who.issued_wall_ms = small.clock.wall_ms();
  if (lives_s) who.expires_wall_ms = small.clock.wall_ms() + lives_s * kSecond;
  return who;
}

Identity limited(Identity who, std::initializer_list<std::string_view> rooms) {
  auto grants = std::make_shared<Grants>();
  for (std::string_view room : rooms) grants->lines.push_back({std::string(room), Rights::all()});
  who.grants = std::move(grants);
  return who;
}

StreamRequest stream(Identity who, std::vector<std::string> rooms, Form form = Form::sse) {
  StreamRequest request;
  request.form = form;
  request.who = std::move(who);
  request.rooms = std::move(rooms);
  return request;
}

size_t count(const std::string& text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) n++;
  return n;
}

SessionId session_in(const std::string& sent) {
  size_t at = sent.find("\"sessionId\":\"") + 13;
  return SessionId::parse(std::string_view(sent).substr(at, 32)).value_or(SessionId{});
}

// The sequences of the log's events on an SSE stream, in the order they came.
std::vector<uint64_t> sequences(const std::string& sent) {
  std::vector<uint64_t> out;
  std::string_view key = "data: {\"eventId\":\"";
  for (size_t at = sent.find(key); at != std::string::npos; at = sent.find(key, at + 1))
    out.push_back(
        Cursor::parse(std::string_view(sent).substr(at + key.size(), Cursor::kTextSize))->sequence.value);
  return out;
}

TEST(Tokens, AnHourOfThirtySecondTokensWithoutOneReconnect) {
  SmallEngine small(2, jwt_config());
  ConnectionId sse{1}, ws{2};
  small.open(0, sse, stream(user(small, "ann", 30), {"lobby"}));
  small.open(1, ws, stream(user(small, "ann", 30), {"lobby"}, Form::ws));
  std::string& on_sse = small.transport(0).sent[sse];
  std::string& on_ws = small.transport(1).sent[ws];
  SessionId sessions[] = {session_in(on_sse), session_in(on_ws)};
  ASSERT_FALSE(sessions[0].none());
  ASSERT_FALSE(sessions[1].none());
  Identity bob = user(small, "bob");
  size_t refreshed = 0;
  for (int second = 5; second <= 3600; second += 5) {
    small.pass(5 * kSecond);
    small.command(1, bob, "messages.send", R"({"room":"lobby","content":"tick"})");
    if (second % 20 != 0) continue;
    refreshed++;
    for (SessionId session : sessions) {
      Reply reply = small.command(1, user(small, "ann", 30), "auth.refresh", "{}", session);
      ASSERT_EQ(reply.code, Code::ok) << reply.body << " after " << second << " s";
      ASSERT_NE(reply.body.find("\"userId\":\"ann\",\"expiresAt\":\"2026-"), std::string::npos) << reply.body;
    }
  }
  EXPECT_TRUE(small.ended.empty()) << small.ended.size() << " streams were ended";
  for (const std::string* sent : {&on_sse, &on_ws}) {
    EXPECT_EQ(count(*sent, "\"type\":\"connected\""), 1u);
    EXPECT_EQ(count(*sent, "\"type\":\"bye\""), 0u);
    EXPECT_EQ(count(*sent, "\"type\":\"auth.success\""), refreshed);
    EXPECT_EQ(count(*sent, "\"type\":\"auth.expiring\""), refreshed)
        << "each token told once, at half its time";
    EXPECT_EQ(count(*sent, "\"content\":\"tick\""), 720u);
  }
  auto got = sequences(on_sse);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  // Without the next refresh both end, and not before.
  small.pass(29 * kSecond);
  EXPECT_TRUE(small.ended.empty());
  small.pass(2 * kSecond);
  EXPECT_EQ(small.ended.size(), 2u);
  EXPECT_NE(on_sse.find(R"("code":"unauthenticated")"), std::string::npos);
  EXPECT_NE(on_ws.find(std::string("\x11\x31", 2)), std::string::npos) << "close 4401";
}

TEST(Tokens, AreToldAMinuteBeforeTheirEnd) {
  SmallEngine small(1, jwt_config());
  ConnectionId id{1};
  small.open(0, id, stream(user(small, "ann", 600), {"lobby"}));
  std::string& sent = small.transport(0).sent[id];
  small.pass(539 * kSecond);
  EXPECT_EQ(count(sent, "auth.expiring"), 0u);
  small.pass(2 * kSecond);
  EXPECT_EQ(count(sent, "event: auth.expiring"), 1u) << sent;
  small.pass(30 * kSecond);
  EXPECT_EQ(count(sent, "event: auth.expiring"), 1u);
  EXPECT_TRUE(small.ended.empty());
  small.pass(30 * kSecond);
  EXPECT_EQ(small.ended.size(), 1u);
}

TEST(Tokens, EndAWaitingPoll) {
  SmallEngine small(1, jwt_config());
  ConnectionId id{1};
  StreamRequest poll = stream(user(small, "ann", 10), {"lobby"}, Form::poll);
  small.open(0, id, poll);
  ASSERT_EQ(small.transport(0).replies.count(id), 1u) << "the first answer holds `connected`";
  SessionId session = session_in(small.transport(0).replies[id].body);
  small.shard(0).connection_closed(id);
  poll.session = session;
  poll.cursor = Cursor{{0}, {0}};
  // That it ends is told half-way, and once.
  ConnectionId told{3};
  small.open(0, told, poll);
  small.pass(6 * kSecond);
  ASSERT_EQ(count(small.transport(0).replies[told].body, "auth.expiring"), 1u);
  small.shard(0).connection_closed(told);
  ConnectionId second{2};
  small.open(0, second, poll);
  small.pass(3 * kSecond);
  EXPECT_EQ(small.transport(0).replies.count(second), 0u);
  small.pass(2 * kSecond);
  ASSERT_EQ(small.transport(0).replies.count(second), 1u);
  EXPECT_NE(small.transport(0).replies[second].body.find("\"events\":[]"), std::string::npos);
}

// Whichever answer comes next carries it, once for each token, on whichever shard the poll is: one that waits
// is answered with it, one that is answered anyway has it too.
TEST(Tokens, AreToldToPolls) {
  SmallEngine small(3, jwt_config());
  Identity who = user(small, "ann", 30), bob = user(small, "bob");
  uint32_t next = 0;
  StreamRequest poll = stream(who, {"lobby"}, Form::poll);
  auto ask = [&](uint32_t at) {
    ConnectionId id{++next};
    small.open(at, id, poll);
    return id;
  };
  auto answer = [&](uint32_t at, ConnectionId id) {
    if (small.transport(at).replies.count(id) == 0) return std::string();
    small.shard(at).connection_closed(id);
    return small.transport(at).replies[id].body;
  };
  std::string first = answer(0, ask(0));
  ASSERT_NE(first.find("\"connected\""), std::string::npos);
  poll.session = session_in(first);
  poll.cursor = Cursor{{0}, {0}};
  // Before its half nothing is told.
  ConnectionId waiting = ask(1);
  small.pass(10 * kSecond);
  EXPECT_EQ(answer(1, waiting), "");
  small.command(0, bob, "messages.send", R"({"room":"lobby","content":"x"})");
  std::string quiet = answer(1, waiting);
  EXPECT_EQ(count(quiet, "\"content\":\"x\""), 1u);
  EXPECT_EQ(count(quiet, "auth.expiring"), 0u);
  // At half its time a poll that waits is answered.
  poll.cursor = Cursor{{0}, small.shard(0).ring().claimed()};
  waiting = ask(2);
  small.pass(6 * kSecond);
  std::string told = answer(2, waiting);
  EXPECT_EQ(count(told, "\"type\":\"auth.expiring\""), 1u) << told;
  EXPECT_EQ(count(told, "\"expiresAt\":\"2026-"), 1u) << told;
  // Not again, on any shard.
  for (uint32_t at : {0u, 2u, 1u}) {
    waiting = ask(at);
    small.pass(2 * kSecond);
    EXPECT_EQ(answer(at, waiting), "") << "told once";
    small.command(0, bob, "messages.send", R"({"room":"lobby","content":"y"})");
    std::string later = answer(at, waiting);
    EXPECT_EQ(count(later, "\"content\":\"y\""), 1u);
    EXPECT_EQ(count(later, "auth.expiring"), 0u);
    poll.cursor = Cursor{{0}, small.shard(0).ring().claimed()};
  }
  // A newer token has a time of its own; a poll that never waits is told by the answer it gets anyway.
  poll.who = user(small, "ann", 20);
  for (int second = 0, tellings = 0; second < 19; second++) {
    poll.cursor = Cursor{{0}, small.shard(0).ring().claimed()};
    small.command(1, bob, "messages.send", R"({"room":"lobby","content":"z"})");
    uint32_t at = static_cast<uint32_t>(second) % 3;
    std::string full = answer(at, ask(at));
    EXPECT_EQ(count(full, "\"content\":\"z\""), 1u) << second;
    tellings += static_cast<int>(count(full, "auth.expiring"));
    EXPECT_EQ(tellings, second < 10 ? 0 : 1) << second;
    small.pass(kSecond);
  }
}

TEST(Tokens, OfAnotherUserRefreshNothing) {
  SmallEngine small(2, jwt_config());
  ConnectionId id{1};
  small.open(0, id, stream(user(small, "ann", 30), {"lobby"}));
  SessionId session = session_in(small.transport(0).sent[id]);
  Reply stolen = small.command(1, user(small, "eve", 3000), "auth.refresh", "{}", session);
  EXPECT_EQ(stolen.code, Code::forbidden);
  Identity namesake = user(small, "ann", 3000);
  namesake.user = Name("other", "ann");
  EXPECT_EQ(small.command(1, namesake, "auth.refresh", "{}", session).code, Code::forbidden)
      << "another tenant";
  EXPECT_EQ(small.command(1, user(small, "ann", 30), "auth.refresh", "{}", SessionId{1, 2}).code,
            Code::not_found);
  EXPECT_EQ(count(small.transport(0).sent[id], "auth."), 0u) << "a stranger is not heard of";
  small.pass(31 * kSecond);
  EXPECT_EQ(small.ended.size(), 1u);
}

TEST(Tokens, NewGrantsHoldAtOnce) {
  SmallEngine small(2, jwt_config());
  ConnectionId id{1}, other{2};
  small.open(0, id, stream(limited(user(small, "ann", 600), {"a", "b"}), {"a", "b"}));
  small.open(0, other, stream(user(small, "bob", 600), {"b"}));
  std::string& sent = small.transport(0).sent[id];
  SessionId session = session_in(sent);
  Identity cat = user(small, "cat");
  small.command(1, cat, "messages.send", R"({"room":"b","content":"before"})");
  small.command(1, limited(user(small, "ann", 600), {"a"}), "auth.refresh", "{}", session);
  small.command(1, cat, "messages.send", R"({"room":"b","content":"after"})");
  small.command(1, cat, "messages.send", R"({"room":"a","content":"still"})");
  EXPECT_EQ(count(sent, "\"before\""), 1u);
  EXPECT_EQ(count(sent, "\"after\""), 0u);
  EXPECT_EQ(count(sent, "\"still\""), 1u);
  EXPECT_EQ(count(sent, R"("rooms":["b"],"reason":"forbidden")"), 1u) << sent;
  EXPECT_LT(sent.find("\"before\""), sent.find("\"forbidden\""));
  EXPECT_EQ(count(small.transport(0).sent[other], "\"after\""), 1u);
  small.pass(2 * kSecond);
  Reply present = small.command(1, cat, "presence.list", R"({"room":"b"})");
  EXPECT_EQ(present.body.find("ann"), std::string::npos) << present.body;
}

// Whatever is told to a revoked user lies before the revocation's place; what lies before is told to who was
// live; and nobody slips past it with a token of before.
TEST(Revocation, HasItsPlaceInTheOrder) {
  for (int seed = 0; seed < 60; seed++) {
    SmallEngine small(3, jwt_config());
    Identity old_token = user(small, "ann", 3600), bob = user(small, "bob");
    for (uint32_t i = 0; i < 3; i++) small.open(i, ConnectionId{1}, stream(old_token, {"a", "b"}));
    small.open(1, ConnectionId{2}, stream(bob, {"a", "b"}));
    ConnectionId operators{500};
    small.shard(2).connection_opened(operators, 77);
    auto send = [&](uint32_t at, std::string_view room) {
      Command command;
      command.row = find_command("messages.send");
      command.args =
          *decode_args(*command.row, R"({"room":")" + std::string(room) + R"(","content":"x"})", {});
      command.who = bob;
      command.origin = ShardIndex(at);
      command.connection = ConnectionId{2};
      small.shard(at).command(std::move(command));
    };
    for (int step = 0; step < 24; step++) {
      send(1, step % 2 ? "a" : "b");
      if (step == 8 + seed % 8)
        small.shard(2).end_user(Name("default", "ann"), Homes::Ending::revoked, operators, "");
      // Streams that open meanwhile, with a token of before.
      if (step == 8 + seed % 5) {
        uint32_t at = static_cast<uint32_t>(seed) % 3;
        small.shard(at).connection_opened(ConnectionId{3}, 90);
        small.shard(at).open_stream(ConnectionId{3}, stream(old_token, {"a", "b"}));
      }
      for (int turn = 0; turn < (seed + step) % 3; turn++) small.shard((seed + turn) % 3).tick();
    }
    small.settle();
    Reply reply = small.transport(2).replies[operators];
    size_t at = reply.body.find("\"eventId\":\"");
    ASSERT_NE(at, std::string::npos) << reply.body;
    uint64_t place =
        Cursor::parse(std::string_view(reply.body).substr(at + 11, Cursor::kTextSize))->sequence.value;
    std::vector<uint64_t> all = sequences(small.transport(1).sent[ConnectionId{2}]);
    std::vector<uint64_t> before;
    for (uint64_t s : all)
      if (s < place) before.push_back(s);
    ASSERT_EQ(all.size(), 24u);
    for (uint32_t i = 0; i < 3; i++) {
      const std::string& sent = small.transport(i).sent[ConnectionId{1}];
      EXPECT_NE(sent.find("\"code\":\"unauthenticated\""), std::string::npos) << "seed " << seed;
      for (uint64_t s : sequences(sent)) EXPECT_LT(s, place) << "seed " << seed;
      std::string& late = small.transport(i).sent[ConnectionId{3}];
      for (uint64_t s : sequences(late)) EXPECT_LT(s, place) << "seed " << seed;
      EXPECT_EQ(late.empty(), late.find("\"code\":\"unauthenticated\"") == std::string::npos) << late;
    }
    EXPECT_TRUE(small.transport(1).sent[ConnectionId{2}].find("\"bye\"") == std::string::npos);
    // A token of before opens nothing and commands nothing; one of after does.
    EXPECT_EQ(small.command(0, old_token, "messages.load", R"({"room":"a"})").code, Code::unauthenticated);
    small.open(0, ConnectionId{4}, stream(old_token, {"a"}));
    EXPECT_NE(small.transport(0).sent[ConnectionId{4}].find("\"unauthenticated\""), std::string::npos);
    small.clock.now += 1;
    small.open(0, ConnectionId{5}, stream(user(small, "ann", 60), {"a"}));
    send(1, "a");
    small.settle();
    EXPECT_EQ(count(small.transport(0).sent[ConnectionId{5}], "message.created\ndata"), 1u);
    if (HasFailure()) return;
  }
}

TEST(Revocation, KickEndsStreamsAndRefusesNothing) {
  SmallEngine small(2, jwt_config());
  Identity ann = user(small, "ann", 3600);
  small.open(0, ConnectionId{1}, stream(ann, {"a"}));
  Identity namesake = ann;
  namesake.user = Name("other", "ann");
  small.open(0, ConnectionId{2}, stream(namesake, {"a"}));
  small.shard(1).connection_opened(ConnectionId{500}, 7);
  small.shard(1).end_user(ann.user, Homes::Ending::kicked, ConnectionId{500}, "");
  small.settle();
  EXPECT_NE(small.transport(0).sent[ConnectionId{1}].find("\"code\":\"kicked\""), std::string::npos);
  EXPECT_EQ(small.transport(0).sent[ConnectionId{2}].find("\"bye\""), std::string::npos)
      << "another tenant's ann";
  EXPECT_EQ(small.command(0, ann, "messages.load", R"({"room":"a"})").code, Code::ok);
  // Who has no stream has no place, and leaves nothing behind.
  size_t users = 0, after = 0;
  for (uint32_t i = 0; i < 2; i++) users += small.shard(i).homes().user_count();
  small.shard(1).end_user(Name("default", "nobody"), Homes::Ending::kicked, ConnectionId{500}, "");
  small.settle();
  EXPECT_EQ(small.transport(1).replies[ConnectionId{500}].body, R"({"success":true,"eventId":null})");
  for (uint32_t i = 0; i < 2; i++) after += small.shard(i).homes().user_count();
  EXPECT_EQ(after, users);
}

TEST(Revocation, TheListIsBoundedByRefusingMore) {
  Revocations revocations;
  Identity eve;
  eve.user = Name("t", "eve");
  eve.issued_wall_ms = 50;
  EXPECT_FALSE(revocations.refuses(eve));
  revocations.add({Name("t", "first"), 100});
  EXPECT_FALSE(revocations.refuses(eve));
  revocations.add({Name("t", "eve"), 49});
  EXPECT_FALSE(revocations.refuses(eve));
  revocations.add({Name("t", "eve"), 50});
  EXPECT_TRUE(revocations.refuses(eve));
  revocations.add({Name("t", "eve"), 10});
  EXPECT_TRUE(revocations.refuses(eve)) << "an earlier moment takes nothing back";
  Identity unknown_age;
  unknown_age.user = eve.user;
  EXPECT_TRUE(revocations.refuses(unknown_age)) << "a token that does not say when it was issued";
  Identity other = eve;
  other.user = Name("u", "eve");
  EXPECT_FALSE(revocations.refuses(other)) << "another tenant";
  revocations.add({Name(), 60});
  EXPECT_TRUE(revocations.refuses(other));
  other.issued_wall_ms = 61;
  EXPECT_FALSE(revocations.refuses(other));
}

}  // namespace
}  // namespace twinwire
