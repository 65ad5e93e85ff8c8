// Fuzz target: the parameters of every command. The first byte chooses the row, the rest is the JSON. What is
// accepted is valid UTF-8, within its limits and of its shape, and reads the same when it is written as JSON
// and read again.
#include <simdjson.h>

#include <cstdint>
#include <string>

#include "core/command.h"
#include "core/json.h"
#include "core/json_text.h"

namespace {

using namespace twinwire;

const NameLimits kLimits{.room_name_bytes = 64, .user_id_bytes = 32, .message_bytes = 512};

void check_name_of(std::string_view name, uint32_t max) {
  TW_CHECK(!name.empty() && name.size() <= max);
  for (char c : name) TW_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

// Checks one accepted parameter and returns it as JSON.
std::string check_and_write(const FieldSpec& spec, const Args& args) {
  std::string_view text = args.text(spec.field);
  TW_CHECK(valid_utf8(text));
  switch (spec.shape) {
    case Shape::room_name:
      check_name_of(text, kLimits.room_name_bytes);
      break;
    case Shape::user_name:
      check_name_of(text, kLimits.user_id_bytes);
      break;
    case Shape::text:
      TW_CHECK(text.size() <= (spec.max ? spec.max : kLimits.message_bytes));
      break;
    case Shape::word:
      TW_CHECK(!text.empty() && text.find('|') == std::string_view::npos);
      break;
    case Shape::event_type:
      TW_CHECK(!text.empty() && text.size() <= 64);
      for (char c : text) TW_CHECK(c > ' ' && c < 0x7f && c != '"' && c != '\\');
      break;
    case Shape::cursor_or_time:
      TW_CHECK(text.size() <= 64);
      break;
    case Shape::event_id:
      TW_CHECK(Cursor::parse(text).has_value());
      break;
    case Shape::integer:
      TW_CHECK(spec.max == 0 || args.number(spec.field, UINT64_MAX) <= spec.max);
      return std::string(text);
    case Shape::boolean:
      TW_CHECK(text == "true" || text == "false");
      return std::string(text);
    case Shape::object:
      TW_CHECK(text.size() <= kLimits.message_bytes);
      for (char c : text) TW_CHECK(static_cast<unsigned char>(c) >= 0x20);  // it stands within a line of SSE
      return std::string(text);
    case Shape::user_names: {
      std::string out = "[";
      TW_CHECK(args.list().size() <= 256);
      for (const std::string& name : args.list()) {
        TW_CHECK(valid_utf8(name));
        check_name_of(name, kLimits.user_id_bytes);
        if (out.size() > 1) out += ',';
        out += json_string(name);
      }
      return out + "]";
    }
  }
  return json_string(text);
}

void run(const CommandRow& row, std::string_view json) {
  Result<Args> args = decode_args(row, json, kLimits);
  if (!args) {
    Code code = args.error().code;
    TW_CHECK(code == Code::invalid_json || code == Code::invalid_argument || code == Code::too_large);
    TW_CHECK(!args.error().sentence.empty() && valid_utf8(args.error().sentence));
    return;
  }
  std::string again = "{";
  for (const FieldSpec& spec : row.fields) {
    if (!args->has(spec.field)) {
      TW_CHECK(!spec.required);
      continue;
    }
    if (again.size() > 1) again += ',';
    again += json_string(wire_name(spec.field)) + ":" + check_and_write(spec, *args);
  }
  again += '}';
  Result<Args> second = decode_args(row, again, kLimits);
  TW_CHECK(second && second->content_hash() == args->content_hash());
}

}  // namespace

// Our reader of JSON takes what simdjson takes, but for the size of numbers and the depth, which are ours to
// choose.
void check_reader(std::string_view json) {
  using namespace twinwire;
  static simdjson::dom::parser parser;
  auto ours = JsonText::read(json);
  simdjson::error_code theirs = parser.parse(json.data(), json.size()).error();
  if (theirs != simdjson::NUMBER_ERROR && theirs != simdjson::DEPTH_ERROR) {
    bool too_deep = !ours && json.size() > JsonText::kDepthMax;
    TW_CHECK(static_cast<bool>(ours) == (theirs == simdjson::SUCCESS) || too_deep);
  }
  if (!ours) return;
  std::string line = json_minified(json);
  TW_CHECK(JsonText::read(line) && json_minified(line) == line);
  for (const JsonPart& part : ours->parts()) TW_CHECK(JsonText::read(part.raw));
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view json(reinterpret_cast<const char*>(data + 1), size - 1);
  auto table = twinwire::command_table();
  run(table[data[0] % table.size()], json);
  check_reader(json);
  // Alone, without a table's help: any bytes as a name.
  (void)twinwire::check_name("x", json, 128);
  return 0;
}
