#include "core/receipts.h"

#include <iterator>
#include <utility>

#include "core/limits.h"

namespace twinwire {

void Receipts::raise(const Name& user, const Receipt& to) {
  Receipt& receipt = of_[user];
  Sequence before = newest_of(receipt);
  receipt = {std::max(receipt.delivered, to.delivered), std::max(receipt.read, to.read)};
  if (!ranked_) return;
  // Who was not among them can only come in: all who are left out stay behind the last that is.
  newest_.erase({before, user});
  rank({newest_of(receipt), user});
}

void Receipts::erase(const Name& user) {
  auto it = of_.find(user);
  if (it == of_.end()) return;
  bool listed = ranked_ && newest_.erase({newest_of(it->second), user}) != 0;
  of_.erase(it);
  if (listed && newest_.size() < of_.size()) ranked_ = false;  // somebody moves up, and it is not known who
}

const std::set<Receipts::Line>& Receipts::newest() {
  if (ranked_) return newest_;
  newest_.clear();
  for (const auto& [user, receipt] : of_) rank({newest_of(receipt), user});
  ranked_ = true;
  return newest_;
}

void Receipts::rank(Line line) {
  if (newest_.size() == kReceiptsListed && !(line < *std::prev(newest_.end()))) return;
  newest_.insert(std::move(line));
  if (newest_.size() > kReceiptsListed) newest_.erase(std::prev(newest_.end()));
}

}  // namespace twinwire
