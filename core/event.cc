#include "core/event.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <new>

#include "core/json.h"
#include "core/status.h"

namespace twinwire {

namespace {
constexpr uint8_t kTextOpcode = 1;
}  // namespace

size_t write_ws_header(char out[10], uint8_t opcode, size_t payload_size) {
  out[0] = static_cast<char>(0x80 | opcode);
  if (payload_size < 126) {
    out[1] = static_cast<char>(payload_size);
    return 2;
  }
  size_t digits = payload_size <= 0xffff ? 2 : 8;
  out[1] = digits == 2 ? 126 : 127;
  for (size_t i = 0; i < digits; i++) out[2 + i] = static_cast<char>(payload_size >> 8 * (digits - 1 - i));
  return 2 + digits;
}

void append_timestamp(std::string& out, uint64_t wall_ms) {
  // Several are wanted for each message, and within a second they differ in three digits.
  struct Second {
    uint64_t second;
    uint32_t size;
    char text[36];
  };
  constexpr uint64_t kNever = UINT64_MAX;
  thread_local constinit Second last{kNever, 0, {}};
  if (wall_ms / 1000 != last.second) {
    last.second = wall_ms / 1000;
    time_t seconds = static_cast<time_t>(last.second);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    auto end = fmt::format_to_n(last.text, sizeof last.text, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
                                utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                                utc.tm_sec);
    last.size = static_cast<uint32_t>(std::min(end.size, sizeof last.text));
  }
  out.append(last.text, last.size);
  uint64_t millis = wall_ms % 1000;
  for (size_t at = out.size() - 2; millis > 0; millis /= 10) out[at--] = static_cast<char>('0' + millis % 10);
}

std::string format_timestamp(uint64_t wall_ms) {
  std::string out;
  append_timestamp(out, wall_ms);
  return out;
}

const WireStyle& native_style() {
  static const WireStyle style;
  return style;
}

void append_sse_head(std::string& out, const FormStyle& style, std::string_view type) {
  std::string scratch;
  std::string_view name = style.native() ? type : event_name(style, type, scratch);
  if (!name.empty()) {
    out += "event: ";
    out += name;
    out += '\n';
  }
  out += "data: ";
}

// Builds the JSON and the two forms. A friend, so that Event's header stays free of the encoding.
class EventCoder {
 public:
  EventCoder(const EventDraft& draft, Epoch epoch, bool direct)
      : draft_(draft), style_(draft.style ? *draft.style : native_style()), epoch_(epoch), direct_(direct) {}

  EventRef build() {
    Envelope envelope;
    char id[Cursor::kTextSize];
    Cursor{epoch_, Sequence{0}}.write(id);
    if (!direct_) envelope.event_id = {id, sizeof id};
    envelope.type = draft_.type;
    envelope.with_tenant = static_cast<bool>(draft_.room_name);
    envelope.tenant = draft_.room_name.tenant();
    envelope.room = draft_.shown_room;
    if (draft_.user) envelope.user = draft_.user.text();
    thread_local std::string timestamp, head;
    timestamp.clear();
    append_timestamp(timestamp, draft_.wall_ms);
    envelope.timestamp = timestamp;
    envelope.data = draft_.data;
    envelope.sequence_place = draft_.sequence_place;
    head.clear();
    if (style_.native()) return build_native(envelope, head);
    Body body, other;
    write_body(body, envelope, style_.ws);
    write_body(other, envelope, style_.sse);
    append_sse_block_head(head, envelope.event_id);
    Event* event = make(head.size() + other.json.size() + kBlockEnd.size(), body.json.size(), body.data_at);
    if (with_id()) add_place(*event, kIdDigitsAt);
    for (uint32_t i = 0; i < other.place_count; i++)
      add_place(*event, static_cast<uint32_t>(head.size()) + other.places[i]);
    put(head);
    put(other.json);
    put(kBlockEnd);
    put_header(body.json.size());
    put(body.json);
    put_rest();
    uint32_t json_at = event->sse_size_ + event->ws_header_;
    for (uint32_t i = 0; i < body.place_count; i++) add_place(*event, json_at + body.places[i]);
    if (!shown_ && draft_.sequence_place != EventDraft::kNoPlace)
      add_place(*event, event->data_at_ + draft_.sequence_place);
    return EventRef::adopt(event);
  }

 private:
  static constexpr std::string_view kId = "id: ", kBlockEnd = "\n\n";
  static constexpr uint32_t kIdDigitsAt = kId.size() + Cursor::kTextSize - kSequenceDigits;

  bool with_id() const { return !direct_ && draft_.event_class == EventClass::kept; }

  // All that stands before the body.
  void append_sse_block_head(std::string& out, std::string_view id) const {
    if (with_id()) {
      out += kId;
      out += id;
      out += '\n';
    }
    append_sse_head(out, style_.sse, draft_.type);
  }

