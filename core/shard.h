// Shard: everything one core owns. It reads the ring, hosts sessions and homes rooms, and runs the tick that
// moves all of it. Its parts: Outboxes (bytes to connections), Sessions (hosted here), Homes (rooms and users
// homed here). Not here: sockets (Transport), threads (net/server), the disk (History, Durability). One
// thread: the shard's own; other shards reach it only through its mailbox.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/command.h"
#include "core/config.h"
#include "core/durability.h"
#include "core/gather.h"
#include "core/history.h"
#include "core/homes.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/mutation.h"
#include "core/outbox.h"
#include "core/ring.h"
#include "core/sessions.h"
#include "core/tenants.h"
#include "core/transport.h"
#include "core/types.h"

namespace twinwire {

class Engine;
class Shard;

// The right to answer one ask, once, from any place on the answering shard.
template <typename T>
class Answer {
 public:
  using Then = std::function<void(Shard&, T)>;
  Answer() = default;
  Answer(Engine* engine, ShardIndex origin, Then then)
      : engine_(engine), origin_(origin), then_(std::make_shared<Then>(std::move(then))) {}
  // `from` is the shard that answers.
  void operator()(Shard& from, T value) const;
  explicit operator bool() const { return then_ != nullptr; }

 private:
  Engine* engine_ = nullptr;
  ShardIndex origin_{};
  std::shared_ptr<Then> then_;
};

class Shard {
 public:
  Shard(Engine& engine, ShardIndex index, Transport& transport, Random& random);
  ~Shard();

  // ---- what net calls (see transport.h for the way back) ----
  void connection_opened(ConnectionId connection, uint32_t generation);
  void connection_closed(ConnectionId connection);
  void write(ConnectionId connection, std::string_view bytes) { outboxes_.push_raw(connection, bytes); }
  // The parts behind one another.
  void write(ConnectionId connection, std::initializer_list<std::string_view> parts) {
    outboxes_.push_raw(connection, parts);
  }
  void close_when_flushed(ConnectionId connection) { outboxes_.close_when_flushed(connection); }
  bool overfull(ConnectionId connection) const { return outboxes_.overfull(connection); }
  void on_short_send(ConnectionId connection, size_t sent) { outboxes_.on_short_send(connection, sent); }
  void on_writable(ConnectionId connection) { outboxes_.on_writable(connection); }

  void open_stream(ConnectionId connection, StreamRequest request) {
    sessions_.open(connection, std::move(request));
  }
  void heartbeat(ConnectionId connection) { sessions_.heartbeat(connection); }
  void end_stream(ConnectionId connection, Code code, std::string_view reason, bool reconnect,
                  uint32_t after_ms) {
    sessions_.end_stream(connection, word_of(code), reason, close_code_of(code), reconnect, after_ms);
  }
  bool has_stream(ConnectionId connection) { return sessions_.on_connection(connection) != kNone; }
  void command(Command command);
  // Elements of an array, each the parameters of a command like `like`; answered as one, in order.
  void batch(const Command& like, const std::vector<std::string>& elements, const NameLimits& names);

  // ---- what operators ask (gather.cc, listing.cc); `then` runs here ----
  void gather(std::function<void(Shard&, const Totals&)> then);
  // Work that would hold a tick up: `step` runs once a tick until it returns true. Operators' lists only;
  // false: too many wait already.
  bool add_chore(std::function<bool(Shard&)> step);
  Gauges gauges();
  Metrics metrics_now() const;
  const std::vector<TenantCounts>& tenant_counts() const { return tenants_; }
  // The gateway refused a command before it came here.
  // `tenant`: of who sent it, "" where nobody has said who they are.
  void command_refused(const CommandRow& row, Code code, std::string_view tenant) {
    metrics_.count_command(command_index(row), code);
    if (!tenant.empty()) tenant_of(tenant).refused++;
  }
  // Ends all of a user's streams; revoked: also refuses the tokens issued until now. Answers the connection.
  void end_user(const Name& user, Homes::Ending why, ConnectionId connection, std::string tag);

