// JSON Web Tokens (RFC 7519) in compact form (RFC 7515, 3.1), signed by HS256, RS256, ES256 or EdDSA: opening
// and making them. Which algorithms and keys count is the caller's to say, never the token's.
// Not here: what the claims mean to us (auth.cc). Immutable; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "net/jwt_keys.h"

namespace twinwire {

inline constexpr size_t kTokenBytesMax = 8 << 10;

struct JwtRules {
  std::vector<JwtAlgorithm> algorithms;  // the only ones that count
  std::string issuer, audience;          // empty: anything
  uint32_t leeway_seconds = 10;
};

class JwtVerifier {
 public:
  JwtVerifier(JwtRules rules, std::vector<JwtKey> keys) : rules_(std::move(rules)), keys_(std::move(keys)) {}

  // The payload, when the signature holds. With a `kid` only keys of that name and nameless ones are tried.
  // Errors: unauthenticated, with a sentence that says what is wrong.
  Result<std::string> open(std::string_view token) const;
  // exp, nbf, iat, iss and aud of a payload.
  Result<void> check_claims(std::string_view payload, uint64_t now_wall_ms) const;

 private:
  const JwtRules rules_;
  const std::vector<JwtKey> keys_;
};

// A token over `payload` (a JSON object).
Result<std::string> sign_jwt(const JwtKey& key, std::string_view payload);

}  // namespace twinwire
