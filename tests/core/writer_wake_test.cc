// When a shard wakes the writer of what it has published: after a flush that is short, before one that is
// long, and always before it where nothing is delivered that is not synced.
#include <gtest/gtest.h>

#include "tests/core/small_engine.h"

namespace twinwire {
namespace {

// What the first tick after a message to `readers` readers did, in order: 'f' is a flush, 'w' the waking.
std::string order_with(uint32_t readers, DeliverPolicy deliver = DeliverPolicy::publish, bool kept = true) {
  Config config;
  config.server.deliver = deliver;
  SmallEngine small(1, config);
  for (uint32_t i = 0; i < readers; i++) {
    StreamRequest request;
    request.form = Form::sse;
    request.who.user = Name("default", "reader" + std::to_string(i));
    request.rooms = {"lobby"};
    small.shard(0).connection_opened(ConnectionId{i}, i + 1);
    small.shard(0).open_stream(ConnectionId{i}, std::move(request));
  }
  small.settle();
  std::string order;
  small.transport(0).on_submit = [&] { order += 'f'; };
  small.log().let_writer_sleep([&] { order += 'w'; });
  Command command;
  command.row = find_command(kept ? "messages.send" : "events.publish");
  command.args = *decode_args(*command.row,
                              kept ? R"({"room":"lobby","content":"hello"})"
                                   : R"({"room":"lobby","type":"t","ephemeral":true,"data":1})",
                              {});
  command.who.user = Name("default", "speaker");
  command.connection = ConnectionId{5000};
  command.connection_generation = 9999;
  small.shard(0).connection_opened(command.connection, command.connection_generation);
  small.shard(0).command(std::move(command));
  small.shard(0).tick();
  small.transport(0).on_submit = nullptr;
  uint32_t heard = 0;
  for (uint32_t i = 0; i < readers; i++)
    heard +=
        small.transport(0).sent[ConnectionId{i}].find(kept ? "hello" : R"("data":1)") != std::string::npos;
  EXPECT_EQ(heard, deliver == DeliverPolicy::publish ? readers : 0u);
  return order;
}

TEST(WriterWake, AfterAShortFlush) { EXPECT_EQ(order_with(100), "fw"); }
TEST(WriterWake, BeforeALongFlush) { EXPECT_EQ(order_with(400), "wf"); }
TEST(WriterWake, FirstWhereReadersWaitForIt) { EXPECT_EQ(order_with(100, DeliverPolicy::commit), "wf"); }
TEST(WriterWake, NotForWhatIsNotKept) { EXPECT_EQ(order_with(100, DeliverPolicy::publish, false), "f"); }

}  // namespace
}  // namespace twinwire
