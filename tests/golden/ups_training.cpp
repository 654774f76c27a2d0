#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ups_training.h"

#include <cmath>

namespace ups::test {

TrainingSettings training_settings(const Json& block) {
  TrainingSettings s;
  s.optimizer = block.at("optimizer").get<std::string>();
  s.lr = block.at("lr").get<double>();
  s.weight_decay = block.value("weight_decay", 0.0);
  if (block.contains("betas")) {
    s.beta1 = block["betas"][0].get<double>();
    s.beta2 = block["betas"][1].get<double>();
  }
  s.eps = block.value("eps", 1e-8);
  s.momentum = block.value("momentum", 0.9);
  if (block.contains("clip") && !block["clip"].is_null()) s.clip = block["clip"].get<double>();
  if (block.contains("ema_decay") && !block["ema_decay"].is_null()) s.ema_decay = block["ema_decay"].get<double>();
  s.steps = block.at("steps").get<int64_t>();
  return s;
}

void zero_gradients(const optim::ParamList& params) {
  for (const auto& p : params) p.tensor.mutable_grad() = at::Tensor();
}

TrainingRecord train(const optim::ParamList& params, const TrainingSettings& s, const std::function<at::Tensor()>& loss) {
  std::vector<double> losses, norms;
  std::vector<at::Tensor> m, v, ema;
  for (const auto& p : params) {
    m.push_back(at::zeros_like(p.tensor.detach()));
    v.push_back(at::zeros_like(p.tensor.detach()));
    ema.push_back(p.tensor.detach().clone());
  }
  for (int64_t t = 1; t <= s.steps; ++t) {
    zero_gradients(params);
    const at::Tensor value = loss();
    value.backward();
    losses.push_back(value.item<double>());
    const c10::NoGradGuard no_grad;
    at::Tensor sum = at::zeros({}, params[0].tensor.options());
    for (const auto& p : params) sum += p.tensor.grad().pow(2).sum();
    const at::Tensor norm = sum.sqrt();
    norms.push_back(norm.item<double>());
    const at::Tensor factor = s.clip ? (*s.clip / (norm + 1e-6)).clamp_max(1.0) : at::ones_like(norm);
    const double d = static_cast<double>(t), c1 = 1 - std::pow(s.beta1, d), c2 = std::sqrt(1 - std::pow(s.beta2, d));
    for (size_t i = 0; i < params.size(); ++i) {
      at::Tensor w = params[i].tensor;
      at::Tensor g = w.grad() * factor;
      if (s.optimizer == "AdamW") w.mul_(1 - s.lr * s.weight_decay);
      else g = g + s.weight_decay * w;
      if (s.optimizer == "SGD") {
        if (t == 1) m[i].copy_(g);
        else m[i].mul_(s.momentum).add_(g);
        w.sub_(s.lr * m[i]);
      } else {
        m[i].mul_(s.beta1).add_((1 - s.beta1) * g);
        v[i].mul_(s.beta2).add_((1 - s.beta2) * g * g);
        w.sub_(s.lr / c1 * m[i] / (v[i].sqrt() / c2 + s.eps));
      }
      if (s.ema_decay) ema[i].mul_(*s.ema_decay).add_((1 - *s.ema_decay) * w);
    }
  }
  losses.push_back(loss().item<double>());
  TrainingRecord r;
  r.losses = at::tensor(losses, at::kDouble);
  r.grad_norms = at::tensor(norms, at::kDouble);
  for (size_t i = 0; i < params.size(); ++i) {
    r.params.emplace_back(params[i].name, params[i].tensor.detach());
    if (s.ema_decay) r.ema.emplace_back(params[i].name, ema[i]);
    r.exp_avg.emplace_back(params[i].name, m[i]);
    r.exp_avg_sq.emplace_back(params[i].name, v[i]);
  }
  return r;
}

void compare_training(Comparison& c, const Bundle& b, const TrainingRecord& r, const std::string& suffix) {
  c.sequence("steps" + suffix + "/loss", r.losses);
  c.sequence("steps" + suffix + "/grad_norm", r.grad_norms);
  const auto has = [&](const std::string& prefix) { return !b.group(prefix).empty(); };
  if (has("after5" + suffix)) c.parameters("after5" + suffix, r.params);
  if (has("ema5" + suffix)) c.parameters("ema5" + suffix, r.ema);
  if (has("exp_avg" + suffix)) c.moments("exp_avg" + suffix, r.exp_avg);
  if (has("exp_avg_sq" + suffix)) c.moments("exp_avg_sq" + suffix, r.exp_avg_sq);
}

}  // namespace ups::test
