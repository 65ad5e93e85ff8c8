// Who a client is: from what it brought to an Identity. One interface, so that another mode is another class.
// Not here: what the identity may do (core), when it must be said (net/gateway).
// Constant after construction; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/config.h"
#include "core/identity.h"
#include "core/status.h"

namespace twinwire {

// What a request or an `auth` message brought; empty where it brought nothing.
struct Credentials {
  std::string_view
      user_id;  // `id` of the query or body, `userId` of the auth message: counts in mode none only
  std::string_view user_name;
  std::string_view
      token;  // of the Authorization header, the auth message, or the query where that is allowed
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Whether anything was brought at all; a WebSocket without it may still send an `auth` message.
  virtual bool brought(const Credentials& credentials) const = 0;
  // Errors: unauthenticated, invalid_argument (a name that is no name).
  virtual Result<Identity> check(const Credentials& credentials) const = 0;
};

std::unique_ptr<Authenticator> make_authenticator(const Config& config);

}  // namespace twinwire
