// The client against a server that says what it is told to: resume, overlap, reset, ids that go back,
// retries.
#include "bench/client/client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace twinwire::client {
namespace {

// Answers each connection with the next script, after its request has come; then closes it.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> scripts) : scripts_(std::move(scripts)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    listen(listener_, 16);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  Endpoint endpoint() const { return {"127.0.0.1", port_}; }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (const std::string& script : scripts_) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      std::string request;
      char bytes[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) break;
        request.append(bytes, static_cast<size_t>(n));
      }
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      send(fd, script.data(), script.size(), MSG_NOSIGNAL);
      shutdown(fd, SHUT_WR);
      while (recv(fd, bytes, sizeof bytes, 0) > 0) continue;
      close(fd);
    }
  }

  std::vector<std::string> scripts_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
};

struct Recorder : Client::Watcher {
  void on_event(Client&, const Event& event) override { seen.push_back(sequence_of(event.event_id)); }
  void on_reset(Client&, std::string_view reason, std::string_view cursor, const Event&) override {
    resets.push_back(fmt::format("{} {}", reason, sequence_of(cursor)));
  }
  std::vector<uint64_t> seen;
  std::vector<std::string> resets;
};

std::string id(uint64_t sequence) { return fmt::format("9c1f00d2ab37-{:014x}", sequence); }

const std::string kHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";

std::string connected(uint64_t cursor) {
  return fmt::format(
      "id: {0}\nevent: connected\ndata: {{\"type\":\"connected\",\"data\":{{\"sessionId\":\"s1\","
      "\"lastEventId\":\"{0}\"}}}}\n\n",
      id(cursor));
}
std::string message(uint64_t sequence) {
  return fmt::format(
      "id: {0}\nevent: message.created\ndata: {{\"eventId\":\"{0}\",\"type\":\"message.created\","
      "\"room\":\"r\",\"userId\":\"u\",\"data\":{{}}}}\n\n",
      id(sequence));
}
std::string reset(const char* reason, uint64_t cursor) {
  return fmt::format(
      "event: reset\ndata: {{\"type\":\"reset\",\"data\":{{\"reason\":\"{}\",\"lastEventId\":\"{}\"}}}}\n\n",
      reason, id(cursor));
}
std::string answer(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

bool run_until(Loop& loop, const std::function<bool()>& done) {
  const Nanos limit = monotonic_now() + 10 * kSecond;
  while (!done() && monotonic_now() < limit) loop.run_once(5 * kMillisecond);
  return done();
}

Client::Options options_for(const ScriptedServer& server) {
  return {.to = server.endpoint(), .user = "al ice", .rooms = {"a", "b,c"}};
}

using Sequences = std::vector<uint64_t>;

TEST(Client, ResumesFromTheLastIdAndDropsWhatComesTwice) {
  ScriptedServer server({kHead + connected(5) + message(6) + message(7),
                         kHead + connected(6) + message(7) + "id: " + id(9) + "\n\n" + message(10), kHead});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  client.start();
  ASSERT_TRUE(run_until(loop, [&] { return server.requests().size() == 3; }));
  EXPECT_EQ(recorder.seen, (Sequences{6, 7, 10}));
  EXPECT_EQ(client.counts().overlapped, 1u);
  EXPECT_EQ(client.counts().went_back, 0u);
  const auto requests = server.requests();
  EXPECT_TRUE(requests[0].starts_with("GET /api/events?id=al%20ice&rooms=a,b%2Cc HTTP/1.1\r\n"))
      << requests[0];
  EXPECT_NE(requests[1].find("session=s1&lastEventId=" + id(7)), std::string::npos) << requests[1];
  EXPECT_NE(requests[2].find("lastEventId=" + id(10)), std::string::npos) << requests[2];
}

TEST(Client, ADropBeforeAnyEventResumesFromConnected) {
  ScriptedServer server({kHead + connected(5), kHead});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  client.start();
  ASSERT_TRUE(run_until(loop, [&] { return server.requests().size() == 2; }));
  EXPECT_NE(server.requests()[1].find("lastEventId=" + id(5)), std::string::npos);
}

TEST(Client, RolledBackTakesTheCursorBack) {
  ScriptedServer server({kHead + connected(5) + message(6) + message(9),
                         kHead + connected(6) + reset("rolled_back", 6) + message(7) + message(100), kHead});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  client.start();
  ASSERT_TRUE(run_until(loop, [&] { return server.requests().size() == 3; }));
  EXPECT_EQ(recorder.resets, std::vector<std::string>{"rolled_back 6"});
  EXPECT_EQ(recorder.seen, (Sequences{6, 9, 7, 100}));
  EXPECT_NE(server.requests()[2].find("lastEventId=" + id(100)), std::string::npos);
}

TEST(Client, IdsThatGoBackOnOneStreamAreTheServersFault) {
  ScriptedServer server({kHead + connected(5) + message(6) + message(8) + message(7) + message(8), kHead});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  client.start();
  ASSERT_TRUE(run_until(loop, [&] { return server.requests().size() == 2; }));
  EXPECT_EQ(recorder.seen, (Sequences{6, 8}));
  EXPECT_EQ(client.counts().went_back, 1u);
  EXPECT_EQ(client.counts().overlapped, 2u);
}

TEST(Client, CommandsAreSentAgainUntilTheyAreAnswered) {
  ScriptedServer server(
      {answer(429, R"({"success":false,"code":"rate_limited","error":"x","retryable":true})"),
       "HTTP/1.1 200 OK\r\nContent-Le", "",
       answer(200, R"({"success":true,"stored":true,"eventId":")" + id(3) + "\"}")});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  std::string got;
  client.command("messages.send", R"({"clientId":"c1"})", [&](const Reply& reply) { got = reply.event_id; });
  ASSERT_TRUE(run_until(loop, [&] { return !got.empty(); }));
  EXPECT_EQ(got, id(3));
  EXPECT_EQ(client.counts().retried, 3u);
  for (const std::string& request : server.requests()) {
    EXPECT_TRUE(request.starts_with("POST /api/messages/send?id=al%20ice HTTP/1.1\r\n")) << request;
    EXPECT_TRUE(request.ends_with(R"({"clientId":"c1"})")) << request;
  }
}

TEST(Client, ARefusalThatIsFinalIsToldOnce) {
  ScriptedServer server(
      {answer(403, R"({"success":false,"code":"forbidden","error":"no","retryable":false})")});
  Loop loop;
  Recorder recorder;
  Client client(loop, recorder, options_for(server));
  std::vector<std::string> codes;
  client.command("rooms.join", "{}", [&](const Reply& reply) { codes.emplace_back(reply.code); });
  ASSERT_TRUE(run_until(loop, [&] { return !codes.empty(); }));
  EXPECT_EQ(codes, std::vector<std::string>{"forbidden"});
  EXPECT_EQ(client.counts().retried, 0u);
}

}  // namespace
}  // namespace twinwire::client
