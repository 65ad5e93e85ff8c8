// The mailbox with real threads: nothing lost, nothing twice, each sender's mail in its order, requests
// refused when too many wait, replies never, and no wake-up lost. Made for ThreadSanitizer (tools/dev
// sanitize thread); a few seconds each.
#include "core/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "core/ring.h"
#include "tests/stress/bell.h"

namespace twinwire {
namespace {

struct Letter final : Mail {
  static inline std::atomic<int64_t> alive{0};
  Letter(uint32_t s, uint64_t n, bool r) : sender(s), number(n), reply(r) {
    alive.fetch_add(1, std::memory_order_relaxed);
  }
  ~Letter() override { alive.fetch_sub(1, std::memory_order_relaxed); }
  void run(Shard&) override {}
  const uint32_t sender;
  const uint64_t number;
  const bool reply;
  uint64_t plain = 0x5eed;  // not atomic: TSan sees a letter that is read before it is written
};

struct Counts {
  uint64_t refused = 0, requests = 0, replies = 0;
};

// `senders` post requests as fast as they are taken and answer whatever the owner asks of them; the owner
// holds one credit for each answer that is out.
Counts run(uint32_t senders, uint32_t requests_max, uint32_t credits_max, uint64_t requests_each) {
  Mailbox box(requests_max, credits_max);
  std::vector<std::atomic<uint64_t>> asked(senders);
  std::atomic<uint64_t> refused{0};
  std::atomic<uint32_t> posting{senders};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (uint32_t self = 0; self < senders; self++)
    threads.emplace_back([&, self] {
      std::mt19937 random(self);
      uint64_t posted = 0, answered = 0;
      while (!over.load(std::memory_order_acquire)) {
        bool idle = true;
        if (answered < asked[self].load(std::memory_order_acquire)) {
          box.post_reply(std::make_unique<Letter>(self, ++answered, true));
          idle = false;
        }
        if (posted < requests_each) {
          MailRef mail = std::make_unique<Letter>(self, posted + 1, false);
          if (box.try_post(mail)) {
            EXPECT_EQ(mail, nullptr);
            if (++posted == requests_each) posting.fetch_sub(1);
            idle = false;
          } else {
            EXPECT_NE(mail, nullptr);
            refused.fetch_add(1, std::memory_order_relaxed);
          }
        }
        if (idle)
          std::this_thread::yield();
        else
          dither(random());
      }
    });

  Counts counts;
  std::mt19937 random(99);
  std::vector<uint64_t> last_request(senders), last_reply(senders), asks(senders);
  uint32_t credits = credits_max;
  const auto end = std::chrono::steady_clock::now() + kLostAfter * 3;
  while (counts.requests < requests_each * senders || credits < credits_max) {
    MailRef mail = box.take();
    if (!mail) {
      if (std::chrono::steady_clock::now() > end) {
        ADD_FAILURE() << "stuck at " << counts.requests << " requests, " << credits << " credits";
        break;
      }
      EXPECT_LE(credits, credits_max);
      std::this_thread::yield();
      continue;
    }
    auto& letter = static_cast<Letter&>(*mail);
    EXPECT_EQ(letter.plain, 0x5eedu);
    if (letter.reply) {
      EXPECT_EQ(letter.number, last_reply[letter.sender] + 1);
      last_reply[letter.sender] = letter.number;
      credits++;
      counts.replies++;
    } else {
      EXPECT_EQ(letter.number, last_request[letter.sender] + 1);
      last_request[letter.sender] = letter.number;
      counts.requests++;
    }
    for (uint32_t n = random() % 3; n > 0 && credits > 0 && posting.load() > 0; n--, credits--) {
      uint32_t whom = random() % senders;
      asked[whom].store(++asks[whom], std::memory_order_release);
    }
  }
  over.store(true, std::memory_order_release);
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(box.empty());
  for (uint32_t s = 0; s < senders; s++) {
    EXPECT_EQ(last_request[s], requests_each);
    EXPECT_EQ(last_reply[s], asks[s]);
  }
  counts.refused = refused.load();
  return counts;
}

TEST(MailboxStress, ManySendersAndASmallBox) {
  Counts counts = run(4, 3, 5, 20000);
  EXPECT_GT(counts.refused, 0u);
  EXPECT_GT(counts.replies, 1000u);
  EXPECT_EQ(Letter::alive.load(), 0);
}

TEST(MailboxStress, ManySendersAndALargeBox) {
  Counts counts = run(6, 1000, 1000, 20000);
  EXPECT_GT(counts.replies, 1000u);
  EXPECT_EQ(Letter::alive.load(), 0);
}

// As many cells as mail may wait, and all of it waiting: a lap is met at every step.
TEST(MailboxStress, ExactlyFull) {
  Counts counts = run(3, 1, 1, 10000);
  EXPECT_GT(counts.refused, 0u);
  EXPECT_EQ(Letter::alive.load(), 0);
}

// One letter at a time, each awaited: a poster that does not see the sleeper, and a sleeper that does not see
// the letter, would wait for each other.
TEST(MailboxStress, NoWakeUpIsLost) {
  constexpr uint64_t kRounds = 50000;
  Bells bells(2);
  Ring ring({.slots = 2048, .shards = 1, .lease_end = Sequence{uint64_t{1} << 40}}, bells);
  Mailbox box(4, 4);
  std::atomic<uint64_t> got{0};
  std::atomic<bool> failed{false};
  std::thread owner([&] {
    std::mt19937 random(1);
    while (got.load() < kRounds && !failed) {
      if (MailRef mail = box.take()) {
        got.fetch_add(1);
        continue;
      }
      dither(random());
      ring.set_sleeping(0, true);
      if (box.empty() && !bells[0].wait() && !failed.exchange(true))
        ADD_FAILURE() << "not woken for letter " << got.load() + 1;
      ring.set_sleeping(0, false);
    }
  });
  std::mt19937 random(2);
  for (uint64_t i = 1; i <= kRounds && !failed; i++) {
    dither(random());
    if (i % 2) {
      box.post_reply(std::make_unique<Letter>(0, i, true));
    } else {
      MailRef mail = std::make_unique<Letter>(0, i, false);
      EXPECT_TRUE(box.try_post(mail));
    }
    ring.wake_if_sleeping(0);
    while (got.load() < i && !failed) std::this_thread::yield();
  }
  owner.join();
  EXPECT_EQ(Letter::alive.load(), 0);
}

}  // namespace
}  // namespace twinwire
