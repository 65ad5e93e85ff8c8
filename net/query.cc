#include "net/query.h"

#include <string.h>

#include <algorithm>

namespace twinwire {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Cuts the next part off the front of `rest`.
std::string_view cut(std::string_view& rest, char separator) {
  size_t at = rest.find(separator);
  std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return part;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  if (text.find_first_of("%+") == std::string_view::npos) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
      int low = high >= 0 ? hex(text[i + 2]) : -1;
      if (low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                 (c != 0 && strchr("-._~", c) != nullptr);
    if (plain) {
      out += c;
    } else {
      constexpr char kDigits[] = "0123456789ABCDEF";
      auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Query::Query(std::string_view text) {
  if (text.empty()) return;
  pairs_.reserve(static_cast<size_t>(std::count(text.begin(), text.end(), '&')) + 1);
  while (!text.empty()) {
    std::string_view value = cut(text, '&');
    std::string_view name = cut(value, '=');
    encoded_names_ = encoded_names_ || name.find_first_of("%+") != std::string_view::npos;
    pairs_.push_back({name, value});
  }
}

template <typename F>
void Query::each(std::string_view name, F&& f) {
  for (const Pair& pair : pairs_) {
    bool matches = pair.name == name;
    if (!matches && encoded_names_ && pair.name.find_first_of("%+") != std::string_view::npos) {
      auto decoded = percent_decode(pair.name);
      if (!decoded) malformed_ = true;
      matches = decoded && *decoded == name;
    }
    if (matches && !f(pair.value)) return;
  }
}

std::optional<std::string> Query::value(std::string_view name) {
  std::optional<std::string> out;
  each(name, [&](std::string_view value) {
    out = percent_decode(value);
    if (!out) malformed_ = true;
    return false;
  });
  return out;
}

std::vector<std::string> Query::list(std::string_view name) {
  std::vector<std::string> out;
  each(name, [&](std::string_view value) {
    while (!value.empty()) {
      std::string_view part = cut(value, ',');
      if (part.empty()) continue;
      auto decoded = percent_decode(part);
      if (decoded) {
        out.push_back(std::move(*decoded));
      } else {
        malformed_ = true;
      }
    }
    return true;
  });
  return out;
}

}  // namespace twinwire
