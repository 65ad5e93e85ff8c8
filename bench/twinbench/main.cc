// twinbench: loads a server as its users would, counts what was lost, repeated or reordered, and measures.
// Not here: the commands themselves, one file each. One thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>

#include "bench/twinbench/crash.h"
#include "bench/twinbench/modes.h"
#include "bench/twinbench/process.h"
#include "bench/twinbench/replay.h"
#include "core/version.h"

namespace {

using namespace twinwire;

// What every command takes.
struct Common {
  std::string url = "http://127.0.0.1:8080";
  bool json = false;
  bool quiet = false;
  pid_t server = 0;
};

void add_common(CLI::App& command, Common& common) {
  command.add_option("--url", common.url, "The server's address")->capture_default_str();
  command.add_flag("--json", common.json, "One JSON object instead of a table");
  command.add_flag("--quiet", common.quiet, "No progress line");
  command.add_option("--server-pid", common.server,
                     "The server's process, to report its CPU time and memory");
}

client::Endpoint endpoint_of(const Common& common) {
  Result<client::Endpoint> to = client::parse_endpoint(common.url);
  if (!to) throw CLI::ValidationError("--url", to.error().sentence);
  return *to;
}

void add_replay(CLI::App& app, Common& common, int& status) {
  static bench::ReplayOptions options;
  CLI::App* command =
      app.add_subcommand("replay", "Say chat logs again and hold every reader's transcript against them");
  command->add_option("FILE", options.files, "Logs: [HH:MM] <nick> text; none: logs made from the seed");
  command->add_option("--speed", options.speed, "How many times faster than the logs")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", options.seed, "Decides who is restless, slow, late, and when")
      ->capture_default_str();
  command->add_option("--generate", options.generated, "How many logs to make where no FILE is given")
      ->capture_default_str();
  command->add_option("--lines", options.generated_lines, "Lines of each made log")->capture_default_str();
  add_common(*command, common);
  command->callback([&common, &status] {
    options.to = endpoint_of(common);
    options.json = common.json;
    options.quiet = common.quiet;
    options.server = common.server;
    status = bench::replay(options);
  });
}

void add_crash(CLI::App& app, Common& common, int& status) {
  static bench::CrashOptions options;
  CLI::App* command =
      app.add_subcommand("crash", "Kill a server under load, again and again, and check its promises");
  command->add_option("--program", options.program, "The twinwire to start and kill")->required();
  command->add_option("--deliver", options.deliver, "publish, commit, or both")
      ->capture_default_str()
      ->check(CLI::IsMember({"publish", "commit", "both"}));
  command->add_option("--rounds", options.rounds, "Kills in each deliver policy")->capture_default_str();
  command->add_option("--seed", options.seed)->capture_default_str();
  command->add_option("--shards", options.shards)->capture_default_str();
  command->add_option("--lossy", options.lossy,
                      "The lossyfs program: unsynced bytes are forgotten at each kill");
  command->add_option("--scratch", options.scratch, "Where the data directories go")->capture_default_str();
  command->add_option("--set", options.settings,
                      "A further setting of the server, e.g. --set=--server.pin=false");
  command->add_flag("--json", common.json, "One JSON object for each policy instead of a table");
  command->add_flag("--quiet", common.quiet, "No progress line");
  command->callback([&common, &status] {
    options.json = common.json;
    options.quiet = common.quiet;
    status = bench::crash(options);
  });
}

// What the modes that measure targets side by side take.
void add_side_by_side(CLI::App& command, bench::CommonOptions& o, bool only_ours) {
  if (!only_ours) {
    command
        .add_option(
            "--target", o.targets,
            "twinwire, twinwire:LABEL=PROGRAM, bare, bare-single, a peer's name or file; NAME@URL,PID")
        ->capture_default_str();
  }
  command.add_option("--program", o.program, "The twinwire to start")->capture_default_str();
  command.add_option("--floors", o.floors, "The folder of the floor programs")->capture_default_str();
  command.add_option("--peers", o.peers, "The folder of the peers' files")->capture_default_str();
  command.add_option("--url", o.url, "A twinwire that runs already");
  command.add_option("--pid", o.pid, "Its process");
  command.add_option("--set", o.settings, "A further setting of the server, e.g. --set=--ring.slots=4096");
  command.add_option("--shards", o.shards)->capture_default_str();
  command.add_option("--transport", o.transport, "mixed: half and half at once")
      ->capture_default_str()
      ->check(CLI::IsMember({"sse", "ws", "both", "mixed"}));
  command.add_option("--repetitions", o.repetitions)->capture_default_str()->check(CLI::PositiveNumber);
  command.add_option("--warm-up", o.warm_up, "Repetitions before, which do not count")->capture_default_str();
  command.add_option("--slice-ms", o.slice_ms, "Milliseconds of one turn, at least")->capture_default_str();
  command.add_option("--bytes", o.content_bytes, "Bytes of a message's content")->capture_default_str();
  command.add_option("--workers", o.workers, "Reader processes of each target; 0: as descriptors ask for")
      ->capture_default_str();
  command.add_flag("!--no-pin", o.pin,
                   "Pin nothing (targets on core 0, the harness on the others otherwise)");
  command
      .add_option("--store-core", o.store_core, "Our store's threads go to this core; -1: with the shards")
      ->capture_default_str();
  command.add_flag("--ephemeral", o.ephemeral, "Ephemeral events instead of stored messages");
  command.add_option("--scratch", o.scratch, "Where data directories and logs go")->capture_default_str();
  command.add_flag("--json", o.json, "One JSON object instead of a table");
  command.add_flag("--quiet", o.quiet, "No progress line");
}

// Defaults that are found from where this program lies: build/bin in the tree.
bench::CommonOptions found_here() {
  bench::CommonOptions out;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path folder = self.parent_path();
  out.program = folder / "twinwire";
  out.floors = folder;
  out.root = folder.parent_path().parent_path();
  out.peers = out.root + "/bench/peers";
  return out;
}

// A command whose options and common options live as long as the program.
template <typename Options>
CLI::App* add_mode(CLI::App& app, const char* name, const char* about, Options& options,
                   bench::CommonOptions& common, int (*mode)(const bench::CommonOptions&, const Options&),
                   int& status, bool only_ours = false) {
  CLI::App* command = app.add_subcommand(name, about);
  common = found_here();
  add_side_by_side(*command, common, only_ours);
  if (only_ours) common.targets = {"twinwire"};
  command->callback([&options, &common, mode, &status] { status = mode(common, options); });
  return command;
}

void add_connect(CLI::App& app, int& status) {
  static bench::ConnectOptions options;
  static bench::CommonOptions common;
  CLI::App* command =
      add_mode(app, "connect", "Storms of connections; --hold: N idle ones, memory, a broadcast", options,
               common, bench::connect, status);
  command->add_option("--connections", options.connections)->capture_default_str();
  command->add_option("--at-once", options.at_once, "Connections that open at the same time")
      ->capture_default_str();
  command->add_flag("--hold", options.hold, "Hold them (ours only)");
  command->add_option("--hold-seconds", options.hold_seconds)->capture_default_str();
  command
      ->add_option("--heartbeat", options.heartbeat_seconds,
                   "Seconds, with --hold; 0: as the server does it by default")
      ->capture_default_str();
  command->add_flag("!--no-broadcast", options.broadcast, "No message to all at the end of --hold");
  command->add_flag("--growth", options.growth,
                    "What a delivery costs at so many connections over --few, of ours and a bare loop");
  command->add_option("--few", options.few, "Connections that --growth begins with")->capture_default_str();
  command->add_option("--bare-pairs", options.bare_pairs, "Bare connections beside, for the slab; 0: none")
      ->capture_default_str();
}

void add_fanout(CLI::App& app, int& status) {
  static bench::FanoutOptions options;
  static bench::CommonOptions common;
  CLI::App* command = add_mode(app, "fanout", "One room, N readers, W messages at once: CPU per delivery",
                               options, common, bench::fanout, status);
  command->add_option("--readers", options.readers, "Readers, one or more numbers")->capture_default_str();
  command->add_option("--window", options.windows, "Messages published and not yet received by all")
      ->capture_default_str();
}

void add_rate(CLI::App& app, int& status) {
  static bench::ChatOptions options{.rooms = 0, .members = 100, .rates = {1000}, .seconds = 2};
  static bench::CommonOptions common;
  CLI::App* command =
      add_mode(app, "rate", "One room, N readers, a fixed rate: latency from the scheduled time", options,
               common, bench::chat, status);
  command->add_option("--readers", options.members)->capture_default_str();
  command->add_option("--rate", options.rates, "Messages a second, one or more numbers")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "Of one turn")->capture_default_str();
}

