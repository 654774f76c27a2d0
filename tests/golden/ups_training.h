// Five optimizer steps as golden README 6 defines them, from plain tensor formulas: independent of the optimizer library.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

#include "ups_bundle.h"

namespace ups::test {

struct TrainingSettings {
  std::string optimizer = "AdamW";
  double lr = 1e-3, weight_decay = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, momentum = 0.9;
  std::optional<double> clip, ema_decay;
  int64_t steps = 5;
};
TrainingSettings training_settings(const Json& block);

struct TrainingRecord {
  at::Tensor losses, grad_norms;  // [steps + 1], [steps]
  std::vector<std::pair<std::string, at::Tensor>> params, ema, exp_avg, exp_avg_sq;
};
TrainingRecord train(const optim::ParamList& params, const TrainingSettings& settings, const std::function<at::Tensor()>& loss);

// Compares steps, after5, ema5 and moments under the names with the given suffix ("", "_adamw").
void compare_training(Comparison& c, const Bundle& b, const TrainingRecord& r, const std::string& suffix);

void zero_gradients(const optim::ParamList& params);

}  // namespace ups::test
