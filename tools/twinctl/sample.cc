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

}  // namespace

Sample sample_of(const Json& stats) {
  Sample s;
  s.version = client::text_at(stats, "version");
  s.epoch = client::text_at(stats, "epoch");
  s.deliver = client::text_at(stats, "deliver");
  s.pid = number_at(stats, "pid");
  s.uptime_seconds = number_at(stats, "uptimeSeconds");
  s.now_us = number_at(stats, "nowMicroseconds");
  s.shards = number_at(stats, "shards");
  s.draining = client::flag_at(stats, "draining");
  s.sessions = number_at(stats, "sessions");
  s.rooms = number_at(stats, "rooms");
  if (const auto o = member_at(stats, "connections")) {
    s.sse = number_at(*o, "sse");
    s.ws = number_at(*o, "ws");
    s.poll = number_at(*o, "poll");
    s.http = number_at(*o, "http");
  }
  if (const auto o = member_at(stats, "accepted")) s.accepted = number_at(*o, "clients");
  if (const auto o = member_at(stats, "sessionStates")) {
    s.lagging = number_at(*o, "lagging");
    s.detached = number_at(*o, "detached");
  }
  if (const auto o = member_at(stats, "events")) {
    s.published = number_at(*o, "published");
    s.delivered = number_at(*o, "delivered");
    s.from_history = number_at(*o, "fromHistory");
  }
  if (const auto o = member_at(stats, "output")) {
    s.sends = number_at(*o, "sends");
    s.frames = number_at(*o, "frames");
    s.bytes = number_at(*o, "bytes");
    s.blocked = number_at(*o, "blockedStreams");
    s.held_bytes = number_at(*o, "heldBytes");
  }
  if (const auto o = member_at(stats, "ring")) {
    s.ring_capacity = number_at(*o, "capacity");
    s.ring_occupied = number_at(*o, "occupied");
    s.ring_bytes = number_at(*o, "bytes");
    s.ring_bytes_max = number_at(*o, "bytesMax");
  }
  if (const auto o = member_at(stats, "store")) {
    s.lag_events = number_at(*o, "lagEvents");
    s.lag_us = number_at(*o, "lagMicroseconds");
    s.backlog = number_at(*o, "backlog");
    s.commits = number_at(*o, "syncs");
    s.failing = client::flag_at(*o, "failing");
    s.accepting = client::flag_at(*o, "accepting");
  }
  if (const auto o = member_at(stats, "streams")) s.resumes = number_at(*o, "resumes");
  if (const auto o = member_at(stats, "commands")) {
    s.commands = number_at(*o, "all");
    s.failed = number_at(*o, "failed");
  }
  if (const auto o = member_at(stats, "refused")) s.refused = all_of(*o);
  if (const auto o = member_at(stats, "resets")) s.resets = all_of(*o);
  if (const auto o = member_at(stats, "shed")) s.shed = all_of(*o);
  if (const auto o = member_at(stats, "process")) {
    s.resident_bytes = number_at(*o, "residentBytes");
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
