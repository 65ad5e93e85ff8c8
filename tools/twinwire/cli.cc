#include "tools/twinwire/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "core/version.h"
#include "net/auth.h"
#include "tools/twinwire/config_file.h"
#include "tools/twinwire/http_post.h"
#include "tools/twinwire/token.h"

namespace twinwire {
namespace {

constexpr std::string_view kFooter =
    "\nEvery setting is also a flag --section.name=value and a variable TWINWIRE_SECTION_NAME:\n"
    "`twinwire print-config` lists them all with what they mean. Flags beat variables, variables beat\n"
    "the file. PORT replaces the port of server.listen.\n"
    "\nExit codes: 0 done, 1 failed, 2 no token is needed, 64 wrong usage, 78 wrong configuration.\n";

// A flag of its own name for a setting that is typed often.
struct ShortForm {
  const char* flag;
  std::string_view key;
  const char* doc;
};
constexpr ShortForm kShortForms[] = {
    {"--listen", "server.listen", "address:port of the public listener (127.0.0.1:8080; port 0: any)"},
    {"--admin", "admin.listen", "address:port of the operators' listener (127.0.0.1:8081)"},
    {"--data", "store.path", "data directory (twinwire-data)"},
    {"--shards", "server.shards", "threads that serve (0: one per core)"},
};

enum class Command { serve, check_config, print_config, token, version };

// What was on the command line, before any of it is applied.
struct Request {
  Command command = Command::serve;
  std::string config_path;
  std::map<std::string, std::string, std::less<>> settings;  // key -> text
  TokenWish token;
};

class Parser {
 public:
  explicit Parser(const CliHost& host) : host_(host) {
    app_.footer(std::string(kFooter));
    app_.fallthrough();
    app_.require_subcommand(0, 1);
    app_.add_option("--config", request_.config_path, "TOML file (or TWINWIRE_CONFIG)")->type_name("FILE");
    for (const ShortForm& form : kShortForms) add_setting(form.flag, form.key, form.doc);
    Config config;
    for (const ConfigField& field : config_fields(config)) {
      add_setting("--" + std::string(field.key), field.key, std::string(field.doc))->group("");
    }
    add_command("serve", Command::serve, "run the server (the default)");
    add_command("check-config", Command::check_config, "say whether the configuration can be served");
    add_command("print-config", Command::print_config, "print the configuration in effect, commented");
    add_token_command();
    add_command("version", Command::version, "print the version");
    app_.add_flag_callback(
        "--version", [this] { request_.command = Command::version; }, "print the version");
  }

  // The request, or the exit code where there is nothing more to do.
  std::variant<Request, int> parse() {
    std::vector<std::string> words(host_.arguments.begin(), host_.arguments.end());
    std::reverse(words.begin(), words.end());  // CLI11 takes them last first
    try {
      app_.parse(words);
    } catch (const CLI::CallForHelp&) {
      host_.out << app_.help();
      return kExitOk;
    } catch (const CLI::ParseError& error) {
      host_.err << "twinwire: " << sentence_of(error) << "\nSee twinwire --help.\n";
      return kExitUsage;
    }
    return request_;
  }

 private:
  CLI::Option* add_setting(const std::string& flag, std::string_view key, const std::string& doc) {
    return app_
        .add_option_function<std::string>(
            flag, [this, key = std::string(key)](const std::string& text) { request_.settings[key] = text; },
            doc)
        ->type_name("VALUE")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }

  void add_command(const char* name, Command command, const char* doc) {
    app_.add_subcommand(name, doc)->callback([this, command] { request_.command = command; });
  }

  void add_token_command() {
    CLI::App* app = app_.add_subcommand("token", "make a token for a user, for development and tests");
    app->callback([this] { request_.command = Command::token; });
    TokenWish& wish = request_.token;
    app->add_option("--sub", wish.user, "the user");
    app->add_option("--tenant", wish.tenant, "the tenant (server.tenant)");
    app->add_option("--name", wish.name, "what the user is called");
    app->add_option("--rooms", wish.rooms, "PATTERN=read,write,presence,manage; may be repeated")
        ->type_name("GRANT");
    app->add_option("--ttl", wish.ttl, "how long it counts: 90s, 15m, 1h, 7d (1h)");
    app->add_flag("--bot", wish.bot, "the user is a bot");
    app->add_option("--key", wish.key_file, "a private key in PEM to sign with, instead of the HS256 secret")
        ->type_name("FILE");
    app->add_option("--kid", wish.key_id, "the key's id, as the JWKS has it");
  }

