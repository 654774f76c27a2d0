// Random periodic initial fields of the 1-D equations: family F1 of data.md 8.
//
//   f(x) = s sum_k A_k sin(2 pi k m_k x + phi_k),  k = 1..4,  m_k = how often k was drawn in two uniform draws from 1..4,
//   A ~ U(0,1), phi ~ U(0,2pi), s = +-1; modes that were not drawn leave the constant A_k sin(phi_k).
//   In f1, with probability .1 the sum is replaced by its absolute value (before the sign s), and with probability .1 the field
//   is multiplied by a window (tanh((x-a)/.01) - tanh((x-b)/.01))/2, a ~ U(.1,.45), b ~ U(.55,.9). "smooth" does neither.
#pragma once
#include <array>
#include <string>

#include "ups/core/rng.h"

namespace ups::data {

struct InitialField {
  double sign = 1;
  std::array<double, 4> amplitude{}, phase{};
  std::array<int, 4> multiple{};
  bool absolute = false, window = false;
  double a = 0, b = 0;
  double operator()(double x) const;  // period 1
};

// ic: "f1" or "smooth". Both consume the same random numbers, so a smooth field is the f1 field of the same key without extras.
InitialField draw_initial_field(RandomStream& random, const std::string& ic);

}  // namespace ups::data
