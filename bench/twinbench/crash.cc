#include "bench/twinbench/crash.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "bench/client/client.h"
#include "bench/client/table.h"
#include "bench/client/text.h"
#include "bench/twinbench/child.h"
#include "bench/twinbench/progress.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

using client::Client;
using client::Event;
using client::kMillisecond;
using client::kSecond;
using client::Loop;
using client::Nanos;
using client::Reply;
using client::Transport;

constexpr uint32_t kRooms = 4;
constexpr uint32_t kPublishers = 8;
constexpr uint32_t kReaders = 12;
constexpr uint32_t kOutstanding = 8;  // commands of one publisher at once
constexpr size_t kFaultsShown = 20;
constexpr Nanos kSettleLimit = 30 * kSecond;
constexpr Nanos kAfterglow = 100 * kMillisecond;

// One message as somebody has it: its place in the log, and whose it is.
struct Entry {
  uint64_t sequence;
  std::string client_id;
  bool operator==(const Entry&) const = default;
};
using Entries = std::vector<Entry>;

struct Tally {
  uint64_t rounds = 0;
  uint64_t stored = 0;
  uint64_t accepted = 0;
  uint64_t duplicates = 0;  // retries that met their first
  uint64_t deliveries = 0;
  uint64_t rolled_back = 0;  // resets
  uint64_t taken_back = 0;   // messages forgotten by them
  uint64_t unsaved = 0;
  uint64_t start_retries = 0;
  std::vector<std::string> faults;
};

std::string room_name(uint32_t index) { return fmt::format("crash-{}", index); }

// Follows all rooms and remembers.
class Reader : Client::Watcher {
 public:
  Reader(Loop& loop, Client::Options options, Tally& tally)
      : tally_(tally), client_(loop, static_cast<Client::Watcher&>(*this), std::move(options)) {}

  Client& client() { return client_; }
  const Entries& seen(const std::string& room) { return seen_[room]; }

 private:
  void on_event(Client&, const Event& event) override {
    Entries& entries = seen_[std::string(event.room)];
    if (event.type == "message.created") {
      ++tally_.deliveries;
      const client::Json message = client::member_at(event.data, "message").value_or(event.data);
      entries.push_back(
          {client::sequence_of(event.event_id), std::string(client::text_at(message, "clientId"))});
    } else if (event.type == "message.unsaved") {
      ++tally_.unsaved;
      const uint64_t sequence = client::sequence_of(client::text_at(event.data, "eventId"));
      std::erase_if(entries, [sequence](const Entry& entry) { return entry.sequence == sequence; });
    }
  }

  void on_reset(Client&, std::string_view reason, std::string_view cursor, const Event&) override {
    if (reason != "rolled_back") {
      tally_.faults.push_back(fmt::format("{}: reset {} to {}", client_.user(), reason, cursor));
      return;
    }
    ++tally_.rolled_back;
    const uint64_t settled = client::sequence_of(cursor);
    for (auto& [room, entries] : seen_) {
      tally_.taken_back +=
          std::erase_if(entries, [&](const Entry& entry) { return entry.sequence > settled; });
    }
  }

  Tally& tally_;
  std::map<std::string, Entries> seen_;
  Client client_;
};

// Sends as long as it may, each message until it is answered.
class Publisher : Client::Watcher {
 public:
  struct Shared {
    Tally& tally;
    bool& sending;
    std::map<std::string, std::string>& stored;  // clientId -> eventId
  };
  Publisher(Loop& loop, Client::Options options, Shared shared)
      : shared_(shared),
        random_(options.seed),
        client_(loop, static_cast<Client::Watcher&>(*this), std::move(options)) {}

  Client& client() { return client_; }
  uint32_t waiting() const { return waiting_; }
  void fill() {
    while (shared_.sending && waiting_ < kOutstanding) send();
  }

