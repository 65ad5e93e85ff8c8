// Errors as values, and the table of words and numbers that the protocol promises (protocol: "Error codes").
#include "core/status.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/transport.h"

namespace twinwire {
namespace {

struct Row {
  Code code;
  std::string_view word;
  int http, close;
  bool retryable;
};
constexpr Row kRows[] = {
    {Code::ok, "ok", 200, 1000, false},
    {Code::invalid_json, "invalid_json", 400, 1008, false},
    {Code::invalid_argument, "invalid_argument", 400, 1008, false},
    {Code::unauthenticated, "unauthenticated", 401, 4401, false},
    {Code::forbidden, "forbidden", 403, 4403, false},
    {Code::not_found, "not_found", 404, 1008, false},
    {Code::method_not_allowed, "method_not_allowed", 405, 1008, false},
    {Code::conflict, "conflict", 409, 1008, false},
    {Code::limit_exceeded, "limit_exceeded", 409, 1008, false},
    {Code::too_large, "too_large", 413, 1009, false},
    {Code::unsupported_media_type, "unsupported_media_type", 415, 1008, false},
    {Code::rate_limited, "rate_limited", 429, 4429, true},
    {Code::internal, "internal", 500, 1011, true},
    {Code::overloaded, "overloaded", 503, 1013, true},
    {Code::storage_unavailable, "storage_unavailable", 503, 1013, true},
    {Code::draining, "draining", 503, 1012, true},
};

TEST(Status, EveryCodeHasItsWordAndNumbers) {
  ASSERT_EQ(static_cast<size_t>(Code::draining) + 1, std::size(kRows));
  for (const Row& row : kRows) {
    EXPECT_EQ(word_of(row.code), row.word);
    EXPECT_EQ(http_status_of(row.code), row.http) << row.word;
    EXPECT_EQ(close_code_of(row.code), row.close) << row.word;
    EXPECT_EQ(retryable(row.code), row.retryable) << row.word;
  }
}

TEST(Status, ReplyOfAnError) {
  Reply reply = reply_of(fail(Code::overloaded, "say \"later\"\n"));
  EXPECT_EQ(reply.code, Code::overloaded);
  EXPECT_EQ(reply.body,
            R"({"success":false,"error":"say \"later\"\n","code":"overloaded","retryable":true})");
  EXPECT_GT(reply.retry_after_seconds, 0u);
  reply = reply_of(fail(Code::not_found, "no such room"));
  EXPECT_EQ(reply.body, R"({"success":false,"error":"no such room","code":"not_found","retryable":false})");
  EXPECT_EQ(reply.retry_after_seconds, 0u);
}

TEST(Status, WordsOfForms) {
  EXPECT_EQ(word_of(Form::none), "http");
  EXPECT_EQ(word_of(Form::sse), "sse");
  EXPECT_EQ(word_of(Form::ws), "ws");
  EXPECT_EQ(word_of(Form::poll), "poll");
}

TEST(Result, HoldsOneOfTwo) {
  Result<int> good(7);
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, 7);
  Result<int> bad(fail(Code::conflict, "no"));
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::conflict);
  EXPECT_EQ(bad.error().sentence, "no");
  Result<std::unique_ptr<int>> moved(std::make_unique<int>(3));
  EXPECT_EQ(**moved, 3);
  EXPECT_EQ(*moved->get(), 3);
  Result<void> nothing;
  EXPECT_TRUE(nothing);
  Result<void> failed(fail(Code::internal, "x"));
  EXPECT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::internal);
}

TEST(StatusDeathTest, ABrokenInvariantAborts) {
  EXPECT_DEATH(TW_CHECK(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3");
  TW_CHECK(true);
}

}  // namespace
}  // namespace twinwire
