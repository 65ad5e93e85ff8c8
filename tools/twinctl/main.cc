// twinctl: look at a running server, publish to it, and end what should end. Not here: what the commands do
// (commands.h, top.h). One thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>

#include "core/version.h"
#include "tools/twinctl/commands.h"
#include "tools/twinctl/top.h"

namespace {

using namespace twinwire;

constexpr const char* kFooter =
    "\nThe token is taken from --token, TWINCTL_TOKEN, or admin.token in the directory of --data.\n"
    "--json prints what the server says, for programs. Colours only on a terminal, and not with NO_COLOR.\n"
    "\nExit codes: 0 done; 1 the server refused, is not there, or the configuration is wrong; 2 wrong use.\n";

struct Common {
  std::string url = "http://127.0.0.1:8081";
  ctl::TokenSources token;
  std::string tenant;
  bool json = false;
};

// Everything the commands take, and where their exit status goes.
struct All {
  Common common;
  ctl::ListOptions list;
  ctl::TailOptions tail;
  ctl::PublishOptions publish;
  ctl::KickOptions kick;
  ctl::NamedOptions named;
  ctl::TopOptions top;
  std::string config_path;
  int status = 0;
};

void add_common(CLI::App& command, Common& common) {
  command
      .add_option("--url,--admin", common.url,
                  "The server's admin address, also like 127.0.0.1:8081 or [::1]:8081")
      ->capture_default_str();
  command.add_option("--token", common.token.option, "The admin token (or set TWINCTL_TOKEN)");
  command
      .add_option("--data", common.token.data_folder, "The server's data directory; its admin.token is read")
      ->capture_default_str();
  command.add_flag("--json", common.json, "JSON instead of text");
}

void add_tenant(CLI::App& command, Common& common, const char* help) {
  command.add_option("--tenant", common.tenant, help);
}

ctl::Access access_of(const Common& common) {
  Result<client::Endpoint> to = ctl::admin_address(common.url);
  if (!to) throw CLI::ValidationError("--url", to.error().sentence);
  ctl::Access access;
  access.to = *to;
  ctl::find_token(common.token, access);
  return access;
}

CLI::App* add_listing(CLI::App& app, All& all, const char* name, const char* help, ctl::Listing what) {
  CLI::App* command = app.add_subcommand(name, help);
  add_common(*command, all.common);
  command->callback([&all, what] {
    all.list.what = what;
    all.list.json = all.common.json;
    all.list.tenant = all.common.tenant;
    all.status = ctl::list(access_of(all.common), all.list);
  });
  return command;
}

void add_page(CLI::App& command, All& all, const char* sorts) {
  command.add_option("--sort", all.list.sort, std::string("By: ") + sorts);
  command.add_option("--order", all.list.order, "asc or desc (default: names rise, numbers fall)");
  command.add_option("-n,--limit", all.list.limit, "Rows at most (default 100, at most 1000)")
      ->check(CLI::Range(1, 1000));
  command.add_option("--offset", all.list.offset, "Rows to leave out before them");
  add_tenant(command, all.common, "Of this tenant only");
}

void add_listings(CLI::App& app, All& all) {
  add_listing(app, all, "stats", "What the server is and has done", ctl::Listing::stats);
  CLI::App* rooms = add_listing(app, all, "rooms", "The rooms in memory", ctl::Listing::rooms);
  add_page(*rooms, all, "name, members, present, rate, published, tail");
  rooms->add_option("--contains", all.list.contains, "Whose name holds this");
  CLI::App* room =
      add_listing(app, all, "room", "One room: members, who is there, what is kept", ctl::Listing::room);
  room->add_option("ROOM", all.list.room)->required();
  add_tenant(*room, all.common, "The room's tenant (default: the server's)");
  CLI::App* sessions =
      add_listing(app, all, "sessions", "The sessions, with or without a stream", ctl::Listing::sessions);
  add_page(*sessions, all, "user, age, rooms, lag");
  sessions->add_option("--user", all.list.user, "Of this user");
  sessions->add_option("--room", all.list.room, "That follow this room");
  sessions->add_option("--transport", all.list.transport, "sse, ws, poll or none");
  sessions->add_option("--state", all.list.state, "joining, replaying, live, lagging or detached");
}

void add_top(CLI::App& app, All& all) {
  CLI::App* command = app.add_subcommand("top", "Watch the server live; on a pipe one line per interval");
  command->add_option("-i,--interval", all.top.interval_seconds, "Seconds between two looks")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_option("-n,--count", all.top.count, "End after so many intervals (default: q or Ctrl-C ends)");
  command->add_option("--rooms", all.top.rooms, "Busiest rooms shown")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  add_tenant(*command, all.common, "Rooms of this tenant only");
  add_common(*command, all.common);
  command->callback([&all] {
    all.top.json = all.common.json;
    all.top.tenant = all.common.tenant;
    all.status = ctl::top(access_of(all.common), all.top);
  });
}

void add_tail(CLI::App& app, All& all) {
  CLI::App* command = app.add_subcommand("tail", "Show a room's events as they come, until Ctrl-C");
  command->add_option("ROOM", all.tail.room)->required();
  command->add_option("--from", all.tail.from, "Begin behind this event id, or with `earliest`");
  command->add_option("-n,--count", all.tail.count, "End after so many events");
  add_tenant(*command, all.common, "The room's tenant (default: the server's)");
  add_common(*command, all.common);
  command->callback([&all] {
    all.tail.json = all.common.json;
    all.tail.tenant = all.common.tenant;
    all.status = ctl::tail(access_of(all.common), all.tail);
  });
}

void add_publish(CLI::App& app, All& all) {
  CLI::App* command =
      app.add_subcommand("publish", "Publish a message, or with --type another event, to a room");
  ctl::PublishOptions& options = all.publish;
  command->add_option("ROOM", options.room)->required();
  CLI::Option* text = command->add_option("TEXT", options.text);
  CLI::Option* type =
      command->add_option("--type", options.type, "An event type of yours, e.g. goal.created");
  command->add_option("--event-data", options.data, "The event's data, as JSON")->needs(type);
  command->add_flag("--ephemeral", options.ephemeral, "Not kept, not replayed")->needs(type);
  add_tenant(*command, all.common, "The room's tenant (default: the server's)");
  text->excludes(type);
  add_common(*command, all.common);
  command->callback([&all] {
    if (all.publish.text.empty() && all.publish.type.empty()) throw CLI::RequiredError("TEXT or --type");
    all.publish.json = all.common.json;
    all.publish.tenant = all.common.tenant;
    all.status = ctl::publish(access_of(all.common), all.publish);
  });
}

void add_kick(CLI::App& app, All& all) {
  CLI::App* command = app.add_subcommand("kick", "End a user's streams, or with --session one session's");
  CLI::Option* user = command->add_option("USER", all.kick.user);
  command->add_option("--session", all.kick.session, "The session id, as `sessions` shows it")
      ->excludes(user);
  command->add_option("--reason", all.kick.reason, "What the clients are told");
  command->add_flag("--stay-away", all.kick.stay_away, "Tell the clients not to come back");
  add_tenant(*command, all.common, "The user's tenant (default: the server's)");
  add_common(*command, all.common);
  command->callback([&all] {
    if (all.kick.user.empty() && all.kick.session.empty()) throw CLI::RequiredError("USER or --session");
    all.kick.json = all.common.json;
    all.kick.tenant = all.common.tenant;
    all.status = ctl::kick(access_of(all.common), all.kick);
  });
}

void add_named(CLI::App& app, All& all, const char* name, const char* help, const char* what,
               int (*run)(const ctl::Access&, const ctl::NamedOptions&)) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option(what, all.named.name)->required();
  add_tenant(*command, all.common, "Its tenant (default: the server's)");
  add_common(*command, all.common);
  command->callback([&all, run] {
    all.named.json = all.common.json;
    all.named.tenant = all.common.tenant;
    all.status = run(access_of(all.common), all.named);
  });
}