 private:
  void send() {
    const std::string id = fmt::format("{}-{}", client_.user(), ++made_);
    const bool stored = random_() % 8 != 0;
    std::string data;
    JsonObject(data)
        .field("room", room_name(static_cast<uint32_t>(random_() % kRooms)))
        .field("content", std::string(1 + random_() % 400, 'x'))
        .field("clientId", id)
        .field("ack", stored ? "stored" : "accepted")
        .end();
    ++waiting_;
    client_.command("messages.send", std::move(data),
                    [this, id, stored](const Reply& reply) { answered(id, stored, reply); });
  }

  void answered(const std::string& id, bool stored, const Reply& reply) {
    --waiting_;
    if (!reply.success) {
      shared_.tally.faults.push_back(fmt::format("{} was refused: {} {}", id, reply.code, reply.sentence));
      return;
    }
    if (reply.duplicate) ++shared_.tally.duplicates;
    if (stored) {
      ++shared_.tally.stored;
      shared_.stored[id] = reply.event_id;
      if (!reply.stored)
        shared_.tally.faults.push_back(fmt::format("{}: asked for stored, answered stored:false", id));
    } else {
      ++shared_.tally.accepted;
    }
    fill();
  }

  void on_event(Client&, const Event&) override {}
  void on_reset(Client&, std::string_view, std::string_view, const Event&) override {}

  Shared shared_;
  std::mt19937_64 random_;
  uint32_t waiting_ = 0;
  uint64_t made_ = 0;
  Client client_;
};

class CrashRun {
 public:
  CrashRun(const CrashOptions& options, std::string deliver, const std::string& folder, LossyDisk* disk);
  // Error: the run could not begin.
  Result<Tally> run();

 private:
  Result<void> begin();
  Result<void> round(uint32_t number);
  Result<void> restart();
  bool wait_for(const char* what, Nanos limit, const std::function<bool()>& done);
  bool all_live();
  std::map<std::string, Entries> history();
  void load_page(const std::string& room, const std::string& after, Entries& entries, bool& complete);
  bool caught_up(const std::map<std::string, Entries>& history);
  void check(uint32_t number);
  void check_history(uint32_t number, const std::map<std::string, Entries>& history);
  void fault(uint32_t number, const std::string& what) {
    tally_.faults.push_back(fmt::format("{} round {}: {}", deliver_, number, what));
  }
  Client::Options client_options(std::string user, uint32_t index);

  const CrashOptions& options_;
  std::string deliver_;
  LossyDisk* disk_;
  Loop loop_;
  Server server_;
  Tally tally_;
  bool sending_ = false;
  std::map<std::string, std::string> stored_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::mt19937_64 random_;
  Progress progress_;
};

std::vector<std::string> settings_of(const CrashOptions& options, const std::string& deliver) {
  std::vector<std::string> out{"--server.deliver=" + deliver,
                               fmt::format("--server.shards={}", options.shards),
                               "--limits.commands_per_second=1000000", "--limits.commands_burst=1000000"};
  out.insert(out.end(), options.settings.begin(), options.settings.end());
  return out;
}

CrashRun::CrashRun(const CrashOptions& options, std::string deliver, const std::string& folder,
                   LossyDisk* disk)
    : options_(options),
      deliver_(std::move(deliver)),
      disk_(disk),
      server_({.program = options.program,
               .data = folder + (disk != nullptr ? "/disk/data-" : "/data-") + deliver_,
               .log = folder + "/server-" + deliver_ + ".log",
               .settings = settings_of(options, deliver_)}),
      random_(options.seed),
      progress_(options.quiet) {}

Client::Options CrashRun::client_options(std::string user, uint32_t index) {
  Client::Options out;
  out.to = server_.endpoint();
  out.user = std::move(user);
  out.transport = index % 5 == 4 ? Transport::poll : index % 2 == 0 ? Transport::sse : Transport::ws;
  out.source = client::source_address(index);
  out.seed = random_();
  return out;
}

