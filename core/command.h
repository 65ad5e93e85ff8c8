// The command table: every command exists once, with its parameters, where it runs, and its handler.
// A command is one row and one handler; decoding, routing, errors and both carriers come from the row.
// Not here: bytes of HTTP or WS (net/gateway), the handlers themselves (commands_*.cc).
// The table is constant; a Command belongs to one shard at a time and moves whole.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/identity.h"
#include "core/status.h"
#include "core/transport.h"
#include "core/types.h"

namespace twinwire {

// Every parameter any command has, once. The wire name and what it means are in the table of command.cc.
enum class Field : uint8_t {
  room,
  user,
  users,
  content,
  encrypted_content,
  type,
  file_url,
  file_name,
  file_size,
  reply_to,
  client_id,
  ack,
  exclude,
  limit,
  before,
  after,
  join,
  participants,
  name,
  is_group,
  open,
  state,
  data,
  ephemeral,
  session,
  id,
  token,
  user_id,
  user_name,
  message_id,
  up_to,
  camera,
  mic,
  screen,
  to,
  history,
  count_
};

// What a parameter must look like. Sizes in bytes come from limits and are checked while decoding.
enum class Shape : uint8_t {
  room_name,   // 1…128 bytes of valid UTF-8 without control characters; "conversationId" is accepted too
  user_name,   // likewise
  user_names,  // an array of them, at most 256
  text,        // any string
  word,        // a string from FieldSpec::words
  event_type,  // [A-Za-z0-9_.:-]{1,64}
  integer,     // 0…max
  boolean,
  object,          // any JSON value, kept as raw JSON
  cursor_or_time,  // an eventId, a messageId, or an RFC 3339 time
  event_id,        // an eventId or a messageId
};

struct FieldSpec {
  Field field;
  Shape shape;
  bool required = false;
  uint64_t max = 0;  // integer: greatest value; text: greatest size in bytes (0: the message limit)
  std::string_view words = {};  // word: "a|b|c"
};

// The decoded parameters. Absent ones read as empty. All texts stand in one piece of memory, which moves with
// their owner: a view of one lives as long as nothing is set.
class Args {
 public:
  bool has(Field field) const { return find(field) != nullptr; }
  std::string_view text(Field field) const {
    const Value* value = find(field);
    return value ? text_of(*value) : std::string_view();
  }
  uint64_t number(Field field, uint64_t otherwise) const;
  bool flag(Field field) const { return text(field) == "true"; }
  const std::vector<std::string>& list() const { return list_; }  // of the one parameter that is a list
  // Room for so many parameters and bytes: more may come.
  void reserve(size_t count, size_t bytes) {
    values_.reserve(count);
    texts_.reserve(bytes);
  }
  void set(Field field, std::string_view text) {
    values_.push_back({field, static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())});
    texts_.insert(texts_.end(), text.begin(), text.end());
  }
  void set_list(Field field, std::vector<std::string> list) {
    set(field, "");
    list_ = std::move(list);
  }
  // Of everything that makes the command what it is: tells a retry from another command with the same
  // clientId.
  uint64_t content_hash() const;

 private:
  struct Value {
    Field field;
    uint32_t at, size;  // in texts_
  };
  const Value* find(Field field) const {
    for (const Value& value : values_)
      if (value.field == field) return &value;
    return nullptr;
  }
  std::string_view text_of(const Value& value) const { return {texts_.data() + value.at, value.size}; }
  std::vector<Value> values_;
  std::vector<char> texts_;  // no string: moving a short one would move its bytes
  std::vector<std::string> list_;
};

// Where a command runs.
enum class Where : uint8_t {
  here,     // the shard that received it
  session,  // the shard that hosts the named session's stream (or, over WS, the connection's own)
  room,     // the home of `room`
  user,     // the home of the acting user
};

// Who may send a command: backends act as nobody, so what is about oneself is not theirs.
enum class By : uint8_t { users, anyone };

struct CommandRow;

// Commands that came as one and are answered as one: the answers arrive in any order. Touched on the origin's
// shard only.
struct Batch {
  std::vector<std::string> answers;
  uint32_t missing = 0;
  Code code = Code::ok;  // of the first that failed
  // Takes one answer; the whole one with the last.
  std::optional<Reply> take(uint32_t place, const Reply& reply);
};

// One command on its way. Made by the gateway, run on `row->where`, answered to `origin`'s connection.
struct Command {
  const CommandRow* row = nullptr;
  Args args;
  Identity who;
  SessionId session;  // the stream that sent it (WS), or the one a POST named; none otherwise
  bool paid = false;  // part of a batch: admitted once for all of it
  ShardIndex origin{};
  ConnectionId connection = kNoConnection;  // on origin; answers go there
  uint32_t connection_generation = 0;       // answers to a connection that has gone are dropped
  std::string answer_fields;     // at home: what the answer says beside the event's id, inside of an object
  std::string tag;               // WS: the raw JSON of "id" ("" when absent)
  uint64_t received_us = 0;      // Clock::now_us() at Shard::command
  std::shared_ptr<Batch> batch;  // that it is an element of, at `place`
  uint32_t place = 0;
};

class Shard;

// One member of an object that the server sends, for the documentation (core/schema.h says how `type` is
// read).
struct DocMember {
  std::string_view name;
  std::string_view type;
  std::string_view doc;
};

struct CommandRow {
  std::string_view name;  // "messages.send"; POST /api/messages/send
  Where where;
  By by;
  // What the acting identity needs in `room`: checked by at_room (commands.h), at the room's home and before
  // the handler's work. `none`: no room is concerned, or the handler asks Homes::may itself.
  Right right;
  std::span<const FieldSpec> fields;
  // Runs on the shard that `where` names. Answers now or later by Shard::reply; owns the command.
  void (*run)(Shard& shard, Command command);
  std::string_view doc;               // what it does, in a sentence or two
  std::span<const DocMember> result;  // what the answer holds beside "success"
};

std::span<const CommandRow> command_table();
const CommandRow* find_command(std::string_view name);
size_t command_index(const CommandRow& row);  // its place in the table
// Whether an array of parameters is a batch of such commands.
inline bool takes_batch(const CommandRow& row) { return row.name == "events.publish"; }
std::string_view wire_name(Field field);
std::string_view other_name(Field field);  // also understood; "" if there is none
std::string_view doc_of(Field field);      // a sentence

struct NameLimits {
  uint32_t room_name_bytes = 128;
  uint32_t user_id_bytes = 128;
  uint32_t message_bytes = 64 << 10;
};

// Decodes a JSON object (`{}` and "" are an empty one) into the row's parameters. Errors: invalid_json,
// invalid_argument (missing, wrong type, out of range: the sentence names the parameter), too_large.
Result<Args> decode_args(const CommandRow& row, std::string_view json, const NameLimits& limits);

// A name as the protocol allows it: valid UTF-8 without control characters, 1…max bytes.
Result<void> check_name(std::string_view what, std::string_view name, uint32_t max);

}  // namespace twinwire
