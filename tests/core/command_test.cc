// Decoding of commands: every row of the table against every way in which each of its parameters can be
// wrong.
#include "core/command.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/json.h"

namespace twinwire {
namespace {

const NameLimits kLimits{.room_name_bytes = 40, .user_id_bytes = 30, .message_bytes = 1000};

// A right value of a parameter, as JSON, and what Args says of it.
std::string right_value(const FieldSpec& spec) {
  switch (spec.shape) {
    case Shape::room_name:
      return R"("lobby é")";
    case Shape::user_name:
      return R"("alice")";
    case Shape::user_names:
      return R"(["alice","bob"])";
    case Shape::text:
      return R"("some \"text\" \n 😀")";
    case Shape::word:
      return json_string(spec.words.substr(0, spec.words.find('|')));
    case Shape::event_type:
      return R"("goal.created_1:x-Y")";
    case Shape::integer:
      return "7";
    case Shape::boolean:
      return "true";
    case Shape::object:
      return R"({"a":[1,{"b":null}],"c":"d\n"})";
    case Shape::cursor_or_time:
    case Shape::event_id:
      return R"("9c1f00d2ab37-0000002a91c4e1")";
  }
  return "null";
}

using Values = std::map<std::string, std::string>;

std::string object_of(const Values& values) {
  std::string out = "{";
  for (auto& [key, value] : values) out += (out.size() > 1 ? "," : "") + json_string(key) + ":" + value;
  return out + "}";
}

Values right_values(const CommandRow& row) {
  Values values;
  for (const FieldSpec& spec : row.fields) values[std::string(wire_name(spec.field))] = right_value(spec);
  return values;
}

void expect_refused(const CommandRow& row, const std::string& json, Code code, std::string_view named = {}) {
  auto args = decode_args(row, json, kLimits);
  ASSERT_FALSE(args) << row.name << " " << json;
  EXPECT_EQ(args.error().code, code) << row.name << " " << json << ": " << args.error().sentence;
  EXPECT_FALSE(args.error().sentence.empty());
  if (!named.empty()) {
    EXPECT_NE(args.error().sentence.find("'" + std::string(named) + "'"), std::string::npos)
        << row.name << " " << json << ": " << args.error().sentence;
  }
}

// Calls with every row and each of its parameters, all others being right.
template <typename F>
void each_parameter(F f) {
  for (const CommandRow& row : command_table())
    for (const FieldSpec& spec : row.fields)
      f(row, spec, std::string(wire_name(spec.field)), right_values(row));
}

TEST(CommandTable, RowsAreSound) {
  std::set<std::string_view> names;
  for (const CommandRow& row : command_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_NE(row.run, nullptr);
    EXPECT_EQ(find_command(row.name), &row);
    EXPECT_EQ(std::count(row.name.begin(), row.name.end(), '.'), 1) << row.name << ": group and verb";
    EXPECT_FALSE(row.doc.empty()) << row.name;
    std::set<Field> fields;
    int lists = 0;
    for (const FieldSpec& spec : row.fields) {
      EXPECT_TRUE(fields.insert(spec.field).second) << row.name;
      EXPECT_FALSE(wire_name(spec.field).empty());
      EXPECT_EQ(spec.shape == Shape::word, !spec.words.empty());
      lists += spec.shape == Shape::user_names;
    }
    EXPECT_LE(lists, 1) << "Args holds one list";
    // What runs at a room's home needs the room.
    if (row.where == Where::room) {
      EXPECT_TRUE(fields.contains(Field::room)) << row.name;
    }
  }
  for (auto name : {"messages.send", "messages.load", "rooms.create", "rooms.load", "rooms.join",
                    "rooms.leave", "rooms.clear", "typing.start", "typing.stop", "presence.list",
                    "presence.set", "session.info", "events.publish"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_EQ(find_command("messages.nothing"), nullptr);
  EXPECT_EQ(find_command(""), nullptr);
  EXPECT_EQ(find_command("messages.send "), nullptr);
}

TEST(CommandTable, WireNamesAreDistinct) {
  std::set<std::string_view> names;
  for (size_t f = 0; f < static_cast<size_t>(Field::count_); f++)
    EXPECT_TRUE(names.insert(wire_name(static_cast<Field>(f))).second) << f;
  EXPECT_EQ(wire_name(Field::encrypted_content), "encryptedContent");
  EXPECT_EQ(wire_name(Field::participants), "participantIds");
  EXPECT_EQ(wire_name(Field::screen), "screen");
}

TEST(DecodeArgs, RightValues) {
  for (const CommandRow& row : command_table()) {
    auto args = decode_args(row, object_of(right_values(row)), kLimits);
    ASSERT_TRUE(args) << row.name << ": " << args.error().sentence;
    for (const FieldSpec& spec : row.fields) {
      EXPECT_TRUE(args->has(spec.field));
      std::string_view text = args->text(spec.field);
      switch (spec.shape) {
        case Shape::room_name:
          EXPECT_EQ(text, "lobby é");
          break;
        case Shape::user_name:
          EXPECT_EQ(text, "alice");
          break;
        case Shape::user_names:
          EXPECT_EQ(args->list(), (std::vector<std::string>{"alice", "bob"}));
          break;
        case Shape::text:
          EXPECT_EQ(text, "some \"text\" \n 😀");
          break;
        case Shape::word:
          EXPECT_EQ(text, spec.words.substr(0, spec.words.find('|')));
          break;
        case Shape::event_type:
          EXPECT_EQ(text, "goal.created_1:x-Y");
          break;
        case Shape::integer:
          EXPECT_EQ(args->number(spec.field, 3), 7u);
          break;
        case Shape::boolean:
          EXPECT_TRUE(args->flag(spec.field));
          break;
        case Shape::object:
          EXPECT_EQ(text, R"({"a":[1,{"b":null}],"c":"d\n"})");
          break;
        case Shape::cursor_or_time:
        case Shape::event_id:
          EXPECT_EQ(text, "9c1f00d2ab37-0000002a91c4e1");
          break;
      }
    }
  }
}

TEST(DecodeArgs, WordsAreTheListedOnes) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    if (spec.shape != Shape::word) return;
    std::string_view words = spec.words;
    while (!words.empty()) {
      size_t bar = words.find('|');
      values[name] = json_string(words.substr(0, bar));
      EXPECT_TRUE(decode_args(row, object_of(values), kLimits)) << values[name];
      words = bar == std::string_view::npos ? std::string_view() : words.substr(bar + 1);
    }
    for (std::string wrong :
         {"", "|", "other", "Stored", "accepted ", "accepted|stored", "none|connection", "one"}) {
      values[name] = json_string(wrong);
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
  });
}

TEST(DecodeArgs, MissingAndNull) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    Values with_null = values, without = values;
    with_null[name] = "null";
    without.erase(name);
    for (const Values& v : {with_null, without}) {
      bool any_json = spec.required && spec.shape == Shape::object && v.contains(name);
      if (any_json) {  // null is one: presence.set takes a state back by it
        auto args = decode_args(row, object_of(v), kLimits);
        ASSERT_TRUE(args) << row.name << " " << args.error().sentence;
        EXPECT_EQ(args->text(spec.field), "null");
      } else if (spec.required) {
        expect_refused(row, object_of(v), Code::invalid_argument, name);
      } else {
        auto args = decode_args(row, object_of(v), kLimits);
        ASSERT_TRUE(args) << row.name << " " << object_of(v) << args.error().sentence;
        EXPECT_FALSE(args->has(spec.field));
        EXPECT_EQ(args->text(spec.field), "");
        EXPECT_EQ(args->number(spec.field, 42), 42u);
        EXPECT_FALSE(args->flag(spec.field));
      }
    }
  });
}

