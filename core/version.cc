// Not a header constant, so that a new version rebuilds one file.
#include "core/version.h"

namespace twinwire {

std::string_view version() { return TWINWIRE_VERSION; }

}  // namespace twinwire
