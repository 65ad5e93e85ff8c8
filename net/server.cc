#include "net/server.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "core/engine.h"
#include "core/shard.h"

namespace twinwire {
namespace {

// Where nobody said how many connections: room for so many, in all, within the rings that are sensible.
constexpr uint32_t kConnectionsWanted = 65536;
constexpr uint32_t kTableMax = 32768;
constexpr uint32_t kRingsChosenMax = 8;
constexpr uint32_t kSleepMaxMs = 60000;
// After drain.seconds: what is still open then is cut.
constexpr Millis kFinishMs = 2000;

// The loop of the calling thread, if it is a shard's.
thread_local Loop* own_loop = nullptr;

// As many descriptors as the system lets us have; every direct table may be that large.
uint32_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1 << 20);
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<uint32_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
}

OriginOptions public_options(const Config& config) { return {config.origins.allow, {}}; }

}  // namespace

Server::Server(Options options, std::unique_ptr<Authenticator> authenticator)
    : options_(options),
      authenticator_(std::move(authenticator)),
      public_origins_(public_options(options.config)),
      operator_origins_(OriginOptions{}),
      admission_(options.config.server.max_connections, options.config.server.max_connections_per_address) {
  TW_CHECK(!options_.operator_token.empty());
  TW_CHECK(options_.shards >= 1 && options_.shards <= kShardsMax);
  shared_ = std::make_unique<GatewayShared>(GatewayShared{options_.config, options_.clock, options_.pages,
                                                          *authenticator_, public_origins_, operator_origins_,
                                                          admission_, options_.operator_token});
}

Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::open(Options options) {
  auto authenticator = Authenticator::make(options.config);
  if (!authenticator) return authenticator.error();
  std::unique_ptr<Server> self(new Server(options, std::move(*authenticator)));
  auto probes = probe_kernel(options.config.debug.probes_off);
  if (!probes) return probes.error();
  self->probes_ = std::move(*probes);
  if (auto ok = self->open_loops(); !ok) return ok.error();
  if (auto ok = self->open_listeners(); !ok) return ok.error();
  return self;
}

Result<void> Server::open_loops() {
  const Config::Server& config = options_.config.server;
  uint32_t limit = raise_descriptor_limit();
  LoopOptions loop;
  uint32_t& table = loop.ring.table_slots;
  table = config.descriptors_per_ring ? config.descriptors_per_ring : std::min(limit, kTableMax);
  loop.rings = config.rings_per_shard;
  if (loop.rings == 0) {
    uint32_t wanted =
        config.max_connections ? config.max_connections + config.max_connections / 4 : kConnectionsWanted;
    uint64_t per_ring = uint64_t{options_.shards} * table;
    loop.rings =
        static_cast<uint32_t>(std::clamp<uint64_t>((wanted + per_ring - 1) / per_ring, 1, kRingsChosenMax));
  }
  if (loop.rings > kRingsMax) {
    return fail(Code::invalid_argument, "server.rings_per_shard is at most " + std::to_string(kRingsMax));
  }
  for (uint32_t i = 0; i < options_.shards; i++) {
    auto thread = std::make_unique<ShardThread>();
    thread->index = i;
    auto opened = Loop::open(loop);
    if (!opened) return opened.error();
    thread->loop = std::move(*opened);
    thread->gateway = std::make_unique<Gateway>(*shared_, *thread->loop);
    threads_.push_back(std::move(thread));
  }
  return {};
}

