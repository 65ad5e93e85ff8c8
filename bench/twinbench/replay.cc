#include "bench/twinbench/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

#include "bench/client/table.h"
#include "bench/client/text.h"
#include "bench/twinbench/participant.h"
#include "bench/twinbench/process.h"
#include "bench/twinbench/progress.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

using client::Client;
using client::kMillisecond;
using client::kSecond;
using client::Loop;
using client::Nanos;
using client::Transport;
using client::with_thousands;

constexpr Nanos kConnectLimit = 60 * kSecond;
constexpr Nanos kStallLimit = 30 * kSecond;       // without any delivery or ack: something hangs
constexpr Nanos kAfterglow = 500 * kMillisecond;  // what comes after the last line was seen is a repeat
constexpr Nanos kDeliveryGuess = 8'000;           // both ends, on two cores
constexpr uint32_t kLateReadersPerRoom = 4;
constexpr uint32_t kWatchers = 8;  // follow all rooms
constexpr size_t kOpeningAtOnce = 100;

class Replay {
 public:
  Replay(const ReplayOptions& options, std::vector<Log> logs);
  int run();

 private:
  void invite();
  Participant& add(std::string user, std::vector<Stage*> stages, Habit habit, std::string cursor);
  Habit some_habit();
  Nanos calm_time(const std::map<std::string, std::vector<Stage*>>& rooms_of) const;
  bool open_all();
  void play();
  void pump(Stage& stage);
  void say(Stage& stage);
  void said(Stage& stage, const client::Reply& reply);
  void start_late_readers(bool all);
  void settle();
  bool all_said() const;
  bool stalled();
  std::string progress_line() const;
  uint64_t lines_acked() const;
  uint64_t lines_total() const;
  int report(bool in_time);
  Faults judge(std::vector<std::string>& guilty) const;
  void print_table(const Faults& faults, const std::vector<std::string>& guilty, bool passed) const;
  void print_json(const Faults& faults, bool passed) const;

  struct Late {
    Stage* stage;
    uint32_t line;  // starts once this many are acked
  };

  const ReplayOptions& options_;
  Loop loop_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<std::unique_ptr<Participant>> people_;
  std::map<std::string, Participant*> by_user_;
  std::vector<Late> late_;
  std::mt19937_64 random_;
  client::Histogram ack_latency_;
  Progress progress_;
  Nanos calm_ = 0;
  Nanos longest_ = 0;
  Nanos began_ = 0;
  Nanos ended_ = 0;
  uint64_t progress_mark_ = 0;
  Nanos progress_at_ = 0;
  std::string refusal_;
  std::optional<ProcessUse> use_before_;
};

Replay::Replay(const ReplayOptions& options, std::vector<Log> logs)
    : options_(options), random_(options.seed), progress_(options.quiet) {
  // Rooms of their own for every run, so that a server may be used again.
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  ledger_.run = fmt::format("r{:x}", static_cast<uint64_t>(now) >> 16 & 0xFFFFFFFF);
  uint64_t longest = 0;
  for (Log& log : logs) {
    auto stage = std::make_unique<Stage>();
    stage->room = fmt::format("{}.{}", log.name, ledger_.run);
    stage->due = schedule_of(log, options.speed);
    stage->sent_at.assign(log.lines.size(), 0);
    stage->log = std::move(log);
    if (!stage->due.empty()) longest = std::max(longest, stage->due.back());
    stages_.push_back(std::move(stage));
  }
  longest_ = longest;
}

// Each restless reader is disturbed about eight times, however long the run takes: as long as the logs say,
// or as the deliveries need.
Nanos Replay::calm_time(const std::map<std::string, std::vector<Stage*>>& rooms_of) const {
  uint64_t deliveries = 0;
  for (const auto& [user, stages] : rooms_of) {
    for (const Stage* stage : stages) deliveries += stage->log.lines.size();
  }
  return std::max({longest_, deliveries * kDeliveryGuess, 400 * kMillisecond}) / 8;
}

Habit Replay::some_habit() {
  const uint64_t draw = random_() % 20;
  return draw < 7 ? Habit::steady : draw < 15 ? Habit::restless : draw < 18 ? Habit::slow : Habit::sleepy;
}

