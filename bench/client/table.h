// Tables for people: aligned columns, colours only where a terminal shows them.
// Not here: JSON output. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire::client {

// Escape sequences, or empty strings where the output is not a terminal (or NO_COLOR is set).
struct Paint {
  static Paint for_stdout();
  static Paint for_stderr();
  std::string_view bold, dim, red, green, yellow, off;
};

// Columns a terminal shows for this UTF-8 text; wide characters count two.
size_t columns_of(std::string_view text);

class Table {
 public:
  enum class Align : uint8_t { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // One cell for each column. Control characters are shown as `?`.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Two spaces between the columns, a head line, no frame.
  std::string text(const Paint& paint) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "name  value" lines under a title, names left, values right-aligned among themselves.
class Facts {
 public:
  explicit Facts(std::string title) : title_(std::move(title)) {}
  void add(std::string name, std::string value, std::string_view colour = {});
  std::string text(const Paint& paint) const;

 private:
  struct Fact {
    std::string name;
    std::string value;
    std::string colour;
  };
  std::string title_;
  std::vector<Fact> facts_;
};

}  // namespace twinwire::client
