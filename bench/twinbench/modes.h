// The modes that measure targets side by side; README.md says what each does, its options and its JSON.
// 0: measured, nothing lost, repeated or reordered; 1: something was, or a part failed; 2: the run could not
// begin. Not here: replay and crash, which have files of their own.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/twinbench/target.h"

namespace twinwire::bench {

struct ConnectOptions {
  uint32_t connections = 10'000;
  uint32_t at_once = 200;
  bool hold = false;
  uint32_t hold_seconds = 20;
  uint32_t heartbeat_seconds = 60;
  bool broadcast = true;
  uint32_t bare_pairs = 15'000;
  bool growth = false;
  uint32_t few = 1000;
};
int connect(const CommonOptions& common, const ConnectOptions& options);
// Ours alone: N connections held.
int hold(const CommonOptions& common, const ConnectOptions& options);
// What a message to N connections costs over one to a few, of ours and of a bare loop.
int growth(const CommonOptions& common, const ConnectOptions& options);

struct FanoutOptions {
  std::vector<uint32_t> readers{1000};
  std::vector<uint32_t> windows{1, 16};
};
int fanout(const CommonOptions& common, const FanoutOptions& options);

struct ChatOptions {
  uint32_t rooms = 1000;  // 0: one room, all readers; said from outside
  uint32_t members = 10;
  std::vector<uint32_t> rates{2000};  // messages a second
  double seconds = 2;
};
int chat(const CommonOptions& common, const ChatOptions& options);

struct ResumeOptions {
  uint32_t clients = 10'000;
  uint32_t messages = 1000;
  uint32_t rooms = 1;
  uint32_t at_once = 1000;
  bool kill = false;
};
int resume(const CommonOptions& common, const ResumeOptions& options);

struct PublishOptions {
  uint32_t publishers = 100;
  uint32_t depth = 16;
  double seconds = 2;
  std::vector<std::string> acks{"stored", "accepted"};
  bool floors = true;
};
int publish(const CommonOptions& common, const PublishOptions& options);

struct SlowOptions {
  uint32_t readers = 10'000;
  double share = 0.1;
  uint32_t bytes_per_second = 1000;
  uint32_t rate = 20;
  double seconds = 20;
};
int slow(const CommonOptions& common, const SlowOptions& options);

struct SoakOptions {
  uint32_t readers = 500;
  uint32_t rooms = 50;
  uint32_t rate = 500;
  double seconds = 60;
  uint32_t cuts = 5;
  uint32_t kills = 0;
};
int soak(const CommonOptions& common, const SoakOptions& options);

}  // namespace twinwire::bench
