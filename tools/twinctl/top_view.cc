// The picture that `twinctl top` draws, and its line for pipes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/client/text.h"
#include "core/json.h"
#include "tools/twinctl/show.h"
#include "tools/twinctl/top.h"

namespace twinwire::ctl {
namespace {

using client::bytes_text;
using client::columns_of;
using client::duration_text;
using client::Paint;
using client::with_thousands;

constexpr uint32_t kColumnsMin = 60, kColumnsMax = 120;

std::string microseconds(std::optional<double> value) {
  return value ? duration_text(static_cast<uint64_t>(*value * 1000)) : "-";
}

std::string left(std::string_view text, size_t width) {
  std::string out(text);
  const size_t columns = columns_of(text);
  if (columns < width) out.append(width - columns, ' ');
  return out;
}
std::string right(std::string_view text, size_t width) {
  const size_t columns = columns_of(text);
  return std::string(columns < width ? width - columns : 0, ' ') + std::string(text);
}

// Text of names in at most `width` columns; what a name holds never reaches the terminal raw.
std::string shortened(std::string_view text, size_t width) {
  std::string out;
  size_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    size_t size = 1;
    while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xC0) == 0x80) ++size;
    std::string_view one = text.substr(at, size);
    const auto lead = static_cast<unsigned char>(one[0]);
    if (lead < 0x20 || lead == 0x7F) one = "?";
    if (columns + columns_of(one) > width - 1 && at + size < text.size()) return out + "…";
    out += one;
    columns += columns_of(one);
    at += size;
  }
  return out;
}

struct Line {
  std::string name, value;
};

// A picture is made of lines; each is cut to nothing but what it holds, so that redrawing clears the rest.
class Picture {
 public:
  Picture(uint32_t columns, const Paint& paint)
      : columns_(std::clamp(columns, kColumnsMin, kColumnsMax)), paint_(paint) {}
  uint32_t columns() const { return columns_; }
  void line(const std::string& text = {}) { out_.append(text).append("\n"); }
  std::string bold(std::string_view text) const { return painted(text, paint_.bold); }
  std::string dim(std::string_view text) const { return painted(text, paint_.dim); }
  std::string painted(std::string_view text, std::string_view colour) const {
    return colour.empty() ? std::string(text) : fmt::format("{}{}{}", colour, text, paint_.off);
  }
  const Paint& paint() const { return paint_; }
  std::string take() { return std::move(out_); }

 private:
  const uint32_t columns_;
  const Paint& paint_;
  std::string out_;
};

void draw_head(Picture& p, const TopView& view, const Sample& now) {
  std::string name = fmt::format("twinwire {}", now.version);
  std::string rest = fmt::format("  {}  up {}  {} shard{}  {}", view.at, age_text(now.uptime_seconds),
                                 now.shards, now.shards == 1 ? "" : "s", now.deliver);
  const size_t used = columns_of(name) + columns_of(rest) + view.time.size();
  std::string gap(p.columns() > used ? p.columns() - used : 1, ' ');
  p.line(p.bold(name) + p.dim(rest) + gap + view.time);
  if (!view.problem.empty()) p.line(p.painted(view.problem, p.paint().red));
  if (now.draining) p.line(p.painted("The server is draining.", p.paint().yellow));
  if (now.failing)
    p.line(p.painted("The store is failing: kept events are refused until it heals.", p.paint().red));
}

void draw_counts(Picture& p, const TopView& view, const Interval& i) {
  const Sample& now = i.now();
  const Buckets write = i.between(&Sample::write), command = i.between(&Sample::command);
  const Buckets store = i.between(&Sample::store), tick = i.between(&Sample::tick);
  const Line streams[] = {{"sse", with_thousands(now.sse)},
                          {"ws", with_thousands(now.ws)},
                          {"poll", with_thousands(now.poll)},
                          {"http", with_thousands(now.http)},
                          {"sessions", with_thousands(now.sessions)}};
  const Line rates[] = {{"published", rate_text(i.per_second(&Sample::published))},
                        {"delivered", rate_text(i.per_second(&Sample::delivered))},
                        {"commands", rate_text(i.per_second(&Sample::commands))},
                        {"accepted", rate_text(i.per_second(&Sample::accepted))},
                        {"bytes out", bytes_text(static_cast<uint64_t>(i.per_second(&Sample::bytes)))}};
  struct Latency {
    const char* name;
    const Buckets* of;
  };
  const Latency latencies[] = {{"write", &write}, {"answer", &command}, {"stored", &store}, {"tick", &tick}};
  p.line(p.bold(left("CONNECTIONS", 23)) + p.bold(left("PER SECOND", 23)) + p.bold(left("LATENCY", 8)) +
         p.bold(right("P50", 10)) + p.bold(right("P99", 11)));
  for (size_t row = 0; row < 5; ++row) {
    std::string text = p.dim(left(streams[row].name, 9)) + right(streams[row].value, 10) + "    ";
    text += p.dim(left(rates[row].name, 10)) + right(rates[row].value, 9) + "    ";
    if (row < 4) {
      const Buckets& of = *latencies[row].of;
      text += p.dim(left(latencies[row].name, 8)) + right(microseconds(of.quantile(0.5)), 10) +
              right(microseconds(of.quantile(0.99)), 11);
    } else {
      text += p.dim(left("frames per send", 19)) + right(fmt::format("{:.2f}", i.frames_per_send()), 10);
    }
    p.line(text);
  }
  p.line();
  const size_t width = std::min<size_t>(view.delivered.size(), p.columns() - 25);
  std::deque<double> shown(view.delivered.end() - static_cast<ptrdiff_t>(width), view.delivered.end());
  const double most = shown.empty() ? 0 : *std::max_element(shown.begin(), shown.end());
  p.line(p.bold(left("DELIVERED", 11)) + p.painted(spark_text(shown), p.paint().green) +
         p.dim(fmt::format("  most {}/s", rate_text(most))));
}

