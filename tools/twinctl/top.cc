#include "tools/twinctl/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>

#include "bench/client/text.h"

namespace twinwire::ctl {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kHistoryMax = 120;

volatile std::sig_atomic_t interrupted = 0;

void write_all(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// The terminal while it shows a picture: the other screen, no cursor, keys as they are pressed. Put back at
// the end, also after Ctrl-C.
class Terminal {
 public:
  Terminal() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
    keys_ = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write_all("\x1b[?1049h\x1b[?25l\x1b[2J");
  }
  ~Terminal() {
    write_all("\x1b[?25h\x1b[?1049l");
    if (keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  bool keys() const { return keys_; }
  static Screen size() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
    return {size.ws_col, size.ws_row};
  }
  // Over what is there, line by line, so that nothing flickers.
  static void show(const std::string& picture) {
    std::string out = "\x1b[H";
    const uint32_t lines = size().lines;
    uint32_t shown = 0;
    for (size_t at = 0; at < picture.size() && shown + 1 < lines; ++shown) {
      const size_t end = picture.find('\n', at);
      out.append(picture, at, end - at).append("\x1b[K\r\n");
      at = end + 1;
    }
    write_all(out + "\x1b[J");
  }

 private:
  termios before_{};
  bool keys_ = false;
};

// Waits; true when the user wants to leave.
bool wait_until(Steady::time_point until, bool keys) {
  while (!interrupted) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Steady::now()).count();
    if (left <= 0) return false;
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&input, keys ? 1 : 0, static_cast<int>(std::min<long long>(left, 1000)));
    if (ready <= 0) continue;
    char key = 0;
    const ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got == 0) keys = false;  // its input has ended: time alone counts
    if (got == 1 && (key == 'q' || key == 'Q' || key == 0x1b)) return true;
  }
  return true;
}

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char out[16];
  std::strftime(out, sizeof out, "%H:%M:%S", &local);
  return out;
}

Result<client::Json> fetch(const Access& access, const std::string& target, client::JsonReader& reader) {
  client::Request get;
  get.target = target;
  const Result<std::string> body = request(access, get);
  if (!body) return body.error();
  const std::optional<client::Json> json = reader.read(*body);
  if (!json) return fail(Code::invalid_json, "The server's answer is not JSON. Is --url the admin address?");
  return *json;
}

Result<Sample> look(const Access& access) {
  client::JsonReader reader;
  const Result<client::Json> json = fetch(access, "/admin/stats", reader);
  if (!json) return json.error();
  return sample_of(*json);
}

std::vector<BusyRoom> busiest(const Access& access, const TopOptions& options) {
  client::JsonReader reader;
  std::string target = fmt::format("/admin/rooms?sort=rate&limit={}", options.rooms);
  if (!options.tenant.empty()) target += "&tenant=" + client::percent_encoded(options.tenant);
  const Result<client::Json> json = fetch(access, target, reader);
  std::vector<BusyRoom> rooms;
  simdjson::dom::array list;
  if (!json || json->at_key("rooms").get_array().get(list) != simdjson::SUCCESS) return rooms;
  for (const client::Json& row : list) {
    BusyRoom room;
    room.tenant = client::text_at(row, "tenant");
    room.room = client::text_at(row, "room");
    if (const auto rate = client::member_at(row, "eventsPerSecond"); rate && rate->is_number())
      room.per_second = double{*rate};
    room.readers = client::number_at(row, "readers");
    room.present = client::number_at(row, "present");
    room.members = client::number_at(row, "members");
    room.tail_bytes = client::number_at(row, "tailBytes");
    rooms.push_back(std::move(room));
  }
  return rooms;
}

int complain(const Error& error) {
  fmt::print(stderr, "twinctl: {}\n", error.sentence);
  return 1;
}

// The loop; `terminal` is null where lines are printed.
int watch(const Access& access, const TopOptions& options, Sample earlier, const Terminal* terminal) {
  const auto interval =
      std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(options.interval_seconds));
  const client::Paint paint = client::Paint::for_stdout();
  TopView view;
  view.at = access.to.authority();
  Sample shown = earlier, shown_before = earlier;
  uint64_t done = 0;
  for (auto next = Steady::now() + interval;; next += interval) {
    if (wait_until(next, terminal != nullptr && terminal->keys())) return 0;
    Result<Sample> later = look(access);
    view.time = time_of_day();
    view.problem.clear();
    if (!later) {
      if (terminal == nullptr) return complain(later.error());
      view.problem = later.error().sentence.substr(0, later.error().sentence.find('\n'));
    } else {
      const Interval between(earlier, *later);
      if (between.comparable()) {
        if (terminal != nullptr || options.json) view.rooms = busiest(access, options);
        view.delivered.push_back(between.per_second(&Sample::delivered));
        if (view.delivered.size() > kHistoryMax) view.delivered.pop_front();
        shown_before = earlier;
        shown = *later;
        if (options.json) {
          write_all(top_json(between, view.rooms));
        } else if (terminal == nullptr) {
          write_all(top_line(between, view.time));
        }
        ++done;
      }
      earlier = std::move(*later);
    }
    const Interval last(shown_before, shown);
    if (terminal != nullptr && last.comparable())
      Terminal::show(draw_top(view, last, Terminal::size(), paint));
    if (options.count != 0 && done >= options.count) return 0;
    if (next + interval < Steady::now()) next = Steady::now();  // a slow answer is not made up for
  }
}

}  // namespace

int top(const Access& access, const TopOptions& options) {
  Result<Sample> first = look(access);
  if (!first) return complain(first.error());
  if (options.json || !isatty(STDOUT_FILENO)) return watch(access, options, std::move(*first), nullptr);
  const Terminal terminal;
  Terminal::show(fmt::format("twinwire {}  {}\n\nThe first figures come in {:g} s; q leaves.\n",
                             first->version, access.to.authority(), options.interval_seconds));
  return watch(access, options, std::move(*first), &terminal);
}

}  // namespace twinwire::ctl