namespace {

// The rings of a process that was killed let go of its listener a moment after it has died: a supervisor that
// restarts at once must not meet that, so a port in use is asked for again for a few seconds.
Result<Listener> open_patiently(const Address& where, const ListenerOptions& options) {
  for (int tries = 60;; tries--) {
    auto listener = Listener::open(where, options);
    if (listener || errno != EADDRINUSE || tries == 0) return listener;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

Result<void> Server::open_listeners() {
  auto where = Address::parse(options_.config.server.listen);
  if (!where) return where.error();
  auto operators = Address::parse(options_.config.admin.listen);
  if (!operators) return operators.error();
  ListenerOptions options;
  bool several = threads_.size() > 1;
  if (several && where->port() != 0) {
    // With SO_REUSEPORT a second server would quietly share the port of the first: ask once without.
    options.reuse_port = false;
    auto probe = open_patiently(*where, options);
    if (!probe) return probe.error();
  }
  options.reuse_port = several;
  for (auto& thread : threads_) {
    auto listener = open_patiently(*where, options);
    if (!listener) return listener.error();
    thread->listener = std::move(*listener);
    where->set_port(thread->listener.address().port());
  }
  public_address_ = threads_[0]->listener.address();
  options.reuse_port = false;
  auto listener = open_patiently(*operators, options);
  if (!listener) return listener.error();
  operator_listener_ = std::move(*listener);
  return {};
}

std::vector<Transport*> Server::transports() {
  std::vector<Transport*> out;
  for (auto& thread : threads_) out.push_back(thread->gateway.get());
  return out;
}

std::string Server::describe() const {
  Loop& loop = *threads_[0]->loop;
  return std::to_string(threads_.size()) + " shards, " + std::to_string(threads_.size() * loop.ring_count()) +
         " rings of " + std::to_string(loop.ring(RingIndex(0)).table_slots()) + " places, kernel " +
         probes_.kernel + " (" + probes_.text() + ")";
}

void Server::start(Engine& engine) {
  engine_ = &engine;
  for (auto& thread : threads_) {
    thread->gateway->bind(engine, engine.shard(ShardIndex(static_cast<uint8_t>(thread->index))));
    thread->thread = std::thread([this, &engine, self = thread.get()] { run(*self, engine); });
  }
}

void Server::wake(uint32_t shard) {
  Loop& loop = *threads_[shard]->loop;
  if (own_loop == &loop) return;
  if (own_loop) return loop.wake_from(*own_loop);
  loop.wake();
}

bool Server::all_came_round() {
  bool all = true;
  for (auto& thread : threads_) {
    // Partner: run(). Nothing else is told by it.
    all &= thread->came_round.exchange(false, std::memory_order_relaxed);
    thread->loop->wake();
  }
  return all;
}

void Server::drain() {
  if (engine_) engine_->start_draining();
  for (auto& thread : threads_) {
    thread->gateway->request_drain();
    thread->loop->wake();
  }
}

bool Server::drained() const {
  return std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) {
    return thread->drained.load(std::memory_order_acquire);  // partner: run()
  });
}

void Server::stop() {
  stopping_.store(true, std::memory_order_release);  // partner: run()
  for (auto& thread : threads_) {
    if (!thread->thread.joinable()) continue;
    thread->loop->wake();
    thread->thread.join();
  }
}

void Server::pin(const ShardThread& self) const {
  std::string name = "shard-" + std::to_string(self.index);
  pthread_setname_np(pthread_self(), name.c_str());
  if (!options_.config.server.pin) return;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  auto cores = static_cast<uint32_t>(CPU_COUNT(&allowed));
  // Beyond one shard per core, which core a shard should have is the scheduler's to say.
  if (self.index >= cores || options_.shards > cores) return;
  uint32_t left = self.index;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || left-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

void Server::run(ShardThread& self, Engine& engine) {
  pin(self);
  own_loop = self.loop.get();
  self.loop->attach();
  Shard& shard = engine.shard(ShardIndex(static_cast<uint8_t>(self.index)));
  const Listener* listeners[] = {&self.listener, &operator_listener_};
  self.gateway->sockets().start(std::span(listeners).first(self.index == 0 ? 2 : 1));
  while (!stopping_.load(std::memory_order_acquire)) {  // partner: stop()
    turn(self, shard);
    self.drained.store(self.gateway->drained(), std::memory_order_release);  // partner: drained()
    self.came_round.store(true, std::memory_order_relaxed);                  // partner: all_came_round()
    if (self.gateway->busy() || self.loop->ready() || !shard.idle()) continue;
    // A wake-up by stop() that this turn has taken already must not be slept over.
    if (stopping_.load(std::memory_order_acquire)) break;  // partner: stop()
    Millis now = options_.clock.now_ms();
    Millis until = std::min(shard.next_deadline(), self.gateway->next_deadline());
    self.loop->wait(static_cast<uint32_t>(until <= now ? 0 : std::min<Millis>(until - now, kSleepMaxMs)));
    shard.awake();
  }
  finish(self, shard);
  own_loop = nullptr;
}

// What arrived becomes commands before the tick, and what the tick made leaves with it.
void Server::turn(ShardThread& self, Shard& shard) {
  Sockets& sockets = self.gateway->sockets();
  self.gateway->turn(options_.clock.now_ms());
  sockets.handle(self.loop->poll());
  if (self.loop->prepared()) {  // receives that the polls asked for: their bytes are mostly there at once
    self.loop->submit();
    sockets.handle(self.loop->poll());
  }
  shard.tick();
}

// Cuts what is left, and waits until the kernel has let go of everything that is ours.
void Server::finish(ShardThread& self, Shard& shard) {
  Sockets& sockets = self.gateway->sockets();
  sockets.stop_accepting();
  sockets.abort_all();
  Millis end = options_.clock.now_ms() + kFinishMs;
  while (!sockets.quiet() && options_.clock.now_ms() < end) {
    turn(self, shard);
    self.loop->wait(sockets.quiet() ? 0 : 10);
  }
}

}  // namespace twinwire
