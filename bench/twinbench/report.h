// What a mode found: rows of figures, each a median over repetitions beside its samples, with ratios between
// the targets of a run; as a table for people and as one JSON object (README.md says its form). Not here:
// measuring. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twinwire::bench {

double median(std::vector<double> values);

// A count as JSON; null where it cannot be had.
std::string count_json(double count);

// Figures of one turn, in the order in which they are shown; the first is the main one.
using Figures = std::vector<std::pair<std::string, double>>;

struct Row {
  std::string target;
  std::string transport;
  std::vector<std::pair<std::string, std::string>> facts;  // name, JSON
  std::vector<std::pair<std::string, std::vector<double>>> samples;
  std::vector<std::pair<std::string, std::vector<double>>> again;  // taken a second time: the control
  uint64_t lost = 0, repeated = 0, reordered = 0;
  double harness_busy = 0;
  bool late = false;                                        // the harness did not keep its own schedule
  std::string failure;                                      // why it could not be measured
  std::vector<std::pair<std::string, std::string>> extras;  // behind the samples: name, JSON

  void add(const Figures& figures, bool as_control = false);
  const std::vector<double>& of(std::string_view figure) const;
  double median_of(std::string_view figure) const { return median(of(figure)); }
  // A figure of the control over the same in its repetition, the median; not a number without a control.
  double control_of(std::string_view figure) const;
  bool limited() const;
};

class Report {
 public:
  explicit Report(std::string name) : mode(std::move(name)) {}
  std::string mode;
  std::string options;  // JSON
  std::vector<Row> rows;
  std::vector<std::string> notes;

  // Lost, repeated and reordered at ours and the bare one; a peer's are noted in its row only.
  uint64_t faults() const;
  // Rows are compared within groups of so many in a row: those of one run.
  void compare(size_t first_row);
  std::string json() const;
  // Columns: a figure or fact, its title, the factor it is shown with, digits behind the point.
  struct Column {
    std::string name;
    std::string title;
    double factor = 1;
    int digits = 0;
  };
  std::string table(const std::vector<Column>& columns) const;
  // Prints one of the two, and the notes; the exit status.
  int print(bool as_json, const std::vector<Column>& columns) const;

 private:
  struct Ratio {
    size_t row;
    std::string figure;
    std::string against;
    double ratio;
  };
  std::string ratios_json(size_t row, std::string_view figure) const;
  double ratio_of(size_t row, std::string_view against) const;
  std::vector<Ratio> ratios_;
};

}  // namespace twinwire::bench
