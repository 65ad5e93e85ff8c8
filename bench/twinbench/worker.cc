#include "bench/twinbench/worker.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace twinwire::bench {
namespace {

using client::kMillisecond;
using client::kSecond;
using client::Nanos;

constexpr Nanos kPatience = 30 * kSecond;  // without any progress, before an order fails
constexpr Nanos kArrival = 10 * kSecond;   // for what was said to come, at the end of a talk
constexpr Nanos kGrace = 300 * kMillisecond;
constexpr Nanos kLookAround = 200'000;         // between two looks at what other processes have
constexpr Nanos kBackOff = 20 * kMillisecond;  // of publishers that were refused
constexpr uint64_t kRefusedOf = 10;            // pump: one of so many may be refused
constexpr size_t kOrderBytes = 64 * 1024;
constexpr std::string_view kEventId = "\"eventId\":\"";

Answer failed(std::string_view sentence) {
  Answer out;
  out.ok = false;
  sentence.copy(out.sentence.data(), out.sentence.size() - 1);
  return out;
}

Answer done(uint64_t value, Nanos began = 0) {
  Answer out;
  out.value = value;
  if (began != 0) out.seconds = static_cast<double>(client::monotonic_now() - began) / 1e9;
  return out;
}

}  // namespace

// The orders that have come, watched by the loop like any socket.
class Worker::Channel : client::Loop::Watcher {
 public:
  Channel(client::Loop& loop, int fd) : loop_(loop), fd_(fd), id_(loop.watch(fd, this)) {}
  ~Channel() override { loop_.unwatch(id_); }
  // The next order, or nothing; `ended` where none will come.
  bool take(Order& order, std::string& text, bool& ended) {
    std::string bytes(kOrderBytes, '\0');
    const ssize_t n = recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    ended = n == 0;
    if (n < static_cast<ssize_t>(sizeof order)) return false;
    std::memcpy(&order, bytes.data(), sizeof order);
    text = bytes.substr(sizeof order, static_cast<size_t>(n) - sizeof order);
    return true;
  }

 private:
  void on_ready(uint32_t) override {}
  client::Loop& loop_;
  int fd_;
  client::Loop::WatchId id_;
};

Worker::Worker(Options options, Shared shared)
    : options_(std::move(options)),
      shared_(shared),
      totals_(options_.rooms, 0),
      last_speaker_(options_.rooms, UINT32_MAX),
      random_(options_.index + 1) {
  options_.crowd.dialect = &options_.dialect;
  crowd_ = std::make_unique<Crowd>(loop_, options_.crowd, tally());
  const uint32_t per_room = shared_.head->cursors_per_room;
  if (per_room == 0) return;
  crowd_->set_cursors([this, per_room](uint32_t room, uint32_t number) -> std::string_view {
    return number < per_room ? shared_.cursors[uint64_t{room} * per_room + number].data()
                             : std::string_view();
  });
}

Worker::~Worker() = default;

