// Expected failures as values: the stable error words of the protocol (net/PROTOCOL.md, "Errors") and
// Result<T>. Not here: broken invariants, which abort (see TW_CHECK), and start-up, which may throw.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace twinwire {

enum class Code : uint8_t {
  ok,
  invalid_json,
  invalid_argument,
  unauthenticated,
  forbidden,
  not_found,
  method_not_allowed,
  conflict,
  limit_exceeded,
  too_large,
  unsupported_media_type,
  rate_limited,
  internal,
  overloaded,
  storage_unavailable,
  draining,
};

// The word on the wire, e.g. "invalid_argument".
std::string_view word_of(Code code);
// The HTTP status that carries it (RFC 9110): 400, 401, …; 200 for ok.
int http_status_of(Code code);
// The WebSocket close code (RFC 6455, 7.4) where the failure ends the stream.
int close_code_of(Code code);
// Whether the same command may succeed when sent again unchanged.
bool retryable(Code code);

// One sentence for a person, one stable word for a program.
struct Error {
  Code code = Code::internal;
  std::string sentence;
};

inline Error fail(Code code, std::string sentence) { return Error{code, std::move(sentence)}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : value_(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return value_.index() == 0; }
  T& operator*() { return std::get<0>(value_); }
  const T& operator*() const { return std::get<0>(value_); }
  T* operator->() { return &std::get<0>(value_); }
  const T* operator->() const { return &std::get<0>(value_); }
  Error& error() { return std::get<1>(value_); }
  const Error& error() const { return std::get<1>(value_); }

 private:
  std::variant<T, Error> value_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}
  explicit operator bool() const { return !failed_; }
  Error& error() { return error_; }
  const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

[[noreturn]] inline void broken_invariant(const char* what, const char* file, int line) {
  std::fprintf(stderr, "twinwire: broken invariant: %s (%s:%d)\n", what, file, line);
  std::abort();
}

// For what can only be false when this program is wrong.
#define TW_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::twinwire::broken_invariant(#condition, __FILE__, __LINE__))

}  // namespace twinwire