void draw_log(Picture& p, const Interval& i) {
  const Sample& now = i.now();
  auto share = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  const double ring =
      std::max(share(now.ring_occupied, now.ring_capacity), share(now.ring_bytes, now.ring_bytes_max));
  const std::string_view colour = ring > 0.75  ? p.paint().red
                                  : ring > 0.5 ? p.paint().yellow
                                               : p.paint().green;
  p.line(p.bold(left("RING", 11)) + p.painted(bar_text(ring, 20), colour) +
         fmt::format(" {:5.1f} %", ring * 100) +
         p.dim(fmt::format("  {} of {} places, {}", with_thousands(now.ring_occupied),
                           with_thousands(now.ring_capacity), bytes_text(now.ring_bytes))));
  const auto group = i.between(&Sample::commit_events).mean();
  p.line(p.bold(left("STORE", 11)) +
         fmt::format("lag {} events, {}", with_thousands(now.lag_events), duration_text(now.lag_us * 1000)) +
         p.dim(fmt::format("  {} commits/s of {:.1f}, sync p99 {}", rate_text(i.per_second(&Sample::commits)),
                           group.value_or(0), microseconds(i.between(&Sample::commit).quantile(0.99)))));
  p.line(p.bold(left("PROCESS", 11)) +
         fmt::format("{:.0f} % of a core, {}", i.cpu() * 100, bytes_text(now.resident_bytes)) +
         p.dim(fmt::format("  {} room{}, {} session{} without a stream", with_thousands(now.rooms),
                           now.rooms == 1 ? "" : "s", with_thousands(now.detached),
                           now.detached == 1 ? "" : "s")));
  std::string trouble;
  auto add = [&](double value, const std::string& text) {
    if (value > 0) trouble.append(trouble.empty() ? "" : ", ").append(text);
  };
  add(static_cast<double>(now.lagging), fmt::format("{} slow streams", with_thousands(now.lagging)));
  add(static_cast<double>(now.blocked),
      fmt::format("{} full sockets ({})", with_thousands(now.blocked), bytes_text(now.held_bytes)));
  const double refused = i.per_second(&Sample::refused), failed = i.per_second(&Sample::failed);
  const double resets = i.per_second(&Sample::resets), shed = i.per_second(&Sample::shed);
  add(refused, fmt::format("{}/s refused", rate_text(refused)));
  add(failed, fmt::format("{}/s commands failed", rate_text(failed)));
  add(resets, fmt::format("{}/s resets", rate_text(resets)));
  add(shed, fmt::format("{}/s shed", rate_text(shed)));
  p.line(p.bold(left("TROUBLE", 11)) +
         (trouble.empty() ? p.dim("none") : p.painted(trouble, p.paint().yellow)));
}

void draw_rooms(Picture& p, const TopView& view, uint32_t lines) {
  bool tenants = std::any_of(view.rooms.begin(), view.rooms.end(),
                             [&](const BusyRoom& r) { return r.tenant != view.rooms.front().tenant; });
  const size_t name_width = p.columns() - 45;
  p.line(p.bold(left("BUSIEST ROOMS", name_width)) + p.bold(right("EVENTS/S", 10)) +
         p.bold(right("READERS", 11)) + p.bold(right("PRESENT", 11)) + p.bold(right("TAIL", 11)));
  uint32_t shown = 0;
  for (const BusyRoom& room : view.rooms) {
    if (shown == lines) break;
    std::string name = tenants ? room.tenant + "/" + room.room : room.room;
    p.line(left(shortened(name, name_width - 1), name_width) + right(rate_text(room.per_second), 10) +
           right(with_thousands(room.readers), 11) + right(with_thousands(room.present), 11) +
           right(bytes_text(room.tail_bytes), 11));
    ++shown;
  }
  if (view.rooms.empty()) p.line(p.dim("none in memory"));
}

}  // namespace

