#include "bench/twinbench/participant.h"

#include <fmt/format.h>

#include <charconv>

namespace twinwire::bench {
namespace {

using client::Event;
using client::kMillisecond;
using client::kSecond;
using client::Transport;

// The line behind "<run>-", or nothing where the clientId is not of this run.
std::optional<uint32_t> line_of(std::string_view client_id, std::string_view run) {
  if (!client_id.starts_with(run) || client_id.size() < run.size() + 2 || client_id[run.size()] != '-')
    return {};
  client_id.remove_prefix(run.size() + 1);
  uint32_t line = 0;
  const auto [end, error] = std::from_chars(client_id.data(), client_id.data() + client_id.size(), line);
  if (error != std::errc() || end != client_id.data() + client_id.size()) return {};
  return line;
}

std::vector<std::string> names_of(const std::vector<Stage*>& stages) {
  std::vector<std::string> out;
  for (const Stage* stage : stages) out.push_back(stage->room);
  return out;
}

client::Client::Options with_rooms(client::Client::Options options, const std::vector<Stage*>& stages) {
  options.rooms = names_of(stages);
  return options;
}

}  // namespace

std::string_view word_of(Habit habit) {
  static constexpr std::string_view words[] = {"steady", "restless", "slow", "sleepy"};
  return words[static_cast<size_t>(habit)];
}

Participant::Participant(client::Loop& loop, Ledger& ledger, Setting setting, std::vector<Stage*> stages)
    : loop_(loop),
      ledger_(ledger),
      setting_(std::move(setting)),
      random_(setting_.client.seed),
      client_(loop, static_cast<client::Client::Watcher&>(*this), with_rooms(setting_.client, stages)) {
  for (Stage* stage : stages) rooms_.push_back({stage, {}});
}

void Participant::begin_habit() {
  if (setting_.habit != Habit::steady) disturb_later();
}

void Participant::calm_down() {
  loop_.cancel(timer_);
  client_.resume();
  client_.pace(0);
}

void Participant::disturb_later() {
  // Between a half and one and a half of the mean.
  const client::Nanos delay = setting_.calm / 2 + below(setting_.calm + 1);
  timer_ = loop_.after(delay, [this] { disturb(); });
}

void Participant::disturb() {
  switch (setting_.habit) {
    case Habit::steady:
      return;
    case Habit::restless:
      restless_turn();
      break;
    case Habit::slow:
      client_.pace(below(4) == 0 ? 1000 : 4000 + below(28'000));
      if (below(4) == 0) client_.drop({.abort = below(2) == 0});
      break;
    case Habit::sleepy:
      client_.pause();
      timer_ = loop_.after(setting_.calm / 4 + below(setting_.calm / 2 + 1), [this] {
        client_.resume();
        disturb_later();
      });
      return;
  }
  disturb_later();
}

void Participant::restless_turn() {
  const client::Nanos away = below(3) == 0 ? below(setting_.calm / 2 + 1) : below(20) * kMillisecond;
  switch (below(5)) {
    case 0:
      client_.drop({.abort = true, .away = away});
      break;
    case 1:
      client_.drop({.forget_session = true, .away = away});
      break;
    case 2:
      client_.prefer(some_transport());
      client_.drop({.abort = below(2) == 0, .away = away});
      break;
    case 3:
      client_.take_over(client_.transport());
      break;
    default:
      client_.take_over(some_transport());
  }
}

Transport Participant::some_transport() {
  const uint64_t draw = below(20);
  return draw < 8 ? Transport::sse : draw < 16 ? Transport::ws : Transport::poll;
}

Participant::Followed* Participant::followed_of(std::string_view room) {
  for (Followed& followed : rooms_) {
    if (followed.stage->room == room) return &followed;
  }
  return nullptr;
}

void Participant::on_event(client::Client&, const Event& event) {
  Followed* followed = followed_of(event.room);
  if (followed == nullptr) return;
  if (event.type == "message.created") {
    on_message(*followed, event);
  } else if (event.type == "message.unsaved") {
    ++ledger_.unsaved;
    followed->transcript.forget(client::sequence_of(client::text_at(event.data, "eventId")));
  }
}

void Participant::on_message(Followed& followed, const Event& event) {
  ++ledger_.deliveries;
  const client::Json message = client::member_at(event.data, "message").value_or(event.data);
  const std::optional<uint32_t> line = line_of(client::text_at(message, "clientId"), ledger_.run);
  Stage& stage = *followed.stage;
  if (!line || *line >= stage.log.lines.size()) {
    followed.transcript.saw_foreign();
    return;
  }
  const LogLine& truth = stage.log.lines[*line];
  if (client::text_at(message, "content") != truth.text || event.user_id != truth.user) {
    followed.transcript.saw_altered();
    if (ledger_.first_fault.empty()) {
      ledger_.first_fault =
          fmt::format("{} line {}: \"{}\" of \"{}\" came as \"{}\" of \"{}\"", stage.room, *line + 1,
                      truth.text, truth.user, client::text_at(message, "content"), event.user_id);
    }
  }
  followed.transcript.saw(client::sequence_of(event.event_id), *line);
  const client::Nanos sent = stage.sent_at[*line];
  if (sent < joined_) return;  // history, or not known
  const client::Nanos took = client::monotonic_now() - sent;
  ledger_.latency_all.add(took);
  if (setting_.habit == Habit::steady) ledger_.latency.add(took);
}

void Participant::on_reset(client::Client&, std::string_view reason, std::string_view cursor, const Event&) {
  ++ledger_.resets[std::string(reason)];
  if (ledger_.first_fault.empty()) {
    ledger_.first_fault = fmt::format("reset {} at {} for \"{}\"", reason, cursor, client_.user());
  }
  if (reason != "rolled_back") return;
  for (Followed& followed : rooms_) followed.transcript.forget_above(client::sequence_of(cursor));
}

bool Participant::complete() const {
  for (const Followed& followed : rooms_) {
    if (followed.transcript.size() < followed.stage->acked) return false;
  }
  return true;
}

uint64_t Participant::seen() const {
  uint64_t out = 0;
  for (const Followed& followed : rooms_) out += followed.transcript.size();
  return out;
}

Faults Participant::check() const {
  Faults out;
  for (const Followed& followed : rooms_) {
    out += followed.transcript.check(static_cast<uint32_t>(followed.stage->log.lines.size()));
  }
  return out;
}

std::string Participant::description() const {
  const Faults faults = check();
  return fmt::format("\"{}\" ({}, {} now {}): {} lost, {} repeated, {} reordered; cursor {}; last end: {} {}",
                     client_.user(), word_of(setting_.habit), client::word_of(client_.transport()),
                     client_.live() ? "live" : "away", faults.lost, faults.repeated, faults.reordered,
                     client_.cursor(), client_.last_end(), client_.last_fault());
}

}  // namespace twinwire::bench
