// The gateway over real sockets, with a real engine: what the end-to-end tests do not reach (deadlines,
// heartbeats, the echo, limits of connections, draining), and the plain ways once.
#include "net/gateway.h"

#include <gtest/gtest.h>

#include "net/websocket.h"
#include "tests/net/small_server.h"

namespace twinwire {
namespace {

// Reads until `text` came, the peer closed, or five seconds passed.
bool wait_for(Client& client, std::string& got, std::string_view text, Millis at_most = 5000) {
  size_t from = 0;
  for (Millis end = now_ms() + at_most; now_ms() < end;) {
    bool open = client.read(got);
    if (got.find(text, from) != std::string::npos) return true;
    from = got.size() - std::min(got.size(), text.size());
    if (!open) return false;
    pollfd wait{client.fd(), POLLIN, 0};
    poll(&wait, 1, 50);
  }
  return false;
}

bool wait_closed(Client& client, std::string& got, Millis at_most = 5000) {
  for (Millis end = now_ms() + at_most; now_ms() < end;) {
    if (!client.read(got)) return true;
    pollfd wait{client.fd(), POLLIN, 0};
    poll(&wait, 1, 50);
  }
  return false;
}

std::string get(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + std::string(fields) + "\r\n";
}

std::string post(std::string_view target, std::string_view body) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

constexpr std::string_view kUpgrade =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

std::string client_frame(uint8_t opcode, std::string_view payload) {
  std::string out;
  out += static_cast<char>(0x80 | opcode);
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int i = 7; i >= 0; i--) out += static_cast<char>(uint64_t{payload.size()} >> (8 * i));
  }
  out.append(4, '\0');  // a mask of zeros
  return out.append(payload);
}

void send_all(Client& client, std::string_view bytes, std::string& got) {
  while (!bytes.empty()) {
    size_t n = client.send(bytes);
    bytes.remove_prefix(n);
    if (n == 0) {
      client.read(got);
      pollfd wait{client.fd(), POLLIN | POLLOUT, 0};
      poll(&wait, 1, 50);
    }
  }
}

TEST(Gateway, OneMessageOverBothTransports) {
  SmallServer server(Config{});
  Client sse(server.address()), ws(server.address()), poster(server.address());
  std::string on_sse, on_ws, on_post;
  sse.send(get("/api/events?id=s&rooms=r"));
  ws.send(get("/ws?id=w&rooms=r", kUpgrade));
  ASSERT_TRUE(wait_for(sse, on_sse, "event: connected")) << on_sse;
  ASSERT_TRUE(wait_for(ws, on_ws, "\"connected\"")) << on_ws;
  poster.send(post("/api/messages/send?id=p", R"({"room":"r","content":"to both"})"));
  EXPECT_TRUE(wait_for(poster, on_post, "\"stored\":true")) << on_post;
  EXPECT_TRUE(wait_for(sse, on_sse, "to both")) << on_sse;
  EXPECT_TRUE(wait_for(ws, on_ws, "to both")) << on_ws;
  ws.send(
      client_frame(kWsText, R"({"type":"messages.send","id":7,"data":{"room":"r","content":"from ws"}})"));
  EXPECT_TRUE(wait_for(ws, on_ws, "\"type\":\"reply\",\"id\":7,\"success\":true")) << on_ws;
  EXPECT_TRUE(wait_for(sse, on_sse, "from ws")) << on_sse;
}

TEST(Gateway, CommandsBeforeTheStreamIsOpenAreHeldNotLost) {
  SmallServer server(Config{}, 3);
  for (int i = 0; i < 20; i++) {
    Client ws(server.address());
    std::string got;
    // All in one piece: handshake, three commands, a ping.
    std::string bytes = get("/ws?id=w&session=0123456789abcdef0123456789abcdef", kUpgrade);
    for (int n = 0; n < 3; n++) {
      bytes += client_frame(kWsText, R"({"type":"messages.send","id":)" + std::to_string(n) +
                                         R"(,"data":{"room":"early","content":"x"}})");
    }
    ws.send(bytes + client_frame(kWsPing, "after"));
    EXPECT_TRUE(wait_for(ws, got, "\"id\":2,\"success\":true")) << got;
    EXPECT_TRUE(wait_for(ws, got, std::string("\x8a\x05") + "after")) << got;
  }
}

TEST(Gateway, PipelinedRequestsAreAnsweredInOrder) {
  SmallServer server(Config{});
  Client client(server.address());
  std::string bytes, got;
  for (int i = 0; i < 50; i++) {
    bytes += i % 3
                 ? post("/api/messages/send?id=p", R"({"room":"r","content":"n)" + std::to_string(i) + "\"}")
                 : get("/");
  }
  client.send(bytes + get("/last"));
  ASSERT_TRUE(wait_for(client, got, "/last")) << got;
  size_t at = 0;
  for (int i = 0; i < 50; i++) {
    at = got.find(i % 3 ? "\"n" + std::to_string(i) + "\"" : "<p>page", at);
    ASSERT_NE(at, std::string::npos) << i;
    at++;
  }
}

