// Fuzz target: tokens and key files. Nobody without the key makes a token that opens; what opens was signed
// by us; and whatever claims say, reading them ends.
#include <cstdint>
#include <string>

#include "core/status.h"
#include "net/api_keys.h"
#include "net/base64url.h"
#include "net/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twinwire;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  static const JwtKey key = *jwt_secret("a secret that is long enough for HS256");
  static const JwtVerifier verifier({{JwtAlgorithm::hs256}, "", "", 0}, {key});
  TW_CHECK(!verifier.open(text));
  if (auto bytes = decode_base64url(text)) TW_CHECK(encode_base64url(*bytes) == text);
  // Behind a good signature everything may stand; before one, any header.
  auto token = sign_jwt(key, text);
  if (token && token->size() <= kTokenBytesMax) {
    auto payload = verifier.open(*token);
    TW_CHECK(payload && *payload == text);
    (void)verifier.check_claims(*payload, 1'795'176'000'000);
  }
  (void)verifier.open(encode_base64url(text) + ".e30.AAAA");
  if (auto keys = read_jwt_keys(text, "fuzz")) TW_CHECK(!keys->empty() && keys->size() <= kJwtKeysMax);
  std::string line(text);
  (void)ApiKeys::read({&line, 1}, "default");
  return 0;
}