TEST(DecodeArgs, NothingAtAll) {
  for (const CommandRow& row : command_table()) {
    bool needs = false;
    for (const FieldSpec& spec : row.fields) needs |= spec.required;
    for (std::string json : {"", "{}", " {\n} "}) {
      if (needs)
        expect_refused(row, json, Code::invalid_argument);
      else
        EXPECT_TRUE(decode_args(row, json, kLimits)) << row.name;
    }
  }
}

TEST(DecodeArgs, WrongTypes) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    const bool is_text = spec.shape != Shape::integer && spec.shape != Shape::boolean &&
                         spec.shape != Shape::object && spec.shape != Shape::user_names;
    for (std::string wrong : {R"("text")", "7", "-1", "1.5", "1e3", "true", "[]", "{}", R"(["a"])", "[[]]"}) {
      if (spec.shape == Shape::object) continue;  // takes any
      if (spec.shape == Shape::integer && wrong == "7") continue;
      if (spec.shape == Shape::boolean && wrong == "true") continue;
      if (spec.shape == Shape::user_names && (wrong == "[]" || wrong == R"(["a"])")) continue;
      if (is_text && wrong == R"("text")") continue;
      values[name] = wrong;
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
  });
}

TEST(DecodeArgs, Lengths) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    uint64_t max = 0;
    Code code = Code::invalid_argument;
    switch (spec.shape) {
      case Shape::room_name:
        max = kLimits.room_name_bytes;
        break;
      case Shape::user_name:
        max = kLimits.user_id_bytes;
        break;
      case Shape::event_type:
        max = 64;
        break;
      case Shape::cursor_or_time:
        max = 64;
        break;
      case Shape::text:
        max = spec.max ? spec.max : kLimits.message_bytes;
        if (!spec.max) code = Code::too_large;
        break;
      case Shape::object: {
        values[name] = "[" + std::string(kLimits.message_bytes - 2, '1') + "]";
        values[name] = "\"" + std::string(kLimits.message_bytes - 2, 'x') + "\"";
        EXPECT_TRUE(decode_args(row, object_of(values), kLimits));
        values[name] = "\"" + std::string(kLimits.message_bytes - 1, 'x') + "\"";
        expect_refused(row, object_of(values), Code::too_large, name);
        return;
      }
      case Shape::integer: {
        if (!spec.max) return;
        values[name] = std::to_string(spec.max);
        EXPECT_TRUE(decode_args(row, object_of(values), kLimits)) << row.name << name;
        values[name] = "0";
        EXPECT_TRUE(decode_args(row, object_of(values), kLimits));
        values[name] = std::to_string(spec.max + 1);
        expect_refused(row, object_of(values), Code::invalid_argument, name);
        return;
      }
      default:
        return;
    }
    values[name] = "\"" + std::string(max, 'x') + "\"";
    EXPECT_TRUE(decode_args(row, object_of(values), kLimits)) << row.name << " " << name;
    values[name] = "\"" + std::string(max + 1, 'x') + "\"";
    expect_refused(row, object_of(values), code, name);
    // Bytes count, not characters.
    if (spec.shape == Shape::event_type) return;
    std::string wide;
    while (wide.size() + 2 <= max) wide += "é";
    values[name] = "\"" + wide + "\"";
    EXPECT_TRUE(decode_args(row, object_of(values), kLimits));
    values[name] = "\"" + wide + "é\"";
    expect_refused(row, object_of(values), code, name);
  });
}

