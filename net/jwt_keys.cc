#include "net/jwt_keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <simdjson.h>

#include <algorithm>

#include "net/base64url.h"

namespace twinwire {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

// The one algorithm that a key of this kind is used with; nothing for kinds we do not know.
std::optional<JwtAlgorithm> algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) return JwtAlgorithm::rs256;
  if (EVP_PKEY_is_a(key, "ED25519")) return JwtAlgorithm::eddsa;
  if (!EVP_PKEY_is_a(key, "EC")) return std::nullopt;
  char group[64] = {};
  size_t size = 0;
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &size) != 1)
    return std::nullopt;
  std::string_view name(group, size);
  if (name == "prime256v1" || name == "P-256") return JwtAlgorithm::es256;
  return std::nullopt;
}

Result<JwtKey> key_of(std::shared_ptr<EVP_PKEY> key, std::string_view source) {
  auto algorithm = algorithm_of(key.get());
  if (!algorithm)
    return fail(Code::invalid_argument,
                std::string(source) + ": keys are RSA, EC on P-256, or Ed25519; this is none of them");
  if (*algorithm == JwtAlgorithm::rs256 && EVP_PKEY_get_bits(key.get()) < kJwtRsaBitsMin)
    return fail(Code::invalid_argument, std::string(source) + ": an RSA key must have at least 2048 bits");
  JwtKey out;
  out.algorithm = *algorithm;
  out.key = std::move(key);
  return out;
}

Result<std::vector<JwtKey>> read_pem(std::string_view text, std::string_view source) {
  std::vector<JwtKey> keys;
  Owned<BIO, BIO_free_all> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) break;
    std::string kind(name);
    const unsigned char* at = data;
    std::shared_ptr<EVP_PKEY> key;
    if (kind == "PUBLIC KEY") {
      key = shared(d2i_PUBKEY(nullptr, &at, size));
    } else if (kind == "CERTIFICATE") {
      Owned<X509, X509_free> certificate(d2i_X509(nullptr, &at, size));
      if (certificate) key = shared(X509_get_pubkey(certificate.get()));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<size_t>(size));
    if (kind.ends_with("PRIVATE KEY"))
      return fail(Code::invalid_argument,
                  std::string(source) + ": this is a private key; the server needs only the public one");
    if (!key) return fail(Code::invalid_argument, std::string(source) + ": cannot read a \"" + kind + "\"");
    auto usable = key_of(std::move(key), source);
    if (!usable) return usable.error();
    keys.push_back(std::move(*usable));
    if (keys.size() > kJwtKeysMax) break;
  }
  ERR_clear_error();  // the end of the file is one for OpenSSL
  return keys;
}

Owned<BIGNUM, BN_free> number_of(std::string_view bytes) {
  return Owned<BIGNUM, BN_free>(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                                          static_cast<int>(bytes.size()), nullptr));
}

std::shared_ptr<EVP_PKEY> key_from(const char* type, OSSL_PARAM_BLD* build) {
  Owned<OSSL_PARAM, OSSL_PARAM_free> params(OSSL_PARAM_BLD_to_param(build));
  Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1) return nullptr;
  if (EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) return nullptr;
  return shared(key);
}

std::shared_ptr<EVP_PKEY> rsa_key(std::string_view modulus, std::string_view exponent) {
  Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> build(OSSL_PARAM_BLD_new());
  auto n = number_of(modulus), e = number_of(exponent);
  if (OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1) return nullptr;
  if (OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) return nullptr;
  return key_from("RSA", build.get());
}