void add_chat(CLI::App& app, int& status) {
  static bench::ChatOptions options;
  static bench::CommonOptions common;
  CLI::App* command = add_mode(app, "chat", "R rooms of M members who talk at a fixed rate", options, common,
                               bench::chat, status);
  command->add_option("--rooms", options.rooms)->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--members", options.members)->capture_default_str();
  command->add_option("--rate", options.rates, "Messages a second in all rooms together")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "Of one turn")->capture_default_str();
}

void add_resume(CLI::App& app, int& status) {
  static bench::ResumeOptions options;
  static bench::CommonOptions common;
  CLI::App* command =
      add_mode(app, "resume", "Clients are cut, messages published, all come back with a cursor", options,
               common, bench::resume, status, true);
  command->add_option("--clients", options.clients)->capture_default_str();
  command->add_option("--messages", options.messages, "Messages in each room meanwhile")
      ->capture_default_str();
  command->add_option("--rooms", options.rooms)->capture_default_str();
  command->add_option("--at-once", options.at_once, "Clients that open at the same time")
      ->capture_default_str();
  command->add_flag("--kill", options.kill, "kill -9 meanwhile, and start again");
}

void add_publish(CLI::App& app, int& status) {
  static bench::PublishOptions options;
  static bench::CommonOptions common;
  CLI::App* command = add_mode(app, "publish", "Many publishers, pipelined WebSockets: CPU per message",
                               options, common, bench::publish, status, true);
  command->add_option("--publishers", options.publishers)->capture_default_str();
  command->add_option("--depth", options.depth, "Commands unanswered on each connection")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "Of one turn")->capture_default_str();
  command->add_option("--ack", options.acks)
      ->capture_default_str()
      ->check(CLI::IsMember({"stored", "accepted"}));
  command->add_option("--target", common.targets, "twinwire, twinwire:LABEL=PROGRAM")->capture_default_str();
  command->add_flag("!--no-floors", options.floors, "Without the bare loops beside it");
}

