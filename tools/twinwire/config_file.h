// Configuration from TOML and from the environment, and back to commented TOML. The table in core/config
// decides what exists; this file only carries text to it. Not flags (cli). Main thread, at start.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/config.h"

namespace twinwire {

// Applies TOML text to `config`. `source` names it in errors, which say the line. Unknown keys, wrong types
// and values out of range are `invalid_argument`; on an error `config` may be changed in part.
Result<void> apply_toml(std::string_view text, std::string_view source, Config& config);
// The same from a file; `not_found` when it cannot be read.
Result<void> load_toml(const std::string& path, Config& config);

// Applies the environment, given as "NAME=value" strings: PORT replaces the port of server.listen, then every
// TWINWIRE_SECTION_NAME its field. An unknown name in a section of ours is an error; other names are not
// ours.
Result<void> apply_environment(std::span<const char* const> environment, Config& config);
// The value of `name`, or "".
std::string_view environment_value(std::span<const char* const> environment, std::string_view name);

// The whole configuration as TOML with a comment on every field; reads back as the same configuration,
// secrets apart, which are left out.
std::string to_toml(const Config& config);

}  // namespace twinwire
