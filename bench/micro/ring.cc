// The ring's costs: claim and publish, consume, skip; alone on one thread and with producers and consumers on
// threads. On a machine with few cores the threaded rows measure the scheduler as much as the ring: compare
// rows of one run only.
#include "core/ring.h"

#include <benchmark/benchmark.h>

#include <thread>
#include <vector>

namespace {

using namespace twinwire;

class NoWaker : public Waker {
 public:
  void wake(uint32_t) override {}
};

constexpr uint32_t kSlots = 1 << 16;

Ring::Options options_for(uint32_t shards) {
  Ring::Options options;
  options.slots = kSlots;
  options.shards = shards;
  options.lease_end = kSequenceMax;
  return options;
}

// `count` control slots for every shard. False when the ring is full.
bool publish_some(Ring& ring, uint32_t count, uint64_t mask) {
  const auto claim = ring.try_claim(count, 0, Ring::Priority::normal);
  if (!claim) return false;
  for (uint32_t i = 0; i < count; ++i) {
    Slot& slot = ring.slot(claim->first + i);
    slot.event = nullptr;
    slot.mask = mask;
    slot.bytes = 0;
    slot.kind = EventKind::noop;
    slot.kept = false;
    ring.publish(claim->first + i);
  }
  return true;
}

// Reads what is there; returns how many slots were for this shard.
uint64_t consume_all(Ring& ring, uint32_t consumer, Sequence& next) {
  const uint64_t bit = uint64_t{1} << consumer;
  uint64_t mine = 0;
  const Sequence from = next;
  while (const Slot* slot = ring.peek(next)) {
    mine += (slot->mask & bit) != 0;
    next.value++;
  }
  if (next != from) ring.consumed(consumer, next - 1, 0);
  return mine;
}

// Claim, fill and publish in batches, and one consumer and the writer reading behind: all on one thread.
void one_thread(benchmark::State& state) {
  NoWaker waker;
  Ring ring(options_for(1), waker);
  const auto batch = static_cast<uint32_t>(state.range(0));
  Sequence next[2] = {{1}, {1}};
  for (auto _ : state) {
    publish_some(ring, batch, 1);
    benchmark::DoNotOptimize(consume_all(ring, 0, next[0]));
    benchmark::DoNotOptimize(consume_all(ring, 1, next[1]));
  }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(one_thread)->Arg(1)->Arg(16)->Arg(64);

// What a shard pays for slots that are not for it: one look at mark and mask each.
void skip(benchmark::State& state) {
  constexpr uint32_t lap = 4096;
  const auto shards = static_cast<uint32_t>(state.range(0));
  NoWaker waker;
  Ring ring(options_for(shards), waker);
  std::vector<Sequence> next(shards + 1, Sequence{1});
  for (auto _ : state) {
    state.PauseTiming();
    for (uint32_t i = 0; i < lap; i += 64) publish_some(ring, 64, 1);
    for (uint32_t consumer = 0; consumer <= shards; ++consumer) {
      if (consumer != 1) consume_all(ring, consumer, next[consumer]);
    }
    state.ResumeTiming();
    benchmark::DoNotOptimize(consume_all(ring, 1, next[1]));
  }
  state.SetItemsProcessed(state.iterations() * lap);
}
BENCHMARK(skip)->Arg(2)->Arg(8)->Arg(64);

// P producers and C consumers on threads of their own; items are slots published.
void threads(benchmark::State& state) {
  const auto producers = static_cast<uint32_t>(state.range(0));
  const auto consumers = static_cast<uint32_t>(state.range(1));
  const auto batch = static_cast<uint32_t>(state.range(2));
  constexpr uint64_t slots_each = 1 << 18;
  NoWaker waker;
  for (auto _ : state) {
    Ring ring(options_for(consumers - 1), waker);  // the last consumer stands where the writer does
    const uint64_t last = slots_each * producers;
    std::vector<std::thread> all;
    for (uint32_t i = 0; i < producers; ++i) {
      all.emplace_back([&] {
        for (uint64_t done = 0; done < slots_each;) {
          if (publish_some(ring, batch, ~uint64_t{0})) {
            done += batch;
          } else {
            std::this_thread::yield();
          }
        }
      });
    }
    for (uint32_t i = 0; i < consumers; ++i) {
      all.emplace_back([&ring, i, last] {
        Sequence next{1};
        while (next.value <= last) {
          if (consume_all(ring, i, next) == 0) std::this_thread::yield();
        }
      });
    }
    for (std::thread& thread : all) thread.join();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * slots_each * producers));
}
BENCHMARK(threads)
    ->ArgNames({"producers", "consumers", "batch"})
    ->ArgsProduct({{1, 2}, {2, 3}, {1, 16}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
