#include "store/record.h"

#include "store/bytes.h"

namespace twinwire::store {

namespace {

// First byte after the version: kind (2 bits), effect (3), exclude (2), whether a room name follows (1).
constexpr uint8_t kKindMask = 3, kEffectShift = 2, kEffectMask = 7, kExcludeShift = 5, kExcludeMask = 3;
constexpr uint8_t kHasRoomName = 0x80;
// Second byte.
constexpr uint8_t kHasUser = 1, kUserTenant = 2, kHasSubject = 4, kSubjectTenant = 8, kShownIsName = 16,
                  kHasClientId = 32, kHasContentHash = 64, kHasSession = 128;

constexpr size_t kHeadSize = 1 + 2 + 8;  // version, the two bytes above, wall clock

// A name, its tenant only when it is not the room's.
void append_user(std::string& out, const Name& user, bool with_tenant) {
  if (with_tenant) append_short(out, user.tenant());
  append_short(out, user.text());
}

Result<EventRef> broken(const char* what) {
  return fail(Code::internal, std::string("an event's record cannot be read: ") + what);
}

}  // namespace

void append_record(std::string& out, const Event& event) {
  const Name& room = event.room_name();
  const Name &user = event.user(), &subject = event.subject();
  bool user_tenant = user && user.tenant() != room.tenant();
  bool subject_tenant = subject && subject.tenant() != room.tenant();
  bool shown_is_name = event.shown_room() == room.text();
  bool session = !event.exclude_session().none();
  uint8_t bits = 0;
  if (user) bits |= kHasUser;
  if (user_tenant) bits |= kUserTenant;
  if (subject) bits |= kHasSubject;
  if (subject_tenant) bits |= kSubjectTenant;
  if (shown_is_name) bits |= kShownIsName;
  if (!event.client_id().empty()) bits |= kHasClientId;
  if (event.content_hash() != 0) bits |= kHasContentHash;
  if (session) bits |= kHasSession;

  // What changes a message says so in its type and has its entry in `membership`: nothing more is recorded.
  EventEffect effect = event.effect() == EventEffect::message_changed ? EventEffect::none : event.effect();
  out += static_cast<char>(kRecordVersion);
  out +=
      static_cast<char>(static_cast<uint8_t>(event.kind()) | static_cast<uint8_t>(effect) << kEffectShift |
                        static_cast<uint8_t>(event.exclude()) << kExcludeShift | (room ? kHasRoomName : 0));
  out += static_cast<char>(bits);
  append_big64(out, event.wall_ms());
  append_short(out, event.type());
  if (room) {
    append_short(out, room.tenant());
    append_short(out, room.text());
  }
  if (user) append_user(out, user, user_tenant);
  if (subject) append_user(out, subject, subject_tenant);
  if (!shown_is_name) append_short(out, event.shown_room());
  if (bits & kHasClientId) {
    out += static_cast<char>(event.client_id().size() >> 8);
    out += static_cast<char>(event.client_id().size());
    out.append(event.client_id());
  }
  if (bits & kHasContentHash) append_big64(out, event.content_hash());
  if (session) {
    append_big64(out, event.exclude_session().high);
    append_big64(out, event.exclude_session().low);
  }
  out.append(event.data());
}

std::optional<RecordHead> peek_record(std::string_view value) {
  if (value.size() < kHeadSize || static_cast<uint8_t>(value[0]) != kRecordVersion) return std::nullopt;
  ByteReader in(value.substr(kHeadSize - 8));
  RecordHead head;
  head.wall_ms = in.big64();
  head.type = in.short_text();
  if (!in.ok()) return std::nullopt;
  return head;
}

const Name& RecordDecoder::named(Name& last, std::string_view tenant, std::string_view text) {
  if (!last.is(tenant, text)) last = Name(tenant, text);
  return last;
}

bool is_newer_record(std::string_view value) {
  return !value.empty() && static_cast<uint8_t>(value[0]) > kRecordVersion;
}

Result<EventRef> RecordDecoder::decode(std::string_view value, RoomId room, Sequence sequence) {
  ByteReader in(value);
  uint8_t version = in.byte(), shape = in.byte(), bits = in.byte();
  if (!in.ok()) return broken("it is too short");
  if (version != kRecordVersion) return broken("it has another version");
  EventDraft draft;
  draft.room = room;
  uint8_t kind = shape & kKindMask, effect = shape >> kEffectShift & kEffectMask;
  uint8_t exclude = shape >> kExcludeShift & kExcludeMask;
  if (kind > static_cast<uint8_t>(EventKind::removal) ||
      effect > static_cast<uint8_t>(EventEffect::room_cleared) ||
      exclude > static_cast<uint8_t>(Exclude::user))
    return broken("it names something unknown");
  draft.kind = static_cast<EventKind>(kind);
  draft.effect = static_cast<EventEffect>(effect);
  draft.exclude = static_cast<Exclude>(exclude);
  draft.wall_ms = in.big64();
  draft.type = in.short_text();
  std::string_view tenant, name;
  if (shape & kHasRoomName) {
    tenant = in.name_text();
    name = in.name_text();
    draft.room_name = named(room_name_, tenant, name);
  }
  if (bits & kHasUser) {
    std::string_view user_tenant = bits & kUserTenant ? in.name_text() : tenant;
    draft.user = named(user_, user_tenant, in.name_text());
  }
  if (bits & kHasSubject) {
    std::string_view subject_tenant = bits & kSubjectTenant ? in.name_text() : tenant;
    draft.subject = named(subject_, subject_tenant, in.name_text());
  }
  draft.shown_room = bits & kShownIsName ? name : in.short_text();
  if (bits & kHasClientId) draft.client_id = in.take(in.big16());
  if (bits & kHasContentHash) draft.content_hash = in.big64();
  if (bits & kHasSession) {
    draft.exclude_session.high = in.big64();
    draft.exclude_session.low = in.big64();
  }
  if (!in.ok()) return broken("it ends early");
  // The digits of the event's own sequence stand in the data as they were patched; nothing is left to fill in
  // there.
  draft.data = in.rest();
  if (bridges_ != nullptr) draft.style = &bridges_->of(tenant).style;
  EventRef event = Event::encode(draft, epoch_);
  event.mutable_event()->patch(sequence);
  event->settle(Outcome::stored);
  return event;
}

}  // namespace twinwire::store