void Worker::serve() {
  prctl(PR_SET_TIMERSLACK, 1);  // what is due is said when it is due
  Channel channel(loop_, options_.channel);
  Order order;
  std::string text;
  for (bool ended = false; !ended;) {
    if (!channel.take(order, text, ended)) {
      if (!ended) loop_.run_once(kSecond);
      continue;
    }
    const Answer answer = execute(order, text);
    if (send(options_.channel, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) return;
  }
}

Answer Worker::execute(const Order& order, std::string_view text) {
  switch (order.what) {
    case Order::What::open:
      return open(order);
    case Order::What::shut:
      crowd_->shut();
      tally().live.set(0);
      run_until(0, [] { return false; });
      return done(0);
    case Order::What::speakers:
      return open_speakers(order);
    case Order::What::frame:
      frames_.push_back({.only = order.only,
                         .head = std::string(text.substr(0, order.count)),
                         .tail = std::string(text.substr(order.count))});
      return done(0);
    case Order::What::turn:
      return turn(order);
    case Order::What::talk:
      return talk(order);
    case Order::What::say:
      return say(order);
    case Order::What::pump:
      return pump(order);
    case Order::What::expect:
      crowd_->expect([this](uint32_t room) { return total_of(room); });
      return done(0);
    case Order::What::settle: {
      const uint64_t missing = crowd_->missing([this](uint32_t room) { return total_of(room); });
      tally().lost.add(missing);
      return done(missing);
    }
    case Order::What::clear:
      tally().latency.clear();
      tally().opened.clear();
      tally().completed.clear();
      tally().answers.clear();
      tally().late_max.set(0);
      return done(0);
    case Order::What::cut:
      crowd_->cut();
      tally().live.set(0);
      return done(crowd_->size());
    case Order::What::come_back:
      return come_back(order);
    case Order::What::throttle:
      crowd_->throttle(order.count);
      return done(0);
    case Order::What::drain:
      return drain();
  }
  return failed("no such order");
}

bool Worker::run_until(Nanos limit, const std::function<bool()>& done) {
  const Nanos until = client::monotonic_now() + limit;
  while (!done()) {
    if (client::monotonic_now() > until) return false;
    loop_.run_once(kLookAround);
  }
  return true;
}

// A message to a million takes its time: patience is for standing still.
bool Worker::run_until_came(uint64_t wanted) {
  while (deliveries() < wanted) {
    const uint64_t before = deliveries();
    if (!run_until(kPatience, [&] { return deliveries() >= wanted; }) && deliveries() == before) return false;
  }
  return true;
}

Answer Worker::open(const Order& order) {
  const Nanos began = client::monotonic_now();
  const uint32_t wanted = crowd_->size() + order.count;
  const uint64_t ended = tally().ended.get();
  Nanos limit = began + kPatience;
  for (uint32_t live = crowd_->live(); crowd_->live() < wanted;) {
    if (crowd_->size() < wanted && crowd_->opening() < order.at_once)
      crowd_->open(std::min(order.at_once - crowd_->opening(), wanted - crowd_->size()));
    loop_.run_once(kMillisecond);
    if (crowd_->live() > live) limit = client::monotonic_now() + kPatience;
    live = crowd_->live();
    if (tally().ended.get() == ended && client::monotonic_now() < limit) continue;
    return failed(fmt::format("{} of {} readers are live; {}", live, wanted, tally().last_end.data()));
  }
  crowd_->expect([this](uint32_t room) { return total_of(room); });
  return done(crowd_->live(), began);
}

Answer Worker::open_speakers(const Order& order) {
  const bool post = order.by_post && options_.dialect.post;
  const Dialect::Publishing& way = post ? *options_.dialect.post : options_.dialect.publish;
  Speakers::Options options;
  options.to = options_.crowd.to;
  options.way = &way;
  options.lanes = order.count;
  options.letter = static_cast<char>(options_.crowd.letter + ('S' - 'r'));
  options.first_source = options_.crowd.first_source + 900;
  options.racing = order.racing;
  speakers_ = std::make_unique<Speakers>(loop_, options, tally());
  speakers_->set_frames(frames_);
  if (shared_.head->cursors_per_room > 0)
    speakers_->set_on_answer([this](std::string_view text) { note_answer(text); });
  speakers_->open();
  if (run_until(kPatience, [this] { return speakers_->live(); })) return done(order.count);
  return failed(fmt::format("the publishers are not live; {}", speakers_->last_end()));
}

uint64_t Worker::deliveries() const {
  if (!one_room()) return tally().deliveries.get();
  uint64_t out = 0;
  for (uint32_t i = 0; i < shared_.head->workers; ++i) out += shared_.tallies[i].deliveries.get();
  return out;
}

// Readers of a message.
uint64_t Worker::audience() const {
  if (!one_room()) return options_.crowd.members;
  uint64_t out = 0;
  for (uint32_t i = 0; i < shared_.head->workers; ++i) out += shared_.tallies[i].live.get();
  return out;
}

uint32_t Worker::total_of(uint32_t room) const {
  if (one_room()) return static_cast<uint32_t>(shared_.head->total.get());
  return totals_[room - options_.crowd.first_room];
}

// Any member, unless what the last one said has not come back to it: between two connections the order of
// what is said at the same time is nobody's to promise.
uint32_t Worker::speaker_in(uint32_t room) {
  const uint32_t members = one_room() ? crowd_->size() : options_.crowd.members;
  const uint32_t place = room - options_.crowd.first_room;
  uint32_t& last = last_speaker_[place];
  if (last == UINT32_MAX || crowd_->next_of(last) >= total_of(room))
    last = static_cast<uint32_t>((one_room() ? 0 : place * members) + random_() % members);
  return last;
}

void Worker::say_one(uint32_t room, Nanos due, bool by_member) {
  const uint32_t member = by_member ? speaker_in(room) : 0;
  uint32_t number = 0;
  if (one_room()) {
    number = static_cast<uint32_t>(shared_.head->total.get());
    shared_.head->total.add();
  } else {
    number = totals_[room - options_.crowd.first_room]++;
  }
  const std::string content = marked_content({number, due}, options_.content_bytes);
  if (!by_member) {
    speakers_->say({.room = room, .user = {}, .content = content, .due = due});
    return;
  }
  const std::string user = crowd_->user_of(member);
  const std::string name = room_name(room);
  if (!options_.dialect.speak.empty() &&
      crowd_->speak(member,
                    filled(options_.dialect.speak, {.room = name, .user = user, .content = content}))) {
    tally().said.add();
  } else {
    speakers_->say({.room = room, .user = user, .content = content, .due = due});
  }
}

Answer Worker::turn(const Order& order) {
  const Nanos began = client::monotonic_now();
  const uint64_t base = deliveries();
  const uint64_t readers = audience();
  uint64_t expected = 0;
  while (client::monotonic_now() - began < order.nanos) {
    speakers_->cork();
    const Nanos now = client::monotonic_now();
    for (uint32_t i = 0; i < order.count; ++i) say_one(options_.crowd.first_room, now, false);
    speakers_->uncork();
    expected += order.count * readers;
    if (!run_until_came(base + expected)) {
      return failed(fmt::format("{} of {} deliveries came; {} {}", deliveries() - base, expected,
                                speakers_->last_end(), tally().last_end.data()));
    }
  }
  Answer out = done(expected, began);
  if (!run_until(kPatience, [this] { return speakers_->unanswered() == 0; }))
    return failed("some messages were not answered");
  if (tally().refusals.get() > 0) return failed("a message was refused: " + speakers_->last_end());
  return out;
}

Answer Worker::talk(const Order& order) {
  const uint64_t base = deliveries();
  const uint64_t audience_size = audience();
  const Nanos end = order.start + order.nanos;
  uint64_t said = 0;
  uint64_t cuts = 0;
  const auto due_of = [&](uint64_t i, double rate) {
    return order.start + static_cast<Nanos>(static_cast<double>(i) * 1e9 / rate);
  };
  while (order.rate > 0) {
    const Nanos now = client::monotonic_now();
    if (now >= end && due_of(said, order.rate) >= end) break;
    if (speakers_) speakers_->cork();
    for (Nanos due = due_of(said, order.rate); due <= now && due < end; due = due_of(++said, order.rate)) {
      tally().late_max.raise(now - due);
      const uint32_t room =
          options_.crowd.first_room + static_cast<uint32_t>(one_room() ? 0 : random_() % options_.rooms);
      say_one(room, due, order.by_members);
    }
    if (speakers_) speakers_->uncork();
    for (; order.cuts > 0 && due_of(cuts, order.cuts) <= now; ++cuts)
      crowd_->restart(static_cast<uint32_t>(random_() % crowd_->size()));
    const Nanos next = std::min(due_of(said, order.rate), end);
    const Nanos moment = client::monotonic_now();
    loop_.run_once(next > moment && !order.spin ? next - moment : 0);
  }
  const Nanos took = client::monotonic_now() - order.start;
  const uint64_t expected = said * audience_size;
  // With cuts the deliveries are not known beforehand; what readers miss is settled by their numbers.
  const auto all_came = [&] {
    return order.cuts > 0 ? crowd_->opening() == 0 &&
                                crowd_->missing([this](uint32_t room) { return total_of(room); }) == 0
                          : deliveries() - base >= expected;
  };
  run_until(order.some_lag ? kGrace : kArrival, all_came);
  if (speakers_) run_until(kArrival, [this] { return speakers_->unanswered() == 0; });
  Answer out = done(said);
  out.seconds = static_cast<double>(took) / 1e9;
  if (tally().refusals.get() > 0 && speakers_)
    return failed("a message was refused: " + speakers_->last_end());
  return out;
}

Answer Worker::say(const Order& order) {
  const Nanos began = client::monotonic_now();
  for (uint32_t i = 0; i < order.count; ++i) {
    for (uint32_t room = 0; room < options_.rooms; ++room) {
      if (!run_until(kPatience, [&] { return speakers_->unanswered() < order.at_once; }))
        return failed("messages are not answered");
      say_one(options_.crowd.first_room + room, client::monotonic_now(), false);
    }
  }
  if (!run_until(kPatience, [this] { return speakers_->unanswered() == 0; }))
    return failed("messages are not answered");
  if (tally().refusals.get() > 0) return failed("a message was refused: " + speakers_->last_end());
  return done(uint64_t{order.count} * options_.rooms, began);
}

// An answer holds what it answers: its room, its mark and the id it got.
void Worker::note_answer(std::string_view text) {
  const size_t edge = text.find('~');
  const size_t id = text.find(kEventId);
  const size_t room_at = text.find("\"bench-");
  if (edge == std::string_view::npos || id == std::string_view::npos || room_at == std::string_view::npos)
    return;
  if (text.size() - edge < kMarkBytes || text.size() < id + kEventId.size() + sizeof(CursorText)) return;
  const std::optional<Mark> mark = parse_mark(text.data() + edge);
  const auto room = static_cast<uint32_t>(std::strtoul(text.data() + room_at + 7, nullptr, 10));
  const uint32_t per_room = shared_.head->cursors_per_room;
  if (!mark || mark->number >= per_room) return;
  CursorText& cursor = shared_.cursors[uint64_t{room} * per_room + mark->number];
  text.copy(cursor.data(), cursor.size() - 1, id + kEventId.size());
}

// Refusals are answers too: a publisher that is refused waits a moment, as it is told to, and the message
// does not count.
Answer Worker::pump(const Order& order) {
  const Nanos began = client::monotonic_now();
  const uint64_t base = tally().answered.get();
  const uint64_t base_refused = tally().refusals.get();
  const uint32_t lanes = order.count;
  uint64_t all = 0;
  uint64_t refused = 0;
  Nanos from = 0;
  while (client::monotonic_now() - began < order.nanos) {
    const Nanos now = client::monotonic_now();
    if (const uint64_t so_far = tally().refusals.get() - base_refused; so_far > refused) {
      refused = so_far;
      from = now + kBackOff;
    }
    speakers_->cork();
    while (now >= from && speakers_->unanswered() < uint64_t{order.at_once} * lanes) {
      say_one(options_.crowd.first_room + static_cast<uint32_t>(all++ % options_.rooms),
              client::monotonic_now(), false);
    }
    speakers_->uncork();
    loop_.run_once(kMillisecond);
  }
  const uint64_t within = tally().answered.get() - base;
  refused = tally().refusals.get() - base_refused;
  Answer out = done(within - std::min(within, refused), began);
  if (!run_until(kPatience, [this] { return speakers_->unanswered() == 0; }))
    return failed("messages are not answered");
  refused = tally().refusals.get() - base_refused;
  if (refused > (tally().answered.get() - base) / kRefusedOf)
    return failed(fmt::format("{} messages were refused: {}", refused, speakers_->last_end()));
  return out;
}

Answer Worker::come_back(const Order& order) {
  crowd_->set_goal(order.count > 0 ? order.count : UINT32_MAX);
  crowd_->set_retrying(true);
  tally().complete.set(0);
  Nanos limit = client::monotonic_now() + kPatience;
  uint64_t before = 0;
  while (order.count > 0 ? tally().complete.get() < crowd_->size() : crowd_->live() < crowd_->size()) {
    if (crowd_->opening() < order.at_once && crowd_->away() > 0)
      crowd_->come_back(order.at_once - crowd_->opening(), order.start);
    loop_.run_once(kMillisecond);
    const uint64_t progress = tally().deliveries.get() + crowd_->live();
    if (progress != before) limit = client::monotonic_now() + kPatience;
    before = progress;
    if (client::monotonic_now() < limit) continue;
    return failed(fmt::format("{} of {} readers are live, {} complete; {}", crowd_->live(), crowd_->size(),
                              tally().complete.get(), tally().last_end.data()));
  }
  crowd_->set_retrying(false);
  return done(crowd_->live(), order.start);
}

Answer Worker::drain() {
  const Nanos began = client::monotonic_now();
  const auto total = [this](uint32_t room) { return total_of(room); };
  uint64_t missing = crowd_->missing(total);
  Nanos limit = began + kPatience;
  while (missing > 0 && client::monotonic_now() < limit) {
    run_until(20 * kMillisecond, [] { return false; });
    const uint64_t now_missing = crowd_->missing(total);
    if (now_missing != missing) limit = client::monotonic_now() + kPatience;
    missing = now_missing;
  }
  return done(missing, began);
}

}  // namespace twinwire::bench
