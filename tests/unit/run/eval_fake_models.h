// Models with known errors on the fake data sets, and what the evaluation tests share.
#pragma once
#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "eval_fakes.h"
#include "ups/run/eval_table.h"

namespace ups::test {

using run::EvalInput, run::EvalModel, run::TableRow;

inline constexpr double kNoise = 0.05;

// Moves every field one cell, as the data do, and multiplies by `factor`; noise per (trajectory, step, member) when wanted.
inline EvalModel shift_model(const std::string& name, double factor, double noise = 0) {
  EvalModel m;
  m.name = name;
  m.stochastic = noise > 0;
  m.nfe = m.stochastic ? 8 : 1;
  m.predict = [=](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory, int64_t step,
                  int64_t member, std::span<float> out) {
    REQUIRE(coeff.empty());
    REQUIRE(in.size() == trajectory.size() * 64);
    REQUIRE((step >= 3 && step < 9));
    for (size_t b = 0; b < trajectory.size(); ++b) {
      RandomStream random(mix_seed(static_cast<uint64_t>(trajectory[b]), static_cast<uint64_t>(step)), static_cast<uint64_t>(member));
      for (size_t c = 0; c < 2; ++c) {
        for (size_t x = 0; x < 32; ++x) {
          const double v = factor * static_cast<double>(in[(2 * b + c) * 32 + (x + 31) % 32]);
          out[(2 * b + c) * 32 + x] = static_cast<float>(v + noise * random.normal());
        }
      }
    }
  };
  return m;
}

inline EvalModel scaled_solution(TinyDarcy& data, const std::string& name, double factor) {
  EvalModel m;
  m.name = name;
  m.predict = [&data, factor](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory,
                              int64_t step, int64_t, std::span<float> out) {
    REQUIRE((in.empty() && step == 0 && coeff.size() == 48 * trajectory.size()));
    for (size_t b = 0; b < trajectory.size(); ++b) {
      std::vector<float> a(48);
      data.read_coeff(trajectory[b], a);
      CHECK(std::equal(a.begin(), a.end(), coeff.begin() + static_cast<std::ptrdiff_t>(48 * b)));
      data.read(trajectory[b], 0, 1, out.subspan(48 * b, 48));
    }
    for (float& v : out) v *= static_cast<float>(factor);
  };
  return m;
}

inline EvalModel scattered_solution(TinyDarcy& data) {
  EvalModel m = scaled_solution(data, "steady_prior_sample", 1);
  m.stochastic = true;
  m.predict = [exact = m.predict](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory,
                                  int64_t step, int64_t member, std::span<float> out) {
    exact(in, coeff, trajectory, step, member, out);
    for (float& v : out) v *= 1 + 0.01F * static_cast<float>(member);
  };
  return m;
}

inline std::vector<EvalModel> wave_models() {
  return {shift_model("operator", 0.99), shift_model("corrector_mean", 0.999), shift_model("corrector_sample", 1, kNoise)};
}

inline EvalInput wave_input(data::Dataset& data) {
  EvalInput in{data};
  in.initial_step = 3;
  in.batch = 4;
  return in;
}

struct TemporaryFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("ups_eval_" + std::to_string(getpid()));
  TemporaryFolder() { std::filesystem::create_directories(path); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

inline const TableRow& find(const std::vector<TableRow>& rows, const std::string& set, const std::string& model) {
  for (const TableRow& r : rows) {
    if (r.set == set && r.model == model) return r;
  }
  FAIL("no row " << set << "/" << model);
  return rows[0];
}

}  // namespace ups::test
