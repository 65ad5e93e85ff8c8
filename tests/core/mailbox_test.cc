// Mailbox on one thread: order, the bound of requests, replies that are never refused, what is left at the
// end. Several threads: tests/stress.
#include "core/mailbox.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace twinwire {
namespace {

struct Letter final : Mail {
  static inline int alive = 0;
  explicit Letter(int n) : number(n) { alive++; }
  ~Letter() override { alive--; }
  void run(Shard&) override {}
  int number;
};

int number_of(const MailRef& mail) { return mail ? static_cast<Letter&>(*mail).number : -1; }

TEST(Mailbox, FirstInFirstOut) {
  Mailbox box(4, 4);
  EXPECT_TRUE(box.empty());
  EXPECT_EQ(box.take(), nullptr);
  for (int i = 0; i < 4; i++) {
    MailRef mail = std::make_unique<Letter>(i);
    EXPECT_TRUE(box.try_post(mail));
    EXPECT_EQ(mail, nullptr);
    box.post_reply(std::make_unique<Letter>(100 + i));
  }
  EXPECT_FALSE(box.empty());
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(number_of(box.take()), i);
    EXPECT_EQ(number_of(box.take()), 100 + i);
  }
  EXPECT_TRUE(box.empty());
  EXPECT_EQ(Letter::alive, 0);
}

TEST(Mailbox, FullRefusesRequestsAndLeavesThemToTheCaller) {
  Mailbox box(3, 5);
  for (int i = 0; i < 3; i++) {
    MailRef mail = std::make_unique<Letter>(i);
    ASSERT_TRUE(box.try_post(mail));
  }
  MailRef late = std::make_unique<Letter>(3);
  EXPECT_FALSE(box.try_post(late));
  EXPECT_EQ(number_of(late), 3);
  // Replies have places of their own.
  for (int i = 0; i < 5; i++) box.post_reply(std::make_unique<Letter>(100 + i));
  EXPECT_FALSE(box.try_post(late));
  EXPECT_EQ(number_of(box.take()), 0);
  EXPECT_TRUE(box.try_post(late));
  MailRef more = std::make_unique<Letter>(4);
  EXPECT_FALSE(box.try_post(more));
  std::vector<int> rest;
  while (MailRef mail = box.take()) rest.push_back(number_of(mail));
  EXPECT_EQ(rest, (std::vector<int>{1, 2, 100, 101, 102, 103, 104, 3}));
}

// A taken reply frees no place for a request.
TEST(Mailbox, RepliesDoNotCountAsRequests) {
  Mailbox box(1, 3);
  MailRef mail = std::make_unique<Letter>(0);
  box.post_reply(std::make_unique<Letter>(100));
  ASSERT_TRUE(box.try_post(mail));
  EXPECT_EQ(number_of(box.take()), 100);
  mail = std::make_unique<Letter>(1);
  EXPECT_FALSE(box.try_post(mail));
  EXPECT_EQ(number_of(box.take()), 0);
  EXPECT_TRUE(box.try_post(mail));
}

TEST(Mailbox, WhatIsLeftIsFreed) {
  {
    Mailbox box(8, 8);
    for (int i = 0; i < 6; i++) {
      MailRef mail = std::make_unique<Letter>(i);
      ASSERT_TRUE(box.try_post(mail));
      box.post_reply(std::make_unique<Letter>(i));
    }
    EXPECT_EQ(Letter::alive, 12);
  }
  EXPECT_EQ(Letter::alive, 0);
}

TEST(Mailbox, ManyLapsAgainstADeque) {
  std::mt19937 random(11);
  Mailbox box(5, 6);  // 16 cells
  std::deque<std::pair<int, bool>> model;
  int next = 0;
  auto waiting = [&](bool request) {
    return std::count_if(model.begin(), model.end(), [&](auto& m) { return m.second == request; });
  };
  for (int step = 0; step < 20000; step++) {
    switch (random() % 3) {
      case 0: {
        MailRef mail = std::make_unique<Letter>(next);
        bool posted = box.try_post(mail);
        ASSERT_EQ(posted, waiting(true) < 5);
        if (posted) model.emplace_back(next++, true);
        break;
      }
      case 1:
        if (waiting(false) < 6) {
          box.post_reply(std::make_unique<Letter>(next));
          model.emplace_back(next++, false);
        }
        break;
      default: {
        ASSERT_EQ(box.empty(), model.empty());
        int got = number_of(box.take());
        ASSERT_EQ(got, model.empty() ? -1 : model.front().first);
        if (!model.empty()) model.pop_front();
      }
    }
  }
}

TEST(Mailbox, ClosuresOwnWhatTheyCapture) {
  auto shared = std::make_shared<int>(1);
  {
    Mailbox box(2, 2);
    box.post_reply(make_mail([shared](Shard&) {}));
    EXPECT_EQ(shared.use_count(), 2);
    MailRef mail = box.take();
    EXPECT_EQ(shared.use_count(), 2);
    mail.reset();
    EXPECT_EQ(shared.use_count(), 1);
    box.post_reply(make_mail([shared](Shard&) {}));
  }
  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
}  // namespace twinwire
