// The connected sockets of one shard: accepts them into direct descriptors, reads and sends bytes, closes
// them without losing a last answer. Built on the loop; knows nothing of HTTP, WebSocket or sessions.
// Connection numbers (ConnectionId) are ring * slots per table + slot, so owners keep their own state in
// arrays. Eight bytes per place here. A number is given out again only after the kernel has ended every
// operation on it. The loop's thread only; no recursion: what happens is told by on_…() from handle() and
// flush().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/types.h"
#include "net/listener.h"
#include "net/loop.h"

namespace twinwire {

// What happens to connections. Calls come from Sockets::handle(), flush() and tick().
class SocketHandler {
 public:
  struct Opened {
    ConnectionId id;
    const Address& peer;
    uint32_t listener;  // index in the list given to start()
    bool last_places;   // one of the places kept for saying `overloaded`
  };
  // A connection is there; bytes follow.
  virtual void on_open(const Opened& opened) = 0;
  // Bytes came. They may be changed in place (unmasking) and are gone after the return.
  virtual void on_bytes(ConnectionId id, std::span<char> bytes) = 0;
  // The peer will send nothing more (FIN); what it awaits can still be sent.
  virtual void on_end(ConnectionId id) = 0;
  // The socket took only the first `sent` bytes of the last send(). Nothing may be sent before on_writable().
  // Of a broken connection this is told with 0, before on_gone().
  virtual void on_short(ConnectionId id, uint32_t sent) = 0;
  virtual void on_writable(ConnectionId id) = 0;
  // The connection is broken (reset, keepalive gave up). It is being closed already.
  virtual void on_gone(ConnectionId id) = 0;
  // The last call for this life of the number, for every connection that was told by on_open().
  virtual void on_closed(ConnectionId id) = 0;

 protected:
  ~SocketHandler() = default;
};

struct SocketsOptions {
  // Accepts armed at once on the first listener, fewer where the tables are small; and on each other one.
  // Each keeps a place: that is how operators still get in when everything else is taken.
  uint32_t accepts_armed = 64;
  uint32_t accepts_armed_others = 2;
  // After close(): how long, and for how many bytes, what the peer still sends is read and dropped, so that a
  // reset does not overtake the last answer (RFC 9112, 9.6).
  Millis linger_ms = 2000;
  uint32_t linger_bytes = 1 << 20;
  // Part of the places kept for answering `overloaded`, as 1 in so many, and at least so many per table.
  uint32_t reserve_divisor = 100;
  uint32_t reserve_min = 2;
};

class Sockets {
 public:
  // Every ring of the loop must have a table of the same size.
  Sockets(Loop& loop, SocketHandler& handler, const SocketsOptions& options);

  // Begins to accept on these listeners, which outlive this object. On the loop's thread, after attach().
  void start(std::span<const Listener* const> listeners);
  // Ends accepting; connections stay.
  void stop_accepting();
  // Whether no operation of ours is in flight: only then may the loop die.
  bool quiet() const { return open_ == 0 && accepts_in_flight_ == 0; }

  // Handles a batch of completions; the loop's sends must have been flushed.
  void handle(std::span<const Completion> completions);
  // Linger time-outs and accepts that had to pause. `now` in the caller's monotonic clock.
  void tick(Millis now);
  // Whether tick() has anything to wait for.
  bool has_timers() const { return !lingering_.empty() || accepts_paused_; }

  // Queues `bytes` (1 … 2^31 - 1) to be sent. They must stay as they are until flush() returns; one per
  // connection and flush.
  void send(ConnectionId id, std::span<const char> bytes);
  // Gives all queued sends to the kernel, and reports those that fell short. Afterwards the bytes are the
  // caller's.
  void flush();
  // Asks for one on_writable().
  void want_writable(ConnectionId id);
  // Stops and goes on reading (back-pressure to the peer). A connection reads when it opens.
  void pause(ConnectionId id);
  void resume(ConnectionId id);