  // As nearly every event is: one body for both forms, written once into its place and copied once. `head` is
  // for what stands before the data.
  EventRef build_native(const Envelope& envelope, std::string& head) {
    write_native_head(head, envelope);
    const size_t head_size = head.size();
    append_sse_block_head(head, envelope.event_id);
    std::string_view json_head = std::string_view(head).substr(0, head_size);
    std::string_view block_head = std::string_view(head).substr(head_size);
    const size_t json_size = head_size + draft_.data.size() + 1;
    Event* event =
        make(block_head.size() + json_size + kBlockEnd.size(), json_size, static_cast<uint32_t>(head_size));
    put(block_head);
    const char* json = out_;
    put(json_head);
    put(draft_.data);
    put("}");
    put(kBlockEnd);
    put_header(json_size);
    put({json, json_size});
    put_rest();
    if (with_id()) add_place(*event, kIdDigitsAt);
    for (uint32_t at : {static_cast<uint32_t>(block_head.size()), event->sse_size_ + event->ws_header_}) {
      if (!direct_) add_place(*event, at + kNativeDigitsAt);
      if (draft_.sequence_place != EventDraft::kNoPlace)
        add_place(*event, at + static_cast<uint32_t>(head_size) + draft_.sequence_place);
    }
    return EventRef::adopt(event);
  }

  // The event with everything but its bytes; put() goes on from the first of them.
  Event* make(size_t sse_size, size_t json_size, uint32_t data_at) {
    char header[10];
    const size_t header_size = write_ws_header(header, kTextOpcode, json_size);
    // The record and answers need the data as it came: once more, unless the ws form has it so.
    shown_ = data_at != Body::kNotVerbatim;
    size_t extras =
        draft_.type.size() + draft_.shown_room.size() + draft_.client_id.size() + draft_.room_record.size();
    size_t ws_size = header_size + json_size;
    size_t size = sizeof(Event) + sse_size + ws_size + extras + (shown_ ? 0 : draft_.data.size());
    void* memory = std::malloc(size);
    TW_CHECK(memory != nullptr);
    Event* event = new (memory) Event();
    event->size_ = static_cast<uint32_t>(size);
    event->kind_ = draft_.kind;
    event->effect_ = draft_.effect;
    event->class_ = draft_.event_class;
    event->exclude_ = draft_.exclude;
    event->exclude_session_ = draft_.exclude_session;
    event->room_ = draft_.room;
    event->room_name_ = draft_.room_name;
    event->user_ = draft_.user;
    event->subject_ = draft_.subject;
    event->wall_ms_ = draft_.wall_ms;
    event->content_hash_ = draft_.content_hash;
    event->about_ = draft_.about;
    event->sse_size_ = static_cast<uint32_t>(sse_size);
    event->ws_size_ = static_cast<uint32_t>(ws_size);
    event->ws_header_ = static_cast<uint8_t>(header_size);
    event->data_at_ = static_cast<uint32_t>(sse_size + (shown_ ? header_size + data_at : ws_size + extras));
    event->data_size_ = static_cast<uint32_t>(draft_.data.size());
    event->type_size_ = static_cast<uint8_t>(draft_.type.size());
    event->shown_room_size_ = static_cast<uint8_t>(draft_.shown_room.size());
    event->client_id_size_ = static_cast<uint16_t>(draft_.client_id.size());
    event->room_record_size_ = static_cast<uint32_t>(draft_.room_record.size());
    out_ = event->bytes();
    return event;
  }

  static void add_place(Event& event, uint32_t at) { event.place_[event.places_++] = at; }

  void put(std::string_view part) {
    if (!part.empty()) std::memcpy(out_, part.data(), part.size());
    out_ += part.size();
  }
  void put_header(size_t json_size) {
    char header[10];
    put({header, write_ws_header(header, kTextOpcode, json_size)});
  }
  void put_rest() {
    for (std::string_view part : {draft_.type, draft_.shown_room, draft_.client_id, draft_.room_record})
      put(part);
    if (!shown_) put(draft_.data);
  }

  const EventDraft& draft_;
  const WireStyle& style_;
  const Epoch epoch_;
  const bool direct_;
  bool shown_ = true;  // the ws form has the data byte for byte
  char* out_ = nullptr;
};

EventRef Event::encode(const EventDraft& draft, Epoch epoch) {
  return EventCoder(draft, epoch, false).build();
}

void Event::patch(Sequence sequence) {
  sequence_ = sequence;
  char digits[kSequenceDigits];
  write_sequence(digits, sequence);
  for (uint8_t i = 0; i < places_; i++) std::memcpy(bytes() + place_[i], digits, kSequenceDigits);
}

void Event::release() const {
  // The last holder frees; acq_rel pairs with every other holder's release.
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Event* self = const_cast<Event*>(this);
  self->~Event();
  std::free(self);
}

EventRef encode_direct(std::string_view type, std::string_view tenant, std::string_view data,
                       uint64_t wall_ms, const WireStyle* style) {
  EventDraft draft;
  draft.style = style;
  draft.type = type;
  draft.data = data;
  draft.room_name = tenant.empty() ? Name() : Name(tenant, "");
  draft.wall_ms = wall_ms;
  draft.event_class = EventClass::ephemeral;
  return EventCoder(draft, Epoch{}, true).build();
}

}  // namespace twinwire
