// Where targets are measured side by side: each is started with its own readers, all stay open, and they take
// turns in an order that rotates. Not here: what a turn does (the modes). Thread: the harness's main one.
// Owns the targets, their crews and the run's folder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/twinbench/blocking.h"
#include "bench/twinbench/crew.h"
#include "bench/twinbench/progress.h"
#include "bench/twinbench/report.h"
#include "bench/twinbench/target.h"

namespace twinwire::bench {

// What a reader of ours is greeted with and sent, by its kind; empty where it was not asked for.
struct Lessons {
  Learned sse;
  Learned ws;
  Learned& of(Form form) { return form == Form::ws ? ws : sse; }
};

struct Side {
  std::unique_ptr<Target> target;
  Crew crew;
  std::string failure;  // it takes no further turns
  Sums before;
};

class Arena {
 public:
  struct Plan {
    std::string mode;
    uint32_t readers = 0;
    uint32_t rooms = 0;  // 0: one for all
    uint32_t lanes = 1;  // for publishing, in each process that speaks; 0: none
    bool by_post = false;
    uint32_t window = 1;  // messages at once, where a server's way in is not pipelined
    bool timing = false;
    uint32_t slow = 0;
    uint32_t cursors_per_room = 0;
    bool open_readers = true;
    bool bare_alone = false;  // the bare one does nothing here without ours
    uint32_t at_once = 200;
    bool learn_both = false;  // readers of both kinds: their bytes are wanted, of ours
    Lessons lessons = {};     // learned before: for a bare one without ours
    TwinwireWords words = {};
  };
  Arena(const CommonOptions& options, Plan plan, Mix mix);
  ~Arena();

  // Starts every target and opens its readers. A peer that fails stays out with a note; ours must not.
  Result<void> open();
  std::vector<std::unique_ptr<Side>>& sides() { return sides_; }
  Side* ours();

  using Turn = std::function<Result<Figures>(Side&)>;
  // Repetitions of a turn of each; the warm-up does not count. Rows in the order of the targets.
  std::vector<Row> measure(const std::string& what, const Turn& turn);
  // What readers miss counts as lost; faults so far go into the rows.
  void settle(std::vector<Row>& rows);
  void stop();

  // One turn with its CPU figures: `main` is the CPU time of the target over what the answer counts.
  struct Cost {
    Answer answer;
    double cpu_nanos = 0;
    double seconds = 0;
    double harness_busy = 0;
  };
  Result<Cost> cost_of(Side& side, const std::function<Result<Answer>()>& work);

  std::vector<std::string>& notes() { return notes_; }
  Mix mix() const { return mix_; }
  const std::string& folder() const { return folder_; }
  Progress& progress() { return progress_; }
  // Of the run's transport.
  const Learned& learned() { return plan_.lessons.of(mix_ == Mix::sse ? Form::sse : Form::ws); }
  const Lessons& lessons() const { return plan_.lessons; }

 private:
  Result<void> open_side(Side& side);
  std::vector<Form> forms() const;
  Result<void> learn_from(const Target& target);
  Result<void> teach(Target& target);
  Result<void> tell_frames(Side& side);
  void take_turn(Side& side, Row& row, const Turn& turn, bool counts, bool again);

  const CommonOptions& options_;
  Plan plan_;
  Mix mix_;
  std::string folder_;
  Progress progress_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::vector<std::string> notes_;
  double busy_ = 0;  // of the turn under way
};

// Opens the targets of a run, lets `run` measure them, and stops them; their notes go into the report. False:
// the run could not begin, and why has been said.
bool with_arena(const CommonOptions& common, const Arena::Plan& plan, Mix mix, Report& report,
                const std::function<Result<void>(Arena&)>& run);
// For modes of ours alone: for each transport ("both": half and half at once) an arena after the plan and one
// row, which `run` fills; what fails there is the row's. False: the run could not begin.
bool measure_ours(const CommonOptions& common, const Arena::Plan& plan, Report& report,
                  const std::function<Result<void>(Arena&, Row&)>& run);

std::string_view word_of(Mix mix);
// The transports that a run goes through.
std::vector<Mix> mixes_of(const std::string& transport);

}  // namespace twinwire::bench
