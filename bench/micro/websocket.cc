// WebSocket: reading masked frames in place, whole messages and fragments, and writing a server's frames.
//   micro_websocket [--benchmark_filter=...]
// Items are messages; range(0) is the size of the payload. Every read starts from fresh bytes, since
// unmasking changes them: the copy is in the figure, and `copy_alone` says what it costs.
#include "net/websocket.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/status.h"
#include "net/json_in.h"

namespace {

using namespace twinwire;

// A client's frame (RFC 6455, 5.2 and 5.3).
std::string masked(uint8_t opcode, bool fin, std::string_view payload) {
  const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  std::string out;
  append_ws_frame(out, opcode, payload);
  const size_t header = out.size() - payload.size();
  if (!fin) out[0] = static_cast<char>(out[0] & 0x7f);
  out[1] = static_cast<char>(out[1] | 0x80);
  out.insert(header, reinterpret_cast<const char*>(mask), 4);
  for (size_t i = 0; i < payload.size(); ++i) {
    out[header + 4 + i] = static_cast<char>(out[header + 4 + i] ^ mask[i % 4]);
  }
  return out;
}

void read_text(benchmark::State& state, const std::string& bytes, int messages) {
  std::vector<char> copy(bytes.size());
  WsReader reader(1 << 20);
  for (auto _ : state) {
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    std::span<char> left(copy);
    int seen = 0;
    while (!left.empty()) {
      const WsReader::Step step = reader.next(left);
      TW_CHECK(step != WsReader::Step::failed);
      if (step == WsReader::Step::text) ++seen;
    }
    TW_CHECK(seen == messages);
    benchmark::DoNotOptimize(reader.payload().data());
  }
  state.SetItemsProcessed(state.iterations() * messages);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}

void whole(benchmark::State& state) {
  read_text(state, masked(kWsText, true, std::string(static_cast<size_t>(state.range(0)), 'x')), 1);
}
BENCHMARK(whole)->Arg(100)->Arg(1000)->Arg(60'000);

// Not ASCII: the check of UTF-8 has its work to do.
void whole_greek(benchmark::State& state) {
  std::string text;
  while (text.size() < static_cast<size_t>(state.range(0))) text += "λ";
  read_text(state, masked(kWsText, true, text), 1);
}
BENCHMARK(whole_greek)->Arg(100)->Arg(1000)->Arg(60'000);

// Four fragments, put together.
void fragments(benchmark::State& state) {
  const std::string part(static_cast<size_t>(state.range(0)) / 4, 'x');
  read_text(
      state,
      masked(kWsText, false, part) + masked(0, false, part) + masked(0, false, part) + masked(0, true, part),
      1);
}
BENCHMARK(fragments)->Arg(1000)->Arg(60'000);

// Sixteen small messages that came in one read.
void pipelined(benchmark::State& state) {
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += masked(kWsText, true, std::string(100, 'x'));
  read_text(state, bytes, 16);
}
BENCHMARK(pipelined);

void copy_alone(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  std::vector<char> copy(bytes.size());
  for (auto _ : state) {
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    benchmark::DoNotOptimize(copy.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(copy_alone)->Arg(100)->Arg(1000)->Arg(60'000);

// A command's envelope: what is done with the text before the command is known.
void envelope(benchmark::State& state) {
  const std::string json = R"({"type":"messages.send","id":17,"data":{"room":"lobby","content":")" +
                           std::string(static_cast<size_t>(state.range(0)), 'x') + "\"}}";
  for (auto _ : state) {
    WsEnvelope out;
    TW_CHECK(read_envelope(json, out));
    benchmark::DoNotOptimize(out.data.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(envelope)->Arg(64)->Arg(1000)->Arg(60'000);

void write_frame(benchmark::State& state) {
  const std::string payload(static_cast<size_t>(state.range(0)), 'x');
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_ws_frame(out, kWsText, payload);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(write_frame)->Arg(100)->Arg(1000)->Arg(60'000);

}  // namespace

BENCHMARK_MAIN();
