// ModelDatabase: the store's Database in memory, with what a disk can do wrong, chosen by seed: a crash loses
// a random suffix of what was not synced, commits fail (with or without landing after all), the disk is full,
// stalls, or does not read. Used by the simulator and by the store's tests. Not here: time. One mutex, so
// that threaded tests may use it too.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "store/database.h"

namespace twinwire::sim {

// How often each fault happens, in 1000 commits or reads.
struct ModelFaults {
  uint32_t fail_per_mille = 0;         // a commit fails and leaves nothing
  uint32_t fail_landed_per_mille = 0;  // a commit fails although it took place
  uint32_t read_fail_per_mille = 0;
  bool full = false;     // every commit fails: no space
  bool stalled = false;  // would_stall(): a commit in flight does not return
  bool deaf = false;     // a test of the test: sync is ignored, so that a crash may lose anything
};

// What happened, for the simulator's coverage.
struct ModelCounts {
  uint64_t commits = 0, syncs = 0, failed = 0, failed_landed = 0, no_space = 0, reads = 0, read_failures = 0;
  uint64_t crashes = 0, batches_lost = 0;
};

class ModelDatabase : public store::Database {
 public:
  explicit ModelDatabase(uint64_t seed) : random_(seed) {}

  std::unique_ptr<store::WriteSet> make_write_set() override;
  Result<void> commit(store::WriteSet& writes, store::Sync sync) override;
  bool heal() override;
  bool would_stall() const override;
  Result<std::optional<std::string>> get(store::Table table, std::string_view key) override;
  Result<void> scan(const store::Range& range, const store::Visit& visit) override;

  // Set between steps. ModelFaults{} ends all faults.
  void set_faults(const ModelFaults& faults);
  // The machine dies: the batches since the last sync are lost from a random one on. What is open on the
  // database (writer, history, retention) dies with it; boot() begins anew.
  void crash();
  // Batches that a crash could lose now.
  size_t unsynced() const;
  ModelCounts counts() const;
  size_t size(store::Table table) const;

 private:
  enum class Kind : uint8_t { put, remove };
  struct Operation {
    Kind kind;
    store::Table table;
    std::string key;
    std::string value;
  };
  class Writes;
  using Entries = std::map<std::string, std::string, std::less<>>;
  using Tables = std::array<Entries, store::kTableCount>;

  static void apply(Tables& tables, const std::vector<Operation>& operations);
  bool chance(uint32_t per_mille);

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  ModelFaults faults_;
  ModelCounts counts_;
  Tables synced_;                                 // what a crash leaves at least
  std::vector<std::vector<Operation>> unsynced_;  // batches since, in order
  Tables visible_;                                // synced_ and all of unsynced_
};

}  // namespace twinwire::sim
