#include "net/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <fstream>
#include <iterator>
#include <optional>

#include "core/command.h"

namespace twinwire {
namespace {

Error wrong(std::string_view line, std::string_view what) {
  // The line is shown up to its hash only.
  std::string shown(line.substr(0, line.find("sha256=")));
  return fail(Code::invalid_argument, "auth.api_keys: \"" + shown + "…\" " + std::string(what));
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool read_hash(std::string_view hex, std::array<unsigned char, 32>& out) {
  if (hex.size() != 64) return false;
  for (size_t i = 0; i < 32; i++) {
    int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return true;
}

// The first word of a file, as sha256sum writes it.
std::optional<std::string> first_word_of(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  if (!(in >> word)) return std::nullopt;
  return word;
}

bool read_rights(std::string_view text, Rights& rights) {
  while (!text.empty()) {
    size_t plus = text.find('+');
    if (!rights.add_word(text.substr(0, plus))) return false;
    text = plus == std::string_view::npos ? std::string_view() : text.substr(plus + 1);
  }
  return true;
}

}  // namespace

Result<ApiKeys::Key> ApiKeys::read_line(std::string_view line, std::string_view default_tenant) {
  Key key;
  std::string name, tenant(default_tenant);
  std::optional<Rights> rights;
  std::vector<std::string> rooms;
  bool has_hash = false;
  for (std::string_view rest = line; !rest.empty();) {
    size_t space = rest.find(' ');
    std::string_view word = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    if (word.empty()) continue;
    size_t equals = word.find('=');
    if (equals == std::string_view::npos) return wrong(line, "has a word without =");
    std::string_view what = word.substr(0, equals), value = word.substr(equals + 1);
    if (what == "name") {
      name = value;
    } else if (what == "tenant") {
      tenant = value;
    } else if (what == "sha256") {
      has_hash = read_hash(value, key.hash);
      if (!has_hash) return wrong(line, "needs 64 hex digits in sha256");
    } else if (what == "sha256_file") {
      auto hex = first_word_of(std::string(value));
      has_hash = hex && read_hash(*hex, key.hash);
      if (!has_hash) return wrong(line, "names a file that does not begin with 64 hex digits");
    } else if (what == "rights") {
      rights.emplace();
      if (!read_rights(value, *rights))
        return wrong(line, "has rights other than read, write, presence, manage");
    } else if (what == "rooms") {
      rooms.emplace_back(value);
    } else {
      return wrong(line, "may have name, tenant, sha256, sha256_file, rights, rooms; not \"" +
                             std::string(what) + "\"");
    }
  }
  if (auto ok = check_name("name", name, 64); !ok) return wrong(line, "needs a name of 1 to 64 bytes");
  if (auto ok = check_name("tenant", tenant, 64); !ok) return wrong(line, "has no good tenant");
  if (!has_hash) return wrong(line, "needs sha256 or sha256_file");
  key.who.user = Name(tenant, std::string(kApiKeyPrefix) + name);
  key.who.display_name = name;
  key.who.backend = true;
  if (rights || !rooms.empty()) {
    auto grants = std::make_shared<Grants>();
    if (rooms.empty()) rooms.emplace_back("*");
    for (std::string& pattern : rooms)
      grants->lines.push_back({std::move(pattern), rights ? *rights : Rights::all()});
    key.who.grants = std::move(grants);
  }
  return key;
}

Result<ApiKeys> ApiKeys::read(std::span<const std::string> lines, std::string_view default_tenant) {
  ApiKeys out;
  if (lines.size() > kKeysMax) return fail(Code::invalid_argument, "auth.api_keys: at most 256 keys");
  for (const std::string& line : lines) {
    auto key = read_line(line, default_tenant);
    if (!key) return key.error();
    out.keys_.push_back(std::move(*key));
  }
  return out;
}

const Identity* ApiKeys::find(std::string_view key) const {
  if (key.empty() || key.size() > kKeyBytesMax) return nullptr;
  unsigned char hash[32];
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash);
  const Identity* found = nullptr;
  for (const Key& known : keys_)
    if (CRYPTO_memcmp(known.hash.data(), hash, sizeof hash) == 0) found = &known.who;
  return found;
}

}  // namespace twinwire
