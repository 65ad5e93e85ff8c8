// The driver of a fuzz target where libFuzzer is not linked: runs every corpus file given, then N seeded
// mutations of them (or as many as fit the seconds given), and prints the counts; a crash names the run and
// its bytes. Not coverage-guided. One thread; owns the corpus in memory.
//   fuzz_NAME [--runs N | --seconds S] [--seed S] [--max-bytes N] [FILE|FOLDER...]
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Random = std::mt19937_64;

struct Options {
  std::uint64_t runs = 20000;
  std::uint64_t seconds = 0;  // 0: `runs` decides
  std::uint64_t seed = 1;
  std::size_t bytes_max = 4096;
  std::vector<std::filesystem::path> paths;
};

// What runs now, for the handler below.
const std::string* running = nullptr;

// The failing input goes to ./crash-input.
void keep_input() {
  if (running == nullptr) return;
  if (std::FILE* file = std::fopen("crash-input", "wb")) {
    std::fwrite(running->data(), 1, running->size(), file);
    std::fclose(file);
    std::fputs("the failing input is in ./crash-input\n", stderr);
  }
}

void on_signal(int number) {
  std::signal(number, SIG_DFL);
  keep_input();
  std::raise(number);
}

void run(const std::string& input) {
  running = &input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::size_t below(Random& random, std::size_t bound) { return bound == 0 ? 0 : random() % bound; }

// Bytes that break parsers more often than chance finds them.
char telling_byte(Random& random) {
  static constexpr char raw[] = "\0\x01\x7f\x80\xc0\xff\r\n :,;{}[]\"\\%/?&=#-09afAF\xed\xa0\xf4\x90";
  static constexpr std::string_view bytes(raw, sizeof raw - 1);
  return random() % 2 == 0 ? bytes[below(random, bytes.size())] : static_cast<char>(random());
}

void mutate_once(std::string& input, const std::vector<std::string>& corpus, Random& random) {
  const std::size_t at = below(random, input.size() + 1);
  switch (random() % 7) {
    case 0:
      if (at < input.size()) input[at] = telling_byte(random);
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << (random() % 8)));
      break;
    case 2:
      input.insert(at, 1 + random() % 8, telling_byte(random));
      break;
    case 3:
      input.erase(at, 1 + random() % 16);
      break;
    case 4:  // repeat a part of itself
      input.insert(at, input.substr(below(random, input.size() + 1), 1 + random() % 64));
      break;
    case 5: {  // splice with another
      const std::string& other = corpus[below(random, corpus.size())];
      input = input.substr(0, at) + other.substr(below(random, other.size() + 1));
      break;
    }
    default:
      input.resize(at);
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--runs" && has_value) {
      options.runs = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--seconds" && has_value) {
      options.seconds = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--seed" && has_value) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--max-bytes" && has_value) {
      options.bytes_max = std::strtoull(argv[++i], nullptr, 10);
    } else {
      options.paths.emplace_back(word);
    }
  }
  return options;
}

}  // namespace

// Present where a sanitizer is linked: it ends the process without a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  for (const int number : {SIGABRT, SIGSEGV, SIGILL, SIGFPE, SIGTRAP}) std::signal(number, on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_input);
  std::vector<std::string> corpus;
  for (const auto& path : options.paths) {
    if (std::filesystem::is_directory(path)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) corpus.push_back(read(entry.path()));
      }
    } else {
      corpus.push_back(read(path));
    }
  }
  const std::size_t files = corpus.size();
  for (const std::string& input : corpus) run(input);
  if (corpus.empty()) corpus.emplace_back();

  Random random(options.seed);
  std::uint64_t bytes = 0;
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  const auto goes_on = [&] {
    if (options.seconds == 0) return runs < options.runs;
    return runs % 64 != 0 || std::chrono::steady_clock::now() < end;
  };
  for (; goes_on(); ++runs) {
    std::string input = corpus[below(random, corpus.size())];
    for (std::uint64_t n = 1 + random() % 8; n > 0; --n) mutate_once(input, corpus, random);
    if (input.size() > options.bytes_max) input.resize(options.bytes_max);
    bytes += input.size();
    run(input);
  }
  std::printf("%s: %zu corpus files, %llu mutations (seed %llu), %llu bytes, no failure\n",
              std::filesystem::path(argv[0]).filename().c_str(), files, static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(bytes));
}
