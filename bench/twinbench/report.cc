#include "bench/twinbench/report.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "bench/client/table.h"
#include "bench/client/text.h"
#include "bench/twinbench/dialect.h"
#include "bench/twinbench/process.h"
#include "core/json.h"

namespace twinwire::bench {
namespace {

constexpr double kLimited = 0.97;  // a harness this busy may be what is measured

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  return std::abs(value) < 100 ? fmt::format("{:.4g}", value) : fmt::format("{:.1f}", value);
}

std::string list(const std::vector<double>& values) {
  std::string out = "[";
  for (const double value : values) out.append(out.size() == 1 ? "" : ",").append(number(value));
  return out + "]";
}

// The median of one row's sample over another's, repetition by repetition.
double ratio(const std::vector<double>& mine, const std::vector<double>& theirs) {
  std::vector<double> out;
  for (size_t i = 0; i < std::min(mine.size(), theirs.size()); ++i) {
    if (theirs[i] > 0) out.push_back(mine[i] / theirs[i]);
  }
  return median(std::move(out));
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return {};
}

std::string machine() {
  utsname system{};
  uname(&system);
  std::string out;
  JsonObject(out)
      .field("cores", cores_here())
      .field("kernel", static_cast<const char*>(system.release))
      .field("cpu", cpu_name())
      .end();
  return out;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::string count_json(double count) { return std::isfinite(count) ? fmt::format("{:.0f}", count) : "null"; }

void Row::add(const Figures& figures, bool as_control) {
  auto& to = as_control ? again : samples;
  for (const auto& figure : figures) {
    const auto& [name, value] = figure;
    const auto found =  // clang 14 lets no lambda hold a name of a structured binding
        std::find_if(to.begin(), to.end(),
                     [&figure](const auto& each) { return each.first == figure.first; });
    if (found == to.end()) {
      to.emplace_back(name, std::vector<double>{value});
    } else {
      found->second.push_back(value);
    }
  }
}

const std::vector<double>& Row::of(std::string_view figure) const {
  static const std::vector<double> none;
  for (const auto& [name, values] : samples) {
    if (name == figure) return values;
  }
  return none;
}

double Row::control_of(std::string_view figure) const {
  for (const auto& [name, values] : again) {
    if (name == figure) return ratio(values, of(figure));
  }
  return std::nan("");
}

bool Row::limited() const { return late || harness_busy > kLimited; }

uint64_t Report::faults() const {
  uint64_t out = 0;
  for (const Row& row : rows) {
    if (is_ours(row.target) || row.target.starts_with("bare")) out += row.lost + row.repeated + row.reordered;
  }
  return out;
}

void Report::compare(size_t first_row) {
  for (size_t i = first_row; i < rows.size(); ++i) {
    for (size_t j = first_row; j < rows.size(); ++j) {
      if (i == j || rows[i].samples.empty() || rows[j].samples.empty()) continue;
      if (rows[i].transport != rows[j].transport || rows[i].facts != rows[j].facts) continue;
      for (const auto& [name, values] : rows[i].samples) {
        const std::vector<double>& theirs = rows[j].of(name);
        if (!theirs.empty()) ratios_.push_back({i, name, rows[j].target, ratio(values, theirs)});
      }
    }
  }
}

double Report::ratio_of(size_t row, std::string_view against) const {
  for (const Ratio& each : ratios_) {
    if (each.row == row && each.against == against && each.figure == rows[row].samples[0].first)
      return each.ratio;
  }
  return std::nan("");
}

std::string Report::ratios_json(size_t row, std::string_view figure) const {
  std::string out;
  JsonObject object(out);
  for (const Ratio& each : ratios_) {
    if (each.row == row && each.figure == figure) object.raw(each.against, number(each.ratio));
  }
  object.end();
  return out;
}

std::string Report::json() const {
  std::string all = "[";
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (all.size() > 1) all += ',';
    JsonObject object(all);
    object.field("target", row.target).field("transport", row.transport);
    for (const auto& [name, value] : row.facts) object.raw(name, value);
    for (const auto& [name, values] : row.samples) object.raw(name, number(median(values)));
    for (const auto& [name, value] : row.extras) object.raw(name, value);
    object.field("lost", row.lost).field("repeated", row.repeated).field("reordered", row.reordered);
    object.raw("harnessBusy", number(row.harness_busy)).field("harnessLimited", row.limited());
    if (!row.failure.empty()) object.field("failure", row.failure);
    if (!row.samples.empty()) {
      const std::string& main = row.samples[0].first;
      object.raw("ratios", ratios_json(i, main));
      if (!row.again.empty()) {
        object.raw("control", number(row.control_of(main)));
        // Repetition by repetition: its spread is the noise of the method.
        std::string pairs;
        JsonObject pairs_object(pairs);
        for (const auto& [name, values] : row.again) {
          std::vector<double> over = values;
          const std::vector<double>& first = row.of(name);
          over.resize(std::min(over.size(), first.size()));
          for (size_t k = 0; k < over.size(); ++k) over[k] /= first[k];
          pairs_object.raw(name, list(over));
        }
        pairs_object.end();
        object.raw("controlSamples", pairs);
      }
      if (main != "p50Us" && !row.of("p50Us").empty()) {
        object.raw("p50Ratios", ratios_json(i, "p50Us")).raw("p99Ratios", ratios_json(i, "p99Us"));
        if (!row.again.empty()) {
          object.raw("p50Control", number(row.control_of("p50Us")))
              .raw("p99Control", number(row.control_of("p99Us")));
        }
      }
    }
    std::string samples;
    JsonObject samples_object(samples);
    for (const auto& [name, values] : row.samples) samples_object.raw(name, list(values));
    samples_object.end();
    object.raw("samples", samples);
    object.end();
  }
  std::string notes_list = "[";
  for (const std::string& note : notes)
    notes_list.append(notes_list.size() == 1 ? "" : ",").append(json_string(note));
  std::string out;
  JsonObject(out)
      .field("mode", mode)
      .raw("machine", machine())
      .raw("options", options.empty() ? "{}" : options)
      .raw("rows", all + "]")
      .field("faults", faults())
      .raw("notes", notes_list + "]")
      .end();
  return out;
}

std::string Report::table(const std::vector<Column>& columns) const {
  constexpr auto right = client::Table::Align::right;
  std::vector<client::Table::Column> heads{{"target"}, {"via"}};
  for (const Column& column : columns) heads.push_back({column.title, right});
  heads.push_back({"/ bare", right});
  heads.push_back({"A/A", right});
  heads.push_back({"lost", right});
  heads.push_back({"repeated", right});
  heads.push_back({"reordered", right});
  heads.push_back({"harness busy", right});
  client::Table table(std::move(heads));
  const auto shown = [](double value, int digits) {
    return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : std::string("-");
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (!row.failure.empty() && row.samples.empty()) continue;  // the notes say why
    std::vector<std::string> cells{row.target, row.transport};
    for (const Column& column : columns) {
      const auto fact = std::find_if(row.facts.begin(), row.facts.end(),
                                     [&](const auto& each) { return each.first == column.name; });
      cells.push_back(fact != row.facts.end()
                          ? fact->second
                          : shown(row.median_of(column.name) * column.factor, column.digits));
    }
    cells.push_back(shown(ratio_of(i, "bare"), 3));
    cells.push_back(row.again.empty() ? "-" : shown(row.control_of(row.samples[0].first), 3));
    cells.push_back(client::with_thousands(row.lost));
    cells.push_back(client::with_thousands(row.repeated));
    cells.push_back(client::with_thousands(row.reordered));
    cells.push_back(fmt::format("{:.0f} %{}", row.harness_busy * 100, row.limited() ? " (the limit)" : ""));
    table.add(std::move(cells));
  }
  return table.text(client::Paint::for_stdout());
}

int Report::print(bool as_json, const std::vector<Column>& columns) const {
  if (as_json) {
    fmt::print("{}\n", json());
  } else {
    fmt::print("{}", table(columns));
    for (const std::string& note : notes) fmt::print("{}\n", note);
  }
  const bool failed = std::any_of(rows.begin(), rows.end(), [](const Row& row) {
    return !row.failure.empty() && (is_ours(row.target) || row.target.starts_with("bare"));
  });
  if (rows.empty()) return 2;
  return failed || faults() > 0 ? 1 : 0;
}

}  // namespace twinwire::bench
