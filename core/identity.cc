#include "core/identity.h"

#include "core/pattern.h"

namespace twinwire {
namespace {
constexpr Right kRights[] = {Right::read, Right::write, Right::presence, Right::manage};
}

std::string_view word_of(Right right) {
  switch (right) {
    case Right::none:
      return "none";
    case Right::read:
      return "read";
    case Right::write:
      return "write";
    case Right::presence:
      return "presence";
    case Right::manage:
      return "manage";
  }
  return "none";
}

std::string Rights::text() const {
  std::string out;
  for (Right right : kRights) {
    if (!has(right)) continue;
    if (!out.empty()) out += ',';
    out += word_of(right);
  }
  return out;
}

bool Rights::add_word(std::string_view word) {
  for (Right right : kRights) {
    if (word_of(right) != word) continue;
    add(right);
    return true;
  }
  return false;
}

Rights Grants::of(std::string_view room) const {
  Rights rights;
  for (const Line& line : lines)
    if (matches_pattern(line.pattern, room)) rights.add(line.rights);
  return rights;
}

}  // namespace twinwire
