// Who a client is: from what it brought (a token, a key, in mode none a name) to an Identity.
// Not here: where in a request it stands and when it must be said (gateway_auth.cc), what the identity may do
// (core). check() from any thread; reload() from one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/config.h"
#include "core/identity.h"
#include "core/status.h"

namespace twinwire {

// What a request or an `auth` message brought; empty where it brought nothing.
struct Credentials {
  // `id` of the query or body, `userId` of the auth message: counts in mode none only
  std::string_view user_id;
  std::string_view user_name;
  // of the Authorization header, a cookie, the auth message, or the query where that is allowed
  std::string_view token;
  std::string_view api_key;  // of X-Api-Key
};

inline constexpr uint32_t kTenantBytesMax = 64;

class Authenticator {
 public:
  // Reads the key files that the configuration names. Errors are sentences for the operator.
  static Result<std::unique_ptr<Authenticator>> make(const Config& config);
  ~Authenticator();

  // Errors: unauthenticated, invalid_argument (mode none: a name that is no name).
  Result<Identity> check(const Credentials& credentials, uint64_t now_wall_ms) const;
  // Keys, API keys, and what is asked of tokens, anew. On an error everything stays as it was.
  Result<void> reload(const Config& config);

  struct Rules;

 private:
  explicit Authenticator(std::shared_ptr<const Rules> rules);
  std::atomic<std::shared_ptr<const Rules>> rules_;
};

}  // namespace twinwire
