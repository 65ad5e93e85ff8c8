#include "bench/client/sse.h"

#include <charconv>

namespace twinwire::client {
namespace {

constexpr size_t kBlockBytesMax = 4 * 1024 * 1024;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

bool SseParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (skip_newline_) {
      skip_newline_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const size_t end = bytes.find_first_of("\r\n");
    if (end == std::string_view::npos) {
      partial_.append(bytes);
      break;
    }
    skip_newline_ = bytes[end] == '\r';
    if (partial_.empty()) {
      line(bytes.substr(0, end));
    } else {
      partial_.append(bytes.substr(0, end));
      line(partial_);
      partial_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
  return partial_.size() + data_.size() <= kBlockBytesMax;
}

void SseParser::line(std::string_view text) {
  if (!seen_any_) {
    seen_any_ = true;
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  }
  if (text.empty()) {
    dispatch();
    return;
  }
  const size_t colon = text.find(':');
  if (colon == 0) {
    sink_.on_comment();
    return;
  }
  if (colon == std::string_view::npos) {
    field(text, {});
    return;
  }
  std::string_view value = text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  field(text.substr(0, colon), value);
}

void SseParser::field(std::string_view name, std::string_view value) {
  if (name == "data") {
    data_.append(value);
    data_ += '\n';
  } else if (name == "event") {
    type_ = value;
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos) id_ = value;
  } else if (name == "retry") {
    uint64_t milliseconds = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, milliseconds);
    if (!value.empty() && error == std::errc() && stop == end) sink_.on_retry(milliseconds);
  }
}

void SseParser::dispatch() {
  const bool moved = last_id_ != id_;
  last_id_ = id_;
  if (data_.empty()) {
    type_.clear();
    if (moved) sink_.on_id_only(last_id_);
    return;
  }
  data_.pop_back();  // the last line feed
  const std::string_view type = type_.empty() ? std::string_view("message") : std::string_view(type_);
  sink_.on_block({type, data_, last_id_});
  data_.clear();
  type_.clear();
}

}  // namespace twinwire::client
