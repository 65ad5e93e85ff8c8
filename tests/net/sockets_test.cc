// The loop and the sockets over real loopback connections: every way a connection lives and ends.
#include "net/sockets.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>

#include <functional>
#include <map>
#include <thread>

#include "net/probes.h"
#include "tests/net/loopback.h"

namespace twinwire {
namespace {

// Answers every byte with itself, unless told otherwise, keeping what a socket would not take.
class Echo : public SocketHandler {
 public:
  struct State {
    std::string out;
    bool blocked = false;
    bool ended = false;
    bool last_places = false;
    uint64_t received = 0;
  };

  Echo(const LoopOptions& loop_options, const SocketsOptions& options, uint32_t accept_send_buffer = 0) {
    auto loop = Loop::open(loop_options);
    if (!loop) throw std::runtime_error(loop.error().sentence);
    loop_ = std::move(*loop);
    loop_->attach();
    ListenerOptions listening;
    listening.send_buffer_bytes = accept_send_buffer;
    auto listener = Listener::open(*Address::parse("127.0.0.1:0"), listening);
    if (!listener) throw std::runtime_error(listener.error().sentence);
    listener_ = std::move(*listener);
    sockets_ = std::make_unique<Sockets>(*loop_, *this, options);
    const Listener* one[] = {&listener_};
    sockets_->start(one);
    sockets_->tick(now_ms());
  }

  ~Echo() {
    sockets_->stop_accepting();
    for (auto& [id, state] : live) sockets_->abort(ConnectionId(id));
    EXPECT_TRUE(until([this] { return sockets_->quiet(); }));
  }

  void turn(uint32_t wait_ms = 5) {
    for (auto& [id, state] : live) push(id, state);
    sockets_->flush();
    loop_->wait(wait_ms);
    sockets_->handle(loop_->poll());
    sockets_->tick(now_ms());
  }
  bool until(const std::function<bool()>& done, Millis at_most = 5000) {
    for (Millis end = now_ms() + at_most; now_ms() < end;) {
      if (done()) return true;
      turn();
    }
    return done();
  }

  void on_open(const Opened& opened) override {
    peers.push_back(opened.peer.text());
    live[index_of(opened.id)].last_places = opened.last_places;
    lasts += opened.last_places;
    if (opening) opening(opened.id);
  }
  void on_bytes(ConnectionId id, std::span<char> bytes) override {
    State& state = live.at(index_of(id));
    state.received += bytes.size();
    if (reading) return reading(id, bytes);
    state.out.append(bytes.data(), bytes.size());
  }
  void on_end(ConnectionId id) override { live.at(index_of(id)).ended = true; }
  void on_short(ConnectionId id, uint32_t sent) override {
    shorts++;
    State& state = live.at(index_of(id));
    state.blocked = true;
    state.out = in_flight_[index_of(id)].substr(sent) + state.out;
    sockets_->want_writable(id);
  }
  void on_writable(ConnectionId id) override { live.at(index_of(id)).blocked = false; }
  void on_gone(ConnectionId id) override {
    goners++;
    ASSERT_EQ(live.count(index_of(id)), 1u);
  }
  void on_closed(ConnectionId id) override {
    closings++;
    live.erase(index_of(id));
  }

  Sockets& sockets() { return *sockets_; }
  Loop& loop() { return *loop_; }
  const Address& address() const { return listener_.address(); }

  std::map<uint32_t, State> live;
  std::vector<std::string> peers;
  std::function<void(ConnectionId, std::span<char>)> reading;
  std::function<void(ConnectionId)> opening;
  int shorts = 0, goners = 0, closings = 0, lasts = 0;

 private:
  void push(uint32_t id, State& state) {
    if (state.blocked || state.out.empty()) return;
    std::string& bytes = in_flight_[id];
    bytes = std::move(state.out);
    state.out.clear();
    sockets_->send(ConnectionId(id), bytes);
  }

