#include "tools/twinctl/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bench/client/text.h"
#include "core/json_text.h"
#include "tools/twinctl/sample.h"

namespace twinwire::ctl {
namespace {

using client::Facts;
using client::Json;
using client::member_at;
using client::Paint;
using client::Table;
using client::with_thousands;

// "consumedMin" as "consumed min"; a unit that the value shows is left out.
std::string words_of(std::string_view key) {
  for (const std::string_view unit : {"Microseconds", "Seconds"})
    if (key.size() > unit.size() && key.ends_with(unit)) key.remove_suffix(unit.size());
  std::string out;
  for (const char c : key) {
    if (c >= 'A' && c <= 'Z') {
      out += ' ';
      out += static_cast<char>(c + 32);
    } else {
      out += c == '_' ? ' ' : c;
    }
  }
  return out;
}

std::string value_of(const Json& value) {
  uint64_t number = 0;
  if (value.get_uint64().get(number) == simdjson::SUCCESS) return with_thousands(number);
  bool flag = false;
  double real = 0;
  if (value.is_double() && value.get_double().get(real) == simdjson::SUCCESS)
    return fmt::format("{:.2f}", real);
  if (value.get_bool().get(flag) == simdjson::SUCCESS) return flag ? "yes" : "no";
  std::string_view text;
  if (value.get_string().get(text) == simdjson::SUCCESS) return printable(text);
  if (simdjson::dom::array list; value.get_array().get(list) == simdjson::SUCCESS) {
    std::string out;
    for (const Json& each : list) out.append(out.empty() ? "" : ", ").append(value_of(each));
    return out;
  }
  return simdjson::minify(value);
}

bool is_bytes(std::string_view key) {
  return key == "bytes" || key.ends_with("Bytes") || key.ends_with("bytesMax");
}

// What should be zero and is not.
std::string_view colour_of(std::string_view key, const std::string& value, const Paint& paint) {
  static constexpr std::string_view alarming[] = {"unsaved", "failing", "backlog"};
  const bool alarm = std::find(std::begin(alarming), std::end(alarming), key) != std::end(alarming);
  return alarm && value != "0" && value != "no" ? paint.red : std::string_view();
}

// Sections of what should not happen: only what has happened is shown, and no section where nothing has.
bool of_trouble(std::string_view name) {
  static constexpr std::string_view names[] = {"closed", "resets", "shed", "refused", "resumes"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

void add_section(std::string& out, std::string_view name, const simdjson::dom::object& object,
                 const Paint& paint) {
  Facts facts(words_of(name));
  bool any = false;
  for (const auto& [key, value] : object) {
    const std::string text = value_of(value);
    if (of_trouble(name) && text == "0") continue;
    any = true;
    facts.add(words_of(key),
              is_bytes(key) ? client::bytes_text(value.is_uint64() ? uint64_t{value} : 0)
              : key.ends_with("Microseconds")
                  ? client::duration_text(value.is_uint64() ? uint64_t{value} * 1000 : 0)
                  : text,
              colour_of(key, text, paint));
  }
  if (!any) return;
  out += '\n';
  out += facts.text(paint);
}

std::string cell(const Json& row, const char* key) {
  const auto value = member_at(row, key);
  return value ? value_of(*value) : "";
}

struct Shape {
  const char* key;
  const char* title;
  Table::Align align;
};

// Rows of `list` in the answer, as a table, and a closing line with their number.
std::string table_of(const Json& answer, const char* list, const std::vector<Shape>& shapes,
                     const Paint& paint) {
  std::vector<Table::Column> columns;
  for (const Shape& shape : shapes) columns.push_back({shape.title, shape.align});
  Table table(std::move(columns));
  uint64_t rows = 0;
  simdjson::dom::array array;
  if (answer.at_key(list).get_array().get(array) == simdjson::SUCCESS) {
    for (const Json& row : array) {
      std::vector<std::string> cells;
      for (const Shape& shape : shapes) {
        const std::string_view key = shape.key;
        cells.push_back(key == "ageSeconds"  ? age_text(client::number_at(row, shape.key))
                        : key == "tailBytes" ? client::bytes_text(client::number_at(row, shape.key))
                                             : cell(row, shape.key));
      }
      table.add(std::move(cells));
      ++rows;
    }
  }
  std::string_view noun = list;
  if (rows == 1) noun.remove_suffix(1);
  const uint64_t total = client::number_at(answer, "total", rows);
  std::string count = fmt::format("{}{} {}", paint.dim, with_thousands(rows), noun);
  if (total > rows) {
    const uint64_t next = client::number_at(answer, "offset") + rows;
    count = fmt::format("{}{} of {} {}", paint.dim, with_thousands(rows), with_thousands(total), noun);
    if (next < total) count += fmt::format("; --offset {} goes on", next);
  }
  count.append(paint.off).append("\n");
  return rows == 0 ? count : table.text(paint) + count;
}

// How long things have taken since the start.
std::string latency_table(const Sample& sample, const Paint& paint) {
  Table table({{"LATENCY", Table::Align::left},
               {"COUNT", Table::Align::right},
               {"MEAN", Table::Align::right},
               {"P50", Table::Align::right},
               {"P99", Table::Align::right}});
  const auto add = [&](const char* name, const Buckets& of) {
    const auto text = [](std::optional<double> us) {
      return us ? client::duration_text(static_cast<uint64_t>(*us * 1000)) : std::string("-");
    };
    table.add(
        {name, with_thousands(of.count()), text(of.mean()), text(of.quantile(0.5)), text(of.quantile(0.99))});
  };
  add("event to write", sample.write);
  add("command to answer", sample.command);
  add("event to disk", sample.store);
  add("commit", sample.commit);
  add("tick", sample.tick);
  return table.text(paint);
}

}  // namespace

// ASCII's controls, and U+0080 to U+009F, among which a terminal may find the beginning of a sequence too.
std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool two = byte == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    out += two || byte < 0x20 || byte == 0x7F ? ' ' : text[at];
    if (two) ++at;
  }
  return out;
}

std::string age_text(uint64_t seconds) {
  if (seconds >= 86'400) return fmt::format("{} d {:02} h", seconds / 86'400, seconds / 3600 % 24);
  if (seconds >= 3600) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} s", seconds);
}

