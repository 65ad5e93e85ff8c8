// Small files that an operator names: configuration, keys, secrets. Any thread; it blocks, so not a shard's.
#pragma once

#include <string>

#include "core/status.h"

namespace twinwire {

inline constexpr size_t kFileBytesMax = 1 << 20;

// The whole of a file. Errors: what cannot be read (a folder, say, where a mount should have put the file),
// and what is larger than 1 MiB.
Result<std::string> read_file(const std::string& path);

}  // namespace twinwire
