// The residual that correctors train on, its scale, and the way back onto the state.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "gaussian_residual.h"
#include "test_common.h"
#include "ups/stages/residual_rows.h"

using namespace ups;
using at::Tensor;

namespace {

// One step adds 3 (scale) x 0.5.
class Half : public models::FieldModel {
 public:
  Tensor forward(const Tensor& x, const models::Condition&) override { return at::full_like(x, 0.5); }
};
models::FieldOperator op_of(int64_t channels) { return {std::make_unique<Half>(), std::vector<double>(static_cast<size_t>(channels), 3.0), 1}; }

models::Corrector corrector_with(const std::vector<double>& rms) {
  return {std::make_unique<test::GaussianNet>(test::GaussianNet::Kind::velocity), rms, std::vector<double>(rms.size(), 1.0), 1};
}

}  // namespace

TEST_CASE("a correction keeps the mean of conserved channels only") {
  const auto corrector = corrector_with({2.0, 4.0});
  const Tensor z = at::zeros({3, 2, 8}), z_op = at::full({3, 2, 8}, 100.0), r = models::noise_like(z, 4) + 1;
  stages::CorrectorOptions o;
  o.conserved = {1};
  const Tensor change = stages::apply_correction(corrector, o, z, z_op, r) - z_op;
  CHECK(at::allclose(change.select(1, 0), 2 * r.select(1, 0), 1e-4, 1e-4));
  CHECK(change.select(1, 1).mean(1).abs().max().item<double>() < 1e-4);
  CHECK(at::allclose(change.select(1, 1) - change.select(1, 1).roll(1, 1), 4 * (r.select(1, 1) - r.select(1, 1).roll(1, 1)), 1e-4, 1e-3));
}

TEST_CASE("no correction where the operator's step is below gate times the residual") {
  const auto corrector = corrector_with({2.0});
  const Tensor z = at::zeros({2, 1, 8}), r = at::ones({2, 1, 8});
  const Tensor z_op = at::stack({at::full({1, 8}, 5.9), at::full({1, 8}, 6.1)});
  stages::CorrectorOptions o;
  o.gate = 3;
  const Tensor out = stages::apply_correction(corrector, o, z, z_op, r);
  CHECK(at::allclose(out[0], z_op[0]));
  CHECK(at::allclose(out[1], z_op[1] + 2));
  o.gate = 0;
  CHECK(at::allclose(stages::apply_correction(corrector, o, z, z_op, r), z_op + 2));
}

TEST_CASE("rollout_mix: that share of the rows starts from the operator's own state and is judged a frame later") {
  stages::FieldSpace space;
  space.boundary = at::zeros({1, 7});
  const auto op = op_of(1);
  const auto corrector = corrector_with({2.0});
  train::TensorBatch batch;
  batch.fields = models::noise_like(at::empty({64, 3, 1, 8}), 3);
  stages::CorrectorOptions o;
  const auto rows_with = [&](double mix) {
    o.rollout_mix = mix;
    train::Prepared p;
    stages::draw_own_states(o, batch, 5, p);
    return stages::residual_rows(space, op, corrector, o, batch, p);
  };
  const Tensor first = batch.fields.select(1, 0);
  const auto none = rows_with(0), all = rows_with(1);
  CHECK(at::allclose(none.z, first));
  CHECK(at::allclose(none.z_op, first + 1.5));
  CHECK(at::allclose(none.r, (batch.fields.select(1, 1) - first - 1.5) / 2, 1e-4, 1e-5));
  CHECK(at::allclose(all.z, first + 1.5));
  CHECK(at::allclose(all.z_op, first + 3));
  CHECK(at::allclose(all.r, (batch.fields.select(1, 2) - first - 3) / 2, 1e-4, 1e-5));
  const auto some = rows_with(0.25);
  const double own = (some.z - first).abs().flatten(1).amax(1).gt(1).to(at::kFloat).mean().item<double>();
  CHECK(own > 0.1);
  CHECK(own < 0.4);
}

TEST_CASE("the residual's scale is its RMS per channel over the given trajectories") {
  const auto op = op_of(2);
  stages::HeldOut h;
  h.fields = at::zeros({2, 3, 2, 4});  // residual of every window: -1.5 plus the change
  h.fields.select(2, 1) += at::arange(3, at::kFloat).view({1, 3, 1}) * 5.5;
  const auto rms = stages::residual_rms(h, op);
  REQUIRE(rms.size() == 2);
  CHECK(rms[0] == Approx(1.5));
  CHECK(rms[1] == Approx(4.0));
}
