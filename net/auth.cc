#include "net/auth.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/command.h"
#include "net/api_keys.h"
#include "net/jwt.h"
#include "net/read_file.h"

namespace twinwire {

// All that check() needs, immutable: a reload puts another in its place.
struct Authenticator::Rules {
  AuthMode mode = AuthMode::none;
  std::string tenant;
  uint32_t user_id_bytes = 128;
  std::string user_claim, tenant_claim;
  uint64_t leeway_ms = 0;
  std::optional<JwtVerifier> verifier;
  ApiKeys api_keys;
  uint64_t number = 0;  // of this object in the process: remembered tokens are those of one
};

namespace {

Error refused(std::string sentence) { return fail(Code::unauthenticated, std::move(sentence)); }

// An empty file is a mistake too.
Result<std::string> read_keys_file(const std::string& path) {
  auto text = read_file(path);
  if (text && text->empty()) return fail(Code::not_found, "\"" + path + "\" is empty");
  return text;
}

Result<std::vector<JwtKey>> read_keys(const Config::Auth& config) {
  std::vector<JwtKey> keys;
  std::string secret = config.secret, name = "auth.secret";
  if (!config.secret_file.empty()) {
    name = "auth.secret_file";
    auto text = read_keys_file(config.secret_file);
    if (!text) return fail(text.error().code, name + ": " + text.error().sentence);
    secret = std::move(*text);
    while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  }
  if (!secret.empty()) {
    auto key = jwt_secret(std::move(secret));
    if (!key) return fail(key.error().code, name + ": " + key.error().sentence);
    keys.push_back(std::move(*key));
  }
  for (const std::string& path : config.key_files) {
    auto text = read_keys_file(path);
    if (!text) return fail(text.error().code, "auth.key_files: " + text.error().sentence);
    auto more = read_jwt_keys(*text, path);
    if (!more) return fail(more.error().code, "auth.key_files: " + more.error().sentence);
    for (JwtKey& key : *more) keys.push_back(std::move(key));
  }
  if (keys.size() > kJwtKeysMax) return fail(Code::limit_exceeded, "auth.key_files: at most 64 keys in all");
  return keys;
}

Result<std::shared_ptr<const Authenticator::Rules>> read_rules(const Config& config) {
  auto rules = std::make_shared<Authenticator::Rules>();
  static std::atomic<uint64_t> made{0};
  rules->number = made.fetch_add(1, std::memory_order_relaxed) + 1;
  rules->mode = config.auth.mode;
  rules->tenant = config.server.tenant;
  rules->user_id_bytes = config.limits.user_id_bytes;
  rules->user_claim = config.auth.user_claim;
  rules->tenant_claim = config.auth.tenant_claim;
  rules->leeway_ms = uint64_t{config.auth.leeway_seconds} * 1000;
  auto api_keys = ApiKeys::read(config.auth.api_keys, config.server.tenant);
  if (!api_keys) return api_keys.error();
  rules->api_keys = std::move(*api_keys);
  if (config.auth.mode != AuthMode::jwt) return std::shared_ptr<const Authenticator::Rules>(std::move(rules));

  auto keys = read_keys(config.auth);
  if (!keys) return keys.error();
  JwtRules jwt{{}, config.auth.issuer, config.auth.audience, config.auth.leeway_seconds};
  for (const std::string& word : config.auth.algorithms) {
    auto algorithm = parse_jwt_algorithm(word);
    if (!algorithm)
      return fail(Code::invalid_argument,
                  "auth.algorithms: HS256, RS256, ES256 or EdDSA, not \"" + word + "\"");
    bool has_key = std::any_of(keys->begin(), keys->end(),
                               [&](const JwtKey& key) { return key.algorithm == *algorithm; });
    if (!has_key)
      return fail(Code::invalid_argument,
                  "auth.algorithms names " + word + ", but there is no key for it: " +
                      (word == "HS256" ? "set auth.secret or auth.secret_file" : "add it to auth.key_files"));
    jwt.algorithms.push_back(*algorithm);
  }
  rules->verifier.emplace(std::move(jwt), std::move(*keys));
  return std::shared_ptr<const Authenticator::Rules>(std::move(rules));
}

// ---- mode none ----

Result<Identity> named_by_themselves(const Authenticator::Rules& rules, const Credentials& credentials,
                                     uint64_t now_wall_ms) {
  if (credentials.user_id.empty()) return refused("say who you are: id=NAME, or an auth message with userId");
  if (auto ok = check_name("id", credentials.user_id, rules.user_id_bytes); !ok) return ok.error();
  if (!credentials.user_name.empty()) {
    if (auto ok = check_name("userName", credentials.user_name, rules.user_id_bytes); !ok) return ok.error();
  }
  if (credentials.user_id.starts_with(kApiKeyPrefix))
    return fail(Code::invalid_argument, "'id' must not begin with key:");
  Identity who;
  who.user = Name(rules.tenant, credentials.user_id);
  who.display_name = credentials.user_name;
  who.issued_wall_ms = now_wall_ms;
  return who;
}

// ---- tokens ----

// A name may be a number with some issuers.
std::string name_in(simdjson::dom::object claims, std::string_view claim) {
  simdjson::dom::element element;
  if (claims.at_key(claim).get(element)) return {};
  std::string_view text;
  if (!element.get_string().get(text)) return std::string(text);
  uint64_t number = 0;
  return element.get_uint64().get(number) ? std::string() : std::to_string(number);
}

// rooms: {"PATTERN": ["read", …], …}
Result<std::shared_ptr<const Grants>> read_grants(simdjson::dom::object claims) {
  simdjson::dom::element element;
  if (claims.at_key("rooms").get(element) || element.is_null()) return std::shared_ptr<const Grants>();
  simdjson::dom::object rooms;
  if (element.get_object().get(rooms)) return refused("the token's `rooms` must be an object");
  auto grants = std::make_shared<Grants>();
  for (auto [pattern, list] : rooms) {
    Grants::Line line{std::string(pattern), {}};
    simdjson::dom::array words;
    if (list.get_array().get(words)) return refused("the rights in the token's `rooms` must be arrays");
    for (simdjson::dom::element item : words) {
      std::string_view word;
      if (item.get_string().get(word) || !line.rights.add_word(word))
        return refused("the rights in the token's `rooms` are read, write, presence, manage");
    }
    if (pattern.size() > Grants::kPatternBytesMax || grants->lines.size() == Grants::kPatternsMax)
      return refused("the token's `rooms` are at most 64 patterns of at most 128 bytes");
    grants->lines.push_back(std::move(line));
  }
  return std::shared_ptr<const Grants>(std::move(grants));
}

// `exp`, `iat` were looked at by the verifier.
uint64_t date_in(simdjson::dom::object claims, std::string_view claim) {
  double seconds = 0;
  return claims.at_key(claim).get_double().get(seconds) ? 0 : static_cast<uint64_t>(seconds * 1000);
}

Result<Identity> read_identity(const Authenticator::Rules& rules, const std::string& payload) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object claims;
  if (parser.parse(payload).get_object().get(claims)) return refused("the token's claims are no JSON object");
  std::string user = name_in(claims, rules.user_claim), tenant = name_in(claims, rules.tenant_claim);
  if (tenant.empty()) tenant = rules.tenant;
  if (auto ok = check_name(rules.user_claim, user, rules.user_id_bytes);
      !ok || user.starts_with(kApiKeyPrefix))
    return refused("the token names no user in its claim '" + rules.user_claim + "'");
  if (auto ok = check_name(rules.tenant_claim, tenant, kTenantBytesMax); !ok)
    return refused("the token's tenant is no name");
  Identity who;
  who.user = Name(tenant, user);
  std::string shown = name_in(claims, "name");
  if (check_name("name", shown, rules.user_id_bytes)) who.display_name = std::move(shown);
  bool bot = false;
  who.bot = !claims.at_key("bot").get_bool().get(bot) && bot;
  auto grants = read_grants(claims);
  if (!grants) return grants.error();
  who.grants = std::move(*grants);
  who.expires_wall_ms = date_in(claims, "exp");
  who.issued_wall_ms = date_in(claims, "iat");
  return who;
}

// Tokens whose signature held lately, on this thread: a client sends the same one with every POST, and a
// signature costs a hundred microseconds. Times are looked at anew each time.
class Remembered {
 public:
  struct Entry {
    std::string payload;
    Identity who;
  };
  const Entry* find(uint64_t rules, std::string_view token) {
    if (rules != rules_) entries_.clear();
    rules_ = rules;
    auto it = entries_.find(std::string(token));
    return it == entries_.end() ? nullptr : &it->second;
  }
  const Entry* add(std::string_view token, Entry entry) {
    if (entries_.size() >= kEntriesMax) entries_.clear();
    return &entries_.insert_or_assign(std::string(token), std::move(entry)).first->second;
  }

