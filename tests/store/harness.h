// What the store's tests share: a clock and a random source they control, an engine that is only a ring, and
// the store's parts on any Database. Not a test. One thread, unless a test says otherwise.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/event.h"
#include "core/ring.h"
#include "store/boot.h"
#include "store/database.h"
#include "store/history_store.h"
#include "store/keys.h"
#include "store/retention.h"
#include "store/shared_state.h"
#include "store/writer.h"

namespace twinwire::store {

class TestClock : public Clock {
 public:
  Millis now_ms() const override { return now; }
  uint64_t wall_ms() const override { return wall; }
  void advance(Millis ms) { now += ms, wall += ms; }
  Millis now = 1'000'000;
  uint64_t wall = 1'800'000'000'000;
};

class TestRandom : public Random {
 public:
  explicit TestRandom(uint64_t seed) : engine_(seed) {}
  uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

class NoWaker : public Waker {
 public:
  void wake(uint32_t) override {}
};

// What a test publishes; everything has a plain default.
struct Post {
  std::string room = "lobby";
  std::string text = "hello";
  std::string user = "alice";
  std::string type = "message.created";
  std::string client_id = {};
  uint64_t content_hash = 0;
  EventClass event_class = EventClass::kept;
  EventKind kind = EventKind::event;
  EventEffect effect = EventEffect::none;
  std::string subject = {};
  std::string room_record = {};
  std::string shown_room = "\x02same";  // the room's name unless given
  bool own_id = false;                  // the data names the event's own id
  Sequence about = {};
};

// The store's parts over a database that outlives them; one life between two crashes.
class Life {
 public:
  struct Options {
    WriterOptions writer;
    BootOptions boot;
    HistoryOptions history;
    RetentionOptions retention;
    uint32_t ring_slots = 1 << 16;
  };

  Life(Database& database, TestClock& clock, uint64_t seed = 1) : Life(database, clock, seed, Options()) {}
  Life(Database& database, TestClock& clock, uint64_t seed, Options options)
      : database(database), clock(clock), random_(seed), shared(IdempotencyFilter::Options()) {
    options.boot.lease_step = options.writer.lease_step;
    auto booted = store::boot(database, options.boot, clock, random_, shared);
    EXPECT_TRUE(booted) << (booted ? "" : booted.error().sentence);
    if (!booted) return;
    boot = std::move(*booted);
    Ring::Options ring_options;
    ring_options.slots = options.ring_slots;
    ring_options.first = boot.first;
    ring_options.lease_end = boot.lease_end;
    ring = std::make_unique<Ring>(ring_options, waker_);
    durability = std::make_unique<Durability>(boot.settled, boot.first);
    options.writer.room_key = boot.room_key;
    WriterCallbacks callbacks;
    callbacks.on_progress = [this](bool settled) { (settled ? progress_settled : progress_passed)++; };
    writer = std::make_unique<Writer>(options.writer, database, *ring, *durability, shared, clock, callbacks);
    options.history.epoch = boot.epoch;
    options.history.room_key = boot.room_key;
    history = std::make_unique<HistoryStore>(options.history, database, shared, *durability, clock);
    retention =
        std::make_unique<Retention>(options.retention, database, *durability, shared, clock,
                                    [this](RoomId room, Sequence upto) { trims.emplace_back(room, upto); });
  }

  ~Life() {
    if (writer) writer->release_unconsumed();
  }

  RoomId room(const std::string& name) const { return room_id_of(boot.room_key, "acme", name); }

  EventRef encode(const Post& post) const {
    EventDraft draft;
    std::string data = fmt::format("{{\"text\":\"{}\"}}", post.text);
    if (post.own_id) {
      data = fmt::format("{{\"message\":{{\"id\":\"{}\"}},\"text\":\"{}\"}}", Cursor{boot.epoch, {}}.text(),
                         post.text);
      draft.sequence_place = static_cast<uint32_t>(data.find('-') + 1);
    }
    draft.type = post.type;
    draft.shown_room = post.shown_room == "\x02same" ? post.room : post.shown_room;
    draft.data = data;
    draft.room = room(post.room);
    draft.room_name = Name("acme", post.room);
    if (!post.user.empty()) draft.user = Name("acme", post.user);
    if (!post.subject.empty()) draft.subject = Name("acme", post.subject);
    draft.wall_ms = clock.wall_ms();
    draft.event_class = post.event_class;
    draft.kind = post.kind;
    draft.effect = post.effect;
    draft.room_record = post.room_record;
    draft.client_id = post.client_id;
    draft.content_hash = post.content_hash;
    draft.about = post.about;
    return Event::encode(draft, boot.epoch);
  }

