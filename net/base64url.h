// base64url without padding (RFC 4648, section 5; RFC 7515, section 2). Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twinwire {

std::string encode_base64url(std::string_view bytes);
// Strict: no padding, no other characters, and no bits left over, so that one text stands for one value.
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace twinwire
