// Coefficients of the odd polynomials X <- aX + (bA + cA^2)X, A = X X^T, that push singular values to 1 (optim.md 4.1).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ups::optim {

struct NsSchedule {
  std::vector<std::array<double, 3>> steps;  // (a, b, c)
  double norm_scale = 1;                     // X_0 = U / (norm_scale * ||U||_F)
};

// name: polar_express, kj, you, cans, deepseek_v4, cubic5, or custom (coefficients). Fixed lists shorter than k repeat their last
// entry, longer ones are cut; polar_express is generated for each k.
NsSchedule ns_schedule(const std::string& name, int64_t k, const std::vector<std::vector<double>>& coefficients = {});

// Polar Express (arXiv 2505.16932): greedy minimax quintics for singular values in [l0, 1]. cushion keeps early steps from chasing the
// smallest values; sf divides every argument but the last step's against overshoot in low precision.
std::vector<std::array<double, 3>> polar_express(int64_t k, double l0, double cushion, double sf);

}  // namespace ups::optim
