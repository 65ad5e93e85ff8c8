// Outboxes: what readers who wait for the same share, and that nobody gets another's bytes.
#include <algorithm>
#include <span>

#include "core/outbox.h"
#include "tests/core/outbox_fixture.h"

namespace twinwire {
namespace {

using namespace test;

TEST_F(OutboxTest, EqualQueuesAreJoinedOnceAFormAndShared) {
  std::vector<TestEvent> events;
  std::string sse, ws;
  for (uint64_t i = 1; i <= 4; i++) {
    events.emplace_back(i);
    sse += events.back().sse();
    ws += events.back().ws();
  }
  for (uint32_t c = 0; c < 10; c++) {
    open(c, c % 2 ? Form::ws : Form::sse);
    for (auto& event : events) outboxes_.push(id_of(c), event.borrow());
  }
  flush();
  for (uint32_t c = 0; c < 10; c++) {
    EXPECT_EQ(sockets_.got[c], c % 2 ? ws : sse);
    EXPECT_EQ(sockets_.addresses[c], sockets_.addresses[c % 2]) << "not shared";
  }
  EXPECT_EQ(outboxes_.joined_built, 2u);
  EXPECT_EQ(outboxes_.joined_hits, 8u);
}

// Readers of two rooms, with the same ends: nobody may get another's bytes (design, 4: 10, 12, 11).
TEST_F(OutboxTest, OnlyEqualQueuesShare) {
  std::vector<TestEvent> events;
  for (uint64_t i = 0; i < 6; i++) events.emplace_back(10 + i);
  std::vector<std::vector<int>> queues = {{0, 1, 2, 3}, {0, 2, 3}, {0, 1, 3},    {0, 3},
                                          {0, 1, 2, 3}, {1, 2, 3}, {0, 2, 1, 3}, {0, 1, 2, 3, 4},
                                          {0, 1, 2},    {0, 2, 3}};
  for (uint32_t c = 0; c < queues.size(); c++) {
    open(c);
    for (int e : queues[c]) outboxes_.push(id_of(c), events[static_cast<size_t>(e)].borrow());
  }
  flush();
  for (uint32_t c = 0; c < queues.size(); c++) {
    std::string expected;
    for (int e : queues[c]) expected += events[static_cast<size_t>(e)].sse();
    EXPECT_EQ(sockets_.got[c], expected) << c;
  }
  EXPECT_EQ(outboxes_.joined_hits, 2u);
}

// As deliveries come: each event to all its readers before the next. Readers of one room, of another, and of
// both begin alike and part: each kind still shares its bytes, and gets its own.
TEST_F(OutboxTest, KindsOfReadersThatPartShareAmongThemselves) {
  constexpr uint32_t kReaders = 30;
  std::vector<TestEvent> events;
  for (uint64_t i = 0; i < 7; i++) events.emplace_back(1 + i, 20 + i);
  // Which events each kind gets: the first two together, and the third kind parts twice.
  const std::vector<std::vector<int>> kinds = {{0, 1, 3, 4}, {0, 1, 2, 5}, {0, 1, 2, 3, 4, 6}};
  for (uint32_t c = 0; c < kReaders; c++) open(c, Form::ws);
  for (int e = 0; e < 7; e++)
    for (uint32_t c = 0; c < kReaders; c++)
      if (std::ranges::count(kinds[c % 3], e))
        outboxes_.push(id_of(c), events[static_cast<size_t>(e)].borrow());
  // One of them also has an answer, one is asked for its events, one loses them.
  outboxes_.push_raw(id_of(0), "answer");
  EXPECT_EQ(outboxes_.queued(id_of(0)), 5u);
  EXPECT_EQ(outboxes_.take_events(id_of(1)).size(), 4u);
  outboxes_.drop_events(id_of(2));
  EXPECT_EQ(outboxes_.queued(id_of(5)), 6u);
  sockets_.room[8] = events[0].ws().size() + 1;
  flush();
  for (uint32_t c = 0; c < kReaders; c++) {
    std::string expected;
    for (int e : kinds[c % 3]) expected += events[static_cast<size_t>(e)].ws();
    if (c == 0) expected += "answer";
    if (c == 1 || c == 2) expected.clear();
    if (c == 8) expected.resize(sockets_.room[8]);
    EXPECT_EQ(sockets_.got[c], expected) << c;
    if (c > 8) {
      EXPECT_EQ(sockets_.addresses[c], sockets_.addresses[3 + c % 3]) << "not shared: " << c;
    }
  }
  EXPECT_EQ(outboxes_.joined_built, 3u);
  sockets_.room.clear();
  outboxes_.on_writable(id_of(8));
  flush();
  EXPECT_EQ(sockets_.got[8], events[0].ws() + events[1].ws()) << "what had begun, and the log has the rest";
  for (TestEvent& event : events) EXPECT_EQ(event.others(), 0u);
}

// More different runs than are kept: the rest are put together alone, and still right.
TEST_F(OutboxTest, MoreRunsThanAreKept) {
  std::vector<TestEvent> events;
  for (uint64_t i = 0; i < 60; i++) events.emplace_back(1 + i, 50);
  for (int round = 0; round < 3; round++) {
    for (uint32_t c = 0; c < 30; c++) {
      if (round == 0) open(c, c % 3 ? Form::ws : Form::sse);
      outboxes_.push(id_of(c), events[c].borrow());
      outboxes_.push(id_of(c), events[c + 30].borrow());
    }
    sockets_.got.clear();
    flush();
    for (uint32_t c = 0; c < 30; c++) {
      EXPECT_EQ(sockets_.got[c],
                c % 3 ? events[c].ws() + events[c + 30].ws() : events[c].sse() + events[c + 30].sse());
    }
  }
}

// A run of one flush must not be found by the next: its events may be gone and others at their places.
TEST_F(OutboxTest, RunsEndWithTheirFlush) {
  open(0);
  open(1);
  for (uint64_t round = 0; round < 50; round++) {
    TestEvent a(2 * round + 1), b(2 * round + 2);
    for (uint32_t c : {0u, 1u}) {
      outboxes_.push(id_of(c), a.borrow());
      outboxes_.push(id_of(c), b.borrow());
    }
    sockets_.got.clear();
    flush();
    ASSERT_EQ(sockets_.got[0], a.sse() + b.sse());
    ASSERT_EQ(sockets_.got[1], a.sse() + b.sse());
  }
}

// A catch-up owns what it pushes. Readers who come back with the same cursor share that too, it is held once
// for all of them, and lets go of everything with the flush.
TEST_F(OutboxTest, ReadersWhoComeBackTogetherShare) {
  constexpr uint32_t kReaders = 20;
  std::vector<TestEvent> events;
  for (uint64_t i = 1; i <= 50; i++) events.emplace_back(i);
  TestEvent late(51), mine(52);
  std::string all;
  for (TestEvent& event : events) all += event.sse();
  for (uint32_t c = 0; c < kReaders; c++) {
    open(c, Form::sse, true);
    for (TestEvent& event : events) outboxes_.push(id_of(c), event.own());
  }
  for (TestEvent& event : std::span(events).subspan(1)) EXPECT_EQ(event.others(), 1u) << "held once";
  EXPECT_EQ(events[0].others(), kReaders) << "the first is each one's own";
  outboxes_.close(id_of(0));  // who began the run has gone
  // What comes live, borrowed, follows what was read; one has something of its own between.
  outboxes_.push(id_of(1), mine.own());
  for (uint32_t c = 1; c < kReaders; c++) outboxes_.push(id_of(c), late.borrow());
  sockets_.room[2] = events[0].sse().size() + events[1].sse().size() + 3;
  auto results = flush();
  EXPECT_EQ(results.size(), kReaders - 1);
  EXPECT_EQ(sockets_.got[1], all + mine.sse() + late.sse());
  EXPECT_EQ(sockets_.got[2], (all + late.sse()).substr(0, sockets_.room[2]));
  for (uint32_t c = 3; c < kReaders; c++) {
    EXPECT_EQ(sockets_.got[c], all + late.sse());
    EXPECT_EQ(sockets_.addresses[c], sockets_.addresses[3]) << "not shared: " << c;
  }
  EXPECT_EQ(outboxes_.joined_built, 2u);
  // What one socket has in part outlives the flush, and nothing else.
  for (size_t i = 0; i < events.size(); i++) EXPECT_EQ(events[i].others(), i == 2 ? 1u : 0u) << i;
  EXPECT_EQ(late.others() + mine.others(), 0u);
  sockets_.room.clear();
  outboxes_.on_writable(id_of(2));
  outboxes_.push(id_of(2), late.own());  // behind the rest of one: no beginning of a run
  outboxes_.push(id_of(2), mine.own());
  flush();
  EXPECT_EQ(sockets_.got[2], events[0].sse() + events[1].sse() + events[2].sse() + late.sse() + mine.sse());
  for (TestEvent& event : events) EXPECT_EQ(event.others(), 0u);
  EXPECT_EQ(late.others() + mine.others(), 0u);
}

// What is in the kernel in part is the beginning of no run, also where others wait for the same events whole.
TEST_F(OutboxTest, NoRunBeginsWithTheRestOfAnEvent) {
  TestEvent a(1, 30), b(2);
  open(0);
  open(1);
  sockets_.room[0] = 5;
  outboxes_.push(id_of(0), a.own());
  flush();
  sockets_.room.clear();
  outboxes_.on_writable(id_of(0));
  outboxes_.push(id_of(1), a.own());
  outboxes_.push(id_of(1), b.own());
  outboxes_.push(id_of(0), b.own());
  flush();
  EXPECT_EQ(sockets_.got[0], a.sse() + b.sse());
  EXPECT_EQ(sockets_.got[1], a.sse() + b.sse());
  EXPECT_EQ(a.others() + b.others(), 0u);
}

TEST_F(OutboxTest, RunsThatAreNeverFlushedLetGo) {
  TestEvent a(1), b(2);
  {
    Sockets sockets;
    Outboxes outboxes(sockets, {});
    for (uint32_t c : {0u, 1u}) {
      outboxes.open(id_of(c), 1);
      outboxes.at(id_of(c)).form = Form::sse;
      outboxes.push(id_of(c), a.own());
      outboxes.push(id_of(c), b.own());
    }
  }
  EXPECT_EQ(a.others() + b.others(), 0u);
}

}  // namespace
}  // namespace twinwire
