// The simulator: many seeds, each a whole life of the engine in one thread with faults; prints how often each
// state and fault was reached, and proves itself by mutations that it must catch.
//   sim                        the regressions, the default number of seeds, the mutations
//   sim --seeds N [--from S]   N seeds only, from S on (1); a seed's number fixes its kind
//       --kind NAME            of all of them: plain interleaved tight wide tight_wide crowd identity
//       --steps N --trace      turns of one life (2500); what happens, on standard error
//   sim --mutations            the mutations only
// Exit code 0: every seed held, in a default run everything was reached, and every mutation was seen by a
// rule that broke (a process that dies of one does not count).
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>

#include "tests/sim/world.h"

namespace {

using namespace twinwire;
using namespace twinwire::sim;

constexpr const char* kKinds[] = {"plain", "interleaved", "tight", "wide", "tight_wide", "crowd", "identity"};

struct Arguments {
  uint64_t seeds = 3000;  // with the regressions and the mutations about a minute on two busy cores
  uint64_t from = 1;
  uint32_t steps = 2500;
  std::optional<Kind> kind;
  bool trace = false;
  bool only_seeds = false;
  bool only_mutations = false;
  Mutation mutation = Mutation::none;
  bool no_sync = false;
};

// Seeds that once broke, with their kind and what they showed. Every run begins with them.
struct Regression {
  uint64_t seed;
  Kind kind;
  const char* what;
};
constexpr Regression kRegressions[] = {
    {6930, Kind::interleaved,
     "checker: a poll is not told that a membership ended between its cursor and now"},
    {7701, Kind::interleaved, "a membership that could not be stored left its readers in the room"},
    {1005, Kind::interleaved, "a removal dropped from a full socket's queue was never told"},
    {12047, Kind::plain, "a join whose session moved away meanwhile was never answered"},
    {19964, Kind::plain, "the same, over a WebSocket"},
    {14724, Kind::interleaved, "a room gained during a read: live without what lay before the join"},
    {22478, Kind::plain, "the same, over SSE"},
    {15546, Kind::interleaved, "a room gained by the inbox while a command was about to gain it"},
    {20789, Kind::plain, "a user was answered from a record that was still being loaded"},
    {31911, Kind::interleaved,
     "checker: of two take-overs at once the newer stream may be the one that ends"},
    {43323, Kind::interleaved, "checker: an inbox event from before a removal opens nothing"},
    {51113, Kind::plain, "a join that was refused left its room with the stream"},
    {60802, Kind::plain, "checker: what was given up and had landed is owed to nobody"},
    {630, Kind::tight, "checker: a lease so short that nothing could be claimed before its renewal"},
    {373, Kind::tight_wide, "a reset was told before the `connected` of a stream with history=N"},
    {1292, Kind::tight, "a room trimmed twice during one catch-up: what the second took was never told"},
    {3214, Kind::tight, "a listed room whose inbox event came first began at that event, not at the cursor"},
    {3622, Kind::tight_wide, "checker: a message that landed before its room was cleared is no lost one"},
    {2293, Kind::tight_wide, "a room was read as cleared by a clearing that was then lost"},
    {2537, Kind::wide, "checker: the answer of rooms.join gains a closed room before the inbox tells of it"},
    {2731, Kind::wide, "checker: the same, where the inbox's event was given up"},
    {2858, Kind::tight_wide, "who left during a paused delivery left another with a wrong place in the list"},
    {4655, Kind::tight_wide, "checker: a room whose inbox event was given up is told by its own events"},
    {10182, Kind::plain, "checker: a poll is not told that a membership was given up"},
    {12418, Kind::wide, "checker: what came before a stream began anew below it was owed up to there"},
};

struct Mutant {
  Mutation mutation;
  const char* name;
};
constexpr Mutant kMutants[] = {
    {Mutation::cut_off_by_one, "cut off by one"},
    {Mutation::join_acted_on_by_mail, "join acted on by mail"},
    {Mutation::tail_drops_above_durable, "tail drops above durable"},
    {Mutation::sequence_reused, "sequence reused after restart"},
    {Mutation::ack_before_sync, "ack before sync"},
    {Mutation::lagging_skips_one, "lagging to live skips one"},
    {Mutation::prepaid_short_by_one, "prepaid count short by one"},
    {Mutation::joined_by_ends, "joined run over two rooms"},
    {Mutation::inbox_room_without_catch_up, "a room gained by inbox goes live at J, no catch-up"},
    {Mutation::old_leave_after_join, "an old leave undoes a newer join"},
    {Mutation::take_over_writes_early, "take-over writes before the old stream ended"},
    {Mutation::reset_when_possible, "reset where resume was possible"},
    {Mutation::history_before_membership, "history before a membership in a closed room"},
    {Mutation::revoked_comes_back, "a revoked token opens a stream"},
};

Kind kind_of(uint64_t seed) {
  static constexpr Kind kOf[8] = {Kind::plain,      Kind::interleaved, Kind::tight, Kind::wide,
                                  Kind::tight_wide, Kind::interleaved, Kind::tight, Kind::wide};
  if (seed % 64 == 63) return Kind::crowd;
  return seed % 16 == 15 ? Kind::identity : kOf[seed % 8];
}

// The text of the violation, or "" if the seed held.
std::string run_seed(const Arguments& arguments, uint64_t seed, Kind kind, Coverage& coverage) {
  Options options;
  options.seed = seed;
  options.kind = kind;
  options.steps = arguments.steps;
  options.mutation = arguments.mutation;
  options.trace = arguments.trace;
  if (arguments.no_sync) options.sync = store::Sync::no;
  try {
    World world(options, coverage);
    world.run();
  } catch (const Violation& violation) {
    return violation.what;
  }
  return "";
}

bool held(const Arguments& arguments, uint64_t seed, Kind kind, Coverage& coverage) {
  std::string broken = run_seed(arguments, seed, kind, coverage);
  if (broken.empty()) return true;
  std::printf("BROKEN %s\n  again: sim --from %llu --seeds 1 --kind %s --trace\n", broken.c_str(),
              static_cast<unsigned long long>(seed), kKinds[static_cast<size_t>(kind)]);
  return false;
}

bool run_regressions(const Arguments& arguments, Coverage& coverage) {
  for (const Regression& regression : kRegressions) {
    if (held(arguments, regression.seed, regression.kind, coverage)) continue;
    std::printf("  it once showed: %s\n", regression.what);
    return false;
  }
  std::printf("%zu seeds that once broke held\n", std::size(kRegressions));
  return true;
}

bool run_seeds(const Arguments& arguments) {
  Coverage coverage;
  bool all = !arguments.only_seeds;
  auto begin = std::chrono::steady_clock::now();
  bool terminal = isatty(2);
  if (all && !run_regressions(arguments, coverage)) return false;
  for (uint64_t i = 0; i < arguments.seeds; i++) {
    uint64_t seed = arguments.from + i;
    if (!held(arguments, seed, arguments.kind.value_or(kind_of(seed)), coverage)) return false;
    if (terminal && i % 50 == 49)
      std::fprintf(stderr, "\r%llu seeds", static_cast<unsigned long long>(i + 1));
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (terminal) std::fprintf(stderr, "\r");
  std::printf("%llu seeds held in %.1f s\n", static_cast<unsigned long long>(arguments.seeds), seconds);
  uint32_t zero = coverage.print();
  if (zero && all) std::printf("BROKEN %u lines of the list were never reached\n", zero);
  return zero == 0 || !all;
}

// Runs seeds in a child process until a rule breaks. A process that dies of the mutant has not caught it.
bool caught(Arguments arguments, const Mutant& mutant) {
  constexpr uint64_t kSeedsMax = 3000;
  arguments.mutation = mutant.mutation;
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    Coverage coverage;
    for (uint64_t seed = 1; seed <= kSeedsMax; seed++) {
      std::string broken = run_seed(arguments, seed, kind_of(seed), coverage);
      if (broken.empty()) continue;
      std::printf("  caught  %-50s %s\n", mutant.name, broken.substr(0, 150).c_str());
      std::fflush(stdout);
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 1) return true;
  std::printf("  MISSED  %-50s %s\n", mutant.name,
              WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "no rule broke" : "the process died of it");
  return false;
}

bool run_mutations(const Arguments& arguments) {
  std::printf("Mutations:\n");
  bool all = true;
  for (const Mutant& mutant : kMutants) all = caught(arguments, mutant) && all;
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i++) {
    std::string flag = argv[i];
    auto number = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 0; };
    if (flag == "--seeds")
      arguments.seeds = number(), arguments.only_seeds = true;
    else if (flag == "--from")
      arguments.from = number();
    else if (flag == "--steps")
      arguments.steps = static_cast<uint32_t>(number());
    else if (flag == "--kind") {
      std::string name = i + 1 < argc ? argv[++i] : "";
      for (size_t k = 0; k < std::size(kKinds); k++)
        if (name == kKinds[k]) arguments.kind = static_cast<Kind>(k);
      if (!arguments.kind) return std::printf("see the head of tests/sim/main.cc\n"), 2;
    } else if (flag == "--trace")
      arguments.trace = true;
    else if (flag == "--mutations")
      arguments.only_mutations = true;
    else if (flag == "--mutation")
      arguments.mutation = static_cast<Mutation>(number());
    else if (flag == "--no-sync")
      arguments.no_sync = true;
    else
      return std::printf("see the head of tests/sim/main.cc\n"), 2;
  }
  bool ok = arguments.only_mutations || run_seeds(arguments);
  if (ok && !arguments.only_seeds) ok = run_mutations(arguments);
  std::printf(ok ? "1 passed, 0 failed\n" : "0 passed, 1 failed\n");
  return ok ? 0 : 1;
}
