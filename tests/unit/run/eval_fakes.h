// Data sets with known answers, for the evaluation tests.
#pragma once
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "ups/core/rng.h"
#include "ups/data/dataset.h"
#include "ups/metrics/darcy.h"

namespace ups::test {

inline const double kPi = std::acos(-1.0);

// Everything a Dataset needs beside its fields.
class FakeDataset : public data::Dataset {
 public:
  const data::SetInfo& info() const override { return info_; }
  const std::vector<int64_t>& members(data::Split s) const override { return members_[static_cast<size_t>(s)]; }
  std::vector<double> params(int64_t trajectory) const override { return trajectory % 2 == 1 && !odd_params_.empty() ? odd_params_ : params_; }
  std::string split_hash() const override { return "0123456789abcdef0123456789abcdef"; }
  std::string split_json() const override { return "{}"; }
  int64_t bytes_on_disk() const override { return 0; }
  int64_t bytes_selected() const override { return 0; }
  int64_t bytes_resident() const override { return 0; }
  std::vector<int64_t> members_[3];
  std::vector<double> params_, odd_params_;  // odd_params_: of trajectories with an odd number, when set
  data::SetInfo info_;
};

// Two channels of sines on 32 points that move one cell per frame: channel c has wave number c + 1. The train phases are spread
// evenly, so the train mean is zero.
class MovingSines : public FakeDataset {
 public:
  MovingSines() {
    info_.name = "waves";
    info_.family = "advection1d";
    info_.trajectories = 20, info_.frames = 9, info_.channels = 2, info_.grid = {32}, info_.channel_names = {"u", "v"};
    info_.length = {2.0}, info_.dt = 0.5;
    info_.boundary = {data::Boundary::periodic, data::Boundary::periodic};
    for (int64_t t = 0; t < 9; ++t) info_.time.push_back(0.5 * static_cast<double>(t));
    for (int64_t i = 0; i < 20; ++i) members_[i < 12 ? 0 : i < 14 ? 1 : 2].push_back(i);
  }
  void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) override {
    size_t at = 0;
    for (int64_t t = first; t < first + count; ++t) {
      for (int c = 0; c < 2; ++c) {
        for (int64_t x = 0; x < 32; ++x) {
          const double phase = 2 * kPi * (static_cast<double>((c + 1) * (x - t)) / 32 + static_cast<double>(trajectory) / 12);
          out[at++] = static_cast<float>((c + 1) * std::sin(phase));
        }
      }
    }
    REQUIRE(at == out.size());
  }
  void read_coeff(int64_t, std::span<float>) override { FAIL("there are no coefficients"); }
};

// White noise on 16 points, independent in every frame; channel 1 is 1,000 times channel 0 in size.
class RandomFrames : public FakeDataset {
 public:
  RandomFrames() {
    info_.name = "noise", info_.family = "noise";
    info_.trajectories = 700, info_.frames = 3, info_.channels = 2, info_.grid = {16}, info_.channel_names = {"u", "v"}, info_.dt = 1;
    for (int64_t i = 0; i < 700; ++i) members_[i < 350 ? 0 : i < 400 ? 1 : 2].push_back(i);
  }
  static void draw(uint64_t key, uint64_t frame, double factor, std::span<float> out) {
    RandomStream random(key, frame);
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(factor * random.normal() * (i < out.size() / 2 ? 1 : 1000));
  }
  void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) override {
    const size_t frame = out.size() / static_cast<size_t>(count);
    for (int64_t t = 0; t < count; ++t)
      draw(3, static_cast<uint64_t>(trajectory * 3 + first + t), 1, out.subspan(static_cast<size_t>(t) * frame, frame));
  }
  void read_coeff(int64_t, std::span<float>) override { FAIL("there are no coefficients"); }
};

// Solutions of a 6 x 8 Darcy problem with random coefficients 0.1 or 1.
class TinyDarcy : public FakeDataset {
 public:
  TinyDarcy() {
    info_.name = "darcy2d", info_.family = "darcy2d";
    info_.trajectories = 20, info_.frames = 1, info_.channels = 1, info_.coeff_channels = 1, info_.grid = {6, 8};
    info_.channel_names = {"u"}, info_.length = {1, 1}, info_.steady = true, info_.param_names = {"beta"};
    params_ = {2.0};
    for (int64_t i = 0; i < 20; ++i) members_[i < 12 ? 0 : i < 14 ? 1 : 2].push_back(i);
  }
  std::vector<double> coefficients(int64_t trajectory) const {
    RandomStream random(3, static_cast<uint64_t>(trajectory));
    std::vector<double> a(48);
    for (double& v : a) v = random.uniform() < 0.5 ? 0.1 : 1.0;
    return a;
  }
  void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) override {
    REQUIRE((first == 0 && count == 1));
    const std::vector<double> a = coefficients(trajectory), zero(48, 0.0);
    const int64_t iterations[] = {300};
    const metrics::DarcyOperator op(6, 8, 1, 1, as_float(a), faces_);
    const auto u = op.pcg(zero, 2.0, iterations)[0];
    for (size_t i = 0; i < 48; ++i) out[i] = static_cast<float>(scale_ * u[i]);
  }
  void read_coeff(int64_t trajectory, std::span<float> out) override {
    const std::vector<double> a = coefficients(trajectory);
    for (size_t i = 0; i < 48; ++i) out[i] = static_cast<float>(a[i]);
  }

  metrics::DarcyFaces faces_ = metrics::DarcyFaces::harmonic;
  double scale_ = 1;  // of the solutions

 private:
  static std::vector<double> as_float(std::vector<double> a) {  // what the coefficient file would hold
    for (double& v : a) v = static_cast<double>(static_cast<float>(v));
    return a;
  }
};

}  // namespace ups::test