void add_slow(CLI::App& app, int& status) {
  static bench::SlowOptions options;
  static bench::CommonOptions common;
  CLI::App* command =
      add_mode(app, "slow", "A share of the readers takes a few bytes a second, later all of it", options,
               common, bench::slow, status, true);
  command->add_option("--readers", options.readers)->capture_default_str();
  command->add_option("--share", options.share)->capture_default_str()->check(CLI::Range(0.0, 1.0));
  command->add_option("--bytes-per-second", options.bytes_per_second)->capture_default_str();
  command->add_option("--rate", options.rate, "Messages a second")->capture_default_str();
  command->add_option("--seconds", options.seconds)->capture_default_str();
}

void add_soak(CLI::App& app, int& status) {
  static bench::SoakOptions options;
  static bench::CommonOptions common;
  CLI::App* command = add_mode(app, "soak", "A rate with disconnects for a long time: memory's slope",
                               options, common, bench::soak, status, true);
  command->add_option("--readers", options.readers)->capture_default_str();
  command->add_option("--rooms", options.rooms)->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--rate", options.rate, "Messages a second in all rooms together")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds)->capture_default_str();
  command->add_option("--cuts", options.cuts, "Readers cut a second")->capture_default_str();
  command->add_option("--kills", options.kills, "kill -9 so many times on the way; all come back")
      ->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  bench::take_all_descriptors();
  std::signal(SIGPIPE, SIG_IGN);  // a reader of our output that leaves must not leave a mount behind
  CLI::App app{"twinbench: load, measure and check a Twinwire server"};
  app.set_version_flag("--version", std::string(twinwire::version()));
  app.require_subcommand(1);
  Common common;
  int status = 0;
  add_replay(app, common, status);
  add_crash(app, common, status);
  add_connect(app, status);
  add_fanout(app, status);
  add_rate(app, status);
  add_chat(app, status);
  add_resume(app, status);
  add_publish(app, status);
  add_slow(app, status);
  add_soak(app, status);
  CLI11_PARSE(app, argc, argv);
  return status;
}
