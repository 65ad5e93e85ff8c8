#include "core/config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>

#include "core/identity.h"

namespace twinwire {
namespace {

constexpr std::array<std::string_view, 2> kDeliver{"publish", "commit"};
constexpr std::array<std::string_view, 2> kAuthMode{"none", "jwt"};
constexpr std::array<std::string_view, 4> kNameRule{"dot", "hyphen", "upper_snake", "message"};
constexpr std::array<std::string_view, 2> kBodyRule{"envelope", "data"};
constexpr std::array<std::string_view, 3> kKeyCase{"as_is", "snake_case", "camelCase"};
constexpr std::array<std::string_view, 5> kLogLevel{"trace", "debug", "info", "warn", "error"};

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr uint64_t kYearSeconds = 366 * 86'400;

// Collects rows; one function per kind keeps the table below a table.
class Table {
 public:
  std::vector<ConfigField> rows;

  void flag(std::string_view key, bool& target, std::string_view doc) {
    rows.push_back({.key = key, .kind = FieldKind::flag, .target = &target, .choices = {}, .doc = doc});
  }
  template <typename T>
  void number(std::string_view key, T& target, uint64_t min, uint64_t max, std::string_view doc) {
    rows.push_back({key, FieldKind::number, &target, min, max, {}, false, doc});
  }
  void bytes(std::string_view key, uint64_t& target, uint64_t min, uint64_t max, std::string_view doc) {
    rows.push_back({key, FieldKind::bytes, &target, min, max, {}, false, doc});
  }
  void text(std::string_view key, std::string& target, std::string_view doc, bool secret = false) {
    rows.push_back({.key = key,
                    .kind = FieldKind::text,
                    .target = &target,
                    .choices = {},
                    .secret = secret,
                    .doc = doc});
  }
  void list(std::string_view key, std::vector<std::string>& target, std::string_view doc) {
    rows.push_back({.key = key, .kind = FieldKind::list, .target = &target, .choices = {}, .doc = doc});
  }
  template <typename Enum>
  void choice(std::string_view key, Enum& target, std::span<const std::string_view> choices,
              std::string_view doc) {
    static_assert(std::is_same_v<std::underlying_type_t<Enum>, uint8_t>);
    // uint8_t may alias anything.
    rows.push_back({.key = key,
                    .kind = FieldKind::choice,
                    .target = reinterpret_cast<uint8_t*>(&target),
                    .choices = choices,
                    .doc = doc});
  }
};

void add_server(Table& t, Config::Server& c) {
  t.text("server.listen", c.listen,
         "Address and port of the public listener. Port 0: the kernel picks one; the ready line tells which. "
         "PORT in the environment replaces the port.");
  t.number("server.shards", c.shards, 0, 64,
           "Threads that serve connections and rooms. 0: one per core. More than cores is allowed.");
  t.flag("server.pin", c.pin, "Pin each shard to a core, as far as there are cores.");
  t.choice("server.deliver", c.deliver, kDeliver,
           "publish: an event goes out at once and is stored beside it. commit: it goes out only after it is "
           "stored, so nothing ever seen can be lost.");
  t.text("server.tenant", c.tenant, "The tenant of every user while auth.mode is none.");
  t.number("server.max_connections", c.max_connections, 0, 100'000'000,
           "Connections at once; more are told `overloaded`. 0: as many as the descriptor tables hold.");
  t.number("server.max_connections_per_address", c.max_connections_per_address, 0, 100'000'000,
           "Connections at once from one address; more are told `overloaded`. 0: no limit.");
  t.number("server.rings_per_shard", c.rings_per_shard, 0, 64,
           "io_uring rings of one shard, each with a table of direct descriptors. 0: chosen at start.");
  t.number("server.descriptors_per_ring", c.descriptors_per_ring, 0, 1 << 20,
           "Connections that one ring's table holds; at most RLIMIT_NOFILE. 0: derived from RLIMIT_NOFILE.");
}

void add_admin(Table& t, Config::Admin& c) {
  t.text("admin.listen", c.listen,
         "Address and port of the operators' listener (health, metrics, admin); must be loopback. "
         "Port 0: the kernel picks.");
  t.text("admin.token", c.token,
         "Bearer token of the operators' listener. Empty: a random one is made and written to "
         "<store.path>/admin.token, readable by the owner only.",
         true);
}

void add_store(Table& t, Config::Store& c) {
  t.text("store.path", c.path, "Data directory. Made if missing; used by one process at a time.");
  t.number("store.give_up_ms", c.give_up_ms, 100, 3'600'000,
           "Milliseconds that a failing store may keep an event waiting. Then the event is `unsaved` and its "
           "sender "
           "is told.");
  t.number(
      "store.backlog_events", c.backlog_events, 16, 16'777'216,
      "Events that may wait for the store. When full, kept events are refused with `storage_unavailable`.");
  t.bytes("store.backlog_bytes", c.backlog_bytes, kMiB, 64 * kGiB,
          "Bytes of events that may wait for the store. When full, as above.");
  t.number("store.readers", c.readers, 1, 64, "Threads that read history.");
  t.number("store.retention_seconds", c.retention_seconds, 0, 100 * kYearSeconds,
           "Seconds that an event is kept; a cursor before the oldest kept one is told `reset` `trimmed`. "
           "0: for ever.");
  t.number("store.retention_events", c.retention_events, 0, uint64_t{1} << 50,
           "Events kept per room, told as above. 0: all.");
  t.number(
      "store.commit_delay_us", c.commit_delay_us, 0, 100'000,
      "Microseconds that a commit is put off at most, so that more messages share its sync: only where a "
      "thousand and more come each second one by one, and only while it slows no publisher. Delivery does "
      "not wait for it, `ack: stored` does. 0, and under server.deliver = commit: never.");
  t.number("store.settle_idle_ms", c.settle_idle_ms, 100, 3'600'000,
           "Milliseconds without a kept event after which the store syncs its bare position, so that idle "
           "clients' cursors move on.");
}

void add_tokens(Table& t, Config::Auth& c) {
  t.list("auth.algorithms", c.algorithms,
         "How tokens may be signed: HS256, RS256, ES256, EdDSA. Only these count, whatever a token says; "
         "mode jwt "
         "needs at least one.");
  t.text("auth.secret", c.secret, "The secret of HS256, at least 32 bytes. Read again on SIGHUP.", true);
  t.text(
      "auth.secret_file", c.secret_file,
      "A file with the secret of HS256, instead of auth.secret; a line end at its end does not count. Read "
      "again on SIGHUP.");
  t.list("auth.key_files", c.key_files,
         "Files with the keys that tokens are checked with: PEM (public keys, certificates) or JWKS. Read "
         "again on "
         "SIGHUP; a file that cannot be read keeps the keys there were.");
  t.text("auth.issuer", c.issuer, "What a token's `iss` must be. Empty: anything.");
  t.text("auth.audience", c.audience, "What a token's `aud` must be, or name among others. Empty: anything.");
  t.number("auth.leeway_seconds", c.leeway_seconds, 0, 300,
           "Seconds by which clocks may differ when a token's `exp`, `nbf` and `iat` are looked at.");
  t.number("auth.expiring_seconds", c.expiring_seconds, 1, 86'400,
           "Seconds before a stream's token ends in which it is told `auth.expiring`; at the end it is "
           "closed, 4401. "
           "A token that lives for less is told at half its time.");
  t.text("auth.user_claim", c.user_claim, "The claim that names the user.");
  t.text("auth.tenant_claim", c.tenant_claim,
         "The claim that names the tenant; a token without it is of server.tenant.");
  t.text("auth.cookie", c.cookie,
         "Name of a cookie that may hold the token. Requests with it must come from an allowed Origin. "
         "Empty: no "
         "cookie counts.");
  t.list("auth.default_rights", c.default_rights,
         "In open rooms, the rights of tokens without a `rooms` claim: read, write, presence, manage. In "
         "mode none "
         "everyone has all of them.");
  t.list("auth.api_keys", c.api_keys,
         "Keys of backends, each \"name=N sha256=HEX tenant=T rights=read+write rooms=PATTERN\"; HEX is the "
         "SHA-256 of the key, or sha256_file=PATH names a file with it. tenant is server.tenant, rights are "
         "all and "
         "rooms is * unless said otherwise. Read again on SIGHUP.");
}

void add_access(Table& t, Config& c) {
  t.choice(
      "auth.mode", c.auth.mode, kAuthMode,
      "none: clients name themselves. For development; on loopback only, unless forced below. jwt: clients "
      "bring tokens signed with auth.secret or by a key of auth.key_files.");
  t.flag("auth.query_token", c.auth.query_token,
         "Accept a token in the query of a stream (it is never logged).");
  t.flag("auth.force_none_on_any_address", c.auth.force_none_on_any_address,
         "Allow auth.mode none on an address that is not loopback: anyone who reaches it may be anyone.");
  t.number("auth.timeout_ms", c.auth.timeout_ms, 100, 600'000,
           "Milliseconds in which a stream must say who it is; then it is closed, 4401.");
  add_tokens(t, c.auth);
  t.list(
      "origins.allow", c.origins.allow,
      "Web origins (https://app.example) that may connect besides the server's own, \"*\": any. Their "
      "hosts are "
      "also the names that requests may name in Host, besides addresses and localhost; with \"*\" any may.");
}

void add_form(Table& t, FormStyle& c, std::array<std::string_view, 3> keys, std::string_view names_doc) {
  t.choice(keys[0], c.names, kNameRule, names_doc);
  t.choice(keys[1], c.body, kBodyRule,
           "envelope: the whole event. data: its data alone, on WebSocket and polls with \"eventId\" and "
           "\"type\" in it. A table \"members\" beside it renames or adds members of the envelope.");
  t.choice(
      keys[2], c.keys.rule, kKeyCase,
      "Spelling of the member names in data. A table instead of a word gives exceptions (\"*\" the rule).");
}

void add_streams(Table& t, Config& c) {
  t.number("sse.heartbeat_seconds", c.sse.heartbeat_seconds, 1, 600,
           "Longest silence on SSE, in seconds, unless the client asks for another (10 to 600).");
  add_form(
      t, c.bridges.common.style.sse, {"sse.names", "sse.data", "sse.keys"},
      "Names of events on SSE: message.created, message-created, MESSAGE_CREATED, or \"message\": no name, "
      "so that onmessage hears all. A table instead of a word gives exceptions (\"*\" the rule).");
  t.number(
      "ws.heartbeat_seconds", c.ws.heartbeat_seconds, 1, 600,
      "Seconds between pings on WebSocket, unless the client asks for another (10 to 600). After two without "
      "any sign of life the connection is closed, unless its socket is taking bytes slowly.");
  add_form(t, c.bridges.common.style.ws, {"ws.names", "ws.data", "ws.keys"},
           "Names of events on WebSocket and in polls, as above; \"message\" leaves them as they are.");
  t.number("poll.wait_seconds", c.poll.wait_seconds, 1, 600, "Longest wait of a poll, in seconds.");
  t.number("poll.events", c.poll.events, 1, 4096, "Events in one poll answer; `more` is true when cut.");
  t.bytes("poll.bytes", c.poll.bytes, 128 * kKiB, 16 * kMiB, "Bytes of events in one poll answer; as above.");
  t.number(
      "session.keep_seconds", c.session.keep_seconds, 1, 86'400,
      "Seconds that a session without a stream is kept. Afterwards its client gets a new id and the same "
      "resume.");
  t.number("session.presence_grace_seconds", c.session.presence_grace_seconds, 0, 3600,
           "Seconds without a stream before presence says `left`.");
  t.number("slow.stall_seconds", c.slow.stall_seconds, 1, 86'400,
           "Seconds in which a socket took no byte, after which it is closed; its client resumes.");
}

void add_limits(Table& t, Config::Limits& c) {
  t.bytes("limits.message_bytes", c.message_bytes, kKiB, 16 * kMiB,
          "Bytes of one command: a POST body or a WebSocket message. More: `too_large` (413, 1009).");
  t.bytes("limits.request_head_bytes", c.request_head_bytes, kKiB, kMiB,
          "Bytes of a request line with its headers. More: 431.");
  t.number("limits.head_timeout_ms", c.head_timeout_ms, 100, 600'000,
           "Milliseconds in which a request head must arrive. Later: 408.");
  t.number("limits.body_timeout_ms", c.body_timeout_ms, 100, 3'600'000,
           "Milliseconds in which a request body must arrive. Later: 408.");
  t.number(
      "limits.rooms_per_stream", c.rooms_per_stream, 1, 65'536,
      "Rooms that one stream follows when it opens. More in `rooms=`, or by a command: `limit_exceeded`; "
      "memberships that do not fit beside those are left out, the oldest first, and `connected` says how "
      "many.");
  t.number("limits.rooms_per_user", c.rooms_per_user, 1, 65'536,
           "Rooms that one user is a member of. One more, whoever makes it: `limit_exceeded`.");
  t.number("limits.members_per_room", c.members_per_room, 2, 10'000'000,
           "Members of one room. More: `limit_exceeded` for who joins, invites or creates.");
  t.number("limits.history_max", c.history_max, 0, 4096,
           "Most events per room that `history=N` sends; a larger N is cut to it.");
  t.number("limits.batch_events", c.batch_events, 1, 4096,
           "Most events in one batch of events.publish. More: `limit_exceeded`.");
  t.number("limits.commands_per_second", c.commands_per_second, 1, 1'000'000,
           "Commands per second and user, over all of the user's connections; with auth.mode none also per "
           "connection. More: `rate_limited`, with the wait.");
  t.number("limits.commands_burst", c.commands_burst, 1, 1'000'000,
           "Commands that a user may send at once before the rate counts. Of a connection with auth.mode "
           "none as well, there above 6000 as 6000.");
  t.number(
      "limits.tenant_commands_per_second", c.tenant_commands_per_second, 0, 100'000'000,
      "Commands per second of all of a tenant's users together, backends apart; 0: as many as come. More: "
      "`rate_limited`, with the wait.");
  t.number("limits.tenant_commands_burst", c.tenant_commands_burst, 1, 100'000'000,
           "Commands that a tenant may send at once before its rate counts.");
  t.number("limits.room_name_bytes", c.room_name_bytes, 1, 128,
           "Bytes of a room name. More: `invalid_argument`.");
  t.number("limits.user_id_bytes", c.user_id_bytes, 1, 128, "Bytes of a user id. More: `invalid_argument`.");
}

void add_rooms(Table& t, Config& c) {
  t.flag("presence.enabled", c.presence.enabled, "Tell who is there at all.");
  t.number("presence.members_max", c.presence.members_max, 0, 100'000,
           "Present users above which a room tells counts only.");
  t.number("presence.diff_ms", c.presence.diff_ms, 50, 60'000,
           "Milliseconds over which a room's presence changes are gathered into one event.");
  t.list("presence.off_patterns", c.presence.off_patterns,
         "Rooms without presence, as patterns: * is any run of bytes, all else is itself.");
  t.number("typing.clear_ms", c.typing.clear_ms, 100, 600'000,
           "Milliseconds after which typing ends unless it is said again.");
}

void add_engine(Table& t, Config& c) {
  t.number("ring.slots", c.ring.slots, 1024, 1 << 24,
           "Events in flight between the shards, a power of two. When full: typing and presence are shed, "
           "commands are told `overloaded`.");
  t.bytes("ring.bytes", c.ring.bytes, kMiB, 64 * kGiB, "Bytes of events in flight; as above.");
  t.number("idempotency.keep_seconds", c.idempotency.keep_seconds, 60, kYearSeconds,
           "Seconds in which a clientId that comes again gets the first result instead of a second message.");
  t.number("drain.seconds", c.drain.seconds, 0, 3600,
           "Seconds over which SIGTERM spreads its good-byes. A second signal ends at once.");
  t.flag("debug.echo", c.debug.echo, "Serve a WebSocket echo at /debug/echo, for protocol test suites.");
  t.flag("debug.probes_off", c.debug.probes_off,
         "Act as if the kernel could do nothing beyond Linux 6.1, so that tests cover those paths.");
  t.number("metrics.tenants_max", c.metrics.tenants_max, 0, 10'000,
           "Tenants that are counted by name in metrics and statistics, the first that come; all others "
           "together are \"(other)\". 0: no tenant is counted by name.");
  t.choice("log.level", c.log.level, kLogLevel, "What is logged to stderr.");
}

void add_bridges(Table& t, Config& c) {
  t.choice("replies.keys", c.bridges.common.replies.rule, kKeyCase,
           "Spelling of the member names in answers of commands, as sse.keys.");
  t.text("bridge.room", c.bridges.common.room,
         "Room of streams that name none, and of bridged messages that name none. Empty: there is none.");
  t.number("bridge.history", c.bridges.common.history, 0, 4096,
           "Events of each room that a stream without a cursor gets first, where it does not say history=.");
  t.text("hooks.save_url", c.hooks.save_url,
         "http:// address that gets every kept event by POST, in batches, in order, at least once. Empty: "
         "none.");
  t.text("hooks.authorization", c.hooks.authorization, "Value of the Authorization field sent to it.", true);
  t.text("hooks.secret", c.hooks.secret,
         "Key of the HMAC-SHA256 in the field Twinwire-Signature. Empty: no signature.", true);
  t.number("hooks.batch_events", c.hooks.batch_events, 1, 4096, "Events in one batch at most.");
  t.bytes("hooks.batch_bytes", c.hooks.batch_bytes, 64 * kKiB, 64 * kMiB,
          "Bytes of one batch at most; an event that is larger goes alone.");
  t.number("hooks.timeout_ms", c.hooks.timeout_ms, 100, 600'000,
           "Milliseconds in which a batch must be answered; then it is sent again.");
  t.number("hooks.retry_ms_max", c.hooks.retry_ms_max, 100, 3'600'000,
           "Longest wait between tries, in milliseconds. It begins at 200, doubles, and is jittered.");
  t.number(
      "hooks.queue_events", c.hooks.queue_events, 1000, uint64_t{1} << 40,
      "Events that may wait on disk for the receiver. More: the oldest are dropped, logged and counted.");
}

std::string refusal(const ConfigField& field, std::string_view text, std::string_view wants) {
  std::string sentence;
  sentence.append(field.key).append(" must be ").append(wants);
  sentence.append(", not \"").append(text).append("\"");
  return sentence;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, uint64_t>, 4> units{
      {{"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}, {"B", 1}}};
  uint64_t unit = 1;
  for (const auto& [suffix, factor] : units) {
    if (!text.ends_with(suffix)) continue;
    text.remove_suffix(suffix.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    unit = factor;
    break;
  }
  const auto value = parse_number(text);
  if (!value || *value > std::numeric_limits<uint64_t>::max() / unit) return std::nullopt;
  return *value * unit;
}

Result<void> set_number(const ConfigField& field, std::string_view text) {
  const bool is_size = field.kind == FieldKind::bytes;
  const auto value = is_size ? parse_size(text) : parse_number(text);
  const std::string range = "from " + std::to_string(field.min) + " to " + std::to_string(field.max);
  if (!value || *value < field.min || *value > field.max) {
    const std::string wants =
        (is_size ? "a size like 65536 or \"64KiB\" " : std::string("a whole number ")) + range;
    return fail(Code::invalid_argument, refusal(field, text, wants));
  }
  if (auto* const* narrow = std::get_if<uint32_t*>(&field.target)) {
    **narrow = static_cast<uint32_t>(*value);
  } else {
    *std::get<uint64_t*>(field.target) = *value;
  }
  return {};
}

Result<void> set_choice(const ConfigField& field, std::string_view text) {
  const auto found = std::find(field.choices.begin(), field.choices.end(), text);
  if (found == field.choices.end()) {
    std::string wants;
    for (const std::string_view choice : field.choices) {
      wants.append(wants.empty() ? "" : " or ").append("\"").append(choice).append("\"");
    }
    return fail(Code::invalid_argument, refusal(field, text, wants));
  }
  *std::get<uint8_t*>(field.target) = static_cast<uint8_t>(found - field.choices.begin());
  return {};
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return words;
}

std::string quoted(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out.append("\\u00").append(1, digits[(c >> 4) & 15]).append(1, digits[c & 15]);
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Edits (insert, delete, replace) between two short words.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above + 1, row[j - 1] + 1, replaced});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool is_power_of_two(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

bool is_ipv4(std::string_view host) {
  int parts = 0;
  while (true) {
    const size_t dot = std::min(host.find('.'), host.size());
    const auto part = parse_number(host.substr(0, dot));
    if (!part || *part > 255 || dot > 3) return false;
    ++parts;
    if (dot == host.size()) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

// Only the alphabet: the kernel has the last word when the listener binds.
bool is_ipv6(std::string_view host) {
  return host.find(':') != std::string_view::npos &&
         std::all_of(host.begin(), host.end(),
                     [](unsigned char c) { return std::isxdigit(c) != 0 || c == ':' || c == '.'; });
}

}  // namespace

std::vector<ConfigField> config_fields(Config& config) {
  Table table;
  add_server(table, config.server);
  add_admin(table, config.admin);
  add_store(table, config.store);
  add_access(table, config);
  add_streams(table, config);
  add_limits(table, config.limits);
  add_rooms(table, config);
  add_bridges(table, config);
  add_engine(table, config);
  return std::move(table.rows);
}

Result<void> set_field(const ConfigField& field, std::string_view text) {
  switch (field.kind) {
    case FieldKind::flag:
      if (text != "true" && text != "false") {
        return fail(Code::invalid_argument, refusal(field, text, "true or false"));
      }
      *std::get<bool*>(field.target) = text == "true";
      return {};
    case FieldKind::number:
    case FieldKind::bytes:
      return set_number(field, text);
    case FieldKind::text:
      *std::get<std::string*>(field.target) = text;
      return {};
    case FieldKind::list:
      *std::get<std::vector<std::string>*>(field.target) = split_list(text);
      return {};
    case FieldKind::choice:
      return set_choice(field, text);
  }
  return fail(Code::internal, "unknown kind of field");
}

std::string field_as_toml(const ConfigField& field) {
  switch (field.kind) {
    case FieldKind::flag:
      return *std::get<bool*>(field.target) ? "true" : "false";
    case FieldKind::number:
    case FieldKind::bytes:
      if (auto* const* narrow = std::get_if<uint32_t*>(&field.target)) return std::to_string(**narrow);
      return std::to_string(*std::get<uint64_t*>(field.target));
    case FieldKind::text:
      return quoted(*std::get<std::string*>(field.target));
    case FieldKind::list: {
      std::string out = "[";
      for (const std::string& word : *std::get<std::vector<std::string>*>(field.target)) {
        out.append(out.size() == 1 ? "" : ", ").append(quoted(word));
      }
      return out + "]";
    }
    case FieldKind::choice:
      return quoted(field.choices[*std::get<uint8_t*>(field.target)]);
  }
  return {};
}

Result<ConfigField> find_field(std::span<const ConfigField> fields, std::string_view key) {
  const ConfigField* nearest = nullptr;
  size_t nearest_distance = std::numeric_limits<size_t>::max();
  for (const ConfigField& field : fields) {
    if (field.key == key) return field;
    // A key whose section alone is wrong or missing is a near one too.
    const size_t in_full = edit_distance(field.key, key);
    const size_t by_name = 1 + edit_distance(field.name(), key.substr(key.find('.') + 1));
    const size_t distance = std::min(in_full, by_name);
    if (distance < nearest_distance) {
      nearest_distance = distance;
      nearest = &field;
    }
  }
  std::string sentence = "unknown setting \"" + std::string(key) + "\"";
  if (nearest != nullptr && nearest_distance <= 1 + key.size() / 3) {
    sentence += "; did you mean \"" + std::string(nearest->key) + "\"?";
  }
  return fail(Code::not_found, sentence);
}

std::string environment_name(std::string_view key) {
  std::string name = "TWINWIRE_";
  for (const char c : key) {
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

namespace {

// What files say is looked at when they are read (net/auth.cc).
void validate_auth(const Config::Auth& auth, std::vector<std::string>& mistakes) {
  for (const std::string& word : auth.default_rights) {
    Rights rights;
    if (!rights.add_word(word))
      mistakes.push_back("auth.default_rights: read, write, presence or manage, not \"" + word + "\"");
  }
  bool cookie_name = std::all_of(auth.cookie.begin(), auth.cookie.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
  if (!cookie_name) mistakes.emplace_back("auth.cookie: a name of letters, digits, _ - and .");
  if (!auth.secret.empty() && !auth.secret_file.empty())
    mistakes.emplace_back("auth.secret and auth.secret_file are both set: remove one");
  if (auth.mode != AuthMode::jwt) return;
  if (auth.algorithms.empty())
    mistakes.emplace_back(
        "auth.mode \"jwt\" needs auth.algorithms: say how tokens are signed, e.g. [\"ES256\"] (with "
        "auth.key_files) "
        "or [\"HS256\"] (with auth.secret)");
  if (auth.secret.empty() && auth.secret_file.empty() && auth.key_files.empty())
    mistakes.emplace_back(
        "auth.mode \"jwt\" needs keys: auth.key_files (PEM or JWKS), or auth.secret or auth.secret_file for "
        "HS256");
  if (auth.user_claim.empty()) mistakes.emplace_back("auth.user_claim must not be empty");
}

}  // namespace

std::vector<std::string> validate(const Config& config) {
  std::vector<std::string> mistakes;
  validate_auth(config.auth, mistakes);
  const auto server = parse_endpoint(config.server.listen);
  const auto admin = parse_endpoint(config.admin.listen);
  if (!server) mistakes.push_back("server.listen: " + server.error().sentence);
  if (!admin) mistakes.push_back("admin.listen: " + admin.error().sentence);
  if (server && config.auth.mode == AuthMode::none && !is_loopback(*server) &&
      !config.auth.force_none_on_any_address) {
    mistakes.push_back("auth.mode \"none\" lets anyone be anyone, so server.listen must be loopback, not \"" +
                       config.server.listen + "\" (or set auth.force_none_on_any_address = true)");
  }
  if (admin && !is_loopback(*admin)) {
    mistakes.push_back("admin.listen must be a loopback address, not \"" + config.admin.listen + "\"");
  }
  if (server && admin && server->port != 0 && *server == *admin) {
    mistakes.emplace_back("server.listen and admin.listen must differ");
  }
  if (!is_power_of_two(config.ring.slots)) mistakes.emplace_back("ring.slots must be a power of two");
  if (config.ring.bytes < 16 * config.limits.message_bytes) {
    mistakes.emplace_back("ring.bytes must hold at least 16 messages of limits.message_bytes");
  }
  if (config.poll.bytes < 2 * config.limits.message_bytes) {
    mistakes.emplace_back("poll.bytes must be at least twice limits.message_bytes");
  }
  if (!config.hooks.save_url.empty() && !config.hooks.save_url.starts_with("http://"))
    mistakes.emplace_back("hooks.save_url must begin with http:// (for https put a proxy in front of it)");
  if (config.store.path.empty()) mistakes.emplace_back("store.path must not be empty");
  if (config.server.tenant.empty() || config.server.tenant.size() > 64) {
    mistakes.emplace_back("server.tenant must be 1 to 64 bytes");
  }
  return mistakes;
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::string wants =
      "\"" + std::string(text) + "\" is not an address like 127.0.0.1:8080 or [::1]:8080";
  const size_t colon = text.rfind(':');
  const std::string_view port_text = colon == std::string_view::npos ? text : text.substr(colon + 1);
  const auto port = parse_number(port_text);
  if (!port || *port > 65'535) return fail(Code::invalid_argument, wants);
  std::string host = "127.0.0.1";
  if (colon != std::string_view::npos) {
    std::string_view name = text.substr(0, colon);
    if (name.empty()) {
      host = "0.0.0.0";
    } else if (name.starts_with('[') && name.ends_with(']') && is_ipv6(name.substr(1, name.size() - 2))) {
      host = name.substr(1, name.size() - 2);
    } else if (is_ipv4(name)) {
      host = name;
    } else if (name != "localhost") {
      return fail(Code::invalid_argument, wants);
    }
  }
  return Endpoint{std::move(host), static_cast<uint16_t>(*port)};
}

std::string to_text(const Endpoint& endpoint) {
  const bool is_v6 = endpoint.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

bool is_loopback(const Endpoint& endpoint) {
  return endpoint.host.starts_with("127.") || endpoint.host == "::1";
}

}  // namespace twinwire