  std::unique_ptr<Loop> loop_;
  Listener listener_;
  std::unique_ptr<Sockets> sockets_;
  std::map<uint32_t, std::string> in_flight_;
};

LoopOptions small_loop(uint32_t rings, uint32_t slots, uint32_t buffers = 64) {
  LoopOptions options;
  options.rings = rings;
  options.ring.table_slots = slots;
  options.ring.buffer_count = buffers;
  return options;
}

TEST(Sockets, EchoesAndTellsThePeer) {
  Echo server(small_loop(1, 64), {});
  Client client(server.address());
  client.send("hello");
  std::string got;
  EXPECT_TRUE(server.until([&] { return client.read(got) && got == "hello"; })) << got;
  ASSERT_EQ(server.peers.size(), 1u);
  EXPECT_EQ(server.peers[0].rfind("127.0.0.1:", 0), 0u);
  client.send(" again");
  EXPECT_TRUE(server.until([&] { return client.read(got) && got == "hello again"; })) << got;
  client.close();
  EXPECT_TRUE(server.until([&] { return server.live.begin()->second.ended; }));
}

TEST(Sockets, MegabytesThroughAFullSocketArriveInOrder) {
  Echo server(small_loop(1, 64, 8), {}, 16384);
  Client client(server.address(), 8192);
  std::string sent, got;
  for (int i = 0; i < 3000000; i++) sent += static_cast<char>('a' + i % 23);
  size_t at = 0;
  Millis slow_until = now_ms() + 300;
  EXPECT_TRUE(server.until(
      [&] {
        at += client.send(std::string_view(sent).substr(at, 100000));
        if (now_ms() > slow_until) client.read(got);
        return got.size() >= sent.size();
      },
      20000));
  EXPECT_EQ(got, sent);
  EXPECT_GT(server.shorts, 0);
}

TEST(Sockets, SeveralRingsHoldMoreThanOneTableAndKeepLastPlaces) {
  SocketsOptions options;
  Echo server(small_loop(3, 16), options);
  EXPECT_EQ(server.sockets().places(), 48u);
  EXPECT_EQ(server.sockets().open_max(), 42u);
  std::vector<Client> clients;
  for (int i = 0; i < 48; i++) {
    clients.emplace_back(server.address());
    clients.back().send("x" + std::to_string(i));
  }
  EXPECT_TRUE(server.until([&] { return server.live.size() == 48; })) << server.live.size();
  EXPECT_EQ(server.lasts, 6);
  for (int i = 0; i < 48; i++) {
    std::string got;
    EXPECT_TRUE(server.until([&] { return clients[i].read(got) && got == "x" + std::to_string(i); })) << i;
  }
  // The tables are full: the next waits until a place is free, then is served.
  Client late(server.address());
  late.send("late");
  for (int i = 0; i < 20; i++) server.turn();
  EXPECT_EQ(server.live.size(), 48u);
  clients[20].reset();
  std::string got;
  EXPECT_TRUE(server.until([&] { return late.read(got) && got == "late"; }));
}

TEST(Sockets, PlacesAreUsedAgainThousandsOfTimes) {
  Echo server(small_loop(2, 8), {});
  for (int round = 0; round < 300; round++) {
    std::vector<Client> clients;
    for (int i = 0; i < 10; i++) {
      clients.emplace_back(server.address());
      clients.back().send("ping");
    }
    for (Client& client : clients) {
      std::string got;
      ASSERT_TRUE(server.until([&] { return client.read(got) && got == "ping"; })) << round;
    }
    for (size_t i = 0; i < clients.size(); i++) {
      if (i % 3 == 0) clients[i].reset();
      if (i % 3 == 1) clients[i].close();
    }
    std::vector<uint32_t> open;
    for (auto& [id, state] : server.live) open.push_back(id);
    for (uint32_t id : open) {
      if (id % 2) {
        server.sockets().close(ConnectionId(id));
      } else {
        server.sockets().abort(ConnectionId(id));
      }
    }
    clients.clear();
    ASSERT_TRUE(server.until([&] { return server.live.empty(); })) << round;
  }
  EXPECT_EQ(server.closings, 3000);
}

TEST(Sockets, TheLastAnswerSurvivesAnUnreadRequest) {
  SocketsOptions options;
  options.linger_bytes = 8 << 20;
  Echo server(small_loop(1, 64), options);
  bool answered = false;
  server.reading = [&](ConnectionId id, std::span<char>) {
    if (answered) return;
    answered = true;
    static const std::string answer(30000, 'A');
    server.sockets().send(id, answer);
    server.sockets().flush();
    server.sockets().close(id);
  };
  Client client(server.address());
  std::string body(4 << 20, 'b'), got;
  size_t at = 0;
  bool open = true;
  EXPECT_TRUE(server.until([&] {
    at += client.send(std::string_view(body).substr(at));
    if (at == body.size()) client.shut();
    open = open && client.read(got);
    return !open;
  }));
  EXPECT_EQ(errno, 0);
  EXPECT_EQ(got.size(), 30000u);
  EXPECT_TRUE(server.until([&] { return server.closings == 1; }));
}

TEST(Sockets, LingeringEndsByTimeAndByBytes) {
  SocketsOptions options;
  options.linger_ms = 100;
  options.linger_bytes = 100000;
  Echo server(small_loop(1, 64), options);
  Client quiet(server.address()), loud(server.address());
  ASSERT_TRUE(server.until([&] { return server.live.size() == 2; }));
  for (auto& [id, state] : server.live) server.sockets().close(ConnectionId(id));
  Millis begin = now_ms();
  std::string noise(50000, 'n');
  EXPECT_TRUE(server.until([&] {
    loud.send(noise);
    return server.closings == 2;
  }));
  EXPECT_LT(now_ms() - begin, 2000u);
  EXPECT_EQ(server.goners, 0);
}

TEST(Sockets, AResetIsTold) {
  Echo server(small_loop(1, 64), {});
  Client client(server.address());
  client.send("x");
  std::string got;
  ASSERT_TRUE(server.until([&] { return client.read(got) && got == "x"; }));
  client.reset();
  EXPECT_TRUE(server.until([&] { return server.goners == 1 && server.closings == 1; }));
}

TEST(Sockets, AfterThePeersEndItStillGetsItsAnswer) {
  Echo server(small_loop(1, 64), {});
  Client client(server.address());
  server.reading = [&](ConnectionId id, std::span<char> bytes) {
    server.live[index_of(id)].out.append(bytes.data(), bytes.size());
    server.sockets().pause(id);
  };
  client.send("question");
  client.shut();
  std::string got;
  ASSERT_TRUE(server.until([&] { return client.read(got) && got == "question"; }));
  EXPECT_FALSE(server.live.begin()->second.ended);
  server.sockets().resume(ConnectionId(server.live.begin()->first));
  ASSERT_TRUE(server.until([&] { return server.live.begin()->second.ended; }));
  server.live.begin()->second.out = "!";
  ASSERT_TRUE(server.until([&] { return client.read(got) && got == "question!"; }));
  server.sockets().close(ConnectionId(server.live.begin()->first));
  EXPECT_TRUE(server.until([&] { return !client.read(got) && errno == 0; }));
}

TEST(Sockets, PausedConnectionsHoldBackTheirPeer) {
  Echo server(small_loop(1, 64), {});
  bool paused = false;
  uint64_t seen = 0;
  server.reading = [&](ConnectionId id, std::span<char> bytes) {
    seen += bytes.size();
    if (!paused) server.sockets().pause(id);
    paused = true;
  };
  Client client(server.address());
  std::string data(300000, 'd');
  size_t at = client.send(data);
  server.until([&] { return paused; });
  for (int i = 0; i < 30; i++) server.turn();
  EXPECT_LE(seen, 4096u);
  server.sockets().resume(ConnectionId(server.live.begin()->first));
  EXPECT_TRUE(server.until([&] {
    at += client.send(std::string_view(data).substr(at));
    return seen == data.size();
  }));
}

// The end may come between a receive's being asked for and its being done; it must not be missed.
TEST(Sockets, TheEndIsNeverMissed) {
  Echo server(small_loop(1, 64), {});
  for (int round = 0; round < 200; round++) {
    Client client(server.address());
    std::string data(static_cast<size_t>(round % 7 == 0 ? 9000 : 10), 'e'), got;
    bool paused = false;
    server.reading = [&](ConnectionId id, std::span<char>) {
      if (round % 2 == 0) server.sockets().pause(id);
      paused = true;
    };
    client.send("first");
    ASSERT_TRUE(server.until([&] { return paused; }));
    client.send(data);
    auto id = ConnectionId(server.live.begin()->first);
    server.sockets().resume(id);  // its receive is asked for, and not yet done
    client.shut();
    server.reading = [](ConnectionId, std::span<char>) {};
    ASSERT_TRUE(server.until([&] { return server.live.begin()->second.ended; }, 1000)) << round;
    server.sockets().close(id);
    ASSERT_TRUE(server.until([&] { return server.live.empty(); }));
  }
}

TEST(Sockets, FewBuffersForManyReaders) {
  Echo server(small_loop(1, 128, 2), {});
  std::vector<Client> clients;
  for (int i = 0; i < 100; i++) clients.emplace_back(server.address());
  ASSERT_TRUE(server.until([&] { return server.live.size() == 100; }));
  std::string block(20000, 'q');
  for (int round = 0; round < 5; round++) {
    for (Client& client : clients) ASSERT_EQ(client.send(block), block.size());
  }
  for (Client& client : clients) {
    std::string got;
    ASSERT_TRUE(server.until([&] { return client.read(got) && got.size() == 100000; })) << got.size();
  }
}

TEST(Sockets, AbortInTheMiddleOfEverything) {
  Echo server(small_loop(1, 64), {}, 8192);
  Client client(server.address(), 4096);
  client.send("x");
  ASSERT_TRUE(server.until([&] { return server.live.size() == 1; }));
  auto& state = server.live.begin()->second;
  state.out.assign(4 << 20, 'z');
  ASSERT_TRUE(server.until([&] { return server.shorts > 0; }));
  server.sockets().abort(ConnectionId(server.live.begin()->first));
  EXPECT_TRUE(server.until([&] { return server.closings == 1; }));
  EXPECT_EQ(server.goners, 0);
}

TEST(Loop, SleepsUntilWokenFromAnotherThread) {
  auto loop = Loop::open(small_loop(2, 8));
  ASSERT_TRUE(loop);
  (*loop)->attach();
  (*loop)->wait(1);
  (*loop)->poll();
  std::thread waker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    (*loop)->wake();
  });
  Millis begin = now_ms();
  (*loop)->wait(5000);
  EXPECT_TRUE((*loop)->poll().empty());
  Millis took = now_ms() - begin;
  EXPECT_GE(took, 40u);
  EXPECT_LT(took, 3000u);
  waker.join();
}

