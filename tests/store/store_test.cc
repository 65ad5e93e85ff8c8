// The whole store with its threads on a real directory: start, write, read, stop, start again; refusals at
// start.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <fstream>
#include <thread>

#include "store/store.h"
#include "tests/store/harness.h"
#include "tests/store/lossy_file_system.h"
#include "tests/store/temporary_directory.h"

namespace twinwire::store {
namespace {

class RealClock : public Clock {
 public:
  Millis now_ms() const override { return count<std::chrono::steady_clock>(); }
  uint64_t wall_ms() const override { return count<std::chrono::system_clock>(); }

 private:
  template <typename C>
  static uint64_t count() {
    auto time = C::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  }
};

// A server without shards: the store with its threads, a ring, and a publisher.
class Server {
 public:
  Server(const StoreOptions& options, const Clock& clock) : clock_(clock), waker_(*this) {
    TestRandom random(clock.now_ms());
    auto opened = Store::open(options, clock, random);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().sentence);
    store = std::move(*opened);
    Ring::Options ring_options;
    ring_options.first = store->boot().first;
    ring_options.lease_end = store->boot().lease_end;
    ring = std::make_unique<Ring>(ring_options, waker_);
    durability = std::make_unique<Durability>(store->boot().settled, store->boot().first);
    StoreCallbacks callbacks;
    callbacks.on_progress = [this](bool) {
      std::lock_guard lock(mutex_);
      progress_.notify_all();
    };
    store->attach(*ring, *durability, callbacks);
    store->start();
  }
  ~Server() { store->stop(); }

  EventRef publish(const std::string& text, const std::string& client_id = {}) {
    std::string data = text_of(text);
    EventDraft draft;
    draft.type = "message.created";
    draft.data = data;
    draft.room = room();
    draft.room_name = Name("acme", "lobby");
    draft.user = Name("acme", "alice");
    draft.client_id = client_id;
    draft.wall_ms = clock_.wall_ms();
    EventRef event = Event::encode(draft, store->boot().epoch);
    auto claim = ring->try_claim(1, event->size(), Ring::Priority::normal);
    if (!claim) return {};
    event.mutable_event()->patch(claim->first);
    Slot& slot = ring->slot(claim->first);
    slot.event = event.get();
    slot.kept = true;
    slot.bytes = event->size();
    event->prepay(1);
    ring->publish(claim->first);
    ring->consumed(0, claim->first, event->size());
    return event;
  }
  bool wait(const EventRef& event, std::chrono::seconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return progress_.wait_for(lock, limit, [&] { return event->outcome() != Outcome::pending; });
  }
  std::shared_ptr<const ReadAnswer> read() {
    ReadRequest request;
    request.room = room();
    request.upto = durability->durable();
    request.max_events = 1'000'000;
    request.max_bytes = UINT32_MAX;
    std::shared_ptr<const ReadAnswer> answer;
    store->history().read(request, [&](std::shared_ptr<const ReadAnswer> a) {
      std::lock_guard lock(mutex_);
      answer = std::move(a);
      progress_.notify_all();
    });
    std::unique_lock lock(mutex_);
    progress_.wait_for(lock, std::chrono::seconds(20), [&] { return answer != nullptr; });
    return answer;
  }
  RoomId room() const { return room_id_of(store->boot().room_key, "acme", "lobby"); }

  std::unique_ptr<Store> store;
  std::unique_ptr<Ring> ring;
  std::unique_ptr<Durability> durability;

 private:
  class StoreWaker : public Waker {
   public:
    explicit StoreWaker(Server& server) : server_(server) {}
    void wake(uint32_t consumer) override {
      if (consumer == server_.ring->writer_consumer()) server_.store->wake_writer();
    }