TEST(DecodeArgs, Names) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    if (spec.shape != Shape::room_name && spec.shape != Shape::user_name && spec.shape != Shape::user_names)
      return;
    const bool list = spec.shape == Shape::user_names;
    auto set = [&](const std::string& json) { values[name] = list ? "[\"good\"," + json + "]" : json; };
    for (std::string bad : {"", "\n", "a\tb", "a\rb",
                            "\x01"
                            "alice",
                            "\x1f", "\x7f", "x\x7f"}) {
      set(json_string(bad));
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
    // The controls that UTF-8 writes in two bytes, a line break among them.
    for (std::string bad : {R"("\u0000")", R"("a\u0080")", R"("\u0085b")", R"("\u009f")", "\"\xc2\x85\""}) {
      set(bad);
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
    for (std::string good :
         {R"(" ")", R"("a b")", R"("#room/1?x&y")", R"("日本")", R"("\u00a0")", R"("\"\\")", R"("é")"}) {
      set(good);
      EXPECT_TRUE(decode_args(row, object_of(values), kLimits)) << good;
    }
  });
}

TEST(DecodeArgs, ListsOfUsers) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    if (spec.shape != Shape::user_names) return;
    auto list_of = [](int n) {
      std::string json = "[";
      for (int i = 0; i < n; i++) json += (i ? ",\"u" : "\"u") + std::to_string(i) + "\"";
      return json + "]";
    };
    values[name] = list_of(256);
    auto args = decode_args(row, object_of(values), kLimits);
    ASSERT_TRUE(args);
    EXPECT_EQ(args->list().size(), 256u);
    EXPECT_EQ(args->list()[255], "u255");
    values[name] = list_of(257);
    expect_refused(row, object_of(values), Code::invalid_argument, name);
    for (std::string wrong : {"[1]", R"(["a",null])", R"([["a"]])", R"(["a",{}])"}) {
      values[name] = wrong;
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
    values[name] = "[]";
    args = decode_args(row, object_of(values), kLimits);
    ASSERT_TRUE(args);
    EXPECT_TRUE(args->has(spec.field));
    EXPECT_TRUE(args->list().empty());
  });
}