TEST(Loop, SleepsUntilWokenByAnotherLoop) {
  auto target = Loop::open(small_loop(1, 8)), not_running = Loop::open(small_loop(1, 8));
  ASSERT_TRUE(target && not_running);
  (*target)->attach();
  (*target)->wait(1);
  (*target)->poll();
  for (int round = 0; round < 3; round++) {
    std::thread other([&] {
      auto loop = Loop::open(small_loop(1, 8));
      (*loop)->attach();
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      (*target)->wake_from(**loop);
      (*not_running)->wake_from(**loop);  // refused by the kernel: must do no harm
      (*loop)->submit();
    });
    Millis begin = now_ms();
    (*target)->wait(5000);
    EXPECT_TRUE((*target)->poll().empty());
    EXPECT_LT(now_ms() - begin, 3000u);
    EXPECT_GE(now_ms() - begin, 20u);
    other.join();
  }
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

TEST(Loop, IdleRingsCostNothingAndStillAreHeard) {
  Echo server(small_loop(3, 4), {});
  std::vector<Client> clients;
  for (int i = 0; i < 9; i++) {
    clients.emplace_back(server.address());
    clients.back().send("a");
  }
  for (auto& client : clients) {
    std::string got;
    ASSERT_TRUE(server.until([&] { return client.read(got) && got == "a"; }));
  }
  double before = cpu_seconds();
  int turns = 0;
  for (Millis end = now_ms() + 400; now_ms() < end; turns++) server.turn(100);
  EXPECT_LE(turns, 8);
  EXPECT_LT(cpu_seconds() - before, 0.02);
  // The last clients live on the third ring: their bytes must end the sleep at once.
  for (auto& client : clients) {
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      client.send("b");
    });
    Millis begin = now_ms();
    server.turn(5000);
    EXPECT_LT(now_ms() - begin, 2000u);
    later.join();
    std::string got;
    EXPECT_TRUE(server.until([&] { return client.read(got) && got == "b"; }));
  }
}