  void tick();
  // Declares sleep and looks once more; true: nothing is left to do and the loop may block until
  // next_deadline().
  bool idle();
  void awake();
  Millis next_deadline() const;

  // ---- services for the parts ----
  Engine& engine() { return engine_; }
  ShardIndex index() const { return index_; }
  Ring& ring();
  Durability& durability();
  History& history();
  const Config& config() const;
  // How a tenant's events look on the wire.
  const WireStyle& style_of(std::string_view tenant) const;
  Outboxes& outboxes() { return outboxes_; }
  Sessions& sessions() { return sessions_; }
  Homes& homes() { return homes_; }
  Transport& transport() { return transport_; }
  Metrics& metrics() { return metrics_; }
  // What this shard counts of a tenant: by its place, or by its name (a look-up).
  TenantCounts& tenant(uint16_t place) { return tenants_[place]; }
  TenantCounts& tenant_of(std::string_view tenant) { return tenants_[tenant_place(tenant)]; }
  uint16_t tenant_place(std::string_view tenant);
  Random& random() { return random_; }
  Millis now() const { return now_; }
  uint64_t now_us() const;
  uint64_t wall_ms() const;
  Sequence consumed() const { return consumed_; }
  // Something was published that the writer is woken for: at the end of the tick's work.
  void wake_writer_soon() { writer_due_ = true; }
  // The highest position that reads may return: what the fan-out may deliver.
  Sequence barrier() const;
  Epoch epoch() const;
  RoomId room_id(const Name& room) const { return room_id(room.tenant(), room.text()); }
  RoomId room_id(std::string_view tenant, std::string_view room) const;
  RoomId inbox_id(const Name& user) const;
  ShardIndex home_of(RoomId room) const;
  ShardIndex home_of(SessionId session) const;
  // What grants (null: none were brought) give in an open room of that name.
  Rights open_rights(const Grants* grants, std::string_view room) const;
  Cursor cursor(Sequence sequence) const { return {epoch(), sequence}; }

  // Runs `request(Shard&, Answer<T>)` on `to`, and `then(Shard&, T)` here when it has answered. Never lost:
  // waits in order when `to` is full or no credit is left (see crowded()).
  template <typename T, typename Request, typename Then>
  void ask(ShardIndex to, Request request, Then then) {
    Answer<T> answer(&engine_, index_, std::move(then));
    dispatch(to, true, make_mail([request = std::move(request), answer](Shard& there) mutable {
               request(there, std::move(answer));
             }));
  }
  // Runs `mail(Shard&)` on `to`. Never lost, in order with other posts, and before asks that come later.
  template <typename F>
  void post(ShardIndex to, F function) {
    dispatch(to, false, make_mail(std::move(function)));
  }
  // A History callback that runs `then(Shard&, T)` here.
  template <typename T, typename Then>
  Done<T> from_history(Then then);
  // Asks the store, now or when fewer answers are due: like asks of other shards, they have a reserved place
  // in the mailbox. `start` makes exactly one request whose callback is from_history().
  void use_history(std::function<void()> start) {
    if (history_due_ == history_due_max_) {
      metrics_.store_queue_full++;
      return history_waiting_.push_back(std::move(start));
    }
    history_due_++;
    start();
  }
  void history_answered() {
    history_due_--;
    if (history_waiting_.empty()) return;
    auto next = std::move(history_waiting_.front());
    history_waiting_.pop_front();
    history_due_++;
    next();
  }
  // Runs later in this tick, never within the caller.
  template <typename F>
  void soon(F function) {
    soon_.push_back(make_mail(std::move(function)));
  }
  // Too much is waiting to be mailed: new commands are refused as overloaded.
  bool crowded() const;
  void answer_arrived(bool by_mail) {
    if (by_mail) credits_++;
  }
  Mailbox& mailbox() { return mailbox_; }

  // Answers a command (now or later); dropped when its connection has gone.
  void reply(const Command& command, Reply reply);

