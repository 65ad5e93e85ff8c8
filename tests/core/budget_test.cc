// The memory of idle connections (limits.h): measured on the heap with a whole engine, and added up part by
// part.
#include <gtest/gtest.h>
#include <malloc.h>

#include "core/engine.h"
#include "core/limits.h"
#include "core/shard.h"
#include "tests/support/engine_parts.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace twinwire {
namespace {

// What the heap has given out, the allocator's own headers and rounding included (without them under a
// sanitizer).
size_t heap_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return __sanitizer_get_current_allocated_bytes();
#else
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

// The one allocation that a connection makes for itself alone is its user's Name; everything else is in slabs
// and tables. The server's allocator (mimalloc) gives it the next 16 bytes; glibc's, which counts here, adds
// its header.
size_t allocator_difference() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#else
  constexpr size_t kName = 31;  // Name's header, tenant "default", 12 bytes of user
  void* name = std::malloc(kName);
  size_t difference = malloc_usable_size(name) + sizeof(size_t) - (kName + 15) / 16 * 16;
  std::free(name);
  return difference;
#endif
}

// Sockets that take everything; counts what was sent.
class Sink final : public Transport {
 public:
  void send(ConnectionId, const char*, size_t size) override { bytes += size; }
  void submit() override {}
  void want_writable(ConnectionId) override {}
  void close(ConnectionId) override {}
  void reply(ConnectionId, std::string_view, const Reply&) override {}
  void stream_opened(ConnectionId) override { opened++; }
  uint64_t bytes = 0, opened = 0;
};

class CrowdedEngine {
 public:
  explicit CrowdedEngine(AuthMode mode) {
    config_.auth.mode = mode;
    engine_ = std::make_unique<Engine>(log_.parts(config_, clock_), std::vector<Transport*>{&sink},
                                       std::vector<Random*>{&random_});
  }
  void open(uint32_t n) {
    Shard& shard = engine_->shard(ShardIndex{0});
    shard.connection_opened(ConnectionId{n}, 1);
    StreamRequest request;
    char name[13];
    std::snprintf(name, sizeof name, "user%08u", n);
    request.who.user = Name("default", name);
    request.rooms = {"lobby"};
    if (config_.auth.mode == AuthMode::jwt) {
      // Each brings a token of its own, with one of a few sets of grants.
      auto grants = std::make_shared<Grants>();
      grants->lines.push_back({n % 2 ? "*" : "lob*", Rights::all()});
      request.who.grants = std::move(grants);
      request.who.expires_wall_ms = clock_.wall_ms() + 3'600'000 + n;
    }
    shard.open_stream(ConnectionId{n}, std::move(request));
  }
  // Ticks until nothing is left to do, timers included.
  void settle() {
    Shard& shard = engine_->shard(ShardIndex{0});
    for (int second = 0; second < 5; second++) {
      for (int tick = 0; tick < 200; tick++) {
        shard.tick();
        log_.write();
      }
      clock_.now += 1100;
    }
  }
  uint32_t sessions() { return engine_->shard(ShardIndex{0}).sessions().session_count(); }

  Sink sink;

 private:
  Config config_;
  test::StoredLog log_;
  test::MovedClock clock_;
  test::CountingRandom random_;
  std::unique_ptr<Engine> engine_;
};

void measure(AuthMode mode) {
  CrowdedEngine small(mode);
  // First some, so that what grows once is there; the tables of 20,000 are about in the middle of two
  // doublings.
  constexpr uint32_t kFirst = 2000, kAll = 22000;
  for (uint32_t n = 0; n < kFirst; n++) small.open(n);
  small.settle();
  const size_t before = heap_bytes();
  for (uint32_t n = kFirst; n < kAll; n++) {
    small.open(n);
    if (n % 1000 == 0) small.settle();
  }
  small.settle();
  const size_t after = heap_bytes();
  ASSERT_EQ(small.sessions(), kAll);
  ASSERT_GT(small.sink.bytes, kAll * 100u) << "the streams were not opened";
  double each =
      static_cast<double>(after - before) / (kAll - kFirst) - static_cast<double>(allocator_difference());
  testing::Test::RecordProperty("core_bytes_per_idle_connection", static_cast<int>(each));
  std::printf("an idle connection: %.0f bytes of core, %u of net, of %u\n", each, kNetConnectionBytes,
              kIdleConnectionBytes);
  EXPECT_LE(each + kNetConnectionBytes, kIdleConnectionBytes);
}

TEST(Budget, MeasuredOnTheHeap) { measure(AuthMode::none); }

// A token costs eight bytes; equal grants are kept once.
TEST(Budget, WithTokens) { measure(AuthMode::jwt); }

}  // namespace
}  // namespace twinwire
