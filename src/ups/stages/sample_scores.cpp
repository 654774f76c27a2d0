#include "ups/stages/sample_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "ups/core/rng.h"

namespace ups::stages {

void SampleScores::add(const at::Tensor& x, const at::Tensor& truth) {
  const int64_t m = members_ = x.size(0);
  at::Tensor pairs = at::zeros_like(truth);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = i + 1; j < m; ++j) pairs = pairs + (x[i] - x[j]).abs();
  crps_ += ((x - truth).abs().mean(0) - pairs / static_cast<double>(m * (m - 1))).mean().item<double>();
  truth_ += truth.abs().mean().item<double>();
  variance_ += x.var(at::IntArrayRef{0}, true).mean().item<double>();
  error_ += (x.mean(0) - truth).square().mean().item<double>();
  windows_ += 1;
}

double SampleScores::crps() const { return crps_ / std::max(1.0, windows_); }
double SampleScores::mean_error() const { return truth_ / std::max(1.0, windows_); }
double SampleScores::spread() const { return std::sqrt(variance_ / std::max(1.0, windows_)); }
double SampleScores::spread_skill() const {
  const double m = static_cast<double>(std::max<int64_t>(1, members_));
  return std::sqrt((m + 1) / m * variance_ / std::max(1e-30, error_));
}

NoiseOf window_noise(const at::Tensor& like, int64_t frame, int64_t member) {
  const uint64_t key = mix_seed(mix_seed(11, static_cast<uint64_t>(frame)), static_cast<uint64_t>(member));
  return [like, key](int64_t draw) { return models::noise_like(like, draw == 0 ? key : mix_seed(key, static_cast<uint64_t>(draw))); };
}

ResidualRows held_out_rows(const HeldOut& h, const models::FieldOperator& op, const models::Corrector& corrector, int64_t frame) {
  ResidualRows r;
  r.condition = h.condition;
  r.z = h.fields.select(1, frame);
  r.target = h.fields.select(1, frame + 1);
  r.z_op = op.step(r.z, h.condition);
  r.r = (r.target - r.z_op) / corrector.scale();
  return r;
}

SampleScores score_samples(const HeldOut& h, const models::FieldOperator& op, const models::Corrector& corrector, const ResidualDraw& sample) {
  constexpr int64_t kMembers = 4, kEvery = 4;
  SampleScores s;
  for (int64_t t = h.first; t + 1 < h.fields.size(1); t += kEvery) {
    const ResidualRows r = held_out_rows(h, op, corrector, t);
    std::vector<at::Tensor> members;
    for (int64_t m = 0; m < kMembers; ++m) members.push_back(sample(r, window_noise(r.z, t, m)));
    s.add(at::stack(members), r.r);
  }
  return s;
}

double finite_score(double score) { return std::isfinite(score) ? score : 1e300; }

}  // namespace ups::stages
