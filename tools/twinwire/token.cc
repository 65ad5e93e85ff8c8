#include "tools/twinwire/token.h"

#include <algorithm>
#include <charconv>

#include "core/command.h"
#include "core/identity.h"
#include "core/json.h"
#include "net/jwt.h"
#include "net/read_file.h"

namespace twinwire {
namespace {

constexpr uint64_t kTtlMax = 10ull * 366 * 86'400;

Result<uint64_t> seconds_of(std::string_view text) {
  uint64_t number = 0, unit = 1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  if (rest == "m") unit = 60;
  if (rest == "h") unit = 3600;
  if (rest == "d") unit = 86'400;
  bool known = rest.empty() || rest == "s" || unit > 1;
  if (error != std::errc() || !known || number == 0 || number > kTtlMax / unit)
    return fail(Code::invalid_argument, "--ttl must be a time like 90s, 15m, 1h or 7d, at most ten years");
  return number * unit;
}

// {"PATTERN":["read","write"],…}
Result<std::string> rooms_claim(const std::vector<std::string>& wishes) {
  std::string out;
  JsonObject object(out);
  for (const std::string& wish : wishes) {
    size_t equals = wish.rfind('=');
    Rights rights;
    bool right = equals != std::string::npos && equals > 0;
    std::string_view words = right ? std::string_view(wish).substr(equals + 1) : std::string_view();
    std::string list = "[";
    while (right && !words.empty()) {
      std::string_view word = words.substr(0, words.find(','));
      right = rights.add_word(word);
      if (list.size() > 1) list += ',';
      append_json_string(list, word);
      words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    if (!right)
      return fail(Code::invalid_argument,
                  "--rooms must be PATTERN=RIGHTS, e.g. 'lobby=read,write'; rights are read, write, "
                  "presence, manage");
    object.raw(wish.substr(0, equals), list + "]");
  }
  object.end();
  return out;
}

Result<JwtKey> signing_key(const Config& config, const TokenWish& wish) {
  if (!wish.key_file.empty()) {
    auto text = read_file(wish.key_file);
    if (!text) return text.error();
    return read_jwt_private_key(*text, wish.key_file);
  }
  std::string secret = config.auth.secret;
  if (!config.auth.secret_file.empty()) {
    auto text = read_file(config.auth.secret_file);
    if (!text) return text.error();
    secret = std::move(*text);
    while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  }
  if (secret.empty())
    return fail(
        Code::invalid_argument,
        "there is nothing to sign with: set auth.secret (HS256), or give a private key with --key FILE");
  auto key = jwt_secret(std::move(secret));
  if (!key) return fail(Code::internal, "auth.secret: " + key.error().sentence);
  return key;
}

}  // namespace

Result<std::string> mint_token(const Config& config, const TokenWish& wish, uint64_t now_s) {
  if (auto ok = check_name("--sub", wish.user, config.limits.user_id_bytes); !ok) return ok.error();
  auto ttl = seconds_of(wish.ttl);
  if (!ttl) return ttl.error();
  auto key = signing_key(config, wish);
  if (!key) return key.error();
  key->id = wish.key_id;
  std::string payload;
  JsonObject object(payload);
  if (!config.auth.issuer.empty()) object.field("iss", config.auth.issuer);
  if (!config.auth.audience.empty()) object.field("aud", config.auth.audience);
  object.field(config.auth.user_claim, wish.user);
  if (!wish.tenant.empty()) object.field(config.auth.tenant_claim, wish.tenant);
  if (!wish.name.empty()) object.field("name", wish.name);
  if (wish.bot) object.field("bot", true);
  if (!wish.rooms.empty()) {
    auto rooms = rooms_claim(wish.rooms);
    if (!rooms) return rooms.error();
    object.raw("rooms", *rooms);
  }
  object.field("iat", now_s).field("exp", now_s + *ttl).end();
  return sign_jwt(*key, payload);
}

}  // namespace twinwire