  // An unknown flag gets the table's "did you mean".
  std::string sentence_of(const CLI::ParseError& error) const {
    if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what();
    Config config;
    const auto fields = config_fields(config);
    for (const std::string& word : app_.remaining(true)) {
      if (!word.starts_with("--")) return "unknown command \"" + word + "\"";
      const std::string key = word.substr(2, word.find('=') - 2);
      if (auto found = find_field(fields, key); !found) return found.error().sentence;
    }
    return error.what();
  }

  const CliHost& host_;
  CLI::App app_{"Twinwire: one log, many cursors. Events over SSE, WebSocket and polling.", "twinwire"};
  Request request_;
};

// Defaults, then the file, then the environment, then the flags.
Result<void> load(const CliHost& host, const Request& request, Config& config) {
  std::string path = request.config_path;
  if (path.empty()) path = environment_value(host.environment, "TWINWIRE_CONFIG");
  if (!path.empty()) {
    auto loaded = load_toml(path, config);
    if (!loaded) return loaded;
  }
  auto applied = apply_environment(host.environment, config);
  if (!applied) return applied;
  const auto fields = config_fields(config);
  for (const auto& [key, text] : request.settings) {
    auto field = find_field(fields, key);
    if (!field) return field.error();
    auto set = set_field(*field, text);
    if (!set) return set;
  }
  return {};
}

// Without a mistake, or with the first.
Result<Config> load_and_check(const CliHost& host, const Request& request) {
  Config config;
  if (auto loaded = load(host, request, config); !loaded) return loaded.error();
  if (auto mistakes = validate(config); !mistakes.empty())
    return fail(Code::invalid_argument, std::move(mistakes.front()));
  return config;
}

int make_token(const CliHost& host, const Request& request, const Config& config) {
  const bool nothing_to_sign_with =
      config.auth.secret.empty() && config.auth.secret_file.empty() && request.token.key_file.empty();
  if (config.auth.mode != AuthMode::none || !nothing_to_sign_with) {
    auto token = mint_token(config, request.token, static_cast<uint64_t>(time(nullptr)));
    if (!token) {
      host.err << "twinwire: " << token.error().sentence << "\n";
      return token.error().code == Code::invalid_argument ? kExitUsage : kExitFailure;
    }
    host.out << *token << "\n";
    return kExitOk;
  }
  host.err << "twinwire: auth.mode is \"none\": no token is needed, and none is made.\n"
              "Clients name themselves: ?id=NAME on /api/events, /ws, /api/poll and on every POST.\n";
  return kExitNotNeeded;
}

int run_command(const CliHost& host, const Request& request, const Config& config) {
  switch (request.command) {
    case Command::check_config:
      if (auto keys = Authenticator::make(config); !keys) {
        host.err << "twinwire: " << keys.error().sentence << "\n";
        return kExitConfig;
      }
      if (auto url = parse_http_url(config.hooks.save_url); !url && !config.hooks.save_url.empty()) {
        host.err << "twinwire: hooks.save_url: " << url.error().sentence << "\n";
        return kExitConfig;
      }
      host.out << "The configuration is fine.\n";
      return kExitOk;
    case Command::print_config:
      host.out << to_toml(config);
      return kExitOk;
    case Command::token:
      return make_token(host, request, config);
    case Command::serve:
      return host.run_server(config, [&host, &request] { return load_and_check(host, request); });
    case Command::version:
      break;  // answered before any configuration is read
  }
  return kExitOk;
}

}  // namespace

int run_cli(const CliHost& host) {
  auto parsed = Parser(host).parse();
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const Request& request = std::get<Request>(parsed);
  if (request.command == Command::version) {
    host.out << "twinwire " << version() << "\n";
    return kExitOk;
  }
  Config config;
  if (auto loaded = load(host, request, config); !loaded) {
    host.err << "twinwire: " << loaded.error().sentence << "\n";
    return kExitConfig;
  }
  const std::vector<std::string> mistakes = validate(config);
  for (const std::string& mistake : mistakes) host.err << "twinwire: " << mistake << "\n";
  if (!mistakes.empty()) return kExitConfig;
  return run_command(host, request, config);
}

}  // namespace twinwire