void add_check(CLI::App& app, All& all) {
  CLI::App* command = app.add_subcommand("check-config", "Say whether the server would start with this file");
  command->add_option("FILE", all.config_path, "TOML; variables TWINWIRE_… go over it, as for the server");
  command->add_flag("--json", all.common.json, "JSON instead of text");
  command->callback([&all] { all.status = ctl::check_config(all.config_path, all.common.json); });
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);
  CLI::App app{"twinctl: look at a running Twinwire server, publish to it, end what should end"};
  app.set_version_flag("--version", std::string(version()));
  app.footer(kFooter);
  app.require_subcommand(1);
  All all;
  all.common.token.data_folder = "twinwire-data";
  if (const char* token = std::getenv("TWINCTL_TOKEN")) all.common.token.environment = token;
  add_top(app, all);
  add_listings(app, all);
  add_tail(app, all);
  add_publish(app, all);
  add_kick(app, all);
  add_named(app, all, "clear", "Clear a room: its messages are no longer read, then removed", "ROOM",
            ctl::clear);
  add_named(app, all, "revoke", "Refuse a user's tokens issued until now, and end the streams", "USER",
            ctl::revoke);
  add_check(app, all);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // What CLI11 says where the command is misspelt leaves the word out.
    const bool misspelt = app.get_subcommands().empty() && argc > 1;
    if (!misspelt) return app.exit(error) == 0 ? 0 : 2;
    fmt::print(
        stderr,
        "twinctl: there is no command \"{}\": top, stats, rooms, room, sessions, tail, publish, kick, clear, "
        "revoke or check-config (see --help)\n",
        argv[1]);
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return all.status;
}