  // Claims, patches, publishes, and passes the only shard over it. The caller's reference is its own.
  EventRef publish(const Post& post) {
    EventRef event = encode(post);
    auto claim = ring->try_claim(1, event->size(), Ring::Priority::normal);
    EXPECT_TRUE(claim);
    if (!claim) return {};
    event.mutable_event()->patch(claim->first);
    Slot& slot = ring->slot(claim->first);
    slot.event = event.get();
    slot.room = event->room();
    slot.mask = 1;
    slot.bytes = event->size();
    slot.kind = event->kind();
    slot.kept = event->kept() || event->marker();
    slot.marker = event->marker();
    if (slot.kept) event->prepay(1);  // the writer's
    ring->publish(claim->first);
    ring->consumed(0, claim->first, event->size());
    return event;
  }

  // Steps until nothing more happens.
  void settle() {
    for (int i = 0; i < 10'000 && writer->step(clock.now_ms()); i++) {
    }
  }

  // What a read answers, stepping until it does.
  std::shared_ptr<const ReadAnswer> read(const ReadRequest& request) {
    std::shared_ptr<const ReadAnswer> answer;
    history->read(request, [&](std::shared_ptr<const ReadAnswer> a) { answer = std::move(a); });
    while (!answer && history->step()) {
    }
    return answer;
  }
  std::shared_ptr<const ReadAnswer> read_all(const std::string& name, uint32_t max_events = 1'000'000) {
    ReadRequest request;
    request.room = room(name);
    request.upto = durability->durable();
    request.max_events = max_events;
    request.max_bytes = UINT32_MAX;
    return read(request);
  }
  std::unique_ptr<RoomRecord> load_room(const std::string& name) {
    std::unique_ptr<RoomRecord> record;
    history->load_room(room(name), Name("acme", name), [&](auto r) { record = std::move(r); });
    while (!record && history->step()) {
    }
    return record;
  }
  std::unique_ptr<UserRecord> load_user(const std::string& name) {
    std::unique_ptr<UserRecord> record;
    Name user("acme", name);
    history->load_user(user, inbox_id_of(boot.room_key, user), [&](auto r) { record = std::move(r); });
    while (!record && history->step()) {
    }
    return record;
  }
  IdempotencyRecord find(const std::string& room_name, const std::string& user,
                         const std::string& client_id) {
    std::optional<IdempotencyRecord> record;
    history->find_idempotent(room(room_name), Name("acme", user), client_id, [&](auto r) { record = r; });
    while (!record && history->step()) {
    }
    return record.value_or(
        IdempotencyRecord{.found = false, .failed = true, .sequence = {}, .content_hash = 0});
  }
  void retain() {
    for (int i = 0; i < 100'000 && retention->step(clock.now_ms()); i++) {
    }
  }

  Database& database;
  TestClock& clock;

 private:
  TestRandom random_;
  NoWaker waker_;

 public:
  StoreBoot boot;
  SharedState shared;
  std::unique_ptr<Ring> ring;
  std::unique_ptr<Durability> durability;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<HistoryStore> history;
  std::unique_ptr<Retention> retention;
  uint64_t progress_settled = 0, progress_passed = 0;
  std::vector<std::pair<RoomId, Sequence>> trims;
};

// An edit or a deletion, and a receipt.
inline Post change(const Event& message, const std::string& text, const char* type = "message.updated") {
  return {.text = text, .type = type, .effect = EventEffect::message_changed, .about = message.sequence()};
}
inline Post receipt(const std::string& user, bool read, Sequence upto) {
  return {.user = user,
          .type = read ? "receipt.read" : "receipt.delivered",
          .event_class = EventClass::marker,
          .about = upto};
}

// The events' texts, for comparing.
inline std::vector<std::string> datas(const ReadAnswer& answer) {
  std::vector<std::string> out;
  for (const EventRef& event : answer.events) out.emplace_back(event->data());
  return out;
}
inline std::string text_of(const std::string& text) { return fmt::format("{{\"text\":\"{}\"}}", text); }

}  // namespace twinwire::store
