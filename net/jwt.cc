#include "net/jwt.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>

#include "core/json.h"
#include "net/base64url.h"

namespace twinwire {
namespace {

constexpr size_t kEs256Bytes = 64;  // r and s, 32 each (RFC 7518, 3.4)
constexpr size_t kKidBytesMax = 256;

Error refused(std::string sentence) { return fail(Code::unauthenticated, std::move(sentence)); }

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Whether a name stands twice in an object: readers differ in which of the two they take (RFC 7515, 4 and RFC
// 7519, 4), so nobody may sign one thing and have another one read.
bool repeats_a_name(simdjson::dom::object object) {
  std::vector<std::string_view> names;
  for (auto [name, value] : object) names.push_back(name);
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) != names.end();
}

struct Header {
  std::string algorithm, kid;
  bool has_kid = false;
};

Result<Header> read_header(std::string_view encoded) {
  auto json = decode_base64url(encoded);
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (!json || parser.parse(*json).get_object().get(object)) return refused("the token has no header");
  if (repeats_a_name(object)) return refused("the token's header says something twice");
  Header header;
  std::string_view text;
  if (object.at_key("alg").get_string().get(text)) return refused("the token's header has no alg");
  header.algorithm = text;
  simdjson::dom::element element;
  // RFC 7515, 4.1.11: who does not know the extensions named there must refuse.
  if (!object.at_key("crit").get(element))
    return refused("the token asks for extensions that are not known here");
  if (!object.at_key("kid").get(element)) {
    if (element.get_string().get(text) || text.size() > kKidBytesMax)
      return refused("the token's kid is not a short string");
    header.kid = text;
    header.has_kid = true;
  }
  return header;
}

std::string hmac(const std::string& secret, std::string_view text) {
  unsigned char out[32];
  unsigned size = sizeof out;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes_of(text), text.size(), out, &size);
  return {reinterpret_cast<char*>(out), size};
}

// OpenSSL wants ECDSA signatures in DER.
std::string es256_to_der(std::string_view raw) {
  std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> signature(ECDSA_SIG_new(), ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(bytes_of(raw), 32, nullptr);
  BIGNUM* s = BN_bin2bn(bytes_of(raw) + 32, 32, nullptr);
  ECDSA_SIG_set0(signature.get(), r, s);
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string out(reinterpret_cast<char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

std::string es256_from_der(std::string_view der) {
  const unsigned char* at = bytes_of(der);
  std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
  if (!signature) return {};
  unsigned char out[kEs256Bytes];
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + 32, 32);
  return {reinterpret_cast<char*>(out), sizeof out};
}

bool holds(const JwtKey& key, std::string_view signed_text, std::string_view signature) {
  if (key.algorithm == JwtAlgorithm::hs256) {
    std::string right = hmac(key.secret, signed_text);
    return signature.size() == right.size() &&
           CRYPTO_memcmp(signature.data(), right.data(), right.size()) == 0;
  }
  std::string der;
  if (key.algorithm == JwtAlgorithm::es256) {
    if (signature.size() != kEs256Bytes) return false;
    der = es256_to_der(signature);
    signature = der;
  }
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const EVP_MD* digest = key.algorithm == JwtAlgorithm::eddsa ? nullptr : EVP_sha256();
  bool right = EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
               EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(signed_text),
                                signed_text.size()) == 1;
  ERR_clear_error();
  return right;
}

// A NumericDate (RFC 7519, 2): seconds, perhaps with a fraction. Nothing if absent.
Result<std::optional<double>> date_of(simdjson::dom::object claims, std::string_view name) {
  simdjson::dom::element element;
  if (claims.at_key(name).get(element)) return std::optional<double>();
  double seconds = 0;
  if (element.get_double().get(seconds) || !std::isfinite(seconds) || seconds < 0 || seconds > 1e11)
    return refused("the token's " + std::string(name) + " is no time");
  return std::optional<double>(seconds);
}

bool names_audience(simdjson::dom::object claims, std::string_view audience) {
  simdjson::dom::element element;
  if (claims.at_key("aud").get(element)) return false;
  std::string_view text;
  if (!element.get_string().get(text)) return text == audience;
  simdjson::dom::array list;
  if (element.get_array().get(list)) return false;
  return std::any_of(list.begin(), list.end(), [&](simdjson::dom::element item) {
    std::string_view one;
    return !item.get_string().get(one) && one == audience;
  });
}

}  // namespace

Result<std::string> JwtVerifier::open(std::string_view token) const {
  if (token.size() > kTokenBytesMax) return refused("the token is longer than 8192 bytes");
  size_t first = token.find('.');
  size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return refused("this is no token: it has not three parts");
  auto header = read_header(token.substr(0, first));
  if (!header) return header.error();
  // The header may only confirm what the configuration says.
  bool allowed = std::any_of(rules_.algorithms.begin(), rules_.algorithms.end(),
                             [&](JwtAlgorithm algorithm) { return word_of(algorithm) == header->algorithm; });
  if (!allowed) return refused("tokens signed that way do not count here");
  auto payload = decode_base64url(token.substr(first + 1, second - first - 1));
  auto signature = decode_base64url(token.substr(second + 1));
  if (!payload || !signature) return refused("the token is not base64url");
  bool any = false;
  for (const JwtKey& key : keys_) {
    if (word_of(key.algorithm) != header->algorithm) continue;
    if (header->has_kid && !key.id.empty() && key.id != header->kid) continue;
    any = true;
    if (holds(key, token.substr(0, second), *signature)) return std::move(*payload);
  }
  return refused(any ? "the token's signature does not hold" : "the token's key is not known here");
}

Result<void> JwtVerifier::check_claims(std::string_view payload, uint64_t now_wall_ms) const {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object claims;
  if (parser.parse(payload.data(), payload.size()).get_object().get(claims))
    return refused("the token's claims are no JSON object");
  if (repeats_a_name(claims)) return refused("the token's claims say something twice");
  double now = static_cast<double>(now_wall_ms) / 1000, leeway = rules_.leeway_seconds;
  auto expires = date_of(claims, "exp"), begins = date_of(claims, "nbf"), issued = date_of(claims, "iat");
  for (auto* date : {&expires, &begins, &issued})
    if (!*date) return date->error();
  if (*expires && now >= **expires + leeway) return refused("the token has expired");
  if (*begins && now < **begins - leeway) return refused("the token does not count yet");
  if (*issued && now < **issued - leeway) return refused("the token was issued in the future");
  std::string_view issuer;
  if (!rules_.issuer.empty() && (claims.at_key("iss").get_string().get(issuer) || issuer != rules_.issuer))
    return refused("the token is from another issuer");
  if (!rules_.audience.empty() && !names_audience(claims, rules_.audience))
    return refused("the token is for another audience");
  return {};
}

Result<std::string> sign_jwt(const JwtKey& key, std::string_view payload) {
  std::string header = "{\"alg\":\"" + std::string(word_of(key.algorithm)) + "\",\"typ\":\"JWT\"";
  if (!key.id.empty()) header += ",\"kid\":" + json_string(key.id);
  std::string text = encode_base64url(header + "}") + "." + encode_base64url(payload);
  std::string signature;
  if (key.algorithm == JwtAlgorithm::hs256) {
    signature = hmac(key.secret, text);
  } else {
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const EVP_MD* digest = key.algorithm == JwtAlgorithm::eddsa ? nullptr : EVP_sha256();
    size_t size = 0;
    bool begun = EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
                 EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) == 1;
    signature.resize(size);
    if (!begun || EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                 bytes_of(text), text.size()) != 1)
      return fail(Code::internal, "the key does not sign");
    signature.resize(size);
    if (key.algorithm == JwtAlgorithm::es256) signature = es256_from_der(signature);
  }
  return text + "." + encode_base64url(signature);
}

}  // namespace twinwire
