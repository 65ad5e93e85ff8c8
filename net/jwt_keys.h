// Keys that tokens are checked or signed with: from PEM, JWKS (RFC 7517) or a secret. Each key has exactly
// one algorithm, given by what it is: a token cannot have an RSA key used as a secret. Not here: tokens
// (jwt.h), files (the caller reads them). Immutable once read; any thread.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace twinwire {

// RFC 7518, 3.1 and RFC 8037, 3.1.
enum class JwtAlgorithm : uint8_t { hs256, rs256, es256, eddsa };
std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view word);
std::string_view word_of(JwtAlgorithm algorithm);

struct JwtKey {
  JwtAlgorithm algorithm = JwtAlgorithm::hs256;
  std::string id;      // `kid`, "" where the file gives none
  std::string secret;  // of HS256
  std::shared_ptr<EVP_PKEY> key;
};

inline constexpr size_t kJwtKeysMax = 64;
// RFC 7518, 3.2 and 3.3.
inline constexpr size_t kJwtSecretBytesMin = 32;
inline constexpr int kJwtRsaBitsMin = 2048;

Result<JwtKey> jwt_secret(std::string secret);
// Public keys and certificates in PEM, or a JWKS or single JWK in JSON. Keys that cannot sign tokens here are
// left out; none at all is an error. `source` names the text in errors.
Result<std::vector<JwtKey>> read_jwt_keys(std::string_view text, std::string_view source);
// A private key in PEM, for signing.
Result<JwtKey> read_jwt_private_key(std::string_view text, std::string_view source);

}  // namespace twinwire
