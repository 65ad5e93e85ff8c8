#include "core/tickets.h"

#include <algorithm>

namespace twinwire {

bool Tickets::set(uint32_t session, const Identity& who, uint64_t wall_ms, Half half) {
  while (session / kChunk >= chunks_.size()) chunks_.push_back(std::make_unique<Ticket[]>(kChunk));
  uint32_t place = share(who.grants);
  if (place > kGrantsMax) return false;  // the former ticket stands: an empty one would allow more
  Ticket& ticket = at(session);
  release(ticket.grants);
  ticket = {};
  ticket.grants = place & kGrantsMax;
  ticket.bot = who.bot;
  if (who.expires_wall_ms == 0) return true;
  auto now_s = static_cast<uint32_t>(wall_ms / 1000);
  ticket.expires_s = static_cast<uint32_t>(std::min<uint64_t>(who.expires_wall_ms / 1000, UINT32_MAX - 1));
  uint32_t lives_s = ticket.expires_s > now_s ? ticket.expires_s - now_s : 0;
  bool dated = who.issued_wall_ms > 0 && who.issued_wall_ms < who.expires_wall_ms;
  if (half == Half::of_life && dated)
    lives_s = static_cast<uint32_t>(
        std::min<uint64_t>((who.expires_wall_ms - who.issued_wall_ms) / 1000, UINT32_MAX));
  // A token that lives for less than the notice is told at half its time.
  uint32_t lead = lives_s > expiring_s_ ? kLeadOfConfig : std::min(lives_s / 2, kLeadOfConfig - 1);
  ticket.lead = lead & 0xff;
  earliest_s_ = std::min(earliest_s_, due_s(ticket));
  return true;
}

uint32_t Tickets::expiring_s(uint32_t session, uint64_t wall_ms) const {
  const Ticket* ticket = find(session);
  if (!ticket || ticket->expires_s == 0) return 0;
  uint32_t lead = ticket->lead == kLeadOfConfig ? expiring_s_ : ticket->lead;
  return wall_ms / 1000 + lead >= ticket->expires_s ? ticket->expires_s : 0;
}

void Tickets::drop(uint32_t session) {
  if (!find(session)) return;
  release(at(session).grants);
  at(session) = {};
}

void Tickets::fill(uint32_t session, Identity& who) const {
  const Ticket* ticket = find(session);
  if (!ticket) return;
  if (ticket->grants) who.grants = shared_[ticket->grants - 1].grants;
  who.bot = ticket->bot;
  who.expires_wall_ms = uint64_t{ticket->expires_s} * 1000;
}

const Grants* Tickets::grants(uint32_t session) const {
  const Ticket* ticket = find(session);
  return ticket && ticket->grants ? shared_[ticket->grants - 1].grants.get() : nullptr;
}

// The place of equal grants, or of these; 0 for none.
uint32_t Tickets::share(const std::shared_ptr<const Grants>& grants) {
  if (!grants) return 0;
  std::string text;
  for (const Grants::Line& line : grants->lines) text += line.pattern + '\0' + line.rights.text() + '\0';
  if (auto known = by_text_.find(text); known != by_text_.end()) {
    shared_[known->second - 1].uses++;
    return known->second;
  }
  if (unused_.empty()) {
    if (shared_.size() >= kGrantsMax) return kGrantsMax + 1;
    shared_.emplace_back();
    unused_.push_back(static_cast<uint32_t>(shared_.size()));
  }
  uint32_t place = unused_.back();
  unused_.pop_back();
  by_text_[text] = place;
  shared_[place - 1] = {grants, std::move(text), 1};
  return place;
}

void Tickets::release(uint32_t place) {
  if (place == 0 || --shared_[place - 1].uses > 0) return;
  by_text_.erase(shared_[place - 1].text);
  shared_[place - 1] = {};
  unused_.push_back(place);
}

}  // namespace twinwire
