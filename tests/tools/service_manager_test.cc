// What a service manager hears, over real sockets, and which variables make it be told. When the server says
// what is tested in tests/e2e/start_stop.test.mjs.
#include "tools/twinwire/service_manager.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace twinwire {
namespace {

// The manager's end: a bound datagram socket.
class Bound {
 public:
  explicit Bound(const std::string& name)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    memcpy(at.sun_path, name.data(), name.size());
    size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (name[0] == '@' ? 0 : 1);
    if (name[0] == '@') at.sun_path[0] = '\0';
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&at), static_cast<socklen_t>(size)), 0) << name;
    if (name[0] == '/') path_ = name;
  }
  ~Bound() {
    close(fd_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  // The next datagram; "" if there is none.
  std::string next() {
    char bytes[4096];
    ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    return n < 0 ? "" : std::string(bytes, static_cast<size_t>(n));
  }

 private:
  int fd_;
  std::string path_;
};

TEST(ServiceManager, IsToldByPathAndByAbstractName) {
  std::string own = "twinwire-manager-" + std::to_string(getpid());
  for (const std::string& name : {"/tmp/" + own, "@" + own}) {
    Bound bound(name);
    auto manager = ServiceManager::open({.notify_socket = name.c_str()});
    ASSERT_TRUE(manager) << name;
    EXPECT_TRUE(manager->ready("serves\nMAINPID=1"));
    EXPECT_TRUE(manager->alive());
    EXPECT_TRUE(manager->stopping("draining"));
    EXPECT_EQ(bound.next(), "READY=1\nSTATUS=serves MAINPID=1") << "a status is one line";
    EXPECT_EQ(bound.next(), "WATCHDOG=1");
    EXPECT_EQ(bound.next(), "STOPPING=1\nSTATUS=draining");
    EXPECT_EQ(bound.next(), "");
  }
}

TEST(ServiceManager, WithoutASocketNothingIsSentAndNothingFails) {
  for (const char* none : {static_cast<const char*>(nullptr), ""}) {
    auto manager = ServiceManager::open({.notify_socket = none, .watchdog_usec = "1000000"});
    ASSERT_TRUE(manager);
    EXPECT_TRUE(manager->ready("serves"));
    EXPECT_EQ(manager->watchdog_ms(), 0u);
  }
}

TEST(ServiceManager, NamesThatAreNoneAndManagersThatHaveGone) {
  for (const std::string& bad : {std::string("vsock:2:1"), std::string("@"), std::string("relative"),
                                 "/" + std::string(sizeof(sockaddr_un::sun_path), 'x')})
    EXPECT_FALSE(ServiceManager::open({.notify_socket = bad.c_str()})) << bad;
  auto gone = ServiceManager::open({.notify_socket = "/tmp/twinwire-nobody-is-here"});
  ASSERT_TRUE(gone);
  EXPECT_FALSE(gone->ready("serves"));
}

TEST(ServiceManager, TheWatchdogIsForTheProcessItNames) {
  std::string self = std::to_string(getpid()), other = std::to_string(getpid() + 1);
  auto wanted = [](const char* usec, const char* pid) {
    auto manager =
        ServiceManager::open({.notify_socket = "/tmp/x", .watchdog_usec = usec, .watchdog_pid = pid});
    return manager ? manager->watchdog_ms() : UINT64_MAX;
  };
  EXPECT_EQ(wanted("30000000", nullptr), 30'000u);
  EXPECT_EQ(wanted("30000000", self.c_str()), 30'000u);
  EXPECT_EQ(wanted("30000000", other.c_str()), 0u);
  EXPECT_EQ(wanted("10", nullptr), 1u) << "below a millisecond";
  for (const char* none : {"0", "", "often", "-1", "1s"}) EXPECT_EQ(wanted(none, nullptr), 0u) << none;
  EXPECT_EQ(wanted(nullptr, self.c_str()), 0u);
}

}  // namespace
}  // namespace twinwire
