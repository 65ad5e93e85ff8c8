// `twinwire token`: tokens for development and tests, signed with the configured secret or a private key.
// Not the way tokens are issued in production: that is the application's, which knows its users. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/status.h"

namespace twinwire {

struct TokenWish {
  std::string user, tenant, name;
  std::vector<std::string> rooms;  // "PATTERN=read,write"
  std::string ttl = "1h";
  bool bot = false;
  std::string key_file, key_id;
};

// Errors: invalid_argument (the wish), anything else (files, keys).
Result<std::string> mint_token(const Config& config, const TokenWish& wish, uint64_t now_s);

}  // namespace twinwire
