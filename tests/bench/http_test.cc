// The client's reading of HTTP answers and of server addresses.
#include "bench/client/http.h"

#include <gtest/gtest.h>

namespace twinwire::client {
namespace {

struct Recorder : ResponseParser::Sink {
  void on_head(const ResponseHead& head) override { heads.push_back(head); }
  void on_body(std::string_view bytes) override { body.append(bytes); }
  void on_complete() override { ++completed; }
  std::vector<ResponseHead> heads;
  std::string body;
  int completed = 0;
};

// Feeds in pieces of `step` bytes; false at the first error.
bool feed_in_steps(ResponseParser& parser, std::string_view bytes, size_t step) {
  while (!bytes.empty() && !parser.upgraded()) {
    std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    while (!piece.empty() && !parser.upgraded()) {
      const Result<size_t> taken = parser.feed(piece);
      if (!taken) return false;
      piece.remove_prefix(*taken);
    }
  }
  return true;
}

TEST(Http, ReadsSizedChunkedAndEmptyAnswersInAnyPieces) {
  const std::string bytes =
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: "
      "t\r\n\r\n"
      "HTTP/1.1 204 No Content\r\n\r\n"
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, bytes.size()}) {
    Recorder recorder;
    ResponseParser parser(recorder);
    ASSERT_TRUE(feed_in_steps(parser, bytes, step)) << step;
    ASSERT_EQ(recorder.heads.size(), 4u) << step;
    EXPECT_EQ(recorder.completed, 4);
    EXPECT_EQ(recorder.body, "helloabc0123456789");
    EXPECT_EQ(recorder.heads[0].find("x-a"), "b");
    EXPECT_TRUE(recorder.heads[0].keep_alive);
    EXPECT_EQ(recorder.heads[3].status, 404);
    EXPECT_FALSE(recorder.heads[3].keep_alive);
    EXPECT_TRUE(parser.finish());
  }
}

TEST(Http, AnAnswerWithoutLengthEndsWithTheConnection) {
  Recorder recorder;
  ResponseParser parser(recorder);
  ASSERT_TRUE(feed_in_steps(parser, "HTTP/1.1 200 OK\r\n\r\nall of it", 4));
  EXPECT_EQ(recorder.completed, 0);
  EXPECT_TRUE(parser.finish());
  EXPECT_EQ(recorder.completed, 1);
  EXPECT_EQ(recorder.body, "all of it");
}

TEST(Http, AnAnswerCutShortIsAnError) {
  Recorder recorder;
  ResponseParser parser(recorder);
  ASSERT_TRUE(feed_in_steps(parser, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 100));
  EXPECT_FALSE(parser.finish());
}

TEST(Http, StopsBehindAnUpgrade) {
  Recorder recorder;
  ResponseParser parser(recorder);
  const std::string head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
  const Result<size_t> taken = parser.feed(head + "\x81\x02hi");
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, head.size());
  EXPECT_TRUE(parser.upgraded());
}

TEST(Http, RefusesWhatIsNotHttp) {
  const std::string cases[] = {
      "SSH-2.0-OpenSSH_9.2\r\n\r\n",
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.1 2x0 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: nameless\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
      "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'a'),
  };
  for (const std::string& bytes : cases) {
    Recorder recorder;
    ResponseParser parser(recorder);
    EXPECT_FALSE(feed_in_steps(parser, bytes, 1000)) << bytes.substr(0, 60);
  }
}

TEST(Http, Endpoints) {
  const Result<Endpoint> whole = parse_endpoint("http://127.0.0.1:8081/");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->authority(), "127.0.0.1:8081");
  EXPECT_EQ(parse_endpoint("localhost:99")->authority(), "127.0.0.1:99");
  EXPECT_EQ(parse_endpoint("http://127.0.0.2")->port, 80);
  for (const char* bad : {"", "http://", "https://a:1", "a:0", "a:70000", "a:b"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
}

TEST(Http, EncodesARequest) {
  Request request;
  request.method = "POST";
  request.target = "/api/messages/send?id=a";
  request.headers = {{"X-Y", "z"}};
  request.body = "{}";
  EXPECT_EQ(
      encode(request, {"127.0.0.1", 80}),
      "POST /api/messages/send?id=a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-Y: z\r\nContent-Length: 2\r\n\r\n{}");
}

}  // namespace
}  // namespace twinwire::client
