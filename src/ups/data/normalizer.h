// Per-channel statistics of the train split, in fp64. Stored with the weights; a later stage refuses another one.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "ups/data/dataset.h"

namespace ups::data {

struct Normalizer {
  std::string mode = "meanstd";              // meanstd | rms | none
  std::vector<double> mean, std;             // per field channel
  std::vector<double> coeff_mean, coeff_std; // per coefficient channel
  std::vector<double> param_mean, param_std; // of log10(param) where all values are > 0, else of the value
  std::vector<bool> param_log;
  std::vector<double> delta_rms;             // per channel: RMS over train of (u(t+1) - u(t)) in normalised units; 1 for steady sets
  std::string split_hash;

  // One pass (Chan) over the train split.
  static Normalizer fit(Dataset& data, const std::string& mode);
  void apply(std::span<float> fields, int64_t channels, int64_t cells) const;    // any leading dims: [.., C, cells]
  void invert(std::span<float> fields, int64_t channels, int64_t cells) const;
  void apply_coeff(std::span<float> coeff, int64_t channels, int64_t cells) const;
  std::vector<float> normalise_params(std::span<const double> params) const;
  std::string json() const;  // canonical; hash() = XXH3-128 of it
  static Normalizer from_json(const std::string& text, const std::string& where);
  std::string hash() const;
};

// As Normalizer::delta_rms for frames that are `stride` apart (training.time_stride).
std::vector<double> delta_rms(Dataset& data, const Normalizer& normalizer, int64_t stride);

}  // namespace ups::data
