// Prometheus text (exposition format 0.0.4) of what gather.h adds up. Not here: the counting, HTTP.
// The asking shard's thread; appends to a string.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/histogram.h"
#include "core/metrics.h"

namespace twinwire {

class Shard;
struct Totals;

// Writes families of samples; the caller keeps the samples of one family together.
class Exposition {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  explicit Exposition(std::string& out) : out_(out) {}

  // `name` without "twinwire_", unless it begins with "process_".
  void family(std::string_view name, std::string_view type, std::string_view help);
  // Samples of the family begun last.
  void sample(uint64_t value, Labels labels = {}) { line("", labels, "", std::to_string(value)); }
  void sample(double value, Labels labels = {});
  template <typename Of>
  void histogram(const Of& of, double unit, Labels labels = {}) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < Of::kBounds; i++) {
      count += of.buckets[i];
      line("_bucket", labels, number(static_cast<double>(Of::bound(i)) * unit), std::to_string(count));
    }
    count += of.buckets[Of::kBounds];
    line("_bucket", labels, "+Inf", std::to_string(count));
    line("_sum", labels, "", number(static_cast<double>(of.sum) * unit));
    line("_count", labels, "", std::to_string(count));
  }

  void counter(std::string_view name, std::string_view help, uint64_t value) {
    family(name, "counter", help);
    sample(value);
  }
  void gauge(std::string_view name, std::string_view help, uint64_t value) {
    family(name, "gauge", help);
    sample(value);
  }

 private:
  static std::string number(double value);
  void line(std::string_view suffix, Labels labels, std::string_view le, std::string_view value);
  std::string& out_;
  std::string name_;
};

// Everything; `shard` is the one that asked.
std::string metrics_text(Shard& shard, const Totals& totals);

}  // namespace twinwire
