#include "tests/sim/model_database.h"

#include <utility>

namespace twinwire::sim {

using store::Range;
using store::Sync;
using store::Table;
using store::Visit;
using store::WriteSet;

class ModelDatabase::Writes : public WriteSet {
 public:
  void put(Table table, std::string_view key, std::string_view value) override {
    operations.push_back({Kind::put, table, std::string(key), std::string(value)});
  }
  void remove(Table table, std::string_view key) override {
    operations.push_back({Kind::remove, table, std::string(key), {}});
  }
  void clear() override { operations.clear(); }

  std::vector<Operation> operations;
};

std::unique_ptr<WriteSet> ModelDatabase::make_write_set() { return std::make_unique<Writes>(); }

void ModelDatabase::apply(Tables& tables, const std::vector<Operation>& operations) {
  for (const Operation& op : operations) {
    Entries& entries = tables[static_cast<size_t>(op.table)];
    switch (op.kind) {
      case Kind::put:
        entries.insert_or_assign(op.key, op.value);
        break;
      case Kind::remove:
        entries.erase(op.key);
        break;
    }
  }
}

bool ModelDatabase::chance(uint32_t per_mille) { return per_mille != 0 && random_() % 1000 < per_mille; }

Result<void> ModelDatabase::commit(WriteSet& writes, Sync sync) {
  std::lock_guard lock(mutex_);
  counts_.commits++;
  if (faults_.full) {
    counts_.no_space++;
    return fail(Code::storage_unavailable, "no space left");
  }
  if (chance(faults_.fail_per_mille)) {
    counts_.failed++;
    return fail(Code::storage_unavailable, "the disk failed");
  }
  const std::vector<Operation>& operations = static_cast<Writes&>(writes).operations;
  apply(visible_, operations);
  unsynced_.push_back(operations);
  if (chance(faults_.fail_landed_per_mille)) {
    counts_.failed_landed++;
    return fail(Code::storage_unavailable, "the disk failed, or so it says");
  }
  if (sync == Sync::yes && !faults_.deaf) {
    for (const auto& batch : unsynced_) apply(synced_, batch);
    unsynced_.clear();
    counts_.syncs++;
  }
  return {};
}

bool ModelDatabase::heal() {
  std::lock_guard lock(mutex_);
  return !faults_.full;
}

bool ModelDatabase::would_stall() const {
  std::lock_guard lock(mutex_);
  return faults_.stalled;
}

Result<std::optional<std::string>> ModelDatabase::get(Table table, std::string_view key) {
  std::lock_guard lock(mutex_);
  counts_.reads++;
  if (chance(faults_.read_fail_per_mille)) {
    counts_.read_failures++;
    return fail(Code::storage_unavailable, "the disk cannot be read");
  }
  const Entries& entries = visible_[static_cast<size_t>(table)];
  auto found = entries.find(key);
  if (found == entries.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

Result<void> ModelDatabase::scan(const Range& range, const Visit& visit) {
  std::lock_guard lock(mutex_);
  counts_.reads++;
  if (chance(faults_.read_fail_per_mille)) {
    counts_.read_failures++;
    return fail(Code::storage_unavailable, "the disk cannot be read");
  }
  const Entries& entries = visible_[static_cast<size_t>(range.table)];
  auto from = entries.lower_bound(range.from);
  auto to = range.to.empty() ? entries.end() : entries.lower_bound(range.to);
  if (!range.to.empty() && range.to <= range.from) return {};
  if (!range.backward) {
    for (auto it = from; it != to; ++it) {
      if (!visit(it->first, it->second)) return {};
    }
  } else {
    for (auto it = to; it != from;) {
      --it;
      if (!visit(it->first, it->second)) return {};
    }
  }
  return {};
}

void ModelDatabase::set_faults(const ModelFaults& faults) {
  std::lock_guard lock(mutex_);
  faults_ = faults;
}

void ModelDatabase::crash() {
  std::lock_guard lock(mutex_);
  size_t kept = unsynced_.empty() ? 0 : random_() % (unsynced_.size() + 1);
  counts_.crashes++;
  counts_.batches_lost += unsynced_.size() - kept;
  for (size_t i = 0; i < kept; i++) apply(synced_, unsynced_[i]);
  unsynced_.clear();
  visible_ = synced_;
}

size_t ModelDatabase::unsynced() const {
  std::lock_guard lock(mutex_);
  return unsynced_.size();
}

ModelCounts ModelDatabase::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

size_t ModelDatabase::size(Table table) const {
  std::lock_guard lock(mutex_);
  return visible_[static_cast<size_t>(table)].size();
}

}  // namespace twinwire::sim
