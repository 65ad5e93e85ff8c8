#include "tools/twinwire/bridge_file.h"

#include <algorithm>
#include <array>

#include "core/command.h"
#include "core/json.h"

namespace twinwire {
namespace {

constexpr size_t kNameMax = 128;
constexpr size_t kSentenceMax = 1024;

Error wrong(std::string_view key, std::string_view must) {
  return fail(Code::invalid_argument, std::string(key) + " must be " + std::string(must));
}

std::string quote(std::string_view text) {
  // JSON's escapes are TOML's, but for DEL.
  std::string out = json_string(text);
  for (size_t at = 0; (at = out.find('\x7f', at)) != std::string::npos;) out.replace(at, 1, "\\u007f");
  return out;
}

Result<std::string> text_of(const std::string& key, const toml::node& node, size_t max = kNameMax) {
  const auto* text = node.as_string();
  if (text == nullptr) return wrong(key, "a string");
  if (!text->get().empty()) {
    if (auto ok = check_name(key, text->get(), static_cast<uint32_t>(max)); !ok) return ok.error();
  }
  return text->get();
}

// A table of strings; empty strings are refused, since nothing here can be called nothing.
Result<NameTable> names_of(const std::string& key, const toml::node& node, size_t max = kNameMax) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return wrong(key, "a table of strings");
  NameTable out;
  for (const auto& [name, value] : *table) {
    const std::string full = key + ".\"" + std::string(name.str()) + "\"";
    auto text = text_of(full, value, max);
    if (!text) return text.error();
    if (text->empty()) return wrong(full, "a string that is not empty");
    out[std::string(name.str())] = std::move(*text);
  }
  return out;
}

// Takes "*" out of a table of exceptions and sets the rule from it, by the row of the same key.
Result<NameTable> exceptions_of(const std::string& key, const toml::node& node, Config& config) {
  auto names = names_of(key, node);
  if (!names) return names;
  if (auto rule = names->find("*"); rule != names->end()) {
    const std::vector<ConfigField> fields = config_fields(config);
    auto field = find_field(fields, key);
    if (!field) return field.error();
    if (auto set = set_field(*field, rule->second); !set) return set.error();
    names->erase(rule);
  }
  return names;
}

Result<std::string> json_of(const std::string& key, const toml::node& node) {
  if (const auto* text = node.as_string()) return json_string(text->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  return wrong(key, "a string, a whole number, true or false");
}

bool is_command_name(std::string_view text) {
  size_t dot = text.find('.');
  if (text == "auth") return true;
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size()) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '*'; });
}

Result<CommandAlias> alias_of(const std::string& key, const toml::node& node) {
  CommandAlias alias;
  if (const auto* text = node.as_string()) {
    alias.command = text->get();
  } else if (const toml::table* table = node.as_table()) {
    for (const auto& [name, value] : *table) {
      const std::string full = key + "." + std::string(name.str());
      std::string* word = name == "command"  ? &alias.command
                          : name == "choose" ? &alias.choose
                          : name == "wrap"   ? &alias.wrap
                          : name == "inside" ? &alias.inside
                                             : nullptr;
      NameTable* names = name == "commands" ? &alias.commands : name == "fields" ? &alias.fields : nullptr;
      if (word != nullptr) {
        auto text = text_of(full, value);
        if (!text) return text.error();
        *word = std::move(*text);
      } else if (names != nullptr) {
        auto read = names_of(full, value);
        if (!read) return read.error();
        *names = std::move(*read);
      } else if (name == "set" && value.is_table()) {
        for (const auto& [member, constant] : *value.as_table()) {
          auto json = json_of(full + "." + std::string(member.str()), constant);
          if (!json) return json.error();
          alias.set[std::string(member.str())] = std::move(*json);
        }
      } else {
        return wrong(full, "one of command, choose, commands, fields, set, wrap, inside");
      }
    }
  } else {
    return wrong(key, "a command's name or a table");
  }
  if (alias.command.empty() && alias.commands.empty()) return wrong(key, "a table with a command");
  if (!alias.command.empty() && !is_command_name(alias.command))
    return wrong(key, "a command like \"messages.send\", not \"" + alias.command + "\"");
  for (const auto& [value, command] : alias.commands) {
    if (!is_command_name(command))
      return wrong(key + ".commands." + value, "a command like \"messages.send\", not \"" + command + "\"");
  }
  if (alias.choose.empty() != alias.commands.empty()) return wrong(key, "given both choose and commands");
  return alias;
}

