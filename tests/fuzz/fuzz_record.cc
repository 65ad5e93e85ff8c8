// Bytes of any origin as an event's record, and as the other values and keys of the store: an event or a
// refusal, never more. What decodes is encoded again to the same event.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/history.h"
#include "store/keys.h"
#include "store/record.h"

using namespace twinwire;

namespace {

store::RecordDecoder decoder(Epoch{0x123456789abc});

void try_record(std::string_view bytes) {
  (void)store::peek_record(bytes);
  auto event = decoder.decode(bytes, RoomId{1, 2}, Sequence{3});
  if (!event) return;
  std::string again;
  store::append_record(again, **event);
  auto second = decoder.decode(again, RoomId{1, 2}, Sequence{3});
  if (!second || (*second)->sse() != (*event)->sse() || (*second)->ws() != (*event)->ws()) std::abort();
}

// A record with everything in it.
const std::string& whole_record() {
  static const std::string record = [] {
    EventDraft draft;
    draft.type = "message.created";
    draft.shown_room = "shown";
    draft.data = R"({"message":{"id":"x","content":"text"}})";
    draft.room_name = Name("acme", "lobby");
    draft.user = Name("other", "alice");
    draft.subject = Name("acme", "bob");
    draft.wall_ms = 1'800'000'000'000;
    draft.client_id = "client-id-1";
    draft.content_hash = 99;
    draft.exclude = Exclude::connection;
    draft.exclude_session = {5, 6};
    EventRef event = Event::encode(draft, Epoch{1});
    event.mutable_event()->patch(Sequence{3});
    std::string out;
    store::append_record(out, *event);
    return out;
  }();
  return record;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try_record(bytes);
  // The same bytes as changes of a whole record: pairs of a place and what stands there, the first byte cuts
  // it.
  std::string changed = whole_record();
  for (size_t i = 1; i + 1 < bytes.size(); i += 2)
    changed[static_cast<uint8_t>(bytes[i]) % changed.size()] = bytes[i + 1];
  if (!bytes.empty()) changed.resize(changed.size() - static_cast<uint8_t>(bytes[0]) % changed.size());
  try_record(changed);
  (void)store::parse_event_key(bytes);
  (void)store::parse_room(bytes);
  (void)store::decode_sequence(bytes);
  (void)store::decode_room_name(bytes);
  if (auto record = store::decode_room_record(bytes)) (void)RoomRecord::decode(record->record);
  (void)store::parse_member(bytes);
  (void)store::parse_user_room(bytes);
  (void)store::decode_user_room(bytes);
  (void)store::decode_idempotency(bytes);
  (void)store::decode_start(bytes);
  return 0;
}
