#include "bench/twinbench/arena.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace twinwire::bench {
namespace {

constexpr uint32_t kSourcesPerSide = 60'000;

std::vector<int> harness_cores(bool pin) {
  std::vector<int> out;
  const int cores = cores_here();
  if (!pin || cores < 2) return out;
  for (int core = 1; core < cores; ++core) out.push_back(core);
  return out;
}

}  // namespace

std::string_view word_of(Mix mix) { return mix == Mix::sse ? "sse" : mix == Mix::ws ? "ws" : "mixed"; }

std::vector<Mix> mixes_of(const std::string& transport) {
  if (transport == "sse") return {Mix::sse};
  if (transport == "ws") return {Mix::ws};
  if (transport == "mixed") return {Mix::mixed};
  return {Mix::sse, Mix::ws};
}

bool with_arena(const CommonOptions& common, const Arena::Plan& plan, Mix mix, Report& report,
                const std::function<Result<void>(Arena&)>& run) {
  Arena arena(common, plan, mix);
  Result<void> done = arena.open();
  if (done) done = run(arena);
  if (!done) {
    arena.progress().clear();
    fmt::print(stderr, "twinbench: {}\n", done.error().sentence);
    return false;
  }
  arena.stop();
  report.notes.insert(report.notes.end(), arena.notes().begin(), arena.notes().end());
  return true;
}

bool measure_ours(const CommonOptions& common, const Arena::Plan& plan, Report& report,
                  const std::function<Result<void>(Arena&, Row&)>& run) {
  for (const Mix mix : mixes_of(common.transport == "both" ? "mixed" : common.transport)) {
    const bool began = with_arena(common, plan, mix, report, [&](Arena& arena) -> Result<void> {
      std::vector<Row> rows(1);
      Row& row = rows.front();
      row.target = arena.ours()->target->name();
      row.transport = word_of(mix);
      arena.ours()->before = arena.ours()->crew.sums();
      if (const Result<void> done = run(arena, row); !done) row.failure = done.error().sentence;
      arena.settle(rows);
      if (!row.failure.empty()) report.notes.push_back(row.target + ": " + row.failure);
      report.rows.push_back(row);
      return {};
    });
    if (!began) return false;
  }
  return true;
}

Arena::Arena(const CommonOptions& options, Plan plan, Mix mix)
    : options_(options), plan_(std::move(plan)), mix_(mix), progress_(options.quiet) {
  std::string folder = options.scratch + "/twinbench.XXXXXX";
  if (mkdtemp(folder.data()) != nullptr) folder_ = folder;
}

