// Keys of backends, as auth.api_keys lists them: of each only the SHA-256 is known here.
// Immutable once read; any thread.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/identity.h"
#include "core/status.h"

namespace twinwire {

class ApiKeys {
 public:
  // Each line is "name=N sha256=HEX tenant=T rights=read+write rooms=PATTERN" (config.cc says what is
  // needed). Errors name the setting and what it may be.
  static Result<ApiKeys> read(std::span<const std::string> lines, std::string_view default_tenant);

  bool empty() const { return keys_.empty(); }
  // The identity of the backend that holds this key; null if nobody does. Every key is looked at, and what
  // the search takes says nothing about them.
  const Identity* find(std::string_view key) const;

 private:
  static constexpr size_t kKeysMax = 256;
  static constexpr size_t kKeyBytesMax = 512;
  struct Key {
    std::array<unsigned char, 32> hash{};
    Identity who;
  };
  static Result<Key> read_line(std::string_view line, std::string_view default_tenant);
  std::vector<Key> keys_;
};

// What API keys' users are called, so that no token can name one.
inline constexpr std::string_view kApiKeyPrefix = kBackendPrefix;

}  // namespace twinwire
