// CommandEngine: one shard with a ring, a store that never heard of anything, and sockets that are strings,
// for tests of commands and of what streams are told. Not here: the disk, several shards, faults (tests/sim).
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/json.h"
#include "core/shard.h"
#include "tests/support/engine_parts.h"

namespace twinwire::test {

// Sockets that take everything. What went to each connection is kept as the JSON texts of its WebSocket
// frames.
class Texts final : public Transport {
 public:
  void send(ConnectionId id, const char* bytes, size_t size) override {
    sent += size;
    if (counting_only) return;
    std::string& in = raw_[index_of(id)];
    in.append(bytes, size);
    take_frames(index_of(id), in);
  }
  void submit() override {}
  void want_writable(ConnectionId) override {}
  void close(ConnectionId) override {}
  void reply(ConnectionId, std::string_view tag, const Reply& reply) override {
    replies[std::string(tag)] = reply;
  }
  void stream_opened(ConnectionId) override {}

  std::map<uint32_t, std::vector<std::string>> texts;  // by connection
  std::map<std::string, Reply> replies;                // by tag
  uint64_t sent = 0;
  bool counting_only = false;

 private:
  void take_frames(uint32_t id, std::string& in) {
    for (;;) {
      if (in.size() < 2) return;
      size_t size = static_cast<unsigned char>(in[1]) & 127, head = size == 126 ? 4 : size == 127 ? 10 : 2;
      if (in.size() < head) return;
      if (head > 2) size = 0;
      for (size_t i = 2; i < head; i++) size = size << 8 | static_cast<unsigned char>(in[i]);
      if (in.size() < head + size) return;
      texts[id].push_back(in.substr(head, size));
      in.erase(0, head + size);
    }
  }
  std::map<uint32_t, std::string> raw_;
};

class CommandEngine {
 public:
  // `history`: another store than one that never heard of anything. `first`: the first sequence of this run.
  explicit CommandEngine(const Config& config = {}, const Bounds& bounds = {}, History* history = nullptr,
                         uint64_t first = 1, uint32_t slots = 1 << 14)
      : config_(config), log_(1, first, slots) {
    Engine::Parts shared = log_.parts(config_, clock);
    Engine::Parts parts{shared.config, shared.boot,       shared.clock,
                        shared.ring,   shared.durability, history ? *history : shared.history};
    parts.bounds = bounds;
    engine_ =
        std::make_unique<Engine>(parts, std::vector<Transport*>{&sockets}, std::vector<Random*>{&random_});
  }

  Shard& shard() { return engine_->shard(ShardIndex{0}); }
  Engine& engine() { return *engine_; }
  Durability& durability() { return log_.durability; }
  Ring& ring() { return *log_.ring; }
  std::string cursor(uint64_t sequence) { return shard().cursor({sequence}).text(); }

  // A stream by WebSocket; its number is the connection's.
  uint32_t open(const std::string& user, std::vector<std::string> rooms = {}) {
    return open(user, std::move(rooms), StreamRequest());
  }
  // The same, with whatever else `request` says.
  uint32_t open(const std::string& user, std::vector<std::string> rooms, StreamRequest request) {
    uint32_t id = next_connection_++;
    shard().connection_opened(ConnectionId{id}, 1);
    request.form = Form::ws;
    request.who.user = Name("t", user);
    request.rooms = std::move(rooms);
    shard().open_stream(ConnectionId{id}, std::move(request));
    return id;
  }
  void close(uint32_t id) { shard().connection_closed(ConnectionId{id}); }

  // Sends and settles; the answer's body.
  std::string command(const std::string& user, std::string_view name, const std::string& json,
                      SessionId session = {}, bool backend = false) {
    std::string tag = send(user, name, json, session, backend);
    settle();
    return sockets.replies.contains(tag) ? sockets.replies[tag].body : "(no answer)";
  }
  std::string send(const std::string& user, std::string_view name, const std::string& json,
                   SessionId session = {}, bool backend = false) {
    std::string tag = std::to_string(next_tag_++);
    Command command;
    command.row = find_command(name);
    auto args = decode_args(*command.row, json, NameLimits{});
    if (!args) {
      sockets.replies[tag] = reply_of(args.error());
      return tag;
    }
    command.args = std::move(*args);
    command.who.user = Name("t", user);
    command.who.backend = backend;
    command.session = session;
    command.tag = tag;
    uint32_t id = next_connection_++;
    shard().connection_opened(ConnectionId{id}, 1);
    command.connection = ConnectionId{id};
    command.connection_generation = 1;
    shard().command(std::move(command));
    return tag;
  }

  // Ticks, and writes as the writer would, until nothing is left to do.
  void settle(uint32_t ticks = 12) {
    for (uint32_t tick = 0; tick < ticks; tick++) {
      shard().tick();
      if (writing) write();
    }
  }
  // Time passes in steps that timers notice.
  void pass(Millis ms) {
    for (Millis step = 0; step < ms; step += 100) {
      clock.now += 100;
      settle(2);
    }
  }
  void write(Outcome outcome = Outcome::stored) { log_.write(outcome); }
  // The same, with an outcome for each event.
  void write(const std::function<Outcome(const Event&)>& outcome_of) { log_.write(outcome_of); }

  // What was to be written of receipts, in order: "receipt.read USER UPTO".
  std::vector<std::string> markers() {
    std::vector<std::string> out;
    for (const MarkerSeen& marker : log_.markers)
      out.push_back(marker.type + " " + marker.user + " " + cursor(marker.upto.value));
    return out;
  }
  std::vector<std::string>& texts(uint32_t connection) { return sockets.texts[connection]; }
  // How many texts of a stream hold all of `parts`.
  size_t count(uint32_t connection, const std::vector<std::string>& parts) {
    size_t found = 0;
    for (const std::string& text : texts(connection)) {
      bool all = true;
      for (const std::string& part : parts) all = all && text.find(part) != std::string::npos;
      found += all;
    }
    return found;
  }

  MovedClock clock;
  Texts sockets;
  bool writing = true;

 private:
  Config config_;
  StoredLog log_;
  CountingRandom random_;
  std::unique_ptr<Engine> engine_;
  uint32_t next_connection_ = 0;
  uint32_t next_tag_ = 1;
};

// The text of the first member called `key`.
inline std::string member(const std::string& json, const std::string& key) {
  std::string start = "\"" + key + "\":\"";
  size_t at = json.find(start);
  if (at == std::string::npos) return "";
  at += start.size();
  return json.substr(at, json.find('"', at) - at);
}

inline testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << part << " is not in " << text;
}

}  // namespace twinwire::test
