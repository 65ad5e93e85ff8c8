// The writer over the model: faults that a real disk shows too rarely.
#include <gtest/gtest.h>

#include "tests/sim/model_database.h"
#include "tests/store/harness.h"

namespace twinwire::store {
namespace {

using sim::ModelDatabase;
using sim::ModelFaults;

class WriterModel : public ::testing::Test {
 protected:
  TestClock clock;
  ModelDatabase database{7};
};

TEST_F(WriterModel, OneGroupIsOneCommitWithOneSync) {
  Life life(database, clock);
  uint64_t before = database.counts().syncs;
  std::vector<EventRef> events;
  for (int i = 0; i < 100; i++) events.push_back(life.publish({.text = std::to_string(i)}));
  EXPECT_EQ(events[0]->outcome(), Outcome::pending);
  EXPECT_TRUE(life.writer->step(clock.now_ms()));
  EXPECT_EQ(database.counts().syncs, before + 1);
  for (const EventRef& event : events) EXPECT_EQ(event->outcome(), Outcome::stored);
  EXPECT_EQ(life.durability->durable(), events.back()->sequence());
  EXPECT_EQ(life.durability->synced(), events.back()->sequence());
  EXPECT_EQ(life.durability->stored_events.load(), 100u);
  EXPECT_FALSE(life.writer->step(clock.now_ms()));
}

TEST_F(WriterModel, GroupsAreBoundedInEventsAndBytes) {
  Life::Options options;
  options.writer.group_events = 10;
  options.writer.group_bytes = 4'000;
  Life life(database, clock, 1, options);
  uint64_t before = database.counts().syncs;
  for (int i = 0; i < 35; i++) life.publish({.text = "x"});
  life.settle();
  EXPECT_GE(database.counts().syncs - before, 4u);
  before = database.counts().syncs;
  for (int i = 0; i < 3; i++) life.publish({.text = std::string(3'000, 'y')});
  life.settle();
  EXPECT_EQ(database.counts().syncs - before, 3u);  // each is larger than half a group, so each goes alone
  EXPECT_EQ(life.read_all("lobby")->events.size(), 38u);
}

TEST_F(WriterModel, DurablePassesWhatIsNotKept) {
  Life life(database, clock);
  EventRef typing = life.publish({.type = "typing", .event_class = EventClass::state});
  EXPECT_TRUE(life.writer->consume(clock.now_ms()));
  EXPECT_EQ(life.durability->durable(), typing->sequence());
  EXPECT_EQ(life.progress_passed, 1u);
  EXPECT_LT(life.durability->synced(), typing->sequence());
  EventRef kept = life.publish({});
  EventRef after = life.publish({.type = "typing", .event_class = EventClass::state});
  life.writer->consume(clock.now_ms());
  EXPECT_EQ(life.durability->durable(), kept->sequence() - 1);  // waits behind the kept one
  life.settle();
  EXPECT_EQ(life.durability->durable(), after->sequence());
  EXPECT_EQ(life.durability->synced(), after->sequence());  // settled_through covers what follows in the ring
}

TEST_F(WriterModel, AFailedCommitIsTriedAgainAndHeals) {
  Life life(database, clock);
  database.set_faults({.full = true});
  EventRef event = life.publish({});
  EXPECT_TRUE(life.writer->step(clock.now_ms()));
  EXPECT_TRUE(life.durability->failing());
  EXPECT_FALSE(life.durability->accepting());
  EXPECT_EQ(event->outcome(), Outcome::pending);
  EXPECT_FALSE(life.writer->begin(clock.now_ms())) << "backs off";
  for (int i = 0; i < 20; i++) {
    clock.advance(50);
    life.writer->step(clock.now_ms());
  }
  EXPECT_EQ(event->outcome(), Outcome::pending);
  database.set_faults({});
  clock.advance(1'000);
  life.settle();
  EXPECT_EQ(event->outcome(), Outcome::stored);
  EXPECT_FALSE(life.durability->failing());
  EXPECT_TRUE(life.durability->accepting());
}

TEST_F(WriterModel, GivesUpAfterItsTimeAndHealsWithoutTraffic) {
  Life life(database, clock);
  database.set_faults({.full = true});
  EventRef event = life.publish({.client_id = "c1"});
  EventRef ephemeral = life.publish({.type = "typing", .event_class = EventClass::ephemeral});
  for (int i = 0; i < 299; i++) {
    life.writer->step(clock.now_ms());
    clock.advance(100);
  }
  EXPECT_EQ(event->outcome(), Outcome::pending);
  EXPECT_LT(life.durability->durable(), event->sequence());
  clock.advance(200);
  life.writer->step(clock.now_ms());
  EXPECT_EQ(event->outcome(), Outcome::unsaved);
  EXPECT_EQ(life.durability->durable(), ephemeral->sequence());
  EXPECT_EQ(life.durability->unsaved_events.load(), 1u);
  EXPECT_TRUE(life.durability->failing());
  database.set_faults({});
  clock.advance(2'000);
  life.settle();
  EXPECT_FALSE(life.durability->failing());
  EXPECT_TRUE(life.durability->accepting());
  EXPECT_TRUE(life.read_all("lobby")->events.empty());
  EXPECT_FALSE(life.find("lobby", "alice", "c1").found);
  EXPECT_TRUE(life.writer->drained());
}

TEST_F(WriterModel, AFullBacklogRefusesAndAcceptsAgain) {
  Life::Options options;
  options.writer.backlog_events = 64;
  options.writer.group_events = 8;
  Life life(database, clock, 1, options);
  for (int i = 0; i < 63; i++) life.publish({});
  life.writer->consume(clock.now_ms());
  EXPECT_TRUE(life.durability->accepting());
  for (int i = 0; i < 5; i++) life.publish({});
  life.writer->consume(clock.now_ms());
  EXPECT_FALSE(life.durability->accepting());
  EXPECT_FALSE(life.durability->failing());
  EXPECT_EQ(life.durability->backlog_events.load(), 68u);
  EXPECT_EQ(life.ring->consumed_position(life.ring->writer_consumer()), life.ring->claimed())
      << "still consumes";
  life.settle();
  EXPECT_TRUE(life.durability->accepting());
  Life::Options by_bytes;
  by_bytes.writer.backlog_bytes = 10'000;
  Life other(database, clock, 1, by_bytes);
  for (int i = 0; i < 3; i++) other.publish({.text = std::string(2'000, 'z')});
  other.writer->consume(clock.now_ms());
  EXPECT_FALSE(other.durability->accepting());
  other.settle();
  EXPECT_TRUE(other.durability->accepting());
}

TEST_F(WriterModel, AStalledCommitStopsNeitherConsumingNorGivingUp) {
  Life life(database, clock);
  EventRef first = life.publish({.text = "first", .client_id = "one"});
  database.set_faults({.stalled = true});
  life.writer->step(clock.now_ms());
  EXPECT_TRUE(life.writer->in_flight());
  EventRef second = life.publish({.text = "second"});
  clock.advance(2'500);
  life.writer->step(clock.now_ms());
  EXPECT_EQ(life.ring->consumed_position(life.ring->writer_consumer()), second->sequence());
  EXPECT_TRUE(life.durability->failing());
  for (int i = 0; i < 140; i++) {
    clock.advance(200);
    life.writer->step(clock.now_ms());
  }
  EXPECT_EQ(first->outcome(), Outcome::unsaved);
  EXPECT_EQ(second->outcome(), Outcome::pending);
  EXPECT_EQ(life.durability->durable(), second->sequence() - 1);
  // The commit takes place after all: the event is there, hidden, and then removed; its id is free.
  database.set_faults({});
  EXPECT_TRUE(life.writer->finish());
  EXPECT_EQ(first->outcome(), Outcome::unsaved);
  EXPECT_EQ(database.size(Table::events), 1u);
  EXPECT_TRUE(life.read_all("lobby")->events.empty());
  EXPECT_FALSE(life.find("lobby", "alice", "one").found);
  life.settle();
  EXPECT_EQ(second->outcome(), Outcome::stored);
  EXPECT_EQ(datas(*life.read_all("lobby")), std::vector<std::string>{text_of("second")});
  EXPECT_EQ(database.size(Table::idempotency), 0u);
}

TEST_F(WriterModel, AnUnsavedIdMayBeUsedAgainEvenIfTheFirstLanded) {
  Life life(database, clock);
  database.set_faults({.fail_landed_per_mille = 1000});
  EventRef first = life.publish({.text = "first", .client_id = "one"});
  for (int i = 0; i < 400; i++) {
    life.writer->step(clock.now_ms());
    clock.advance(100);
  }
  ASSERT_EQ(first->outcome(), Outcome::unsaved);
  EXPECT_FALSE(life.find("lobby", "alice", "one").found);
  EventRef retry = life.publish({.text = "again", .client_id = "one"});
  database.set_faults({});
  clock.advance(2'000);
  life.settle();
  EXPECT_EQ(retry->outcome(), Outcome::stored);
  EXPECT_EQ(life.find("lobby", "alice", "one").sequence, retry->sequence());
  EXPECT_EQ(datas(*life.read_all("lobby")), std::vector<std::string>{text_of("again")});
}

TEST_F(WriterModel, EffectsOfAnUnsavedEventAreTakenBack) {
  Life life(database, clock);
  life.publish({.effect = EventEffect::member_added, .subject = "bob"});
  for (int i = 0; i < 3; i++) life.publish({.text = std::to_string(i)});
  life.settle();
  Sequence since = life.load_room("lobby")->members.at(0).since;
  database.set_faults({.fail_landed_per_mille = 1000});
  life.publish({.effect = EventEffect::member_removed, .subject = "bob"});
  life.publish({.effect = EventEffect::member_added, .subject = "carol"});
  life.publish({.type = "room.cleared", .effect = EventEffect::room_cleared});
  for (int i = 0; i < 400; i++) {
    life.writer->step(clock.now_ms());
    clock.advance(100);
  }
  database.set_faults({});
  clock.advance(2'000);
  life.settle();
  auto room = life.load_room("lobby");
  ASSERT_EQ(room->members.size(), 1u);
  EXPECT_EQ(room->members[0].user.text(), "bob");
  EXPECT_EQ(room->members[0].since, since);
  EXPECT_EQ(room->cleared_through, Sequence{});
  EXPECT_EQ(life.load_user("bob")->memberships.size(), 1u);
  EXPECT_TRUE(life.load_user("carol")->memberships.empty());
  EXPECT_EQ(life.read_all("lobby")->events.size(), 4u);
}

TEST_F(WriterModel, AnUnsavedEditAndReceiptAreTakenBack) {
  Life life(database, clock);
  EventRef message = life.publish({.text = "said"});
  life.publish(change(*message, "stored"));
  life.publish(receipt("bob", true, message->sequence()));
  life.settle();
  database.set_faults({.fail_landed_per_mille = 1000});
  EventRef lost = life.publish(change(*message, "lost"));
  EventRef mark = life.publish(receipt("bob", true, lost->sequence()));
  auto changes = [&life, &message] {
    ReadRequest r;
    r.room = life.room("lobby");
    r.upto = message->sequence();
    r.changes = true;
    std::string out;
    for (const MessageChange& change : life.read(r)->changes) out += change.event->data();
    return out;
  };
  for (int i = 0; i < 400; i++) {
    life.writer->step(clock.now_ms());
    EXPECT_EQ(changes(), text_of("stored")) << "not even while it is a ghost";
    clock.advance(100);
  }
  EXPECT_EQ(lost->outcome(), Outcome::unsaved);
  EXPECT_EQ(mark->outcome(), Outcome::unsaved);
  database.set_faults({});
  clock.advance(2'000);
  life.settle();
  EXPECT_EQ(changes(), text_of("stored"));
  ASSERT_EQ(life.load_room("lobby")->receipts.size(), 1u);
  EXPECT_EQ(life.load_room("lobby")->receipts[0].receipt.read, message->sequence());
}

TEST_F(WriterModel, IdleSettlesTheBarePosition) {
  Life life(database, clock);
  EventRef typing = life.publish({.type = "typing", .event_class = EventClass::state});
  life.settle();
  EXPECT_LT(life.durability->synced(), typing->sequence());
  for (int i = 0; i < 4; i++) clock.advance(4'000), life.settle();
  EXPECT_EQ(life.durability->synced(), typing->sequence());
  uint64_t syncs = database.counts().syncs;
  for (int i = 0; i < 10; i++) clock.advance(4'000), life.settle();
  EXPECT_EQ(database.counts().syncs, syncs) << "nothing moves, nothing is written";
  database.crash();
  Life next(database, clock);
  EXPECT_EQ(next.boot.settled, typing->sequence());
}

TEST_F(WriterModel, TheLeaseIsRenewedAtHalfAndSyncedFirst) {
  Life::Options options;
  options.writer.lease_step = 8000;
  Life life(database, clock, 1, options);
  Sequence first_end = life.ring->lease_end();
  EXPECT_EQ(first_end, life.boot.first + 8000);
  for (int i = 0; i < 3'900; i++) life.publish({});
  life.settle();
  EXPECT_EQ(life.ring->lease_end(), first_end);
  database.set_faults({.full = true});
  for (int i = 0; i < 200; i++) life.publish({});
  life.settle();
  EXPECT_EQ(life.ring->lease_end(), first_end) << "not before it is on disk";
  database.set_faults({});
  clock.advance(100);
  life.settle();
  EXPECT_GT(life.ring->lease_end(), first_end);
  Sequence highest = life.ring->lease_end();
  database.crash();
  Life next(database, clock, 2, options);
  EXPECT_GE(next.boot.first, highest);
}

TEST_F(WriterModel, SequencesAreNeverUsedAgainAfterACrash) {
  Sequence highest;
  int renewed = 0;
  for (int round = 0; round < 50; round++) {
    Life::Options options;
    options.writer.lease_step = 256;
    Life life(database, clock, static_cast<uint64_t>(round), options);
    EXPECT_GT(life.boot.first, highest);
    database.set_faults({.fail_per_mille = 200, .fail_landed_per_mille = 100});
    for (int i = 0; i < 150; i++) {
      EventRef event = life.encode({});
      auto claim = life.ring->try_claim(1, event->size(), Ring::Priority::control);
      if (claim) {
        highest = std::max(highest, claim->first);
        life.ring->slot(claim->first).event = nullptr;
        life.ring->slot(claim->first).kept = false;
        life.ring->publish(claim->first);
        life.ring->consumed(0, claim->first, 0);
      }
      life.writer->step(clock.now_ms());
      clock.advance(20);
    }
    if (life.ring->lease_end() > life.boot.lease_end) renewed++;
    database.set_faults({});
    database.crash();
  }
  EXPECT_GT(renewed, 25);
}

TEST_F(WriterModel, ASequenceReusedIsSeen) {
  {
    Life life(database, clock);
    life.publish({});
    life.settle();
    life.publish({});  // claimed, never stored
    database.crash();
  }
  Life::Options options;
  options.boot.mutation = Mutation::sequence_reused;
  Life next(database, clock, 2, options);
  EXPECT_EQ(next.boot.first, next.boot.settled + 1) << "the mutation does what it says";
}

TEST_F(WriterModel, StoredMeansSyncedAcrossManyCrashes) {
  std::vector<std::pair<Sequence, std::string>> stored;
  std::mt19937_64 dice(3);
  for (uint64_t round = 0; round < 200; round++) {
    Life life(database, clock, round);
    for (const auto& [sequence, text] : stored) EXPECT_LE(sequence, life.boot.settled);
    database.set_faults({.fail_per_mille = 100, .fail_landed_per_mille = 100});
    std::vector<std::pair<EventRef, std::string>> open;
    size_t steps = dice() % 30;
    for (size_t i = 0; i < steps; i++) {
      std::string text = fmt::format("{}-{}", round, i);
      open.emplace_back(life.publish({.text = text}), text);
      if (dice() % 3 == 0) life.writer->step(clock.now_ms());
      clock.advance(dice() % 40);
    }
    for (auto& [event, text] : open) {
      if (event->outcome() == Outcome::stored) stored.emplace_back(event->sequence(), text_of(text));
    }
    database.set_faults({});
    database.crash();
  }
  Life life(database, clock);
  auto answer = life.read_all("lobby");
  size_t at = 0;
  for (const auto& [sequence, text] : stored) {
    while (at < answer->events.size() && answer->events[at]->sequence() < sequence) at++;
    ASSERT_LT(at, answer->events.size());
    EXPECT_EQ(answer->events[at]->sequence(), sequence);
    EXPECT_EQ(answer->events[at]->data(), text);
  }
  EXPECT_GT(stored.size(), 500u);
}

// The test of the test above: a disk that ignores sync, and a writer that leaves it out, both lose acked
// events.
TEST_F(WriterModel, WithoutTheSyncStoredEventsAreLost) {
  for (bool deaf : {true, false}) {
    ModelDatabase other(11);
    size_t lost = 0;
    for (uint64_t round = 0; round < 50; round++) {
      Life::Options options;
      if (!deaf) options.writer.sync = Sync::no;
      Life life(other, clock, round, options);
      other.set_faults({.deaf = deaf});
      std::vector<EventRef> events;
      for (int i = 0; i < 5; i++) {
        events.push_back(life.publish({}));
        life.settle();
        EXPECT_EQ(events.back()->outcome(), Outcome::stored);
      }
      other.crash();
      other.set_faults({});
      Life next(other, clock, round);
      auto answer = next.read_all("lobby");
      Sequence last = answer->events.empty() ? Sequence{} : answer->events.back()->sequence();
      if (last < events.back()->sequence()) lost++;
    }
    EXPECT_GT(lost, 10u);
  }
}

TEST_F(WriterModel, AckBeforeSyncIsAMutationThatShows) {
  Life::Options options;
  options.writer.mutation = Mutation::ack_before_sync;
  Life life(database, clock, 1, options);
  database.set_faults({.full = true});
  EventRef event = life.publish({});
  life.writer->step(clock.now_ms());
  EXPECT_EQ(event->outcome(), Outcome::stored);
  EXPECT_EQ(database.size(Table::events), 0u);
}

}  // namespace
}  // namespace twinwire::store
