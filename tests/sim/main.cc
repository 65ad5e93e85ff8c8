// The simulator: many seeds, each a whole life of the engine in one thread with faults; prints what was
// reached, and proves itself by mutations that it must catch.
//   sim [--seeds N] [--from S] [--mutations] [--trace] [--steps N]
// Exit code 0: every seed held and every mutation was seen.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/world.h"

namespace {

using namespace twinwire;
using namespace twinwire::sim;

struct Arguments {
  uint64_t seeds = 4000;
  uint64_t from = 1;
  uint32_t steps = 2500;
  bool trace = false;
  bool only_seeds = false;
  bool only_mutations = false;
  Mutation mutation = Mutation::none;
  bool no_sync = false;
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
    {Mutation::inbox_room_without_catch_up, "a room gained by inbox goes live without catch-up"},
    {Mutation::old_leave_after_join, "an old leave undoes a newer join"},
    {Mutation::take_over_writes_early, "take-over writes before the old stream ended"},
    {Mutation::reset_when_possible, "reset where resume was possible"},
};

Options options_for(const Arguments& arguments, uint64_t seed) {
  Options options;
  options.seed = seed;
  options.steps = arguments.steps;
  options.mutation = arguments.mutation;
  options.interleaved = seed % 3 == 0;
  options.trace = arguments.trace;
  if (arguments.no_sync) options.sync = store::Sync::no;
  return options;
}

// The text of the violation, or "" if the seed held.
std::string run_seed(const Arguments& arguments, uint64_t seed, Coverage& coverage) {
  try {
    World world(options_for(arguments, seed), coverage);
    world.run();
  } catch (const Violation& violation) {
    return violation.what;
  }
  return "";
}

bool run_seeds(const Arguments& arguments) {
  Coverage coverage;
  auto begin = std::chrono::steady_clock::now();
  bool terminal = isatty(2);
  for (uint64_t i = 0; i < arguments.seeds; i++) {
    std::string broken = run_seed(arguments, arguments.from + i, coverage);
    if (!broken.empty()) {
      std::printf("BROKEN %s\n  again: sim --from %llu --seeds 1 --trace\n", broken.c_str(),
                  static_cast<unsigned long long>(arguments.from + i));
      return false;
    }
    if (terminal && i % 50 == 49)
      std::fprintf(stderr, "\r%llu seeds", static_cast<unsigned long long>(i + 1));
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (terminal) std::fprintf(stderr, "\r");
  std::printf("%llu seeds held in %.1f s\n", static_cast<unsigned long long>(arguments.seeds), seconds);
  for (const auto& [what, count] : coverage.counts)
    std::printf("  %12llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
  return true;
}

// Runs seeds in a child process until the mutant is seen: by a broken rule, or by the process dying of it.
bool caught(Arguments arguments, const Mutant& mutant) {
  arguments.mutation = mutant.mutation;
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    setenv("MALLOC_PERTURB_", "165", 1);
    if (!freopen("/dev/null", "w", stderr)) _exit(3);
    Coverage coverage;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
      std::string broken = run_seed(arguments, seed, coverage);
      if (broken.empty()) continue;
      std::printf("  caught  %-52s %s\n", mutant.name, broken.c_str());
      std::fflush(stdout);
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > 1)) {
    std::printf("  caught  %-52s the process died of it\n", mutant.name);
    return true;
  }
  if (WEXITSTATUS(status) == 1) return true;
  std::printf("  MISSED  %s\n", mutant.name);
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
    else if (flag == "--trace")
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
