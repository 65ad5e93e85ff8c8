#include "net/json_in.h"

#include "core/json_text.h"

namespace twinwire {

Result<void> read_envelope(std::string_view json, WsEnvelope& envelope, bool type_optional) {
  JsonText message;
  if (auto taken = message.take(json); !taken) return taken.error();
  if (message.kind() != JsonKind::object) {
    return fail(Code::invalid_argument, "a message must be a JSON object");
  }
  auto member = [&](std::string_view name) {
    const JsonPart* part = message.find(name);
    return part && part->kind != JsonKind::null ? part : nullptr;
  };
  if (const JsonPart* id = member("id")) envelope.id = json_minified(id->raw);
  if (envelope.id.size() > 256) {
    envelope.id.clear();
    return fail(Code::invalid_argument, "'id' must be at most 256 bytes of JSON");
  }
  if (const JsonPart* data = member("data")) envelope.data = data->raw;
  const JsonPart* type = message.find("type");
  if (!type && type_optional) return {};
  if (!type) return fail(Code::invalid_argument, "'type' is required");
  if (type->kind != JsonKind::string) return fail(Code::invalid_argument, "'type' must be a string");
  envelope.type = json_text_of(type->raw, envelope.unescaped);
  return {};
}

std::optional<std::string> text_member(std::string_view json, std::string_view name) {
  // Most bodies hold no such member: look before parsing.
  if (json.find("\"" + std::string(name) + "\"") == std::string_view::npos) return std::nullopt;
  auto object = JsonText::read(json);
  if (!object || object->kind() != JsonKind::object) return std::nullopt;
  const JsonPart* member = object->find(name);
  if (!member || member->kind != JsonKind::string) return std::nullopt;
  return json_text_of(member->raw);
}

std::string raw_member(std::string_view json, std::string_view name) {
  auto object = JsonText::read(json);
  if (!object || object->kind() != JsonKind::object) return {};
  const JsonPart* member = object->find(name);
  return member && member->kind != JsonKind::null ? std::string(member->raw) : std::string();
}

std::optional<bool> flag_member(std::string_view json, std::string_view name) {
  if (json.find("\"" + std::string(name) + "\"") == std::string_view::npos) return std::nullopt;
  auto object = JsonText::read(json);
  if (!object || object->kind() != JsonKind::object) return std::nullopt;
  const JsonPart* member = object->find(name);
  if (!member || member->kind != JsonKind::boolean) return std::nullopt;
  return member->raw == "true";
}

Result<std::vector<std::string>> array_elements(std::string_view json, size_t max) {
  auto array = JsonText::read(json);
  if (!array) return array.error();
  if (array->kind() != JsonKind::array) return fail(Code::invalid_argument, "a batch must be a JSON array");
  if (array->parts().size() > max) {
    return fail(Code::limit_exceeded, "a batch holds at most " + std::to_string(max) + " events");
  }
  std::vector<std::string> out;
  for (const JsonPart& part : array->parts()) out.emplace_back(part.raw);
  if (out.empty()) return fail(Code::invalid_argument, "a batch must hold an event");
  return out;
}

}  // namespace twinwire
