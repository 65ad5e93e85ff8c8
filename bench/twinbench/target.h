// A server under measurement: ours, the bare one, a peer; started here or found running. What is asked of it
// besides its bytes: its address, the CPU time and memory of all its processes, and of ours its own figures.
// Not here: readers. Thread: the harness's main one; every call blocks. Owns the processes it started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/twinbench/child.h"
#include "bench/twinbench/dialect.h"
#include "bench/twinbench/process.h"
#include "core/status.h"

namespace twinwire::bench {

// What every mode takes from the command line.
struct CommonOptions {
  std::vector<std::string> targets{"twinwire", "bare"};
  std::string program;  // the twinwire
  std::string floors;   // the folder of the floor programs
  std::string peers;    // the folder of the peers' files
  std::string root;     // the tree, for the peers' files
  std::string url;      // of a twinwire that runs already
  pid_t pid = 0;        // of it
  std::vector<std::string> settings;
  uint32_t shards = 1;
  std::string transport = "both";  // sse, ws, both, mixed
  uint32_t repetitions = 5;
  uint32_t warm_up = 1;
  uint32_t slice_ms = 400;
  uint32_t content_bytes = 64;
  uint32_t workers = 0;
  bool pin = true;      // the target on core 0, the harness on the others
  int store_core = -1;  // ours: the threads that are no shard's; -1: with the shards
  bool ephemeral = false;
  std::string scratch = "/tmp";
  bool json = false;
  bool quiet = false;
};

// Streams told that their cursor could not be kept, by reason.
inline const std::vector<std::string> kResets{"resets.trimmed", "resets.unknown_cursor", "resets.forbidden",
                                              "resets.rolled_back"};

class Target {
 public:
  // "twinwire", "twinwire:LABEL=PROGRAM" (ours too, another build of it), "bare", "bare-single",
  // "bare-direct" and the like, a peer's name or file, "NAME@http://HOST:PORT,PID".
  static Result<std::unique_ptr<Target>> of(const std::string& word, const CommonOptions& options,
                                            const std::string& folder);
  // The dialect of ours depends on the words.
  Result<void> start(const TwinwireWords& words);
  Result<void> stop();
  // Ours, started here: kill -9, and the same again on the same port.
  Result<void> kill_and_restart();

  const std::string& name() const { return name_; }
  bool ours() const { return kind_ == Kind::twinwire; }
  bool bare() const { return kind_ == Kind::bare; }
  // A bare one that greets and sends readers of both kinds at once.
  bool bare_of_both() const { return bare() && bare_program_ == "floor_direct"; }
  const Dialect& dialect() const { return dialect_; }
  const client::Endpoint& endpoint() const { return endpoint_; }
  uint64_t cpu_nanos() const;
  ProcessUse use() const;
  // Ours: /admin/stats, a number by its path ("reads.store"). Not a number where the server was found
  // running, since its operators' listener is not known; an error where it has no such path: a figure that is
  // quietly 0 because its name has changed would be believed.
  Result<double> stat(const std::string& path) const;
  // The sum of several.
  Result<double> stats(const std::vector<std::string>& paths) const;
  // The bare one: what it greets with and sends.
  Result<void> prime(Form form, const std::string& greeting);

 private:
  enum class Kind : uint8_t { twinwire, bare, peer };
  explicit Target(const CommonOptions& options) : options_(options) {}
  Result<void> start_peer();
  Result<void> start_bare();
  Result<void> start_ours();
  pid_t root_pid() const;
  std::vector<pid_t> processes() const;  // it and its descendants

  const CommonOptions& options_;
  Kind kind_ = Kind::peer;
  std::string name_;
  std::string folder_;
  std::string program_;  // ours: what is started
  std::string bare_program_;
  std::string bare_flag_;  // of it
  PeerFile file_;
  Dialect dialect_;
  client::Endpoint endpoint_{"127.0.0.1", 0};
  pid_t found_pid_ = 0;  // it ran already
  bool found_ = false;
  std::unique_ptr<Server> server_;
  Child child_;
};

}  // namespace twinwire::bench
