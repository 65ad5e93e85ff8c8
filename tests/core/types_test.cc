// Strong types: the text forms of cursors and session ids, names and their counts, the keyed hash of rooms.
#include "core/types.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/hash_key.h"

namespace twinwire {
namespace {

TEST(Cursor, TextForm) {
  Cursor cursor{Epoch{0x9c1f00d2ab37}, Sequence{0x2a91c4e1}};
  EXPECT_EQ(cursor.text(), "9c1f00d2ab37-0000002a91c4e1");
  EXPECT_EQ(cursor.text().size(), Cursor::kTextSize);
  EXPECT_EQ(Cursor::parse("9c1f00d2ab37-0000002a91c4e1"), cursor);
  EXPECT_EQ((Cursor{}.text()), "000000000000-00000000000000");
  EXPECT_EQ((Cursor{Epoch{0xffffffffffff}, kSequenceMax}.text()), "ffffffffffff-1fffffffffffff");
}

TEST(Cursor, EveryBitSurvives) {
  for (int bit = 0; bit < 53; bit++) {
    Cursor cursor{Epoch{uint64_t{1} << (bit % 48)}, Sequence{uint64_t{1} << bit}};
    auto parsed = Cursor::parse(cursor.text());
    ASSERT_TRUE(parsed) << cursor.text();
    EXPECT_EQ(*parsed, cursor);
  }
}

TEST(Cursor, TextOrdersLikeTheSequence) {
  Epoch epoch{0xabc};
  uint64_t values[] = {
      0, 1, 9, 10, 15, 16, 255, 256, 0xfffffff, 0x10000000, kSequenceMax.value - 1, kSequenceMax.value};
  for (size_t i = 1; i < std::size(values); i++)
    EXPECT_LT((Cursor{epoch, {values[i - 1]}}.text()), (Cursor{epoch, {values[i]}}.text()));
}

TEST(Cursor, RefusesEveryOtherText) {
  const std::string good = "9c1f00d2ab37-0000002a91c4e1";
  ASSERT_TRUE(Cursor::parse(good));
  for (std::string bad :
       {"", "earliest", "0", "9c1f00d2ab37", "9c1f00d2ab37-", "-0000002a91c4e1", "9c1f00d2ab37-0000002a91c4e",
        "9c1f00d2ab37-0000002a91c4e10", "9C1F00D2AB37-0000002A91C4E1", " c1f00d2ab37-0000002a91c4e1",
        "9c1f00d2ab370-000002a91c4e1", "9c1f00d2ab37_0000002a91c4e1", "9c1f00d2ab37-20000000000000",
        "9c1f00d2ab37-ffffffffffffff"})
    EXPECT_FALSE(Cursor::parse(bad)) << bad;
  for (size_t at = 0; at < good.size(); at++) {
    if (at == 12) continue;
    for (char wrong : {'g', '/', ':', '`', '@', 'A', '-', '\0', '\xff'}) {
      std::string bad = good;
      bad[at] = wrong;
      EXPECT_FALSE(Cursor::parse(bad)) << bad;
    }
  }
}

TEST(SessionId, TextForm) {
  SessionId id{0x0123456789abcdef, 0xfedcba9876543210};
  EXPECT_EQ(id.text(), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(SessionId::parse(id.text()), id);
  EXPECT_FALSE(id.none());
  EXPECT_TRUE(SessionId{}.none());
  EXPECT_FALSE((SessionId{0, 1}.none()));
  EXPECT_FALSE((SessionId{1, 0}.none()));
}

TEST(SessionId, RefusesEveryOtherText) {
  for (std::string bad : {"", "0123456789abcdeffedcba987654321", "0123456789abcdeffedcba98765432100",
                          "0123456789ABCDEFfedcba9876543210", "0123456789abcdef-edcba9876543210",
                          "g123456789abcdeffedcba9876543210", "0123456789abcdeffedcba987654321 "})
    EXPECT_FALSE(SessionId::parse(bad)) << bad;
}

TEST(Sequence, Arithmetic) {
  EXPECT_EQ(Sequence{5} + 3, Sequence{8});
  EXPECT_EQ(Sequence{5} - 3, Sequence{2});
  EXPECT_EQ(Sequence{5} - Sequence{3}, 2u);
  EXPECT_LT(Sequence{5}, Sequence{6});
  EXPECT_EQ(kSequenceMax.value, 9007199254740991u);
}

TEST(Name, HoldsTenantAndText) {
  Name name("acme", "lobby");
  EXPECT_TRUE(name);
  EXPECT_EQ(name.tenant(), "acme");
  EXPECT_EQ(name.text(), "lobby");
  EXPECT_TRUE(name.is("acme", "lobby"));
  EXPECT_FALSE(name.is("acme", "lobb"));
  EXPECT_EQ(name.hash(), Name::hash_of("acme", "lobby"));
  Name none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.text(), "");
  EXPECT_EQ(none.tenant(), "");
}

TEST(Name, EqualOnlyWhenBothPartsAre) {
  EXPECT_EQ(Name("t", "a"), Name("t", "a"));
  EXPECT_NE(Name("t", "a"), Name("t", "b"));
  EXPECT_NE(Name("t", "a"), Name("u", "a"));
  EXPECT_NE(Name("ab", "c"), Name("a", "bc"));
  EXPECT_NE(Name("", "a"), Name());
  EXPECT_NE(Name(), Name("", "a"));
  EXPECT_EQ(Name(), Name());
  EXPECT_TRUE(Name("", ""));
  EXPECT_NE(Name::hash_of("ab", "c"), Name::hash_of("a", "bc"));
}

// Whoever searches for names that meet has to know the key. With another one they part.
TEST(Name, NamesThatMeetUnderOneKeyPartUnderAnother) {
  const uint64_t before = hash_key();
  for (std::string_view tenant : {"", "acme"}) {
    set_hash_key(1);
    std::map<uint32_t, std::string> first;
    std::vector<std::pair<std::string, std::string>> meet;
    for (int i = 0; meet.size() < 8; i++) {
      std::string name = "user" + std::to_string(i);
      auto [it, is_new] = first.emplace(Name::hash_of(tenant, name), name);
      if (!is_new) meet.emplace_back(it->second, name);
    }
    set_hash_key(2);
    for (const auto& [a, b] : meet) EXPECT_NE(Name::hash_of(tenant, a), Name::hash_of(tenant, b)) << a;
  }
  set_hash_key(before);
}

TEST(Name, LongestAllowed) {
  std::string text(240, 'x'), tenant(240, 'y');
  Name name(tenant, text);
  EXPECT_EQ(name.text(), text);
  EXPECT_EQ(name.tenant(), tenant);
}

TEST(NameDeathTest, LongerIsABrokenInvariant) {
  EXPECT_DEATH(Name("", std::string(241, 'x')), "");
  EXPECT_DEATH(Name(std::string(241, 'x'), ""), "");
}

TEST(Name, CopiesMovesAndAssignments) {
  Name a("t", "one"), b("t", "two");
  Name c = a;
  Name d = std::move(a);
  EXPECT_FALSE(a);
  EXPECT_EQ(c, d);
  c = b;
  EXPECT_EQ(c.text(), "two");
  c = *&c;
  EXPECT_EQ(c.text(), "two");
  d = Name();
  EXPECT_FALSE(d);
  b = std::move(c);
  EXPECT_EQ(b.text(), "two");
}

// The count is atomic: copies may come and go on every shard (leaks and early frees are the sanitizers' to
// see).
TEST(Name, SharedByThreads) {
  Name name("t", "shared");
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++)
    threads.emplace_back([name] {
      for (int i = 0; i < 20000; i++) {
        Name copy = name;
        ASSERT_EQ(copy.text(), "shared");
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(name.text(), "shared");
}

TEST(RoomId, KeyedAndTakenFromBothParts) {
  EXPECT_EQ(room_id_of(1, "t", "lobby"), room_id_of(1, Name("t", "lobby")));
  EXPECT_NE(room_id_of(1, "t", "lobby"), room_id_of(2, "t", "lobby"));
  EXPECT_NE(room_id_of(1, "t", "lobby"), room_id_of(1, "u", "lobby"));
  EXPECT_NE(room_id_of(1, "ab", "c"), room_id_of(1, "a", "bc"));
  EXPECT_NE(room_id_of(1, "", "a"), room_id_of(1, "a", ""));
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (int i = 0; i < 10000; i++) {
    RoomId id = room_id_of(7, "t", "room" + std::to_string(i));
    EXPECT_TRUE(seen.insert({id.high, id.low}).second);
  }
}

// The hash is in every stored key: it must never change between versions.
TEST(RoomId, StaysTheSame) {
  RoomId id = room_id_of(42, "default", "lobby");
  EXPECT_EQ(id.high, room_id_of(42, Name("default", "lobby")).high);
  EXPECT_EQ(id, (RoomId{0xf2bc9d2dd112ebe0, 0xff5768978dc23e51}));
}

TEST(RoomId, InboxIsARoomThatNobodyCanName) {
  Name alice("t", "alice");
  EXPECT_EQ(inbox_name_of(alice).text(),
            "\x01"
            "alice");
  EXPECT_EQ(inbox_name_of(alice).tenant(), "t");
  EXPECT_EQ(inbox_id_of(9, alice), room_id_of(9, inbox_name_of(alice)));
  EXPECT_NE(inbox_id_of(9, alice), room_id_of(9, alice));
  EXPECT_TRUE(is_inbox(inbox_name_of(alice)));
  EXPECT_FALSE(is_inbox(alice));
  EXPECT_FALSE(is_inbox(Name()));
  EXPECT_FALSE(is_inbox(Name("t", "")));
  Name longest("t", std::string(128, 'u'));
  EXPECT_EQ(inbox_id_of(9, longest), room_id_of(9, inbox_name_of(longest)));
}

}  // namespace
}  // namespace twinwire
