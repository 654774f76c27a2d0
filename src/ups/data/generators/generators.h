// The table rows: each equation's file defines its own.
#pragma once
#include "ups/core/rng.h"
#include "ups/data/generators/generator.h"

namespace ups::data {

GeneratorInfo advection1d_info();
GeneratorInfo burgers1d_info();
GeneratorInfo darcy2d_info();
GeneratorInfo diffreact2d_info();
GeneratorInfo ks1d_info();
GeneratorInfo ns2d_info();

// The random numbers of one sample; attempt counts redraws of rejected samples.
RandomStream sample_stream(const GenerateSettings& settings, uint64_t index, uint64_t attempt = 0);
// Cell centres (i + 1/2) / (nx stride) of every stride-th cell, times length: the stored points of 1-D PDEBench-like sets.
std::vector<double> strided_centres(const GenerateSettings& settings, double length = 1);
// sqrt(sum (a - b)^2 / sum b^2)
double relative_l2(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ups::data
