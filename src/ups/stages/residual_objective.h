// How a corrector learns the distribution of the residual and how samples are drawn from it: diffusion.objective.
//
//   flow     velocity of x = (1 - tau) r + tau eps, tau = sigmoid(N(0, 1)); Euler or Heun from tau = 1 to 0
//   edm      the same path with EDM's noise levels and preconditioning; Heun in sigma from 20 to 0 (arXiv 2206.00364)
//   refiner  four noise levels, the first pure noise, the others 7e-3 to 4e-7 in variance; ancestral steps (arXiv 2308.05732)
//   crps     noise in, sample out, one evaluation; almost fair CRPS of two members (arXiv 2412.15832)
// All share the null-noise rows, hence the mean mode.
#pragma once
#include <functional>
#include <string>

#include "ups/stages/residual_rows.h"

namespace ups::stages {

// N(0, 1) like the residual; different draws are independent.
using NoiseOf = std::function<at::Tensor(int64_t draw)>;

// Of the objectives that integrate.
struct ResidualSampler {
  bool heun = true;
  int64_t steps = 8;
};

// What the network is shown to learn about the residual of some rows, `copies` times each: all rows, then all again.
struct Question {
  at::Tensor x, tau;  // [copies B, C, X..], [copies B]
  int64_t copies = 1;
};

class ResidualObjective {
 public:
  virtual ~ResidualObjective() = default;
  virtual std::string name() const = 0;
  // Every random number that ask() and loss() take, for rows like z [B, C, X..].
  virtual void draw(const at::Tensor& z, uint64_t key, train::Prepared& out) const = 0;
  virtual Question ask(const ResidualRows& rows, const train::Prepared& prepared) const = 0;
  // answer: models::Corrector::network of the question, with s = 0. -> [B]
  virtual at::Tensor loss(const ResidualRows& rows, const train::Prepared& prepared, const at::Tensor& answer) const = 0;
  // A squared error: its rows are weighted against heavy tails.
  virtual bool squared() const { return true; }
  virtual at::Tensor sample(const models::Corrector& corrector, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                            const NoiseOf& noise, const ResidualSampler& sampler) const = 0;  // unit scale
  virtual int64_t evaluations(const ResidualSampler& sampler) const = 0;  // of the network, per sample
};

// flow, edm, refiner or crps.
const ResidualObjective& residual_objective(const std::string& name);
// Whether samples follow an ODE from the noise, as a few-step student needs.
inline bool has_flow(const std::string& objective) { return objective == "flow" || objective == "edm"; }

const ResidualObjective& flow_objective();
const ResidualObjective& edm_objective();
const ResidualObjective& refiner_objective();
const ResidualObjective& crps_objective();

}  // namespace ups::stages
