// twinctl: look at a running server and publish to it. Not here: what the commands do (commands.h). One
// thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>

#include "core/version.h"
#include "tools/twinctl/commands.h"

namespace {

using namespace twinwire;

struct Common {
  std::string url = "http://127.0.0.1:8081";
  ctl::TokenSources token;
  bool json = false;
};

void add_common(CLI::App& command, Common& common) {
  command.add_option("--url", common.url, "The server's admin address")->capture_default_str();
  command.add_option("--token", common.token.option, "The admin token (or set TWINCTL_TOKEN)");
  command
      .add_option("--data", common.token.data_folder, "The server's data directory; its admin.token is read")
      ->capture_default_str();
  command.add_flag("--json", common.json, "JSON instead of tables");
}

ctl::Access access_of(const Common& common) {
  Result<client::Endpoint> to = client::parse_endpoint(common.url);
  if (!to) throw CLI::ValidationError("--url", to.error().sentence);
  ctl::Access access;
  access.to = *to;
  ctl::find_token(common.token, access);
  return access;
}

void add_listing(CLI::App& app, Common& common, int& status, const char* name, const char* help,
                 ctl::Listing what) {
  CLI::App* command = app.add_subcommand(name, help);
  add_common(*command, common);
  command->callback([&common, &status, what] { status = ctl::list(access_of(common), what, common.json); });
}

void add_tail(CLI::App& app, Common& common, ctl::TailOptions& options, int& status) {
  CLI::App* command = app.add_subcommand("tail", "Show a room's events as they come, until Ctrl-C");
  command->add_option("ROOM", options.room)->required();
  command->add_option("--tenant", options.tenant, "The room's tenant (default: default)");
  command->add_option("--from", options.from, "Begin behind this event id, or with `earliest`");
  command->add_option("-n,--count", options.count, "End after so many events");
  add_common(*command, common);
  command->callback([&] {
    options.json = common.json;
    status = ctl::tail(access_of(common), options);
  });
}

void add_publish(CLI::App& app, Common& common, ctl::PublishOptions& options, int& status) {
  CLI::App* command =
      app.add_subcommand("publish", "Publish a message, or with --type another event, to a room");
  command->add_option("ROOM", options.room)->required();
  CLI::Option* text = command->add_option("TEXT", options.text);
  CLI::Option* type =
      command->add_option("--type", options.type, "An event type of yours, e.g. goal.created");
  command->add_option("--event-data", options.data, "The event's data, as JSON")->needs(type);
  command->add_flag("--ephemeral", options.ephemeral, "Not kept, not replayed")->needs(type);
  command->add_option("--tenant", options.tenant, "The room's tenant (default: default)");
  text->excludes(type);
  add_common(*command, common);
  command->callback([&] {
    if (options.text.empty() && options.type.empty()) throw CLI::RequiredError("TEXT or --type");
    options.json = common.json;
    status = ctl::publish(access_of(common), options);
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);
  CLI::App app{"twinctl: look at a running Twinwire server and publish to it"};
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(1);
  Common common;
  common.token.data_folder = "twinwire-data";
  if (const char* token = std::getenv("TWINCTL_TOKEN")) common.token.environment = token;
  int status = 0;
  ctl::TailOptions tail;
  ctl::PublishOptions publish;
  add_listing(app, common, status, "stats", "What the server is and has done", ctl::Listing::stats);
  add_listing(app, common, status, "rooms", "The rooms in memory", ctl::Listing::rooms);
  add_listing(app, common, status, "sessions", "The sessions, with or without a stream",
              ctl::Listing::sessions);
  add_tail(app, common, tail, status);
  add_publish(app, common, publish, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // What CLI11 says where the command is misspelt leaves the word out.
    const bool misspelt = app.get_subcommands().empty() && argc > 1;
    if (!misspelt) return app.exit(error) == 0 ? 0 : 2;
    fmt::print(stderr,
               "twinctl: there is no command \"{}\": stats, rooms, sessions, tail or publish (see --help)\n",
               argv[1]);
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return status;
}
