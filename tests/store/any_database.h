// The fixture of tests that run on the model and on RocksDB alike. Not a test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/rocks_database.h"
#include "tests/sim/model_database.h"
#include "tests/store/harness.h"
#include "tests/store/temporary_directory.h"

namespace twinwire::store {

class AnyDatabase : public ::testing::TestWithParam<const char*> {
 protected:
  AnyDatabase() { reopen(); }

  // The process ends and another begins: RocksDB is closed and opened, the model crashes.
  void reopen() {
    if (std::string(GetParam()) == "model") {
      if (!database) {
        auto made = std::make_unique<sim::ModelDatabase>(5);
        model = made.get();
        database = std::move(made);
      }
      model->crash();
      return;
    }
    database.reset();
    RocksOptions options;
    options.path = directory.path() + "/db";
    options.write_buffer_bytes = 1 << 20;
    auto opened = RocksDatabase::open(options);
    ASSERT_TRUE(opened) << opened.error().sentence;
    rocks = opened->get();
    database = std::move(*opened);
  }
  // Moves what RocksDB holds in memory to its files, so that reads meet both.
  void flush() {
    if (rocks == nullptr) return;
    ASSERT_TRUE(rocks->flush());
  }

  TestClock clock;
  TemporaryDirectory directory;
  std::unique_ptr<Database> database;
  sim::ModelDatabase* model = nullptr;
  RocksDatabase* rocks = nullptr;
};

}  // namespace twinwire::store