std::string show_stats(const Json& stats, const Paint& paint) {
  std::string out;
  Facts head("server");
  simdjson::dom::object object;
  if (stats.get_object().get(object) != simdjson::SUCCESS) return simdjson::minify(stats) + "\n";
  for (const auto& [key, value] : object) {
    if (value.is_object() || key == "nowMicroseconds") continue;
    const bool age = key == "uptimeSeconds";
    const bool plain = key == "pid";
    head.add(age ? "uptime" : words_of(key), age     ? age_text(client::number_at(stats, "uptimeSeconds"))
                                             : plain ? simdjson::minify(value)
                                                     : value_of(value));
  }
  out += head.text(paint);
  for (const auto& [key, value] : object) {
    if (value.is_object() && key != "latency") add_section(out, key, value.get_object(), paint);
  }
  if (member_at(stats, "latency")) out += "\n" + latency_table(sample_of(stats), paint);
  return out;
}

std::string show_rooms(const Json& answer, const Paint& paint) {
  return table_of(answer, "rooms",
                  {{"tenant", "TENANT", Table::Align::left},
                   {"room", "ROOM", Table::Align::left},
                   {"members", "MEMBERS", Table::Align::right},
                   {"present", "PRESENT", Table::Align::right},
                   {"readers", "READERS", Table::Align::right},
                   {"eventsPerSecond", "EVENTS/S", Table::Align::right},
                   {"tail", "TAIL", Table::Align::right},
                   {"lastEventId", "LAST EVENT", Table::Align::left}},
                  paint);
}

