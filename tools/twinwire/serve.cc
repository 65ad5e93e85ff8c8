#include "tools/twinwire/serve.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/hash_key.h"
#include "core/page.h"
#include "core/version.h"
#include "net/server.h"
#include "store/store.h"
#include "tools/twinwire/bridge_file.h"
#include "tools/twinwire/cli.h"
#include "tools/twinwire/revocation_file.h"
#include "tools/twinwire/save_hook.h"
#include "tools/twinwire/service_manager.h"

namespace twinwire {
namespace {

class SystemClock final : public Clock {
 public:
  Millis now_ms() const override { return read_us(CLOCK_MONOTONIC) / 1000; }
  uint64_t now_us() const override { return read_us(CLOCK_MONOTONIC); }
  uint64_t wall_ms() const override { return read_us(CLOCK_REALTIME) / 1000; }

 private:
  static uint64_t read_us(clockid_t which) {
    timespec t{};
    clock_gettime(which, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000 + static_cast<uint64_t>(t.tv_nsec) / 1000;
  }
};

// OpenSSL's generator, many numbers at a time.
class SystemRandom final : public Random {
 public:
  uint64_t next() override {
    if (used_ == kBuffered) {
      if (RAND_bytes(reinterpret_cast<unsigned char*>(numbers_), sizeof numbers_) != 1) std::abort();
      used_ = 0;
    }
    return numbers_[used_++];
  }

 private:
  static constexpr size_t kBuffered = 256;  // a call costs as much for these as for a few
  uint64_t numbers_[kBuffered];
  size_t used_ = kBuffered;
};

// Wakes the store's writer; a shard's wake is the loops' matter (LoopWaker).
class WriterWaker final : public Waker {
 public:
  explicit WriterWaker(store::Store& store) : store_(store) {}
  void wake(uint32_t) override { store_.wake_writer(); }

