#include "net/json_in.h"

#include <simdjson.h>

namespace twinwire {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

simdjson::dom::parser& parser() {
  static thread_local simdjson::dom::parser instance;
  return instance;
}

Error not_json(simdjson::error_code error) {
  return fail(Code::invalid_json, std::string("this is not valid JSON: ") + simdjson::error_message(error));
}

}  // namespace

Result<void> read_envelope(std::string_view json, WsEnvelope& envelope) {
  element document;
  if (json.empty()) return fail(Code::invalid_json, "an empty message is not valid JSON");
  if (auto error = parser().parse(json.data(), json.size()).get(document)) return not_json(error);
  object members;
  if (document.get_object().get(members))
    return fail(Code::invalid_argument, "a message must be a JSON object");
  element value;
  if (!members.at_key("id").get(value) && !value.is_null()) envelope.id = simdjson::minify(value);
  if (envelope.id.size() > 256) {
    envelope.id.clear();
    return fail(Code::invalid_argument, "'id' must be at most 256 bytes of JSON");
  }
  if (!members.at_key("data").get(value) && !value.is_null()) envelope.data = simdjson::minify(value);
  std::string_view type;
  if (members.at_key("type").get(value)) return fail(Code::invalid_argument, "'type' is required");
  if (value.get_string().get(type)) return fail(Code::invalid_argument, "'type' must be a string");
  envelope.type = type;
  return {};
}

std::optional<std::string> text_member(std::string_view json, std::string_view name) {
  // Most bodies hold no such member: look before parsing.
  if (json.find("\"" + std::string(name) + "\"") == std::string_view::npos) return std::nullopt;
  element document;
  object members;
  std::string_view text;
  if (parser().parse(json.data(), json.size()).get(document) || document.get_object().get(members))
    return std::nullopt;
  element value;
  if (members.at_key(name).get(value) || value.get_string().get(text)) return std::nullopt;
  return std::string(text);
}

Result<std::vector<std::string>> array_elements(std::string_view json, size_t max) {
  element document;
  if (auto error = parser().parse(json.data(), json.size()).get(document)) return not_json(error);
  simdjson::dom::array array;
  if (document.get_array().get(array)) return fail(Code::invalid_argument, "a batch must be a JSON array");
  if (array.size() > max) {
    return fail(Code::limit_exceeded, "a batch holds at most " + std::to_string(max) + " events");
  }
  std::vector<std::string> out;
  for (element item : array) out.push_back(simdjson::minify(item));
  if (out.empty()) return fail(Code::invalid_argument, "a batch must hold an event");
  return out;
}

}  // namespace twinwire