bool CrashRun::wait_for(const char* what, Nanos limit, const std::function<bool()>& done) {
  const Nanos until = client::monotonic_now() + limit;
  while (!done()) {
    if (client::monotonic_now() > until) {
      tally_.faults.push_back(
          fmt::format("{} round {}: {} not within {} s", deliver_, tally_.rounds, what, limit / kSecond));
      return false;
    }
    loop_.run_once(5 * kMillisecond);
    if (progress_.due(loop_.now())) {
      progress_.show(loop_.now(),
                     fmt::format("crash {}  round {}/{}  {} stored  {} deliveries  {} rolled back  {} faults",
                                 deliver_, tally_.rounds, options_.rounds, tally_.stored, tally_.deliveries,
                                 tally_.taken_back, tally_.faults.size()));
    }
  }
  return true;
}

bool CrashRun::all_live() {
  const auto live = [](const auto& each) { return each->client().live(); };
  return std::all_of(publishers_.begin(), publishers_.end(), live) &&
         std::all_of(readers_.begin(), readers_.end(), live);
}

Result<void> CrashRun::begin() {
  if (Result<void> started = server_.start(); !started) return started;
  for (uint32_t i = 0; i < kPublishers; ++i) {
    Client::Options options = client_options(fmt::format("p{}", i), i);
    if (options.transport == Transport::poll) options.transport = Transport::ws;
    options.rooms = {room_name(i % kRooms)};
    publishers_.push_back(
        std::make_unique<Publisher>(loop_, std::move(options), Publisher::Shared{tally_, sending_, stored_}));
    publishers_.back()->client().start();
  }
  for (uint32_t i = 0; i < kReaders; ++i) {
    Client::Options options = client_options(fmt::format("r{}", i), i);
    options.cursor = "earliest";
    for (uint32_t room = 0; room < kRooms; ++room) options.rooms.push_back(room_name(room));
    readers_.push_back(std::make_unique<Reader>(loop_, std::move(options), tally_));
    readers_.back()->client().start();
  }
  if (!wait_for("all clients live", kSettleLimit, [this] { return all_live(); })) {
    return fail(Code::internal, "The clients could not connect to the server.");
  }
  return {};
}

Result<void> CrashRun::restart() {
  server_.kill();
  if (disk_ != nullptr) {
    if (Result<void> lost = disk_->lose(); !lost) return lost;
  }
  return server_.start();
}

Result<void> CrashRun::round(uint32_t number) {
  tally_.rounds = number;
  sending_ = true;
  for (const auto& publisher : publishers_) publisher->fill();
  const Nanos until = client::monotonic_now() + 50 * kMillisecond + random_() % (600 * kMillisecond);
  while (client::monotonic_now() < until) loop_.run_once(until - client::monotonic_now());
  if (Result<void> again = restart(); !again) return again;
  sending_ =
      number % 4 == 0;  // mostly the answers are awaited; sometimes the load goes on through the restart
  if (sending_) {
    const Nanos more = client::monotonic_now() + 300 * kMillisecond;
    while (client::monotonic_now() < more) loop_.run_once(10 * kMillisecond);
    sending_ = false;
  }
  wait_for("every command answered", kSettleLimit, [this] {
    return std::all_of(publishers_.begin(), publishers_.end(),
                       [](const auto& each) { return each->waiting() == 0; });
  });
  check(number);
  return {};
}

void CrashRun::load_page(const std::string& room, const std::string& after, Entries& entries,
                         bool& complete) {
  std::string data;
  JsonObject(data).field("room", room).field("limit", 256).field("after", after).end();
  publishers_.front()->client().command(
      "messages.load", std::move(data), [this, room, &entries, &complete](const Reply& reply) {
        simdjson::dom::array messages;
        if (!reply.success || reply.json.at_key("messages").get_array().get(messages) != simdjson::SUCCESS) {
          tally_.faults.push_back(fmt::format("messages.load: {} {}", reply.code, reply.sentence));
          complete = true;
          return;
        }
        std::string last;
        for (const client::Json& message : messages) {
          last = client::text_at(message, "id");
          entries.push_back({client::sequence_of(last), std::string(client::text_at(message, "clientId"))});
        }
        complete = last.empty() || !client::flag_at(reply.json, "hasMore");
        if (!complete) load_page(room, last, entries, complete);
      });
}

