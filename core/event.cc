#include "core/event.h"

#include <fmt/format.h>

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

std::string format_timestamp(uint64_t wall_ms) {
  // Several are wanted for each message, and within a second they differ in three digits.
  constexpr uint64_t kNever = UINT64_MAX;
  thread_local uint64_t second = kNever;
  thread_local std::string text;
  if (wall_ms / 1000 != second) {
    second = wall_ms / 1000;
    time_t seconds = static_cast<time_t>(second);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  }
  std::string out = text;
  uint64_t millis = wall_ms % 1000;
  for (size_t at = out.size() - 2; millis > 0; millis /= 10) out[at--] = static_cast<char>('0' + millis % 10);
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
    std::string timestamp = format_timestamp(draft_.wall_ms);
    envelope.timestamp = timestamp;
    envelope.data = draft_.data;
    envelope.sequence_place = draft_.sequence_place;
    Body body;
    write_body(body, envelope, style_.ws);
    if (style_.native()) {
      write_sse(body, envelope.event_id);
    } else {
      Body other;
      write_body(other, envelope, style_.sse);
      write_sse(other, envelope.event_id);
    }
    char header[10];
    size_t header_size = write_ws_header(header, kTextOpcode, body.json.size());
    return assemble({header, header_size}, body);
  }

 private:
  void write_sse(const Body& body, std::string_view id) {
    sse_.reserve(body.json.size() + draft_.type.size() + 64);
    if (!direct_ && draft_.event_class == EventClass::kept) {
      sse_ += "id: ";
      sse_places_[sse_count_++] = static_cast<uint32_t>(sse_.size() + 13);
      sse_ += id;
      sse_ += '\n';
    }
    append_sse_head(sse_, style_.sse, draft_.type);
    for (uint32_t i = 0; i < body.place_count; i++)
      sse_places_[sse_count_++] = static_cast<uint32_t>(sse_.size()) + body.places[i];
    sse_ += body.json;
    sse_ += "\n\n";
  }

  EventRef assemble(std::string_view header, const Body& body) {
    // The record and answers need the data as it came: once more, unless the ws form has it so.
    bool shown = body.data_at != Body::kNotVerbatim;
    std::string_view apart = shown ? std::string_view() : draft_.data;
    size_t extras =
        draft_.type.size() + draft_.shown_room.size() + draft_.client_id.size() + draft_.room_record.size();
    size_t ws_size = header.size() + body.json.size();
    size_t size = sizeof(Event) + sse_.size() + ws_size + extras + apart.size();
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
    event->sse_size_ = static_cast<uint32_t>(sse_.size());
    event->ws_size_ = static_cast<uint32_t>(ws_size);
    event->ws_header_ = static_cast<uint8_t>(header.size());
    size_t data_at = shown ? header.size() + body.data_at : ws_size + extras;
    event->data_at_ = static_cast<uint32_t>(sse_.size() + data_at);
    event->data_size_ = static_cast<uint32_t>(draft_.data.size());
    event->type_size_ = static_cast<uint8_t>(draft_.type.size());
    event->shown_room_size_ = static_cast<uint8_t>(draft_.shown_room.size());
    event->client_id_size_ = static_cast<uint16_t>(draft_.client_id.size());
    event->room_record_size_ = static_cast<uint32_t>(draft_.room_record.size());
    char* out = event->bytes();
    for (std::string_view part : {std::string_view(sse_), header, std::string_view(body.json), draft_.type,
                                  draft_.shown_room, draft_.client_id, draft_.room_record, apart}) {
      if (!part.empty()) std::memcpy(out, part.data(), part.size());
      out += part.size();
    }
    for (uint32_t i = 0; i < sse_count_; i++) event->place_[event->places_++] = sse_places_[i];
    for (uint32_t i = 0; i < body.place_count; i++)
      event->place_[event->places_++] = event->sse_size_ + event->ws_header_ + body.places[i];
    if (!shown && draft_.sequence_place != EventDraft::kNoPlace)
      event->place_[event->places_++] = event->data_at_ + draft_.sequence_place;
    return EventRef::adopt(event);
  }

  const EventDraft& draft_;
  const WireStyle& style_;
  const Epoch epoch_;
  const bool direct_;
  std::string sse_;
  std::array<uint32_t, 3> sse_places_{};
  uint32_t sse_count_ = 0;
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