Arena::~Arena() {
  sides_.clear();
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

Side* Arena::ours() {
  for (const auto& side : sides_) {
    if (side->target->ours()) return side.get();
  }
  return nullptr;
}

Result<void> Arena::open() {
  if (folder_.empty()) return fail(Code::internal, "cannot make a folder in " + options_.scratch);
  for (const std::string& word : options_.targets) {
    Result<std::unique_ptr<Target>> target = Target::of(word, options_, folder_);
    if (!target) return target.error();
    auto side = std::make_unique<Side>();
    side->target = std::move(*target);
    sides_.push_back(std::move(side));
  }
  // Ours first: the bare one sends its bytes.
  std::vector<Side*> order;
  for (const auto& side : sides_) order.push_back(side.get());
  std::stable_sort(order.begin(), order.end(),
                   [](const Side* a, const Side* b) { return a->target->ours() > b->target->ours(); });
  for (Side* side : order) {
    Result<void> opened = open_side(*side);
    if (opened) continue;
    const std::string sentence = fmt::format("{}: {}", side->target->name(), opened.error().sentence);
    if (side->target->ours()) return fail(opened.error().code, sentence);
    side->failure = sentence;
    notes_.push_back(sentence);
  }
  return {};
}

std::vector<Form> Arena::forms() const {
  if (mix_ == Mix::mixed) return {Form::sse, Form::ws};
  return {mix_ == Mix::ws ? Form::ws : Form::sse};
}

// The bare one sends what the first of ours sends.
Result<void> Arena::learn_from(const Target& target) {
  for (const Form form : forms()) {
    if (!plan_.lessons.of(form).greeting.empty()) continue;
    Result<Learned> learned = learn(target.endpoint(), target.dialect(), form, options_.content_bytes);
    if (!learned) return learned.error();
    plan_.lessons.of(form) = std::move(*learned);
  }
  return {};
}

Result<void> Arena::teach(Target& target) {
  for (const Form form : forms()) {
    const std::string& greeting = plan_.lessons.of(form).greeting;
    if (greeting.empty() || (mix_ == Mix::mixed && !target.bare_of_both()))
      return fail(Code::invalid_argument, "needs twinwire in the run, on one transport");
    if (Result<void> primed = target.prime(form, greeting); !primed) return primed;
  }
  return {};
}

Result<void> Arena::tell_frames(Side& side) {
  for (const Form form : forms()) {
    const Learned& learned = plan_.lessons.of(form);
    Order frame;
    frame.what = Order::What::frame;
    frame.count = static_cast<uint32_t>(learned.frame_head.size());
    if (mix_ == Mix::mixed) frame.only = form == Form::ws ? kOnlyWs : kOnlySse;
    const Result<Answer> told = side.crew.tell_all(frame, learned.frame_head + learned.frame_tail);
    if (!told) return told.error();
  }
  return {};
}

Result<void> Arena::open_side(Side& side) {
  Target& target = *side.target;
  progress_.clear();
  if (progress_.due(client::monotonic_now()))
    progress_.show(client::monotonic_now(),
                   fmt::format("{} {}  starting {}", plan_.mode, word_of(mix_), target.name()));
  if (Result<void> started = target.start(plan_.words); !started) return started;
  const bool needs_sse = mix_ != Mix::ws;
  const bool needs_ws = mix_ != Mix::sse;
  if ((needs_sse && !target.dialect().sse) || (needs_ws && !target.dialect().ws))
    return fail(Code::not_found, fmt::format("does not speak {}", word_of(mix_)));
  if (target.ours() && (mix_ != Mix::mixed || plan_.learn_both)) {
    if (Result<void> learned = learn_from(target); !learned) return learned;
  }
  if (target.bare()) {
    if (Result<void> taught = teach(target); !taught) return taught;
  }
  const auto index = static_cast<uint32_t>(
      std::find_if(sides_.begin(), sides_.end(), [&](const auto& each) { return each.get() == &side; }) -
      sides_.begin());
  Crew::Options crew;
  crew.to = target.endpoint();
  crew.dialect = target.dialect();
  crew.mix = mix_;
  crew.readers = plan_.readers;
  crew.rooms = plan_.rooms;
  crew.workers = options_.workers;
  crew.first_source = index * kSourcesPerSide;
  crew.timing = plan_.timing;
  crew.slow = plan_.slow;
  crew.content_bytes = options_.content_bytes;
  crew.cursors_per_room = plan_.cursors_per_room;
  crew.cores = harness_cores(options_.pin);
  if (Result<void> started = side.crew.start(std::move(crew)); !started) return started;
  side.crew.set_on_wait([this, &side] {
    const client::Nanos now = client::monotonic_now();
    if (!progress_.due(now)) return;
    const Sums sums = side.crew.sums();
    progress_.show(now, fmt::format("{} {} {}  {} live  {} deliveries", plan_.mode, word_of(mix_),
                                    side.target->name(), sums.live, sums.deliveries));
  });
  if (plan_.open_readers) {
    if (const Result<Answer> opened = side.crew.open(plan_.at_once); !opened) return opened.error();
  }
  if (plan_.lanes == 0) return {};
  if (target.bare()) {
    if (Result<void> told = tell_frames(side); !told) return told;
  }
  Order speakers;
  speakers.what = Order::What::speakers;
  speakers.by_post = plan_.by_post;
  const Dialect& dialect = target.dialect();
  const Dialect::Publishing& way = plan_.by_post && dialect.post ? *dialect.post : dialect.publish;
  speakers.racing = way.via == Dialect::Via::post && !way.pipeline && plan_.window > 1 && plan_.rooms == 0;
  speakers.count = speakers.racing ? std::max(plan_.lanes, plan_.window) : plan_.lanes;
  if (speakers.racing)
    notes_.push_back(target.name() +
                     " takes its messages on several connections at once: their order is not its");
  const Result<Answer> told = side.crew.tell_speakers(speakers);
  if (!told) return told.error();
  return {};
}

Result<Arena::Cost> Arena::cost_of(Side& side, const std::function<Result<Answer>()>& work) {
  const uint64_t cpu = side.target->cpu_nanos();
  const uint64_t own = side.crew.cpu_nanos();
  const client::Nanos began = client::monotonic_now();
  const Result<Answer> answer = work();
  if (!answer) return answer.error();
  const auto took = static_cast<double>(client::monotonic_now() - began);
  Cost out;
  out.answer = *answer;
  out.cpu_nanos = static_cast<double>(side.target->cpu_nanos() - cpu);
  out.seconds = answer->seconds;
  const size_t cores =
      std::max<size_t>(1, options_.pin ? harness_cores(true).size() : static_cast<size_t>(cores_here()));
  out.harness_busy = static_cast<double>(side.crew.cpu_nanos() - own) / took / static_cast<double>(cores);
  busy_ = std::max(busy_, out.harness_busy);
  return out;
}

void Arena::take_turn(Side& side, Row& row, const Turn& turn, bool counts, bool again) {
  if (!side.failure.empty()) return;
  busy_ = 0;
  const Result<Figures> figures = turn(side);
  if (!figures) {
    side.failure = figures.error().sentence;
    row.failure = side.failure;
    notes_.push_back(fmt::format("{}: {}", row.target, row.failure));
    return;
  }
  if (!counts) return;
  row.add(*figures, again);
  if (again) return;
  row.harness_busy = std::max(row.harness_busy, busy_);
}

std::vector<Row> Arena::measure(const std::string& what, const Turn& turn) {
  std::vector<Row> rows(sides_.size());
  for (size_t i = 0; i < sides_.size(); ++i) {
    rows[i].target = sides_[i]->target->name();
    rows[i].transport = word_of(mix_);
    rows[i].failure = sides_[i]->failure;
    sides_[i]->before = sides_[i]->crew.started() ? sides_[i]->crew.sums() : Sums{};
  }
  const uint32_t rounds = options_.warm_up + options_.repetitions;
  for (uint32_t round = 0; round < rounds; ++round) {
    const bool counts = round >= options_.warm_up;
    for (size_t i = 0; i < sides_.size(); ++i) {
      const size_t place = (i + round) % sides_.size();
      if (progress_.due(client::monotonic_now())) {
        progress_.show(client::monotonic_now(), fmt::format("{} {}  {}  {}/{}  {}", plan_.mode, word_of(mix_),
                                                            what, round + 1, rounds, rows[place].target));
      }
      take_turn(*sides_[place], rows[place], turn, counts, false);
    }
    for (size_t i = 0; i < sides_.size(); ++i) {
      if (sides_[i]->target->name() == "bare") take_turn(*sides_[i], rows[i], turn, counts, true);
    }
  }
  progress_.clear();
  return rows;
}

void Arena::settle(std::vector<Row>& rows) {
  for (size_t i = 0; i < sides_.size() && i < rows.size(); ++i) {
    Side& side = *sides_[i];
    if (!side.crew.started() || !side.failure.empty()) continue;
    Order order;
    order.what = Order::What::settle;
    static_cast<void>(side.crew.tell_all(order));
    const Sums now = side.crew.sums();
    rows[i].lost = now.lost - side.before.lost;
    rows[i].repeated = now.repeated - side.before.repeated;
    rows[i].reordered = now.reordered - side.before.reordered;
    // What is lost once stays lost: later rows begin anew.
    order.what = Order::What::expect;
    static_cast<void>(side.crew.tell_all(order));
  }
  for (Row& row : rows) {
    if (row.limited())
      notes_.push_back(
          fmt::format("{} {}: the harness used {:.0f} % of its cores; it may be what was measured",
                      row.target, row.transport, row.harness_busy * 100));
  }
}

void Arena::stop() {
  progress_.clear();
  for (const auto& side : sides_) {
    if (!side->failure.empty() && !side->target->ours()) continue;
    if (const Result<void> stopped = side->target->stop(); !stopped)
      notes_.push_back(stopped.error().sentence);
  }
}

}  // namespace twinwire::bench