 private:
  static constexpr size_t kEntriesMax = 512;
  uint64_t rules_ = 0;
  std::unordered_map<std::string, Entry> entries_;
};

Result<Identity> by_token(const Authenticator::Rules& rules, std::string_view token, uint64_t now_wall_ms) {
  static thread_local Remembered remembered;
  const Remembered::Entry* known = remembered.find(rules.number, token);
  if (!known) {
    auto payload = rules.verifier->open(token);
    if (!payload) return payload.error();
    if (auto ok = rules.verifier->check_claims(*payload, now_wall_ms); !ok) return ok.error();
    auto who = read_identity(rules, *payload);
    if (!who) return who.error();
    known = remembered.add(token, {std::move(*payload), std::move(*who)});
  } else if (auto ok = rules.verifier->check_claims(known->payload, now_wall_ms); !ok) {
    return ok.error();
  }
  Identity who = known->who;
  // Taken within the leeway, it ends with the leeway.
  if (who.expires_wall_ms > 0 && who.expires_wall_ms <= now_wall_ms) who.expires_wall_ms += rules.leeway_ms;
  return who;
}

}  // namespace

Authenticator::Authenticator(std::shared_ptr<const Rules> rules) : rules_(std::move(rules)) {}
Authenticator::~Authenticator() = default;

