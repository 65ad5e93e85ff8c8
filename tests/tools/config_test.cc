// The configuration from end to end: table, TOML, environment, flags, and what each says when it is wrong.
#include "core/config.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "tools/twinwire/cli.h"
#include "tools/twinwire/config_file.h"

namespace twinwire {
namespace {

struct Ran {
  int code;
  std::string out, err;
  std::optional<Config> served;
};

Ran run(std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
  std::ostringstream out, err;
  std::optional<Config> served;
  const int code = run_cli({.arguments = arguments,
                            .environment = environment,
                            .out = out,
                            .err = err,
                            .run_server = [&served](const Config& config, const auto&) {
                              served = config;
                              return 0;
                            }});
  return {code, out.str(), err.str(), served};
}

// Every field's value, so that two configurations can be compared and a difference be read.
std::string values_of(Config config) {
  std::string all;
  for (const ConfigField& field : config_fields(config)) {
    all.append(field.key).append(" = ").append(field_as_toml(field)).append("\n");
  }
  return all;
}

class TomlFile {
 public:
  explicit TomlFile(std::string_view text) : path_(testing::TempDir() + "twinwire-config-test.toml") {
    std::ofstream(path_) << text;
  }
  ~TomlFile() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

// The times and sizes that the protocol names; whoever changes one changes what clients were promised.
TEST(ConfigTable, DefaultsAreTheProtocols) {
  const Config c;
  EXPECT_EQ(c.auth.timeout_ms, 10'000u);
  EXPECT_EQ(c.limits.head_timeout_ms, 10'000u);
  EXPECT_EQ(c.limits.body_timeout_ms, 30'000u);
  EXPECT_EQ(c.limits.message_bytes, 64u << 10);
  EXPECT_EQ(c.limits.request_head_bytes, 16u << 10);
  EXPECT_EQ(c.limits.rooms_per_stream, 256u);
  EXPECT_EQ(c.limits.rooms_per_user, 1024u);
  EXPECT_EQ(c.limits.history_max, 256u);
  EXPECT_EQ(c.limits.room_name_bytes, 128u);
  EXPECT_EQ(c.limits.user_id_bytes, 128u);
  EXPECT_EQ(c.limits.commands_per_second, 50u);
  EXPECT_EQ(c.limits.commands_burst, 100u);
  EXPECT_EQ(c.sse.heartbeat_seconds, 15u);
  EXPECT_EQ(c.ws.heartbeat_seconds, 25u);
  EXPECT_EQ(c.poll.wait_seconds, 25u);
  EXPECT_EQ(c.poll.events, 256u);
  EXPECT_EQ(c.poll.bytes, 256u << 10);
  EXPECT_EQ(c.session.keep_seconds, 120u);
  EXPECT_EQ(c.session.presence_grace_seconds, 15u);
  EXPECT_EQ(c.slow.stall_seconds, 600u);
  EXPECT_EQ(c.typing.clear_ms, 6'000u);
  EXPECT_EQ(c.presence.members_max, 200u);
  EXPECT_EQ(c.presence.diff_ms, 1'000u);
  EXPECT_EQ(c.store.give_up_ms, 30'000u);
  EXPECT_EQ(c.idempotency.keep_seconds, 86'400u);
  EXPECT_EQ(c.server.deliver, Deliver::publish);
  EXPECT_FALSE(c.auth.query_token);
  EXPECT_FALSE(c.debug.echo);
}

TEST(ConfigTable, KeysAreUniqueDocumentedAndHoldTheirDefaults) {
  Config config;
  std::set<std::string_view> keys;
  for (const ConfigField& field : config_fields(config)) {
    EXPECT_TRUE(keys.insert(field.key).second) << field.key;
    EXPECT_GT(field.doc.size(), 15u) << field.key;
    EXPECT_TRUE(field.doc.ends_with(".") || field.doc.ends_with(")")) << field.key;
    EXPECT_EQ(std::count(field.key.begin(), field.key.end(), '.'), 1) << field.key;
    if (field.kind == FieldKind::number || field.kind == FieldKind::bytes) {
      EXPECT_TRUE(set_field(field, field_as_toml(field))) << field.key << " default is out of its own range";
    }
  }
  EXPECT_EQ(values_of(config), values_of(Config()));
  EXPECT_TRUE(validate(config).empty());
}

TEST(ConfigTable, RefusesWhatDoesNotFitAndSaysWhatWould) {
  Config config;
  const auto fields = config_fields(config);
  const struct {
    std::string_view key, text, wants;
  } rows[] = {
      {"server.pin", "yes", "true or false"},
      {"server.shards", "65", "from 0 to 64"},
      {"server.shards", "-1", "from 0 to 64"},
      {"server.shards", "2x", "a whole number"},
      {"server.shards", "", "a whole number"},
      {"server.deliver", "sometimes", "\"publish\" or \"commit\""},
      {"limits.message_bytes", "1TiB", "64KiB"},
      {"limits.message_bytes", "99999999999GiB", "64KiB"},
      {"limits.message_bytes", "18446744073709551616", "64KiB"},
      {"ws.heartbeat_seconds", "601", "from 1 to 600"},
  };
  for (const auto& row : rows) {
    auto field = find_field(fields, row.key);
    ASSERT_TRUE(field);
    auto set = set_field(*field, row.text);
    ASSERT_FALSE(set) << row.key << " = " << row.text;
    EXPECT_NE(set.error().sentence.find(row.key), std::string::npos) << set.error().sentence;
    EXPECT_NE(set.error().sentence.find(row.wants), std::string::npos) << set.error().sentence;
  }
  EXPECT_EQ(values_of(config), values_of(Config()));
}

TEST(ConfigTable, ReadsSizesAndLists) {
  Config config;
  const auto fields = config_fields(config);
  EXPECT_TRUE(set_field(*find_field(fields, "limits.message_bytes"), "128KiB"));
  EXPECT_TRUE(set_field(*find_field(fields, "ring.bytes"), "1 GiB"));
  EXPECT_TRUE(set_field(*find_field(fields, "origins.allow"), "https://a.example, https://b.example"));
  EXPECT_EQ(config.limits.message_bytes, 128u << 10);
  EXPECT_EQ(config.ring.bytes, 1u << 30);
  EXPECT_EQ(config.origins.allow, (std::vector<std::string>{"https://a.example", "https://b.example"}));
}

TEST(ConfigFile, TablesInAListAreLines) {
  Config config;
  auto read = apply_toml(R"(
[[auth.api_keys]]
name = "billing"
sha256 = "ab"
rights = ["read", "write"]
rooms = ["bills.*", "news"]
[[auth.api_keys]]
name = "other"
)",
                         "test.toml", config);
  ASSERT_TRUE(read) << read.error().sentence;
  EXPECT_EQ(config.auth.api_keys,
            (std::vector<std::string>{"name=billing rights=read+write rooms=bills.* rooms=news sha256=ab",
                                      "name=other"}));
  Config same;
  ASSERT_TRUE(apply_toml(to_toml(config), "printed", same));
  EXPECT_EQ(same.auth.api_keys, config.auth.api_keys);
  for (std::string_view bad : {R"(auth.api_keys = [{name = "a b"}])", R"(auth.api_keys = [{name = 7}])",
                               R"(auth.api_keys = [{name = "a,b"}])", R"(auth.api_keys = [{rights = []}])"})
    EXPECT_FALSE(apply_toml(bad, "test.toml", config)) << bad;
}

TEST(ConfigTable, SuggestsTheNearKey) {
  Config config;
  const auto fields = config_fields(config);
  const struct {
    std::string_view key, suggestion;
  } rows[] = {{"server.lisen", "server.listen"},
              {"store.giveup_ms", "store.give_up_ms"},
              {"listen.deliver", "server.deliver"},
              {"heartbeat_seconds", "sse.heartbeat_seconds"}};
  for (const auto& row : rows) {
    auto found = find_field(fields, row.key);
    ASSERT_FALSE(found);
    EXPECT_NE(found.error().sentence.find("did you mean \"" + std::string(row.suggestion)), std::string::npos)
        << found.error().sentence;
  }
  auto far = find_field(fields, "zzz.qqqqqqqqqq");
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().sentence.find("did you mean"), std::string::npos);
}

TEST(Endpoint, ReadsAddressesAndNothingElse) {
  const struct {
    std::string_view text;
    Endpoint endpoint;
    bool loopback;
  } good[] = {
      {"127.0.0.1:8080", {"127.0.0.1", 8080}, true},
      {"localhost:0", {"127.0.0.1", 0}, true},
      {"[::1]:65535", {"::1", 65535}, true},
      {":80", {"0.0.0.0", 80}, false},
      {"8080", {"127.0.0.1", 8080}, true},
      {"10.1.2.3:1", {"10.1.2.3", 1}, false},
      {"[::]:80", {"::", 80}, false},
  };
  for (const auto& row : good) {
    auto endpoint = parse_endpoint(row.text);
    ASSERT_TRUE(endpoint) << row.text;
    EXPECT_EQ(*endpoint, row.endpoint) << row.text;
    EXPECT_EQ(is_loopback(*endpoint), row.loopback) << row.text;
  }
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "256.0.0.1:80",
                           "1.2.3:80", "1.2.3.4.5:80", "example.org:80", "::1:80", "[::1:80", "127.0.0.1:80x",
                           "1..2.3:80", "0000.0.0.1:80", " 127.0.0.1:80"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
  EXPECT_EQ(to_text({"::1", 80}), "[::1]:80");
}

TEST(Validate, SaysEveryContradiction) {
  const auto mistakes = [](auto change) {
    Config config;
    change(config);
    std::string all;
    for (const std::string& sentence : validate(config)) all += sentence + "\n";
    return all;
  };
  EXPECT_NE(mistakes([](Config& c) { c.server.listen = "0.0.0.0:80"; }).find("loopback"), std::string::npos);
  EXPECT_EQ(mistakes([](Config& c) {
              c.server.listen = "0.0.0.0:80";
              c.auth.force_none_on_any_address = true;
            }),
            "");
  EXPECT_NE(mistakes([](Config& c) { c.admin.listen = ":81"; }).find("admin.listen"), std::string::npos);
  EXPECT_NE(mistakes([](Config& c) { c.admin.listen = c.server.listen; }).find("differ"), std::string::npos);
  EXPECT_NE(mistakes([](Config& c) { c.server.listen = "nowhere"; }).find("server.listen"),
            std::string::npos);
  EXPECT_NE(mistakes([](Config& c) { c.ring.slots = 1025; }).find("power of two"), std::string::npos);
  EXPECT_NE(mistakes([](Config& c) { c.limits.message_bytes = 16 << 20; }).find("poll.bytes"),
            std::string::npos);
  EXPECT_NE(mistakes([](Config& c) { c.store.path.clear(); }).find("store.path"), std::string::npos);
}

TEST(Toml, ReadsEveryKind) {
  Config config;
  auto applied = apply_toml(R"(
[server]
listen = "127.0.0.1:9"
shards = 3
pin = false
deliver = "commit"
[limits]
message_bytes = "32KiB"
request_head_bytes = 8192
[origins]
allow = ["https://a.example", "https://b.example"]
)",
                            "test", config);
  ASSERT_TRUE(applied) << applied.error().sentence;
  EXPECT_EQ(config.server.listen, "127.0.0.1:9");
  EXPECT_EQ(config.server.shards, 3u);
  EXPECT_FALSE(config.server.pin);
  EXPECT_EQ(config.server.deliver, Deliver::commit);
  EXPECT_EQ(config.limits.message_bytes, 32u << 10);
  EXPECT_EQ(config.limits.request_head_bytes, 8192u);
  EXPECT_EQ(config.origins.allow.size(), 2u);
}

TEST(Toml, NamesTheLineOfAMistake) {
  const struct {
    std::string_view text, says;
  } rows[] = {
      {"[server]\nlisen = \"x\"",
       "test:2: unknown setting \"server.lisen\"; did you mean \"server.listen\"?"},
      {"[server]\nshards = \"two\"", "test:2: server.shards must be a whole number"},
      {"[server]\nshards = 1.5", "test:2: server.shards must be a whole number"},
      {"[server]\nshards = -1", "test:2: server.shards must be a whole number from 0"},
      {"[server]\npin = 1", "test:2: server.pin must be true or false"},
      {"[server]\nlisten = 8080", "test:2: server.listen must be a string"},
      {"[origins]\nallow = \"https://a\"", "test:2: origins.allow must be a list"},
      {"[origins]\nallow = [1]", "test:2: origins.allow must be a list"},
      {"[server.listen]\nx = 1", "test:1: server.listen must be a string"},
      {"nonsense = 1", "test:1: unknown setting \"nonsense\""},
      {"[server\n", "test:1: "},
  };
  for (const auto& row : rows) {
    Config config;
    auto applied = apply_toml(row.text, "test", config);
    ASSERT_FALSE(applied) << row.text;
    EXPECT_TRUE(applied.error().sentence.starts_with(row.says)) << applied.error().sentence;
  }
}

TEST(Toml, PrintsWhatItReads) {
  Config config;
  config.server.listen = "[::1]:7";
  config.server.deliver = Deliver::commit;
  config.presence.off_patterns = {"log-*", "quo\"te\\"};
  config.ring.bytes = 17 << 20;
  config.debug.echo = true;
  const std::string text = to_toml(config);
  Config again;
  auto applied = apply_toml(text, "printed", again);
  ASSERT_TRUE(applied) << applied.error().sentence << "\n" << text;
  EXPECT_EQ(values_of(again), values_of(config));
  for (const ConfigField& field : config_fields(config)) {
    EXPECT_NE(text.find(std::string(field.name()) + " = "), std::string::npos) << field.key;
  }
}

TEST(Toml, NeverPrintsASecret) {
  Config config;
  config.admin.token = "hush-hush";
  EXPECT_EQ(to_toml(config).find("hush-hush"), std::string::npos);
}

TEST(Environment, SetsFieldsAndThePort) {
  Config config;
  const char* environment[] = {"PATH=/bin", "PORT=3000", "TWINWIRE_STORE_GIVE_UP_MS=500",
                               "TWINWIRE_LOGS=/logs"};
  auto applied = apply_environment(environment, config);
  ASSERT_TRUE(applied) << applied.error().sentence;
  EXPECT_EQ(config.server.listen, "127.0.0.1:3000");
  EXPECT_EQ(config.store.give_up_ms, 500u);
}

TEST(Environment, RefusesUnknownNamesAndBadValues) {
  for (const char* entry :
       {"TWINWIRE_SERVER_LISEN=x", "TWINWIRE_SERVER_SHARDS=two", "PORT=http", "PORT=1:2"}) {
    Config config;
    const char* environment[] = {entry};
    EXPECT_FALSE(apply_environment(environment, config)) << entry;
  }
}

TEST(Cli, FlagBeatsVariableBeatsFile) {
  const TomlFile file("[server]\nshards = 2\ntenant = \"file\"\ndeliver = \"commit\"\n");
  const Ran ran = run({"--config", file.path(), "--server.shards=4"},
                      {"TWINWIRE_SERVER_SHARDS=3", "TWINWIRE_SERVER_TENANT=variable", "PORT=81"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  ASSERT_TRUE(ran.served);
  EXPECT_EQ(ran.served->server.shards, 4u);
  EXPECT_EQ(ran.served->server.tenant, "variable");
  EXPECT_EQ(ran.served->server.deliver, Deliver::commit);
  EXPECT_EQ(ran.served->server.listen, "127.0.0.1:81");
}

TEST(Cli, ServesByDefaultAndTakesShortForms) {
  const Ran ran =
      run({"--listen", "127.0.0.1:0", "--admin=127.0.0.1:0", "--data", "/tmp/d", "--shards", "5"});
  ASSERT_TRUE(ran.served) << ran.err;
  EXPECT_EQ(ran.served->server.listen, "127.0.0.1:0");
  EXPECT_EQ(ran.served->admin.listen, "127.0.0.1:0");
  EXPECT_EQ(ran.served->store.path, "/tmp/d");
  EXPECT_EQ(ran.served->server.shards, 5u);
  EXPECT_TRUE(run({"serve", "--listen", "127.0.0.1:1"}).served);
  EXPECT_TRUE(run({}).served);
}

TEST(Cli, ExitCodes) {
  const struct {
    std::vector<const char*> arguments;
    int code;
    std::string_view says;  // on either stream
  } rows[] = {
      {{"--help"}, 0, "print-config"},
      {{"serve", "--help"}, 0, ""},
      {{"version"}, 0, "twinwire "},
      {{"--version"}, 0, "twinwire "},
      {{"check-config"}, 0, "fine"},
      {{"print-config"}, 0, "[server]"},
      {{"token"}, 2, "no token is needed"},
      {{"dance"}, 64, "unknown command \"dance\""},
      {{"--server.lisen=1"}, 64, "did you mean \"server.listen\""},
      {{"--listen"}, 64, "--listen"},
      {{"serve", "check-config"}, 64, ""},
      {{"--server.shards=99"}, 78, "server.shards"},
      {{"--config", "/nonexistent/x.toml"}, 78, "cannot read"},
      {{"check-config", "--listen=0.0.0.0:80"}, 78, "loopback"},
      {{"--listen=0.0.0.0:80"}, 78, "loopback"},
  };
  for (const auto& row : rows) {
    const Ran ran = run(row.arguments);
    EXPECT_EQ(ran.code, row.code) << row.arguments[0] << ": " << ran.err;
    EXPECT_NE((ran.out + ran.err).find(row.says), std::string::npos) << ran.out << ran.err;
    EXPECT_FALSE(ran.served) << row.arguments[0];
  }
}

TEST(Cli, HelpStaysShort) {
  const std::string help = run({"--help"}).out;
  EXPECT_LT(std::count(help.begin(), help.end(), '\n'), 40) << help;
}

}  // namespace
}  // namespace twinwire