std::map<std::string, Entries> CrashRun::history() {
  std::map<std::string, Entries> out;
  // Position 0 of this epoch: before everything.
  const std::string& cursor = readers_.front()->client().cursor();
  const std::string start = cursor.substr(0, 12) + "-" + std::string(14, '0');
  for (uint32_t room = 0; room < kRooms; ++room) {
    bool complete = false;
    load_page(room_name(room), start, out[room_name(room)], complete);
    wait_for("history loaded", kSettleLimit, [&] { return complete; });
  }
  return out;
}

bool CrashRun::caught_up(const std::map<std::string, Entries>& history) {
  for (const auto& reader : readers_) {
    for (const auto& [room, entries] : history) {
      const Entries& seen = reader->seen(room);
      if (entries.empty() ? !seen.empty() : seen.empty() || seen.back() != entries.back()) return false;
    }
  }
  return true;
}

// Where two lists part, for people.
std::string difference(const Entries& truth, const Entries& seen) {
  const auto [a, b] = std::mismatch(truth.begin(), truth.end(), seen.begin(), seen.end());
  const auto show = [](const Entries& list, Entries::const_iterator at) {
    return at == list.end() ? std::string("nothing") : fmt::format("{:x} {}", at->sequence, at->client_id);
  };
  return fmt::format("at {} of {} history has {}, the reader has {}", a - truth.begin(), truth.size(),
                     show(truth, a), show(seen, b));
}

void CrashRun::check(uint32_t number) {
  const std::map<std::string, Entries> truth = history();
  check_history(number, truth);
  wait_for("all readers caught up", kSettleLimit, [&] { return caught_up(truth); });
  const Nanos until = client::monotonic_now() + kAfterglow;
  while (client::monotonic_now() < until) loop_.run_once(10 * kMillisecond);
  for (const auto& reader : readers_) {
    for (const auto& [room, entries] : truth) {
      const Entries& seen = reader->seen(room);
      if (seen == entries) continue;
      fault(number,
            fmt::format("{} ({}) in {}: {}", reader->client().user(),
                        client::word_of(reader->client().transport()), room, difference(entries, seen)));
    }
    if (reader->client().counts().went_back != 0)
      fault(number, reader->client().user() + ": ids went back on a stream");
  }
  if (deliver_ == "commit" && tally_.rolled_back != 0) fault(number, "a reset rolled_back under commit");
}

void CrashRun::check_history(uint32_t number, const std::map<std::string, Entries>& history) {
  std::map<std::string, uint64_t> found;
  for (const auto& [room, entries] : history) {
    for (const Entry& entry : entries) {
      if (!found.emplace(entry.client_id, entry.sequence).second)
        fault(number, entry.client_id + " is in history twice");
    }
  }
  for (const auto& [client_id, event_id] : stored_) {
    const auto at = found.find(client_id);
    if (at == found.end()) {
      fault(number,
            fmt::format("{} was acknowledged stored as {} and is not in history", client_id, event_id));
    } else if (at->second != client::sequence_of(event_id)) {
      fault(number, fmt::format("{} was acknowledged as {} and is in history at {:x}", client_id, event_id,
                                at->second));
    }
  }
}

Result<Tally> CrashRun::run() {
  if (Result<void> begun = begin(); !begun) return begun.error();
  for (uint32_t number = 1; number <= options_.rounds && tally_.faults.size() < 20; ++number) {
    if (Result<void> done = round(number); !done) return done.error();
  }
  // An orderly end loses nothing either.
  if (Result<void> stopped = server_.stop(); !stopped) tally_.faults.push_back(stopped.error().sentence);
  const uint64_t rolled_back = tally_.rolled_back;
  if (Result<void> started = server_.start(); !started) return started.error();
  check(options_.rounds + 1);
  if (tally_.rolled_back != rolled_back) tally_.faults.push_back("a reset rolled_back after an orderly end");
  if (Result<void> stopped = server_.stop(); !stopped) tally_.faults.push_back(stopped.error().sentence);
  progress_.clear();
  tally_.start_retries = server_.retries();
  return tally_;
}

