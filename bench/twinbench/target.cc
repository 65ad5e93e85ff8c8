#include "bench/twinbench/target.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "bench/client/event.h"
#include "bench/client/loop.h"
#include "bench/twinbench/blocking.h"

namespace twinwire::bench {
namespace {

constexpr int kTargetCore = 0;
constexpr uint32_t kReadyLimitMs = 30'000;
constexpr uint32_t kEndLimitMs = 60'000;  // a million sockets take their time

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string replaced(std::string text, const std::string& name, const std::string& value) {
  for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size())
    text.replace(at, name.size(), value);
  return text;
}

}  // namespace

Result<std::unique_ptr<Target>> Target::of(const std::string& word, const CommonOptions& options,
                                           const std::string& folder) {
  std::unique_ptr<Target> out(new Target(options));
  out->folder_ = folder;
  out->name_ = word;
  std::string name = word;
  if (word.starts_with("twinwire:")) {
    const size_t equals = std::min(word.find('='), word.size());
    if (equals + 1 >= word.size() || equals == std::string_view("twinwire:").size())
      return fail(Code::invalid_argument, word + ": another build of ours is twinwire:LABEL=PROGRAM");
    out->kind_ = Kind::twinwire;
    out->name_ = word.substr(0, equals);
    out->program_ = word.substr(equals + 1);
    return out;
  }
  if (const size_t at = word.find('@'); at != std::string::npos) {
    name = word.substr(0, at);
    const size_t comma = std::min(word.find(',', at), word.size());
    const Result<client::Endpoint> to = client::parse_endpoint(word.substr(at + 1, comma - at - 1));
    if (!to) return to.error();
    out->endpoint_ = *to;
    out->found_ = true;
    if (comma < word.size()) out->found_pid_ = std::atoi(word.c_str() + comma + 1);
    out->name_ = name;
  }
  if (name == "twinwire") {
    out->kind_ = Kind::twinwire;
    out->program_ = options.program;
    if (options.url.empty() || out->found_) return out;
    const Result<client::Endpoint> to = client::parse_endpoint(options.url);
    if (!to) return to.error();
    out->endpoint_ = *to;
    out->found_ = true;
    out->found_pid_ = options.pid;
    return out;
  }
  if (name == "bare" || name == "bare-single" || name == "bare-unarmed" || name == "bare-uring" ||
      name == "bare-direct") {
    out->kind_ = Kind::bare;
    out->bare_program_ = name == "bare-uring"    ? "floor_receive"
                         : name == "bare-direct" ? "floor_direct"
                                                 : "floor_bare";
    if (name == "bare-single" || name == "bare-unarmed") out->bare_flag_ = "--" + name.substr(5);
    return out;
  }
  const std::string path = name.find('/') == std::string::npos ? options.peers + "/" + name + ".json" : name;
  const std::string text = read_file(path);
  if (text.empty()) return fail(Code::not_found, fmt::format("There is no peer's file {}.", path));
  Result<PeerFile> file = parse_peer(text);
  if (!file) return fail(Code::invalid_argument, fmt::format("{}: {}.", path, file.error().sentence));
  out->file_ = std::move(*file);
  out->dialect_ = out->file_.dialect;
  out->name_ = out->dialect_.name;
  return out;
}

pid_t Target::root_pid() const {
  if (found_) return found_pid_;
  return kind_ == Kind::twinwire && server_ ? server_->pid() : child_.pid();
}

Result<void> Target::start(const TwinwireWords& words) {
  if (kind_ == Kind::bare) dialect_ = bare_dialect(words);
  if (kind_ == Kind::twinwire) dialect_ = twinwire_dialect(words);
  if (found_) return {};
  switch (kind_) {
    case Kind::twinwire:
      return start_ours();
    case Kind::bare:
      return start_bare();
    case Kind::peer:
      return start_peer();
  }
  return {};
}

// Settings that builds of every age know.
Result<void> Target::start_ours() {
  std::vector<std::string> settings{
      fmt::format("--server.shards={}", options_.shards), "--presence.enabled=false", "--drain.seconds=0",
      "--limits.commands_per_second=1000000", "--limits.commands_burst=1000000"};
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  server_ = std::make_unique<Server>(Server::Options{.program = program_,
                                                     .data = folder_ + "/data-" + name_,
                                                     .log = folder_ + "/" + name_ + ".log",
                                                     .settings = std::move(settings),
                                                     .core = options_.pin ? kTargetCore : -1});
  if (Result<void> started = server_->start(); !started) return started;
  endpoint_ = server_->endpoint();
  if (options_.store_core >= 0) pin_other_threads(server_->pid(), "shard-", options_.store_core);
  return {};
}