Result<std::unique_ptr<Authenticator>> Authenticator::make(const Config& config) {
  auto rules = read_rules(config);
  if (!rules) return rules.error();
  return std::unique_ptr<Authenticator>(new Authenticator(std::move(*rules)));
}

Result<void> Authenticator::reload(const Config& config) {
  auto rules = read_rules(config);
  if (!rules) return rules.error();
  rules_.store(std::move(*rules), std::memory_order_release);  // partner: check()
  return {};
}

Result<Identity> Authenticator::check(const Credentials& credentials, uint64_t now_wall_ms) const {
  auto rules = rules_.load(std::memory_order_acquire);  // partner: reload()
  if (!credentials.api_key.empty()) {
    if (const Identity* backend = rules->api_keys.find(credentials.api_key)) return *backend;
    return refused("this is none of the keys of auth.api_keys");
  }
  if (!credentials.token.empty()) {
    if (const Identity* backend = rules->api_keys.find(credentials.token)) return *backend;
    if (rules->mode == AuthMode::jwt) return by_token(*rules, credentials.token, now_wall_ms);
  }
  if (rules->mode == AuthMode::jwt)
    return refused(
        "bring a token: Authorization: Bearer TOKEN, or on a WebSocket an auth message with token");
  return named_by_themselves(*rules, credentials, now_wall_ms);
}

}  // namespace twinwire
