// floor_store: a bare synced RocksDB loop over the keys and bytes that our writer would write: batches of
// events of random rooms with their settled position, each committed and synced, for a while. No ring, no
// acknowledgements.
//   floor_store --folder DIR --batch N --data-bytes N --rooms N --milliseconds N
// Prints one JSON object: {"events","seconds","cpuNanos"}; the CPU time is of all threads. Beside RocksDB's
// own, one thread. Not here: choosing the batch (twinbench publish takes what the server's writer had).
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/client/loop.h"
#include "bench/twinbench/process.h"
#include "core/event.h"
#include "store/batch.h"
#include "store/keys.h"
#include "store/record.h"
#include "store/rocks_database.h"

namespace {

using namespace twinwire;
using namespace twinwire::store;

constexpr uint64_t kRoomKey = 5;
constexpr size_t kMade =
    4096;  // events that are made beforehand and written again and again with new sequences

struct Options {
  std::string folder = "/tmp";
  uint32_t batch = 32;
  uint32_t data_bytes = 300;
  uint32_t rooms = 1000;
  uint32_t milliseconds = 1000;
};

struct Made {
  RoomId room;
  std::string record;
};

std::vector<Made> make_events(const Options& options) {
  std::mt19937_64 random(3);
  std::vector<Name> names;
  for (uint32_t i = 0; i < options.rooms; ++i) names.emplace_back("default", fmt::format("bench-{}", i));
  const Name user("default", "S00000000000");
  std::string data = R"({"message":{"content":")";
  while (data.size() + 3 < options.data_bytes) data += static_cast<char>('a' + random() % 26);
  data += "\"}}";
  std::vector<Made> out;
  for (size_t i = 0; i < kMade; ++i) {
    const Name& name = names[random() % names.size()];
    EventDraft draft;
    draft.type = "message.created";
    draft.data = data;
    draft.shown_room = name.text();
    draft.room = room_id_of(kRoomKey, name);
    draft.room_name = name;
    draft.user = user;
    draft.wall_ms = 1'800'000'000'000;
    EventRef event = Event::encode(draft, Epoch());
    event.mutable_event()->patch(Sequence{i + 1});
    Made& made = out.emplace_back();
    made.room = event->room();
    append_record(made.record, *event);
  }
  return out;
}

int run(const Options& options) {
  std::string folder = options.folder + "/floor-store.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return 2;
  RocksOptions rocks;
  rocks.path = folder + "/db";
  Result<std::unique_ptr<RocksDatabase>> database = RocksDatabase::open(rocks);
  if (!database) {
    fmt::print(stderr, "floor_store: {}\n", database.error().sentence);
    return 2;
  }
  const std::vector<Made> events = make_events(options);
  const auto writes = (*database)->make_write_set();
  uint64_t sequence = 0;
  const client::Nanos began = client::monotonic_now();
  const uint64_t cpu = bench::cpu_nanos_of(getpid()).value_or(0);
  const client::Nanos length = options.milliseconds * client::kMillisecond;
  while (client::monotonic_now() - began < length) {
    writes->clear();
    for (uint32_t i = 0; i < options.batch; ++i, ++sequence) {
      const Made& made = events[sequence % events.size()];
      writes->put(Table::events, view(event_key(made.room, Sequence{sequence + 1})), made.record);
    }
    writes->put(Table::meta, kMetaSettled, encode_sequence(Sequence{sequence}));
    if (const Result<void> done = (*database)->commit(*writes, Sync::yes); !done) {
      fmt::print(stderr, "floor_store: {}\n", done.error().sentence);
      return 2;
    }
  }
  const double seconds = static_cast<double>(client::monotonic_now() - began) / 1e9;
  fmt::print("{{\"events\":{},\"seconds\":{:.4f},\"cpuNanos\":{}}}\n", sequence, seconds,
             bench::cpu_nanos_of(getpid()).value_or(0) - cpu);
  database->reset();
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"floor_store: a bare synced RocksDB loop"};
  app.add_option("--folder", options.folder);
  app.add_option("--batch", options.batch)->check(CLI::PositiveNumber);
  app.add_option("--data-bytes", options.data_bytes);
  app.add_option("--rooms", options.rooms)->check(CLI::PositiveNumber);
  app.add_option("--milliseconds", options.milliseconds);
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
