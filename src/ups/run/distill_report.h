// ups-eval distill: what a few-step student kept of its teacher, with the same noise for both.
#pragma once
#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace ups::run {

struct DistillReportArgs {
  std::string run;            // --run
  std::string split = "val";  // --split val | test
  int64_t members = 8;        // --members
  int64_t windows = 4;        // --windows
  bool print_json = false;    // --print-json
};

void add_distill_options(CLI::App& app, DistillReportArgs& args);
// Rows: the teacher's ODE in 64 Heun steps, corrector_sample (diffusion.sampler), the teacher with 1, 2, 4, 8 Euler steps, the student with 1, 2, 4.
// Path error: RMS distance of a sample to the end of that ODE from the same noise, in units of its samples' standard deviation (the
// posterior's). CRPS, share of the teacher's gain over the operator alone, spread/skill: one step from true states, in units of the
// residual's RMS, before gate and conserved channels. CPU time: of the corrector, per sample. At most stages::kValidationTrajectories
// trajectories. Writes RUN/eval/distill.txt and .json. Exit 4 without a student.
int run_distill_report(const DistillReportArgs& args, const std::string& command_line);

}  // namespace ups::run
