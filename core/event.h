// Event: one entry of the log, immutable once published but for its outcome, with both wire forms encoded
// once. EventRef: a counted reference to it. EventDraft: what it is made from. Not here: where it goes
// (ring.h), how it is stored (store/keys.h). Any thread may hold references; encode() and the patching belong
// to the thread that will publish.
//
// Layout: one allocation, the object and behind it
//   [sse form][ws form][type][shown room][client id][room record][data, if the ws form shows it otherwise]
// sse form: `id: CURSOR\nevent: TYPE\ndata: JSON\n\n` (no id line unless kept), ws form: RFC 6455 frame
// header + JSON. The JSON of the ws form is also what a poll's array holds and what replay sends. How the two
// look is the tenant's style (wire_style.h): still one encoding per form and event, since an event has one
// tenant. type() and data() are native in every style.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/types.h"
#include "core/wire_style.h"

namespace twinwire {

// What the log's readers do with a slot; everything but `event` is for the engine itself.
enum class EventKind : uint8_t {
  event,    // delivered to the room's readers
  removal,  // delivered, and ends the named user's subscriptions at this place (subject())
  noop,     // a claim that was abandoned: skipped by everyone
  ending,   // in an inbox: not delivered, ends every stream of its user at this place. The type says why
};

// What the store records beside the event, in the same batch (subject() is the user concerned).
enum class EventEffect : uint8_t {
  none,
  member_added,     // membership record (room, subject, since = this sequence) and the user's index
  member_removed,   // both removed
  room_created,     // room record from room_record()
  room_updated,     // likewise
  room_cleared,     // messages below this sequence are no longer read, then purged
  message_changed,  // an edit or a deletion: that the message about() has a newer state here
};

// Which of the log's promises the event takes part in, and what is shed first.
enum class EventClass : uint8_t {
  kept,       // stored, replayed
  ephemeral,  // delivered once
  state,      // typing, presence, media: shed first, told as a whole on a stream's return
  marker,     // a receipt: state whose last value per user and kind the store keeps (about()); never replayed
};

// Settled once by the writer (release), read by the room's home and, under `commit`, by every consumer
// (acquire).
enum class Outcome : uint8_t { pending, stored, unsaved };

enum class Exclude : uint8_t { none, connection, user };

struct EventDraft {
  std::string_view type;        // [A-Za-z0-9_.:-]{1,64}
  std::string_view shown_room;  // the envelope's "room"; empty leaves it out (events of an inbox)
  std::string_view data;        // a JSON object
  RoomId room;                  // whose log line this is
  Name room_name;               // tenant and name; the tenant fills "tenantId"
  Name user;                    // the envelope's "userId"; none leaves it out
  uint64_t wall_ms = 0;
  EventClass event_class = EventClass::kept;
  EventKind kind = EventKind::event;
  EventEffect effect = EventEffect::none;
  Name subject;                  // for removal and the member effects
  std::string_view room_record;  // for room_created/updated: the store's room record (opaque here)
  std::string_view client_id;    // idempotency key, may be empty
  uint64_t content_hash = 0;     // of what the client sent, to tell a retry from a conflict
  Sequence about;                // message_changed: the message; marker: up to where
  bool writer_only = false;      // a marker that the room is told of otherwise
  Exclude exclude = Exclude::none;
  SessionId exclude_session;  // with Exclude::connection
  // Offsets in `data` where the 14 hex digits of the event's own sequence stand (message.id), at most one.
  static constexpr uint32_t kNoPlace = UINT32_MAX;
  uint32_t sequence_place = kNoPlace;
  const WireStyle* style = nullptr;  // of the room's tenant; none: native
};

class EventRef;

class Event {
 public:
  // Both forms with the sequence digits blank ('0'); patch() fills them. Never fails (sizes were checked on
  // the way in; memory exhaustion aborts).
  static EventRef encode(const EventDraft& draft, Epoch epoch);
  // Fills in the sequence: a handful of 14-byte writes, no allocation. Before publishing only.
  void patch(Sequence sequence);

  Sequence sequence() const { return sequence_; }
  RoomId room() const { return room_; }
  const Name& room_name() const { return room_name_; }
  const Name& user() const { return user_; }
  const Name& subject() const { return subject_; }
  EventKind kind() const { return kind_; }
  EventEffect effect() const { return effect_; }
  EventClass event_class() const { return class_; }
  bool kept() const { return class_ == EventClass::kept; }
  bool marker() const { return class_ == EventClass::marker; }
  uint64_t wall_ms() const { return wall_ms_; }
  Exclude exclude() const { return exclude_; }
  SessionId exclude_session() const { return exclude_session_; }
  uint64_t content_hash() const { return content_hash_; }
  // Known to whoever has the event from the log, not to who read it from the store.
  Sequence about() const { return about_; }

