// Tenants: places are given in order, to a bounded number, once, also by threads at once; and what a shard
// counts of each.
#include "core/tenants.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/core/small_engine.h"

namespace twinwire {
namespace {

TEST(Tenants, TheFirstThatComeHavePlaces) {
  Tenants tenants(2);
  EXPECT_EQ(tenants.places(), 3u);
  EXPECT_EQ(tenants.find("a"), Tenants::kOthers);
  EXPECT_EQ(tenants.place("a"), 1u);
  EXPECT_EQ(tenants.place("b"), 2u);
  EXPECT_EQ(tenants.place("c"), Tenants::kOthers);
  EXPECT_EQ(tenants.place("a"), 1u);
  EXPECT_EQ(tenants.find("b"), 2u);
  EXPECT_EQ(tenants.names(), (std::vector<std::string>{"(other)", "a", "b"}));
  Tenants none(0);
  EXPECT_EQ(none.place("a"), Tenants::kOthers);
  EXPECT_EQ(none.names().size(), 1u);
}

TEST(Tenants, ThreadsAtOnceAgree) {
  Tenants tenants(500);
  std::vector<std::vector<uint16_t>> seen(4);
  std::vector<std::thread> threads;
  for (auto& mine : seen) {
    threads.emplace_back([&tenants, &mine] {
      for (int i = 0; i < 600; i++) mine.push_back(tenants.place("tenant" + std::to_string(i % 550)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  auto names = tenants.names();
  ASSERT_EQ(names.size(), 501u);
  for (const auto& mine : seen)
    for (size_t i = 0; i < mine.size(); i++) {
      if (mine[i] == Tenants::kOthers) continue;
      EXPECT_EQ(names[mine[i]], "tenant" + std::to_string(i % 550));
    }
  for (size_t i = 1; i < names.size(); i++) EXPECT_EQ(tenants.find(names[i]), i);
}

// Streams, events, deliveries and refusals of two tenants with a place and of a third without one.
TEST(Tenants, AreCountedApart) {
  Config config;
  config.metrics.tenants_max = 2;
  SmallEngine small(2, config);
  uint32_t next = 0;
  auto of = [](std::string_view tenant, std::string_view name) {
    Identity who;
    who.user = Name(tenant, name);
    return who;
  };
  auto open = [&](uint32_t at, std::string_view tenant, Form form) {
    StreamRequest request;
    request.form = form;
    request.who = of(tenant, "ann");
    request.rooms = {"lobby"};
    ConnectionId id{++next};
    small.open(at, id, std::move(request));
    return id;
  };
  auto sum = [&](uint16_t place) {
    TenantCounts counts;
    for (uint32_t i = 0; i < 2; i++) counts += small.shard(i).tenant_counts()[place];
    return counts;
  };
  ConnectionId sse = open(0, "acme", Form::sse);
  open(1, "acme", Form::ws);
  open(1, "rival", Form::ws);
  open(0, "late", Form::sse);
  EXPECT_EQ(sum(1).sse, 1u);
  EXPECT_EQ(sum(1).ws, 1u);
  EXPECT_EQ(sum(2).sse, 0u);
  EXPECT_EQ(sum(2).ws, 1u);
  EXPECT_EQ(sum(0).sse, 1u);
  TenantCounts acme = sum(1), rival = sum(2), others = sum(0);
  for (int i = 0; i < 5; i++)
    small.command(0, of("acme", "bob"), "messages.send", R"({"room":"lobby","content":"x"})");
  small.command(1, of("rival", "bob"), "messages.send", R"({"room":"lobby","content":"x"})");
  small.command(1, of("rival", "bob"), "messages.send", R"({"room":"group-0","content":"x"})");
  EXPECT_EQ(sum(1).published - acme.published, 5u);
  EXPECT_EQ(sum(1).delivered - acme.delivered, 10u);
  EXPECT_EQ(sum(1).refused - acme.refused, 0u);
  EXPECT_EQ(sum(2).published - rival.published, 1u);
  EXPECT_EQ(sum(2).delivered - rival.delivered, 1u);
  EXPECT_EQ(sum(2).refused - rival.refused, 1u);
  EXPECT_EQ(sum(0).published, others.published);
  EXPECT_EQ(sum(0).delivered, others.delivered);
  small.shard(0).connection_closed(sse);
  EXPECT_EQ(sum(1).sse, 0u);
}

}  // namespace
}  // namespace twinwire