void print_table(const std::string& title, const Tally& tally, const std::string& losses) {
  const client::Paint paint = client::Paint::for_stdout();
  client::Facts facts(title);
  const auto count = [&](const char* name, uint64_t n) { facts.add(name, client::with_thousands(n)); };
  count("kills", tally.rounds);
  count("acknowledged stored", tally.stored);
  count("acknowledged accepted", tally.accepted);
  count("retries that met their first", tally.duplicates);
  count("deliveries", tally.deliveries);
  count("resets rolled_back", tally.rolled_back);
  count("messages taken back by them", tally.taken_back);
  count("unsaved", tally.unsaved);
  count("starts tried again", tally.start_retries);
  facts.add("faults", client::with_thousands(tally.faults.size()),
            tally.faults.empty() ? paint.green : paint.red);
  fmt::print("{}", facts.text(paint));
  if (!losses.empty()) fmt::print("  lossy disk: {}\n", losses);
  for (size_t i = 0; i < std::min(tally.faults.size(), kFaultsShown); ++i) {
    fmt::print("  {}{}{}\n", paint.red, tally.faults[i], paint.off);
  }
}

void print_json(const std::string& deliver, const Tally& tally, const std::string& losses) {
  std::string faults = "[";
  for (const std::string& fault : tally.faults) faults += (faults.size() > 1 ? "," : "") + json_string(fault);
  faults += "]";
  std::string out;
  JsonObject object(out);
  object.field("deliver", deliver)
      .field("passed", tally.faults.empty())
      .field("kills", tally.rounds)
      .field("stored", tally.stored)
      .field("accepted", tally.accepted)
      .field("duplicates", tally.duplicates)
      .field("deliveries", tally.deliveries)
      .field("rolledBack", tally.rolled_back)
      .field("takenBack", tally.taken_back)
      .field("unsaved", tally.unsaved)
      .field("startRetries", tally.start_retries)
      .raw("faults", faults);
  if (!losses.empty()) object.raw("lossyDisk", losses);
  object.end();
  fmt::print("{}\n", out);
}

int run_policy(const CrashOptions& options, const std::string& deliver, const std::string& folder,
               LossyDisk* disk) {
  CrashRun run(options, deliver, folder, disk);
  const Result<Tally> tally = run.run();
  if (!tally) {
    fmt::print(stderr, "twinbench: {}\n", tally.error().sentence);
    return 2;
  }
  const std::string losses = disk != nullptr ? disk->counts() : "";
  if (options.json) {
    print_json(deliver, *tally, losses);
  } else {
    print_table(fmt::format("kill -9 under load, deliver = {}{}", deliver, disk ? ", lossy disk" : ""),
                *tally, losses);
  }
  return tally->faults.empty() ? 0 : 1;
}

}  // namespace

int crash(const CrashOptions& options) {
  std::string folder = options.scratch + "/twinbench-crash.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "twinbench: cannot make a folder in {}\n", options.scratch);
    return 2;
  }
  auto disk = std::make_unique<LossyDisk>();
  const bool lossy = !options.lossy.empty();
  if (lossy) {
    mkdir((folder + "/disk").c_str(), 0700);
    if (Result<void> mounted = disk->mount(options.lossy, folder + "/disk"); !mounted) {
      fmt::print(stderr, "twinbench: no kill rounds on a lossy disk: {}\n", mounted.error().sentence);
      std::filesystem::remove_all(folder);
      return 2;
    }
  }
  int worst = 0;
  for (const char* deliver : {"publish", "commit"}) {
    if (options.deliver != "both" && options.deliver != deliver) continue;
    worst = std::max(worst, run_policy(options, deliver, folder, lossy ? disk.get() : nullptr));
  }
  disk.reset();
  if (worst == 0) {
    std::filesystem::remove_all(folder);
  } else {
    fmt::print(stderr, "twinbench: the server's words are in {}\n", folder);
  }
  return worst;
}

}  // namespace twinwire::bench