Result<void> Target::start_bare() {
  std::vector<std::string> words{options_.floors + "/" + bare_program_};
  if (!bare_flag_.empty()) words.push_back(bare_flag_);
  if (bare_of_both()) words.insert(words.end(), {"--threads", std::to_string(options_.shards)});
  if (Result<void> started = child_.start(
          words, Child::How{.log = folder_ + "/bare.log", .core = options_.pin ? kTargetCore : -1});
      !started) {
    return started;
  }
  const Result<std::string> ready = child_.line(kReadyLimitMs);
  if (!ready || !ready->starts_with("floor ready "))
    return fail(Code::internal, bare_program_ + " did not start");
  endpoint_.port = static_cast<uint16_t>(std::atoi(ready->c_str() + 12));
  return {};
}

Result<void> Target::start_peer() {
  if (file_.start.empty())
    return fail(Code::invalid_argument,
                name_ + " has no `start`; say where it runs: NAME@http://HOST:PORT,PID");
  endpoint_.port = free_port();
  std::vector<std::string> words;
  const auto fill = [this](std::string text) {
    text = replaced(std::move(text), "{port}", std::to_string(endpoint_.port));
    text = replaced(std::move(text), "{host}", endpoint_.host);
    text = replaced(std::move(text), "{root}", options_.root);
    return replaced(std::move(text), "{scratch}", folder_);
  };
  for (const std::string& word : file_.start) words.push_back(fill(word));
  Child::How how{.log = folder_ + "/" + name_ + ".log", .core = options_.pin ? kTargetCore : -1};
  for (const auto& [key, value] : file_.environment) how.environment.emplace_back(key, fill(value));
  if (Result<void> started = child_.start(words, how); !started) return started;
  const client::Nanos limit = client::monotonic_now() + kReadyLimitMs * client::kMillisecond;
  while (client::monotonic_now() < limit) {
    if (!file_.ready.empty()) {
      const Result<std::string> line = child_.line(kReadyLimitMs);
      if (!line) break;
      if (line->find(file_.ready) != std::string::npos) return {};
    } else if (!child_.running()) {
      break;
    } else if (BlockingStream(endpoint_).open()) {
      return {};
    } else {
      usleep(20'000);
    }
  }
  return fail(Code::internal, fmt::format("{} did not start; its words are in {}.", name_, how.log));
}

Result<void> Target::stop() {
  if (found_) return {};
  if (server_) return server_->stop();
  child_.end(SIGTERM, kEndLimitMs);
  return {};
}

Result<void> Target::kill_and_restart() {
  if (!server_) return fail(Code::invalid_argument, "only a twinwire that was started here can be killed");
  server_->kill();
  return server_->start();
}

std::vector<pid_t> Target::processes() const {
  const pid_t root = root_pid();
  return root > 0 ? tree_of(root) : std::vector<pid_t>();
}

uint64_t Target::cpu_nanos() const {
  uint64_t out = 0;
  for (const pid_t pid : processes()) out += cpu_nanos_of(pid).value_or(0);
  return out;
}

ProcessUse Target::use() const {
  ProcessUse out;
  for (const pid_t pid : processes()) {
    const ProcessUse one = use_of(pid).value_or(ProcessUse{});
    out.cpu_nanos += one.cpu_nanos;
    out.resident_bytes += one.resident_bytes;
    out.private_bytes += one.private_bytes;
  }
  return out;
}

Result<double> Target::stat(const std::string& path) const {
  if (!server_) return std::nan("");
  std::string token = read_file(server_->token_file());
  while (!token.empty() && token.back() == '\n') token.pop_back();
  client::Request request;
  request.target = "/admin/stats";
  request.headers = {{"Authorization", "Bearer " + token}, {"Connection", "close"}};
  const std::string answer = BlockingStream::ask(server_->admin(), request);
  const size_t body = answer.find("\r\n\r\n");
  client::JsonReader reader;
  std::optional<client::Json> json =
      body == std::string::npos ? std::nullopt : reader.read(std::string_view(answer).substr(body + 4));
  uint64_t out = 0;
  if (json && json->at_pointer("/" + replaced(path, ".", "/")).get_uint64().get(out) == simdjson::SUCCESS)
    return static_cast<double>(out);
  return fail(Code::not_found, fmt::format("/admin/stats of {} has no number at {}", name_, path));
}

Result<double> Target::stats(const std::vector<std::string>& paths) const {
  double sum = 0;
  for (const std::string& path : paths) {
    const Result<double> one = stat(path);
    if (!one) return one;
    sum += *one;
  }
  return sum;
}

Result<void> Target::prime(Form form, const std::string& greeting) {
  BlockingStream control(endpoint_);
  const std::string order =
      fmt::format("BARE\n{} {}\n{}", form == Form::ws ? "ws" : "sse", greeting.size(), greeting);
  if (!control.open() || !control.send(order) || control.until("ok\n", 5'000).empty())
    return fail(Code::internal, bare_program_ + " did not take its greeting");
  return {};
}

}  // namespace twinwire::bench
