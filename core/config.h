// Config: everything an operator can set, with its unit, its default and what happens at the bound; and the
// one table that names every field. TOML, TWINWIRE_* variables, flags, `print-config` and validation all walk
// that table, so a setting exists everywhere or nowhere. Not here: files, TOML, flags (tools/twinwire).
// Filled by main before any thread starts, immutable afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/bridge.h"
#include "core/durability.h"
#include "core/status.h"

namespace twinwire {

// Which cursor the fan-out may not overtake (design: the fan-out barrier).
using Deliver = DeliverPolicy;
enum class AuthMode : uint8_t { none, jwt };
enum class LogLevel : uint8_t { trace, debug, info, warn, error };

// Each field's meaning, unit, range and the behaviour at its bound: config.cc, and `twinwire print-config`.
struct Config {
  struct Server {
    std::string listen = "127.0.0.1:8080";
    uint32_t shards = 0;
    bool pin = true;
    Deliver deliver = Deliver::publish;
    std::string tenant = "default";
    uint32_t max_connections = 0;
    uint32_t max_connections_per_address = 0;
    uint32_t rings_per_shard = 0;
    uint32_t descriptors_per_ring = 0;
  } server;

  struct Admin {
    std::string listen = "127.0.0.1:8081";
    std::string token;
  } admin;

  struct Store {
    std::string path = "twinwire-data";
    uint32_t give_up_ms = 30'000;
    uint32_t backlog_events = 65'536;
    uint64_t backlog_bytes = 64 << 20;
    uint32_t readers = 2;
    uint64_t retention_seconds = 0;
    uint64_t retention_events = 0;
    uint32_t settle_idle_ms = 15'000;
    uint32_t commit_delay_us = 4'000;
  } store;

  struct Auth {
    AuthMode mode = AuthMode::none;
    bool query_token = false;
    bool force_none_on_any_address = false;
    uint32_t timeout_ms = 10'000;
    std::vector<std::string> algorithms;
    std::string secret;
    std::string secret_file;
    std::vector<std::string> key_files;
    std::string issuer;
    std::string audience;
    uint32_t leeway_seconds = 10;
    uint32_t expiring_seconds = 60;
    std::string user_claim = "sub";
    std::string tenant_claim = "tenant";
    std::string cookie;
    std::vector<std::string> default_rights = {"read", "write", "presence"};
    std::vector<std::string> api_keys;
  } auth;

  struct Origins {
    std::vector<std::string> allow;
  } origins;

  struct Sse {
    uint32_t heartbeat_seconds = 15;
  } sse;

  struct Ws {
    uint32_t heartbeat_seconds = 25;
  } ws;

  struct Poll {
    uint32_t wait_seconds = 25;
    uint32_t events = 256;
    uint64_t bytes = 256 << 10;
  } poll;

  struct Limits {
    uint64_t message_bytes = 64 << 10;
    uint64_t request_head_bytes = 16 << 10;
    uint32_t head_timeout_ms = 10'000;
    uint32_t body_timeout_ms = 30'000;
    uint32_t rooms_per_stream = 256;
    uint32_t rooms_per_user = 1024;
    uint32_t members_per_room = 100'000;
    uint32_t history_max = 256;
    uint32_t batch_events = 256;
    uint32_t commands_per_second = 50;
    uint32_t commands_burst = 100;
    uint32_t tenant_commands_per_second = 0;
    uint32_t tenant_commands_burst = 1'000;
    uint32_t room_name_bytes = 128;
    uint32_t user_id_bytes = 128;
  } limits;

  struct Presence {
    bool enabled = true;
    uint32_t members_max = 200;
    uint32_t diff_ms = 1'000;
    std::vector<std::string> off_patterns;
  } presence;

  struct Typing {
    uint32_t clear_ms = 6'000;
  } typing;

  struct Session {
    uint32_t keep_seconds = 120;
    uint32_t presence_grace_seconds = 15;
  } session;

  struct Slow {
    uint32_t stall_seconds = 600;
  } slow;

  struct Ring {
    uint32_t slots = 65'536;
    uint64_t bytes = 256 << 20;
  } ring;

  struct Idempotency {
    uint32_t keep_seconds = 86'400;
  } idempotency;

  struct Drain {
    uint32_t seconds = 5;
  } drain;

  struct Debug {
    bool echo = false;
    bool probes_off = false;
  } debug;

  struct Metrics {
    uint32_t tenants_max = 100;
  } metrics;

  struct Log {
    LogLevel level = LogLevel::info;
  } log;

  struct Hooks {
    std::string save_url;
    std::string authorization;
    std::string secret;
    uint32_t batch_events = 256;
    uint64_t batch_bytes = 1 << 20;
    uint32_t timeout_ms = 10'000;
    uint32_t retry_ms_max = 30'000;
    uint64_t queue_events = 10'000'000;
  } hooks;

  // Of applications that move here. The tables in them are read from the file only
  // (tools/twinwire/bridge_file.h).
  Bridges bridges;
  RouteTable routes = default_routes();
};

// How a field's text is read and shown.
enum class FieldKind : uint8_t { flag, number, bytes, text, list, choice };

// One row of the table, bound to one Config.
struct ConfigField {
  // uint8_t is the enum's underlying type; `choices` names its values in order.
  using Target = std::variant<bool*, uint32_t*, uint64_t*, std::string*, std::vector<std::string>*, uint8_t*>;

  std::string_view key;  // "section.name"
  FieldKind kind;
  Target target;
  uint64_t min = 0;  // inclusive; of numbers and bytes
  uint64_t max = 0;
  std::span<const std::string_view> choices;
  bool secret = false;   // never shown by print-config
  std::string_view doc;  // unit, range, and what happens at the bound; one to three sentences

  std::string_view section() const { return key.substr(0, key.find('.')); }
  std::string_view name() const { return key.substr(key.find('.') + 1); }
};

// The table. The rows point into `config`, which outlives them.
std::vector<ConfigField> config_fields(Config& config);

// Reads `text` into the field: true/false, a number, a size ("65536", "64KiB", "1MiB"), a comma-separated
// list, or one of the choices. `invalid_argument` with a sentence naming the key and what it may be.
Result<void> set_field(const ConfigField& field, std::string_view text);
// The field's value as TOML: `true`, `42`, `"text"`, `["a", "b"]`.
std::string field_as_toml(const ConfigField& field);
// The row named `key`; an unknown key is `not_found` with a "did you mean".
Result<ConfigField> find_field(std::span<const ConfigField> fields, std::string_view key);

// "TWINWIRE_SECTION_NAME" of a key.
std::string environment_name(std::string_view key);

// What no single field can say: addresses, mode none off loopback, sizes that contradict each other. One
// sentence per mistake; empty when the configuration can be served.
std::vector<std::string> validate(const Config& config);

// A numeric address: names are never looked up ("localhost" is 127.0.0.1). An IPv6 host stands without
// brackets.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

// "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (all IPv4 addresses), "8080" (loopback).
Result<Endpoint> parse_endpoint(std::string_view text);
std::string to_text(const Endpoint& endpoint);
bool is_loopback(const Endpoint& endpoint);

}  // namespace twinwire
