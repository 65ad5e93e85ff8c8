// The writer over the real RocksDB on a disk that forgets what was not synced: what was told stored is there,
// the syncs are counted, a full or failing disk heals.
#include <gtest/gtest.h>

#include "store/rocks_database.h"
#include "tests/store/harness.h"
#include "tests/store/lossy_file_system.h"
#include "tests/store/temporary_directory.h"

namespace twinwire::store {
namespace {

class Crash : public ::testing::Test {
 protected:
  std::unique_ptr<RocksDatabase> open() {
    RocksOptions options;
    options.path = directory.path() + "/db";
    options.file_system = disk;
    options.write_buffer_bytes = 256 << 10;  // small, so that flushes and compactions happen too
    auto database = RocksDatabase::open(options);
    EXPECT_TRUE(database) << (database ? "" : database.error().sentence);
    return database ? std::move(*database) : nullptr;
  }

  // Rounds of publishing until the machine dies at a random change of the disk. Returns how many events that
  // were told stored were lost, which must be none; with sync = no the same must find some.
  size_t run_rounds(int rounds, Sync sync) {
    std::vector<std::pair<Sequence, std::string>> stored;
    size_t lost = 0;
    std::mt19937_64 dice(17);
    for (int round = 0; round <= rounds; round++) {
      auto database = open();
      if (!database) return SIZE_MAX;
      Life::Options options;
      options.writer.sync = sync;
      options.writer.group_events = 64;
      Life life(*database, clock, static_cast<uint64_t>(round), options);
      lost += check(life, stored);
      if (round == rounds) break;
      disk->die_after(1 + dice() % 400);
      std::vector<std::pair<EventRef, std::string>> open_events;
      for (int i = 0; i < 2'000 && !disk->dead(); i++) {
        std::string text = fmt::format("{}-{}-{}", round, i, std::string(dice() % 500, 'x'));
        open_events.emplace_back(life.publish({.text = text, .client_id = fmt::format("{}-{}", round, i)}),
                                 text);
        if (dice() % 4 == 0) life.writer->step(clock.now_ms());
        if (dice() % 200 == 0) (void)database->flush();
      }
      for (auto& [event, text] : open_events) {
        if (event->outcome() == Outcome::stored) stored.emplace_back(event->sequence(), text_of(text));
      }
      die(life);
      database.reset();
      disk->lose(dice());
    }
    stored_count = stored.size();
    return lost;
  }

  // The process ends: what the database still serves ends before it.
  static void die(Life& life) {
    life.writer->release_unconsumed();
    life.retention.reset();
    life.history.reset();
    life.writer.reset();
  }

  // Every stored event is read exactly once and in order, with its idempotency id; lost ones are counted.
  size_t check(Life& life, std::vector<std::pair<Sequence, std::string>>& stored) {
    auto answer = life.read_all("lobby");
    if (!answer || answer->failed) {
      ADD_FAILURE() << "cannot read";
      return SIZE_MAX;
    }
    Sequence last;
    std::map<uint64_t, std::string_view> found;
    for (const EventRef& event : answer->events) {
      EXPECT_GT(event->sequence(), last);
      last = event->sequence();
      found[last.value] = event->data();
    }
    size_t lost = std::erase_if(stored, [&](const auto& entry) {
      auto it = found.find(entry.first.value);
      return it == found.end() || it->second != entry.second;
    });
    EXPECT_LT(last, life.boot.first);
    return lost;
  }