   private:
    Server& server_;
  };
  const Clock& clock_;
  StoreWaker waker_;
  std::mutex mutex_;
  std::condition_variable progress_;
};

class StoreTest : public ::testing::Test {
 protected:
  StoreOptions options() {
    StoreOptions out;
    out.path = directory.path() + "/data";
    return out;
  }
  std::string refusal(const StoreOptions& options) {
    TestRandom random(1);
    auto opened = Store::open(options, clock, random);
    return opened ? "opened" : opened.error().sentence;
  }
  RealClock clock;
  TemporaryDirectory directory;
};

TEST_F(StoreTest, StoresReadsStopsAndStartsAgain) {
  Sequence last;
  Epoch epoch;
  {
    Server server(options(), clock);
    epoch = server.store->boot().epoch;
    EXPECT_EQ(server.store->boot().starts.size(), 1u);
    std::vector<EventRef> events;
    for (int i = 0; i < 5'000; i++)
      events.push_back(server.publish(std::to_string(i), fmt::format("id-{}", i)));
    ASSERT_TRUE(server.wait(events.back()));
    for (const EventRef& event : events) ASSERT_EQ(event->outcome(), Outcome::stored);
    EXPECT_EQ(server.read()->events.size(), 5'000u);
    last = server.publish("the last, stored by stop")->sequence();
  }
  Server server(options(), clock);
  EXPECT_EQ(server.store->boot().epoch, epoch);
  EXPECT_EQ(server.store->boot().settled, last) << "stop settles everything";
  EXPECT_GT(server.store->boot().first, last);
  EXPECT_EQ(server.store->boot().starts.size(), 2u);
  auto answer = server.read();
  ASSERT_EQ(answer->events.size(), 5'001u);
  EXPECT_EQ(answer->events.back()->data(), text_of("the last, stored by stop"));
  EXPECT_TRUE(server.store->history().may_know_idempotent(server.room(), Name("acme", "alice"), "id-4999"));
}

TEST_F(StoreTest, ASleepingWriterIsWokenForEveryEvent) {
  Server server(options(), clock);
  for (int i = 0; i < 30; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    Millis before = clock.now_ms();
    EventRef event = server.publish("x");
    ASSERT_TRUE(server.wait(event));
    EXPECT_LT(clock.now_ms() - before, 900u) << "woken, not found by the nap";
  }
}

TEST_F(StoreTest, AFullDiskMakesUnsavedAndHealsByItself) {
  auto disk = std::make_shared<LossyFileSystem>();
  StoreOptions o = options();
  o.file_system = disk;
  o.give_up_ms = 500;
  Server server(o, clock);
  disk->set_full(true);
  EventRef event = server.publish("too much");
  ASSERT_TRUE(server.wait(event));
  EXPECT_EQ(event->outcome(), Outcome::unsaved);
  EXPECT_FALSE(server.durability->accepting());
  disk->set_full(false);
  for (int i = 0; i < 1'000 && server.durability->failing(); i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(server.durability->accepting());
  EventRef again = server.publish("fits");
  ASSERT_TRUE(server.wait(again));
  EXPECT_EQ(again->outcome(), Outcome::stored);
  EXPECT_EQ(server.read()->events.size(), 1u);
}

TEST_F(StoreTest, StopOnAFailingStoreEndsInItsTime) {
  auto disk = std::make_shared<LossyFileSystem>();
  StoreOptions o = options();
  o.file_system = disk;
  Server server(o, clock);
  disk->set_full(true);
  EventRef event = server.publish("never");
  Millis before = clock.now_ms();
  EXPECT_FALSE(server.store->stop(300));
  EXPECT_LT(clock.now_ms() - before, 10'000u);
  EXPECT_EQ(event->outcome(), Outcome::unsaved);
}

TEST_F(StoreTest, AnotherVersionIsRefused) {
  { Server server(options(), clock); }
  std::ofstream(directory.path() + "/data/FORMAT") << "twinwire store 2\n";
  std::string sentence = refusal(options());
  EXPECT_NE(sentence.find("store format 2"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("store.path"), std::string::npos) << sentence;
}

TEST_F(StoreTest, AForeignDirectoryIsRefusedAndLeftAlone) {
  std::filesystem::create_directory(directory.path() + "/data");
  std::ofstream(directory.path() + "/data/holiday.jpg") << "x";
  std::string sentence = refusal(options());
  EXPECT_NE(sentence.find("holiday.jpg"), std::string::npos) << sentence;
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/data/db"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/data/FORMAT"));
  std::filesystem::remove(directory.path() + "/data/holiday.jpg");
  std::ofstream(directory.path() + "/data/FORMAT") << "something else";
  EXPECT_NE(refusal(options()).find("not a Twinwire store"), std::string::npos);
}

TEST_F(StoreTest, APathThatCannotBeMadeIsRefused) {
  std::ofstream(directory.path() + "/data") << "a file";
  EXPECT_NE(refusal(options()).find("cannot make the data directory"), std::string::npos)
      << refusal(options());
}

TEST_F(StoreTest, InUseByAnotherProcessIsRefused) {
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    // Holds the directory as a server would, until told to end.
    auto held = Directory::open(directory.path() + "/data");
    char byte = held ? 'y' : 'n';
    (void)!write(ready[1], &byte, 1);
    (void)!read(done[0], &byte, 1);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  std::string sentence = refusal(options());
  EXPECT_NE(sentence.find(fmt::format("in use by process {}", child)), std::string::npos) << sentence;
  ASSERT_EQ(write(done[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(options()), "opened") << "free once the other is gone";
  for (int fd : {ready[0], ready[1], done[0], done[1]}) close(fd);
}

TEST_F(StoreTest, RetentionTellsFromItsThread) {
  StoreOptions o = options();
  o.retention_events = 10;
  Sequence trimmed;
  {
    Server server(o, clock);
    EventRef last;
    for (int i = 0; i < 100; i++) last = server.publish(std::to_string(i));
    ASSERT_TRUE(server.wait(last));
  }
  Server server(o, clock);
  for (int i = 0; i < 1'000 && trimmed.value == 0; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    trimmed = server.read()->trimmed_through;
  }
  EXPECT_NE(trimmed, Sequence{});
  EXPECT_EQ(server.read()->events.size(), 10u);
}

}  // namespace
}  // namespace twinwire::store
