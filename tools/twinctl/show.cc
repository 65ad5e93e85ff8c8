#include "tools/twinctl/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bench/client/text.h"
#include "core/json_text.h"

namespace twinwire::ctl {
namespace {

using client::Facts;
using client::Json;
using client::Paint;
using client::Table;
using client::with_thousands;

// "consumedMin" as "consumed min".
std::string words_of(std::string_view key) {
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
  if (value.get_bool().get(flag) == simdjson::SUCCESS) return flag ? "yes" : "no";
  std::string_view text;
  if (value.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
  if (simdjson::dom::array list; value.get_array().get(list) == simdjson::SUCCESS) {
    std::string out;
    for (const Json& each : list) out.append(out.empty() ? "" : ", ").append(value_of(each));
    return out;
  }
  return simdjson::minify(value);
}

// What should be zero and is not.
std::string_view colour_of(std::string_view key, const std::string& value, const Paint& paint) {
  static constexpr std::string_view alarming[] = {"unsaved", "failing", "backlog"};
  const bool alarm = std::find(std::begin(alarming), std::end(alarming), key) != std::end(alarming);
  return alarm && value != "0" && value != "no" ? paint.red : std::string_view();
}

void add_section(std::string& out, std::string_view name, const simdjson::dom::object& object,
                 const Paint& paint) {
  Facts facts(words_of(name));
  for (const auto& [key, value] : object) {
    const std::string text = value_of(value);
    facts.add(words_of(key),
              key == "bytes" ? client::bytes_text(value.is_uint64() ? uint64_t{value} : 0) : text,
              colour_of(key, text, paint));
  }
  out += '\n';
  out += facts.text(paint);
}

std::string cell(const Json& row, const char* key) {
  const auto value = client::member_at(row, key);
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
        const bool age = std::string_view(shape.key) == "ageSeconds";
        cells.push_back(age ? age_text(client::number_at(row, shape.key)) : cell(row, shape.key));
      }
      table.add(std::move(cells));
      ++rows;
    }
  }
  std::string_view noun = list;
  if (rows == 1) noun.remove_suffix(1);
  const std::string count = fmt::format("{}{} {}{}\n", paint.dim, with_thousands(rows), noun, paint.off);
  return rows == 0 ? count : table.text(paint) + count;
}

}  // namespace

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
    if (value.is_object()) continue;
    const bool age = key == "uptimeSeconds";
    const bool plain = key == "pid";
    head.add(age ? "uptime" : words_of(key), age     ? age_text(client::number_at(stats, "uptimeSeconds"))
                                             : plain ? simdjson::minify(value)
                                                     : value_of(value));
  }
  out += head.text(paint);
  for (const auto& [key, value] : object) {
    if (value.is_object()) add_section(out, key, value.get_object(), paint);
  }
  return out;
}

std::string show_rooms(const Json& answer, const Paint& paint) {
  return table_of(answer, "rooms",
                  {{"tenant", "TENANT", Table::Align::left},
                   {"room", "ROOM", Table::Align::left},
                   {"members", "MEMBERS", Table::Align::right},
                   {"present", "PRESENT", Table::Align::right},
                   {"readers", "READERS", Table::Align::right},
                   {"tail", "TAIL", Table::Align::right},
                   {"lastEventId", "LAST EVENT", Table::Align::left}},
                  paint);
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
  const bool painted = what.empty() && !paint.yellow.empty();
  if (what.empty())
    what = fmt::format("{}{}{} {}", paint.yellow, type, paint.off,
                       data != nullptr ? json_minified(data->raw) : std::string());
  // A message may hold line breaks and escape sequences; a terminal gets neither.
  for (char& c : what) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && !(painted && c == '\x1b')) || byte == 0x7F) c = ' ';
  }
  return fmt::format("{}{}{}  {}{}{}  {}\n", paint.dim, time, paint.off, paint.bold,
                     text_of(*event, "userId"), paint.off, what);
}

}  // namespace twinwire::ctl
