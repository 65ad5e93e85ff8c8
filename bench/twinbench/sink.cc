#include "bench/twinbench/sink.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/client/http.h"
#include "bench/client/text.h"
#include "bench/client/websocket.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kReadersPerSource = 20;
constexpr uint32_t kHeartbeatSeconds = 600;  // none falls into a measurement

client::Request request_of(const SinkGroup::Options& options, uint32_t index) {
  client::Request out;
  out.target =
      fmt::format("{}?id={}{}&rooms={}&heartbeat={}", options.form == SinkForm::ws ? "/ws" : "/api/events",
                  client::percent_encoded(options.user_prefix), index, client::percent_encoded(options.room),
                  kHeartbeatSeconds);
  if (options.form == SinkForm::ws) {
    out.headers = {{"Upgrade", "websocket"},
                   {"Connection", "Upgrade"},
                   {"Sec-WebSocket-Version", "13"},
                   {"Sec-WebSocket-Key", std::string(client::kWsKey)}};
  }
  return out;
}

}  // namespace

void SinkGroup::open(uint32_t count) {
  for (; count > 0; --count) {
    readers_.push_back(std::make_unique<Reader>(*this, size()));
    readers_.back()->open();
  }
}

void SinkGroup::begin_burst() {
  reference_.clear();
  received_ = 0;
  for (const auto& reader : readers_) reader->begin_burst();
}

void SinkGroup::compare(uint64_t& place, std::string_view bytes) {
  received_ += bytes.size();
  const size_t known = place < reference_.size() ? std::min(bytes.size(), reference_.size() - place) : 0;
  if (known > 0 && bytes.substr(0, known) != std::string_view(reference_).substr(place, known)) ++differing_;
  if (known < bytes.size()) reference_.append(bytes.substr(known));
  place += bytes.size();
}

void SinkGroup::Reader::open() {
  greeting_ = std::make_unique<std::string>();
  socket_.open({.to = group_.options_.to,
                .source = client::source_address(group_.options_.first_source + index_ / kReadersPerSource)});
}

void SinkGroup::Reader::on_open() {
  if (group_.options_.form == SinkForm::raw) {
    greeting_.reset();
    live_ = true;
    ++group_.live_;
    return;
  }
  socket_.send(client::encode(request_of(group_.options_, index_), group_.options_.to));
}

bool SinkGroup::Reader::greet(std::string_view& bytes) {
  greeting_->append(bytes);
  const bool ws = group_.options_.form == SinkForm::ws;
  const size_t head = greeting_->find("\r\n\r\n");
  if (head == std::string::npos) return false;
  if (!greeting_->starts_with(ws ? "HTTP/1.1 101" : "HTTP/1.1 200")) {
    group_.last_end_ = greeting_->substr(0, 200);
    return false;
  }
  size_t end = 0;
  if (ws) {
    const size_t frame = head + 4;
    if (greeting_->size() < frame + 4) return false;
    const auto byte = [&](size_t at) {
      return static_cast<size_t>(static_cast<unsigned char>((*greeting_)[at]));
    };
    const size_t small = byte(frame + 1);
    end = frame + (small < 126 ? 2 + small : 4 + (byte(frame + 2) << 8 | byte(frame + 3)));
    if (greeting_->size() < end) return false;
  } else {
    const size_t event = greeting_->find("event: connected\n", head);
    const size_t blank = event == std::string::npos ? event : greeting_->find("\n\n", event);
    if (blank == std::string::npos) return false;
    end = blank + 2;
  }
  bytes.remove_prefix(bytes.size() - (greeting_->size() - end));
  return true;
}

void SinkGroup::Reader::on_data(std::string_view bytes) {
  if (!live_) {
    if (!greet(bytes)) return;
    greeting_.reset();
    live_ = true;
    ++group_.live_;
  }
  if (!bytes.empty()) group_.compare(place_, bytes);
}

void SinkGroup::Reader::on_end(std::string_view why) {
  if (live_) --group_.live_;
  live_ = false;
  ++group_.ended_;
  if (group_.last_end_.empty()) group_.last_end_ = why;
}

}  // namespace twinwire::bench
