#include "tools/twinwire/save_hook.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <optional>

namespace twinwire {
namespace {

constexpr Millis kBackOffMs = 200;
constexpr Millis kNapMs = 1'000;           // asleep at most, whatever happens
constexpr Millis kAskedMaxMs = 3'600'000;  // longest Retry-After that is followed
constexpr Millis kStoreRetryMs = 500;
constexpr uint32_t kToldEvery = 100;  // failures in a row, between two lines of the log

std::string hex(const unsigned char* bytes, size_t size) {
  std::string out;
  for (size_t i = 0; i < size; i++) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7: the one form that is still made), in ms since 1970.
std::optional<uint64_t> http_date_ms(std::string_view text) {
  std::tm parts{};
  std::string whole(text);
  const char* end = strptime(whole.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  time_t seconds = timegm(&parts);
  return seconds < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(seconds) * 1000);
}

}  // namespace

Millis hook_asked_wait(std::string_view retry_after, uint64_t wall_ms) {
  uint64_t seconds = 0;
  auto [end, error] = std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  if (error == std::errc() && end == retry_after.data() + retry_after.size())
    return std::min(seconds, kAskedMaxMs / 1000) * 1000;
  auto date = http_date_ms(retry_after);
  return date && *date > wall_ms ? std::min(*date - wall_ms, kAskedMaxMs) : 0;
}

std::string hook_signature(std::string_view secret, uint64_t wall_seconds, std::string_view body) {
  std::string signed_text = std::to_string(wall_seconds) + "." + std::string(body);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), mac, &size);
  return "t=" + std::to_string(wall_seconds) + ",v1=" + hex(mac, size);
}

Millis hook_back_off(uint32_t failures, Millis max_ms, uint64_t random) {
  Millis whole = std::min(max_ms, kBackOffMs << std::min<uint32_t>(failures - 1, 20));
  return whole / 2 + random % (whole / 2 + 1);
}

SaveHook::SaveHook(Parts parts, HttpUrl url)
    : parts_(std::move(parts)),
      post_(std::move(url), parts_.config.timeout_ms),
      events_max_(parts_.config.batch_events) {}

void SaveHook::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "tw-hook");
}

void SaveHook::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);  // partner: run(), HttpPost
  signal_.raise(true);
  thread_.join();
}

// Sleeps `ms` unless stopped; new events do not shorten a back-off.
void SaveHook::rest(Millis ms) {
  Millis until = parts_.clock.now_ms() + ms;
  for (Millis now = parts_.clock.now_ms(); now < until && !stopping_.load(std::memory_order_acquire);
       now = parts_.clock.now_ms()) {
    uint32_t epoch = signal_.epoch();
    if (!stopping_.load(std::memory_order_acquire)) signal_.wait(epoch, std::min<Millis>(until - now, 100));
  }
}

void SaveHook::run() {
  while (!stopping_.load(std::memory_order_acquire)) {
    uint32_t epoch = signal_.epoch();
    auto cut = parts_.queue.cut(parts_.config.queue_events);
    if (cut && *cut > 0) {
      parts_.durability.hook.dropped.fetch_add(*cut, std::memory_order_relaxed);
      parts_.log(fmt::format("save hook: {} events dropped, more than hooks.queue_events waited", *cut));
    }
    auto batch = parts_.queue.next(events_max_, parts_.config.batch_bytes);
    if (!batch) {
      rest(after_failure(batch.error().sentence, kStoreRetryMs));
      continue;
    }
    tell_lag(batch->oldest_wall_ms);
    if (batch->entries == 0) {
      signal_.wait(epoch, kNapMs);
      continue;
    }
    // The same batch until it is taken, so that a retry looks like one; read anew only where it must get
    // smaller.
    bool delivered = batch->json.empty(), again = false;
    while (!delivered && !again && !stopping_.load(std::memory_order_acquire)) {
      delivered = deliver(*batch);
      again = parts_.queue.waiting() > parts_.config.queue_events || events_max_ < batch->json.size();
    }
    if (!delivered) continue;
    while (!stopping_.load(std::memory_order_acquire)) {
      if (auto taken = parts_.queue.taken(batch->last, batch->entries); taken) {
        tell_unreadable(*batch);
        break;
      }
      rest(kStoreRetryMs);
    }
  }
}

// One try. False: it failed, and the wait before the next is over.
bool SaveHook::deliver(const store::HookQueue::Batch& batch) {
  body_ = "{\"events\":[";
  for (const std::string& json : batch.json) body_.append(body_.back() == '[' ? "" : ",").append(json);
  body_ += "],\"lastEventId\":\"" + Cursor{parts_.epoch, batch.last}.text() + "\"}";
  HttpPostFields fields;
  const Config::Hooks& config = parts_.config;
  if (!config.authorization.empty()) fields.emplace_back("Authorization", config.authorization);
  if (!config.secret.empty()) {
    uint64_t seconds = parts_.clock.wall_ms() / 1000;
    fields.emplace_back("Twinwire-Signature", hook_signature(config.secret, seconds, body_));
  }
  auto answer = post_.post(body_, fields, stopping_);
  if (body_.capacity() > (4u << 20)) std::string().swap(body_);
  if (answer && answer->status >= 200 && answer->status < 300) {
    if (failures_ > 0) parts_.log(fmt::format("save hook: delivered again after {} failures", failures_));
    failures_ = 0;
    events_max_ = std::min(config.batch_events, events_max_ + 1);
    HookCounters& counters = parts_.durability.hook;
    counters.delivered.fetch_add(batch.json.size(), std::memory_order_relaxed);
    counters.batches.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  if (stopping_.load(std::memory_order_acquire)) return false;
  if (!answer) {
    rest(after_failure(answer.error().sentence, 0));
    return false;
  }
  if (answer->status == 413 && batch.json.size() > 1) {
    events_max_ = static_cast<uint32_t>(batch.json.size() / 2);
    rest(after_failure("answered 413, the next batch is smaller", 1));
    return false;
  }
  rest(after_failure(fmt::format("answered {}", answer->status),
                     hook_asked_wait(answer->retry_after, parts_.clock.wall_ms())));
  return false;
}

// How long to wait now: what the receiver asked for, or longer if the back-off is.
Millis SaveHook::after_failure(const std::string& why, Millis asked_ms) {
  failures_++;
  parts_.durability.hook.failures.fetch_add(1, std::memory_order_relaxed);
  if (failures_ % kToldEvery == 1)
    parts_.log(
        fmt::format("save hook: {}; tried {} times, {} events wait", why, failures_, parts_.queue.waiting()));
  return std::max(asked_ms, hook_back_off(failures_, parts_.config.retry_ms_max, parts_.random()));
}

// Once they lie behind, so that a batch that is sent again does not count them again.
void SaveHook::tell_unreadable(const store::HookQueue::Batch& batch) {
  if (batch.unreadable == 0) return;
  parts_.durability.hook.unreadable.fetch_add(batch.unreadable, std::memory_order_relaxed);
  parts_.log_error(fmt::format("save hook: {} events cannot be read and are passed over, the first is {}",
                               batch.unreadable, Cursor{parts_.epoch, batch.first_unreadable}.text()));
}

void SaveHook::tell_lag(uint64_t oldest_wall_ms) {
  parts_.durability.hook.waiting_since_wall_ms.store(oldest_wall_ms, std::memory_order_relaxed);
}

}  // namespace twinwire
