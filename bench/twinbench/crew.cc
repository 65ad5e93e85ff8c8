#include "bench/twinbench/crew.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "bench/twinbench/process.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kReadersPerWorker = 18'500;  // of 20,000 descriptors
constexpr uint32_t kSourcesPerWorker = 1'000;

size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

Crew::~Crew() {
  for (const Member& member : members_) {
    // Not close() alone: processes forked later hold copies of this end.
    shutdown(member.channel, SHUT_RDWR);
    close(member.channel);
  }
  for (const Member& member : members_) waitpid(member.pid, nullptr, 0);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

Result<void> Crew::start(Options options) {
  options_ = std::move(options);
  uint32_t workers = options_.workers;
  if (workers == 0) workers = (options_.readers + kReadersPerWorker - 1) / kReadersPerWorker;
  workers = std::max(1U, workers);
  if (options_.rooms > 0) workers = std::min(workers, options_.rooms);
  const size_t cursors = size_t{std::max(1U, options_.rooms)} * options_.cursors_per_room;
  memory_bytes_ =
      rounded(sizeof(SharedHead)) + rounded(sizeof(Tally)) * workers + sizeof(CursorText) * cursors;
  memory_ = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    return fail(Code::internal, "no memory to share");
  }
  auto* bytes = static_cast<char*>(memory_);
  shared_.head = new (bytes) SharedHead();
  shared_.head->workers = workers;
  shared_.head->cursors_per_room = options_.cursors_per_room;
  bytes += rounded(sizeof(SharedHead));
  shared_.tallies = new (bytes) Tally[workers];
  bytes += rounded(sizeof(Tally)) * workers;
  if (cursors > 0) shared_.cursors = new (bytes) CursorText[cursors]();
  const uint32_t units = options_.rooms > 0 ? options_.rooms : options_.readers;
  uint32_t first = 0;
  for (uint32_t i = 0; i < workers; ++i) {
    const uint32_t share = units / workers + (i < units % workers ? 1 : 0);
    if (Result<void> forked = fork_one(i, first, share); !forked) return forked;
    first += share;
  }
  return {};
}

Result<void> Crew::fork_one(uint32_t index, uint32_t first, uint32_t share) {
  const uint32_t members = options_.rooms > 0 ? options_.readers / options_.rooms : 0;
  const uint32_t readers = members > 0 ? share * members : share;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Code::internal, "socketpair");
  const pid_t pid = fork();
  if (pid < 0) return fail(Code::internal, "fork");
  if (pid == 0) {
    close(ends[0]);
    for (const Member& other : members_) close(other.channel);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!options_.cores.empty()) pin_this_thread(options_.cores);
    Worker::Options own;
    own.crowd = {.to = options_.to,
                 .dialect = nullptr,
                 .mix = options_.mix,
                 .first_room = members > 0 ? first : 0,
                 .members = members,
                 .letter = options_.letter,
                 .first_user = members > 0 ? uint64_t{first} * members : first,
                 .first_source = options_.first_source + index * kSourcesPerWorker,
                 .timing = options_.timing,
                 .slow = index == 0 ? options_.slow : 0};
    own.dialect = options_.dialect;
    own.index = index;
    own.rooms = members > 0 ? share : 1;
    own.content_bytes = options_.content_bytes;
    own.channel = ends[1];
    Worker(std::move(own), shared_).serve();
    _exit(0);
  }
  close(ends[1]);
  members_.push_back({pid, ends[0], readers});
  return {};
}

void Crew::send_order(const Member& member, const Order& order, std::string_view text) {
  std::string bytes(sizeof order, '\0');
  std::memcpy(bytes.data(), &order, sizeof order);
  bytes.append(text);
  // A process that has ended is told by the missing answer.
  static_cast<void>(!send(member.channel, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

Result<Answer> Crew::answer_of(const Member& member) {
  pollfd readable{member.channel, POLLIN, 0};
  while (poll(&readable, 1, 100) == 0) {
    if (on_wait_) on_wait_();
  }
  Answer answer;
  if (recv(member.channel, &answer, sizeof answer, 0) != sizeof answer)
    return fail(Code::internal, "a reader process ended");
  if (!answer.ok) return fail(Code::internal, answer.sentence.data());
  return answer;
}

Result<Answer> Crew::answers() {
  Result<Answer> out = Answer{};
  for (const Member& member : members_) {
    const Result<Answer> answer = answer_of(member);
    if (!answer && out) out = answer;
    if (!answer || !out) continue;
    out->value += answer->value;
    out->seconds = std::max(out->seconds, answer->seconds);
  }
  return out;
}

Result<Answer> Crew::tell(uint32_t worker, const Order& order, std::string_view text) {
  send_order(members_[worker], order, text);
  return answer_of(members_[worker]);
}

Result<Answer> Crew::tell_all(Order order, std::string_view text) {
  // A rate and what may be under way at once are for all together.
  order.rate /= workers();
  order.at_once = std::max(1U, order.at_once / workers());
  for (const Member& member : members_) send_order(member, order, text);
  return answers();
}

Result<void> Crew::tell_all(Order::What what) {
  Order order;
  order.what = what;
  return outcome_of(tell_all(order));
}

Result<Answer> Crew::tell_speakers(const Order& order, std::string_view text) {
  return options_.rooms > 0 ? tell_all(order, text) : tell(0, order, text);
}

Result<Answer> Crew::open(uint32_t at_once) {
  Order order;
  order.what = Order::What::open;
  order.at_once = std::max(1U, at_once / workers());
  for (const Member& member : members_) {
    order.count = member.readers;
    send_order(member, order, {});
  }
  return answers();
}

Sums Crew::sums() const {
  Sums out;
  for (uint32_t i = 0; i < workers(); ++i) {
    const Tally& t = shared_.tallies[i];
    out.live += t.live.get();
    out.ended += t.ended.get();
    out.refused += t.refused.get();
    out.deliveries += t.deliveries.get();
    out.reads += t.reads.get();
    out.lost += t.lost.get();
    out.repeated += t.repeated.get();
    out.reordered += t.reordered.get();
    out.complete += t.complete.get();
    out.said += t.said.get();
    out.answered += t.answered.get();
    out.refusals += t.refusals.get();
    out.late_max = std::max(out.late_max, t.late_max.get());
  }
  return out;
}

client::Histogram Crew::histogram(client::Histogram Tally::*which) const {
  client::Histogram out;
  for (uint32_t i = 0; i < workers(); ++i) out.add(shared_.tallies[i].*which);
  return out;
}

uint64_t Crew::cpu_nanos() const {
  uint64_t out = 0;
  for (const Member& member : members_) out += cpu_nanos_of(member.pid).value_or(0);
  return out;
}

std::string Crew::last_end() const {
  for (uint32_t i = 0; i < workers(); ++i) {
    if (shared_.tallies[i].last_end[0] != '\0') return shared_.tallies[i].last_end.data();
  }
  return {};
}

}  // namespace twinwire::bench