TEST(DecodeArgs, EventTypes) {
  each_parameter([](auto& row, auto& spec, auto name, Values values) {
    if (spec.shape != Shape::event_type) return;
    for (std::string bad : {"", "a b", "a\n", "a/b", "é", "a\"", "<", "a\xe2\x80\xa8"}) {
      values[name] = json_string(bad);
      expect_refused(row, object_of(values), Code::invalid_argument, name);
    }
  });
}

// RFC 8259: only UTF-8 is JSON. Wherever a byte is wrong, in a value, a key, or a parameter nobody knows.
TEST(DecodeArgs, InvalidUtf8IsInvalidJson) {
  for (std::string bad : {"\x80", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80"}) {
    each_parameter([&](auto& row, auto&, auto name, Values values) {
      values[name] = "\"x" + bad + "\"";
      expect_refused(row, object_of(values), Code::invalid_json);
    });
    for (const CommandRow& row : command_table()) {
      Values values = right_values(row);
      values["unknown"] = "\"" + bad + "\"";
      expect_refused(row, object_of(values), Code::invalid_json);
    }
  }
}

TEST(DecodeArgs, MalformedJson) {
  for (const CommandRow& row : command_table()) {
    const std::string good = object_of(right_values(row));
    ASSERT_TRUE(decode_args(row, good, kLimits));
    for (size_t size = 1; size < good.size(); size++)
      expect_refused(row, good.substr(0, size), Code::invalid_json);
    for (const std::string& bad : std::initializer_list<std::string>{
             good + "x", good + "{}", "{'a':1}", "{a:1}", "{\"a\":01}", "{\"a\":\"\\ud800\"}",
             "{\"a\":\"\n\"}", "nope", "{\"a\":1,}", "[1", " ", "\"", "{\"a\":tru}", "\xef\xbb\xbf"})
      expect_refused(row, bad, Code::invalid_json);
    for (std::string other : {"[]", "1", "\"x\"", "true", "null", "[{}]"})
      expect_refused(row, other, Code::invalid_argument);
    expect_refused(row, std::string(5000, '[') + std::string(5000, ']'), Code::invalid_json);
  }
}

TEST(DecodeArgs, UnknownParametersAreIgnored) {
  for (const CommandRow& row : command_table()) {
    Values values = right_values(row);
    values["unknown"] = R"({"deep":[1,2,{"x":null}]})";
    values[""] = "[]";
    values["ROOM"] = "1";
    EXPECT_TRUE(decode_args(row, object_of(values), kLimits)) << row.name;
  }
}

// Protocol, 5: `room` is accepted as `conversationId` too.
TEST(DecodeArgs, ConversationId) {
  for (const CommandRow& row : command_table()) {
    Values values = right_values(row);
    if (!values.contains("room")) continue;
    values.erase("room");
    values["conversationId"] = R"("other")";
    auto args = decode_args(row, object_of(values), kLimits);
    ASSERT_TRUE(args) << row.name;
    EXPECT_EQ(args->text(Field::room), "other");
    values["room"] = R"("first")";
    EXPECT_EQ(decode_args(row, object_of(values), kLimits)->text(Field::room), "first");
    values["conversationId"] = "\"\"";
    values.erase("room");
    expect_refused(row, object_of(values), Code::invalid_argument, "room");
  }
}

TEST(DecodeArgs, EscapedKeysAreKeys) {
  auto args = decode_args(*find_command("rooms.join"), R"({"\u0072oom":"lobby"})", kLimits);
  ASSERT_TRUE(args);
  EXPECT_EQ(args->text(Field::room), "lobby");
}

// The data of an event travels within a line of SSE: minified, no raw line break in it.
TEST(DecodeArgs, ObjectsAreOneLine) {
  const CommandRow& row = *find_command("events.publish");
  auto args = decode_args(
      row, "{\"room\":\"r\",\"type\":\"t\",\"data\":{\n\t\"a\" : [ 1 ,\r\n 2.5 ],\"b\":\"\\n\\r\\u2028\"}}",
      kLimits);
  ASSERT_TRUE(args);
  EXPECT_EQ(args->text(Field::data), R"({"a":[1,2.5],"b":"\n\r\u2028"})");
  // A number is as it was written, whatever it is beyond 64 bits.
  for (std::string value :
       {"0", "-1", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
        "3.14159265358979323846264338327950288", "1e400", "-1E-400", "1.10", "-0", "[123456789012345678901]",
        R"({"n":1.0e+2})", "true", "null", "\"x\"", "[]", "1.5"}) {
    args = decode_args(row, R"({"room":"r","type":"t","data":)" + value + "}", kLimits);
    ASSERT_TRUE(args);
    EXPECT_EQ(args->text(Field::data), value == "null" ? "" : value);
  }
}

TEST(Args, ContentHashTellsCommandsApart) {
  const CommandRow& row = *find_command("messages.send");
  auto hash = [&](const std::string& json) {
    auto args = decode_args(row, json, kLimits);
    EXPECT_TRUE(args) << json;
    return args->content_hash();
  };
  const std::string base = R"({"room":"r","content":"hello"})";
  EXPECT_EQ(hash(base), hash(R"({"content":"hello","room":"r","unknown":1})"));
  EXPECT_EQ(hash(base), hash(R"({"conversationId":"r","content":"hello"})"));
  // A retry may ask for another ack and carries the same clientId.
  EXPECT_EQ(hash(base), hash(R"({"room":"r","content":"hello","ack":"accepted"})"));
  EXPECT_EQ(hash(base), hash(R"({"room":"r","content":"hello","clientId":"c"})"));
  std::set<uint64_t> seen = {hash(base)};
  for (std::string other :
       {R"({"room":"r","content":"hello!"})", R"({"room":"s","content":"hello"})",
        R"({"room":"r","encryptedContent":"hello"})", R"({"room":"r","content":"hello","type":"x"})",
        R"({"room":"r","content":"hello","replyTo":"x"})", R"({"room":"r","content":"hello","fileSize":1})",
        R"({"room":"r","content":"hello","exclude":"user"})", R"({"room":"r","content":""})",
        R"({"room":"r"})"})
    EXPECT_TRUE(seen.insert(hash(other)).second) << other;
  // A text that imitates what stands between two parameters.
  EXPECT_NE(hash("{\"room\":\"r\",\"content\":\"x\\u0000\\u0004y\"}"),
            hash(R"({"room":"r","content":"x","encryptedContent":"y"})"));
  const CommandRow& create = *find_command("rooms.create");
  auto list_hash = [&](const std::string& list) {
    return decode_args(create, R"({"participantIds":)" + list + "}", kLimits)->content_hash();
  };
  EXPECT_NE(list_hash(R"(["ab","c"])"), list_hash(R"(["a","bc"])"));
  EXPECT_NE(list_hash(R"(["a"])"), list_hash(R"(["a","a"])"));
  EXPECT_NE(list_hash("[]"), decode_args(create, "{}", kLimits)->content_hash());
}

TEST(Args, NumbersAndSetting) {
  Args args;
  EXPECT_EQ(args.number(Field::limit, 50), 50u);
  args.set(Field::limit, "256");
  EXPECT_EQ(args.number(Field::limit, 50), 256u);
  args.set(Field::ephemeral, "false");
  EXPECT_TRUE(args.has(Field::ephemeral));
  EXPECT_FALSE(args.flag(Field::ephemeral));
}

TEST(CheckName, SentencesNameTheParameter) {
  auto error = check_name("room", "", 10).error();
  EXPECT_EQ(error.code, Code::invalid_argument);
  EXPECT_EQ(error.sentence, "'room' must not be empty");
  EXPECT_TRUE(check_name("room", "0123456789", 10));
  EXPECT_EQ(check_name("room", "01234567890", 10).error().sentence, "'room' must be at most 10 bytes");
  EXPECT_FALSE(check_name("room", "\xff", 10));
  EXPECT_FALSE(check_name("room", "\xc2", 10));
  EXPECT_FALSE(check_name("room", std::string_view("a\0b", 3), 10));
}

}  // namespace
}  // namespace twinwire