  // Ends a connection after what was sent has arrived: FIN, then reading for a moment until the peer's. No
  // more calls about it but on_closed().
  void close(ConnectionId id);
  // Ends it at once; what was not yet delivered is lost.
  void abort(ConnectionId id);
  void abort_all();

  // Whether bytes can still be sent to it.
  bool takes(ConnectionId id) const { return (slots_[index_of(id)].flags & (kOpen | kClosing)) == kOpen; }
  // Changes with every life of the number.
  uint32_t generation(ConnectionId id) const { return slots_[index_of(id)].generation; }

  // One more than the largest connection number there can be.
  uint32_t places() const { return static_cast<uint32_t>(slots_.size()); }
  uint32_t open_count() const { return open_; }
  // Beyond so many open connections, new ones are told about with `last_places`.
  uint32_t open_max() const { return places() - reserve_; }

 private:
  enum Flag : uint16_t {
    kOpen = 1 << 0,
    kReceiving = 1 << 1,   // a receive is in flight
    kPolling = 1 << 2,     // the multishot poll is in flight
    kPollingOut = 1 << 3,  // a poll for writability is in flight
    kShutting = 1 << 4,    // a shutdown is in flight
    kWaiting = 1 << 5,     // in waiting_, for a receive buffer
    kInFlight = kReceiving | kPolling | kPollingOut | kShutting | kWaiting,
    kClosing = 1 << 6,    // the owner knows no more of it
    kLingering = 1 << 7,  // FIN sent, reading what still comes
    kCloseSent = 1 << 8,  // the close itself is in flight
    kPaused = 1 << 9,
    kReadable = 1 << 10,  // something came while paused, or while a receive was in flight
    kEnded = 1 << 11,     // the peer's FIN was read
    kSending = 1 << 12,   // a send is queued since the last flush
  };
  struct Slot {
    uint16_t generation = 0;
    uint16_t flags = 0;
    uint32_t next = 0;  // free: the next free slot of its ring; lingering: bytes dropped so far
  };
  struct Accept {
    Address peer;
    uint32_t listener;
    uint32_t number;  // the place kept for it
    bool armed = false;
  };
  struct Linger {
    uint32_t number;
    uint16_t generation;
    Millis deadline;
  };

  Descriptor descriptor(uint32_t number) const {
    return Descriptor::direct(RingIndex(static_cast<uint8_t>(number / table_slots_)), number % table_slots_);
  }
  void handle_one(const Completion& c);
  void on_accept(const Completion& c);
  void on_receive(uint32_t number, const Completion& c);
  void on_poll(uint32_t number, const Completion& c);
  void on_send(const Completion& c);
  void after_bytes(uint32_t number, bool more);
  void receive(uint32_t number, bool wait);
  void arm_poll(uint32_t number);
  void arm_accepts();
  bool arm_accept(uint32_t index);
  void gone(uint32_t number);
  void end(uint32_t number);
  void cancel(uint32_t number, OpKind kind);
  void close_when_idle(uint32_t number);
  void free_place(uint32_t number);
  bool take_place(uint32_t& number);
  void retry_waiting();

  // Constant after construction.
  Loop& loop_;
  SocketHandler& handler_;
  const SocketsOptions options_;
  uint32_t table_slots_;
  uint32_t reserve_;
  std::vector<const Listener*> listeners_;

  // The loop's thread only.
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_heads_;  // per ring, kNoPlace at the end
  std::vector<Accept> accepts_;       // never resized while one is armed: the kernel writes the addresses
  std::vector<uint32_t> sending_;
  std::vector<uint32_t> waiting_;
  std::vector<Completion> failed_sends_;
  std::deque<Linger> lingering_;
  uint32_t open_ = 0;
  uint32_t accepts_in_flight_ = 0;
  bool accepting_ = false;
  bool accepts_paused_ = false;
  Millis now_ = 0;
  Millis accepts_resume_at_ = 0;
};

}  // namespace twinwire