std::string show_room(const Json& answer, const Paint& paint) {
  const auto room = member_at(answer, "room");
  if (!room) return simdjson::minify(answer) + "\n";
  Facts facts(printable(client::text_at(*room, "tenant")) + "/" + printable(client::text_at(*room, "room")));
  simdjson::dom::object members;
  if (room->get_object().get(members) == simdjson::SUCCESS) {
    for (const auto& [key, value] : members) {
      if (key == "tenant" || key == "room") continue;
      facts.add(words_of(key), is_bytes(key)
                                   ? client::bytes_text(client::number_at(*room, std::string(key).c_str()))
                                   : value_of(value));
    }
  }
  for (const char* key : {"name", "createdBy", "createdAt", "updatedAt", "trimmedThrough"}) {
    const std::string_view text = client::text_at(answer, key);
    if (!text.empty()) facts.add(words_of(key), std::string(text));
  }
  std::string out = facts.text(paint);
  auto names = [&](const char* title, const simdjson::dom::array& list, uint64_t all) {
    std::string line;
    uint64_t shown = 0;
    for (const Json& each : list) {
      line.append(line.empty() ? "" : ", ").append(printable(client::text_at(each, "userId")));
      ++shown;
    }
    if (shown == 0) return;
    out += fmt::format("\n{}{}{}\n  {}", paint.bold, title, paint.off, line);
    out += shown < all ? fmt::format(", and {} more\n", with_thousands(all - shown)) : "\n";
  };
  simdjson::dom::array list;
  if (answer.at_key("members").get_array().get(list) == simdjson::SUCCESS)
    names("members", list, client::number_at(*room, "members"));
  if (const auto present = member_at(answer, "present");
      present && present->at_key("users").get_array().get(list) == simdjson::SUCCESS)
    names("present", list, client::number_at(*present, "count"));
  return out;
}

std::string show_sessions(const Json& answer, const Paint& paint) {
  return table_of(answer, "sessions",
                  {{"sessionId", "SESSION", Table::Align::left},
                   {"tenant", "TENANT", Table::Align::left},
                   {"userId", "USER", Table::Align::left},
                   {"transport", "VIA", Table::Align::left},
                   {"state", "STATE", Table::Align::left},
                   {"rooms", "ROOMS", Table::Align::right},
                   {"shard", "SHARD", Table::Align::right},
                   {"lag", "LAG", Table::Align::right},
                   {"ageSeconds", "AGE", Table::Align::right},
                   {"cursor", "CURSOR", Table::Align::left}},
                  paint);
}

namespace {

std::string text_of(const JsonText& object, std::string_view name) {
  const JsonPart* part = object.find(name);
  return part != nullptr && part->kind == JsonKind::string ? json_text_of(part->raw) : std::string();
}

// The content of a message, if there is one.
std::string content_of(std::string_view data) {
  const auto object = JsonText::read(data);
  const JsonPart* message = object ? object->find("message") : nullptr;
  const auto members = message != nullptr ? JsonText::read(message->raw) : JsonText::read("{}");
  return members ? text_of(*members, "content") : std::string();
}

}  // namespace

std::string show_event(std::string_view json, const Paint& paint) {
  const auto event = JsonText::read(json);
  if (!event || text_of(*event, "eventId").empty()) return {};
  const std::string type = text_of(*event, "type"), stamp = text_of(*event, "timestamp");
  const std::string time = stamp.size() >= 23 ? stamp.substr(11, 12) : stamp;
  const JsonPart* data = event->find("data");
  std::string what = type == "message.created" && data != nullptr ? content_of(data->raw) : std::string();
  // A message may hold line breaks and escape sequences; a terminal gets neither.
  if (what.empty()) {
    const std::string shown = printable(data != nullptr ? json_minified(data->raw) : std::string());
    what = fmt::format("{}{}{} {}", paint.yellow, printable(type), paint.off, shown);
  } else {
    what = printable(what);
  }
  return fmt::format("{}{}{}  {}{}{}  {}\n", paint.dim, time, paint.off, paint.bold,
                     printable(text_of(*event, "userId")), paint.off, what);
}

}  // namespace twinwire::ctl