Result<void> apply_types(const std::string& key, const toml::node& node, TypeTable& types) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return wrong(key, "a table");
  for (const auto& [type, value] : *table) {
    if (const auto* text = value.as_string(); text != nullptr && text->get().empty()) {
      types.erase(std::string(type.str()));
      continue;
    }
    auto alias = alias_of(key + ".\"" + std::string(type.str()) + "\"", value);
    if (!alias) return alias.error();
    types[std::string(type.str())] = std::move(*alias);
  }
  return {};
}

Result<void> apply_routes(const toml::table& table, RouteTable& routes) {
  for (const auto& [path, value] : table) {
    const std::string key = "routes.\"" + std::string(path.str()) + "\"";
    if (!path.str().starts_with('/')) return wrong(key, "named by a path that begins with /");
    const auto* text = value.as_string();
    if (text != nullptr && text->get().empty()) {
      routes.erase(std::string(path.str()));
      continue;
    }
    Route route;
    if (text != nullptr && text->get().starts_with('/')) {
      route.target = text->get();
    } else if (text != nullptr && text->get().starts_with("hint:/")) {
      route.kind = Route::Kind::hint;
      route.target = text->get().substr(5);
    } else {
      auto alias = alias_of(key, value);
      if (!alias) return alias.error();
      route.kind = Route::Kind::command;
      route.alias = std::move(*alias);
    }
    bool tail =
        route.target.find('*') != std::string::npos || route.alias.command.find('*') != std::string::npos;
    if (tail && !path.str().ends_with('*'))
      return wrong(key, "a path that ends in * to say what * stands for");
    routes[std::string(path.str())] = std::move(route);
  }
  return {};
}

FormStyle* form_of(std::string_view section, Bridge& bridge) {
  return section == "sse" ? &bridge.style.sse : section == "ws" ? &bridge.style.ws : nullptr;
}

std::string inline_table(const NameTable& names, std::string_view rule = {}) {
  std::string out = "{ ";
  if (!rule.empty()) out.append("\"*\" = ").append(rule);
  for (const auto& [name, other] : names) {
    out.append(out.size() > 2 ? ", " : "").append(quote(name)).append(" = ").append(quote(other));
  }
  return out + " }";
}

void append_alias(std::string& out, const CommandAlias& alias) {
  auto word = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) out.append(name).append(" = ").append(quote(text)).append("\n");
  };
  auto table = [&](std::string_view name, const NameTable& names) {
    if (!names.empty()) out.append(name).append(" = ").append(inline_table(names)).append("\n");
  };
  word("command", alias.command);
  word("choose", alias.choose);
  table("commands", alias.commands);
  table("fields", alias.fields);
  if (!alias.set.empty()) {
    out += "set = { ";
    bool first = true;
    for (const auto& [member, json] : alias.set) {
      out.append(first ? "" : ", ").append(quote(member)).append(" = ").append(json);
      first = false;
    }
    out += " }\n";
  }
  word("wrap", alias.wrap);
  word("inside", alias.inside);
}

void append_names(std::string& out, const std::string& header, const NameTable& names) {
  if (names.empty()) return;
  out.append("\n[").append(header).append("]\n");
  for (const auto& [name, other] : names)
    out.append(quote(name)).append(" = ").append(quote(other)).append("\n");
}

// `prefix` is "" or "tenants.NAME."; what `base` has removed is written as removed.
void append_tables(std::string& out, const std::string& prefix, const Bridge& bridge, const TypeTable& base) {
  append_names(out, prefix + "sse.members", bridge.style.sse.members);
  append_names(out, prefix + "ws.members", bridge.style.ws.members);
  append_names(out, prefix + "errors", bridge.errors);
  std::string removed;
  for (const auto& [type, alias] : base) {
    if (!bridge.types.contains(type)) removed.append(quote(type)).append(" = \"\"\n");
  }
  if (!removed.empty()) out.append("\n[").append(prefix).append("ws.types]\n").append(removed);
  for (const auto& [type, alias] : bridge.types) {
    out.append("\n[").append(prefix).append("ws.types.").append(quote(type)).append("]\n");
    append_alias(out, alias);
  }
}

constexpr std::array<std::string_view, 5> kRuleKeys{"sse.names", "sse.keys", "ws.names", "ws.keys",
                                                    "replies.keys"};

const NameTable* exceptions_named(std::string_view key, const Bridge& bridge) {
  if (key == "sse.names") return &bridge.style.sse.name_of;
  if (key == "sse.keys") return &bridge.style.sse.keys.exceptions;
  if (key == "ws.names") return &bridge.style.ws.name_of;
  if (key == "ws.keys") return &bridge.style.ws.keys.exceptions;
  if (key == "replies.keys") return &bridge.replies.exceptions;
  return nullptr;
}

}  // namespace

