// Outboxes: what is sent, kept, dropped and freed. What readers share of it: outbox_runs_test.cc.
#include "core/outbox.h"

#include <random>

#include "tests/core/outbox_fixture.h"

namespace twinwire {
namespace {

using namespace std::string_literals;
using namespace test;

TEST_F(OutboxTest, OneEventInEachForm) {
  TestEvent event(5);
  open(0, Form::sse);
  open(1, Form::ws);
  outboxes_.push(id_of(0), event.borrow());
  outboxes_.push(id_of(1), event.borrow());
  EXPECT_TRUE(outboxes_.anything_dirty());
  EXPECT_EQ(outboxes_.queued(id_of(0)), 1u);
  EXPECT_TRUE(flush().empty());
  EXPECT_EQ(sockets_.got[0], event.sse());
  EXPECT_EQ(sockets_.got[1], event.ws());
  // A single event needs no copy: the event's own bytes are sent.
  EXPECT_EQ(sockets_.addresses[0], event.get()->sse().data());
  EXPECT_EQ(event.others(), 0u);
  EXPECT_FALSE(outboxes_.anything_dirty());
  EXPECT_EQ(outboxes_.queued(id_of(0)), 0u);
  flush();
  EXPECT_EQ(sockets_.got[0], event.sse());
  EXPECT_EQ(outboxes_.sends, 2u);
  EXPECT_EQ(outboxes_.frames, 2u);
  EXPECT_EQ(outboxes_.bytes, event.sse().size() + event.ws().size());
}

TEST_F(OutboxTest, OneSendATickInTheOrderOfThePushes) {
  open(0, Form::ws);
  std::vector<TestEvent> events;
  std::string expected;
  for (uint64_t i = 1; i <= 20; i++) {
    events.emplace_back(i, i * 3);
    outboxes_.push(id_of(0), i % 2 ? events.back().borrow() : events.back().own());
    expected += events.back().ws();
    if (i % 5 == 0) {
      outboxes_.push_raw(id_of(0), "raw" + std::to_string(i));
      expected += "raw" + std::to_string(i);
    }
  }
  EXPECT_EQ(outboxes_.queued(id_of(0)), 24u);
  flush();
  EXPECT_EQ(sockets_.got[0], expected);
  EXPECT_EQ(outboxes_.sends, 1u);
  EXPECT_EQ(outboxes_.frames, 24u);
  for (auto& event : events) EXPECT_EQ(event.others(), 0u);
}

// A socket that takes `cut` bytes of three events with raw bytes between: for every cut, what has begun is
// finished, events behind it are dropped (the log has them), raw bytes are kept, and every reference comes
// back.
TEST_F(OutboxTest, ShortSendsAtEveryByte) {
  TestEvent a(7, 5), b(8, 9), c(9, 1);
  const std::string raw = "RAW", late = "LATE";
  const std::string all = a.sse() + raw + b.sse() + c.sse() + late;
  for (size_t cut = 0; cut < all.size(); cut++) {
    for (bool owned : {false, true}) {
      sockets_ = Sockets();
      sockets_.outboxes = &outboxes_;
      sockets_.room[0] = cut;
      open(0, Form::sse, true);
      auto entry = [&](TestEvent& event) { return owned ? event.own() : event.borrow(); };
      outboxes_.push(id_of(0), entry(a));
      outboxes_.push_raw(id_of(0), raw);
      outboxes_.push(id_of(0), entry(b));
      outboxes_.push(id_of(0), entry(c));
      outboxes_.push_raw(id_of(0), late);
      auto results = flush();
      ASSERT_EQ(results.size(), 1u);
      const FlushResult result = results[0];
      EXPECT_EQ(result.connection, id_of(0));
      EXPECT_FALSE(result.whole);

      // By hand: where each frame ends, and which ones remain.
      size_t end_a = a.sse().size(), end_raw = end_a + raw.size(), end_b = end_raw + b.sse().size(),
             end_c = end_b + c.sse().size();
      uint64_t last = cut >= end_c ? 9 : cut >= end_b ? 8 : cut >= end_a ? 7 : 0;
      uint64_t unsent = cut < end_a ? 7 : cut < end_b ? 8 : cut < end_c ? 9 : 0;
      EXPECT_EQ(result.last_sent.value, last) << cut;
      EXPECT_EQ(result.first_unsent.value, unsent) << cut;
      EXPECT_EQ(sockets_.got[0], all.substr(0, cut));
      EXPECT_EQ(sockets_.wants_writable, std::vector<uint32_t>{0});
      bool partial_a =
          cut > 0 && cut<end_a, partial_b = cut> end_raw && cut<end_b, partial_c = cut> end_b && cut < end_c;
      EXPECT_EQ(a.others(), partial_a ? 1u : 0u) << cut;
      EXPECT_EQ(b.others(), partial_b ? 1u : 0u) << cut;
      EXPECT_EQ(c.others(), partial_c ? 1u : 0u) << cut;

      // Blocked: nothing is tried until the socket takes bytes again.
      EXPECT_FALSE(outboxes_.anything_dirty());
      flush();
      EXPECT_EQ(sockets_.got[0], all.substr(0, cut));
      sockets_.room.clear();
      outboxes_.on_writable(id_of(0));
      results = flush();
      ASSERT_EQ(results.size(), 1u);
      EXPECT_TRUE(results[0].whole);
      EXPECT_EQ(results[0].last_sent.value, partial_a ? 7u : partial_b ? 8u : partial_c ? 9u : 0u);
      std::string expected = all.substr(0, cut);
      if (partial_a) expected += a.sse().substr(cut);
      if (cut < end_raw) expected += raw.substr(cut > end_a ? cut - end_a : 0);
      if (partial_b) expected += b.sse().substr(cut - end_raw);
      if (partial_c) expected += c.sse().substr(cut - end_b);
      expected += late.substr(cut > end_c ? cut - end_c : 0);
      EXPECT_EQ(sockets_.got[0], expected) << cut;
      for (auto* event : {&a, &b, &c}) EXPECT_EQ(event->others(), 0u) << cut;
      outboxes_.close(id_of(0));
    }
  }
}

// One byte at a time, to the end: raw bytes come out whole, the partly sent event too.
TEST_F(OutboxTest, AByteAtATime) {
  TestEvent event(3, 30);
  open(0, Form::ws, true);
  outboxes_.push(id_of(0), event.borrow());
  outboxes_.push_raw(id_of(0), "tail");
  sockets_.room[0] = 1;
  const std::string all = event.ws() + "tail";
  for (size_t i = 0; i < all.size(); i++) {
    if (i) outboxes_.on_writable(id_of(0));
    auto results = flush();
    ASSERT_EQ(sockets_.got[0], all.substr(0, i + 1));
    ASSERT_EQ(results.size(), 1u);
    ASSERT_EQ(results[0].whole, i + 1 == all.size());
    if (i + 1 < event.ws().size()) {
      ASSERT_EQ(event.others(), 1u);
      ASSERT_EQ(results[0].last_sent, Sequence{0});
      ASSERT_EQ(results[0].first_unsent, Sequence{3});
    } else {
      ASSERT_EQ(event.others(), 0u);
    }
  }
}

// While blocked, what is pushed outlives the tick.
TEST_F(OutboxTest, PushesWhileBlockedAreOwned) {
  TestEvent a(1), b(2);
  open(0);
  sockets_.room[0] = 3;
  outboxes_.push(id_of(0), a.borrow());
  flush();
  EXPECT_EQ(a.others(), 1u);
  outboxes_.push(id_of(0), b.borrow());
  EXPECT_EQ(b.others(), 1u);
  EXPECT_FALSE(outboxes_.anything_dirty());
  sockets_.room.clear();
  outboxes_.on_writable(id_of(0));
  flush();
  EXPECT_EQ(sockets_.got[0], a.sse() + b.sse());
  EXPECT_EQ(a.others() + b.others(), 0u);
}

TEST_F(OutboxTest, AttentionTellsTheLastOneSent) {
  TestEvent a(4), b(9);
  open(0, Form::sse, true);
  open(1, Form::sse, false);
  for (uint32_t c : {0u, 1u}) {
    outboxes_.push(id_of(c), a.borrow());
    outboxes_.push(id_of(c), b.borrow());
    outboxes_.push_raw(id_of(c), "r");
  }
  auto results = flush();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].connection, id_of(0));
  EXPECT_TRUE(results[0].whole);
  EXPECT_EQ(results[0].last_sent, Sequence{9});
  EXPECT_EQ(results[0].first_unsent, Sequence{0});
  outboxes_.push_raw(id_of(0), "only raw");
  results = flush();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].last_sent, Sequence{0});
}

