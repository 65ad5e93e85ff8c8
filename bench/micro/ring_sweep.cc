// The ring's estimates (shards, batch, slot size, the mask, two-person rooms), swept.
//   micro_ring_sweep [--benchmark_filter=...] [--benchmark_format=json]
// Three questions, and what is measured for each:
//   turn          what does one message of a two-person room cost the ring with S shards? One thread plays
//   all: its
//                 producer claims and publishes `batch` slots that two shards read, then every shard and the
//                 writer consumes. Everything is warm, no other core is waited for: the cost of the
//                 instructions.
//   lap           the same slots read by *another core*, which has none of them in its cache: skipped or
//   taken. Core 0
//                 fills a lap, core 1 reads it, by turns. On a machine with one core: not measured.
//   threads       P producers and C consumers at once, batches of B: CPU of each side for a slot, and slots a
//   second.
//                 More threads than cores measure the scheduler's turns as well, which is what this machine
//                 has.
// Figures in `counters`, nanoseconds of CPU (of the thread, so what others do on the machine does not count):
//   ns_claim  per published slot, claim and publish        ns_take  per slot taken, the reference released
//   ns_skip   per slot looked at and left                  ns_message (turn)  all of it for one message
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include "core/event.h"
#include "core/ring.h"

namespace {

using namespace twinwire;

class NoWaker : public Waker {
 public:
  void wake(uint32_t) override {}
};

double cpu_nanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

bool pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

EventRef some_event() {
  EventDraft draft;
  draft.type = "message.created";
  draft.data = R"({"text":"hello"})";
  draft.room_name = Name("default", "lobby");
  return Event::encode(draft, Epoch{1});
}

Ring::Options options_for(uint32_t shards, uint32_t slots = 1 << 14) {
  Ring::Options options;
  options.slots = slots;
  options.shards = shards;
  options.lease_end = kSequenceMax;
  return options;
}

// As a home does it: fill, prepay, publish. The two members of a room sit on any two shards.
bool publish_some(Ring& ring, uint32_t count, const Event* event, uint64_t& seed) {
  const auto claim = ring.try_claim(count, 0, Ring::Priority::normal);
  if (!claim) return false;
  for (uint32_t i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    const auto a = static_cast<uint32_t>((seed >> 33) % ring.shards());
    const auto b = static_cast<uint32_t>((seed >> 48) % ring.shards());
    Slot& slot = ring.slot(claim->first + i);
    slot.event = event;
    slot.room = {seed, seed};
    slot.mask = uint64_t{1} << a | uint64_t{1} << b;
    slot.bytes = 0;
    slot.kind = EventKind::event;
    slot.kept = true;
    event->prepay(static_cast<uint32_t>(__builtin_popcountll(slot.mask)));
    ring.publish(claim->first + i);
  }
  return true;
}

// As a shard does it: one look at mark and mask of each slot, and the reference of those that are for it. The
// writer (consumer `shards`) takes none here.
uint64_t consume_all(Ring& ring, uint32_t consumer, Sequence& next) {
  const uint64_t bit = consumer < ring.shards() ? uint64_t{1} << consumer : 0;
  uint64_t taken = 0;
  const Sequence from = next;
  while (const Slot* slot = ring.peek(next)) {
    if (slot->mask & bit) {
      EventRef::adopt(slot->event);  // and released
      ++taken;
    }
    next.value++;
  }
  if (next != from) ring.consumed(consumer, next - 1, 0);
  return taken;
}

void turn(benchmark::State& state) {
  const auto shards = static_cast<uint32_t>(state.range(0));
  const auto batch = static_cast<uint32_t>(state.range(1));
  NoWaker waker;
  Ring ring(options_for(shards), waker);
  const EventRef event = some_event();
  std::vector<Sequence> next(shards + 1, Sequence{1});
  uint64_t seed = 1;
  uint64_t taken = 0;
  const double began = cpu_nanos();
  for (auto _ : state) {
    if (!publish_some(ring, batch, event.get(), seed)) state.SkipWithError("the ring is full");
    for (uint32_t consumer = 0; consumer <= shards; ++consumer)
      taken += consume_all(ring, consumer, next[consumer]);
  }
  const double spent = cpu_nanos() - began;
  const auto messages = static_cast<double>(state.iterations() * batch);
  state.counters["ns_message"] = spent / messages;
  state.counters["taken_per_message"] = static_cast<double>(taken) / messages;
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(turn)->ArgNames({"shards", "batch"})->ArgsProduct({{2, 4, 8, 16, 32, 64}, {1, 4, 16, 64}});

// Work for a thread on another core, one piece at a time; the asker waits.
class OtherCore {
 public:
  OtherCore() : thread_([this] { run(); }) {}
  ~OtherCore() {
    turn_.store(kEnd, std::memory_order_release);
    thread_.join();
  }
  void run_there(const std::function<void()>& work) {
    work_ = &work;
    turn_.store(kTheirs, std::memory_order_release);  // partner: run()
    while (turn_.load(std::memory_order_acquire) != kOurs) sched_yield();
  }

 private:
  enum Turn { kOurs, kTheirs, kEnd };
  void run() {
    pin(1);
    while (true) {
      const Turn turn = turn_.load(std::memory_order_acquire);  // partner: run_there()
      if (turn == kEnd) return;
      if (turn == kTheirs) {
        (*work_)();
        turn_.store(kOurs, std::memory_order_release);
      } else {
        sched_yield();
      }
    }
  }
  std::atomic<Turn> turn_{kOurs};
  const std::function<void()>* work_ = nullptr;
  std::thread thread_;
};

bool two_cores(benchmark::State& state) {
  if (std::thread::hardware_concurrency() >= 2) return true;
  state.SkipWithError("one core only");
  return false;
}

constexpr uint32_t kLap = 4096;

// range(0) of 100 slots are for the reader.
void lap(benchmark::State& state) {
  if (!two_cores(state)) return;
  const auto percent = static_cast<uint64_t>(state.range(0));
  NoWaker waker;
  Ring ring(options_for(2), waker);
  const EventRef event = some_event();
  std::vector<Sequence> next(3, Sequence{1});
  OtherCore other;
  pin(0);
  double publishing = 0;
  double reading = 0;
  uint64_t slots = 0;
  for (auto _ : state) {
    const double began = cpu_nanos();
    for (uint32_t i = 0; i < kLap; ++i) {
      const auto claim = ring.try_claim(1, 0, Ring::Priority::normal);
      if (!claim) state.SkipWithError("the ring is full");
      Slot& slot = ring.slot(claim->first);
      const bool mine = uint64_t{i} * 61 % 100 < percent;  // spread over the lap
      slot.event = event.get();
      slot.mask = mine ? 2 : 1;
      slot.kept = false;
      event->prepay(1);
      ring.publish(claim->first);
    }
    publishing += cpu_nanos() - began;
    other.run_there([&] {
      const double at = cpu_nanos();
      benchmark::DoNotOptimize(consume_all(ring, 1, next[1]));
      reading += cpu_nanos() - at;
    });
    consume_all(ring, 0, next[0]);
    consume_all(ring, 2, next[2]);
    slots += kLap;
  }
  state.counters["ns_claim"] = publishing / static_cast<double>(slots);
  state.counters["ns_read"] = reading / static_cast<double>(slots);
  state.SetItemsProcessed(static_cast<int64_t>(slots));
}
BENCHMARK(lap)->ArgName("percent_mine")->Arg(0)->Arg(25)->Arg(100)->UseRealTime();

// What a skip costs by the size of a slot, and by how interest is found out: a bit of the mask, or the room
// looked up in a set of the shard's own rooms. A ring of its own, cut down to mark, mask and room.
template <size_t Size>
struct alignas(Size) BareSlot {
  std::atomic<uint64_t> mark{0};
  uint64_t mask = 0;
  uint64_t room = 0;
};
enum class Interest { mask, set };

template <size_t Size, Interest How>
void bare_skip(benchmark::State& state) {
  if (!two_cores(state)) return;
  using Slots = std::vector<BareSlot<Size>>;
  Slots slots(1 << 14);
  const std::unordered_set<uint64_t> own = [] {
    std::unordered_set<uint64_t> out;
    for (uint64_t room = 0; room < 10'000; ++room) out.insert(room * 2 + 1);
    return out;
  }();
  OtherCore other;
  pin(0);
  uint64_t next = 1;
  double reading = 0;
  uint64_t found = 0;
  uint64_t seen = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kLap; ++i) {
      BareSlot<Size>& slot = slots[(next + i) % slots.size()];
      slot.mask = 1;
      slot.room = (next + i) * 2;
      slot.mark.store(next + i, std::memory_order_release);
    }
    other.run_there([&] {
      const double at = cpu_nanos();
      for (uint32_t i = 0; i < kLap; ++i, ++next) {
        const BareSlot<Size>& slot = slots[next % slots.size()];
        if (slot.mark.load(std::memory_order_acquire) != next) break;
        found += How == Interest::mask ? (slot.mask & 2) != 0 : own.count(slot.room);
        ++seen;
      }
      reading += cpu_nanos() - at;
    });
  }
  benchmark::DoNotOptimize(found);
  state.counters["ns_skip"] = reading / static_cast<double>(seen);
  state.SetItemsProcessed(static_cast<int64_t>(seen));
}
BENCHMARK(bare_skip<32, Interest::mask>)->Name("slot_bytes/32")->UseRealTime();
BENCHMARK(bare_skip<64, Interest::mask>)->Name("slot_bytes/64")->UseRealTime();
BENCHMARK(bare_skip<128, Interest::mask>)->Name("slot_bytes/128")->UseRealTime();
BENCHMARK(bare_skip<64, Interest::set>)->Name("interest_by_set/64")->UseRealTime();

void threads(benchmark::State& state) {
  const auto producers = static_cast<uint32_t>(state.range(0));
  const auto consumers = static_cast<uint32_t>(state.range(1));
  const auto batch = static_cast<uint32_t>(state.range(2));
  constexpr uint64_t slots_each = 1 << 16;
  NoWaker waker;
  const EventRef event = some_event();
  double publishing = 0;
  double reading = 0;
  for (auto _ : state) {
    Ring ring(options_for(consumers), waker);
    const uint64_t last = slots_each * producers;
    std::atomic<uint64_t> publish_nanos{0};
    std::atomic<uint64_t> read_nanos{0};
    std::vector<std::thread> all;
    for (uint32_t i = 0; i < producers; ++i) {
      all.emplace_back([&, i] {
        uint64_t seed = i + 1;
        const double began = cpu_nanos();
        for (uint64_t done = 0; done < slots_each;) {
          if (publish_some(ring, batch, event.get(), seed)) {
            done += batch;
          } else {
            sched_yield();
          }
        }
        publish_nanos += static_cast<uint64_t>(cpu_nanos() - began);
      });
    }
    for (uint32_t i = 0; i <= consumers; ++i) {  // the last one stands where the writer does
      all.emplace_back([&, i] {
        Sequence next{1};
        const double began = cpu_nanos();
        while (next.value <= last) {
          const Sequence from = next;
          consume_all(ring, i, next);
          if (next == from) sched_yield();
        }
        read_nanos += static_cast<uint64_t>(cpu_nanos() - began);
      });
    }
    for (std::thread& thread : all) thread.join();
    publishing += static_cast<double>(publish_nanos.load()) / static_cast<double>(last);
    reading += static_cast<double>(read_nanos.load()) / static_cast<double>(last * (consumers + 1));
  }
  state.counters["ns_claim"] = publishing / static_cast<double>(state.iterations());
  state.counters["ns_read"] = reading / static_cast<double>(state.iterations());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * slots_each * producers));
}
BENCHMARK(threads)
    ->ArgNames({"producers", "consumers", "batch"})
    ->ArgsProduct({{1, 2, 4, 8}, {1, 2, 8}, {1, 16, 64}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
