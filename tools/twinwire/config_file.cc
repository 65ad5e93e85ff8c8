#include "tools/twinwire/config_file.h"

#include <algorithm>

#include "net/read_file.h"
#include "tools/twinwire/bridge_file.h"

namespace twinwire {
namespace {

std::string at(std::string_view source, const toml::source_region& region) {
  return std::string(source) + ":" + std::to_string(region.begin.line) + ": ";
}

// A table in a list is one line of words: {name = "x", rights = ["read", "write"]} is "name=x
// rights=read+write", and a list of rooms is a word for each.
std::optional<std::string> line_of(const toml::table& table) {
  std::string line;
  auto add = [&line](std::string_view key, const std::string& value) {
    line.append(line.empty() ? "" : " ").append(key).append("=").append(value);
    return !value.empty() && value.find_first_of(" ,") == std::string::npos;
  };
  for (const auto& [key, node] : table) {
    if (const auto* string = node.as_string()) {
      if (!add(key.str(), string->get())) return std::nullopt;
      continue;
    }
    const auto* array = node.as_array();
    if (array == nullptr) return std::nullopt;
    std::string joined;
    for (const toml::node& element : *array) {
      const auto* string = element.as_string();
      if (string == nullptr) return std::nullopt;
      if (key.str() == "rights") {
        joined.append(joined.empty() ? "" : "+").append(string->get());
      } else if (!add(key.str(), string->get())) {
        return std::nullopt;
      }
    }
    if (key.str() == "rights" && !add(key.str(), joined)) return std::nullopt;
  }
  return line;
}

// The text that set_field reads: TOML's own spelling of a scalar, or the words of an array with commas
// between.
std::optional<std::string> text_of(const toml::node& node, FieldKind kind) {
  const bool wants_number = kind == FieldKind::number || kind == FieldKind::bytes;
  if (const auto* boolean = node.as_boolean()) {
    return kind == FieldKind::flag ? std::optional<std::string>(boolean->get() ? "true" : "false")
                                   : std::nullopt;
  }
  if (const auto* integer = node.as_integer()) {
    return wants_number ? std::optional<std::string>(std::to_string(integer->get())) : std::nullopt;
  }
  if (const auto* string = node.as_string()) {
    const bool fits = kind == FieldKind::text || kind == FieldKind::choice || kind == FieldKind::bytes;
    return fits ? std::optional<std::string>(string->get()) : std::nullopt;
  }
  const auto* array = node.as_array();
  if (array == nullptr || kind != FieldKind::list) return std::nullopt;
  std::string joined;
  for (const toml::node& element : *array) {
    std::optional<std::string> text;
    if (const auto* string = element.as_string()) text = string->get();
    if (const auto* table = element.as_table()) text = line_of(*table);
    if (!text || text->find(',') != std::string::npos) return std::nullopt;
    joined.append(joined.empty() ? "" : ",").append(*text);
  }
  return joined;
}

std::string_view shape_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::flag:
      return "true or false";
    case FieldKind::number:
      return "a whole number";
    case FieldKind::bytes:
      return "a size like 65536 or \"64KiB\"";
    case FieldKind::list:
      return "a list of strings without commas (or of tables of such strings)";
    case FieldKind::text:
    case FieldKind::choice:
      return "a string";
  }
  return "";
}

Result<void> apply_node(std::span<const ConfigField> fields, const std::string& key, const toml::node& node,
                        std::string_view source) {
  auto field = find_field(fields, key);
  if (!field) return fail(Code::invalid_argument, at(source, node.source()) + field.error().sentence);
  const auto text = text_of(node, field->kind);
  if (!text) {
    return fail(Code::invalid_argument,
                at(source, node.source()) + key + " must be " + std::string(shape_of(field->kind)));
  }
  auto set = set_field(*field, *text);
  if (!set) return fail(Code::invalid_argument, at(source, node.source()) + set.error().sentence);
  return {};
}

Result<void> with_place(Result<void> result, std::string_view source, const toml::node& node) {
  if (!result) result = fail(result.error().code, at(source, node.source()) + result.error().sentence);
  return result;
}

Result<void> apply_section(const std::string& section, const toml::node& node, std::string_view source,
                           Config& config) {
  const std::vector<ConfigField> fields = config_fields(config);
  const toml::table* table = node.as_table();
  if (table == nullptr) return apply_node(fields, section, node, source);
  if (is_bridge_section(section))
    return with_place(apply_bridge_section(section, *table, config), source, node);
  for (const auto& [name, value] : *table) {
    auto applied = is_bridge_table(section, name.str(), value.is_table())
                       ? with_place(apply_bridge_table(section, name.str(), value, config), source, value)
                       : apply_node(fields, section + "." + std::string(name.str()), value, source);
    if (!applied) return applied;
  }
  return {};
}

// [tenants.NAME.SECTION]: the sections of a bridge, over what holds for all.
Result<void> apply_tenant(const std::string& name, const toml::table& sections, std::string_view source,
                          Config& config) {
  Config scratch;
  scratch.bridges.common = config.bridges.common;
  for (const auto& [section, node] : sections) {
    const toml::table* table = node.as_table();
    const std::string key = "tenants." + name + "." + std::string(section.str());
    if (table == nullptr)
      return with_place(fail(Code::invalid_argument, key + " must be a table"), source, node);
    for (const auto& [setting, value] : *table) {
      if (!tenant_may_set(section.str(), setting.str())) {
        const std::string sentence = key + "." + std::string(setting.str()) + " is not a tenant's to set";
        return with_place(fail(Code::invalid_argument, sentence), source, value);
      }
    }
    auto applied = apply_section(std::string(section.str()), node, source, scratch);
    if (!applied) return applied;
  }
  config.bridges.tenants[name] = scratch.bridges.common;
  return {};
}

