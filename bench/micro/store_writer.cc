// The writer fed through the ring against a bare synced RocksDB loop that writes the same keys and bytes, and
// the read of a room's last 256 events against a bare scan. Ratios count; times on a shared machine are
// rumours.
//   micro_store_writer [--benchmark_filter=...]   TWINWIRE_BENCH_DIR: where the databases go (default /tmp)
// One thread per benchmark, plus RocksDB's background threads.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/ring.h"
#include "store/boot.h"
#include "store/history_store.h"
#include "store/keys.h"
#include "store/record.h"
#include "store/rocks_database.h"
#include "store/writer.h"

namespace {

using namespace twinwire;
using namespace twinwire::store;

constexpr uint32_t kRooms = 1000;
constexpr size_t kValue = 200;

class SteadyClock : public Clock {
 public:
  Millis now_ms() const override {
    auto time = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<Millis>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  }
  uint64_t wall_ms() const override { return 1'800'000'000'000 + now_ms(); }
};

class Dice : public Random {
 public:
  uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_{7};
};

class NoWaker : public Waker {
 public:
  void wake(uint32_t) override {}
};

struct Disk {
  Disk() {
    const char* base = getenv("TWINWIRE_BENCH_DIR");
    std::string name = std::string(base ? base : "/tmp") + "/twinwire-bench-XXXXXX";
    path = mkdtemp(name.data());
    RocksOptions options;
    options.path = path + "/db";
    auto opened = RocksDatabase::open(options);
    TW_CHECK(opened);
    database = std::move(*opened);
  }
  ~Disk() {
    database.reset();
    std::filesystem::remove_all(path);
  }
  std::string path;
  std::unique_ptr<RocksDatabase> database;
};

std::string noise(std::mt19937_64& random) {
  std::string out = "{\"text\":\"";
  while (out.size() < kValue - 70) out += static_cast<char>('a' + random() % 26);
  return out + "\"}";
}

EventRef make_event(const StoreBoot& boot, uint32_t room, const std::string& data,
                    const std::string& client_id) {
  static std::vector<Name> names = [] {
    std::vector<Name> out;
    for (uint32_t i = 0; i < kRooms; i++) out.emplace_back("default", fmt::format("room-{}", i));
    return out;
  }();
  static Name user("default", "alice");
  EventDraft draft;
  draft.type = "message.created";
  draft.data = data;
  draft.shown_room = names[room].text();
  draft.room = room_id_of(boot.room_key, names[room]);
  draft.room_name = names[room];
  draft.user = user;
  draft.wall_ms = 1'800'000'000'000;
  draft.client_id = client_id;
  return Event::encode(draft, boot.epoch);
}

// Events of one batch are made before the clock runs; both sides store the same.
struct Feed {
  Feed(const StoreBoot& boot, size_t count, bool ids) {
    for (size_t i = 0; i < count; i++)
      events.push_back(make_event(boot, static_cast<uint32_t>(random() % kRooms), noise(random),
                                  ids ? fmt::format("client-id-{}", random()) : std::string()));
  }
  static inline std::mt19937_64 random{3};
  std::vector<EventRef> events;
};

struct Parts {
  explicit Parts(uint32_t group) : shared(IdempotencyFilter::Options()) {
    auto booted = boot(*disk.database, BootOptions(), clock, dice, shared);
    TW_CHECK(booted);
    boot_record = *booted;
    Ring::Options options;
    options.first = boot_record.first;
    options.lease_end = boot_record.lease_end;
    ring = std::make_unique<Ring>(options, waker);
    durability = std::make_unique<Durability>(boot_record.settled, boot_record.first);
    WriterOptions writer_options;
    writer_options.room_key = boot_record.room_key;
    writer_options.group_events = group;
    writer = std::make_unique<Writer>(writer_options, *disk.database, *ring, *durability, shared, clock,
                                      WriterCallbacks());
    history = std::make_unique<HistoryStore>(HistoryOptions{.epoch = boot_record.epoch}, *disk.database,
                                             shared, *durability, clock);
  }
  void publish(EventRef event) {
    auto claim = ring->try_claim(1, event->size(), Ring::Priority::normal);
    TW_CHECK(claim);
    event.mutable_event()->patch(claim->first);
    Slot& slot = ring->slot(claim->first);
    slot.kept = true;
    slot.bytes = event->size();
    slot.event = event.detach();
    ring->publish(claim->first);
    ring->consumed(0, claim->first, slot.bytes);
  }
  Disk disk;
  SteadyClock clock;
  Dice dice;
  NoWaker waker;
  SharedState shared;
  StoreBoot boot_record;
  std::unique_ptr<Ring> ring;
  std::unique_ptr<Durability> durability;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<HistoryStore> history;
};

// Ring to disk, the whole step: consume, form, commit, settle.
void writer_step(benchmark::State& state) {
  auto batch = static_cast<uint32_t>(state.range(0));
  Parts parts(batch);
  for (auto _ : state) {
    state.PauseTiming();
    Feed feed(parts.boot_record, batch, state.range(1));
    for (EventRef& event : feed.events) parts.publish(std::move(event));
    state.ResumeTiming();
    parts.writer->step(parts.clock.now_ms());
  }
  TW_CHECK(parts.writer->drained());
  state.SetItemsProcessed(state.iterations() * batch);
}

// The same keys and bytes, encoded beforehand, put and written in a loop.
void bare_loop(benchmark::State& state) {
  auto batch = static_cast<uint32_t>(state.range(0));
  Disk disk;
  StoreBoot boot_record;
  boot_record.room_key = 5;
  uint64_t sequence = 1;
  auto writes = disk.database->make_write_set();
  struct Pair {
    EventKey key;
    std::string record;
    std::array<char, 16> id;
  };
  for (auto _ : state) {
    state.PauseTiming();
    Feed feed(boot_record, batch, state.range(1));
    std::vector<Pair> pairs;
    for (EventRef& event : feed.events) {
      event.mutable_event()->patch({sequence++});
      Pair& pair = pairs.emplace_back();
      pair.key = event_key(event->room(), event->sequence());
      append_record(pair.record, *event);
      pair.id = idempotency_key(5, event->room(), event->user(), event->client_id()).bytes();
    }
    state.ResumeTiming();
    writes->clear();
    for (const Pair& pair : pairs) {
      writes->put(Table::events, view(pair.key), pair.record);
      if (state.range(1))
        writes->put(Table::idempotency, view(pair.id), std::string_view(pair.key.data(), 24));
    }
    TW_CHECK(disk.database->commit(*writes, Sync::yes));
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

BENCHMARK(bare_loop)->ArgsProduct({{1, 32, 1024}, {0, 1}})->UseRealTime()->ArgNames({"batch", "ids"});
BENCHMARK(writer_step)->ArgsProduct({{1, 32, 1024}, {0, 1}})->UseRealTime()->ArgNames({"batch", "ids"});

Parts& filled() {
  static std::unique_ptr<Parts> parts = [] {
    auto out = std::make_unique<Parts>(1024);
    for (int i = 0; i < 400; i++) {
      Feed feed(out->boot_record, 1024, false);
      for (EventRef& event : feed.events) out->publish(std::move(event));
      out->writer->step(out->clock.now_ms());
    }
    TW_CHECK(out->disk.database->flush());
    return out;
  }();
  return *parts;
}

// The last 256 events of a room as events, ready to send.
void read_last_256(benchmark::State& state) {
  Parts& parts = filled();
  std::mt19937_64 random(9);
  ReadRequest request;
  request.upto = parts.durability->durable();
  request.newest = true;
  request.max_bytes = 1 << 20;
  for (auto _ : state) {
    request.room =
        room_id_of(parts.boot_record.room_key, "default", fmt::format("room-{}", random() % kRooms));
    size_t got = 0;
    RoomReader reader(*parts.disk.database, parts.shared, *parts.durability, parts.boot_record.epoch);
    auto found = reader.events(request);
    got = found->list.size();
    TW_CHECK(got == 256);
  }
}

// The same entries, looked at and left.
void scan_last_256(benchmark::State& state) {
  Parts& parts = filled();
  std::mt19937_64 random(9);
  for (auto _ : state) {
    RoomId room =
        room_id_of(parts.boot_record.room_key, "default", fmt::format("room-{}", random() % kRooms));
    auto from = event_key(room, {0}), to = event_key(room, parts.durability->durable() + 1);
    size_t got = 0, bytes = 0;
    TW_CHECK(parts.disk.database->scan({Table::events, view(from), view(to), true},
                                       [&](std::string_view key, std::string_view value) {
                                         bytes += key.size() + value.size();
                                         return ++got < 256;
                                       }));
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(scan_last_256);
BENCHMARK(read_last_256);

}  // namespace

BENCHMARK_MAIN();
