#include "core/history.h"

#include <cstring>

namespace twinwire {
namespace {

// version(1) kind(1) history(1) created_ms(8, big-endian) title_size(2) title creator_size(2) creator
constexpr char kVersion = 1;

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) out += static_cast<char>(value >> 8 * i);
}

bool take(std::string_view& in, uint64_t& value, int bytes) {
  if (in.size() < static_cast<size_t>(bytes)) return false;
  value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(bytes);
  return true;
}

bool take_text(std::string_view& in, std::string& text) {
  uint64_t size = 0;
  if (!take(in, size, 2) || in.size() < size) return false;
  text.assign(in.substr(0, size));
  in.remove_prefix(size);
  return true;
}

}  // namespace

std::string RoomRecord::encode() const {
  std::string out;
  out += kVersion;
  out += static_cast<char>(kind);
  out += static_cast<char>(history);
  put(out, created_wall_ms, 8);
  put(out, title.size(), 2);
  out += title;
  put(out, created_by.size(), 2);
  out += created_by;
  return out;
}

Result<RoomRecord> RoomRecord::decode(std::string_view bytes) {
  RoomRecord record;
  uint64_t version = 0, kind = 0, access = 0;
  bool ok = take(bytes, version, 1) && version == kVersion && take(bytes, kind, 1) && kind <= 3 &&
            take(bytes, access, 1) && access <= 1 && take(bytes, record.created_wall_ms, 8) &&
            take_text(bytes, record.title) && take_text(bytes, record.created_by) && bytes.empty();
  if (!ok) return fail(Code::internal, "a room record in the store cannot be read");
  record.exists = true;
  record.kind = static_cast<RoomKind>(kind);
  record.history = static_cast<HistoryAccess>(access);
  return record;
}

}  // namespace twinwire
