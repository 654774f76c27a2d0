// The predictions file (HDF5): what an independent program needs to recompute the table.
//   /SET/truth [N, T, C, X..], /SET/context [N, 1, C, X..] (last input frame; steady sets: the coefficients),
//   /SET/rollout/MODEL, /SET/one_step/MODEL [N, T, C, X..], stochastic models [N, M, T, C, X..], all fp32; T = 1 and no rollout
//   group for steady sets; /SET/ensemble/{rollout,one_step}/MODEL/{mean,std,q05,q95} [N, T, C, X..] of stochastic models (M >= 2); /SET/time [T], /SET/sample [N] trajectory indices; root attribute layout.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ups/run/evaluation.h"

namespace ups::run {

class PredictionsFile {
 public:
  explicit PredictionsFile(const std::string& path);  // written under a temporary name until close()
  ~PredictionsFile();
  PredictionsFile(const PredictionsFile&) = delete;
  PredictionsFile& operator=(const PredictionsFile&) = delete;

  // Declares a set; its datasets grow on the first write to them. Fills nothing but time, sample and attributes.
  void begin_set(const SetScores& set);
  // Rows [first, first + n) of a data set of the current set. members = 0: no member axis. channels: C of this data set.
  void write(const std::string& object, int64_t first, int64_t n, int64_t members, int64_t frames, int64_t channels,
             std::span<const float> values);
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ups::run
