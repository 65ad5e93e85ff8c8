// The save hook's small parts: addresses, signatures, back-off. The whole is tested against a real receiver
// in tests/e2e/hook.test.mjs.
#include "tools/twinwire/save_hook.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/model_database.h"
#include "tools/twinwire/http_post.h"

namespace twinwire {
namespace {

std::string parts(std::string_view text) {
  auto url = parse_http_url(text);
  return url ? url->host + " " + url->port + " " + url->target + " " + url->authority() : "refused";
}

TEST(HttpUrl, TakesApart) {
  EXPECT_EQ(parts("http://backend"), "backend 80 / backend");
  EXPECT_EQ(parts("http://backend:8080/api/save?x=1#no"), "backend 8080 /api/save?x=1 backend:8080");
  EXPECT_EQ(parts("http://[::1]:90/a"), "::1 90 /a [::1]:90");
  EXPECT_EQ(parts("http://[::1]"), "::1 80 / [::1]");
  EXPECT_EQ(parts("http://h?q"), "h 80 /?q h");
  for (const char* bad : {"https://h/", "h:80", "http://", "http://:80/", "http://h:port/", "http://h:/",
                          "http://u@h/", "http://h/a b", "http://h/\r\nX: y", "http://[::1"})
    EXPECT_EQ(parts(bad), "refused") << bad;
}

TEST(HookSignature, IsTheHmacOfTimeAndBody) {
  // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
  EXPECT_EQ(hook_signature("secret", 1'700'000'000, "{}"),
            "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
  EXPECT_NE(hook_signature("secret", 1'700'000'001, "{}").substr(13),
            hook_signature("secret", 1'700'000'000, "{}").substr(13));
}

TEST(HookBackOff, DoublesWithJitterUpToTheBound) {
  for (uint64_t random : {uint64_t{0}, uint64_t{12345}, UINT64_MAX}) {
    for (uint32_t n = 1; n < 40; n++) {
      Millis wait = hook_back_off(n, 30'000, random),
             whole = std::min<Millis>(30'000, 200ull << std::min(n - 1, 20u));
      EXPECT_GE(wait, whole / 2);
      EXPECT_LE(wait, whole);
    }
  }
  EXPECT_NE(hook_back_off(3, 30'000, 1), hook_back_off(3, 30'000, 2));
}

TEST(HookRetryAfter, IsSecondsOrADateAndAnHourAtMost) {
  constexpr uint64_t kNow = 784'111'777'000;  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(hook_asked_wait("7", kNow), 7'000u);
  EXPECT_EQ(hook_asked_wait("0", kNow), 0u);
  EXPECT_EQ(hook_asked_wait("99999", kNow), 3'600'000u);
  EXPECT_EQ(hook_asked_wait("18446744073709551615", kNow), 3'600'000u);
  EXPECT_EQ(hook_asked_wait("Sun, 06 Nov 1994 08:50:07 GMT", kNow), 30'000u);
  EXPECT_EQ(hook_asked_wait("Sun, 06 Nov 1994 08:49:37 GMT", kNow), 0u);
  EXPECT_EQ(hook_asked_wait("Sun, 06 Nov 1994 08:49:36 GMT", kNow), 0u) << "that was before";
  EXPECT_EQ(hook_asked_wait("Mon, 07 Nov 1994 08:49:37 GMT", kNow), 3'600'000u);
  for (const char* bad :
       {"", "soon", "-1", "7.5", "7 ", "Sun, 06 Nov 1994 08:50:07", "Sun, 06 Nov 1994 08:50:07 GMT+1"})
    EXPECT_EQ(hook_asked_wait(bad, kNow), 0u) << bad;
}

class StillClock final : public Clock {
 public:
  Millis now_ms() const override { return 1'000; }
  uint64_t wall_ms() const override { return 1'700'000'000'000; }
};

// The only entry says nothing: there is nothing to send, and the hook does not stand before it for ever.
TEST(SaveHook, GoesPastWhatCannotBeRead) {
  sim::ModelDatabase database(1);
  StillClock clock;
  store::SharedState shared{store::IdempotencyFilter::Options{}};
  Durability durability(Sequence{0}, Sequence{10});
  auto writes = database.make_write_set();
  writes->put(store::Table::hook, store::hook_key(Sequence{7}), "nonsense");
  ASSERT_TRUE(database.commit(*writes, store::Sync::yes));
  store::HookQueue queue(database, shared, durability, Epoch{0xabc});
  ASSERT_TRUE(queue.open());
  ASSERT_EQ(queue.waiting(), 1u);
  Config::Hooks config;
  std::mutex mutex;
  std::vector<std::string> errors, others;
  auto into = [&mutex](std::vector<std::string>& list) {
    return [&](std::string_view sentence) {
      std::lock_guard lock(mutex);
      list.emplace_back(sentence);
    };
  };
  SaveHook hook({config, queue, durability, clock, Epoch{0xabc}, [] { return uint64_t{1}; }, into(others),
                 into(errors)},
                *parse_http_url("http://127.0.0.1:1/"));
  hook.start();
  for (int i = 0; i < 1'000 && durability.hook.unreadable.load() == 0; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  hook.stop();
  EXPECT_EQ(durability.hook.unreadable.load(), 1u);
  EXPECT_EQ(durability.hook.delivered.load(), 0u);
  EXPECT_EQ(durability.hook.failures.load(), 0u);
  EXPECT_EQ(queue.waiting(), 0u);
  EXPECT_EQ(database.size(store::Table::hook), 0u);
  EXPECT_EQ(others, std::vector<std::string>());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_NE(errors[0].find("1 events cannot be read"), std::string::npos) << errors[0];
  EXPECT_NE(errors[0].find(Cursor{Epoch{0xabc}, Sequence{7}}.text()), std::string::npos) << errors[0];
}

}  // namespace
}  // namespace twinwire
