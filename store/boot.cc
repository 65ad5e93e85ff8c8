#include "store/boot.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/keys.h"

namespace twinwire::store {

namespace {

constexpr Millis kProgressMs = 2'000;
constexpr uint64_t kEpochBits = (uint64_t{1} << 48) - 1;

// Reads what is stored so far, and decides what this run begins with.
class Boot {
 public:
  Boot(Database& database, const BootOptions& options, const Clock& clock, Random& random,
       SharedState& shared)
      : database_(database), options_(options), clock_(clock), random_(random), shared_(shared) {}

  Result<StoreBoot> run() {
    writes_ = database_.make_write_set();
    for (auto part : {&Boot::check_format, &Boot::identity, &Boot::starts, &Boot::begin, &Boot::rebuild_rooms,
                      &Boot::rebuild_users, &Boot::rebuild_ids}) {
      if (auto done = (this->*part)(); !done) return done.error();
    }
    return std::move(boot_);
  }

 private:
  // A number of eight bytes, or nothing when it was never written.
  Result<std::optional<uint64_t>> number(std::string_view key) {
    auto value = database_.get(Table::meta, key);
    if (!value) return value.error();
    if (!*value) return std::optional<uint64_t>();
    auto sequence = decode_sequence(**value);
    if (!sequence) return fail(Code::internal, fmt::format("the store's entry \"{}\" cannot be read", key));
    return std::optional<uint64_t>(sequence->value);
  }

  Result<void> check_format() {
    auto found = number(kMetaFormat);
    if (!found) return found.error();
    if (!*found) {
      writes_->put(Table::meta, kMetaFormat, encode_sequence({kFormatVersion}));
    } else if (**found != kFormatVersion) {
      return fail(Code::conflict,
                  fmt::format("the store has format {} and this server reads format {}: use the version of "
                              "Twinwire that wrote it, or name another directory with store.path",
                              **found, kFormatVersion));
    }
    return {};
  }

  Result<void> identity() {
    auto epoch = number(kMetaEpoch);
    if (!epoch) return epoch.error();
    auto key = number(kMetaRoomKey);
    if (!key) return key.error();
    boot_.epoch.value = *epoch ? **epoch : random_.next() & kEpochBits;
    boot_.room_key = *key ? **key : random_.next();
    if (!*epoch) writes_->put(Table::meta, kMetaEpoch, encode_sequence({boot_.epoch.value}));
    if (!*key) writes_->put(Table::meta, kMetaRoomKey, encode_sequence({boot_.room_key}));
    return {};
  }

  Result<void> starts() {
    bool readable = true;
    std::string end = successor(kMetaStarts);
    auto read =
        database_.scan({Table::meta, kMetaStarts, end}, [&](std::string_view, std::string_view value) {
          auto start = decode_start(value);
          if (!start) return readable = false;
          boot_.starts.push_back(start->start);
          last_policy_ = start->policy;
          return true;
        });
    if (!read) return read.error();
    if (!readable) return fail(Code::internal, "the store's list of starts cannot be read");
    return {};
  }

  // The new start, its lease, and everything above, in one synced batch.
  Result<void> begin() {
    auto lease_end = number(kMetaLeaseEnd);
    if (!lease_end) return lease_end.error();
    auto settled = number(kMetaSettled);
    if (!settled) return settled.error();
    boot_.settled.value = settled->value_or(0);
    boot_.first.value = std::max<uint64_t>(lease_end->value_or(1), boot_.settled.value + 1);
    if (options_.mutation == Mutation::sequence_reused) boot_.first = boot_.settled + 1;
    boot_.lease_end.value = std::min(boot_.first.value + options_.lease_step, kSequenceMax.value);
    if (boot_.first >= boot_.lease_end)
      return fail(Code::internal,
                  "the store has used up its sequences: begin a new one in another directory");
    StoredStart start;
    start.start = {boot_.settled, boot_.first, boot_.starts.empty() ? options_.policy : last_policy_};
    start.policy = options_.policy;
    start.wall_ms = clock_.wall_ms();
    writes_->put(Table::meta, start_key(boot_.starts.size()), encode_start(start));
    writes_->put(Table::meta, kMetaLeaseEnd, encode_sequence(boot_.lease_end));
    if (auto written = database_.commit(*writes_, Sync::yes); !written) return written.error();
    boot_.starts.push_back(start.start);
    return {};
  }

  Result<void> rebuild_rooms() {
    return each(Range{Table::rooms, {}, {}}, "rooms", [&](std::string_view key, std::string_view value) {
      auto room = parse_room(key);
      if (!room || key.size() != kRoomKeySize + 1) return;
      uint64_t fingerprint = Filters::fingerprint(*room);
      shared_.filters.rooms.add(fingerprint);
      if (key.back() != static_cast<char>(RoomTag::name)) return;
      if (auto name = decode_room_name(value); name && is_inbox(*name))
        shared_.filters.users.add(fingerprint);
    });
  }

  Result<void> rebuild_users() {
    return each(Range{Table::membership, "u", "v"}, "memberships",
                [&](std::string_view key, std::string_view) {
                  if (auto pair = parse_user_room(key))
                    shared_.filters.users.add(Filters::fingerprint(pair->first));
                });
  }

  Result<void> rebuild_ids() {
    uint64_t now = clock_.wall_ms();
    auto expired = [&](const IdempotencyValue& v) { return v.wall_ms + options_.idempotency_keep_ms <= now; };
    return each(Range{Table::idempotency, {}, {}}, "idempotency ids",
                [&](std::string_view key, std::string_view value) {
                  auto id = parse_idempotency_key(key);
                  auto entry = decode_idempotency(value);
                  if (id && entry && !expired(*entry)) shared_.filters.ids.add(*id, now);
                });
  }

  template <typename Each>
  Result<void> each(const Range& range, const char* what, const Each& visit) {
    uint64_t count = 0;
    Millis told = clock_.now_ms();
    return database_.scan(range, [&](std::string_view key, std::string_view value) {
      visit(key, value);
      if (++count % 65'536 == 0 && options_.log && clock_.now_ms() - told >= kProgressMs) {
        told = clock_.now_ms();
        options_.log(fmt::format("store: reading {}: {} so far", what, count));
      }
      return true;
    });
  }

  Database& database_;
  const BootOptions& options_;
  const Clock& clock_;
  Random& random_;
  SharedState& shared_;
  std::unique_ptr<WriteSet> writes_;
  StoreBoot boot_;
  DeliverPolicy last_policy_ = DeliverPolicy::publish;
};

}  // namespace

Result<StoreBoot> boot(Database& database, const BootOptions& options, const Clock& clock, Random& random,
                       SharedState& shared) {
  return Boot(database, options, clock, random, shared).run();
}

}  // namespace twinwire::store