TEST_F(OutboxTest, DropEventsKeepsRawAndWhatHasBegun) {
  TestEvent a(1), b(2), inbox(3, 4, inbox_name_of(Name("t", "u")));
  open(0);
  outboxes_.push(id_of(0), a.own());
  outboxes_.push_raw(id_of(0), "one");
  outboxes_.push(id_of(0), b.borrow());
  outboxes_.push_raw(id_of(0), "two");
  EXPECT_FALSE(drops_inbox(0));
  EXPECT_EQ(a.others(), 0u);
  EXPECT_EQ(outboxes_.queued(id_of(0)), 2u);
  outboxes_.push(id_of(0), inbox.own());
  EXPECT_TRUE(drops_inbox(0));
  EXPECT_EQ(inbox.others(), 0u);
  EXPECT_FALSE(drops_inbox(0));
  flush();
  EXPECT_EQ(sockets_.got[0], "onetwo");
  // An event partly in the kernel stays, the rest goes.
  sockets_.got.clear();
  sockets_.room[0] = 2;
  outboxes_.push(id_of(0), a.borrow());
  flush();
  outboxes_.push(id_of(0), b.borrow());
  outboxes_.push(id_of(0), inbox.borrow());
  EXPECT_TRUE(drops_inbox(0));
  EXPECT_EQ(b.others(), 0u);
  sockets_.room.clear();
  outboxes_.on_writable(id_of(0));
  flush();
  EXPECT_EQ(sockets_.got[0], a.sse());
  // Nothing there: nothing happens.
  EXPECT_FALSE(drops_inbox(0));
  EXPECT_EQ(outboxes_.queued(id_of(0)), 0u);
}