 private:
  store::Store& store_;
};

void set_up_log(const Config& config) {
  auto logger = spdlog::stderr_color_mt("twinwire");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  logger->set_level(static_cast<spdlog::level::level_enum>(config.log.level));
  spdlog::set_default_logger(std::move(logger));
}

uint32_t shard_count(const Config& config) {
  if (config.server.shards > 0) return config.server.shards;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return static_cast<uint32_t>(std::min<long>(std::max<long>(cores, 1), kShardsMax));
}

store::StoreOptions store_options(const Config& config) {
  store::StoreOptions options;
  options.path = config.store.path;
  options.policy = config.server.deliver;
  options.give_up_ms = config.store.give_up_ms;
  options.backlog_events = config.store.backlog_events;
  options.backlog_bytes = config.store.backlog_bytes;
  options.settle_idle_ms = config.store.settle_idle_ms;
  // Under `commit` whoever reads waits for the commit too.
  if (config.server.deliver == DeliverPolicy::publish) options.commit_delay_us = config.store.commit_delay_us;
  options.readers = config.store.readers;
  options.retention_seconds = config.store.retention_seconds;
  options.retention_events = config.store.retention_events;
  options.idempotency_keep_seconds = config.idempotency.keep_seconds;
  options.save_hook = !config.hooks.save_url.empty();
  options.bridges = &config.bridges;
  options.log = [](std::string_view sentence) { spdlog::info("{}", sentence); };
  return options;
}

// The operators' token: the configured one, or a new one in <store.path>/admin.token, readable by its owner
// only.
Result<std::string> operator_token(const Config& config) {
  if (!config.admin.token.empty()) return config.admin.token;
  std::string path = config.store.path + "/admin.token";
  unsigned char bytes[24];
  RAND_bytes(bytes, sizeof bytes);
  std::string token;
  for (unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::string line = token + "\n";
  bool written = file >= 0 && fchmod(file, 0600) == 0 &&
                 write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (file >= 0) ::close(file);
  if (!written)
    return fail(Code::internal, "cannot write " + path + "; set admin.token in the configuration");
  return token;
}

// SIGTERM, SIGINT, SIGHUP arrive on a descriptor; every thread started later inherits the blocked mask.
int block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

// Waits for the next signal, at most `ms` (-1: without end), and meanwhile syncs what was revoked. 0: none
// came.
int next_signal(int signals, RevocationFile& revoked, int ms) {
  pollfd wanted[2] = {{signals, POLLIN, 0}, {revoked.wanted(), POLLIN, 0}};
  if (poll(wanted, 2, ms) <= 0) return 0;
  if (wanted[1].revents) revoked.sync();
  if (!wanted[0].revents) return 0;
  signalfd_siginfo info{};
  return read(signals, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

// Settings that SIGHUP applies; everything else waits for a restart.
bool reloads(std::string_view key) {
  constexpr std::string_view kReloaded[] = {"auth.algorithms",     "auth.secret",     "auth.secret_file",
                                            "auth.key_files",      "auth.issuer",     "auth.audience",
                                            "auth.leeway_seconds", "auth.user_claim", "auth.tenant_claim",
                                            "auth.api_keys",       "log.level"};
  return std::find(std::begin(kReloaded), std::end(kReloaded), key) != std::end(kReloaded);
}

// Applies what can be applied and names what cannot. What is wrong changes nothing.
void reload_config(Server& server, const Config& running, Config& applied,
                   const std::function<Result<Config>()>& reload) {
  auto read = reload();
  if (!read) return spdlog::error("SIGHUP: {}; everything stays as it was", read.error().sentence);
  Config wanted = std::move(*read), now = running;
  std::string waiting;
  auto wanted_fields = config_fields(wanted), now_fields = config_fields(now);
  auto shown = [](const ConfigField& field, const Config& of) {
    std::string plain = field_as_toml(field);
    return plain + exceptions_as_toml(field.key, plain, of.bridges.common);
  };
  for (size_t i = 0; i < now_fields.size(); i++) {
    if (reloads(now_fields[i].key) || shown(now_fields[i], now) == shown(wanted_fields[i], wanted)) continue;
    waiting += (waiting.empty() ? "" : ", ") + std::string(now_fields[i].key);
  }
  if (bridges_as_toml(now) != bridges_as_toml(wanted))
    waiting += (waiting.empty() ? "" : ", ") + std::string("the tables of bridges (routes, types, tenants)");
  // The mode and the names are those of the start.
  wanted.auth.mode = running.auth.mode;
  wanted.server = running.server;
  wanted.limits = running.limits;
  if (auto ok = server.reload_auth(wanted); ok)
    spdlog::info("SIGHUP: keys, API keys and the rules for tokens are as configured now");
  else
    spdlog::error("SIGHUP: {}; keys and rules for tokens stay as they were", ok.error().sentence);
  if (wanted.log.level != applied.log.level) {
    spdlog::set_level(static_cast<spdlog::level::level_enum>(wanted.log.level));
    spdlog::info("SIGHUP: log.level has changed");
  }
  applied = std::move(wanted);
  if (!waiting.empty()) spdlog::warn("SIGHUP: these have changed and need a restart: {}", waiting);
}

// Tells the service manager four times in its watchdog's time that the server lives, unless a shard hangs.
class Watchdog {
 public:
  Watchdog(ServiceManager& manager, Server& server, const Clock& clock)
      : manager_(manager), server_(server), clock_(clock) {}
  // In how many milliseconds to come again; -1: nobody watches.
  int beat() {
    if (manager_.watchdog_ms() == 0) return -1;
    Millis step = std::max<Millis>(manager_.watchdog_ms() / 4, 1), now = clock_.now_ms();
    if (now >= next_ms_) {
      if (server_.all_came_round()) (void)manager_.alive();
      next_ms_ = now + step;
    }
    return static_cast<int>(std::min<Millis>(next_ms_ - now, 60'000));
  }

 private:
  ServiceManager& manager_;
  Server& server_;
  const Clock& clock_;
  Millis next_ms_ = 0;
};

void wait_for_the_end(int signals, Server& server, Engine& engine, RevocationFile& revoked,
                      ServiceManager& manager, const std::function<Result<Config>()>& reload) {
  const Config& config = engine.config();
  Config applied = config;
  Watchdog watchdog(manager, server, engine.clock());
  for (;;) {
    int signal = next_signal(signals, revoked, watchdog.beat());
    if (signal == SIGHUP) reload_config(server, config, applied, reload);
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  spdlog::info("draining: every stream is told, over {} s; a second signal ends at once",
               config.drain.seconds);
  (void)manager.stopping("draining");
  engine.start_draining();
  server.drain();
  int left_ms = static_cast<int>(config.drain.seconds) * 1000 + 2000;
  for (; left_ms > 0 && !server.drained(); left_ms -= 20) {
    // No beat: one behind STOPPING=1 would set the watchdog on a last commit that takes its time.
    int signal = next_signal(signals, revoked, 20);
    if (signal == SIGTERM || signal == SIGINT) break;
  }
}

// A manager that cannot be told is no reason not to serve.
ServiceManager service_manager() {
  auto opened = ServiceManager::open(ServiceManager::environment());
  if (opened) return std::move(*opened);
  spdlog::warn("{}; the service manager is told nothing", opened.error().sentence);
  return {};
}

int start_failed(const Error& error) {
  spdlog::error("cannot start: {}", error.sentence);
  return kExitFailure;
}

}  // namespace

int run_server(const Config& config, const std::function<Result<Config>()>& reload) {
  set_up_log(config);
  int signals = block_signals();
  ServiceManager manager = service_manager();
  SystemClock clock;
  SystemRandom random;
  set_hash_key(random.next());
  auto store = store::Store::open(store_options(config), clock, random);
  if (!store) return start_failed(store.error());
  auto token = operator_token(config);
  if (!token) return start_failed(token.error());
  uint32_t shards = shard_count(config);
  auto server = Server::open({config, clock, embedded_pages(), *token, shards});
  if (!server) return start_failed(server.error());

  const StoreBoot& boot = (*store)->boot();
  WriterWaker writer_waker(**store);
  LoopWaker waker(**server, shards, writer_waker);
  Ring::Options ring_options;
  ring_options.slots = config.ring.slots;
  ring_options.bytes = config.ring.bytes;
  ring_options.shards = shards;
  ring_options.first = boot.first;
  ring_options.lease_end = boot.lease_end;
  ring_options.wake_writer_always = config.server.deliver == DeliverPolicy::commit;
  Ring ring(ring_options, waker);
  Durability durability(boot.settled, boot.first);
  Engine* engine_for_trims = nullptr;
  SystemRandom hook_random;
  std::unique_ptr<SaveHook> hook;
  store::StoreCallbacks callbacks;
  callbacks.on_progress = [&](bool settled) {
    if (settled && hook) hook->wake();
    for (uint64_t mask = durability.take_waiting(); mask; mask &= mask - 1)
      ring.wake_if_sleeping(static_cast<uint32_t>(__builtin_ctzll(mask)));
  };
  callbacks.on_trimmed = [&](RoomId room, Sequence upto) { engine_for_trims->room_trimmed(room, upto); };
  (*store)->attach(ring, durability, callbacks);
  std::vector<SystemRandom> randoms(shards);
  std::vector<Random*> random_of;
  for (SystemRandom& each : randoms) random_of.push_back(&each);
  Engine engine({config, boot, clock, ring, durability, (*store)->history()}, (*server)->transports(),
                random_of);
  engine_for_trims = &engine;
  auto revoked = RevocationFile::open(config.store.path + "/revocations", engine.revocations());
  if (!revoked) return start_failed(revoked.error());
  engine.revocations().on_add = [&](const Revocations::Entry& entry) {
    if (!(*revoked)->append(entry))
      spdlog::error("the revocation of {} could not be written: it holds until a restart; revoke again",
                    entry.user.text());
  };
  if (store::HookQueue* queue = (*store)->hook_queue()) {
    auto url = parse_http_url(config.hooks.save_url);
    if (!url) return start_failed(url.error());
    if (auto opened = queue->open(); !opened) return start_failed(opened.error());
    hook = std::make_unique<SaveHook>(
        SaveHook::Parts{config.hooks, *queue, durability, clock, boot.epoch,
                        [&hook_random] { return hook_random.next(); },
                        [](std::string_view sentence) { spdlog::warn("{}", sentence); },
                        [](std::string_view sentence) { spdlog::error("{}", sentence); }},
        std::move(*url));
  }
  (*store)->start();
  (*server)->start(engine);

  if (hook) hook->start();

  std::string at = (*server)->public_address().text();
  spdlog::info("twinwire {} serves at {} ({}), deliver = {}, data in {}", version(), at,
               (*server)->describe(), config.server.deliver == DeliverPolicy::commit ? "commit" : "publish",
               config.store.path);
  if (config.auth.mode == AuthMode::none)
    spdlog::warn("auth.mode = none: whoever connects is who they say they are. For development only.");
  std::printf("twinwire ready: http://%s/  admin http://%s/\n", at.c_str(),
              (*server)->operator_address().text().c_str());
  std::fflush(stdout);
  if (!manager.ready("serves at " + at)) spdlog::warn("the service manager at NOTIFY_SOCKET cannot be told");

  wait_for_the_end(signals, **server, engine, **revoked, manager, reload);
  (*server)->stop();
  bool stored = (*store)->stop();
  if (hook) hook->stop();
  if (!stored) {
    spdlog::error(
        "stopped, but the store could not take everything that was accepted; its senders were not told "
        "`stored`");
    return kExitFailure;
  }
  spdlog::info("stopped; everything accepted is stored");
  return kExitOk;
}

}  // namespace twinwire
