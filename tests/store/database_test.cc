// What every Database promises, on the model and on RocksDB.
#include <gtest/gtest.h>

#include "store/keys.h"
#include "tests/store/any_database.h"

namespace twinwire::store {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

class DatabaseTest : public AnyDatabase {
 protected:
  void put(Table table, std::string_view key, std::string_view value) {
    auto writes = database->make_write_set();
    writes->put(table, key, value);
    ASSERT_TRUE(database->commit(*writes, Sync::yes));
  }
  Pairs scan(const Range& range, size_t limit = SIZE_MAX) {
    Pairs out;
    EXPECT_TRUE(database->scan(range, [&](std::string_view key, std::string_view value) {
      out.emplace_back(key, value);
      return out.size() < limit;
    }));
    return out;
  }
};

TEST_P(DatabaseTest, PutsGetsAndRemoves) {
  EXPECT_FALSE(*database->get(Table::meta, "key"));
  put(Table::meta, "key", "value");
  EXPECT_EQ(**database->get(Table::meta, "key"), "value");
  EXPECT_FALSE(*database->get(Table::idempotency, "key")) << "tables are apart";
  put(Table::meta, "key", std::string("a\0b", 3));
  EXPECT_EQ(**database->get(Table::meta, "key"), std::string("a\0b", 3));
  auto writes = database->make_write_set();
  writes->remove(Table::meta, "key");
  EXPECT_TRUE(*database->get(Table::meta, "key")) << "not before the commit";
  ASSERT_TRUE(database->commit(*writes, Sync::no));
  EXPECT_FALSE(*database->get(Table::meta, "key"));
}

TEST_P(DatabaseTest, ABatchTakesEffectInItsOrder) {
  auto writes = database->make_write_set();
  writes->put(Table::meta, "a", "1");
  writes->remove(Table::meta, "a");
  writes->put(Table::meta, "a", "2");
  ASSERT_TRUE(database->commit(*writes, Sync::yes));
  EXPECT_EQ(**database->get(Table::meta, "a"), "2");
  writes->clear();
  ASSERT_TRUE(database->commit(*writes, Sync::yes)) << "an empty batch is one too";
}

TEST_P(DatabaseTest, ScansBothWaysWithinBounds) {
  RoomId low{1, 1}, room{1, 2}, high{1, 3};
  for (RoomId r : {low, room, high}) {
    for (uint64_t s = 1; s <= 5; s++) put(Table::events, view(event_key(r, {s})), std::to_string(s));
  }
  auto numbers = [&](uint64_t from, uint64_t to, bool backward, size_t limit = SIZE_MAX) {
    auto lower = event_key(room, {from}), upper = event_key(room, {to});
    std::string out;
    for (auto& [key, value] : scan({Table::events, view(lower), view(upper), backward}, limit)) out += value;
    return out;
  };
  EXPECT_EQ(numbers(0, 100, false), "12345");
  EXPECT_EQ(numbers(0, 100, true), "54321");
  EXPECT_EQ(numbers(2, 4, false), "23");
  EXPECT_EQ(numbers(2, 4, true), "32");
  EXPECT_EQ(numbers(2, 2, false), "");
  EXPECT_EQ(numbers(4, 2, false), "");
  EXPECT_EQ(numbers(4, 2, true), "");
  EXPECT_EQ(numbers(0, 100, false, 2), "12");
  EXPECT_EQ(numbers(0, 100, true, 2), "54");
  EXPECT_EQ(scan({Table::events, {}, {}}).size(), 15u);
  EXPECT_EQ(scan({Table::events, {}, {}, true}).size(), 15u);
  EXPECT_EQ(scan({Table::events, room_prefix(room), {}}).size(), 10u);
}

TEST_P(DatabaseTest, TheLastRoomHasAnEnd) {
  RoomId last{UINT64_MAX, UINT64_MAX};
  EXPECT_EQ(after_room(last), "");
  put(Table::rooms, view(room_key_of(last, RoomTag::name)), "x");
  std::string from = room_prefix(last), to = after_room(last);
  EXPECT_EQ(scan({Table::rooms, from, to}).size(), 1u);
  EXPECT_EQ(scan({Table::rooms, from, to, true}).size(), 1u);
}

TEST_P(DatabaseTest, WhatWasSyncedOutlivesIt) {
  put(Table::rooms, view(room_key_of({7, 7}, RoomTag::trimmed)), "mark");
  reopen();
  EXPECT_EQ(**database->get(Table::rooms, view(room_key_of({7, 7}, RoomTag::trimmed))), "mark");
}

INSTANTIATE_TEST_SUITE_P(All, DatabaseTest, ::testing::Values("model", "rocksdb"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace twinwire::store
