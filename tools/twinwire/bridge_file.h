// The tables of the configuration file that say how applications with names of their own are served: routes,
// short types, exceptions of names, error texts, tenants. What each means: core/bridge.h. Settings that are
// one word are rows of core/config like all others; this file is called by config_file for what is a table.
// Main thread, at start.
#pragma once

#include <string>
#include <string_view>

#ifndef TOML_EXCEPTIONS
#define TOML_EXCEPTIONS 0
#endif
#include <toml++/toml.h>

#include "core/config.h"
#include "core/status.h"

namespace twinwire {

// Whether `section.name` with this value is a table of ours (a table where a word could stand, too).
bool is_bridge_table(std::string_view section, std::string_view name, bool value_is_table);

// Applies one of them. `invalid_argument` with a sentence that names the key.
Result<void> apply_bridge_table(std::string_view section, std::string_view name, const toml::node& node,
                                Config& config);

// Sections that are tables of ours from the top: routes, errors. Not `tenants`, whose parts are sections.
bool is_bridge_section(std::string_view section);
Result<void> apply_bridge_section(std::string_view section, const toml::table& table, Config& config);

// Which settings a section of a tenant may hold.
bool tenant_may_set(std::string_view section, std::string_view name);

// The exceptions of a one-word setting as an inline table, or "" where it has none.
std::string exceptions_as_toml(std::string_view key, std::string_view rule, const Bridge& bridge);
// All tables, as text that reads back as the same; behind every [section] of the file.
std::string bridges_as_toml(const Config& config);

}  // namespace twinwire
