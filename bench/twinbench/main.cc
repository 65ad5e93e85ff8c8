// twinbench: loads a server as its users would, counts what was lost, repeated or reordered, and measures.
// Not here: the commands themselves, one file each. One thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "bench/twinbench/crash.h"
#include "bench/twinbench/fanout.h"
#include "bench/twinbench/idle.h"
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

void add_fanout(CLI::App& app, Common& common, int& status) {
  static bench::FanoutOptions options;
  CLI::App* command =
      app.add_subcommand("fanout", "One room, N readers: CPU per delivery, beside a bare send() loop");
  command->add_option("--program", options.program, "The twinwire to start")->required();
  command->add_option("--floor", options.floor, "The floor_send to start")->required();
  command->add_option("--readers", options.readers, "Readers, one or more numbers")->capture_default_str();
  command->add_option("--window", options.windows, "Messages published and not yet received by all")
      ->capture_default_str();
  command->add_option("--transport", options.transport)
      ->capture_default_str()
      ->check(CLI::IsMember({"sse", "ws", "both"}));
  command->add_option("--repetitions", options.repetitions)->capture_default_str();
  command->add_option("--slice-ms", options.slice_ms, "Milliseconds of one turn, at least")
      ->capture_default_str();
  command->add_option("--bytes", options.message_bytes, "Bytes of a message's content")
      ->capture_default_str();
  command->add_option("--shards", options.shards)->capture_default_str();
  command->add_flag("!--no-pin", options.pin, "Pin nothing (server on core 0, readers on core 1 otherwise)");
  command->add_flag("!--ephemeral", options.kept, "Ephemeral events instead of stored messages");
  command->add_option("--scratch", options.scratch, "Where the data directory goes")->capture_default_str();
  command->add_option("--set", options.settings, "A further setting of the server");
  command->add_flag("--json", common.json, "One JSON object instead of a table");
  command->add_flag("--quiet", common.quiet, "No progress line");
  command->callback([&common, &status] {
    options.json = common.json;
    options.quiet = common.quiet;
    status = bench::fanout(options);
  });
}

void add_idle(CLI::App& app, Common& common, int& status) {
  static bench::IdleOptions options;
  CLI::App* command =
      app.add_subcommand("idle", "Hold N idle connections: memory of each, in user space and slab");
  command->add_option("--program", options.program, "The twinwire to start")->required();
  command->add_option("--floor", options.floor, "The floor_send to start, for bare pairs beside");
  command->add_option("--connections", options.connections)->capture_default_str();
  command->add_option("--bare-pairs", options.bare_pairs)->capture_default_str();
  command->add_option("--shards", options.shards)->capture_default_str();
  command->add_option("--scratch", options.scratch, "Where the data directory goes")->capture_default_str();
  command->add_option("--set", options.settings, "A further setting of the server");
  command->add_flag("--json", common.json, "One JSON object instead of tables");
  command->callback([&common, &status] {
    options.json = common.json;
    status = bench::idle(options);
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader of our output that leaves must not leave a mount behind
  CLI::App app{"twinbench: load, measure and check a Twinwire server"};
  app.set_version_flag("--version", std::string(twinwire::version()));
  app.require_subcommand(1);
  Common common;
  int status = 0;
  add_replay(app, common, status);
  add_crash(app, common, status);
  add_fanout(app, common, status);
  add_idle(app, common, status);
  CLI11_PARSE(app, argc, argv);
  return status;
}
