// Networks with their physical meaning attached: time stepper and steady prior (the corrector: corrector.h). All fields are normalised.
#pragma once
#include <memory>

#include "ups/models/field_model.h"

namespace ups::models {

// Tensor [1, C, 1(, 1)] that scales fields of the given number of space axes, from C values.
Tensor channel_scale(const std::vector<double>& values, size_t axes);

// What a network with a context sees: frames last - context + 1 .. last of fields [B, T, C, X..] as channels, oldest first,
// [B, context C, X..].
Tensor seen_frames(const Tensor& fields, int64_t last, int64_t context);
// The same one step later: without the oldest frame, with the next one [B, C, X..] at the end.
Tensor slide(const Tensor& seen, const Tensor& next);

// z(t + dt) = z + s * f(z): s is the RMS change of one step per channel, so an untouched head means persistence. A network with a
// context gets all of seen_frames; z is the newest.
class FieldOperator : public Module {
 public:
  // delta_rms per channel; predict_state: the network gives the next state itself instead of the change; conserved: channels whose
  // spatial mean a step keeps (to rounding).
  FieldOperator(std::unique_ptr<FieldModel> net, const std::vector<double>& delta_rms, size_t axes, bool predict_state = false,
                const std::vector<int64_t>& conserved = {});
  Tensor step(const Tensor& seen, const Condition& condition) const;   // [B, context C, X..] -> [B, C, X..], fp32 sum
  Tensor change(const Tensor& seen, const Condition& condition) const; // (z' - z) / s
  const Tensor& scale() const { return scale_; }

 private:
  Tensor newest(const Tensor& seen) const;
  std::unique_ptr<FieldModel> net_;
  Tensor scale_;
  Tensor kept_;  // like scale_: 1 for conserved channels, else 0; undefined without any
  bool predict_state_;
};

// Steady solution from coefficients: the same flow and null-noise token, on u with the train mean field removed. Without coefficients
// (coeff undefined) samples of a distribution of fields, which has no mean mode.
class SteadyField : public Module {
 public:
  // mean_field [1, C, X..] and rms per channel of the remainder, both in normalised units.
  SteadyField(std::unique_ptr<FieldModel> net, const Tensor& mean_field, const std::vector<double>& rms, size_t axes);
  Tensor velocity(const Tensor& x, const Tensor& coeff, Condition condition, const Tensor& tau, const Tensor& s) const;
  Tensor whiten(const Tensor& z) const;
  Tensor unwhiten(const Tensor& y) const;
  Tensor mean_solution(const Tensor& coeff, const Condition& condition) const;  // normalised field
  Tensor sample(const Tensor& noise, const Tensor& coeff, const Condition& condition, int64_t steps, bool heun) const;
  const Tensor& scale() const { return scale_; }

 private:
  std::unique_ptr<FieldModel> net_;
  Tensor mean_, scale_;
};

// Heun's method from tau = 1 to 0 on any velocity(x, tau); the last step is Euler's, where the velocity at 0 is not defined.
template <class V>
Tensor integrate(Tensor x, int64_t steps, bool heun, V&& velocity) {
  const double h = 1.0 / static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const double tau = 1.0 - h * static_cast<double>(i);
    const Tensor k1 = velocity(x, tau);
    Tensor next = x - h * k1;
    if (heun && i + 1 < steps) next = x - 0.5 * h * (k1 + velocity(next, tau - h));
    x = next;
  }
  return x;
}

// One value per sample of z: [B].
Tensor per_sample(const Tensor& z, double value);

// N(0, 1) noise [B, ...] whose row b depends only on keys[b].
Tensor keyed_noise(at::IntArrayRef shape, const std::vector<uint64_t>& keys, const at::TensorOptions& options);
// The same for a whole tensor and one key: faster. Drawn on the device of the tensor, so its numbers differ between devices.
Tensor noise_like(const Tensor& like, uint64_t key);
Tensor uniform_like(at::IntArrayRef shape, uint64_t key, const at::TensorOptions& options);

}  // namespace ups::models
