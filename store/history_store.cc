#include "store/history_store.h"

#include <algorithm>

#include "store/keys.h"

namespace twinwire::store {

namespace {

std::shared_ptr<const ReadAnswer> failed_read() {
  auto answer = std::make_shared<ReadAnswer>();
  answer->failed = true;
  return answer;
}

}  // namespace

HistoryStore::HistoryStore(const HistoryOptions& options, Database& database, const SharedState& shared,
                           const Durability& durability, const Clock& clock)
    : options_(options), database_(database), shared_(shared), durability_(durability), clock_(clock) {}

HistoryStore::~HistoryStore() {
  for (Ask* ask = intake_.exchange(nullptr, std::memory_order_acquire); ask != nullptr;) {
    std::unique_ptr<Ask> owned(ask);
    ask = ask->next;
  }
  for (Job& job : queue_) {
    if (Ask** ask = std::get_if<Ask*>(&job)) delete *ask;
  }
}

// ---- asking: any shard, no lock, no disk ----

bool HistoryStore::admit() {
  counts_.requests.fetch_add(1, std::memory_order_relaxed);
  if (waiting_.fetch_add(1, std::memory_order_relaxed) < options_.requests_max) return true;
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void HistoryStore::enqueue(std::unique_ptr<Ask> ask) {
  Ask* raw = ask.release();
  raw->next = intake_.load(std::memory_order_relaxed);
  // Release, partner: take_in()'s exchange.
  while (
      !intake_.compare_exchange_weak(raw->next, raw, std::memory_order_release, std::memory_order_relaxed)) {
  }
  signal_.raise();
}

void HistoryStore::read(const ReadRequest& request, ReadDone done) {
  if (!admit()) return done(failed_read());
  enqueue(std::make_unique<Ask>(Ask{ReadAsk{request, std::move(done)}}));
}

void HistoryStore::load_room(RoomId room, const Name& name, Done<std::unique_ptr<RoomRecord>> done) {
  if (!admit()) {
    auto record = std::make_unique<RoomRecord>();
    record->failed = true;
    return done(std::move(record));
  }
  enqueue(std::make_unique<Ask>(Ask{RoomAsk{room, name, std::move(done)}}));
}

void HistoryStore::load_user(const Name&, RoomId inbox, Done<std::unique_ptr<UserRecord>> done) {
  if (!admit()) {
    auto record = std::make_unique<UserRecord>();
    record->failed = true;
    return done(std::move(record));
  }
  enqueue(std::make_unique<Ask>(Ask{UserAsk{inbox, std::move(done)}}));
}

void HistoryStore::find_idempotent(RoomId room, const Name& sender, std::string_view client_id,
                                   Done<IdempotencyRecord> done) {
  if (!admit()) {
    IdempotencyRecord record;
    record.failed = true;
    return done(record);
  }
  IdempotencyKey key = idempotency_key(options_.room_key, room, sender, client_id);
  enqueue(std::make_unique<Ask>(Ask{IdempotencyAsk{key, std::move(done)}}));
}

bool HistoryStore::may_know_room(RoomId room) const {
  return shared_.filters.rooms.contains(Filters::fingerprint(room));
}

bool HistoryStore::may_know_user(RoomId inbox) const {
  return shared_.filters.users.contains(Filters::fingerprint(inbox));
}

bool HistoryStore::may_know_idempotent(RoomId room, const Name& sender, std::string_view client_id) const {
  return shared_.filters.ids.may_contain(idempotency_key(options_.room_key, room, sender, client_id));
}

// ---- answering ----

bool HistoryStore::step() {
  if (database_.would_stall()) return false;
  std::vector<std::pair<ReadDone, std::shared_ptr<const ReadAnswer>>> answered;
  std::optional<Job> job;
  bool took;
  {
    std::lock_guard lock(mutex_);
    took = take_in(answered);
    job = next_job();
  }
  for (auto& [done, answer] : answered) done(std::move(answer));
  if (!job) return took;
  if (auto* read = std::get_if<std::shared_ptr<ReadJob>>(&*job)) {
    run(**read, *read);
  } else {
    std::unique_ptr<Ask> ask(std::get<Ask*>(*job));
    run(*ask);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  return true;
}

bool HistoryStore::take_in(std::vector<std::pair<ReadDone, std::shared_ptr<const ReadAnswer>>>& answered) {
  Ask* newest = intake_.exchange(nullptr, std::memory_order_acquire);  // partner: enqueue()
  if (newest == nullptr) return false;
  Ask* oldest = nullptr;
  while (newest != nullptr) {
    Ask* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Ask* ask = oldest;
    oldest = ask->next;
    if (ReadAsk* read = std::get_if<ReadAsk>(&ask->what)) {
      route(*read, answered);
      delete ask;
    } else {
      queue_.push_back(ask);
    }
  }
  return true;
}

// Finds the scan that answers the request: done lately, under way, waiting, or a new one.
void HistoryStore::route(ReadAsk& ask,
                         std::vector<std::pair<ReadDone, std::shared_ptr<const ReadAnswer>>>& answered) {
  const ReadRequest& r = ask.request;
  Sequence upto = std::min(r.upto, durability_.durable());
  ReadKey key{r.room, r.after, r.newest ? upto : Sequence{}, r.max_events, r.max_bytes, r.changes};
  if (const Chunk* chunk = cached(key, upto)) {
    counts_.cached.fetch_add(1, std::memory_order_relaxed);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    answered.emplace_back(std::move(ask.done), chunk->for_upto(upto));
    return;
  }
  if (auto it = running_.find(key); it != running_.end()) {
    ReadJob& job = *it->second;
    if (upto <= job.limit && shared_.versions.of(key.room) == job.version) {
      counts_.shared.fetch_add(1, std::memory_order_relaxed);
      job.waiters.push_back({upto, std::move(ask.done)});
      return;
    }
  }
  std::shared_ptr<ReadJob>& job = pending_[key];
  if (job) {
    counts_.shared.fetch_add(1, std::memory_order_relaxed);
    job->hot = true;
  } else {
    job = std::make_shared<ReadJob>();
    job->key = key;
    job->hot = cache_.contains(key) || running_.contains(key);
    queue_.push_back(job);
  }
  job->waiters.push_back({upto, std::move(ask.done)});
}

std::optional<HistoryStore::Job> HistoryStore::next_job() {
  if (queue_.empty()) return std::nullopt;
  Job job = std::move(queue_.front());
  queue_.pop_front();
  if (auto* read = std::get_if<std::shared_ptr<ReadJob>>(&job)) {
    ReadJob& r = **read;
    pending_.erase(r.key);
    r.version = shared_.versions.of(r.key.room);
    // A chunk asked for by many with growing `upto` (a room in use) is read as far as there is, and serves
    // them all.
    if (r.hot) r.limit = durability_.durable();
    for (const Waiter& waiter : r.waiters) r.limit = std::max(r.limit, waiter.upto);
    if (r.key.newest_upto.value) r.limit = r.key.newest_upto;
    running_[r.key] = *read;
  }
  return job;
}

void HistoryStore::run(ReadJob& job, const std::shared_ptr<ReadJob>& owner) {
  counts_.scans.fetch_add(1, std::memory_order_relaxed);
  RoomReader reader(database_, shared_, durability_, options_.epoch, options_.bridges);
  ReadRequest request;
  request.room = job.key.room;
  request.after = job.key.after;
  request.upto = job.limit;
  request.max_events = job.key.max_events;
  request.max_bytes = job.key.max_bytes;
  request.newest = job.key.newest_upto.value != 0;
  request.changes = job.key.changes;
  auto found = reader.events(request);
  Chunk chunk;
  if (found) {
    auto answer = std::make_shared<ReadAnswer>();
    answer->events = std::move(found->list);
    answer->changes = std::move(found->changes);
    answer->more = found->next.value != 0;
    answer->trimmed_through = found->trimmed_through;
    chunk = {std::move(answer), job.limit, found->next, job.version, clock_.now_ms(), found->bytes};
  } else {
    counts_.failures.fetch_add(1, std::memory_order_relaxed);
    chunk.answer = failed_read();
  }
  std::vector<Waiter> waiters;
  {
    std::lock_guard lock(mutex_);
    if (auto it = running_.find(job.key); it != running_.end() && it->second == owner) running_.erase(it);
    waiters = std::move(job.waiters);
    if (found) remember(job.key, chunk);
  }
  waiting_.fetch_sub(static_cast<uint32_t>(waiters.size()), std::memory_order_relaxed);
  for (Waiter& waiter : waiters)
    waiter.done(found && !request.newest ? chunk.for_upto(waiter.upto) : chunk.answer);
}

std::shared_ptr<const ReadAnswer> HistoryStore::Chunk::for_upto(Sequence upto) const {
  const std::vector<EventRef>& all = answer->events;
  size_t count = all.size();
  while (count > 0 && all[count - 1]->sequence() > upto) count--;
  bool more = next.value != 0 && next <= upto;
  if (count == all.size() && more == answer->more) return answer;
  auto part = std::make_shared<ReadAnswer>();
  part->events.assign(all.begin(), all.begin() + static_cast<ptrdiff_t>(count));
  for (const MessageChange& change : answer->changes)
    if (change.message <= upto) part->changes.push_back(change);
  part->more = more;
  part->trimmed_through = answer->trimmed_through;
  return part;
}

// ---- the cache ----

const HistoryStore::Chunk* HistoryStore::cached(const ReadKey& key, Sequence upto) {
  Millis now = clock_.now_ms();
  while (!ages_.empty()) {
    const Chunk& oldest = cache_.at(ages_.front()).chunk;
    if (now - oldest.read_at < options_.cache_ms) break;
    forget_oldest();
  }
  auto it = cache_.find(key);
  if (it == cache_.end()) return nullptr;
  const Chunk& chunk = it->second.chunk;
  if (chunk.version != shared_.versions.of(key.room)) return nullptr;
  if (upto > chunk.covered && chunk.next.value == 0) return nullptr;
  return &chunk;
}

void HistoryStore::remember(const ReadKey& key, Chunk chunk) {
  if (auto it = cache_.find(key); it != cache_.end()) {
    cached_bytes_ -= it->second.chunk.bytes;
    ages_.erase(it->second.age);
    cache_.erase(it);
  }
  chunk.bytes += 256;  // the entry itself
  cached_bytes_ += chunk.bytes;
  ages_.push_back(key);
  cache_[key] = {std::move(chunk), std::prev(ages_.end())};
  while (cached_bytes_ > options_.cache_bytes) forget_oldest();
}

void HistoryStore::forget_oldest() {
  auto it = cache_.find(ages_.front());
  cached_bytes_ -= it->second.chunk.bytes;
  cache_.erase(it);
  ages_.pop_front();
}

// ---- what is not shared ----

void HistoryStore::run(Ask& ask) {
  RoomReader reader(database_, shared_, durability_, options_.epoch, options_.bridges);
  if (RoomAsk* room = std::get_if<RoomAsk>(&ask.what)) {
    auto found = reader.room(room->room);
    auto record = std::make_unique<RoomRecord>(found ? std::move(*found) : RoomRecord());
    record->failed = !found;
    record->tenant = room->name.tenant();
    record->name = room->name.text();
    if (!found) counts_.failures.fetch_add(1, std::memory_order_relaxed);
    room->done(std::move(record));
  } else if (UserAsk* user = std::get_if<UserAsk>(&ask.what)) {
    auto found = reader.user(user->inbox);
    auto record = std::make_unique<UserRecord>(found ? std::move(*found) : UserRecord());
    record->failed = !found;
    if (!found) counts_.failures.fetch_add(1, std::memory_order_relaxed);
    user->done(std::move(record));
  } else if (IdempotencyAsk* id = std::get_if<IdempotencyAsk>(&ask.what)) {
    auto found = reader.idempotent(id->key);
    IdempotencyRecord record;
    record.failed = !found;
    if (!found) counts_.failures.fetch_add(1, std::memory_order_relaxed);
    if (found && *found && (*found)->wall_ms + options_.idempotency_keep_ms > clock_.wall_ms()) {
      record.found = true;
      record.sequence = (*found)->sequence;
      record.content_hash = (*found)->content_hash;
    }
    id->done(record);
  }
}

}  // namespace twinwire::store
