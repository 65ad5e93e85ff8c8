#include "bench/twinbench/speakers.h"

#include <fmt/format.h>

#include <cstring>

#include "bench/twinbench/crowd.h"

namespace twinwire::bench {
namespace {

using client::Nanos;

constexpr uint32_t kMask = 0x17c3a95d;
constexpr std::string_view kRecordsGreeting = "PUB\n";

void append_number(std::string& out, uint32_t number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  out.append(bytes, sizeof number);
}

}  // namespace

class Speakers::Lane : client::Socket::Owner, client::ResponseParser::Sink, client::WsParser::Sink {
 public:
  Lane(Speakers& all, uint32_t index)
      : all_(all), index_(index), socket_(all.loop_, *this), http_(*this), ws_(*this) {}
  void open();
  bool live() const { return live_; }
  size_t load() const { return waiting_.size(); }
  void say(const Saying& saying);
  void cork() { socket_.cork(); }
  void uncork() { socket_.uncork(); }

 private:
  const Dialect::Publishing& way() const { return *all_.options_.way; }
  void on_open() override;
  void on_data(std::string_view bytes) override;
  void on_end(std::string_view why) override;
  void on_head(const client::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override { body_.append(bytes); }
  void on_complete() override;
  void on_text(std::string_view message) override;
  void on_ping(std::string_view payload) override { frame(client::WsOpcode::pong, payload); }
  void on_close(uint16_t, std::string_view) override { end("closed by the server"); }
  void frame(client::WsOpcode opcode, std::string_view payload);
  void pump();
  void answered(bool success, std::string_view text);
  void end(std::string_view why);

  Speakers& all_;
  uint32_t index_;
  bool live_ = false;
  bool opening_ = false;
  bool said_hello_ = false;
  int status_ = 0;
  std::string user_;
  std::string body_;
  client::Socket socket_;
  client::ResponseParser http_;
  client::WsParser ws_;
  std::deque<Nanos> waiting_;      // the due times of what is unanswered
  std::deque<std::string> queue_;  // requests not yet sent, one at a time
  bool busy_ = false;
};

void Speakers::Lane::open() {
  opening_ = true;
  user_ = user_name(all_.options_.letter, index_);
  socket_.open(
      {.to = all_.options_.to, .source = client::source_address(all_.options_.first_source + index_ / 20)});
}

void Speakers::Lane::on_open() {
  opening_ = false;
  if (way().via == Dialect::Via::ws) {
    client::Request request;
    request.target = filled(way().target, {.room = room_name(index_), .user = user_});
    request.headers = way().headers;
    request.headers.insert(request.headers.end(), {{"Upgrade", "websocket"},
                                                   {"Connection", "Upgrade"},
                                                   {"Sec-WebSocket-Version", "13"},
                                                   {"Sec-WebSocket-Key", std::string(client::kWsKey)}});
    socket_.send(client::encode(request, all_.options_.to));
    return;
  }
  if (way().via == Dialect::Via::records) socket_.send(kRecordsGreeting);
  live_ = true;
  pump();
}

void Speakers::Lane::on_data(std::string_view bytes) {
  if (way().via == Dialect::Via::records) return;
  while (!bytes.empty() && socket_.open() && !http_.upgraded()) {
    const Result<size_t> taken = http_.feed(bytes);
    if (!taken) return end(taken.error().sentence);
    bytes.remove_prefix(*taken);
    if (!http_.upgraded()) continue;
    for (const std::string& text : way().say)
      frame(client::WsOpcode::text, filled(text, {.room = room_name(index_), .user = user_}));
    if (way().live.empty()) live_ = true;
  }
  if (bytes.empty() || !http_.upgraded()) return;
  if (const Result<void> fed = ws_.feed(bytes); !fed) end(fed.error().sentence);
}

void Speakers::Lane::on_text(std::string_view message) {
  if (!live_) {
    if (message.find(way().live) != std::string_view::npos) live_ = true;
    return;
  }
  if (!way().answer.empty() && message.find(way().answer) != std::string_view::npos) {
    answered(true, message);
  } else if (!way().refusal.empty() && message.find(way().refusal) != std::string_view::npos) {
    answered(false, message);
  }
}

void Speakers::Lane::on_complete() {
  if (status_ == 101) return;
  busy_ = false;
  answered(status_ >= 200 && status_ < 300, body_);
  body_.clear();
  pump();
}

void Speakers::Lane::answered(bool success, std::string_view text) {
  if (waiting_.empty()) return;
  const Nanos now = client::monotonic_now();
  all_.tally_.answers.add(now > waiting_.front() ? now - waiting_.front() : 0);
  waiting_.pop_front();
  --all_.unanswered_;
  all_.tally_.answered.add();
  if (!success) {
    all_.tally_.refusals.add();
    if (all_.last_end_.empty()) all_.last_end_ = text.substr(0, 200);
  }
  if (all_.on_answer_) all_.on_answer_(text);
}

void Speakers::Lane::end(std::string_view why) {
  socket_.close(true);
  on_end(why);
}

// What is unanswered then stays so, and is counted as refused: whether it was carried out is unknown.
// A POST connection that a server gave up while it had nothing to do is no fault: say() opens it anew.
void Speakers::Lane::on_end(std::string_view why) {
  const bool idle = live_ && way().via == Dialect::Via::post && waiting_.empty();
  live_ = false;
  opening_ = false;
  if (!idle && all_.last_end_.empty()) all_.last_end_ = why;
  all_.tally_.refusals.add(waiting_.size());
  all_.unanswered_ -= waiting_.size();
  waiting_.clear();
  queue_.clear();
  busy_ = false;
}

void Speakers::Lane::frame(client::WsOpcode opcode, std::string_view payload) {
  std::string bytes;
  client::append_frame(bytes, opcode, payload, kMask);
  socket_.send(bytes);
}

void Speakers::Lane::say(const Saying& saying) {
  const std::string room = room_name(saying.room);
  const Blanks blanks{.room = room,
                      .user = saying.user.empty() ? std::string_view(user_) : saying.user,
                      .content = saying.content};
  if (all_.answers_come()) {
    waiting_.push_back(saying.due);
    ++all_.unanswered_;
  }
  all_.tally_.said.add();
  switch (way().via) {
    case Dialect::Via::ws:
      frame(client::WsOpcode::text, filled(way().message, blanks));
      return;
    case Dialect::Via::records: {
      const std::string content = filled(way().message, blanks);
      std::string records;
      for (const Frame& frame : all_.frames_) {
        append_number(records, saying.room | frame.only);
        append_number(records, static_cast<uint32_t>(frame.head.size() + content.size() + frame.tail.size()));
        records.append(frame.head).append(content).append(frame.tail);
      }
      socket_.send(records);
      return;
    }
    case Dialect::Via::post: {
      client::Request request;
      request.method = way().method;
      request.target = filled(way().target, blanks);
      request.headers = way().headers;
      request.body = filled(way().body, blanks);
      queue_.push_back(client::encode(request, all_.options_.to));
      if (!live_ && !opening_) open();
      pump();
      return;
    }
  }
}

void Speakers::Lane::pump() {
  if (!live_) return;
  while (!queue_.empty() && (way().pipeline || !busy_)) {
    busy_ = true;
    socket_.send(queue_.front());
    queue_.pop_front();
  }
}

Speakers::Speakers(client::Loop& loop, Options options, Tally& tally)
    : loop_(loop), options_(std::move(options)), tally_(tally) {
  for (uint32_t i = 0; i < options_.lanes; ++i) lanes_.push_back(std::make_unique<Lane>(*this, i));
}

Speakers::~Speakers() = default;

void Speakers::open() {
  for (const auto& lane : lanes_) lane->open();
}

bool Speakers::live() const {
  for (const auto& lane : lanes_) {
    if (!lane->live()) return false;
  }
  return true;
}

bool Speakers::answers_come() const {
  return options_.way->via == Dialect::Via::post ||
         (options_.way->via == Dialect::Via::ws && !options_.way->answer.empty());
}

void Speakers::say(const Saying& saying) {
  size_t lane = saying.room % lanes_.size();
  if (options_.racing) {
    lane = turn_++ % lanes_.size();
    for (size_t i = 0; i < lanes_.size() && lanes_[lane]->load() > 0; ++i) lane = (lane + 1) % lanes_.size();
  }
  lanes_[lane]->say(saying);
}

void Speakers::cork() {
  for (const auto& lane : lanes_) lane->cork();
}

void Speakers::uncork() {
  for (const auto& lane : lanes_) lane->uncork();
}

}  // namespace twinwire::bench
