#include <algorithm>

#include "ups/run/ttc.h"

namespace ups::run {

TtcPlan plan_ttc(const TtcOptions& options, int64_t first, int64_t sample) {
  TtcPlan plan{options.candidates, options.beam_width, options.horizon, 0};
  const auto cost = [&] {
    const int64_t node = first + (plan.candidates - 1) * sample;
    int64_t nodes = 1, total = 0;
    for (int64_t level = 0; level < plan.horizon; ++level) {
      total += nodes * node;
      nodes = std::min(plan.beam, nodes * plan.candidates);
    }
    return total;
  };
  if (options.max_evaluations) {
    while (plan.horizon > 1 && cost() > *options.max_evaluations) --plan.horizon;
    while (plan.candidates > 1 && cost() > *options.max_evaluations) --plan.candidates;
  }
  plan.evaluations = cost();
  return plan;
}

std::vector<EvalModel> ttc_models(std::shared_ptr<TtcSearch> search) {
  EvalModel ttc, control;
  ttc.name = "ttc";
  ttc.nfe = control.nfe = static_cast<int>(search->plan().evaluations);
  ttc.predict = [search](std::span<const float> in, std::span<const float>, std::span<const int64_t> trajectory, int64_t step, int64_t,
                         std::span<float> out) { search->predict(in, trajectory, step, out); };
  const int64_t count = 1 + (search->plan().evaluations - search->first().nfe) / search->sampler().nfe;
  control.name = "ttc_control_mean";
  control.predict = [search, count](std::span<const float> in, std::span<const float>, std::span<const int64_t> trajectory, int64_t step, int64_t,
                                    std::span<float> out) {
    const std::vector<float> all = search->candidates(in, trajectory, step, count);
    const size_t frame = out.size() / trajectory.size();
    for (size_t i = 0; i < out.size(); ++i) {
      double sum = 0;
      for (size_t c = 0; c < static_cast<size_t>(count); ++c) sum += static_cast<double>(all[(i / frame * static_cast<size_t>(count) + c) * frame + i % frame]);
      out[i] = static_cast<float>(sum / static_cast<double>(count));
    }
  };
  return {ttc, control};
}

}  // namespace ups::run
