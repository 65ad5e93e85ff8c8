#include "core/types.h"

#include <xxhash.h>

#include <cstdlib>
#include <new>

#include "core/hash_key.h"

namespace twinwire {
namespace {

uint64_t process_hash_key = 0;  // constant once there are threads

constexpr char kHex[] = "0123456789abcdef";

void write_hex(char* out, uint64_t value, size_t digits) {
  for (size_t i = digits; i-- > 0; value >>= 4) out[i] = kHex[value & 15];
}

std::optional<uint64_t> parse_hex(std::string_view text) {
  uint64_t value = 0;
  for (char c : text) {
    uint64_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace

uint64_t hash_key() { return process_hash_key; }
void set_hash_key(uint64_t key) { process_hash_key = key; }

std::optional<Cursor> Cursor::parse(std::string_view text) {
  if (text.size() != kTextSize || text[12] != '-') return std::nullopt;
  auto epoch = parse_hex(text.substr(0, 12));
  auto sequence = parse_hex(text.substr(13));
  if (!epoch || !sequence || *sequence > kSequenceMax.value) return std::nullopt;
  return Cursor{Epoch{*epoch}, Sequence{*sequence}};
}

void Cursor::write(char out[kTextSize]) const {
  write_hex(out, epoch.value, 12);
  out[12] = '-';
  write_sequence(out + 13, sequence);
}

std::string Cursor::text() const {
  std::string out(kTextSize, '\0');
  write(out.data());
  return out;
}

void write_sequence(char out[kSequenceDigits], Sequence sequence) {
  write_hex(out, sequence.value, kSequenceDigits);
}

std::optional<SessionId> SessionId::parse(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  auto high = parse_hex(text.substr(0, 16));
  auto low = parse_hex(text.substr(16));
  if (!high || !low) return std::nullopt;
  return SessionId{*high, *low};
}

void SessionId::write(char out[kTextSize]) const {
  write_hex(out, high, 16);
  write_hex(out + 16, low, 16);
}

std::string SessionId::text() const {
  std::string out(kTextSize, '\0');
  write(out.data());
  return out;
}

Name::Name(std::string_view tenant, std::string_view text) {
  if (tenant.size() > kBytesMax || text.size() > kBytesMax) std::abort();
  void* memory = std::malloc(sizeof(Body) + tenant.size() + text.size());
  if (!memory) std::abort();
  body_ = new (memory) Body{
      {1}, hash_of(tenant, text), static_cast<uint8_t>(tenant.size()), static_cast<uint8_t>(text.size())};
  if (!tenant.empty()) std::memcpy(body_->text, tenant.data(), tenant.size());
  if (!text.empty()) std::memcpy(body_->text + tenant.size(), text.data(), text.size());
}

uint32_t Name::hash_of(std::string_view tenant, std::string_view text) {
  uint64_t seed = process_hash_key;
  if (!tenant.empty()) seed = XXH3_64bits_withSeed(tenant.data(), tenant.size(), seed);
  return static_cast<uint32_t>(XXH3_64bits_withSeed(text.data(), text.size(), seed));
}

RoomId room_id_of(uint64_t room_key, std::string_view tenant, std::string_view room) {
  char key[512];
  // Both lengths fit a byte each (Name), so the length of the tenant keeps ("ab","c") and ("a","bc") apart.
  key[0] = static_cast<char>(tenant.size());
  if (!tenant.empty()) std::memcpy(key + 1, tenant.data(), tenant.size());
  if (!room.empty()) std::memcpy(key + 1 + tenant.size(), room.data(), room.size());
  XXH128_hash_t hash = XXH3_128bits_withSeed(key, 1 + tenant.size() + room.size(), room_key);
  return {hash.high64, hash.low64};
}

Name inbox_name_of(const Name& user) {
  std::string text = "\x01";
  text += user.text();
  return Name(user.tenant(), text);
}

RoomId inbox_id_of(uint64_t room_key, const Name& user) {
  char text[256];
  text[0] = '\x01';
  std::memcpy(text + 1, user.text().data(), user.text().size());
  return room_id_of(room_key, user.tenant(), {text, 1 + user.text().size()});
}

void Name::release() {
  // The last holder must see what the others did before they let go: acq_rel, partner is itself.
  if (body_ && body_->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) std::free(body_);
  body_ = nullptr;
}

}  // namespace twinwire
