#include "bench/twinbench/crowd.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/client/websocket.h"

namespace twinwire::bench {
namespace {

using client::Nanos;

constexpr uint32_t kReadersPerSource = 20;
constexpr uint32_t kUnknown = UINT32_MAX;
constexpr size_t kGreetingMax = 256 * 1024;
constexpr int kSlowBufferBytes = 4096;
constexpr uint32_t kMask = 0x5a3c96e1;

}  // namespace

std::string room_name(uint32_t room) { return fmt::format("bench-{}", room); }
std::string user_name(char letter, uint64_t number) { return fmt::format("{}{:011}", letter, number); }

class Crowd::Reader : client::Socket::Owner, EventScanner::Sink {
 public:
  Reader(Crowd& crowd, uint32_t index)
      : crowd_(crowd), index_(index), scanner_(crowd.form_of(index)), socket_(crowd.loop_, *this) {}
  void open(Nanos began);
  void close();
  bool live() const { return state_ == State::live; }
  uint32_t next() const { return next_; }
  void expect(uint32_t next) { next_ = next; }
  client::Socket& socket() { return socket_; }
  void say(std::string_view text) { frame(client::WsOpcode::text, text); }

 private:
  enum class State : uint8_t { closed, opening, head, subscribing, live };
  bool slow() const { return index_ < crowd_.options_.slow; }
  void on_open() override;
  void on_data(std::string_view bytes) override;
  void on_end(std::string_view why) override;
  // The answer's head and what is to be said after it; true once that is done, with `bytes` behind it.
  bool take_head(std::string_view& bytes);
  void scan(std::string_view bytes);
  void go_live();
  void leave(std::string_view why);
  void frame(client::WsOpcode opcode, std::string_view payload);

  void on_mark(const Mark& mark) override;
  void on_answer() override { crowd_.tally_.answered.add(); }
  void on_ping(std::string_view payload) override { frame(client::WsOpcode::pong, payload); }
  void on_close(std::string_view) override { leave("closed by the server"); }
  void on_small_text(std::string_view text) override;
  const Dialect::Reading& reading() const {
    return *crowd_.options_.dialect->reading(crowd_.form_of(index_));
  }