TEST_F(OutboxTest, AShortSendTellsOfADroppedInboxEvent) {
  TestEvent a(1, 20), inbox(2, 4, inbox_name_of(Name("t", "u")));
  open(0);
  sockets_.room[0] = 5;
  outboxes_.push(id_of(0), a.borrow());
  outboxes_.push(id_of(0), inbox.borrow());
  auto results = flush();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].dropped_inbox);
}

TEST_F(OutboxTest, TakeEventsLeavesRaw) {
  TestEvent a(1), b(2), c(3);
  open(0, Form::poll);
  outboxes_.push(id_of(0), a.borrow());
  outboxes_.push_raw(id_of(0), "head");
  outboxes_.push(id_of(0), b.own());
  outboxes_.push(id_of(0), c.borrow());
  {
    auto events = outboxes_.take_events(id_of(0));
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(events[0].get(), a.get());
    EXPECT_EQ(events[1].get(), b.get());
    EXPECT_EQ(events[2].get(), c.get());
    for (auto* event : {&a, &b, &c}) EXPECT_EQ(event->others(), 1u);
  }
  for (auto* event : {&a, &b, &c}) EXPECT_EQ(event->others(), 0u);
  EXPECT_EQ(outboxes_.queued(id_of(0)), 1u);
  EXPECT_TRUE(outboxes_.take_events(id_of(0)).empty());
  flush();
  EXPECT_EQ(sockets_.got[0], "head");
}

TEST_F(OutboxTest, CloseWhenFlushed) {
  TestEvent event(1, 40);
  open(0);
  outboxes_.push(id_of(0), event.borrow());
  outboxes_.close_when_flushed(id_of(0));
  outboxes_.push_raw(id_of(0), "too late");
  sockets_.room[0] = 10;
  flush();
  EXPECT_TRUE(sockets_.closed.empty());
  sockets_.room.clear();
  outboxes_.on_writable(id_of(0));
  flush();
  EXPECT_EQ(sockets_.got[0], event.sse());
  EXPECT_EQ(sockets_.closed, std::vector<uint32_t>{0});
  outboxes_.close_when_flushed(id_of(0));
  flush();
  EXPECT_EQ(sockets_.closed, std::vector<uint32_t>{0});
  // With nothing to send it closes too.
  open(1);
  outboxes_.close_when_flushed(id_of(1));
  flush();
  EXPECT_EQ(sockets_.closed, (std::vector<uint32_t>{0, 1}));
}