bool is_bridge_table(std::string_view section, std::string_view name, bool value_is_table) {
  bool form = section == "sse" || section == "ws";
  if (form && name == "members") return true;
  if (section == "ws" && name == "types") return true;
  const std::string key = std::string(section) + "." + std::string(name);
  return value_is_table && std::find(kRuleKeys.begin(), kRuleKeys.end(), key) != kRuleKeys.end();
}

Result<void> apply_bridge_table(std::string_view section, std::string_view name, const toml::node& node,
                                Config& config) {
  const std::string key = std::string(section) + "." + std::string(name);
  Bridge& bridge = config.bridges.common;
  if (name == "types") return apply_types(key, node, bridge.types);
  FormStyle* form = form_of(section, bridge);
  if (name == "members") {
    auto names = names_of(key, node);
    if (!names) return names.error();
    for (const auto& [member, other] : *names) {
      if (std::find(kEnvelopeMembers.begin(), kEnvelopeMembers.end(), member) == kEnvelopeMembers.end())
        return wrong(key + "." + member, "one of eventId, type, tenantId, room, userId, timestamp, data");
    }
    form->members = std::move(*names);
    return {};
  }
  auto names = exceptions_of(key, node, config);
  if (!names) return names.error();
  if (form == nullptr) {
    bridge.replies.exceptions = std::move(*names);
  } else {
    (name == "names" ? form->name_of : form->keys.exceptions) = std::move(*names);
  }
  return {};
}

bool is_bridge_section(std::string_view section) { return section == "routes" || section == "errors"; }

Result<void> apply_bridge_section(std::string_view section, const toml::table& table, Config& config) {
  if (section == "routes") return apply_routes(table, config.routes);
  auto names = names_of("errors", table, kSentenceMax);
  if (!names) return names.error();
  config.bridges.common.errors = std::move(*names);
  return {};
}

bool tenant_may_set(std::string_view section, std::string_view name) {
  if (section == "errors") return true;
  if (section == "bridge") return name == "room" || name == "history";
  if (section == "replies") return name == "keys";
  bool form = name == "names" || name == "data" || name == "keys" || name == "members";
  return (section == "sse" && form) || (section == "ws" && (form || name == "types"));
}

std::string exceptions_as_toml(std::string_view key, std::string_view rule, const Bridge& bridge) {
  const NameTable* exceptions = exceptions_named(key, bridge);
  return exceptions == nullptr || exceptions->empty() ? std::string() : inline_table(*exceptions, rule);
}

std::string bridges_as_toml(const Config& config) {
  std::string out =
      "\n# For applications with names of their own (net/PROTOCOL.md, \"Bridges\"). Routes: a path is "
      "another\n"
      "# path, a command, or a hint; \"\" takes a default away.\n";
  append_tables(out, "", config.bridges.common, default_types());
  std::string plain, tables;
  for (const auto& [path, route] : default_routes()) {
    if (!config.routes.contains(path)) plain.append(quote(path)).append(" = \"\"\n");
  }
  for (const auto& [path, route] : config.routes) {
    if (route.kind == Route::Kind::command) {
      tables.append("\n[routes.").append(quote(path)).append("]\n");
      append_alias(tables, route.alias);
    } else {
      std::string target = (route.kind == Route::Kind::hint ? "hint:" : "") + route.target;
      plain.append(quote(path)).append(" = ").append(quote(target)).append("\n");
    }
  }
  out.append("\n[routes]\n").append(plain).append(tables);
  for (const auto& [tenant, bridge] : config.bridges.tenants) {
    const std::string prefix = "tenants." + quote(tenant) + ".";
    Config shown;
    shown.bridges.common = bridge;
    std::string_view section;
    const std::vector<ConfigField> fields = config_fields(shown);
    for (const ConfigField& field : fields) {
      if (!tenant_may_set(field.section(), field.name())) continue;
      if (field.section() != section)
        out.append("\n[").append(prefix).append(section = field.section()).append("]\n");
      const std::string plain_value = field_as_toml(field);
      const std::string table = exceptions_as_toml(field.key, plain_value, bridge);
      out.append(field.name()).append(" = ").append(table.empty() ? plain_value : table).append("\n");
    }
    append_tables(out, prefix, bridge, config.bridges.common.types);
  }
  return out;
}

}  // namespace twinwire