Participant& Replay::add(std::string user, std::vector<Stage*> stages, Habit habit, std::string cursor) {
  Participant::Setting setting;
  setting.habit = habit;
  setting.calm = calm_;
  Client::Options& client = setting.client;
  client.to = options_.to;
  client.user = std::move(user);
  client.transport = people_.size() % 2 == 0 ? Transport::sse : Transport::ws;
  client.cursor = std::move(cursor);
  client.auth_message = random_() % 4 == 0;
  client.source = client::source_address(people_.size() / 20);
  client.seed = random_();
  client.post_only = habit == Habit::slow || habit == Habit::sleepy;
  if (habit == Habit::slow) {
    client.receive_buffer_bytes = 4096;
    client.bytes_per_second = 4000 + random_() % 28'000;
  }
  people_.push_back(std::make_unique<Participant>(loop_, ledger_, std::move(setting), std::move(stages)));
  return *people_.back();
}

// Everyone who says something reads all rooms in which they do; and some read everything.
void Replay::invite() {
  std::map<std::string, std::vector<Stage*>> rooms_of;
  std::vector<Stage*> all;
  for (const auto& stage : stages_) {
    all.push_back(stage.get());
    std::set<std::string> users;
    for (const LogLine& line : stage->log.lines) users.insert(line.user);
    for (const std::string& user : users) rooms_of[user].push_back(stage.get());
    for (uint32_t i = 0; i < kLateReadersPerRoom; ++i) {
      const uint64_t size = stage->log.lines.size();
      const uint64_t line = i + 1 == kLateReadersPerRoom ? size : random_() % (size + 1);
      late_.push_back({stage.get(), static_cast<uint32_t>(line)});
    }
  }
  calm_ = calm_time(rooms_of);
  for (auto& [user, stages] : rooms_of) by_user_[user] = &add(user, stages, some_habit(), "");
  for (uint32_t i = 0; i < kWatchers; ++i) {
    add(fmt::format("watcher-{}", i), all, i < 2 ? Habit::steady : some_habit(), "");
  }
}

bool Replay::open_all() {
  const Nanos limit = client::monotonic_now() + kConnectLimit;
  size_t started = 0;
  size_t live = 0;
  while (live < people_.size()) {
    live = static_cast<size_t>(std::count_if(people_.begin(), people_.end(),
                                             [](const auto& each) { return each->client().live(); }));
    for (; started < people_.size() && started < live + kOpeningAtOnce; ++started)
      people_[started]->client().start();
    loop_.run_once(5 * kMillisecond);
    if (progress_.due(loop_.now())) {
      progress_.show(loop_.now(), fmt::format("replay  connecting {:>6}/{}", live, people_.size()));
    }
    if (loop_.now() > limit) {
      progress_.clear();
      fmt::print(stderr,
                 "twinbench: {} of {} readers could connect to http://{}/ (last: {}). Is the server running? "
                 "Start it with: twinwire serve\n",
                 live, people_.size(), options_.to.authority(),
                 people_[live == 0 ? 0 : live - 1]->client().last_end());
      return false;
    }
  }
  return true;
}

void Replay::pump(Stage& stage) {
  const Nanos past = loop_.now() - began_;
  if (stage.waiting || stage.next >= stage.due.size() || stage.due[stage.next] > past) return;
  say(stage);
}

void Replay::say(Stage& stage) {
  const uint32_t index = stage.next;
  const LogLine& line = stage.log.lines[index];
  std::string data;
  JsonObject(data)
      .field("room", stage.room)
      .field("content", line.text)
      .field("clientId", fmt::format("{}-{}", ledger_.run, index))
      .field("ack", random_() % 10 == 0 ? "accepted" : "stored")
      .end();
  stage.waiting = true;
  stage.sent_at[index] = client::monotonic_now();
  by_user_.at(line.user)->client().command(
      "messages.send", std::move(data), [this, &stage](const client::Reply& reply) { said(stage, reply); });
}