TEST(Gateway, DeadlinesOfHeadBodyAndIdentity) {
  Config config;
  config.limits.head_timeout_ms = 300;
  config.limits.body_timeout_ms = 300;
  config.auth.timeout_ms = 300;
  SmallServer server(config);
  Client silent(server.address()), head(server.address()), body(server.address()), nobody(server.address());
  std::string on_silent, on_head, on_body, on_nobody;
  head.send("GET / HTTP/1.1\r\nHo");
  body.send("POST /api/messages/send?id=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{");
  nobody.send(get("/ws", kUpgrade));
  EXPECT_TRUE(wait_closed(silent, on_silent));
  EXPECT_EQ(on_silent, "");
  EXPECT_TRUE(wait_for(head, on_head, "HTTP/1.1 408 ")) << on_head;
  EXPECT_TRUE(wait_for(body, on_body, "HTTP/1.1 408 ")) << on_body;
  EXPECT_TRUE(wait_for(nobody, on_nobody, "\"unauthenticated\"")) << on_nobody;
  EXPECT_TRUE(wait_for(nobody, on_nobody, std::string("\x11\x31", 2))) << "4401";
}

TEST(Gateway, HeartbeatsAndTheEndOfASilentWebSocket) {
  Config config;
  config.sse.heartbeat_seconds = 1;
  config.ws.heartbeat_seconds = 1;
  SmallServer server(config);
  Client sse(server.address()), ws(server.address()), alive(server.address());
  std::string on_sse, on_ws, on_alive;
  sse.send(get("/api/events?id=s"));
  ws.send(get("/ws?id=w", kUpgrade));
  alive.send(get("/ws?id=a", kUpgrade));
  ASSERT_TRUE(wait_for(ws, on_ws, std::string("\x89\x00", 2)));
  // The one answers its pings, the other does not.
  for (Millis end = now_ms() + 4000; now_ms() < end;) {
    alive.send(client_frame(kWsPong, ""));
    sse.read(on_sse);
    if (!ws.read(on_ws)) break;
    pollfd wait{ws.fd(), POLLIN, 0};
    poll(&wait, 1, 100);
  }
  EXPECT_NE(on_ws.find("nothing came for two heartbeats"), std::string::npos) << on_ws;
  EXPECT_TRUE(alive.read(on_alive));
  EXPECT_EQ(on_alive.find("\"bye\""), std::string::npos);
  // Comments, and id-only blocks: one a second.
  auto blocks = [&] {
    size_t count = 0;
    for (size_t at = on_sse.find("event: connected"); (at = on_sse.find("\n\n", at)) != std::string::npos;
         at++)
      count++;
    return count;
  };
  for (Millis end = now_ms() + 5000; blocks() < 4 && now_ms() < end;) {
    sse.read(on_sse);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_GE(blocks(), 4u) << on_sse;
}

TEST(Gateway, TheEchoIsTrueUpToMegabytesAndHoldsBackWhoDoesNotRead) {
  Config config;
  config.debug.echo = true;
  SmallServer server(config);
  Client client(server.address());
  std::string got, big;
  client.send(get("/debug/echo", kUpgrade));
  ASSERT_TRUE(wait_for(client, got, "\r\n\r\n"));
  got.clear();
  for (size_t i = 0; i < (3u << 20); i++) big += static_cast<char>('a' + i % 26);
  for (int round = 0; round < 4; round++) send_all(client, client_frame(kWsText, big), got);
  send_all(client, client_frame(kWsBinary, "\xff\x00\xfe"), got);
  send_all(client, client_frame(kWsClose, std::string("\x03\xe8", 2) + "done"), got);
  ASSERT_TRUE(wait_for(client, got, "done", 20000));
  std::string expected;
  for (int round = 0; round < 4; round++) append_ws_frame(expected, kWsText, big);
  append_ws_frame(expected, kWsBinary, "\xff");
  append_ws_close(expected, 1000, "done");
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_TRUE(got == expected);
}

TEST(Gateway, TooManyConnectionsAreToldSo) {
  Config config;
  config.server.max_connections_per_address = 3;
  SmallServer server(config);
  std::vector<Client> held;
  for (int i = 0; i < 3; i++) {
    held.emplace_back(server.address());
    std::string got;
    held.back().send(get("/api/events?id=h"));
    ASSERT_TRUE(wait_for(held.back(), got, "connected"));
  }
  Client sse(server.address()), ws(server.address()), command(server.address());
  std::string on_sse, on_ws, on_command;
  sse.send(get("/api/events?id=x"));
  ws.send(get("/ws?id=x", kUpgrade));
  command.send(post("/api/messages/send?id=x", "{}"));
  EXPECT_TRUE(wait_for(sse, on_sse, "\"overloaded\"")) << on_sse;
  EXPECT_EQ(on_sse.rfind("HTTP/1.1 200 OK", 0), 0u);
  EXPECT_NE(on_sse.find("\nretry: "), std::string::npos);
  EXPECT_TRUE(wait_for(ws, on_ws, "HTTP/1.1 503 ")) << on_ws;
  EXPECT_TRUE(wait_for(command, on_command, "Retry-After: ")) << on_command;
  EXPECT_TRUE(wait_closed(command, on_command));
  sse.close(), ws.close(), command.close();
  held.pop_back();
  std::string got;
  for (int i = 0; i < 50 && got.find("connected") == std::string::npos; i++) {
    Client again(server.address());
    got.clear();
    again.send(get("/api/events?id=x"));
    wait_for(again, got, "event: ");
  }
  EXPECT_NE(got.find("connected"), std::string::npos) << "a place was freed";
}

TEST(Gateway, DrainingSaysGoodByeToEveryKind) {
  Config config;
  config.drain.seconds = 1;
  config.debug.echo = true;
  SmallServer server(config);
  Client sse(server.address()), ws(server.address()), waiting(server.address()), echo(server.address()),
      idle(server.address());
  std::string on_sse, on_ws, on_poll, on_echo, on_idle;
  sse.send(get("/api/events?id=s"));
  ws.send(get("/ws?id=w", kUpgrade));
  waiting.send(get("/api/poll?id=p&wait=25&history=0"));
  ASSERT_TRUE(wait_for(waiting, on_poll, "connected"));  // the first answer comes at once
  waiting.send(get("/api/poll?id=p&wait=25"));
  echo.send(get("/debug/echo", kUpgrade));
  idle.send(get("/"));
  ASSERT_TRUE(wait_for(sse, on_sse, "connected"));
  ASSERT_TRUE(wait_for(ws, on_ws, "connected"));
  ASSERT_TRUE(wait_for(echo, on_echo, "101"));
  ASSERT_TRUE(wait_for(idle, on_idle, "<p>page"));
  server.server().drain();
  EXPECT_TRUE(wait_for(sse, on_sse, "\"draining\"")) << on_sse;
  EXPECT_TRUE(wait_for(ws, on_ws, "\"draining\"")) << on_ws;
  for (auto [client, got] : {std::pair{&sse, &on_sse},
                             {&ws, &on_ws},
                             {&waiting, &on_poll},
                             {&echo, &on_echo},
                             {&idle, &on_idle}}) {
    EXPECT_TRUE(wait_closed(*client, *got)) << *got;
    client->close();
  }
  for (Millis end = now_ms() + 5000; !server.server().drained() && now_ms() < end;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(server.server().drained());
}

TEST(Gateway, AHalfClosedClientStillGetsItsAnswers) {
  SmallServer server(Config{});
  Client client(server.address());
  std::string got;
  client.send(post("/api/messages/send?id=p", R"({"room":"r","content":"1"})") +
              post("/api/messages/send?id=p", R"({"room":"r","content":"2"})"));
  client.shut();
  EXPECT_TRUE(wait_closed(client, got));
  EXPECT_NE(got.find("\"content\":\"1\""), std::string::npos) << got;
  EXPECT_NE(got.find("\"content\":\"2\""), std::string::npos) << got;
}

// What a watchdog goes by: shards that sleep are well, one that hangs is not.
TEST(Server, SaysWhetherEveryShardCameRound) {
  SmallServer small({});
  auto within = [&](bool wanted, Millis at_most) {
    for (Millis end = now_ms() + at_most; now_ms() < end;) {
      if (small.server().all_came_round() == wanted) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  };
  EXPECT_TRUE(within(true, 5000));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // asleep both
  (void)small.server().all_came_round();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(small.server().all_came_round()) << "woken, they came round";
  small.clock().held = true;  // whatever a shard does next, it asks the time, and hangs there
  EXPECT_TRUE(within(false, 5000));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(small.server().all_came_round()) << "and stays so";
  small.clock().held = false;
  EXPECT_TRUE(within(true, 5000));
}

TEST(Gateway, OperatorsNeedTheToken) {
  SmallServer server(Config{});
  Client client(server.operators());
  std::string got;
  client.send(get("/health/ready") + get("/admin/stats") +
              get("/admin/stats", "Authorization: Bearer secre1\r\n") +
              get("/admin/stats", "Authorization: Bearer secret\r\n") +
              get("/metrics", "Authorization: bearer secret\r\n"));
  ASSERT_TRUE(wait_for(client, got, "twinwire_commands_total")) << got;
  size_t refused = 0;
  for (size_t at = 0; (at = got.find("HTTP/1.1 401 ", at)) != std::string::npos; at++) refused++;
  EXPECT_EQ(refused, 2u);
  EXPECT_NE(got.find("\"deliver\":\"publish\""), std::string::npos);
}

}  // namespace
}  // namespace twinwire
