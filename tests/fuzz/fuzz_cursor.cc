// Fuzz target: the text forms of cursors and session ids, and the room records of the store. What is read is
// written back as the very same bytes; everything else is refused.
#include <cstdint>
#include <string>

#include "core/history.h"
#include "core/status.h"
#include "core/types.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twinwire;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto cursor = Cursor::parse(text)) {
    TW_CHECK(cursor->text() == text);
    TW_CHECK(cursor->sequence <= kSequenceMax && cursor->epoch.value < uint64_t{1} << 48);
  }
  // Of a long input its beginning may be one; chance alone hardly ever makes the right length.
  if (auto cursor = Cursor::parse(text.substr(0, Cursor::kTextSize)))
    TW_CHECK(text.starts_with(cursor->text()));
  if (auto session = SessionId::parse(text)) TW_CHECK(session->text() == text);
  if (auto record = RoomRecord::decode(text)) TW_CHECK(record->encode() == text);
  return 0;
}
