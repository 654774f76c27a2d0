// Mixtures of residual and noise with unit variance, and the network's answer to them: y = cos r + sin eps, F = cos eps - sin r.
// tau = sin / (sin + cos), as on the straight path (1 - tau) r + tau eps; noise over residual is sigma = tau / (1 - tau).
#pragma once
#include "ups/stages/residual_objective.h"

namespace ups::stages {

// y of the rows' residual at tau [B], with noise like it.
Question v_question(const ResidualRows& rows, const at::Tensor& tau, const at::Tensor& noise);
// Mean square per row of F minus what it should be. -> [B]
at::Tensor v_loss(const ResidualRows& rows, const at::Tensor& tau, const at::Tensor& noise, const at::Tensor& f);
// The residual that the network sees in y.
at::Tensor denoised(const models::Corrector& corrector, const at::Tensor& y, const at::Tensor& z, const at::Tensor& z_op,
                    const models::Condition& condition, double tau);

}  // namespace ups::stages
