// Receipts: up to where the users of one room have received and read, and whose are the newest. Not here: who
// is told of them, and how they are kept (homes_marks.cc). The thread of the room's home only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <unordered_map>

#include "core/history.h"
#include "core/types.h"

namespace twinwire {

class Receipts {
 public:
  struct Line {
    Sequence newest;
    Name user;
    // The newest first, and of equal ones by name.
    bool operator<(const Line& other) const {
      return newest != other.newest ? newest > other.newest : user.text() < other.user.text();
    }
  };

  size_t size() const { return of_.size(); }
  bool empty() const { return of_.empty(); }
  // Of who has said nothing: zero both.
  Receipt find(const Name& user) const {
    auto it = of_.find(user);
    return it == of_.end() ? Receipt() : it->second;
  }
  bool contains(const Name& user) const { return of_.contains(user); }
  // A receipt only rises.
  void raise(const Name& user, const Receipt& to);
  void erase(const Name& user);

  // The kReceiptsListed newest. Every load of messages asks for them, so they are kept in order from the
  // first time on that somebody does: what all other users said is not looked at again, unless one of these
  // is erased.
  const std::set<Line>& newest();

 private:
  static Sequence newest_of(const Receipt& receipt) { return std::max(receipt.delivered, receipt.read); }
  void rank(Line line);

  std::unordered_map<Name, Receipt> of_;
  std::set<Line> newest_;
  bool ranked_ = false;  // newest_ holds what it should
};

}  // namespace twinwire
