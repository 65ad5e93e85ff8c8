// HTTP: reading requests as browsers and backends send them, whole and cut in pieces, and the query of a
// stream.
//   micro_http [--benchmark_filter=...]
// Items are requests. Not here: sockets, routes, what a command does (micro_command).
#include "net/http.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>

#include "core/status.h"
#include "net/query.h"

namespace {

using namespace twinwire;

// A browser's EventSource, with what it sends unasked.
std::string stream_request() {
  return "GET /api/events?rooms=lobby,news&session=0123456789abcdef0123456789abcdef HTTP/1.1\r\n"
         "Host: chat.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, "
         "like "
         "Gecko) Chrome/126.0.0.0 Safari/537.36\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, "
         "deflate, "
         "br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCache-Control: no-cache\r\nOrigin: "
         "https://chat.example.org\r\nReferer: https://chat.example.org/\r\nCookie: theme=dark; "
         "sid=3f2a9c77b1e04d6fa5\r\nLast-Event-ID: 9c1f00d2ab37-0000002a91c4e1\r\nConnection: "
         "keep-alive\r\n\r\n";
}

std::string post_request(size_t content_bytes) {
  const std::string body = R"({"room":"lobby","content":")" + std::string(content_bytes, 'x') + "\"}";
  return "POST /api/messages/send HTTP/1.1\r\nHost: chat.example.org\r\nContent-Type: application/json\r\n"
         "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Feeds `text` in pieces of at most `piece` bytes; aborts if it does not come to one message.
void read_one(HttpReader& reader, std::string_view text, size_t piece) {
  HttpReader::Step step = HttpReader::Step::need_more;
  while (!text.empty() && step != HttpReader::Step::message) {
    std::string_view now = text.substr(0, piece);
    const size_t given = now.size();
    step = reader.next(now);
    if (step == HttpReader::Step::head) step = reader.next(now);
    text.remove_prefix(given - now.size());
  }
  TW_CHECK(step == HttpReader::Step::message && text.empty());
  benchmark::DoNotOptimize(reader.request().path.data());
}

void read_text(benchmark::State& state, const std::string& text, size_t piece) {
  HttpReader reader({});
  for (auto _ : state) read_one(reader, text, piece);
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void stream(benchmark::State& state) {
  read_text(state, stream_request(), static_cast<size_t>(state.range(0)));
}
BENCHMARK(stream)->ArgName("piece")->Arg(1 << 20)->Arg(64)->Arg(1);

void post(benchmark::State& state) {
  read_text(state, post_request(static_cast<size_t>(state.range(0))), 1 << 20);
}
BENCHMARK(post)->ArgName("content")->Arg(64)->Arg(1000)->Arg(60'000);

// Sixteen requests that came in one read.
void pipelined(benchmark::State& state) {
  std::string text;
  for (int i = 0; i < 16; ++i) text += post_request(64);
  HttpReader reader({});
  for (auto _ : state) {
    std::string_view left = text;
    int messages = 0;
    while (!left.empty()) {
      if (reader.next(left) == HttpReader::Step::message) ++messages;
    }
    TW_CHECK(messages == 16);
  }
  state.SetItemsProcessed(state.iterations() * 16);
}
BENCHMARK(pipelined);

void query(benchmark::State& state) {
  const std::string text =
      "rooms=lobby,news,caf%C3%A9&session=0123456789abcdef0123456789abcdef&heartbeat=30&id=ann";
  for (auto _ : state) {
    Query query(text);
    benchmark::DoNotOptimize(query.list("rooms"));
    benchmark::DoNotOptimize(query.value("session"));
    benchmark::DoNotOptimize(query.value("id"));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(query);

}  // namespace

BENCHMARK_MAIN();
