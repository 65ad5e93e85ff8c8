// HTTP requests from bytes: whole, in pieces, pipelined, and every malformed form by name (RFC 9112).
#include "net/http.h"

#include <gtest/gtest.h>

#include "net/http_response.h"

namespace twinwire {
namespace {

// With the zeros inside.
template <size_t N>
std::string literal(const char (&text)[N]) {
  return std::string(text, N - 1);
}

std::string describe(const HttpRequest& r) {
  std::string out = std::string(r.method_text) + " " + std::string(r.path);
  if (!r.query.empty()) out += "?" + std::string(r.query);
  out += " " + std::string(r.host) + " [" + std::string(r.body) + "]";
  for (const HttpField& f : r.fields) out += "|" + std::string(f.name) + "=" + std::string(f.value);
  return out;
}

struct Outcome {
  std::vector<std::string> requests;
  int status = 0;
  bool operator==(const Outcome&) const = default;
};

// Feeds the bytes in pieces of `piece`, each from its own memory, which is spoilt afterwards.
Outcome feed(std::string_view bytes, size_t piece, HttpLimits limits = {}) {
  HttpReader reader(limits);
  Outcome outcome;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string copy(bytes.substr(at, piece));
    std::string_view rest = copy;
    for (bool more = true; more;) {
      switch (reader.next(rest)) {
        case HttpReader::Step::need_more:
          EXPECT_TRUE(rest.empty());
          more = false;
          break;
        case HttpReader::Step::head:
          break;
        case HttpReader::Step::message:
          outcome.requests.push_back(describe(reader.request()));
          break;
        case HttpReader::Step::refused:
          outcome.status = reader.refusal().status;
          EXPECT_FALSE(reader.refusal().sentence.empty());
          return outcome;
      }
    }
    std::fill(copy.begin(), copy.end(), '#');
  }
  return outcome;
}

TEST(Http, WholeAndInPiecesAreTheSame) {
  std::string bytes =
      "GET /api/events?rooms=a,b HTTP/1.1\r\nHost: localhost:8080\r\nAccept: text/event-stream\r\n\r\n"
      "\r\nPOST /api/messages/send HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world"
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n"
      "00a\r\n, 10 bytes\r\n0\r\nTrailer: ignored\r\n\r\n"
      "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nGET http://h:1?q HTTP/1.1\r\nHost: other\r\n\r\n"
      "HEAD / HTTP/1.0\r\n\r\n";
  Outcome whole = feed(bytes, bytes.size());
  ASSERT_EQ(whole.status, 0);
  ASSERT_EQ(whole.requests.size(), 6u);
  EXPECT_EQ(whole.requests[0],
            "GET /api/events?rooms=a,b localhost:8080 []|Host=localhost:8080|Accept=text/event-stream");
  EXPECT_EQ(whole.requests[1], "POST /api/messages/send x [hello world]|Host=x|Content-Length=11");
  EXPECT_EQ(whole.requests[2], "POST /c x [hello, 10 bytes]|Host=x|Transfer-Encoding=chunked");
  EXPECT_EQ(whole.requests[3], "OPTIONS * x []|Host=x");
  EXPECT_EQ(whole.requests[4], "GET /?q h:1 []|Host=other");
  EXPECT_EQ(whole.requests[5], "HEAD /  []");
  for (size_t piece = 1; piece < 64; piece++) EXPECT_EQ(feed(bytes, piece), whole) << piece;
}

// A last chunk that comes in two pieces aborts Boost.Beast 1.74's own reader.
TEST(Http, ALastChunkInPieces) {
  for (std::string_view end : {"0\r\n|\r\n", "0\r|\n\r\n", "0\r\n\r|\n", "0|\r\n\r\n"}) {
    HttpReader reader({});
    std::string_view head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(reader.next(head), HttpReader::Step::head);
    size_t bar = end.find('|');
    std::string_view first = end.substr(0, bar), second = end.substr(bar + 1);
    EXPECT_EQ(reader.next(first), HttpReader::Step::need_more);
    EXPECT_EQ(reader.next(second), HttpReader::Step::message);
  }
}

struct BadCase {
  const char* name;
  std::string bytes;
  int status;
};

std::vector<BadCase> bad_cases() {
  auto head = [](const std::string& fields) { return "POST /x HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n"; };
  auto chunked = [&](const std::string& body) { return head("Transfer-Encoding: chunked\r\n") + body; };
  std::string many;
  for (int i = 0; i < 101; i++) many += "F" + std::to_string(i) + ": v\r\n";
  return {
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01", 6), 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"bad version word", "GET / HTTQ/1.1\r\nHost: x\r\n\r\n", 400},
      {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
      {"HTTP/1.2 is not announced by anyone", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
      {"lower-case version", "GET / http/1.1\r\nHost: x\r\n\r\n", 400},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"control in the target", "GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"fragment in the target", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"relative target", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"asterisk with GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405},
      {"method with a bracket", "G[T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"bare LF", "GET / HTTP/1.1\nHost: x\n\n", 400},
      {"bare LF behind a field", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
      {"bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
      {"CR CR LF", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400},
      {"NUL in a value", literal("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"), 400},
      {"NUL in a name", literal("GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n"), 400},
      {"folded field", head("A: b\r\n c\r\n"), 400},
      {"folded first line", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
      {"space before the colon", head("A : b\r\n"), 400},
      {"no colon", head("A b\r\n"), 400},
      {"empty name", head(": b\r\n"), 400},
      {"name with a bracket", head("A(b: c\r\n"), 400},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"Host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
      {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400},
      {"Content-Length twice", head("Content-Length: 1\r\nContent-Length: 1\r\n") + "x", 400},
      {"Content-Length differing", head("Content-Length: 1\r\nContent-Length: 2\r\n") + "xx", 400},
      {"Content-Length list", head("Content-Length: 1, 1\r\n") + "x", 400},
      {"Content-Length signed", head("Content-Length: +1\r\n") + "x", 400},
      {"Content-Length negative", head("Content-Length: -1\r\n"), 400},
      {"Content-Length hex", head("Content-Length: 0x1\r\n") + "x", 400},
      {"Content-Length empty", head("Content-Length:\r\n"), 400},
      {"Content-Length huge", head("Content-Length: 99999999999999999999\r\n"), 400},
      {"Content-Length beyond the limit", head("Content-Length: 65537\r\n"), 413},
      {"both framings", head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
      {"both framings, other order",
       head("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") + "0\r\n\r\n", 400},
      {"unknown coding", head("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501},
      {"chunked not last", head("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {"coding identity", head("Transfer-Encoding: identity\r\n"), 400},
      {"coding twice", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"coding with a vertical tab",
       head("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       400},
      {"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"chunk without size", chunked("\r\n"), 400},
      {"chunk size signed", chunked("-1\r\nx\r\n"), 400},
      {"chunk size 0x", chunked("0x1\r\nx\r\n"), 400},
      {"chunk size beyond 64 bits", chunked("10000000000000000\r\n"), 400},
      {"chunk size behind space", chunked(" 1\r\nx\r\n"), 400},
      {"chunk size before space", chunked("1 \r\nx\r\n"), 400},
      {"chunk with bare LF", chunked("1\nx\n"), 400},
      {"chunk longer than it says", chunked("1\r\nxy\r\n"), 400},
      {"chunk extension too long", chunked("1;" + std::string(300, 'e') + "\r\nx"), 400},
      {"chunk extension with a control", chunked("1;\x01\r\nx\r\n"), 400},
      {"chunks beyond the limit", chunked("10001\r\n"), 413},
      {"chunks beyond the limit together", chunked("8000\r\n" + std::string(0x8000, 'a') + "\r\n8001\r\n"),
       413},
      {"trailer without colon", chunked("0\r\nbad\r\n\r\n"), 400},
      {"trailer folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400},
      {"trailers too large", chunked("0\r\nA: " + std::string(17000, 't') + "\r\n\r\n"), 431},
      {"head too large", "GET /" + std::string(16384, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
      {"head too large, never ending", "GET /" + std::string(20000, 'a'), 431},
      {"too many fields", head(many), 431},
      {"unknown expectation", head("Expect: tea\r\n"), 417},
      {"garbage behind an empty line", "\r\n\x01\r\n\r\n", 400},
      {"CR before anything", "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
  };
}

TEST(Http, MalformedRequestsGetTheirStatus) {
  for (const BadCase& bad : bad_cases()) {
    for (size_t piece : {bad.bytes.size(), size_t{1}, size_t{7}}) {
      Outcome outcome = feed(bad.bytes, piece);
      EXPECT_EQ(outcome.status, bad.status) << bad.name << " in pieces of " << piece;
      EXPECT_TRUE(outcome.requests.empty()) << bad.name;
    }
  }
}

TEST(Http, ABadRequestDoesNotSpoilTheOneBefore) {
  Outcome outcome = feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b\r\n\r\n", 1000);
  EXPECT_EQ(outcome.requests.size(), 1u);
  EXPECT_EQ(outcome.status, 400);
}

TEST(Http, KeepAliveByVersionAndField) {
  struct {
    const char* bytes;
    bool keep;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo\r\nConnection: a ,close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
  };
  for (auto& c : cases) {
    HttpReader reader({});
    std::string_view bytes = c.bytes;
    ASSERT_EQ(reader.next(bytes), HttpReader::Step::head);
    EXPECT_EQ(reader.request().keep_alive, c.keep) << c.bytes;
  }
}

// Found by fuzz_http: what is both malformed and too long is refused for what comes first in the bytes,
// however they are cut.
TEST(Http, TheRefusalDoesNotDependOnHowTheBytesAreCut) {
  HttpLimits limits{.head_bytes = 64, .body_bytes = 64, .fields = 8};
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  std::string post = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string filler(400, 'f');
  struct {
    std::string bytes;
    int status;
  } cases[] = {
      {head + "A: b\rc" + filler, 400},
      {head + "A: " + filler + "b\rc", 431},
      {head + "A: " + filler.substr(0, 36) + "\r\n\r\n", 431},
      {post + "0\r\nA\rb" + filler, 400},
      {post + "0\r\nA: " + filler + "\rb", 431},
      {post + "0\r\nA: " + filler.substr(0, 59) + "\r\n\r\n", 431},
      {post + "1;" + filler + "\rb\r\n", 400},
  };
  for (auto& c : cases) {
    for (size_t piece = 1; piece <= c.bytes.size(); piece++)
      ASSERT_EQ(feed(c.bytes, piece, limits).status, c.status) << c.bytes << " in pieces of " << piece;
  }
}

TEST(Http, ContinueIsAskedForAndTheLimitMayBeRaised) {
  HttpReader reader({});
  std::string_view bytes =
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 100000\r\n\r\n";
  ASSERT_EQ(reader.next(bytes), HttpReader::Step::head);
  EXPECT_TRUE(reader.request().expects_continue);
  reader.limit_body(200000);
  EXPECT_EQ(reader.next(bytes), HttpReader::Step::need_more);
  EXPECT_TRUE(reader.in_body());
  std::string body(100000, 'b');
  std::string_view rest = body;
  ASSERT_EQ(reader.next(rest), HttpReader::Step::message);
  EXPECT_EQ(reader.request().body, body);
  EXPECT_EQ(reader.next(rest), HttpReader::Step::need_more);
  EXPECT_TRUE(reader.idle());
}

TEST(Http, NothingIsHeldBetweenRequests) {
  HttpReader reader({});
  EXPECT_TRUE(reader.idle());
  std::string_view bytes = "GET / HTTP/1.1\r\nHo";
  EXPECT_EQ(reader.next(bytes), HttpReader::Step::need_more);
  EXPECT_FALSE(reader.idle());
  bytes = "st: x\r\n\r\n";
  EXPECT_EQ(reader.next(bytes), HttpReader::Step::head);
  EXPECT_EQ(reader.next(bytes), HttpReader::Step::message);
  EXPECT_EQ(reader.next(bytes), HttpReader::Step::need_more);
  EXPECT_TRUE(reader.idle());
}

TEST(HttpResponse, Heads) {
  std::string out;
  append_response_head(out,
                       {.status = 404, .content_length = 12, .keep_alive = false, .more_fields = "X: y\r\n"});
  EXPECT_EQ(
      out,
      "HTTP/1.1 404 Not Found\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 12\r\n"
      "Connection: close\r\nX: y\r\n\r\n");
  out.clear();
  append_response_head(out, {.status = 204});
  EXPECT_EQ(out, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(http_date(784111777000), "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace twinwire
