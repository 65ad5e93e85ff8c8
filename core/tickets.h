// Tickets: what the token of each session hosted here allows, and when it ends. Eight bytes a session, in a
// table of its own that exists only where there are tokens (auth.mode jwt); equal grants are kept once.
// Not here: what happens at the end (sessions_identity.cc). The shard's thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/identity.h"

namespace twinwire {

class Tickets {
 public:
  explicit Tickets(uint32_t expiring_seconds) : expiring_s_(expiring_seconds) {}

  // When a token's end is told that lives for less than the notice: at half of what is left of it, or, for
  // polls, of which each brings it anew, of its whole life (where it says when it was issued).
  enum class Half : uint8_t { of_rest, of_life };
  // False: too many different grants at once; the session keeps the ticket it had, if any.
  bool set(uint32_t session, const Identity& who, uint64_t wall_ms, Half half = Half::of_rest);
  // When the session's token ends, in seconds, if it is time to say so; else 0.
  uint32_t expiring_s(uint32_t session, uint64_t wall_ms) const;
  void drop(uint32_t session);
  // Fills in what the token said; leaves `who` alone where the session has no ticket.
  void fill(uint32_t session, Identity& who) const;
  const Grants* grants(uint32_t session) const;

  enum class Due : uint8_t { expiring, expired };
  // Calls `due(session, Due)` for tickets that are near their end or past it, each once. Looks at a slice of
  // the table, and at nothing before something can be due.
  template <typename F>
  void visit_due(uint64_t wall_ms, F&& due);
  // The wall clock's millisecond at which visit_due() has something to look at; UINT64_MAX: never.
  uint64_t next_due_wall_ms() const {
    return scanning_ ? 0 : earliest_s_ == UINT32_MAX ? UINT64_MAX : uint64_t{earliest_s_} * 1000;
  }

 private:
  static constexpr uint32_t kChunk = 512;      // as Slab's
  static constexpr uint32_t kSlice = 1 << 14;  // tickets looked at in one go: some ten microseconds
  static constexpr uint32_t kGrantsMax = (1u << 22) - 1;
  static constexpr uint32_t kLeadOfConfig = 255;

  struct Ticket {
    uint32_t expires_s = 0;    // 0: never
    uint32_t grants : 22 = 0;  // place in shared_, from 1; 0: none
    uint32_t bot : 1 = 0;
    uint32_t told : 1 = 0;  // that it is about to end
    uint32_t lead : 8 = 0;  // seconds before the end in which that is told; 255: auth.expiring_seconds
  };
  static_assert(sizeof(Ticket) == 8);
  struct Shared {
    std::shared_ptr<const Grants> grants;
    std::string text;
    uint32_t uses = 0;
  };

  Ticket& at(uint32_t session) { return chunks_[session / kChunk][session % kChunk]; }
  const Ticket* find(uint32_t session) const {
    return session / kChunk < chunks_.size() ? &chunks_[session / kChunk][session % kChunk] : nullptr;
  }
  uint32_t due_s(const Ticket& ticket) const {
    if (ticket.told) return ticket.expires_s;
    uint32_t lead = ticket.lead == kLeadOfConfig ? expiring_s_ : ticket.lead;
    return ticket.expires_s - lead;
  }
  uint32_t share(const std::shared_ptr<const Grants>& grants);
  void release(uint32_t place);

  const uint32_t expiring_s_;
  std::vector<std::unique_ptr<Ticket[]>> chunks_;
  std::vector<Shared> shared_;
  std::vector<uint32_t> unused_;
  std::unordered_map<std::string, uint32_t> by_text_;
  uint32_t earliest_s_ = UINT32_MAX;  // nothing is due before
  bool scanning_ = false;
  uint32_t scan_at_ = 0, scan_earliest_s_ = UINT32_MAX;
};

template <typename F>
void Tickets::visit_due(uint64_t wall_ms, F&& due) {
  auto now_s = static_cast<uint32_t>(wall_ms / 1000);
  if (!scanning_) {
    if (now_s < earliest_s_) return;
    scanning_ = true;
    scan_at_ = 0;
    scan_earliest_s_ = earliest_s_ = UINT32_MAX;
  }
  auto all = static_cast<uint32_t>(chunks_.size() * kChunk);
  uint32_t end = std::min(all, scan_at_ + kSlice);
  for (; scan_at_ < end; scan_at_++) {
    Ticket& ticket = at(scan_at_);
    if (ticket.expires_s == 0) continue;
    if (now_s >= ticket.expires_s) {
      due(scan_at_, Due::expired);
      continue;
    }
    if (!ticket.told && now_s >= due_s(ticket)) {
      ticket.told = 1;
      due(scan_at_, Due::expiring);
    }
    scan_earliest_s_ = std::min(scan_earliest_s_, due_s(ticket));
  }
  if (scan_at_ < all) return;
  scanning_ = false;
  earliest_s_ = std::min(earliest_s_, scan_earliest_s_);
}

}  // namespace twinwire
