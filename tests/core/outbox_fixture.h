// Outboxes with a transport that takes as much as the test says, and events whose references can be counted.
// For outbox_test.cc and outbox_runs_test.cc.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/outbox.h"

namespace twinwire::test {

constexpr ConnectionId id_of(uint32_t i) { return ConnectionId{i}; }

// Sockets of a test: each takes at most `room` bytes in a submit, then says so as the contract wants.
class Sockets final : public Transport {
 public:
  void send(ConnectionId connection, const char* bytes, size_t size) override {
    EXPECT_GT(size, 0u) << "an empty send";
    EXPECT_TRUE(queued_.emplace(index_of(connection), std::string_view(bytes, size)).second)
        << "two sends in a tick";
    addresses[index_of(connection)] = bytes;
  }
  void submit() override {
    submits++;
    for (auto& [connection, bytes] : std::exchange(queued_, {})) {
      size_t taken = std::min(bytes.size(), room.contains(connection) ? room[connection] : SIZE_MAX);
      got[connection] += bytes.substr(0, taken);
      if (taken < bytes.size()) outboxes->on_short_send(ConnectionId{connection}, taken);
    }
  }
  void want_writable(ConnectionId connection) override { wants_writable.push_back(index_of(connection)); }
  void close(ConnectionId connection) override { closed.push_back(index_of(connection)); }
  void reply(ConnectionId, std::string_view, const Reply&) override {}
  void stream_opened(ConnectionId) override {}

  Outboxes* outboxes = nullptr;
  std::map<uint32_t, size_t> room;  // how much a connection takes at once; absent: everything
  std::map<uint32_t, std::string> got;
  std::map<uint32_t, const char*> addresses;  // of the last send
  std::vector<uint32_t> wants_writable, closed;
  int submits = 0;

 private:
  std::map<uint32_t, std::string_view> queued_;
};

// An event whose references can be counted: the test holds one, and asks whether it is the last.
class TestEvent {
 public:
  explicit TestEvent(uint64_t sequence, size_t text = 10, const Name& room = Name("t", "lobby")) {
    EventDraft draft;
    std::string data = "\"" + std::string(text, 'x') + std::to_string(sequence) + "\"";
    draft.type = "e";
    draft.data = data;
    draft.room_name = room;
    ref_ = Event::encode(draft, Epoch{1});
    ref_.mutable_event()->patch(Sequence{sequence});
    refs_ = ref_.get();
  }
  const Event* get() const { return ref_.get(); }
  Entry borrow() const { return Entry::borrow(ref_.get()); }
  Entry own() const { return Entry::own(EventRef::share(ref_.get())); }
  std::string sse() const { return std::string(ref_->sse()); }
  std::string ws() const { return std::string(ref_->ws()); }
  // References beside the test's own. Event has no way to ask: its first member is the count.
  uint32_t others() const { return *reinterpret_cast<const volatile uint32_t*>(refs_) - 1; }

 private:
  EventRef ref_;
  const Event* refs_ = nullptr;
};

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() : outboxes_(sockets_, {.raw_bytes_max = 1000}) { sockets_.outboxes = &outboxes_; }

  void open(uint32_t i, Form form = Form::sse, bool attention = false) {
    outboxes_.open(id_of(i), 1);
    outboxes_.at(id_of(i)).form = form;
    outboxes_.at(id_of(i)).attention = attention;
  }
  std::vector<FlushResult> flush() { return outboxes_.flush(); }
  // Whether an event of an inbox was among what was dropped.
  bool drops_inbox(uint32_t connection) {
    FlushResult dropped;
    outboxes_.drop_events(id_of(connection), dropped);
    return dropped.dropped_inbox;
  }

  Sockets sockets_;
  Outboxes outboxes_;
};

}  // namespace twinwire::test
