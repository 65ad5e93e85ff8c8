// What one event costs before it is anyone's: encoding both wire forms, and the patch of the sequence after
// the claim (the one thing others may wait for).
#include "core/event.h"

#include <benchmark/benchmark.h>

#include <string>

#include "core/json.h"

namespace {

using namespace twinwire;

// The draft's views point into this.
struct Source {
  explicit Source(size_t content_bytes) {
    std::string message;
    JsonObject(message)
        .field("id", std::string(Cursor::kTextSize, '0'))
        .field("room", "lobby")
        .field("userId", "alice")
        .field("content", std::string(content_bytes, 'x'))
        .end();
    data = "{\"message\":" + message + "}";
  }
  EventDraft draft() const {
    EventDraft out;
    out.type = "message.created";
    out.shown_room = "lobby";
    out.data = data;
    out.room = {1, 2};
    out.room_name = room;
    out.user = user;
    out.wall_ms = 1'795'176'000'123;
    out.client_id = "0123456789";
    return out;
  }
  std::string data;
  Name room{"default", "lobby"};
  Name user{"default", "alice"};
};

constexpr Epoch kEpoch{0x9c1f00d2ab37};

void encode(benchmark::State& state) {
  const Source source(static_cast<size_t>(state.range(0)));
  const EventDraft draft = source.draft();
  size_t bytes = 0;
  for (auto _ : state) {
    const EventRef event = Event::encode(draft, kEpoch);
    bytes = event->sse().size() + event->ws().size();
    benchmark::DoNotOptimize(event.get());
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}
BENCHMARK(encode)->ArgName("content")->Arg(16)->Arg(200)->Arg(4096)->Arg(60'000);

void patch(benchmark::State& state) {
  const Source source(200);
  EventRef event = Event::encode(source.draft(), kEpoch);
  Sequence sequence{1};
  for (auto _ : state) {
    event.mutable_event()->patch(sequence);
    sequence.value++;
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(patch);

}  // namespace

BENCHMARK_MAIN();
