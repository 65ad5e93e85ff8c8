// The reader of server-sent events against the WHATWG rules and the examples of their text.
#include "bench/client/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twinwire::client {
namespace {

struct Recorder : SseParser::Sink {
  void on_block(const SseParser::Block& block) override {
    seen.push_back(std::string(block.type) + "|" + std::string(block.data) + "|" +
                   std::string(block.last_event_id));
  }
  void on_id_only(std::string_view id) override { seen.push_back("id only|" + std::string(id)); }
  void on_retry(uint64_t milliseconds) override { seen.push_back("retry|" + std::to_string(milliseconds)); }
  void on_comment() override { seen.push_back("comment"); }
  std::vector<std::string> seen;
};

using Strings = std::vector<std::string>;

Strings read(std::string_view bytes, size_t step) {
  Recorder recorder;
  SseParser parser(recorder);
  for (size_t at = 0; at < bytes.size(); at += step) EXPECT_TRUE(parser.feed(bytes.substr(at, step)));
  return recorder.seen;
}

struct Case {
  std::string_view bytes;
  Strings seen;
};

TEST(Sse, TableOfStreams) {
  const Case cases[] = {
      {"data: YHOO\ndata: +2\ndata: 10\n\n", {"message|YHOO\n+2\n10|"}},
      {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
       {"comment", "message|first event|1", "message|second event|", "message| third event|"}},
      {"data\n\ndata\ndata\n\ndata:", {"message||", "message|\n|"}},
      {"data:test\n\ndata: test\n\n", {"message|test|", "message|test|"}},
      {"\xEF\xBB\xBF"
       "data: a\n\n\xEF\xBB\xBF"
       "data: b\n\n",
       {"message|a|"}},
      {"data: a\r\ndata: b\r\n\r\ndata: c\r\rdata: d\n\r", {"message|a\nb|", "message|c|", "message|d|"}},
      {"event: x\nevent: y\ndata: 1\n\ndata: 2\n\n", {"y|1|", "message|2|"}},
      {"event: lost\n\ndata: 1\n\n", {"message|1|"}},
      {"id: 7\n\ndata: a\n\nid: 7\n\nid: 8\n\n", {"id only|7", "message|a|7", "id only|8"}},
      {std::string_view("id: a\0b\ndata: 1\n\n", 17), {"message|1|"}},
      {"retry: 1500\nretry: 15x\nretry: -1\nretry:\n", {"retry|1500"}},
      {"unknown: 1\ndata: 1\nDATA: 2\n data: 3\n\n", {"message|1|"}},
      {"data: never ended\n", {}},
  };
  for (const Case& each : cases) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
      EXPECT_EQ(read(each.bytes, step), each.seen) << each.bytes << " in steps of " << step;
    }
  }
}

TEST(Sse, ABlockHasABound) {
  Recorder recorder;
  SseParser parser(recorder);
  const std::string line = "data: " + std::string(1 << 20, 'x') + "\n";
  int accepted = 0;
  while (accepted < 100 && parser.feed(line)) ++accepted;
  EXPECT_LT(accepted, 5);
}

}  // namespace
}  // namespace twinwire::client