  std::string_view sse() const { return {bytes(), sse_size_}; }
  std::string_view ws() const { return {bytes() + sse_size_, ws_size_}; }
  // The envelope alone: the ws form without its frame header.
  std::string_view json() const { return ws().substr(ws_header_); }
  // The data as it was published.
  std::string_view data() const { return {bytes() + data_at_, data_size_}; }
  std::string_view type() const { return extra(0, type_size_); }
  std::string_view shown_room() const { return extra(type_size_, shown_room_size_); }
  std::string_view client_id() const { return extra(type_size_ + shown_room_size_, client_id_size_); }
  std::string_view room_record() const {
    return extra(type_size_ + shown_room_size_ + client_id_size_, room_record_size_);
  }
  // Bytes of memory it takes; what budgets count.
  uint32_t size() const { return size_; }

  Outcome outcome() const { return outcome_.load(std::memory_order_acquire); }  // partner: settle()
  void settle(Outcome outcome) const { outcome_.store(outcome, std::memory_order_release); }  // writer only

  // Prepays n further references (ring: one per masked shard, the writer, the tail). Before publishing.
  void prepay(uint32_t n) const { refs_.fetch_add(n, std::memory_order_relaxed); }  // partner: release()
  void release() const;
  // For checks of what was prepaid, where nobody else counts at the moment.
  uint32_t references() const { return refs_.load(std::memory_order_relaxed); }

  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

 private:
  friend class EventRef;
  friend class EventCoder;
  Event() = default;
  ~Event() = default;
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  std::string_view extra(size_t at, size_t size) const { return {bytes() + sse_size_ + ws_size_ + at, size}; }

  mutable std::atomic<uint32_t> refs_{1};
  mutable std::atomic<Outcome> outcome_{Outcome::pending};
  EventKind kind_ = EventKind::event;
  EventEffect effect_ = EventEffect::none;
  EventClass class_ = EventClass::kept;
  Exclude exclude_ = Exclude::none;
  uint8_t places_ = 0;
  uint8_t ws_header_ = 0;
  uint8_t type_size_ = 0;
  uint8_t shown_room_size_ = 0;
  uint16_t client_id_size_ = 0;
  uint32_t room_record_size_ = 0;
  uint32_t size_ = 0;
  uint32_t sse_size_ = 0;
  uint32_t ws_size_ = 0;
  uint32_t data_at_ = 0;
  uint32_t data_size_ = 0;
  std::array<uint32_t, 6> place_{};  // offsets in bytes() of the sequence's digits
  Sequence sequence_;
  RoomId room_;
  Name room_name_;
  Name user_;
  Name subject_;
  SessionId exclude_session_;
  uint64_t wall_ms_ = 0;
  uint64_t content_hash_ = 0;
  Sequence about_;
};

// Shared ownership of an Event. Copying counts atomically; moving does not.
class EventRef {
 public:
  EventRef() = default;
  // Takes over a reference that is already counted (a prepaid one, or encode()'s first).
  static EventRef adopt(const Event* event) {
    EventRef ref;
    ref.event_ = event;
    return ref;
  }
  // Counts a new one.
  static EventRef share(const Event* event) {
    if (event) event->prepay(1);
    return adopt(event);
  }
  EventRef(const EventRef& other) : event_(other.event_) {
    if (event_) event_->prepay(1);
  }
  EventRef(EventRef&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  EventRef& operator=(EventRef other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~EventRef() {
    if (event_) event_->release();
  }
  // Gives the reference away without releasing it (to a prepaid holder).
  const Event* detach() { return std::exchange(event_, nullptr); }
  explicit operator bool() const { return event_ != nullptr; }
  const Event* get() const { return event_; }
  const Event* operator->() const { return event_; }
  const Event& operator*() const { return *event_; }
  // The publisher's access for patch(), before anyone else has the event.
  Event* mutable_event() { return const_cast<Event*>(event_); }

 private:
  const Event* event_ = nullptr;
};

// Frames for one stream alone (connected, reset, bye, …): same envelope without eventId, never in the log.
// Returns an event whose sequence is 0.
EventRef encode_direct(std::string_view type, std::string_view tenant, std::string_view data,
                       uint64_t wall_ms, const WireStyle* style = nullptr);

// The two lines of an SSE block's head for a body: `event:` unless the style leaves it out, and `data: `.
void append_sse_head(std::string& out, const FormStyle& style, std::string_view type);
const WireStyle& native_style();

// `2026-11-20T12:00:00.123Z`, 24 bytes.
std::string format_timestamp(uint64_t wall_ms);
void append_timestamp(std::string& out, uint64_t wall_ms);

// A server's unmasked WebSocket frame header (RFC 6455, 5.2) with FIN set; returns its size, 2, 4 or 10.
size_t write_ws_header(char out[10], uint8_t opcode, size_t payload_size);

}  // namespace twinwire
