// The version of Twinwire, as CMakeLists.txt has it: "0.1.0". Any thread.
#pragma once

#include <string_view>

namespace twinwire {

std::string_view version();

}  // namespace twinwire