std::shared_ptr<EVP_PKEY> p256_key(const std::string& x, const std::string& y) {
  if (x.size() != 32 || y.size() != 32) return nullptr;
  Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> build(OSSL_PARAM_BLD_new());
  std::string point = "\x04" + x + y;
  if (OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
    return nullptr;
  return key_from("EC", build.get());
}

std::string text_of(simdjson::dom::object object, std::string_view member) {
  std::string_view text;
  return object.at_key(member).get_string().get(text) ? std::string() : std::string(text);
}

std::string bytes_of(simdjson::dom::object object, std::string_view member) {
  return decode_base64url(text_of(object, member)).value_or(std::string());
}

// Whether a key may check signatures as far as its `key_ops` say (RFC 7517, 4.3); without them it may.
bool may_verify(simdjson::dom::object object) {
  simdjson::dom::array operations;
  if (object.at_key("key_ops").get_array().get(operations)) return true;
  return std::any_of(operations.begin(), operations.end(), [](simdjson::dom::element item) {
    std::string_view word;
    return !item.get_string().get(word) && word == "verify";
  });
}

// A JWK that signs tokens in one of our ways; nothing for others (another use, another curve).
Result<std::optional<JwtKey>> read_jwk(simdjson::dom::object object, std::string_view source) {
  std::string type = text_of(object, "kty"), use = text_of(object, "use"), curve = text_of(object, "crv");
  if ((!use.empty() && use != "sig") || !may_verify(object)) return std::optional<JwtKey>();
  simdjson::dom::element private_part;
  if (type != "oct" && !object.at_key("d").get(private_part))
    return fail(Code::invalid_argument,
                std::string(source) + ": this is a private key; the server needs only the public one");
  JwtKey key;
  if (type == "oct") {
    auto secret = jwt_secret(bytes_of(object, "k"));
    if (!secret) return fail(Code::invalid_argument, std::string(source) + ": " + secret.error().sentence);
    key = std::move(*secret);
  } else {
    std::shared_ptr<EVP_PKEY> made;
    if (type == "RSA") {
      made = rsa_key(bytes_of(object, "n"), bytes_of(object, "e"));
    } else if (type == "EC" && curve == "P-256") {
      made = p256_key(bytes_of(object, "x"), bytes_of(object, "y"));
    } else if (type == "OKP" && curve == "Ed25519") {
      std::string x = bytes_of(object, "x");
      made = shared(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                                reinterpret_cast<const unsigned char*>(x.data()), x.size()));
    } else {
      return std::optional<JwtKey>();
    }
    if (!made)
      return fail(Code::invalid_argument, std::string(source) + ": a key of kind " + type + " is broken");
    auto usable = key_of(std::move(made), source);
    if (!usable) return usable.error();
    key = std::move(*usable);
  }
  std::string algorithm = text_of(object, "alg");
  if (!algorithm.empty() && algorithm != word_of(key.algorithm)) return std::optional<JwtKey>();
  key.id = text_of(object, "kid");
  return std::optional<JwtKey>(std::move(key));
}

Result<std::vector<JwtKey>> read_jwks(std::string_view text, std::string_view source) {
  simdjson::dom::parser parser;
  simdjson::dom::object whole;
  simdjson::padded_string padded(text);
  if (parser.parse(padded).get_object().get(whole))
    return fail(Code::invalid_argument, std::string(source) + ": neither PEM nor a JSON object");
  std::vector<JwtKey> keys;
  simdjson::dom::array list;
  if (whole.at_key("keys").get_array().get(list)) {
    auto key = read_jwk(whole, source);
    if (!key) return key.error();
    if (*key) keys.push_back(std::move(**key));
    return keys;
  }
  for (simdjson::dom::element element : list) {
    simdjson::dom::object object;
    if (element.get_object().get(object)) continue;
    auto key = read_jwk(object, source);
    if (!key) return key.error();
    if (*key) keys.push_back(std::move(**key));
    if (keys.size() > kJwtKeysMax) break;
  }
  return keys;
}

}  // namespace

std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view word) {
  for (JwtAlgorithm algorithm :
       {JwtAlgorithm::hs256, JwtAlgorithm::rs256, JwtAlgorithm::es256, JwtAlgorithm::eddsa})
    if (word_of(algorithm) == word) return algorithm;
  return std::nullopt;
}

std::string_view word_of(JwtAlgorithm algorithm) {
  switch (algorithm) {
    case JwtAlgorithm::hs256:
      return "HS256";
    case JwtAlgorithm::rs256:
      return "RS256";
    case JwtAlgorithm::es256:
      return "ES256";
    case JwtAlgorithm::eddsa:
      return "EdDSA";
  }
  return "";
}

Result<JwtKey> jwt_secret(std::string secret) {
  if (secret.size() < kJwtSecretBytesMin)
    return fail(Code::invalid_argument, "a secret of HS256 must have at least 32 bytes");
  JwtKey key;
  key.secret = std::move(secret);
  return key;
}

Result<std::vector<JwtKey>> read_jwt_keys(std::string_view text, std::string_view source) {
  bool pem = text.find("-----BEGIN ") != std::string_view::npos;
  auto keys = pem ? read_pem(text, source) : read_jwks(text, source);
  if (!keys) return keys;
  if (keys->empty())
    return fail(Code::invalid_argument,
                std::string(source) + ": holds no key that tokens could be signed with");
  if (keys->size() > kJwtKeysMax)
    return fail(Code::invalid_argument, std::string(source) + ": holds more than 64 keys");
  return keys;
}

Result<JwtKey> read_jwt_private_key(std::string_view text, std::string_view source) {
  Owned<BIO, BIO_free_all> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // No passphrase is asked for: an encrypted key fails.
  auto no_passphrase = [](char*, int, int, void*) { return -1; };
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr);
  ERR_clear_error();
  if (!key)
    return fail(Code::invalid_argument,
                std::string(source) + ": not a private key in PEM without a passphrase");
  return key_of(shared(key), source);
}

}  // namespace twinwire