TEST(Uring, ATableBeyondTheLimitIsRefusedInWords) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  UringOptions options;
  options.table_slots = static_cast<uint32_t>(limit.rlim_cur) + 1;
  auto ring = Uring::open(options);
  ASSERT_FALSE(ring);
  EXPECT_NE(ring.error().sentence.find("limit of open files"), std::string::npos) << ring.error().sentence;
}

TEST(Probes, TheKernelsNumber) {
  for (const char* release :
       {"6.1", "6.1.0", "6.1.0-18-amd64", "6.10.3", "6.18.44-generic", "7.0-rc1", "10.0.0"})
    EXPECT_TRUE(new_enough(release)) << release;
  for (const char* release :
       {"", "6", "6.", "6.x", "linux", "6.0.19", "5.15.0-91-generic", "5.99", "4.19", "-6.1", " 6.1", "0.0"})
    EXPECT_FALSE(new_enough(release)) << release;
}

TEST(Probes, ThisKernelIsNewEnough) {
  auto probes = probe_kernel(false);
  ASSERT_TRUE(probes) << probes.error().sentence;
  EXPECT_FALSE(probes->kernel.empty());
  auto off = probe_kernel(true);
  ASSERT_TRUE(off);
  EXPECT_EQ(off->text(), "none");
}

}  // namespace
}  // namespace twinwire
