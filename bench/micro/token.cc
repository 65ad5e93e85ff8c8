// What a token costs: its signature, by algorithm, and the second time a thread sees it.
#include <benchmark/benchmark.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <string>

#include "net/auth.h"
#include "net/jwt.h"

namespace twinwire {
namespace {

constexpr uint64_t kNow = 1'795'176'000'000;
constexpr char kPayload[] =
    R"({"sub":"ann","tenant":"acme","iat":1795175990,"exp":1795179600,"rooms":{"lobby":["read","write"]}})";

JwtKey key_of(JwtAlgorithm algorithm) {
  JwtKey key;
  key.algorithm = algorithm;
  EVP_PKEY* made = nullptr;
  if (algorithm == JwtAlgorithm::hs256) key.secret = "a secret that is long enough for HS256";
  if (algorithm == JwtAlgorithm::rs256) made = EVP_RSA_gen(2048);
  if (algorithm == JwtAlgorithm::es256) made = EVP_EC_gen("P-256");
  if (algorithm == JwtAlgorithm::eddsa) made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (made) key.key = {made, EVP_PKEY_free};
  return key;
}

void opened(benchmark::State& state, JwtAlgorithm algorithm) {
  JwtKey key = key_of(algorithm);
  std::string token = *sign_jwt(key, kPayload);
  JwtVerifier verifier({{algorithm}, "", "", 10}, {key});
  for (auto _ : state) {
    auto payload = verifier.open(token);
    if (!payload || !verifier.check_claims(*payload, kNow)) state.SkipWithError("the token does not open");
    benchmark::DoNotOptimize(payload);
  }
}
BENCHMARK_CAPTURE(opened, HS256, JwtAlgorithm::hs256);
BENCHMARK_CAPTURE(opened, RS256, JwtAlgorithm::rs256);
BENCHMARK_CAPTURE(opened, ES256, JwtAlgorithm::es256);
BENCHMARK_CAPTURE(opened, EdDSA, JwtAlgorithm::eddsa);

// As the gateway asks, with a token that this thread has seen: no signature is computed.
void remembered(benchmark::State& state) {
  Config config;
  config.auth.mode = AuthMode::jwt;
  config.auth.algorithms = {"HS256"};
  config.auth.secret = "a secret that is long enough for HS256";
  auto authenticator = Authenticator::make(config);
  std::string token = *sign_jwt(key_of(JwtAlgorithm::hs256), kPayload);
  for (auto _ : state) {
    auto who = (*authenticator)->check({{}, {}, token, {}}, kNow);
    if (!who) state.SkipWithError("the token does not count");
    benchmark::DoNotOptimize(who);
  }
}
BENCHMARK(remembered);

}  // namespace
}  // namespace twinwire

BENCHMARK_MAIN();
