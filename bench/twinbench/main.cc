// twinbench: loads a server as its users would, counts what was lost, repeated or reordered, and measures.
// Not here: the commands themselves, one file each. One thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"twinbench: load, measure and check a Twinwire server"};
  app.set_version_flag("--version", std::string(twinwire::version()));
  app.require_subcommand(1);
  Common common;
  int status = 0;
  add_replay(app, common, status);
  CLI11_PARSE(app, argc, argv);
  return status;
}