void Replay::said(Stage& stage, const client::Reply& reply) {
  ack_latency_.add(client::monotonic_now() - stage.sent_at[stage.next]);
  if (!reply.success) {
    ++stage.refused;
    if (refusal_.empty()) {
      refusal_ = fmt::format("{} line {}: {} {}", stage.room, stage.next + 1, reply.code, reply.sentence);
    }
  } else {
    ++stage.acked;
  }
  stage.waiting = false;
  ++stage.next;
  // From the loop, so that a log in a hurry does not starve the readers.
  loop_.after(0, [this, &stage] { pump(stage); });
}

bool Replay::all_said() const {
  return std::all_of(stages_.begin(), stages_.end(),
                     [](const auto& stage) { return stage->next >= stage->log.lines.size(); });
}

void Replay::start_late_readers(bool all) {
  for (size_t i = 0; i < late_.size();) {
    if (!all && late_[i].stage->next < late_[i].line) {
      ++i;
      continue;
    }
    const std::string user = fmt::format("late-{}", people_.size());
    Participant& reader = add(user, {late_[i].stage}, all ? Habit::steady : some_habit(), "earliest");
    reader.client().start();
    reader.begin_habit();
    late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

uint64_t Replay::lines_acked() const {
  uint64_t out = 0;
  for (const auto& stage : stages_) out += stage->next;
  return out;
}

uint64_t Replay::lines_total() const {
  uint64_t out = 0;
  for (const auto& stage : stages_) out += stage->log.lines.size();
  return out;
}

// Slow speeds have long silences, so only what should be moving counts: a line under way, or readers catching
// up.
bool Replay::stalled() {
  const uint64_t mark = lines_acked() + ledger_.deliveries;
  const bool moving =
      std::any_of(stages_.begin(), stages_.end(), [](const auto& stage) { return stage->waiting; });
  if (mark != progress_mark_ || (!moving && !all_said())) {
    progress_mark_ = mark;
    progress_at_ = loop_.now();
  }
  return loop_.now() - progress_at_ > kStallLimit;
}

std::string Replay::progress_line() const {
  const auto live =
      std::count_if(people_.begin(), people_.end(), [](const auto& each) { return each->client().live(); });
  uint64_t resets = 0;
  for (const auto& [reason, count] : ledger_.resets) resets += count;
  return fmt::format("replay  {}/{} lines  {} deliveries  {}/{} readers live  {} resets  {:.0f} s",
                     with_thousands(lines_acked()), with_thousands(lines_total()),
                     with_thousands(ledger_.deliveries), live, people_.size(), resets,
                     static_cast<double>(loop_.now() - began_) / 1e9);
}

void Replay::play() {
  for (const auto& person : people_) person->begin_habit();
  began_ = progress_at_ = client::monotonic_now();
  while (!all_said() && !stalled()) {
    Nanos wait = 50 * kMillisecond;
    const Nanos past = client::monotonic_now() - began_;
    for (const auto& stage : stages_) {
      pump(*stage);
      if (stage->waiting || stage->next >= stage->due.size()) continue;
      wait = std::min(wait, stage->due[stage->next] > past ? stage->due[stage->next] - past : 0);
    }
    loop_.run_once(wait);
    start_late_readers(false);
    if (progress_.due(loop_.now())) progress_.show(loop_.now(), progress_line());
  }
  ended_ = loop_.now();
}

void Replay::settle() {
  start_late_readers(true);
  for (const auto& person : people_) person->calm_down();
  progress_at_ = loop_.now();
  std::vector<Participant*> open;
  for (const auto& person : people_) open.push_back(person.get());
  while (!open.empty() && !stalled()) {
    loop_.run_once(50 * kMillisecond);
    std::erase_if(open, [](const Participant* person) { return person->complete(); });
    if (progress_.due(loop_.now())) progress_.show(loop_.now(), progress_line());
  }
  const Nanos until = loop_.now() + kAfterglow;
  while (loop_.now() < until) loop_.run_once(50 * kMillisecond);
  progress_.clear();
}

int Replay::run() {
  invite();
  if (options_.server != 0) use_before_ = use_of(options_.server);
  if (!open_all()) return 2;
  play();
  const bool in_time = all_said();
  settle();
  return report(in_time);
}

Faults Replay::judge(std::vector<std::string>& guilty) const {
  Faults out;
  for (const auto& person : people_) {
    Faults faults = person->check();
    // An id at or below an earlier one of the same stream came twice or out of its turn.
    faults.repeated += person->client().counts().went_back;
    out += faults;
    if (!faults.none() && guilty.size() < 10) guilty.push_back(person->description());
  }
  return out;
}

int Replay::report(bool in_time) {
  std::vector<std::string> guilty;
  const Faults faults = judge(guilty);
  const bool passed = in_time && faults.none() && ledger_.resets.empty() && refusal_.empty();
  if (options_.json) {
    print_json(faults, passed);
  } else {
    print_table(faults, guilty, passed);
  }
  if (!in_time) fmt::print(stderr, "twinbench: no answer for 30 s; not all lines were sent.\n");
  if (!refusal_.empty()) fmt::print(stderr, "twinbench: refused: {}\n", refusal_);
  if (!ledger_.first_fault.empty()) fmt::print(stderr, "twinbench: first fault: {}\n", ledger_.first_fault);
  for (const std::string& each : guilty) fmt::print(stderr, "twinbench: {}\n", each);
  return passed ? 0 : 1;
}

struct Sums {
  uint64_t resets = 0;
  Client::Counts clients;
  uint64_t replaced = 0;
  uint64_t changed = 0;
};

Sums sums_of(const Ledger& ledger, const std::vector<std::unique_ptr<Stage>>& stages,
             const std::vector<std::unique_ptr<Participant>>& people) {
  Sums out;
  for (const auto& [reason, count] : ledger.resets) out.resets += count;
  for (const auto& stage : stages) {
    out.replaced += stage->log.bytes_replaced;
    out.changed += stage->log.names_changed + stage->log.texts_changed;
  }
  for (const auto& person : people) {
    const Client::Counts& counts = person->client().counts();
    out.clients.opened += counts.opened;
    out.clients.ended += counts.ended;
    out.clients.dropped += counts.dropped;
    out.clients.taken_over += counts.taken_over;
    out.clients.overlapped += counts.overlapped;
    out.clients.retried += counts.retried;
  }
  return out;
}

void Replay::print_table(const Faults& faults, const std::vector<std::string>&, bool passed) const {
  const client::Paint paint = client::Paint::for_stdout();
  const Sums sums = sums_of(ledger_, stages_, people_);
  client::Table rooms(
      {{"room"}, {"lines", client::Table::Align::right}, {"replaced", client::Table::Align::right}});
  for (const auto& stage : stages_) {
    rooms.add(
        {stage->room, with_thousands(stage->log.lines.size()), with_thousands(stage->log.bytes_replaced)});
  }
  client::Facts facts("\nreplay " + ledger_.run +
                      fmt::format("  (speed {}, seed {})", options_.speed, options_.seed));
  const auto count = [&](const char* name, uint64_t n, bool fault) {
    facts.add(name, with_thousands(n), fault ? (n == 0 ? paint.green : paint.red) : std::string_view());
  };
  const double seconds = static_cast<double>(ended_ - began_) / 1e9;
  count("messages", lines_acked(), false);
  count("deliveries", ledger_.deliveries, false);
  count("readers", people_.size(), false);
  facts.add("seconds", fmt::format("{:.1f}", seconds));
  count("streams opened", sums.clients.opened, false);
  count("streams dropped by readers", sums.clients.dropped, false);
  count("streams ended by the server", sums.clients.ended, false);
  count("take-overs", sums.clients.taken_over, false);
  count("dropped in overlaps", sums.clients.overlapped, false);
  count("commands sent again", sums.clients.retried, false);
  count("bytes replaced in the logs", sums.replaced, false);
  count("lost", faults.lost, true);
  count("repeated", faults.repeated, true);
  count("reordered", faults.reordered, true);
  count("altered or foreign", faults.altered + faults.foreign, true);
  count("resets", sums.resets, true);
  count("unsaved", ledger_.unsaved, false);
  const auto times = [&](const std::string& name, const client::Histogram& histogram) {
    facts.add(name,
              fmt::format("{} / {} / {}", client::duration_text(histogram.at(0.5)),
                          client::duration_text(histogram.at(0.99)), client::duration_text(histogram.max())));
  };
  times("send to receipt, steady readers, p50/p99/max", ledger_.latency);
  times("send to receipt, all readers, p50/p99/max", ledger_.latency_all);
  times("send to answer, p50/p99/max", ack_latency_);
  if (use_before_) {
    if (const auto after = use_of(options_.server)) {
      const uint64_t cpu = after->cpu_nanos - use_before_->cpu_nanos;
      facts.add("server CPU", client::duration_text(cpu));
      facts.add("server CPU per delivery",
                client::duration_text(ledger_.deliveries == 0 ? 0 : cpu / ledger_.deliveries));
      facts.add("server memory", client::bytes_text(after->resident_bytes));
    }
  }
  fmt::print("{}{}  {}{}{}\n", rooms.text(paint), facts.text(paint), passed ? paint.green : paint.red,
             passed ? "every transcript equals its file" : "NOT every transcript equals its file", paint.off);
}

std::string latency_json(const client::Histogram& histogram) {
  std::string out;
  JsonObject(out)
      .field("count", histogram.count())
      .field("p50Ns", histogram.at(0.5))
      .field("p99Ns", histogram.at(0.99))
      .field("maxNs", histogram.max())
      .end();
  return out;
}

void Replay::print_json(const Faults& faults, bool passed) const {
  const Sums sums = sums_of(ledger_, stages_, people_);
  std::string resets;
  JsonObject reasons(resets);
  for (const auto& [reason, count] : ledger_.resets) reasons.field(reason, count);
  reasons.end();
  std::string out;
  JsonObject object(out);
  object.field("passed", passed)
      .field("run", ledger_.run)
      .raw("speed", fmt::format("{}", options_.speed))
      .field("seed", options_.seed)
      .field("rooms", static_cast<uint64_t>(stages_.size()))
      .field("readers", static_cast<uint64_t>(people_.size()))
      .field("messages", lines_acked())
      .field("deliveries", ledger_.deliveries)
      .field("nanoseconds", ended_ - began_)
      .field("lost", faults.lost)
      .field("repeated", faults.repeated)
      .field("reordered", faults.reordered)
      .field("altered", faults.altered)
      .field("foreign", faults.foreign)
      .raw("resets", resets)
      .field("unsaved", ledger_.unsaved)
      .field("opened", sums.clients.opened)
      .field("dropped", sums.clients.dropped)
      .field("ended", sums.clients.ended)
      .field("takenOver", sums.clients.taken_over)
      .field("overlapped", sums.clients.overlapped)
      .field("retried", sums.clients.retried)
      .field("bytesReplaced", sums.replaced)
      .raw("latencySteady", latency_json(ledger_.latency))
      .raw("latencyAll", latency_json(ledger_.latency_all))
      .raw("latencyAck", latency_json(ack_latency_));
  if (use_before_) {
    if (const auto after = use_of(options_.server)) {
      object.field("serverCpuNs", after->cpu_nanos - use_before_->cpu_nanos)
          .field("serverResidentBytes", after->resident_bytes);
    }
  }
  object.end();
  fmt::print("{}\n", out);
}

Result<std::vector<Log>> load_logs(const ReplayOptions& options) {
  std::vector<Log> logs;
  for (const std::string& file : options.files) {
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (!in) return fail(Code::not_found, fmt::format("Cannot read {}.", file));
    logs.push_back(parse_log(client::repair_utf8(std::filesystem::path(file).stem().string()).text, bytes));
  }
  if (!logs.empty()) return logs;
  if (!options.quiet) {
    fmt::print(stderr,
               "no logs given: replaying {} generated logs of {} lines each (seed {}, with invalid bytes)\n",
               options.generated, options.generated_lines, options.seed);
  }
  for (uint32_t i = 0; i < options.generated; ++i) {
    logs.push_back(parse_log(fmt::format("generated-{}", i + 1),
                             generate_log(options.seed * 1000 + i, options.generated_lines)));
  }
  return logs;
}

}  // namespace

int replay(const ReplayOptions& options) {
  Result<std::vector<Log>> logs = load_logs(options);
  if (!logs) {
    fmt::print(stderr, "twinbench: {}\n", logs.error().sentence);
    return 2;
  }
  Replay replay(options, std::move(*logs));
  return replay.run();
}

}  // namespace twinwire::bench
