// What stands behind the '?' of a target: names and values, percent-encoded as browsers and curl write them
// (application/x-www-form-urlencoded of the WHATWG URL standard: '+' is a space).
// Any thread; views into the request.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twinwire {

// Decodes %XX and '+'. Nothing if a '%' is not followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text);
// Encodes everything but unreserved characters (RFC 3986, 2.3).
std::string percent_encode(std::string_view text);

class Query {
 public:
  explicit Query(std::string_view text);

  // The first value of that name, decoded. Malformed encoding counts as absent and makes malformed() true.
  std::optional<std::string> value(std::string_view name);
  // All values of that name, each split at its literal commas before decoding (so a name may hold %2C),
  // without empty parts.
  std::vector<std::string> list(std::string_view name);
  bool malformed() const { return malformed_; }

 private:
  struct Pair {
    std::string_view name, value;  // still encoded
  };
  template <typename F>
  void each(std::string_view name, F&& f);

  std::vector<Pair> pairs_;  // cut once: a stream's request is asked for a dozen names
  bool encoded_names_ = false;
  bool malformed_ = false;
};

}  // namespace twinwire
