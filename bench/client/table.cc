#include "bench/client/table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace twinwire::client {
namespace {

Paint paint_for(int fd) {
  const char* off = std::getenv("NO_COLOR");
  if (!isatty(fd) || (off != nullptr && *off != '\0')) return {};
  return {"\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"};
}

// One code point of valid UTF-8 from the front; a stray byte counts as itself.
char32_t take(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t out = size == 1 ? lead : lead & (0xFF >> (size + 1));
  const size_t n = std::min(size, text.size());
  for (size_t i = 1; i < n; ++i) out = out << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  text.remove_prefix(n);
  return out;
}

bool wide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

bool joins(char32_t c) { return (c >= 0x300 && c <= 0x36F) || c == 0x200D || (c >= 0xFE00 && c <= 0xFE0F); }

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

std::string padded(const std::string& text, size_t width, Table::Align align) {
  const size_t columns = columns_of(text);
  const std::string space(width > columns ? width - columns : 0, ' ');
  return align == Table::Align::right ? space + text : text + space;
}

}  // namespace

Paint Paint::for_stdout() { return paint_for(STDOUT_FILENO); }
Paint Paint::for_stderr() { return paint_for(STDERR_FILENO); }

size_t columns_of(std::string_view text) {
  size_t out = 0;
  while (!text.empty()) {
    const char32_t c = take(text);
    if (!joins(c)) out += wide(c) ? 2 : 1;
  }
  return out;
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = printable(std::move(cell));
  rows_.push_back(std::move(cells));
}

std::string Table::text(const Paint& paint) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = columns_of(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, columns_of(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of, std::string_view before) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line += "  ";
      line += padded(cell_of(i), widths[i], columns_[i].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.append(before).append(line).append(before.empty() ? std::string_view() : paint.off).append("\n");
  };
  add_line([&](size_t i) { return columns_[i].title; }, paint.bold);
  for (const auto& row : rows_) add_line([&](size_t i) { return row[i]; }, {});
  return out;
}

void Facts::add(std::string name, std::string value, std::string_view colour) {
  facts_.push_back({std::move(name), printable(std::move(value)), std::string(colour)});
}

std::string Facts::text(const Paint& paint) const {
  size_t names = 0;
  size_t values = 0;
  for (const Fact& fact : facts_) {
    names = std::max(names, columns_of(fact.name));
    values = std::max(values, columns_of(fact.value));
  }
  std::string out;
  if (!title_.empty()) out.append(paint.bold).append(title_).append(paint.off).append("\n");
  for (const Fact& fact : facts_) {
    out.append("  ").append(padded(fact.name, names, Table::Align::left)).append("  ");
    out.append(fact.colour).append(padded(fact.value, values, Table::Align::right));
    out.append(fact.colour.empty() ? std::string_view() : paint.off).append("\n");
  }
  return out;
}

}  // namespace twinwire::client