 private:
  friend class Engine;
  static constexpr size_t kChoresMax = 64;
  // Some 0.3 ms of sending: by so much at most is a message stored later for it.
  static constexpr size_t kShortFlush = 128;
  static constexpr uint32_t kSlotsPerTick = 128;  // then flush: what gathers meanwhile is the next batch

  // Who asked a command, and when: what its answer needs.
  struct Asked {
    const CommandRow* row;
    ConnectionId connection;
    uint32_t generation;
    uint64_t received_us;
    std::string tag;
    std::shared_ptr<Batch> batch;  // that the command is an element of, at `place`
    uint32_t place;
  };
  // What waits for one other shard: posts for room in its mailbox, asks for a credit too. Posts never wait
  // for asks, so that what serves another's ask gets through while all credits are out; asks wait for posts.
  struct Outgoing {
    Outgoing() = default;
    Outgoing(Outgoing&&) = default;
    std::deque<MailRef> posts, asks;
  };
  void dispatch(ShardIndex to, bool credit, MailRef mail);
  bool send_now(ShardIndex to, bool credit, MailRef& mail);
  void send_waiting();
  void wake_posted();
  bool drain_mail();
  bool consume_ring();
  void run_soon();
  void route(Command&& command);
  void run_on(ShardIndex to, Command&& command);
  void deliver_reply(const Asked& asked, const Reply& reply);
  bool store_before_flush() const;
  void wake_writer();
  void observe_writes();
  void run_chores();
  std::optional<Reply> too_fast(const Command& command, Millis now);

  // Constant after construction.
  Engine& engine_;
  const ShardIndex index_;
  Transport& transport_;
  Random& random_;

  // This shard only.
  Millis now_ = 0;
  Sequence consumed_;
  Metrics metrics_;
  std::vector<TenantCounts> tenants_;  // by place
  Outboxes outboxes_;
  Homes homes_;
  Sessions sessions_;
  std::deque<MailRef> soon_;
  std::vector<Outgoing> outgoing_;
  bool writer_due_ = false;  // wake_writer_soon()
  uint32_t outgoing_count_ = 0;
  uint32_t credits_;
  uint32_t history_due_ = 0;
  const uint32_t history_due_max_;
  std::deque<std::function<void()>> history_waiting_;
  uint64_t posted_mask_ = 0;
  std::vector<EventRef> tick_events_;  // what this tick's outboxes borrow
  EventRef paused_event_;              // of a delivery that stands inside a member list
  Sequence durable_seen_;              // at the last settling
  struct Pushed {
    uint64_t claimed_us, streams;
  };
  std::vector<Pushed>
      tick_pushes_;  // events that this tick pushed to streams: what the flush will have written
  std::deque<std::function<bool(Shard&)>> chores_;

  // Shared.
  Mailbox mailbox_;
};

}  // namespace twinwire

#include "core/engine.h"

namespace twinwire {

template <typename T>
void Answer<T>::operator()(Shard& from, T value) const {
  auto mail = make_mail(
      [then = then_, value = std::move(value), by_mail = from.index() != origin_](Shard& shard) mutable {
        shard.answer_arrived(by_mail);
        (*then)(shard, std::move(value));
      });
  if (from.index() == origin_)
    return from.soon([mail = std::shared_ptr<Mail>(std::move(mail))](Shard& s) { mail->run(s); });
  engine_->reply_to(origin_, std::move(mail));
}

template <typename T, typename Then>
Done<T> Shard::from_history(Then then) {
  Engine* engine = &engine_;
  ShardIndex to = index_;
  auto shared = std::make_shared<Then>(std::move(then));
  return [engine, to, shared](T value) {
    auto box = std::make_shared<T>(std::move(value));
    engine->reply_to(to, make_mail([shared, box](Shard& shard) mutable {
                       shard.history_answered();
                       (*shared)(shard, std::move(*box));
                     }));
  };
}

}  // namespace twinwire