  TestClock clock;
  TemporaryDirectory directory;
  std::shared_ptr<LossyFileSystem> disk = std::make_shared<LossyFileSystem>();
  size_t stored_count = 0;
};

TEST_F(Crash, NothingStoredIsLost) {
  EXPECT_EQ(run_rounds(20, Sync::yes), 0u);
  EXPECT_GT(stored_count, 200u);
  EXPECT_GT(disk->bytes_lost.load(), 0u);
}

// The test of the test: the same without the sync loses stored events, so it would be seen.
TEST_F(Crash, WithoutTheSyncTheTestFails) { EXPECT_GT(run_rounds(10, Sync::no), 0u); }

TEST_F(Crash, EachGroupIsSyncedOnce) {
  auto database = open();
  Life life(*database, clock);
  for (int batch = 0; batch < 20; batch++) {
    for (int i = 0; i <= batch; i++) life.publish({});
    uint64_t before = disk->log_syncs.load();
    ASSERT_TRUE(life.writer->step(clock.now_ms()));
    EXPECT_EQ(disk->log_syncs.load() - before, 1u);
  }
  EXPECT_EQ(life.durability->syncs.load(), 20u);
}

TEST_F(Crash, AFullDiskRefusesAndHeals) {
  auto database = open();
  Life life(*database, clock);
  life.publish({.text = "before"});
  life.settle();
  disk->set_full(true);
  EventRef waiting = life.publish({.text = "waiting", .client_id = "w"});
  life.settle();
  EXPECT_TRUE(life.durability->failing());
  EXPECT_FALSE(life.durability->accepting());
  for (int i = 0; i < 5; i++) clock.advance(1'000), life.settle();
  EXPECT_EQ(waiting->outcome(), Outcome::pending);
  EXPECT_EQ(datas(*life.read_all("lobby")), std::vector<std::string>{text_of("before")}) << "reading goes on";
  disk->set_full(false);
  for (int i = 0; i < 5 && life.durability->failing(); i++) clock.advance(1'000), life.settle();
  EXPECT_EQ(waiting->outcome(), Outcome::stored);
  EXPECT_TRUE(life.durability->accepting());
  EventRef after = life.publish({.text = "after"});
  life.settle();
  EXPECT_EQ(after->outcome(), Outcome::stored);
  EXPECT_EQ(datas(*life.read_all("lobby")),
            (std::vector<std::string>{text_of("before"), text_of("waiting"), text_of("after")}));
  // And it is all there after a crash.
  die(life);
  database.reset();
  disk->lose(1);
  database = open();
  Life next(*database, clock, 2);
  EXPECT_EQ(next.read_all("lobby")->events.size(), 3u);
}

TEST_F(Crash, AFullDiskThatLastsMakesUnsavedAndHeals) {
  auto database = open();
  Life life(*database, clock);
  disk->set_full(true);
  EventRef lost = life.publish({.text = "lost", .client_id = "id"});
  for (int i = 0; i < 40; i++) clock.advance(1'000), life.settle();
  EXPECT_EQ(lost->outcome(), Outcome::unsaved);
  disk->set_full(false);
  for (int i = 0; i < 5 && life.durability->failing(); i++) clock.advance(1'000), life.settle();
  EventRef again = life.publish({.text = "again", .client_id = "id"});
  life.settle();
  EXPECT_EQ(again->outcome(), Outcome::stored);
  EXPECT_EQ(datas(*life.read_all("lobby")), std::vector<std::string>{text_of("again")});
  EXPECT_EQ(life.find("lobby", "alice", "id").sequence, again->sequence());
}

TEST_F(Crash, ASyncThatFailsIsNotTakenForOne) {
  auto database = open();
  Life life(*database, clock);
  life.publish({.text = "one"});
  life.settle();
  disk->fail_syncs(1);
  EventRef event = life.publish({.text = "two"});
  life.writer->step(clock.now_ms());
  EXPECT_EQ(event->outcome(), Outcome::pending);
  EXPECT_TRUE(life.durability->failing());
  for (int i = 0; i < 5 && life.durability->failing(); i++) clock.advance(1'000), life.settle();
  EXPECT_EQ(event->outcome(), Outcome::stored);
  die(life);
  database.reset();
  disk->lose(5);
  database = open();
  Life next(*database, clock, 2);
  EXPECT_EQ(datas(*next.read_all("lobby")), (std::vector<std::string>{text_of("one"), text_of("two")}));
}

}  // namespace
}  // namespace twinwire::store
