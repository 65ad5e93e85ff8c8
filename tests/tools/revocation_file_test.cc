// The list of revoked users over a restart, and over a disk that took only a part of a line.
#include "tools/twinwire/revocation_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>

namespace twinwire {
namespace {

TEST(RevocationFile, ALineThatWasCutTakesNoOtherWithIt) {
  std::string path = testing::TempDir() + "twinwire-revocations";
  std::remove(path.c_str());
  {
    Revocations revocations;
    auto file = RevocationFile::open(path, revocations);
    ASSERT_TRUE(file) << file.error().sentence;
    EXPECT_TRUE((*file)->append({Name("t", "ann"), 1000}));
    // The disk is full in the middle of the next one.
    signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit full = before;
    full.rlim_cur = std::filesystem::file_size(path) + 8;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    bool written = (*file)->append({Name("t", "bob"), 2000});
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_FALSE(written) << "who revoked is told";
    EXPECT_TRUE((*file)->append({Name("t", "cat"), 3000}));
    EXPECT_TRUE((*file)->append({Name("t", "dan"), 4000}));
  }
  Revocations again;
  auto file = RevocationFile::open(path, again);
  ASSERT_TRUE(file);
  auto refused = [&](std::string_view user, uint64_t issued) {
    Identity who;
    who.user = Name("t", user);
    who.issued_wall_ms = issued;
    return again.refuses(who);
  };
  EXPECT_TRUE(refused("ann", 1000));
  EXPECT_FALSE(refused("ann", 1001));
  EXPECT_FALSE(refused("bob", 1));
  EXPECT_TRUE(refused("cat", 3000));
  EXPECT_TRUE(refused("dan", 4000));
  EXPECT_EQ(again.list().size(), 3u);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace twinwire
