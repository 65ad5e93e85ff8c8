#include "net/probes.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/utsname.h>

#include <charconv>
#include <memory>

namespace twinwire {
namespace {

constexpr unsigned kSetupFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
// A value of the kernel's interface that Debian 12's headers do not name yet.
constexpr unsigned kOpFixedFdInstall = 54;

std::string why_refused(int error, const std::string& kernel) {
  if (error == EPERM || error == EACCES) {
    return "io_uring is forbidden on this system (kernel.io_uring_disabled or a sandbox): Twinwire needs it";
  }
  if (error == ENOSYS || error == EINVAL) {
    return "Linux 6.1 or newer with io_uring is needed, this is " + kernel;
  }
  if (error == ENOMEM) return "no memory for io_uring: raise the limit of locked memory (ulimit -l)";
  return std::string("io_uring cannot be set up: ") + strerror(error);
}

}  // namespace

std::string Probes::text() const {
  std::string out;
  auto add = [&out](bool on, const char* name) {
    if (on) out += out.empty() ? std::string(name) : std::string(" ") + name;
  };
  add(fd_install, "fd_install");
  return out.empty() ? "none" : out;
}

bool new_enough(std::string_view release) {
  unsigned major = 0, minor = 0;
  const char* end = release.data() + release.size();
  auto [dot, error] = std::from_chars(release.data(), end, major);
  if (error != std::errc() || dot == end || *dot != '.') return false;
  if (std::from_chars(dot + 1, end, minor).ec != std::errc()) return false;
  return major > 6 || (major == 6 && minor >= 1);
}

Result<Probes> probe_kernel(bool all_off) {
  Probes probes;
  utsname name{};
  if (uname(&name) == 0) probes.kernel = name.release;
  if (!new_enough(probes.kernel)) return fail(Code::internal, why_refused(EINVAL, probes.kernel));
  io_uring ring{};
  io_uring_params params{};
  params.flags = kSetupFlags;
  int rc = io_uring_queue_init_params(8, &ring, &params);
  if (rc < 0) return fail(Code::internal, why_refused(-rc, probes.kernel));
  if (!all_off) {
    std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> ops(io_uring_get_probe_ring(&ring),
                                                                   io_uring_free_probe);
    probes.fd_install = ops && ops->last_op >= kOpFixedFdInstall &&
                        io_uring_opcode_supported(ops.get(), static_cast<int>(kOpFixedFdInstall));
  }
  io_uring_queue_exit(&ring);
  return probes;
}

}  // namespace twinwire