TEST_F(OutboxTest, ClosingFreesEverythingAndTakesNothingMore) {
  TestEvent a(1), b(2);
  open(3);
  EXPECT_TRUE(outboxes_.is_open(id_of(3)));
  EXPECT_TRUE(outboxes_.is_open(id_of(3), 1));
  EXPECT_FALSE(outboxes_.is_open(id_of(3), 2));
  EXPECT_FALSE(outboxes_.is_open(id_of(2)));
  EXPECT_FALSE(outboxes_.is_open(id_of(77)));
  outboxes_.push(id_of(3), a.own());
  outboxes_.push_raw(id_of(3), "raw");
  outboxes_.push(id_of(3), b.own());
  outboxes_.close(id_of(3));
  EXPECT_EQ(a.others() + b.others(), 0u);
  outboxes_.push(id_of(3), a.own());
  EXPECT_EQ(a.others(), 0u);
  outboxes_.push_raw(id_of(3), "raw");
  flush();
  EXPECT_TRUE(sockets_.got.empty());
  outboxes_.on_writable(id_of(3));  // a completion that was on its way
  EXPECT_FALSE(outboxes_.anything_dirty());
  outboxes_.open(id_of(3), 2);
  EXPECT_TRUE(outboxes_.is_open(id_of(3), 2));
  EXPECT_EQ(outboxes_.queued(id_of(3)), 0u);
}

// A connection that closed and came again between push and flush: the old one's place in the list is
// harmless.
TEST_F(OutboxTest, ReopenedBeforeTheFlush) {
  TestEvent a(1), b(2);
  open(0);
  outboxes_.push(id_of(0), a.borrow());
  outboxes_.close(id_of(0));
  open(0);
  outboxes_.push(id_of(0), b.borrow());
  flush();
  EXPECT_EQ(sockets_.got[0], b.sse());
}

TEST_F(OutboxTest, WhatIsLeftAtTheEndIsFreed) {
  TestEvent a(1), b(2);
  {
    Sockets sockets;
    Outboxes outboxes(sockets, {});
    outboxes.open(id_of(0), 1);
    outboxes.at(id_of(0)).form = Form::sse;
    outboxes.push(id_of(0), a.own());
    outboxes.push(id_of(0), b.own());
    outboxes.push_raw(id_of(0), "raw");
  }
  EXPECT_EQ(a.others() + b.others(), 0u);
}

TEST_F(OutboxTest, Overfull) {
  TestEvent event(1, 5000);
  open(0);
  EXPECT_FALSE(outboxes_.overfull(id_of(0)));
  outboxes_.push(id_of(0), event.borrow());
  EXPECT_FALSE(outboxes_.overfull(id_of(0)));  // events have their own bound
  outboxes_.push_raw(id_of(0), std::string(1000 - Outboxes::kRawCost, 'r'));
  EXPECT_FALSE(outboxes_.overfull(id_of(0)));
  outboxes_.push_raw(id_of(0), "r");
  EXPECT_TRUE(outboxes_.overfull(id_of(0)));
  flush();
  EXPECT_FALSE(outboxes_.overfull(id_of(0)));
}

