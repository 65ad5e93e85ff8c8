#include "core/outbox.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/status.h"

namespace twinwire {
namespace {

struct RawBytes {
  uint32_t size;
  char bytes[];
};

// How many runs a tick has, and how many of the newest are looked at for one to take up: an event goes to all
// its readers before the next, so those that wait for the same stand together.
constexpr uint32_t kRunsMax = 64;
constexpr uint32_t kRunsTried = 8;
// How many joined runs one flush keeps.
constexpr uint32_t kJoinedMax = 16;
constexpr size_t kScratchKeep = 64 << 10;
constexpr size_t kEntriesKeep = 1024;

}  // namespace

Entry Entry::raw(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  auto* memory = static_cast<RawBytes*>(std::malloc(sizeof(RawBytes) + size));
  TW_CHECK(memory != nullptr);
  memory->size = static_cast<uint32_t>(size);
  char* out = memory->bytes;
  for (std::string_view part : parts) {
    if (!part.empty()) std::memcpy(out, part.data(), part.size());
    out += part.size();
  }
  return Entry(reinterpret_cast<uintptr_t>(memory) | kRaw);
}

std::string_view Entry::bytes(Form form) const {
  if (is_raw()) {
    auto* raw = reinterpret_cast<const RawBytes*>(bits_ & ~kBits);
    return {raw->bytes, raw->size};
  }
  return form == Form::ws ? event()->ws() : event()->sse();
}

void Entry::keep() {
  if (bits_ & kBits) return;
  event()->prepay(1);
  bits_ |= kOwned;
}

void Entry::release() {
  if (is_raw())
    std::free(reinterpret_cast<void*>(bits_ & ~kBits));
  else if (bits_ & kOwned)
    event()->release();
  bits_ = 0;
}

Outboxes::~Outboxes() {
  for (Stream& stream : streams_) clear(stream);
}

void Outboxes::open(ConnectionId id, uint32_t generation) {
  while (size_ <= index_of(id)) streams_.emplace_back(), size_++;
  Stream& stream = at(id);
  TW_CHECK(!stream.open);
  bool dirty = stream.dirty;  // its predecessor may still stand in the list of this tick: once is enough
  stream = Stream{};
  stream.open = true;
  stream.dirty = dirty;
  stream.generation = generation;
}

void Outboxes::close(ConnectionId id) {
  Stream& stream = at(id);
  if (stream.blocked) unblock(stream);
  clear(stream);
  stream.open = false;
  stream.session = kNone;
}

void Outboxes::push(ConnectionId id, Entry entry) {
  Stream& stream = at(id);
  if (!stream.open || stream.closing) return entry.release();
  if (stream.shared && push_shared(stream, entry)) return;  // it is dirty already, and not blocked
  if (stream.blocked) {
    entry.keep();
    held_bytes_ += entry.bytes(stream.form).size();
  }
  if (stream.first.empty()) {
    stream.raw_bytes += raw_cost(stream, entry);
    stream.first = entry;
  } else if (!share_first(stream, entry)) {
    append(stream, entry);
  }
  mark_dirty(id, stream);
}

void Outboxes::append(Stream& stream, Entry entry) {
  unshare(stream);
  stream.raw_bytes += raw_cost(stream, entry);
  if (!stream.more) stream.more = acquire();
  stream.more->push_back(entry);
}

std::span<const Entry> Outboxes::rest(const Stream& stream) const {
  if (stream.shared) return std::span(runs_[stream.run].entries).subspan(1, stream.count - 1);
  return stream.more ? std::span<const Entry>(*stream.more) : std::span<const Entry>();
}

void Outboxes::Run::add(Entry entry) {
  entries.push_back(Entry::borrow(entry.event()));
  if (entry.is_owned()) held.push_back(EventRef::adopt(entry.event()));
}

// Goes on in the run that the stream shares, or in another; false: `entry` waits nowhere yet.
bool Outboxes::push_shared(Stream& stream, Entry entry) {
  if (entry.is_raw()) return false;
  Run& run = runs_[stream.run];
  if (stream.count == run.entries.size()) {
    run.add(entry);
  } else if (run.entries[stream.count].event() == entry.event()) {
    entry.release();
  } else {
    return share(stream, std::span(run.entries).first(stream.count), entry);
  }
  stream.count++;
  return true;
}

// The second that waits, where the first can be the beginning of a run.
bool Outboxes::share_first(Stream& stream, Entry entry) {
  if (stream.shared || stream.more || stream.blocked || stream.offset > 0) return false;
  if (entry.is_raw() || stream.first.is_raw()) return false;
  const Entry first = Entry::borrow(stream.first.event());  // readable while anybody who shares the run waits
  return share(stream, std::span(&first, 1), entry);
}

// Takes up a run of this tick that begins with what the stream waits for and `entry`, or begins one.
bool Outboxes::share(Stream& stream, std::span<const Entry> waiting, Entry entry) {
  const size_t at = waiting.size();
  const Entry next = Entry::borrow(entry.event());
  auto fits = [&](const std::vector<Entry>& run) {
    return run.size() > at && run[at] == next && std::equal(waiting.begin(), waiting.end(), run.begin());
  };
  uint32_t take = runs_used_;
  uint32_t count = static_cast<uint32_t>(at + 1);
  for (uint32_t i = runs_used_; i-- > 0 && runs_used_ - i <= kRunsTried && take == runs_used_;) {
    const std::vector<Entry>& run = runs_[i].entries;
    if (fits(run)) take = i;
    if (mutate_join_by_ends && run[0] == waiting[0] && run.back() == next) {
      take = i;
      count = static_cast<uint32_t>(run.size());
    }
  }
  if (take < runs_used_) {
    entry.release();
  } else {
    if (runs_used_ == kRunsMax) return false;
    if (runs_used_ == runs_.size()) runs_.emplace_back();
    Run& run = runs_[runs_used_++];  // a deque: `waiting` stays where it is
    run.entries.assign(waiting.begin(), waiting.end());
    run.add(entry);
  }
  stream.shared = true;
  stream.run = take;
  stream.count = count;
  return true;
}

void Outboxes::unshare(Stream& stream) {
  if (!stream.shared) return;
  std::span<const Entry> own = rest(stream);
  stream.shared = false;
  stream.more = acquire();
  stream.more->assign(own.begin(), own.end());
}

void Outboxes::mark_dirty(ConnectionId id, Stream& stream) {
  if (stream.dirty || stream.blocked) return;
  stream.dirty = true;
  dirty_.push_back(id);
}

void Outboxes::close_when_flushed(ConnectionId id) {
  Stream& stream = at(id);
  if (!stream.open || stream.closing) return;
  stream.closing = true;
  mark_dirty(id, stream);
}

bool Outboxes::overfull(ConnectionId id) const {
  return const_cast<Outboxes*>(this)->at(id).raw_bytes > limits_.raw_bytes_max;
}

uint32_t Outboxes::queued(ConnectionId id) {
  Stream& stream = at(id);
  return (stream.first.empty() ? 0 : 1) + static_cast<uint32_t>(rest(stream).size());
}

std::vector<EventRef> Outboxes::take_events(ConnectionId id) {
  Stream& stream = at(id);
  unshare(stream);
  uint64_t held_by_others = held_bytes_ - (stream.blocked ? waiting_bytes(stream) : 0);
  std::vector<EventRef> events;
  std::vector<Entry> rest;
  auto sort_out = [&](Entry entry) {
    if (entry.empty()) return;
    if (entry.is_raw()) return rest.push_back(entry);
    events.push_back(EventRef::share(entry.event()));
    entry.release();
  };
  sort_out(std::exchange(stream.first, Entry()));
  if (stream.more) {
    for (Entry entry : *stream.more) sort_out(entry);
    give_back(std::exchange(stream.more, nullptr));
  }
  stream.raw_bytes = 0;
  for (Entry entry : rest) push(id, entry);
  held_bytes_ = held_by_others + (stream.blocked ? waiting_bytes(stream) : 0);
  return events;
}

uint64_t Outboxes::waiting_bytes(const Stream& stream) const {
  uint64_t bytes = stream.first.empty() ? 0 : stream.first.bytes(stream.form).size() - stream.offset;
  for (const Entry& entry : rest(stream)) bytes += entry.bytes(stream.form).size();
  return bytes;
}

void Outboxes::block(Stream& stream) {
  stream.blocked = true;
  blocked_++;
  held_bytes_ += waiting_bytes(stream);
}

void Outboxes::unblock(Stream& stream) {
  stream.blocked = false;
  blocked_--;
  held_bytes_ -= waiting_bytes(stream);
}

void Outboxes::drop_events(ConnectionId id, FlushResult& result) {
  Stream& stream = at(id);
  unshare(stream);
  uint64_t before = stream.blocked ? waiting_bytes(stream) : 0;
  auto drop = [&](Entry& entry) {
    if (entry.is_raw()) return false;
    const Event* event = entry.event();
    result.dropped_inbox |= is_inbox(event->room_name());
    if (event->kind() == EventKind::removal) result.dropped_removals.push_back(EventRef::share(event));
    entry.release();
    return true;
  };
  if (!stream.first.empty() && stream.offset == 0) drop(stream.first);
  if (stream.more) std::erase_if(*stream.more, drop);
  if (stream.first.empty()) pop_front(stream);
  if (stream.blocked) held_bytes_ -= before - waiting_bytes(stream);
}

// Moves the next entry into `first` (which has been released).
void Outboxes::pop_front(Stream& stream) {
  stream.first = Entry();
  stream.offset = 0;
  if (!stream.more) return;
  if (!stream.more->empty()) {
    stream.first = stream.more->front();
    stream.more->erase(stream.more->begin());
  }
  if (stream.more->empty()) give_back(std::exchange(stream.more, nullptr));
}

void Outboxes::clear(Stream& stream) {
  if (!stream.first.empty()) stream.first.release();
  if (stream.shared) {
    stream.shared = false;
    stream.more = nullptr;
  } else if (stream.more) {
    for (Entry& entry : *stream.more) entry.release();
    give_back(std::exchange(stream.more, nullptr));
  }
  stream.offset = 0;
  stream.raw_bytes = 0;
}

std::vector<Entry>* Outboxes::acquire() {
  if (pool_.empty()) {
    pool_all_.push_back(std::make_unique<std::vector<Entry>>());
    return pool_all_.back().get();
  }
  auto* entries = pool_.back();
  pool_.pop_back();
  return entries;
}

void Outboxes::give_back(std::vector<Entry>* entries) {
  entries->clear();
  pool_.push_back(entries);
}

std::string& Outboxes::scratch() {
  if (scratch_used_ == scratch_.size()) scratch_.emplace_back();
  std::string& bytes = scratch_[scratch_used_++];
  bytes.clear();
  return bytes;
}

const std::string& Outboxes::assemble(const Stream& stream) {
  std::string& out = scratch();
  out += stream.first.bytes(stream.form).substr(stream.offset);
  for (const Entry& entry : rest(stream)) out += entry.bytes(stream.form);
  return out;
}

const std::string& Outboxes::joined(const Stream& stream) {
  for (uint32_t i = joined_used_; i-- > 0;) {
    const Joined& made = joined_[i];
    if (made.form != stream.form || made.run != stream.run || made.count != stream.count) continue;
    joined_hits++;
    return made.bytes;
  }
  if (joined_used_ == kJoinedMax) return assemble(stream);
  if (joined_used_ == joined_.size()) joined_.emplace_back();
  Joined& made = joined_[joined_used_++];
  joined_built++;
  made.form = stream.form;
  made.run = stream.run;
  made.count = stream.count;
  made.bytes.clear();
  for (const Entry& entry : std::span(runs_[stream.run].entries).first(stream.count))
    made.bytes += entry.bytes(stream.form);
  return made.bytes;
}

void Outboxes::queue_send(ConnectionId id, Stream& stream) {
  std::string_view out;
  if (stream.shared) {
    out = joined(stream);
    frames += stream.count;
  } else if (stream.more) {
    out = assemble(stream);
    frames += 1 + stream.more->size();
  } else {
    out = stream.first.bytes(stream.form).substr(stream.offset);
    frames++;
  }
  sends++;
  bytes += out.size();
  transport_.send(id, out.data(), out.size());
}

const std::vector<FlushResult>& Outboxes::flush() {
  results_.clear();
  flushing_.clear();
  std::swap(flushing_, dirty_);
  for (ConnectionId id : flushing_) {
    Stream& stream = at(id);
    stream.dirty = false;
    stream.cut_short = false;
    if (stream.open && !stream.first.empty()) queue_send(id, stream);
  }
  transport_.submit();
  for (ConnectionId id : flushing_) {
    Stream& stream = at(id);
    if (!stream.open) continue;
    if (stream.cut_short) continue;  // on_short_send said what there is to say
    if (stream.attention) {
      FlushResult result;
      result.connection = id;
      finish(id, stream, result);
      results_.push_back(result);
    } else {
      clear(stream);
    }
    if (stream.closing) transport_.close(id);
  }
  // Runs hold borrowed events: they end with the flush. Large buffers are not kept.
  for (; runs_used_ > 0; runs_used_--) {
    Run& run = runs_[runs_used_ - 1];
    run.entries.clear();
    run.held.clear();
    if (run.entries.capacity() > kEntriesKeep) run = Run();
  }
  for (; joined_used_ > 0; joined_used_--) {
    std::string& bytes = joined_[joined_used_ - 1].bytes;
    if (bytes.capacity() > kScratchKeep) bytes = std::string();
  }
  for (; scratch_used_ > 0; scratch_used_--)
    if (scratch_[scratch_used_ - 1].capacity() > kScratchKeep) scratch_[scratch_used_ - 1] = std::string();
  return results_;
}

void Outboxes::finish(ConnectionId, Stream& stream, FlushResult& result) {
  result.last_sent = stream.first.empty() ? Sequence{0} : stream.first.sequence();
  for (const Entry& entry : rest(stream))
    if (entry.sequence().value) result.last_sent = entry.sequence();
  clear(stream);
}

// Takes off what the first `sent` bytes hold whole, all at once: thousands of small answers may wait.
void Outboxes::pop_sent(Stream& stream, size_t sent, FlushResult& result) {
  auto taken = [&](Entry& entry, size_t offset) {
    size_t left = entry.bytes(stream.form).size() - offset;
    if (sent < left) return false;
    sent -= left;
    if (entry.sequence().value) result.last_sent = entry.sequence();
    stream.raw_bytes -= raw_cost(stream, entry);
    entry.release();
    return true;
  };
  if (!stream.first.empty() && taken(stream.first, stream.offset)) {
    if (stream.more) {
      auto next = stream.more->begin();
      while (next != stream.more->end() && taken(*next, 0)) ++next;
      stream.more->erase(stream.more->begin(), next);
    }
    pop_front(stream);
  }
  stream.offset += static_cast<uint32_t>(sent);
}

void Outboxes::on_short_send(ConnectionId id, size_t sent) {
  Stream& stream = at(id);
  shorts++;
  unshare(stream);
  if (stream.blocked) unblock(stream);
  FlushResult result;
  result.connection = id;
  result.whole = false;
  pop_sent(stream, sent, result);
  stream.cut_short = true;
  if (!stream.first.empty()) result.first_unsent = stream.first.sequence();
  if (stream.more)
    for (const Entry& entry : *stream.more) {
      if (result.first_unsent.value) break;
      result.first_unsent = entry.sequence();
    }
  drop_events(id, result);
  if (!stream.first.empty()) stream.first.keep();
  block(stream);
  transport_.want_writable(id);
  results_.push_back(result);
}

void Outboxes::on_writable(ConnectionId id) {
  Stream& stream = at(id);
  if (!stream.open) return;
  if (stream.blocked) unblock(stream);
  mark_dirty(id, stream);
}

}  // namespace twinwire
