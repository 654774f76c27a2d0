// Networks that are exact for a Gaussian residual r ~ N(m, q^2), the same in every cell: what every objective must sample and leave alone.
#pragma once
#include <ATen/ATen.h>

#include "ups/models/corrector.h"

namespace ups::test {

constexpr double kMean = 0.4, kStd = 0.5;

// c, s and tau of the path (1 - tau) r + tau eps, and of the mixture c r + s eps with c^2 + s^2 = 1.
inline at::Tensor spread_at(const at::Tensor& tau) { return ((1 - tau).square() * kStd * kStd + tau.square()).sqrt(); }

// What the network must answer to x at tau and s; `bias` is added.
class GaussianNet : public models::FieldModel {
 public:
  enum class Kind { velocity, v_prediction, member, flow_map };
  explicit GaussianNet(Kind kind, double bias = 0, double widened = 1) : kind_(kind), bias_(bias), widened_(widened) {}
  at::Tensor forward(const at::Tensor& seen, const models::Condition& c) override {
    const at::Tensor x = seen.narrow(1, 0, seen.size(1) / 3), t = c.tau.view({-1, 1, 1}), step = c.step.view({-1, 1, 1});
    inputs.push_back(x);
    taus.push_back(c.tau);
    return answer(x, t, step) + bias_;
  }
  std::vector<at::Tensor> inputs, taus;

 private:
  at::Tensor answer(const at::Tensor& x, const at::Tensor& t, const at::Tensor& step) const {
    const double variance = kStd * kStd;
    switch (kind_) {
      case Kind::velocity: return velocity(x, t);
      case Kind::v_prediction: {
        const at::Tensor n = ((1 - t).square() + t.square()).sqrt(), cos = (1 - t) / n, sin = t / n;
        return -sin * kMean + cos * sin * (1 - variance) / (cos.square() * variance + sin.square()) * (x - cos * kMean);
      }
      case Kind::member: return -(kMean + widened_ * kStd * x);
      case Kind::flow_map: {
        const at::Tensor later = t - step, end = (1 - later) * kMean + spread_at(later) / spread_at(t) * (x - (1 - t) * kMean);
        return at::where(step > 0, (x - end) / step.clamp_min(1e-6), velocity(x, t));
      }
    }
    return {};
  }
  static at::Tensor velocity(const at::Tensor& x, const at::Tensor& t) {
    return -kMean + (t - (1 - t) * kStd * kStd) / spread_at(t).square() * (x - (1 - t) * kMean);
  }
  Kind kind_;
  double bias_, widened_;
};

inline models::Corrector corrector_of(std::unique_ptr<GaussianNet> net, bool preconditioned = false) {
  return {std::move(net), {2.0}, {1.0}, 1, preconditioned};
}

}  // namespace ups::test
