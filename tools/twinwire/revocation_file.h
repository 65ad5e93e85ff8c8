// <store.path>/revocations: the users whose tokens were revoked, so that a restart takes nothing back.
// Lines of a time in milliseconds, tenant and user, with tabs between. Opened by main before any thread is
// started; append() from any thread: it writes without waiting for the disk, which sync() does on main's.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "core/revocations.h"
#include "core/status.h"

namespace twinwire {

class RevocationFile {
 public:
  // Reads what is there into `revocations` and writes it anew, each user once. Errors: a file that cannot be
  // read or written. A line that is none (the end of a write that a crash cut off) is left out.
  static Result<std::unique_ptr<RevocationFile>> open(const std::string& path, Revocations& revocations);
  ~RevocationFile();

  // False: it could not be written (a full disk), and holds in memory only.
  bool append(const Revocations::Entry& entry);
  // Readable when there is something to sync.
  int wanted() const { return wanted_; }
  void sync();

 private:
  RevocationFile(int file, int wanted) : file_(file), wanted_(wanted) {}
  const int file_, wanted_;
  std::mutex writing_;
};

}  // namespace twinwire