  Crowd& crowd_;
  uint32_t index_;
  uint32_t next_ = kUnknown;  // the number that is to come
  State state_ = State::closed;
  bool complete_ = false;
  Nanos began_ = 0;
  EventScanner scanner_;
  client::Socket socket_;
  std::unique_ptr<std::string> greeting_;  // until live
};

void Crowd::Reader::open(Nanos began) {
  began_ = began;
  state_ = State::opening;
  complete_ = false;
  ++crowd_.opening_;
  scanner_ = EventScanner(crowd_.form_of(index_));
  greeting_ = std::make_unique<std::string>();
  socket_.open({.to = crowd_.options_.to,
                .source = client::source_address(crowd_.options_.first_source + index_ / kReadersPerSource),
                .receive_buffer_bytes = slow() ? kSlowBufferBytes : 0});
}

void Crowd::Reader::close() {
  if (state_ == State::closed) return;
  if (state_ == State::live) {
    crowd_.tally_.live.take();
  } else {
    --crowd_.opening_;
  }
  state_ = State::closed;
  greeting_.reset();
  socket_.close(true);
}

void Crowd::Reader::on_open() {
  state_ = State::head;
  const std::string room = room_name(crowd_.room_of(index_));
  const std::string user = crowd_.user_of(index_);
  Blanks blanks{.room = room, .user = user};
  if (crowd_.cursors_ && next_ != kUnknown && next_ > 0)
    blanks.cursor = crowd_.cursors_(crowd_.room_of(index_), next_ - 1);
  socket_.send(client::encode(reader_request(reading(), crowd_.form_of(index_), blanks), crowd_.options_.to));
}

bool Crowd::Reader::take_head(std::string_view& bytes) {
  const size_t before = greeting_->size();
  greeting_->append(bytes);
  const size_t end = greeting_->find("\r\n\r\n");
  if (end == std::string::npos) {
    if (greeting_->size() > kGreetingMax) leave("an answer without an end of its head");
    return false;
  }
  const bool ws = crowd_.form_of(index_) == Form::ws;
  if (!greeting_->starts_with(ws ? "HTTP/1.1 101" : "HTTP/1.1 200")) {
    crowd_.tally_.refused.add();
    leave(greeting_->substr(0, 200));
    return false;
  }
  bytes.remove_prefix(end + 4 - before);
  greeting_->clear();
  state_ = State::subscribing;
  if (ws && !reading().say.empty()) {
    const std::string room = room_name(crowd_.room_of(index_));
    const std::string user = crowd_.user_of(index_);
    for (const std::string& text : reading().say) say(filled(text, {.room = room, .user = user}));
  }
  return true;
}

void Crowd::Reader::go_live() {
  state_ = State::live;
  greeting_.reset();
  --crowd_.opening_;
  crowd_.tally_.live.add();
  crowd_.tally_.opened.add(client::monotonic_now() - began_);
}

void Crowd::Reader::on_data(std::string_view bytes) {
  crowd_.tally_.reads.add();
  if (state_ == State::head && !take_head(bytes)) return;
  if (state_ == State::subscribing) {
    greeting_->append(bytes);
    const std::string& live = reading().live;
    if (live.empty() || greeting_->find(live) != std::string::npos) {
      go_live();
    } else if (greeting_->size() > kGreetingMax) {
      leave("a stream that never says it is live");
      return;
    }
  }
  scan(bytes);
}

void Crowd::Reader::scan(std::string_view bytes) {
  const EventScanner::Rules rules{.answer = crowd_.options_.dialect->speak_answer,
                                  .small_texts = !reading().answers.empty()};
  if (!scanner_.feed(bytes, rules, *this)) leave("not WebSocket");
}

void Crowd::Reader::on_mark(const Mark& mark) {
  Tally& tally = crowd_.tally_;
  tally.deliveries.add();
  if (mark.number == next_ || next_ == kUnknown) {
    next_ = mark.number + 1;
  } else if (mark.number > next_) {
    crowd_.note_gap(index_, next_, mark.number);
    next_ = mark.number + 1;
  } else {
    crowd_.note_late(index_, mark.number);
  }
  if (crowd_.options_.timing && !slow()) {
    const Nanos now = client::monotonic_now();
    tally.latency.add(now > mark.due ? now - mark.due : 0);
  }
  if (next_ < crowd_.goal_ || complete_ || crowd_.goal_ == kUnknown) return;
  complete_ = true;
  tally.complete.add();
  tally.completed.add(client::monotonic_now() - crowd_.began_);
}

void Crowd::Reader::on_small_text(std::string_view text) {
  for (const auto& [to, answer] : reading().answers) {
    if (text == to) say(answer);
  }
}

void Crowd::Reader::frame(client::WsOpcode opcode, std::string_view payload) {
  std::string bytes;
  client::append_frame(bytes, opcode, payload, kMask);
  socket_.send(bytes);
}

void Crowd::Reader::leave(std::string_view why) {
  if (state_ == State::closed) return;
  close();
  Tally& tally = crowd_.tally_;
  tally.ended.add();
  if (tally.last_end[0] == '\0') why.copy(tally.last_end.data(), tally.last_end.size() - 1);
  if (!crowd_.retrying_) return;
  crowd_.cut_.push_back(index_);
  ++crowd_.away_;
}

void Crowd::Reader::on_end(std::string_view why) { leave(why); }

Crowd::Crowd(client::Loop& loop, Options options, Tally& tally)
    : loop_(loop), options_(std::move(options)), tally_(tally) {}

Crowd::~Crowd() { shut(); }

void Crowd::open(uint32_t count) {
  const Nanos now = client::monotonic_now();
  for (; count > 0; --count) {
    readers_.push_back(std::make_unique<Reader>(*this, size()));
    readers_.back()->open(now);
  }
}

void Crowd::shut() {
  for (const auto& reader : readers_) reader->close();
  readers_.clear();
  cut_.clear();
  gaps_.clear();
  away_ = 0;
}

void Crowd::cut() {
  cut_.clear();
  for (uint32_t i = 0; i < size(); ++i) {
    readers_[i]->close();
    cut_.push_back(i);
  }
  away_ = size();
}

void Crowd::come_back(uint32_t count, Nanos began) {
  began_ = began;
  for (; count > 0 && !cut_.empty(); --count) {
    readers_[cut_.back()]->open(began);
    cut_.pop_back();
    --away_;
  }
}

bool Crowd::restart(uint32_t index) {
  const Reader& reader = *readers_[index];
  if (!reader.live() || reader.next() == kUnknown || reader.next() == 0) return false;
  // Only where it can say from where it goes on: the answer to its last message may not have come yet.
  if (cursors_ && cursors_(room_of(index), reader.next() - 1).empty()) return false;
  readers_[index]->close();
  readers_[index]->open(client::monotonic_now());
  return true;
}

void Crowd::throttle(uint64_t bytes_per_second) {
  for (uint32_t i = 0; i < std::min(options_.slow, size()); ++i) readers_[i]->socket().pace(bytes_per_second);
}

bool Crowd::speak(uint32_t index, std::string_view text) {
  if (form_of(index) != Form::ws || !readers_[index]->live()) return false;
  readers_[index]->say(text);
  return true;
}

uint32_t Crowd::next_of(uint32_t index) const { return readers_[index]->next(); }

uint64_t Crowd::missing(const std::function<uint32_t(uint32_t room)>& total) const {
  uint64_t out = 0;
  for (uint32_t i = 0; i < size(); ++i) {
    const Reader& reader = *readers_[i];
    const uint32_t end = total(room_of(i));
    if (reader.live() && reader.next() != kUnknown && reader.next() < end) out += end - reader.next();
  }
  return out;
}

void Crowd::expect(const std::function<uint32_t(uint32_t room)>& next) {
  for (uint32_t i = 0; i < size(); ++i) readers_[i]->expect(next(room_of(i)));
}

void Crowd::note_gap(uint32_t index, uint32_t from, uint32_t to) {
  tally_.lost.add(to - from);
  std::set<uint32_t>& gap = gaps_[index];
  constexpr size_t kRemembered = 10'000;  // beyond, a late one counts as repeated
  for (; from < to && gap.size() < kRemembered; ++from) gap.insert(from);
}

void Crowd::note_late(uint32_t index, uint32_t number) {
  const auto gap = gaps_.find(index);
  if (gap != gaps_.end() && gap->second.erase(number) > 0) {
    tally_.lost.take();
    tally_.reordered.add();
  } else {
    tally_.repeated.add();
  }
}

}  // namespace twinwire::bench
