// What is read is what was written: events byte for byte, limits, rooms, users, idempotency ids, shared
// reads.
#include <gtest/gtest.h>

#include "store/record.h"
#include "tests/store/any_database.h"

namespace twinwire::store {
namespace {

class HistoryTest : public AnyDatabase {
 protected:
  ReadRequest request(Life& life, const std::string& room, uint64_t after, uint64_t upto) {
    ReadRequest r;
    r.room = life.room(room);
    r.after = life.boot.first + after - 1;
    r.upto = life.boot.first + upto - 1;
    return r;
  }
  // The numbers that the events' texts hold.
  static std::string numbers(const ReadAnswer& answer) {
    std::string out;
    for (const EventRef& event : answer.events) {
      std::string_view data = event->data();
      out += data.substr(9, data.size() - 11);
      out += ' ';
    }
    return out;
  }
};

TEST_P(HistoryTest, EventsComeBackByteForByte) {
  Life life(*database, clock);
  std::vector<EventRef> events;
  events.push_back(life.publish({.text = "plain"}));
  events.push_back(life.publish({.text = "its own id", .own_id = true}));
  events.push_back(life.publish({.text = "quoted \\\" and \\u0001", .client_id = "c-1", .content_hash = 42}));
  events.push_back(life.publish({.room = "\x01"
                                         "bob",
                                 .text = "inbox",
                                 .shown_room = ""}));
  events.push_back(life.publish({.text = "no user", .user = ""}));
  events.push_back(life.publish({.text = "long " + std::string(70'000, 'l')}));
  events.push_back(life.publish({.type = "room.member_removed",
                                 .kind = EventKind::removal,
                                 .effect = EventEffect::member_removed,
                                 .subject = "bob"}));
  events.push_back(life.publish({.room = "a \"room\"", .text = "x", .shown_room = "shown otherwise"}));
  life.settle();
  flush();
  for (const EventRef& event : events) {
    ReadRequest r;
    r.room = event->room();
    r.after = event->sequence() - 1;
    r.upto = event->sequence();
    auto answer = life.read(r);
    ASSERT_EQ(answer->events.size(), 1u);
    const Event& read = *answer->events[0];
    EXPECT_EQ(read.sse(), event->sse());
    EXPECT_EQ(read.ws(), event->ws());
    EXPECT_EQ(read.data(), event->data());
    EXPECT_EQ(read.sequence(), event->sequence());
    EXPECT_EQ(read.type(), event->type());
    EXPECT_EQ(read.kind(), event->kind());
    EXPECT_EQ(read.effect(), event->effect());
    EXPECT_EQ(read.exclude(), event->exclude());
    EXPECT_EQ(read.user(), event->user());
    EXPECT_EQ(read.subject(), event->subject());
    EXPECT_EQ(read.room_name(), event->room_name());
    EXPECT_EQ(read.client_id(), event->client_id());
    EXPECT_EQ(read.content_hash(), event->content_hash());
    EXPECT_EQ(read.wall_ms(), event->wall_ms());
    EXPECT_EQ(read.outcome(), Outcome::stored);
    EXPECT_TRUE(read.kept());
  }
}

TEST_P(HistoryTest, ExclusionsAndOtherTenantsComeBackToo) {
  Life life(*database, clock);
  EventDraft draft;
  draft.type = "goal.created";
  draft.data = "{}";
  draft.room = life.room("lobby");
  draft.room_name = Name("acme", "lobby");
  draft.user = Name("other", "eve");
  draft.subject = Name("third", "carol");
  draft.exclude = Exclude::connection;
  draft.exclude_session = {0x1122334455667788, 0x99aabbccddeeff00};
  EventRef event = Event::encode(draft, life.boot.epoch);
  event.mutable_event()->patch({77});
  std::string record;
  append_record(record, *event);
  RecordDecoder decoder(life.boot.epoch);
  auto read = decoder.decode(record, draft.room, {77});
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)->sse(), event->sse());
  EXPECT_EQ((*read)->user(), draft.user);
  EXPECT_EQ((*read)->subject(), draft.subject);
  EXPECT_EQ((*read)->exclude(), Exclude::connection);
  EXPECT_EQ((*read)->exclude_session(), draft.exclude_session);
  for (size_t cut = 0; cut < record.size() - 2; cut++)
    EXPECT_FALSE(decoder.decode(record.substr(0, cut), draft.room, {77}));
  record[0] = 2;
  EXPECT_FALSE(decoder.decode(record, draft.room, {77}));
}

TEST_P(HistoryTest, RangesLimitsAndNewest) {
  Life life(*database, clock);
  for (int i = 1; i <= 10; i++) {
    life.publish({.text = std::to_string(i)});
    if (i == 5) life.settle(), flush();
  }
  life.settle();
  auto r = request(life, "lobby", 0, 10);
  EXPECT_EQ(numbers(*life.read(r)), "1 2 3 4 5 6 7 8 9 10 ");
  EXPECT_FALSE(life.read(r)->more);
  r.max_events = 4;
  EXPECT_EQ(numbers(*life.read(r)), "1 2 3 4 ");
  EXPECT_TRUE(life.read(r)->more);
  r.newest = true;
  EXPECT_EQ(numbers(*life.read(r)), "7 8 9 10 ");
  EXPECT_TRUE(life.read(r)->more);
  r = request(life, "lobby", 3, 7);
  EXPECT_EQ(numbers(*life.read(r)), "4 5 6 7 ");
  r.max_events = 4;
  EXPECT_FALSE(life.read(r)->more) << "nothing of the range was cut off";
  r.newest = true;
  EXPECT_FALSE(life.read(r)->more);
  r.max_events = 3;
  EXPECT_EQ(numbers(*life.read(r)), "5 6 7 ");
  r = request(life, "lobby", 0, 10);
  r.max_bytes = 1;
  EXPECT_EQ(numbers(*life.read(r)), "1 ") << "the first comes whatever its size";
  EXPECT_TRUE(life.read(r)->more);
  r = request(life, "lobby", 10, 20);
  EXPECT_EQ(numbers(*life.read(r)), "");
  r = request(life, "nowhere", 0, 20);
  EXPECT_EQ(numbers(*life.read(r)), "");
  r.max_events = 0;
  EXPECT_EQ(numbers(*life.read(r)), "");
}

TEST_P(HistoryTest, NothingUnsettledIsRead) {
  Life life(*database, clock);
  EventRef one = life.publish({.text = "1"});
  life.settle();
  life.publish({.text = "2"});
  auto r = request(life, "lobby", 0, 100);
  EXPECT_EQ(numbers(*life.read(r)), "1 ");
  life.settle();
  EXPECT_EQ(numbers(*life.read(r)), "1 2 ") << "what is cached does not hide what came since";
}

TEST_P(HistoryTest, EqualReadsShareOneScanAndItsEvents) {
  Life life(*database, clock);
  for (int i = 1; i <= 5; i++) life.publish({.text = std::to_string(i)});
  life.settle();
  std::vector<std::shared_ptr<const ReadAnswer>> answers;
  auto ask = [&](const ReadRequest& r) {
    life.history->read(r, [&](std::shared_ptr<const ReadAnswer> a) { answers.push_back(std::move(a)); });
  };
  for (int i = 0; i < 1'000; i++) ask(request(life, "lobby", 0, 5));
  while (life.history->step()) {
  }
  ASSERT_EQ(answers.size(), 1'000u);
  EXPECT_EQ(life.history->counts().scans.load(), 1u);
  for (auto& answer : answers) EXPECT_EQ(answer->events[0].get(), answers[0]->events[0].get());
  // Later ones take it from the cache, shorter ones too, until it is old.
  ask(request(life, "lobby", 0, 5));
  ask(request(life, "lobby", 0, 2));
  while (life.history->step()) {
  }
  EXPECT_EQ(life.history->counts().scans.load(), 1u);
  EXPECT_EQ(numbers(*answers.back()), "1 2 ");
  EXPECT_FALSE(answers.back()->more);
  clock.advance(3'000);
  ask(request(life, "lobby", 0, 5));
  while (life.history->step()) {
  }
  EXPECT_EQ(life.history->counts().scans.load(), 2u);
}

// 50,000 clients that resume from one place while the room goes on: the reads do not grow with the clients.
TEST_P(HistoryTest, AStormOfResumesCostsFewScans) {
  Life life(*database, clock);
  for (int i = 1; i <= 600; i++) life.publish({.text = std::to_string(i)});
  life.settle();
  size_t complete = 0;
  uint64_t clients = 2'000;
  for (uint64_t c = 0; c < clients; c++) {
    if (c % 100 == 0) life.publish({.text = std::to_string(600 + c / 100 + 1)}), life.settle();
    uint64_t upto = 600 + c / 100 + 1, at = 0;
    for (bool more = true; more;) {
      auto answer = life.read(request(life, "lobby", at, upto));
      if (!answer->events.empty()) {
        ASSERT_EQ(answer->events.front()->sequence(), life.boot.first + at);
        at = answer->events.back()->sequence() - life.boot.first + 1;
      }
      more = answer->more;
    }
    if (at == upto) complete++;
  }
  EXPECT_EQ(complete, clients);
  EXPECT_LT(life.history->scans(), 60u);
}

TEST_P(HistoryTest, ChunksDoNotOutliveWhatTheyHold) {
  Life life(*database, clock);
  for (int i = 1; i <= 5; i++) life.publish({.text = std::to_string(i)});
  life.settle();
  auto r = request(life, "lobby", 0, 100);
  EXPECT_EQ(numbers(*life.read(r)), "1 2 3 4 5 ");
  life.publish({.text = "c", .type = "room.cleared", .effect = EventEffect::room_cleared});
  life.publish({.text = "6"});
  life.settle();
  EXPECT_EQ(numbers(*life.read(r)), "c 6 ");
  r = request(life, "lobby", 0, 5);
  EXPECT_EQ(numbers(*life.read(r)), "");
}

TEST_P(HistoryTest, RoomsMembersAndUsers) {
  Life life(*database, clock);
  RoomRecord made;
  made.kind = RoomKind::closed;
  made.title = "The Club";
  made.created_by = "alice";
  made.created_wall_ms = 123;
  EXPECT_FALSE(life.history->may_know_room(life.room("club")));
  EXPECT_FALSE(life.load_room("club")->exists);
  life.publish({.room = "club",
                .type = "room.created",
                .effect = EventEffect::room_created,
                .room_record = made.encode()});
  EventRef bob = life.publish({.room = "club", .effect = EventEffect::member_added, .subject = "bob"});
  life.publish({.room = "club", .effect = EventEffect::member_added, .subject = "carol"});
  life.publish({.room = "club", .effect = EventEffect::member_removed, .subject = "carol"});
  EventRef open = life.publish({.room = "open", .effect = EventEffect::member_added, .subject = "bob"});
  EventRef last = life.publish({.room = "club", .text = "last"});
  EventRef inbox = life.publish({.room = "\x01"
                                         "bob",
                                 .shown_room = ""});
  RoomId bob_inbox = inbox_id_of(life.boot.room_key, Name("acme", "bob"));
  EXPECT_FALSE(life.history->may_know_user(bob_inbox)) << "not before it is stored";
  life.settle();
  auto check = [&](Life& l) {
    EXPECT_TRUE(l.history->may_know_room(l.room("club")));
    EXPECT_TRUE(l.history->may_know_user(bob_inbox));
    EXPECT_FALSE(l.history->may_know_room(l.room("other")));
    auto room = l.load_room("club");
    EXPECT_TRUE(room->exists);
    EXPECT_EQ(room->kind, RoomKind::closed);
    EXPECT_EQ(room->title, "The Club");
    EXPECT_EQ(room->name, "club");
    EXPECT_EQ(room->tenant, "acme");
    EXPECT_EQ(room->created_wall_ms, 123u);
    EXPECT_EQ(room->updated_wall_ms, clock.wall_ms());
    EXPECT_EQ(room->last_kept, last->sequence());
    ASSERT_EQ(room->members.size(), 1u);
    EXPECT_EQ(room->members[0].user.text(), "bob");
    EXPECT_EQ(room->members[0].since, bob->sequence());
    auto user = l.load_user("bob");
    ASSERT_EQ(user->memberships.size(), 2u);
    for (const Membership& m : user->memberships) {
      bool club = m.room_name.text() == "club";
      EXPECT_EQ(m.kind, club ? RoomKind::closed : RoomKind::open);
      EXPECT_EQ(m.since, club ? bob->sequence() : open->sequence());
      EXPECT_EQ(m.room, l.room(std::string(m.room_name.text())));
    }
    EXPECT_EQ(user->inbox_last_kept, inbox->sequence());
    EXPECT_TRUE(l.load_user("carol")->memberships.empty());
  };
  check(life);
  reopen();
  Life next(*database, clock, 2);
  EXPECT_EQ(next.boot.room_key, life.boot.room_key);
  check(next);
}

TEST_P(HistoryTest, IdempotencyIdsOutliveARestartAndExpire) {
  Sequence first;
  {
    Life life(*database, clock);
    EXPECT_FALSE(life.history->may_know_idempotent(life.room("lobby"), Name("acme", "alice"), "id"));
    first = life.publish({.client_id = "id", .content_hash = 99})->sequence();
    life.settle();
    EXPECT_TRUE(life.history->may_know_idempotent(life.room("lobby"), Name("acme", "alice"), "id"));
  }
  reopen();
  Life life(*database, clock, 2);
  EXPECT_TRUE(life.history->may_know_idempotent(life.room("lobby"), Name("acme", "alice"), "id"));
  IdempotencyRecord found = life.find("lobby", "alice", "id");
  EXPECT_TRUE(found.found);
  EXPECT_EQ(found.sequence, first);
  EXPECT_EQ(found.content_hash, 99u);
  EXPECT_FALSE(life.find("lobby", "bob", "id").found);
  EXPECT_FALSE(life.find("other", "alice", "id").found);
  EXPECT_FALSE(life.find("lobby", "alice", "id2").found);
  clock.advance(86'400'000);
  EXPECT_FALSE(life.find("lobby", "alice", "id").found);
  reopen();
  Life later(*database, clock, 3);
  EXPECT_FALSE(later.history->may_know_idempotent(later.room("lobby"), Name("acme", "alice"), "id"));
}

TEST_P(HistoryTest, TheListOfStartsGrowsByOneEachTime) {
  Sequence settled;
  for (int run = 0; run < 4; run++) {
    Life::Options options;
    options.boot.policy = run % 2 ? DeliverPolicy::commit : DeliverPolicy::publish;
    Life life(*database, clock, static_cast<uint64_t>(run), options);
    ASSERT_EQ(life.boot.starts.size(), static_cast<size_t>(run) + 1);
    const StartRecord& start = life.boot.starts.back();
    EXPECT_EQ(start.first, life.boot.first);
    EXPECT_EQ(start.settled, settled);
    EXPECT_EQ(start.previous, run % 2 ? DeliverPolicy::publish
                              : run   ? DeliverPolicy::commit
                                      : DeliverPolicy::publish);
    settled = life.publish({})->sequence();
    life.settle();
    life.publish({});  // never stored
    reopen();
  }
}

TEST_P(HistoryTest, AnotherFormatIsRefused) {
  auto writes = database->make_write_set();
  writes->put(Table::meta, kMetaFormat, encode_sequence({2}));
  ASSERT_TRUE(database->commit(*writes, Sync::yes));
  SharedState shared{IdempotencyFilter::Options()};
  TestRandom random(1);
  auto booted = boot(*database, BootOptions(), clock, random, shared);
  ASSERT_FALSE(booted);
  EXPECT_NE(booted.error().sentence.find("format 2"), std::string::npos) << booted.error().sentence;
}

TEST_P(HistoryTest, TooManyRequestsAreRefusedAtOnce) {
  Life::Options options;
  options.history.requests_max = 3;
  Life life(*database, clock, 1, options);
  int failed = 0;
  for (int i = 0; i < 5; i++)
    life.history->read(request(life, "lobby", 0, 9), [&](auto answer) { failed += answer->failed; });
  EXPECT_EQ(failed, 2);
  while (life.history->step()) {
  }
  EXPECT_EQ(failed, 2);
  EXPECT_FALSE(life.read(request(life, "lobby", 0, 9))->failed);
}

INSTANTIATE_TEST_SUITE_P(All, HistoryTest, ::testing::Values("model", "rocksdb"),
                         [](const auto& info) { return std::string(info.param); });

// Found by fuzz_record: a length that a Name does not take is a broken value, not a broken invariant.
TEST(BrokenValues, NamesThatAreTooLongAreRefused) {
  std::string long_text(Name::kBytesMax + 1, 'n');
  std::string value = encode_room_name(Name("acme", "lobby"));
  ASSERT_TRUE(decode_room_name(value));
  std::string broken(
      "\x04"
      "acme");
  broken += static_cast<char>(long_text.size());
  EXPECT_FALSE(decode_room_name(broken + long_text));
  broken.assign(1, static_cast<char>(long_text.size()));
  EXPECT_FALSE(decode_room_name(broken + long_text + '\0'));
}

TEST(HistoryFailures, AreToldNotHidden) {
  TestClock clock;
  sim::ModelDatabase model(5);
  Life life(model, clock);
  life.publish({.client_id = "id"});
  life.settle();
  model.set_faults({.read_fail_per_mille = 1000});
  EXPECT_TRUE(life.read_all("lobby")->failed);
  EXPECT_TRUE(life.load_room("lobby")->failed);
  EXPECT_TRUE(life.load_user("bob")->failed);
  EXPECT_TRUE(life.find("lobby", "alice", "id").failed);
  model.set_faults({});
  EXPECT_FALSE(life.read_all("lobby")->failed);
  EXPECT_EQ(life.read_all("lobby")->events.size(), 1u);
}

// What a read with `changes` says of each message: its newest change.
std::string changes_of(const ReadAnswer& answer) {
  std::string out;
  for (const MessageChange& change : answer.changes)
    out += fmt::format("{}:{} ", change.message.value, change.event->data());
  return out;
}

TEST_P(HistoryTest, ChangesComeWithTheMessagesTheyAreOf) {
  Sequence one, two;
  std::string wanted;
  {
    Life life(*database, clock);
    EventRef first = life.publish({.text = "1"}), second = life.publish({.text = "2"});
    life.publish({.room = "other", .text = "3"});
    one = first->sequence(), two = second->sequence();
    life.publish(change(*first, "1a"));
    life.publish(change(*second, "2 gone", "message.deleted"));
    life.publish(change(*first, "1b"));
    life.settle();
    auto r = request(life, "lobby", 0, 100);
    EXPECT_TRUE(life.read(r)->changes.empty()) << "only who asks is told";
    r.changes = true;
    wanted = fmt::format("{}:{} {}:{} ", one.value, text_of("1b"), two.value, text_of("2 gone"));
    EXPECT_EQ(changes_of(*life.read(r)), wanted);
    r.upto = one;
    EXPECT_EQ(changes_of(*life.read(r)), fmt::format("{}:{} ", one.value, text_of("1b")));
    EXPECT_EQ(numbers(*life.read(r)), "1 ");
    // A change after a read makes the chunk old, though no new message came.
    life.publish(change(*first, "1c"));
    life.settle();
    EXPECT_EQ(changes_of(*life.read(r)), fmt::format("{}:{} ", one.value, text_of("1c")));
  }
  reopen();
  Life life(*database, clock, 2);
  auto r = request(life, "lobby", 0, 0);
  r.after = one, r.upto = two, r.changes = true;
  EXPECT_EQ(changes_of(*life.read(r)), fmt::format("{}:{} ", two.value, text_of("2 gone")));
}

// Each further change of a message lets go of those that lie below the newest settled one.
TEST_P(HistoryTest, ManyChangesOfOneMessageDoNotPileUp) {
  Life life(*database, clock);
  EventRef message = life.publish({.text = "0"}), other = life.publish({.text = "other"});
  auto stored_changes = [&] {
    size_t count = 0;
    auto read = database->scan({Table::membership, "c", "d"}, [&](std::string_view, std::string_view) {
      count++;
      return true;
    });
    EXPECT_TRUE(read);
    return count;
  };
  life.publish(change(*other, "other, once"));
  life.settle();
  auto r = request(life, "lobby", 0, 1000);
  r.changes = true;
  for (int i = 1; i <= 40; i++) {
    life.publish(change(*message, std::to_string(i)));
    life.settle();
    EXPECT_LE(stored_changes(), 3u) << i;
    EXPECT_EQ(changes_of(*life.read(r)),
              fmt::format("{}:{} {}:{} ", message->sequence().value, text_of(std::to_string(i)),
                          other->sequence().value, text_of("other, once")));
  }
  // Those of one batch stay together until the next.
  for (int i = 41; i <= 45; i++) life.publish(change(*message, std::to_string(i)));
  life.settle();
  EXPECT_LE(stored_changes(), 8u);
  life.publish(change(*message, "gone", "message.deleted"));
  life.settle();
  EXPECT_EQ(stored_changes(), 3u);
  EXPECT_EQ(changes_of(*life.read(r)), fmt::format("{}:{} {}:{} ", message->sequence().value, text_of("gone"),
                                                   other->sequence().value, text_of("other, once")));
  EXPECT_EQ(life.read_all("lobby")->events.size(), 49u) << "the events themselves are all replayed";
}

TEST_P(HistoryTest, ReceiptsAreTheLastOfEachUserAndNoEvents) {
  Sequence last;
  {
    Life life(*database, clock);
    Sequence one = life.publish({.text = "1"})->sequence();
    life.publish(receipt("bob", false, one));
    life.publish(receipt("bob", true, one));
    last = life.publish({.text = "2"})->sequence();
    EventRef mark = life.publish(receipt("bob", false, last));
    life.publish(receipt("carol", true, one));
    life.settle();
    EXPECT_EQ(mark->outcome(), Outcome::stored);
    EXPECT_EQ(life.read_all("lobby")->events.size(), 2u);
    EXPECT_EQ(life.load_room("lobby")->last_kept, last);
    life.publish({.effect = EventEffect::member_added, .subject = "carol"});
    life.publish({.effect = EventEffect::member_removed, .subject = "carol"});
    life.settle();
  }
  reopen();
  Life life(*database, clock, 2);
  auto receipts = life.load_room("lobby")->receipts;
  ASSERT_EQ(receipts.size(), 1u) << "of who was removed nothing is left";
  EXPECT_EQ(receipts[0].user.text(), "bob");
  EXPECT_EQ(receipts[0].receipt.delivered, last);
  EXPECT_LT(receipts[0].receipt.read, last);
}

}  // namespace
}  // namespace twinwire::store
