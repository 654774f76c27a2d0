// A small checkpoint with every kind of file, different at every step.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>

#include "ups/train/checkpoint.h"

namespace ups::test {

inline train::CheckpointContent make_content(const std::string& stage, int64_t step) {
  train::CheckpointContent c;
  c.stage = stage;
  c.step = step;
  const auto value = static_cast<float>(step);
  for (int k = 0; k < 4; ++k) {
    const std::string name = "core.layer" + std::to_string(k) + ".weight";
    c.model.emplace_back(name, at::arange(12, at::kFloat).reshape({3, 4}) * 0.1 + value + k);
    c.ema.emplace_back(name, at::arange(12, at::kFloat).reshape({3, 4}) * 0.2 + value - k);
    c.optim.emplace_back(name + ".exp_avg", at::full({3, 4}, value * 0.5 + k));
    c.optim.emplace_back(name + ".step", at::scalar_tensor(value));
  }
  c.rng.emplace_back("cpu", at::full({64}, static_cast<int64_t>(step % 251)).to(at::kByte));
  c.state_json = R"({"best":1e+300,"epoch":)" + std::to_string(step / 10) + R"(,"list":[1,2.5]})";
  c.config_hash = std::string(32, 'a');
  c.split_hash = std::string(32, 'b');
  c.normalizer_hash = std::string(32, 'c');
  c.build = {{"version", "0.1.0"}};
  c.exact = {{"threads", "1"}};
  return c;
}

inline bool same_tensors(io::NamedTensors a, io::NamedTensors b) {
  const auto by_name = [](const auto& x, const auto& y) { return x.first < y.first; };
  std::sort(a.begin(), a.end(), by_name);
  std::sort(b.begin(), b.end(), by_name);
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.scalar_type() == y.second.scalar_type() && at::equal(x.second, y.second);
  });
}

inline bool same_content(const train::CheckpointContent& a, const train::CheckpointContent& b) {
  return a.stage == b.stage && a.step == b.step && same_tensors(a.model, b.model) && same_tensors(a.ema, b.ema) &&
         same_tensors(a.optim, b.optim) && same_tensors(a.rng, b.rng) && a.state_json == b.state_json &&
         a.config_hash == b.config_hash && a.split_hash == b.split_hash && a.normalizer_hash == b.normalizer_hash &&
         a.build == b.build && a.exact == b.exact;
}

}  // namespace ups::test
