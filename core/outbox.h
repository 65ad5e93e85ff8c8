// Outboxes: what the connections of one shard have still to be sent, and the flush that sends it: one send
// per connection and tick, of everything that waits. Not here: which session gets what (sessions_deliver.cc),
// sockets (Transport). The shard's thread only. Owns raw bytes and, past a flush, references to events.
//
// Runs: connections that wait for exactly the same events of a tick (a busy room) share one list of them, and
// each knows only how much of it is its own; so a further event touches nothing of a connection but its
// Stream. The frames are joined once per form and length, and the same bytes are sent to all. A connection
// takes up a run only where what it waits for equals the run's beginning, entry by entry, so a session that
// follows something else in between never gets another's bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/slab.h"
#include "core/transport.h"
#include "core/types.h"

namespace twinwire {

// One queued frame: an event of the log (borrowed until the end of the tick, or owned), or raw bytes (owned).
class Entry {
 public:
  Entry() = default;
  static Entry borrow(const Event* event) { return Entry(reinterpret_cast<uintptr_t>(event)); }
  static Entry own(EventRef event) { return Entry(reinterpret_cast<uintptr_t>(event.detach()) | kOwned); }
  static Entry raw(std::string_view bytes) { return raw({bytes}); }
  static Entry raw(std::initializer_list<std::string_view> parts);  // one behind the other

  bool empty() const { return bits_ == 0; }
  bool is_raw() const { return bits_ & kRaw; }
  bool is_owned() const { return bits_ & kOwned; }
  const Event* event() const { return reinterpret_cast<const Event*>(bits_ & ~kBits); }
  // The log position of the event; 0 for raw bytes.
  Sequence sequence() const { return is_raw() ? Sequence{0} : event()->sequence(); }
  std::string_view bytes(Form form) const;
  // A borrowed event becomes owned: it must outlive the tick.
  void keep();
  void release();
  bool operator==(const Entry&) const = default;

 private:
  static constexpr uintptr_t kOwned = 1, kRaw = 2, kBits = 3;
  explicit Entry(uintptr_t bits) : bits_(bits) {}
  uintptr_t bits_ = 0;
};

// The output side of one connection. 40 bytes.
struct Stream {
  Entry first;
  union {
    std::vector<Entry>* more = nullptr;  // behind `first`, from the pool; null while at most one entry waits
    struct {
      uint32_t run;    // `shared`: what waits is the beginning of this run,
      uint32_t count;  // so many entries (2 …), `first` among them; all events, none of them sent in part
    };
  };
  uint32_t offset = 0;  // bytes of `first` that the kernel already has
  uint32_t session = kNone;
  uint32_t generation = 0;
  uint32_t tokens_at_ds = 0;  // rate limit: when `tokens` was right, in tenths of a second
  uint32_t raw_bytes = 0;     // what the raw entries take in memory
  uint16_t tokens = 0;        // commands left, in tenths
  Form form = Form::none;
  bool open : 1 = false;
  bool dirty : 1 = false;
  bool blocked : 1 = false;    // the socket is full; on_writable comes
  bool closing : 1 = false;    // close when empty
  bool attention : 1 = false;  // the session wants to hear how its flush went (it is not live)
  bool cut_short : 1 = false;  // within a flush
  bool shared : 1 = false;     // until the flush: see `run`
};

// How a flush went for a stream that wants to know.
struct FlushResult {
  ConnectionId connection;
  bool whole = true;
  Sequence last_sent;                      // newest log event whose last byte is in the kernel, 0 if none was
  Sequence first_unsent;                   // oldest queued log event that is not, 0 if none
  bool dropped_inbox = false;              // an event of the user's inbox was among those dropped
  std::vector<EventRef> dropped_removals;  // and what ended somebody's membership
};

class Outboxes {
 public:
  struct Limits {
    // Memory of unsent raw entries past which a connection is overfull: their bytes, and kRawCost for each.
    uint32_t raw_bytes_max = 1 << 20;
  };
  Outboxes(Transport& transport, Limits limits) : transport_(transport), limits_(limits) {}
  ~Outboxes();

  void open(ConnectionId id, uint32_t generation);
  void close(ConnectionId id);
  Stream& at(ConnectionId id) { return streams_[index_of(id)]; }
  // Says that the stream will be touched in a moment.
  void fetch(ConnectionId id) const {
    if (index_of(id) < size_) __builtin_prefetch(&streams_[index_of(id)], 1);
  }
  bool is_open(ConnectionId id) const {
    return index_of(id) < size_ && const_cast<Outboxes*>(this)->at(id).open;
  }
  bool is_open(ConnectionId id, uint32_t generation) {
    return is_open(id) && at(id).generation == generation;
  }

