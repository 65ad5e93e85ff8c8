#include "bench/twinbench/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "bench/client/loop.h"
#include "bench/twinbench/process.h"

namespace twinwire::bench {
namespace {

using client::kMillisecond;

constexpr uint32_t kReadyLimitMs = 30'000;
constexpr uint32_t kStartRetries = 10;
constexpr useconds_t kStartRetryPause = 300'000;
constexpr uint32_t kStopLimitMs = 20'000;
constexpr uint32_t kMountLimitMs = 3'000;

[[noreturn]] void become(const std::vector<std::string>& words, int out, int log, const Child::How& how) {
  if (how.core >= 0) pin_this_thread({how.core});
  for (const auto& [name, value] : how.environment) setenv(name.c_str(), value.c_str(), 1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // never outlives the harness
  dup2(out, STDOUT_FILENO);
  if (log >= 0) dup2(log, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

void sleep_a_moment() { usleep(2'000); }

}  // namespace

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(fd, reinterpret_cast<const sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

Child::~Child() {
  if (running()) end(SIGKILL, 5'000);
  if (out_ >= 0) close(out_);
}

Result<void> Child::start(const std::vector<std::string>& words, const How& how) {
  if (words[0].find('/') != std::string::npos && access(words[0].c_str(), X_OK) != 0) {
    return fail(Code::not_found, fmt::format("There is no program {}.", words[0]));
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(Code::internal, std::strerror(errno));
  const int log_file = open(how.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out_ >= 0) close(out_);
  buffer_.clear();
  pid_ = fork();
  if (pid_ == 0) become(words, ends[1], log_file, how);
  close(ends[1]);
  if (log_file >= 0) close(log_file);
  out_ = ends[0];
  if (pid_ < 0) return fail(Code::internal, std::strerror(errno));
  return {};
}

Result<std::string> Child::line(uint32_t limit_ms) {
  const client::Nanos until = client::monotonic_now() + limit_ms * kMillisecond;
  while (true) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string out = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return out;
    }
    const client::Nanos now = client::monotonic_now();
    pollfd readable{out_, POLLIN, 0};
    if (now >= until || poll(&readable, 1, static_cast<int>((until - now) / kMillisecond + 1)) <= 0) {
      return fail(Code::overloaded, fmt::format("said nothing for {} ms", limit_ms));
    }
    char bytes[4096];
    const ssize_t n = read(out_, bytes, sizeof bytes);
    if (n <= 0) return fail(Code::internal, "ended");
    buffer_.append(bytes, static_cast<size_t>(n));
  }
}

bool Child::running() {
  if (pid_ <= 0) return false;
  if (waitpid(pid_, nullptr, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

int Child::end(int signal, uint32_t limit_ms) {
  if (pid_ <= 0) return 0;
  ::kill(pid_, signal);
  const client::Nanos until = client::monotonic_now() + limit_ms * kMillisecond;
  while (client::monotonic_now() < until) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return status;
    }
    sleep_a_moment();
  }
  return -1;
}

Server::Server(Options options) : options_(std::move(options)) { endpoint_.port = free_port(); }

Result<void> Server::start() {
  Result<void> started = try_start();
  for (uint32_t i = 0; i < kStartRetries && !started; ++i) {
    ++retries_;
    usleep(kStartRetryPause);
    started = try_start();
  }
  return started;
}

Result<void> Server::try_start() {
  std::vector<std::string> words{options_.program, "serve", "--server.listen=" + endpoint_.authority(),
                                 "--admin.listen=127.0.0.1:0", "--store.path=" + options_.data};
  words.insert(words.end(), options_.settings.begin(), options_.settings.end());
  if (Result<void> started = child_.start(words, Child::How{.log = options_.log, .core = options_.core});
      !started)
    return started;
  const Result<std::string> ready = child_.line(kReadyLimitMs);
  if (!ready || !ready->starts_with("twinwire ready")) {
    return fail(Code::internal, fmt::format("The server did not start ({}); its words are in {}.",
                                            ready ? *ready : ready.error().sentence, options_.log));
  }
  const size_t admin = ready->rfind("http://");
  if (const Result<client::Endpoint> at = client::parse_endpoint(std::string_view(*ready).substr(admin)); at)
    admin_ = *at;
  return {};
}

void Server::kill() { child_.end(SIGKILL, 10'000); }

Result<void> Server::stop() {
  const int status = child_.end(SIGTERM, kStopLimitMs);
  if (status == 0) return {};
  if (status == -1) kill();
  return fail(Code::internal,
              fmt::format("SIGTERM did not end the server with status 0 ({}); its words are in {}.",
                          status == -1 ? "still there after 20 s" : fmt::format("wait status {}", status),
                          options_.log));
}

Result<void> LossyDisk::mount(const std::string& program, const std::string& folder) {
  folder_ = folder;
  if (Result<void> started = child_.start({program, folder}, folder + ".log"); !started) return started;
  for (uint32_t waited = 0; waited < kMountLimitMs; waited += 2) {
    if (!counts().empty()) return {};
    if (!child_.running()) break;
    sleep_a_moment();
  }
  folder_.clear();
  return fail(Code::not_found, "FUSE cannot be mounted here");
}

Result<void> LossyDisk::lose() {
  std::ofstream control(folder_ + "/.lossy");
  control << "lose" << std::flush;
  if (!control) return fail(Code::internal, "The lossy file system did not take the order.");
  return {};
}

std::string LossyDisk::counts() const {
  std::ifstream in(folder_ + "/.lossy");
  std::string out;
  std::getline(in, out);
  return out;
}

void LossyDisk::unmount() {
  if (folder_.empty()) return;
  umount2(folder_.c_str(), MNT_DETACH);
  child_.end(SIGTERM, 3'000);
  folder_.clear();
}

}  // namespace twinwire::bench
