#include "core/status.h"

#include <array>

namespace twinwire {
namespace {

struct Row {
  std::string_view word;
  int http;
  int close;
  bool retryable;
};

// In the order of Code. 1008 (policy violation) stands where the protocol names no close code of its own.
constexpr std::array<Row, 16> kRows{{
    {"ok", 200, 1000, false},
    {"invalid_json", 400, 1008, false},
    {"invalid_argument", 400, 1008, false},
    {"unauthenticated", 401, 4401, false},
    {"forbidden", 403, 4403, false},
    {"not_found", 404, 1008, false},
    {"method_not_allowed", 405, 1008, false},
    {"conflict", 409, 1008, false},
    {"limit_exceeded", 409, 1008, false},
    {"too_large", 413, 1009, false},
    {"unsupported_media_type", 415, 1008, false},
    {"rate_limited", 429, 4429, true},
    {"internal", 500, 1011, true},
    {"overloaded", 503, 1013, true},
    {"storage_unavailable", 503, 1013, true},
    {"draining", 503, 1012, true},
}};

const Row& row_of(Code code) { return kRows[static_cast<size_t>(code)]; }

}  // namespace

std::string_view word_of(Code code) { return row_of(code).word; }
int http_status_of(Code code) { return row_of(code).http; }
int close_code_of(Code code) { return row_of(code).close; }
bool retryable(Code code) { return row_of(code).retryable; }

}  // namespace twinwire