  void push(ConnectionId id, Entry entry);
  void push_raw(ConnectionId id, std::string_view bytes) { push(id, Entry::raw(bytes)); }
  void push_raw(ConnectionId id, std::initializer_list<std::string_view> parts) {
    push(id, Entry::raw(parts));
  }
  void close_when_flushed(ConnectionId id);
  bool overfull(ConnectionId id) const;
  uint32_t queued(ConnectionId id);

  // A raw entry takes about so much beside its bytes: where answers are tiny, that is what is many.
  static constexpr uint32_t kRawCost = 40;

  // Takes the queued log events out of a stream (a poll's answer), in order. Raw entries stay.
  std::vector<EventRef> take_events(ConnectionId id);
  // Drops queued log events, but for one that is partly in the kernel; `result` gets what was among them.
  void drop_events(ConnectionId id, FlushResult& result);
  void drop_events(ConnectionId id) {
    FlushResult unused;
    drop_events(id, unused);
  }

  // Sends everything dirty. Results: streams with attention, short ones, and those now closed (close was
  // called).
  const std::vector<FlushResult>& flush();
  bool anything_dirty() const { return !dirty_.empty(); }
  size_t dirty_count() const { return dirty_.size(); }
  void on_short_send(ConnectionId id, size_t sent);
  void on_writable(ConnectionId id);

  uint64_t sends = 0, frames = 0, bytes = 0, shorts = 0, joined_hits = 0, joined_built = 0;
  // Of the streams whose socket is full now: how many, and the bytes that wait for them in memory.
  uint32_t blocked_now() const { return blocked_; }
  uint64_t held_bytes() const { return held_bytes_; }

  // For the test of the tests only: take up runs by their ends (wrong, and the simulator must see it).
  bool mutate_join_by_ends = false;

 private:
  // Events that somebody waits for, in order; all readable until the flush, at which runs end.
  struct Run {
    std::vector<Entry> entries;  // borrowed, also where they came owned,
    std::vector<EventRef> held;  // which are then held here, once for all who share the run
    void add(Entry entry);       // an event; takes what it owns
  };
  struct Joined {
    Form form;
    uint32_t run;
    uint32_t count;
    std::string bytes;
  };
  void mark_dirty(ConnectionId id, Stream& stream);
  void queue_send(ConnectionId id, Stream& stream);
  // What waits behind `first`.
  std::span<const Entry> rest(const Stream& stream) const;
  bool push_shared(Stream& stream, Entry entry);
  bool share_first(Stream& stream, Entry entry);
  bool share(Stream& stream, std::span<const Entry> waiting, Entry entry);
  // Gives a stream a list of its own again, before anything but an equal push touches it.
  void unshare(Stream& stream);
  void append(Stream& stream, Entry entry);
  const std::string& joined(const Stream& stream);
  const std::string& assemble(const Stream& stream);
  void finish(ConnectionId id, Stream& stream, FlushResult& result);
  uint64_t waiting_bytes(const Stream& stream) const;
  void block(Stream& stream);
  void unblock(Stream& stream);
  void pop_front(Stream& stream);
  void pop_sent(Stream& stream, size_t sent, FlushResult& result);
  static uint32_t raw_cost(const Stream& stream, Entry entry) {
    return entry.is_raw() ? static_cast<uint32_t>(entry.bytes(stream.form).size()) + kRawCost : 0;
  }
  void clear(Stream& stream);
  std::vector<Entry>* acquire();
  void give_back(std::vector<Entry>* entries);
  std::string& scratch();

  Transport& transport_;
  const Limits limits_;
  std::deque<Stream> streams_;
  uint32_t size_ = 0;
  uint32_t blocked_ = 0;
  uint64_t held_bytes_ = 0;
  std::vector<ConnectionId> dirty_, flushing_;
  std::vector<FlushResult> results_;
  std::vector<std::unique_ptr<std::vector<Entry>>> pool_all_;
  std::vector<std::vector<Entry>*> pool_;
  std::deque<Run> runs_;  // this tick's, newest last
  uint32_t runs_used_ = 0;
  std::deque<Joined> joined_;  // this flush's, newest last; few
  uint32_t joined_used_ = 0;
  std::deque<std::string> scratch_;  // bytes that must live until submit
  uint32_t scratch_used_ = 0;
};

}  // namespace twinwire
