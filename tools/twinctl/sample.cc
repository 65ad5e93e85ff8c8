#include "tools/twinctl/sample.h"

#include <algorithm>

namespace twinwire::ctl {

using client::Json;
using client::member_at;
using client::number_at;

uint64_t Buckets::count() const {
  uint64_t all = 0;
  for (const uint64_t n : counts) all += n;
  return all;
}

std::optional<double> Buckets::quantile(double share) const {
  const uint64_t all = count();
  if (all == 0 || bounds.empty()) return std::nullopt;
  const double wanted = share * static_cast<double>(all);
  double below = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= wanted) {
      const double low = i == 0 ? 0 : static_cast<double>(bounds[i - 1]);
      return low + (static_cast<double>(bounds[i]) - low) * std::clamp((wanted - below) / here, 0.0, 1.0);
    }
    below += here;
  }
  return static_cast<double>(bounds.back());
}

std::optional<double> Buckets::mean() const {
  const uint64_t all = count();
  if (all == 0) return std::nullopt;
  return static_cast<double>(sum) / static_cast<double>(all);
}

Buckets Buckets::since(const Buckets& earlier) const {
  if (earlier.counts.size() != counts.size()) return *this;
  Buckets out = *this;
  for (size_t i = 0; i < counts.size(); ++i) out.counts[i] -= std::min(earlier.counts[i], counts[i]);
  out.sum -= std::min(earlier.sum, sum);
  return out;
}

namespace {

std::vector<uint64_t> numbers_of(const Json& object, const char* key) {
  std::vector<uint64_t> out;
  simdjson::dom::array list;
  if (object.at_key(key).get_array().get(list) != simdjson::SUCCESS) return out;
  for (const Json& each : list) out.push_back(each.is_uint64() ? uint64_t{each} : 0);
  return out;
}

Buckets buckets_of(const Json& latency, const char* key) {
  Buckets out;
  const auto object = member_at(latency, key);
  if (!object) return out;
  out.bounds = numbers_of(*object, "bounds");
  out.counts = numbers_of(*object, "buckets");
  out.counts.resize(out.bounds.size() + 1);
  out.sum = number_at(*object, "sum");
  return out;
}

// The sum of all numbers in an object.
uint64_t all_of(const Json& object) {
  uint64_t sum = 0;
  simdjson::dom::object members;
  if (object.get_object().get(members) != simdjson::SUCCESS) return 0;
  for (const auto& [key, value] : members) sum += value.is_uint64() ? uint64_t{value} : 0;
  return sum;
}

// Where /admin/stats has which number (RFC 6901).
constexpr std::pair<uint64_t Sample::*, const char*> kNumbers[] = {
    {&Sample::pid, "/pid"},
    {&Sample::uptime_seconds, "/uptimeSeconds"},
    {&Sample::now_us, "/nowMicroseconds"},
    {&Sample::shards, "/shards"},
    {&Sample::sessions, "/sessions"},
    {&Sample::rooms, "/rooms"},
    {&Sample::sse, "/connections/sse"},
    {&Sample::ws, "/connections/ws"},
    {&Sample::poll, "/connections/poll"},
    {&Sample::http, "/connections/http"},
    {&Sample::accepted, "/accepted/clients"},
    {&Sample::lagging, "/sessionStates/lagging"},
    {&Sample::detached, "/sessionStates/detached"},
    {&Sample::published, "/events/published"},
    {&Sample::delivered, "/events/delivered"},
    {&Sample::from_history, "/events/fromHistory"},
    {&Sample::sends, "/output/sends"},
    {&Sample::frames, "/output/frames"},
    {&Sample::bytes, "/output/bytes"},
    {&Sample::blocked, "/output/blockedStreams"},
    {&Sample::held_bytes, "/output/heldBytes"},
    {&Sample::ring_capacity, "/ring/capacity"},
    {&Sample::ring_occupied, "/ring/occupied"},
    {&Sample::ring_bytes, "/ring/bytes"},
    {&Sample::ring_bytes_max, "/ring/bytesMax"},
    {&Sample::lag_events, "/store/lagEvents"},
    {&Sample::lag_us, "/store/lagMicroseconds"},
    {&Sample::backlog, "/store/backlog"},
    {&Sample::commits, "/store/syncs"},
    {&Sample::resumes, "/streams/resumes"},
    {&Sample::commands, "/commands/all"},
    {&Sample::failed, "/commands/failed"},
    {&Sample::resident_bytes, "/process/residentBytes"},
};

}  // namespace

Sample sample_of(const Json& stats) {
  Sample s;
  for (const auto& [member, pointer] : kNumbers) {
    if (stats.at_pointer(pointer).get_uint64().get(s.*member) != simdjson::SUCCESS) s.*member = 0;
  }
  s.version = client::text_at(stats, "version");
  s.epoch = client::text_at(stats, "epoch");
  s.deliver = client::text_at(stats, "deliver");
  s.draining = client::flag_at(stats, "draining");
  if (const auto o = member_at(stats, "store")) {
    s.failing = client::flag_at(*o, "failing");
    s.accepting = client::flag_at(*o, "accepting");
  }
  if (const auto o = member_at(stats, "refused")) s.refused = all_of(*o);
  if (const auto o = member_at(stats, "resets")) s.resets = all_of(*o);
  if (const auto o = member_at(stats, "shed")) s.shed = all_of(*o);
  if (const auto o = member_at(stats, "process")) {
    if (const auto cpu = member_at(*o, "cpuSeconds"); cpu && cpu->is_number()) s.cpu_seconds = double{*cpu};
  }
  if (const auto o = member_at(stats, "latency")) {
    s.write = buckets_of(*o, "write");
    s.command = buckets_of(*o, "command");
    s.store = buckets_of(*o, "store");
    s.commit = buckets_of(*o, "commit");
    s.commit_events = buckets_of(*o, "commitEvents");
    s.tick = buckets_of(*o, "tick");
  }
  return s;
}

}  // namespace twinwire::ctl
