// Commands: finding the row and decoding the parameters; range(0) is the size of the text.
//   micro_command [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <string>

#include "core/command.h"

namespace {

using namespace twinwire;

void find(benchmark::State& state) {
  std::string name = "session.info";  // the last row
  for (auto _ : state) {
    benchmark::DoNotOptimize(name.data());
    benchmark::DoNotOptimize(find_command(name));
  }
}
BENCHMARK(find);

void decode_send(benchmark::State& state) {
  const CommandRow& row = *find_command("messages.send");
  std::string json = R"({"room":"lobby","clientId":"c-123456","content":")" +
                     std::string(static_cast<size_t>(state.range(0)), 'x') + "\"}";
  for (auto _ : state) benchmark::DoNotOptimize(decode_args(row, json, {}));
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(json.size()));
}
BENCHMARK(decode_send)->Arg(20)->Arg(200)->Arg(4000)->Arg(60000);

void decode_refused(benchmark::State& state) {
  const CommandRow& row = *find_command("messages.send");
  for (auto _ : state) benchmark::DoNotOptimize(decode_args(row, R"({"room":"","content":"x"})", {}));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decode_refused);

void content_hash(benchmark::State& state) {
  auto args = decode_args(*find_command("messages.send"),
                          R"({"room":"lobby","clientId":"c","content":"hello there"})", {});
  for (auto _ : state) benchmark::DoNotOptimize(args->content_hash());
}
BENCHMARK(content_hash);

}  // namespace

BENCHMARK_MAIN();
