// Patterns of room names, as settings and tokens write them. Plain functions; any thread.
#pragma once

#include <string_view>

namespace twinwire {

// `*` stands for any bytes, none included, and may stand several times; all else stands for itself, byte by
// byte. No character separates: `a.*` matches `a.b` and `a.b.c`, and `*` matches every name.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace twinwire
