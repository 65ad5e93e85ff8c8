// twinctl top: a server watched live. On a terminal one picture, redrawn in place; on a pipe one line per
// interval. Not here: what the numbers are (sample.h). One thread; owns the terminal's mode while it runs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "bench/client/table.h"
#include "tools/twinctl/admin.h"
#include "tools/twinctl/sample.h"

namespace twinwire::ctl {

struct TopOptions {
  double interval_seconds = 2;
  uint64_t count = 0;  // ends after so many intervals; 0: never
  uint32_t rooms = 10;
  std::string tenant;  // of the rooms shown; empty: all
  bool json = false;   // one object an interval
};
int top(const Access& access, const TopOptions& options);

// ---- the picture and the line, without a terminal (tests) ----
struct BusyRoom {
  std::string tenant, room;
  double per_second = 0;
  uint64_t readers = 0, present = 0, members = 0, tail_bytes = 0;
};
struct Screen {
  uint32_t columns = 80, lines = 24;
};
struct TopView {
  std::string at;                // the server's address
  std::string time;              // of the day, for people
  std::deque<double> delivered;  // per second, oldest first
  std::vector<BusyRoom> rooms;
  std::string problem;  // why there is nothing new
};
std::string draw_top(const TopView& view, const Interval& interval, const Screen& screen,
                     const client::Paint& paint);
std::string top_line(const Interval& interval, const std::string& time);
std::string top_json(const Interval& interval, const std::vector<BusyRoom>& rooms);

// "1,203", "41.2 k", "3.1 M": a rate in few columns.
std::string rate_text(double per_second);
// A bar of `columns` columns, `share` (0…1) of it filled, in eighths.
std::string bar_text(double share, uint32_t columns);
// One column for each value, scaled to the greatest.
std::string spark_text(const std::deque<double>& values);

}  // namespace twinwire::ctl
