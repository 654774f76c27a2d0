// Draws of an attractor prior against frames of the held-out split, as two samples of one distribution (docs/metrics.md). No LibTorch.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ups/data/dataset.h"

namespace ups::run {

// out [B, C, cells] physical: draws number first, first + 1, .. for the PDE parameters of these trajectories [B].
using DrawState = std::function<void(std::span<const int64_t> trajectory, int64_t first, std::span<float> out)>;

struct AttractorScores {
  std::string set, split, split_hash;
  int64_t samples = 0;                 // draws, held-out frames, and frames in a set of the train split: as many of each
  double energy_distance = 0;          // of the draws to the held-out frames
  double energy_distance_real = 0;     // of frames of the train split to the held-out frames, mean over up to four sets without common trajectories
  double spectrum_error = 0;           // metrics::log_spectrum_error of the draws against the held-out frames, mean over channels
  double spectrum_error_real = 0;      // the same of the frames of the train split
  double ms_per_sample = 0;
  std::vector<std::vector<double>> power, power_draws;  // [C][k] of the held-out frames and of the draws
  std::vector<float> frames_shown, draws_shown;         // the first kShown of each [n, C, cells]
  int64_t cells = 0;
  static constexpr int64_t kShown = 4;
  double ratio() const { return energy_distance / energy_distance_real; }
};

// One frame of each trajectory of the split, at most `limit`. Channels count in units of their standard deviation over
// the held-out frames.
AttractorScores score_attractor(data::Dataset& data, data::Split split, const DrawState& draw, int64_t limit = 2048);

std::string attractor_text(const AttractorScores& scores);
std::string attractor_json(const AttractorScores& scores);
// Spectra of channel 0 and, in 1-D, the first held-out frames beside the first draws.
std::string attractor_svg(const AttractorScores& scores);

}  // namespace ups::run