Result<void> apply_tenants(const toml::node& node, std::string_view source, Config& config) {
  const toml::table* tenants = node.as_table();
  if (tenants == nullptr)
    return with_place(fail(Code::invalid_argument, "tenants must be a table"), source, node);
  for (const auto& [name, sections] : *tenants) {
    if (name.str().empty() || name.str().size() > 64 || !sections.is_table()) {
      return with_place(fail(Code::invalid_argument, "tenants holds tables, named by 1 to 64 bytes"), source,
                        node);
    }
    auto applied = apply_tenant(std::string(name.str()), *sections.as_table(), source, config);
    if (!applied) return applied;
  }
  return {};
}

}  // namespace

Result<void> apply_toml(std::string_view text, std::string_view source, Config& config) {
  const toml::parse_result parsed = toml::parse(text, source);
  if (!parsed) {
    return fail(Code::invalid_argument,
                at(source, parsed.error().source()) + std::string(parsed.error().description()));
  }
  for (const auto& [section, section_node] : parsed.table()) {
    if (section.str() == "tenants") continue;
    auto applied = apply_section(std::string(section.str()), section_node, source, config);
    if (!applied) return applied;
  }
  // Last, since a tenant begins with what holds for all.
  if (const toml::node* tenants = parsed.table().get("tenants"))
    return apply_tenants(*tenants, source, config);
  return {};
}

Result<void> load_toml(const std::string& path, Config& config) {
  auto text = read_file(path);
  if (!text) return fail(Code::not_found, "the configuration file: " + text.error().sentence);
  return apply_toml(*text, path, config);
}

std::string_view environment_value(std::span<const char* const> environment, std::string_view name) {
  for (const std::string_view entry : environment) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

Result<void> apply_environment(std::span<const char* const> environment, Config& config) {
  const std::vector<ConfigField> fields = config_fields(config);
  if (const std::string_view port = environment_value(environment, "PORT"); !port.empty()) {
    auto listen = parse_endpoint(config.server.listen);
    const auto wanted = parse_endpoint(port);
    if (!wanted || port.find(':') != std::string_view::npos) {
      return fail(Code::invalid_argument, "PORT must be a port number, not \"" + std::string(port) + "\"");
    }
    // A mistake in server.listen itself is told by validate().
    if (listen) {
      listen->port = wanted->port;
      config.server.listen = to_text(*listen);
    }
  }
  for (const std::string_view entry : environment) {
    if (!entry.starts_with("TWINWIRE_")) continue;
    const std::string_view name = entry.substr(0, entry.find('='));
    const std::string_view value = name.size() == entry.size() ? "" : entry.substr(name.size() + 1);
    const auto field = std::find_if(fields.begin(), fields.end(), [name](const ConfigField& candidate) {
      return environment_name(candidate.key) == name;
    });
    if (field != fields.end()) {
      auto set = set_field(*field, value);
      if (!set) return fail(Code::invalid_argument, std::string(name) + ": " + set.error().sentence);
      continue;
    }
    const bool ours = std::any_of(fields.begin(), fields.end(), [name](const ConfigField& candidate) {
      return name.starts_with(environment_name(candidate.section()) + "_");
    });
    if (ours) {
      return fail(Code::invalid_argument, "unknown setting " + std::string(name) + " in the environment");
    }
  }
  return {};
}

namespace {

// Comments at most 100 columns wide.
void append_comment(std::string& out, std::string_view doc) {
  static constexpr size_t width = 98;
  while (!doc.empty()) {
    size_t end = doc.size();
    if (end > width) {
      end = doc.rfind(' ', width);
      if (end == std::string_view::npos) end = doc.size();
    }
    out.append("# ").append(doc.substr(0, end)).append("\n");
    doc.remove_prefix(std::min(end + 1, doc.size()));
  }
}

std::string range_of(const ConfigField& field) {
  if (field.kind == FieldKind::number || field.kind == FieldKind::bytes) {
    return std::to_string(field.min) + " to " + std::to_string(field.max);
  }
  std::string words;
  for (const std::string_view choice : field.choices) {
    words.append(words.empty() ? "" : " | ").append("\"").append(choice).append("\"");
  }
  return words;
}

}  // namespace

std::string to_toml(const Config& config) {
  Config shown = config;
  Config defaults;
  const std::vector<ConfigField> fields = config_fields(shown);
  const std::vector<ConfigField> default_fields = config_fields(defaults);
  std::string out =
      "# Every setting of Twinwire with its value. Each is also a variable TWINWIRE_SECTION_NAME and a flag\n"
      "# --section.name=value; a flag beats a variable, a variable beats this file.\n";
  std::string_view section;
  for (size_t i = 0; i < fields.size(); ++i) {
    const ConfigField& field = fields[i];
    if (field.section() != section) {
      section = field.section();
      out.append("\n[").append(section).append("]\n");
    }
    append_comment(out, field.doc);
    const std::string range = range_of(field);
    const std::string by_default = field_as_toml(default_fields[i]);
    out.append("# Default ").append(by_default);
    if (!range.empty()) out.append("; ").append(range);
    out.append(".\n");
    if (field.secret) {
      const bool is_set = field_as_toml(field) != by_default;
      out.append("# ").append(field.name()).append(is_set ? " is set and not shown.\n" : " = \"\"\n");
    } else {
      const std::string plain = field_as_toml(field);
      const std::string table = exceptions_as_toml(field.key, plain, shown.bridges.common);
      out.append(field.name()).append(" = ").append(table.empty() ? plain : table).append("\n");
    }
  }
  return out + bridges_as_toml(shown);
}

}  // namespace twinwire