// Answers of two bytes cost their memory too, and a peer that reads nothing of them costs no time for each
// one that waits.
TEST(Outboxes, TinyAnswersWithoutEnd) {
  Sockets sockets;
  Outboxes outboxes(sockets, {});
  sockets.outboxes = &outboxes;
  outboxes.open(id_of(0), 1);
  outboxes.at(id_of(0)).form = Form::ws;
  sockets.room[0] = 0;
  outboxes.push_raw(id_of(0), "first");
  outboxes.flush();
  uint32_t pushed = 0;
  for (; !outboxes.overfull(id_of(0)) && pushed < 1'000'000; pushed++)
    outboxes.push_raw(id_of(0), "\x8a\x00"s);
  EXPECT_LT(pushed, 30'000u);
  // As much as fits is taken at once, and makes room for as many.
  sockets.room[0] = 5 + 2 * 1000 + 1;
  outboxes.on_writable(id_of(0));
  outboxes.flush();
  EXPECT_FALSE(outboxes.overfull(id_of(0)));
  EXPECT_EQ(outboxes.queued(id_of(0)), pushed - 1000);
  sockets.room.erase(0);
  outboxes.on_writable(id_of(0));
  outboxes.flush();
  EXPECT_EQ(sockets.got[0].size(), 5 + 2 * size_t{pushed});
  EXPECT_EQ(outboxes.queued(id_of(0)), 0u);
  for (uint32_t i = 0; i < 1000; i++) outboxes.push_raw(id_of(0), "\x8a\x00"s);
  EXPECT_FALSE(outboxes.overfull(id_of(0))) << "nothing of what has gone is counted still";
}

// Many connections, random pushes, rooms, cuts, drops and closes: every stream is a sequence of whole frames,
// strictly increasing, raw bytes complete and in order, and no reference is left.
TEST_F(OutboxTest, RandomOperations) {
  std::mt19937_64 random(9);
  constexpr uint32_t kConnections = 12;
  std::vector<std::unique_ptr<TestEvent>> all;
  std::vector<std::string> raw_expected(kConnections);
  for (uint32_t c = 0; c < kConnections; c++) open(c, c % 2 ? Form::ws : Form::sse, true);
  auto tick = [&] {
    std::vector<TestEvent*> events;
    for (uint64_t n = random() % 5; n > 0; n--) {
      all.push_back(std::make_unique<TestEvent>(all.size() + 1, random() % 60));
      events.push_back(all.back().get());
    }
    for (TestEvent* event : events) {
      uint64_t mask = random() % 3 ? UINT64_MAX : random();  // often everyone, sometimes some
      for (uint32_t c = 0; c < kConnections; c++)
        if (mask >> c & 1) outboxes_.push(id_of(c), random() % 8 ? event->borrow() : event->own());
    }
    for (uint32_t c = 0; c < kConnections; c++) {
      if (random() % 20 == 0) {
        std::string raw = "<" + std::to_string(random() % 1000) + ">";
        outboxes_.push_raw(id_of(c), raw);
        raw_expected[c] += raw;
      }
      if (random() % 50 == 0) outboxes_.drop_events(id_of(c));
      if (random() % 4 == 0) sockets_.room[c] = random() % 200;
      if (random() % 2 == 0) sockets_.room.erase(c);
    }
    for (uint32_t c : std::exchange(sockets_.wants_writable, {})) {
      if (random() % 2)
        outboxes_.on_writable(id_of(c));
      else
        sockets_.wants_writable.push_back(c);
    }
    flush();
  };
  for (int i = 0; i < 3000; i++) tick();
  sockets_.room.clear();
  for (uint32_t c : std::exchange(sockets_.wants_writable, {})) outboxes_.on_writable(id_of(c));
  flush();
  for (auto& event : all) ASSERT_EQ(event->others(), 0u);
  for (uint32_t c = 0; c < kConnections; c++) {
    std::string_view rest = sockets_.got[c];
    std::string raw_got;
    uint64_t last = 0, frames = 0;
    while (!rest.empty()) {
      if (rest[0] == '<') {
        size_t end = rest.find('>');
        ASSERT_NE(end, std::string_view::npos);
        raw_got += rest.substr(0, end + 1);
        rest.remove_prefix(end + 1);
        continue;
      }
      size_t at = rest.find(R"("eventId":"000000000001-)");
      ASSERT_NE(at, std::string_view::npos);
      uint64_t sequence = std::strtoull(std::string(rest.substr(at + 24, 14)).c_str(), nullptr, 16);
      ASSERT_GT(sequence, last) << "connection " << c;
      last = sequence;
      std::string frame = c % 2 ? all[sequence - 1]->ws() : all[sequence - 1]->sse();
      ASSERT_EQ(rest.substr(0, frame.size()), frame);
      rest.remove_prefix(frame.size());
      frames++;
    }
    EXPECT_EQ(raw_got, raw_expected[c]);
    EXPECT_GT(frames, 500u);
  }
  EXPECT_GT(outboxes_.joined_hits, 1000u);
  EXPECT_GT(outboxes_.shorts, 100u);
}

TEST(Entry, KindsAndLifetimes) {
  Entry none;
  EXPECT_TRUE(none.empty());
  TestEvent event(6);
  Entry entry = event.borrow();
  EXPECT_FALSE(entry.empty());
  EXPECT_FALSE(entry.is_raw());
  EXPECT_EQ(entry.event(), event.get());
  EXPECT_EQ(entry.sequence(), Sequence{6});
  EXPECT_EQ(entry.bytes(Form::sse), event.sse());
  EXPECT_EQ(entry.bytes(Form::ws), event.ws());
  EXPECT_EQ(event.others(), 0u);
  entry.keep();
  entry.keep();
  EXPECT_EQ(event.others(), 1u);
  EXPECT_EQ(entry.event(), event.get());
  entry.release();
  EXPECT_TRUE(entry.empty());
  EXPECT_EQ(event.others(), 0u);
  entry = event.borrow();
  entry.release();
  EXPECT_EQ(event.others(), 0u);
  entry = Entry::raw(std::string_view("a\0b", 3));
  EXPECT_TRUE(entry.is_raw());
  EXPECT_EQ(entry.sequence(), Sequence{0});
  EXPECT_EQ(entry.bytes(Form::ws), std::string_view("a\0b", 3));
  entry.keep();
  entry.release();
}

// What operators see of slow readers: every way in and out of a full socket leaves the sums right.
TEST_F(OutboxTest, CountsFullSocketsAndWhatTheyHold) {
  TestEvent event(5);
  open(0, Form::sse);
  open(1, Form::ws);
  sockets_.room[0] = 3;
  sockets_.room[1] = 0;
  outboxes_.push(id_of(0), event.borrow());
  outboxes_.push_raw(id_of(1), "answer");
  flush();
  uint64_t partial = event.sse().size() - 3;
  EXPECT_EQ(outboxes_.blocked_now(), 2u);
  EXPECT_EQ(outboxes_.held_bytes(), partial + 6);
  // What comes for a full socket adds up; log events are dropped whole.
  TestEvent second(6);
  outboxes_.push(id_of(0), second.borrow());
  outboxes_.push_raw(id_of(0), "four");
  EXPECT_EQ(outboxes_.held_bytes(), partial + second.sse().size() + 4 + 6);
  outboxes_.drop_events(id_of(0));
  EXPECT_EQ(outboxes_.held_bytes(), partial + 4 + 6);
  // A short send again, then all of it.
  outboxes_.on_writable(id_of(0));
  EXPECT_EQ(outboxes_.blocked_now(), 1u);
  flush();
  EXPECT_EQ(outboxes_.blocked_now(), 2u);
  EXPECT_EQ(outboxes_.held_bytes(), partial - 3 + 4 + 6);
  sockets_.room[0] = SIZE_MAX;
  outboxes_.on_writable(id_of(0));
  flush();
  EXPECT_EQ(sockets_.got[0], event.sse() + "four");
  EXPECT_EQ(outboxes_.blocked_now(), 1u);
  EXPECT_EQ(outboxes_.held_bytes(), 6u);
  outboxes_.close(id_of(1));
  EXPECT_EQ(outboxes_.blocked_now(), 0u);
  EXPECT_EQ(outboxes_.held_bytes(), 0u);
}

TEST_F(OutboxTest, TakingAPollsEventsFromAFullSocketKeepsTheSum) {
  TestEvent event(5);
  open(0, Form::poll);
  sockets_.room[0] = 2;
  outboxes_.push_raw(id_of(0), "answer");
  flush();
  EXPECT_EQ(outboxes_.held_bytes(), 4u);
  outboxes_.push(id_of(0), event.borrow());
  EXPECT_EQ(outboxes_.take_events(id_of(0)).size(), 1u);
  EXPECT_EQ(outboxes_.held_bytes(), 4u);
  outboxes_.on_writable(id_of(0));
  EXPECT_EQ(outboxes_.held_bytes(), 0u);
}

}  // namespace
}  // namespace twinwire
