// Outboxes: pushing one run of events to N connections and flushing it, without any socket: the part of a
// delivery that is ours. Items are delivered frames; range(0) connections, range(1) events a flush.
//   micro_outbox [--benchmark_filter=...]
// A loopback send costs the kernel 3,500 to 5,000 ns (limits.md, 1); this is what comes on top.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "core/outbox.h"

namespace {

using namespace twinwire;

class Sink final : public Transport {
 public:
  void send(ConnectionId, const char* bytes, size_t size) override {
    benchmark::DoNotOptimize(bytes);
    sent += size;
  }
  void submit() override {}
  void want_writable(ConnectionId) override {}
  void close(ConnectionId) override {}
  void reply(ConnectionId, std::string_view, const Reply&) override {}
  void stream_opened(ConnectionId) override {}
  uint64_t sent = 0;
};

std::vector<EventRef> make_events(size_t n) {
  std::vector<EventRef> events;
  std::string data = "{\"text\":\"" + std::string(128, 'x') + "\"}";
  for (size_t i = 0; i < n; i++) {
    EventDraft draft;
    draft.type = "message.created";
    draft.data = data;
    draft.room_name = Name("default", "lobby");
    events.push_back(Event::encode(draft, Epoch{1}));
    events.back().mutable_event()->patch(Sequence{i + 1});
  }
  return events;
}

// `mixed`: every other connection also follows something of its own, so that its run is put together alone.
void fan_out(benchmark::State& state, bool mixed) {
  Sink sink;
  Outboxes outboxes(sink, {});
  auto connections = static_cast<uint32_t>(state.range(0));
  auto events = make_events(static_cast<size_t>(state.range(1)));
  auto own = make_events(1);
  for (uint32_t c = 0; c < connections; c++) {
    outboxes.open(ConnectionId{c}, 1);
    outboxes.at(ConnectionId{c}).form = c % 2 ? Form::ws : Form::sse;
  }
  for (auto _ : state) {
    for (const EventRef& event : events)
      for (uint32_t c = 0; c < connections; c++) outboxes.push(ConnectionId{c}, Entry::borrow(event.get()));
    if (mixed)
      for (uint32_t c = 0; c < connections; c += 2) outboxes.push_raw(ConnectionId{c}, "own");
    benchmark::DoNotOptimize(outboxes.flush());
  }
  int64_t frames = state.iterations() * connections * state.range(1);
  state.SetItemsProcessed(frames);
  state.counters["bytes_per_frame"] = static_cast<double>(sink.sent) / static_cast<double>(frames);
}
BENCHMARK_CAPTURE(fan_out, same, false)
    ->Args({1, 1})
    ->Args({1000, 1})
    ->Args({1000, 16})
    ->Args({10000, 1})
    ->Args({10000, 16});
BENCHMARK_CAPTURE(fan_out, half_have_more, true)->Args({1000, 1})->Args({1000, 16});

}  // namespace

BENCHMARK_MAIN();
