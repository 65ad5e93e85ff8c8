// The mailbox's costs: post and take on one thread, and from producers on other threads.
#include "core/mailbox.h"

#include <benchmark/benchmark.h>

#include <thread>
#include <vector>

namespace {

using namespace twinwire;

MailRef some_mail() {
  return make_mail([](Shard&) {});
}

// Making the mail, posting, taking, destroying it.
void one_thread(benchmark::State& state) {
  Mailbox mailbox(1024, 1024);
  for (auto _ : state) {
    MailRef mail = some_mail();
    benchmark::DoNotOptimize(mailbox.try_post(mail));
    benchmark::DoNotOptimize(mailbox.take());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(one_thread);

// What a tick pays to see that there is none.
void look(benchmark::State& state) {
  Mailbox mailbox(1024, 1024);
  for (auto _ : state) benchmark::DoNotOptimize(mailbox.empty());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(look);

void threads(benchmark::State& state) {
  constexpr uint64_t mails_each = 1 << 16;
  const auto producers = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    Mailbox mailbox(1024, 1024);
    std::vector<std::thread> all;
    for (uint64_t i = 0; i < producers; ++i) {
      all.emplace_back([&] {
        for (uint64_t done = 0; done < mails_each; ++done) {
          MailRef mail = some_mail();
          while (!mailbox.try_post(mail)) std::this_thread::yield();
        }
      });
    }
    for (uint64_t taken = 0; taken < mails_each * producers;) {
      if (mailbox.take()) {
        ++taken;
      } else {
        std::this_thread::yield();
      }
    }
    for (std::thread& thread : all) thread.join();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * mails_each * producers));
}
BENCHMARK(threads)
    ->ArgName("producers")
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