std::string rate_text(double per_second) {
  if (per_second < 0) per_second = 0;
  if (per_second == 0) return "0";
  if (per_second < 9.95) return fmt::format("{:.1f}", per_second);
  if (per_second < 99'999.5) return with_thousands(static_cast<uint64_t>(std::llround(per_second)));
  if (per_second < 999'950) return fmt::format("{:.1f} k", per_second / 1e3);
  return fmt::format("{:.2f} M", per_second / 1e6);
}

std::string bar_text(double share, uint32_t columns) {
  static constexpr std::string_view eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<uint32_t>(std::llround(std::clamp(share, 0.0, 1.0) * columns * 8));
  std::string out;
  for (uint32_t i = 0; i < filled / 8; ++i) out += "█";
  out += eighths[filled % 8];
  const uint32_t used = filled / 8 + (filled % 8 ? 1 : 0);
  for (uint32_t i = used; i < columns; ++i) out += "░";
  return out;
}

std::string spark_text(const std::deque<double>& values) {
  static constexpr std::string_view heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double most = values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  std::string out;
  for (const double value : values)
    out += heights[most > 0 ? static_cast<size_t>(std::clamp(value / most * 7.999, 0.0, 7.0)) : 0];
  return out;
}

std::string draw_top(const TopView& view, const Interval& interval, const Screen& screen,
                     const Paint& paint) {
  Picture p(screen.columns, paint);
  draw_head(p, view, interval.now());
  p.line();
  draw_counts(p, view, interval);
  draw_log(p, interval);
  p.line();
  constexpr uint32_t kAbove = 17, kBelow = 1;
  draw_rooms(p, view, screen.lines > kAbove + kBelow ? screen.lines - kAbove - kBelow : 1);
  return p.take();
}

std::string top_line(const Interval& i, const std::string& time) {
  const Sample& now = i.now();
  const Buckets write = i.between(&Sample::write);
  return fmt::format(
      "{}  sse {}  ws {}  poll {}  published {}/s  delivered {}/s  write p50 {} p99 {}  frames/send {:.2f}  "
      "ring {:.1f} %"
      "  store lag {} events {}  slow {}  refused {}/s\n",
      time, now.sse, now.ws, now.poll, rate_text(i.per_second(&Sample::published)),
      rate_text(i.per_second(&Sample::delivered)), microseconds(write.quantile(0.5)),
      microseconds(write.quantile(0.99)), i.frames_per_send(),
      now.ring_capacity
          ? 100.0 * static_cast<double>(now.ring_occupied) / static_cast<double>(now.ring_capacity)
          : 0,
      now.lag_events, duration_text(now.lag_us * 1000), now.lagging,
      rate_text(i.per_second(&Sample::refused)));
}

std::string top_json(const Interval& i, const std::vector<BusyRoom>& rooms) {
  const Sample& now = i.now();
  std::string out;
  JsonObject o(out);
  auto real = [&](std::string_view key, double value) { o.raw(key, fmt::format("{:.3f}", value)); };
  auto quantiles = [&](std::string_view key, Buckets Sample::*of) {
    const Buckets between = i.between(of);
    auto text = [&](double share) {
      const auto value = between.quantile(share);
      return value ? fmt::format("{:.1f}", *value) : std::string("null");
    };
    JsonObject inner(o.begin(key));
    inner.raw("p50Microseconds", text(0.5))
        .raw("p99Microseconds", text(0.99))
        .field("count", between.count())
        .end();
  };
  real("seconds", i.seconds());
  o.field("sse", now.sse).field("ws", now.ws).field("poll", now.poll).field("http", now.http);
  o.field("sessions", now.sessions).field("rooms", now.rooms).field("slowStreams", now.lagging);
  real("publishedPerSecond", i.per_second(&Sample::published));
  real("deliveredPerSecond", i.per_second(&Sample::delivered));
  real("commandsPerSecond", i.per_second(&Sample::commands));
  real("failedPerSecond", i.per_second(&Sample::failed));
  real("refusedPerSecond", i.per_second(&Sample::refused));
  real("sendsPerSecond", i.per_second(&Sample::sends));
  real("bytesPerSecond", i.per_second(&Sample::bytes));
  real("framesPerSend", i.frames_per_send());
  real("cpu", i.cpu());
  quantiles("write", &Sample::write);
  quantiles("command", &Sample::command);
  quantiles("store", &Sample::store);
  quantiles("tick", &Sample::tick);
  o.field("ringOccupied", now.ring_occupied).field("ringCapacity", now.ring_capacity);
  o.field("storeLagEvents", now.lag_events).field("storeLagMicroseconds", now.lag_us);
  std::string& list = o.begin("busiestRooms");
  list += '[';
  for (size_t r = 0; r < rooms.size(); ++r) {
    if (r) list += ',';
    JsonObject room(list);
    room.field("tenant", rooms[r].tenant).field("room", rooms[r].room).field("readers", rooms[r].readers);
    room.raw("eventsPerSecond", fmt::format("{:.2f}", rooms[r].per_second)).end();
  }
  list += ']';
  o.end();
  return out + "\n";
}

}  // namespace twinwire::ctl
