// Who is present in a room, held against the standard library.
#include "core/present.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace twinwire {
namespace {

TEST(PresentUsers, SessionsAndStates) {
  PresentUsers present;
  Name alice("t", "alice"), bob("t", "bob");
  EXPECT_TRUE(present.empty());
  EXPECT_EQ(present.sessions(alice), 0u);
  EXPECT_FALSE(present.set_state(alice, "1"));
  present.set_sessions(alice, 0);
  EXPECT_TRUE(present.empty());
  present.set_sessions(alice, 2);
  EXPECT_TRUE(present.contains(Name("t", "alice")));
  EXPECT_FALSE(present.contains(Name("u", "alice")));
  EXPECT_FALSE(present.contains(bob));
  EXPECT_EQ(present.state(alice), "");
  EXPECT_TRUE(present.set_state(alice, "\"away\""));
  EXPECT_FALSE(present.set_state(alice, "\"away\""));
  EXPECT_EQ(present.state(alice), "\"away\"");
  present.set_sessions(alice, 1);
  EXPECT_EQ(present.state(alice), "\"away\"");
  EXPECT_TRUE(present.set_state(alice, ""));
  EXPECT_TRUE(present.set_state(alice, "7"));
  present.set_sessions(alice, 0);
  present.set_sessions(alice, 1);
  EXPECT_EQ(present.state(alice), "");  // gone with the user
  EXPECT_EQ(present.size(), 1u);
}

TEST(PresentUsers, RandomOperations) {
  std::mt19937 random(6);
  PresentUsers present;
  std::map<std::string, std::pair<uint32_t, std::string>> model;
  for (int step = 0; step < 60000; step++) {
    // Grows to hundreds, shrinks to none, again and again.
    uint32_t users = step / 5000 % 2 ? 20 : 900;
    std::string text = "u" + std::to_string(random() % users);
    Name user("t", text);
    auto it = model.find(text);
    ASSERT_EQ(present.sessions(user), it == model.end() ? 0 : it->second.first) << step;
    ASSERT_EQ(present.state(user), it == model.end() ? "" : it->second.second);
    switch (random() % 4) {
      case 0:
        present.set_sessions(user, 0);
        model.erase(text);
        break;
      case 1:
        ASSERT_EQ(present.set_state(user, "s"), it != model.end() && it->second.second != "s");
        if (it != model.end()) it->second.second = "s";
        break;
      default:
        uint32_t sessions = 1 + random() % 3;
        present.set_sessions(user, sessions);
        model[text].first = sessions;
    }
    if (random() % 4000 == 0) {
      while (!model.empty()) {
        present.set_sessions(Name("t", model.begin()->first), 0);
        model.erase(model.begin());
      }
    }
    ASSERT_EQ(present.size(), model.size());
    if (step % 500 == 0) {
      size_t seen = 0;
      present.for_each(
          [&](const Name& each) { return seen += model.contains(std::string(each.text())), true; });
      ASSERT_EQ(seen, model.size());
    }
  }
  size_t visited = 0;
  for (int i = 0; i < 10; i++) present.set_sessions(Name("t", std::to_string(i)), 1);
  present.for_each([&](const Name&) { return ++visited < 5; });
  EXPECT_EQ(visited, 5u);
}

}  // namespace
}  // namespace twinwire
