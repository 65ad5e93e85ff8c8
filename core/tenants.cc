#include "core/tenants.h"

#include <xxhash.h>

#include <bit>

#include "core/hash_key.h"
#include "core/status.h"

namespace twinwire {

Tenants::Tenants(uint32_t max) : max_(max), table_(std::bit_ceil(uint64_t{max} * 2 + 2)) {
  TW_CHECK(max < UINT16_MAX);
}

size_t Tenants::first_of(std::string_view tenant) const {
  return XXH3_64bits_withSeed(tenant.data(), tenant.size(), hash_key()) & (table_.size() - 1);
}

uint16_t Tenants::find(std::string_view tenant) const {
  for (size_t at = first_of(tenant);; at = (at + 1) & (table_.size() - 1)) {
    const Entry* entry = table_[at].load(std::memory_order_acquire);  // partner: place()
    if (entry == nullptr) return kOthers;
    if (entry->name == tenant) return entry->place;
  }
}

uint16_t Tenants::place(std::string_view tenant) {
  if (uint16_t known = find(tenant); known != kOthers) return known;
  // Relaxed: it only rises, and the lock decides.
  if (count_.load(std::memory_order_relaxed) >= max_) return kOthers;
  std::lock_guard lock(adding_);
  if (uint16_t known = find(tenant); known != kOthers) return known;
  uint32_t count = count_.load(std::memory_order_relaxed);
  if (count >= max_) return kOthers;
  auto entry = std::make_unique<const Entry>(Entry{std::string(tenant), static_cast<uint16_t>(count + 1)});
  size_t at = first_of(tenant);
  while (table_[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) & (table_.size() - 1);
  table_[at].store(entry.get(), std::memory_order_release);  // partner: find()
  entries_.push_back(std::move(entry));
  count_.store(count + 1, std::memory_order_relaxed);
  return static_cast<uint16_t>(count + 1);
}

std::vector<std::string> Tenants::names() const {
  std::lock_guard lock(adding_);
  std::vector<std::string> names = {"(other)"};
  for (const auto& entry : entries_) names.push_back(entry->name);
  return names;
}

}  // namespace twinwire
