// CommitPace beside two kinds of publishers: those who come when they come, and those who wait for the
// answer.
#include "store/pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace twinwire::store {
namespace {

constexpr uint64_t kSyncUs = 300;

struct Ran {
  double events_a_second = 0;
  double events_a_commit = 0;
  double longest_wait_us = 0;
};

// A writer with a store whose sync takes 0.3 ms, for `seconds` of an invented clock. Open: events come at
// random, `rate` a second. The last second counts.
Ran run_open(CommitPace& pace, double rate, uint64_t seconds, uint64_t& now) {
  std::mt19937_64 random(7);
  std::exponential_distribution<double> gap(rate / 1e6);
  double next = static_cast<double>(now) + gap(random);
  uint64_t end = now + seconds * 1'000'000, counted_from = end - 1'000'000;
  Ran ran;
  double commits = 0, events_counted = 0;
  while (now < end) {
    now = std::max(now, static_cast<uint64_t>(next) + 1);
    uint64_t waits = pace.wait_us(now);
    now += waits;
    uint64_t began = now, events = 0;
    for (; next <= static_cast<double>(began); next += gap(random)) events++;
    now += kSyncUs;
    pace.committed(events, began, now);
    if (began < counted_from) continue;
    commits++;
    events_counted += static_cast<double>(events);
    ran.longest_wait_us = std::max(ran.longest_wait_us, static_cast<double>(waits));
  }
  ran.events_a_second = events_counted;
  ran.events_a_commit = events_counted / commits;
  return ran;
}

// Closed: `callers` who publish again 20 µs after each answer.
Ran run_closed(CommitPace& pace, uint64_t callers, uint64_t seconds, uint64_t& now) {
  uint64_t end = now + seconds * 1'000'000, counted_from = end - 1'000'000;
  Ran ran;
  double commits = 0;
  while (now < end) {
    now += 20;
    now += pace.wait_us(now);
    uint64_t began = now;
    now += kSyncUs;
    pace.committed(callers, began, now);
    if (began < counted_from) continue;
    commits++;
    ran.events_a_second += static_cast<double>(callers);
  }
  ran.events_a_commit = ran.events_a_second / commits;
  return ran;
}

TEST(CommitPace, ManyWhoWaitForNothingShareCommits) {
  CommitPace pace(4000);
  uint64_t now = 1;
  Ran ran = run_open(pace, 2000, 20, now);
  EXPECT_GT(ran.events_a_commit, 6);
  EXPECT_GT(ran.events_a_second, 1800);
  EXPECT_LE(ran.longest_wait_us, 4000);
}

TEST(CommitPace, FewAreNeverPutOff) {
  CommitPace pace(4000);
  uint64_t now = 1;
  EXPECT_EQ(run_open(pace, 500, 20, now).longest_wait_us, 0);
}

TEST(CommitPace, WhatSharesCommitsAnywayIsNotPutOff) {
  CommitPace pace(4000);
  uint64_t now = 1;
  EXPECT_EQ(run_open(pace, 60'000, 20, now).longest_wait_us, 0);
}

TEST(CommitPace, CallersWhoWaitForTheAnswerAreNotSlowed) {
  for (uint64_t callers : {1, 2, 4, 7}) {
    CommitPace pace(4000);
    uint64_t now = 1;
    double direct = static_cast<double>(callers) * 1e6 / (kSyncUs + 20);
    EXPECT_GT(run_closed(pace, callers, 60, now).events_a_second, direct * 0.9) << callers << " callers";
  }
}

TEST(CommitPace, NoticesWhenThoseWhoWaitComeAfterThoseWhoDoNot) {
  CommitPace pace(4000);
  uint64_t now = 1;
  EXPECT_GT(run_open(pace, 2000, 20, now).events_a_commit, 6);
  EXPECT_GT(run_closed(pace, 4, 20, now).events_a_second, 4e6 / (kSyncUs + 20) * 0.8);
  // And back, at the latest when the rest is over.
  EXPECT_GT(run_open(pace, 2000, 70, now).events_a_commit, 6);
}

TEST(CommitPace, StartsDirectAfterAnIdleTime) {
  CommitPace pace(4000);
  uint64_t now = 1;
  run_open(pace, 2000, 20, now);
  now += 10'000'000;
  EXPECT_EQ(pace.wait_us(now), 0U);
}

TEST(CommitPace, ZeroIsNever) {
  CommitPace pace(0);
  uint64_t now = 1;
  EXPECT_EQ(run_open(pace, 2000, 20, now).longest_wait_us, 0);
}

}  // namespace
}  // namespace twinwire::store
