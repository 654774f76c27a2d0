#include "ups/data/normalizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/data/kernels.h"

namespace ups::data {
namespace {

using nlohmann::json;

struct Pass {
  std::vector<Moments> field, coeff;
  std::vector<double> squared_delta;
  int64_t delta_count = 0;  // per channel
};

// Frames are read in windows, so that a long trajectory never has to fit into memory.
Pass one_pass(Dataset& data) {
  const SetInfo& info = data.info();
  const size_t channels = static_cast<size_t>(info.channels), cells = static_cast<size_t>(info.cells()), frame = channels * cells;
  const size_t coeff_channels = static_cast<size_t>(info.coeff_channels);
  const int64_t window = std::clamp<int64_t>((int64_t{16} << 20) / static_cast<int64_t>(frame * sizeof(float)), 2,
      std::max<int64_t>(2, info.frames));
  Pass pass;
  pass.field.resize(channels);
  pass.coeff.resize(coeff_channels);
  pass.squared_delta.resize(channels);
  std::vector<float> block, last(frame), coeff(coeff_channels * cells);
  for (int64_t n : data.members(Split::train)) {
    for (int64_t first = 0; first < info.frames; first += window) {
      const int64_t count = std::min(window, info.frames - first);
      block.resize(static_cast<size_t>(count) * frame);
      data.read(n, first, count, block);
      for (int64_t t = 0; t < count; ++t) {
        const float* now = block.data() + static_cast<size_t>(t) * frame;
        const float* before = t > 0 ? now - frame : last.data();
        const bool has_before = first + t > 0;
        for (size_t c = 0; c < channels; ++c) {
          pass.field[c].merge(moments(now + c * cells, cells));
          if (has_before) pass.squared_delta[c] += squared_distance(before + c * cells, now + c * cells, cells);
        }
        if (has_before) pass.delta_count += static_cast<int64_t>(cells);
      }
      std::copy(block.end() - static_cast<std::ptrdiff_t>(frame), block.end(), last.begin());
    }
    if (coeff_channels > 0) data.read_coeff(n, coeff);
    for (size_t c = 0; c < coeff_channels; ++c) pass.coeff[c].merge(moments(coeff.data() + c * cells, cells));
  }
  return pass;
}

struct Scale {
  double mean, std;
};

// std floor: 1e-6 of the channel's RMS, 1 for a channel of zeros.
Scale scale_of(const Moments& m, const std::string& mode) {
  const double variance = m.count > 0 ? m.m2 / m.count : 0, rms = std::sqrt(variance + m.mean * m.mean);
  const double floor = rms > 0 ? 1e-6 * rms : 1.0;
  if (mode == "none") return {0, 1};
  if (mode == "rms") return {0, std::max(rms, floor)};
  return {m.mean, std::max(std::sqrt(variance), floor)};
}

void fill_scales(const std::vector<Moments>& all, const std::string& mode, std::vector<double>& mean, std::vector<double>& std_) {
  Moments pooled;
  for (const Moments& m : all) pooled.merge(m);
  for (const Moments& m : all) {
    const Scale s = scale_of(mode == "reference" ? pooled : m, mode);  // reference: one scalar pair over all channels, as UPS
    mean.push_back(s.mean);
    std_.push_back(s.std);
  }
}

void fit_params(Dataset& data, Normalizer& out) {
  const size_t n = data.info().param_names.size();
  std::vector<std::vector<double>> values(n);
  for (int64_t t : data.members(Split::train)) {
    const std::vector<double> p = data.params(t);
    for (size_t i = 0; i < n; ++i) values[i].push_back(p[i]);
  }
  for (std::vector<double>& v : values) {
    const bool log_scale = std::all_of(v.begin(), v.end(), [](double x) { return x > 0; });
    Moments m;
    for (double& x : v) {
      if (log_scale) x = std::log10(x);
      m.merge({1, x, 0});
    }
    const double spread = std::sqrt(m.m2 / std::max(m.count, 1.0));
    out.param_log.push_back(log_scale);
    out.param_mean.push_back(m.mean);
    out.param_std.push_back(spread > 1e-9 * std::max(1.0, std::abs(m.mean)) ? spread : 1.0);
  }
}

}  // namespace

Normalizer Normalizer::fit(Dataset& data, const std::string& mode) {
  if (mode != "meanstd" && mode != "rms" && mode != "none" && mode != "reference") {
    throw usage_error("data.normalization", fmt::format("expected meanstd, rms, none or reference, found '{}'", mode));
  }
  const Pass pass = one_pass(data);
  Normalizer out;
  out.mode = mode;
  out.split_hash = data.split_hash();
  fill_scales(pass.field, mode, out.mean, out.std);
  fill_scales(pass.coeff, mode, out.coeff_mean, out.coeff_std);
  for (size_t c = 0; c < pass.squared_delta.size(); ++c) {
    const double rms = pass.delta_count > 0 ? std::sqrt(pass.squared_delta[c] / static_cast<double>(pass.delta_count)) / out.std[c] : 0;
    out.delta_rms.push_back(rms > 0 ? rms : 1.0);
  }
  fit_params(data, out);
  return out;
}

std::vector<double> delta_rms(Dataset& data, const Normalizer& normalizer, int64_t stride) {
  const SetInfo& info = data.info();
  const size_t channels = static_cast<size_t>(info.channels), cells = static_cast<size_t>(info.cells());
  std::vector<double> sum(channels, 0.0);
  std::vector<float> a(channels * cells), b(a.size());
  double count = 0;
  for (int64_t n : data.members(Split::train)) {
    for (int64_t t = 0; t + stride < info.frames; ++t) {
      data.read(n, t, 1, a);
      data.read(n, t + stride, 1, b);
      for (size_t c = 0; c < channels; ++c) sum[c] += squared_distance(a.data() + c * cells, b.data() + c * cells, cells);
      count += static_cast<double>(cells);
    }
  }
  for (size_t c = 0; c < channels; ++c) {
    const double rms = count > 0 ? std::sqrt(sum[c] / count) / normalizer.std[c] : 0;
    sum[c] = rms > 0 ? rms : 1.0;
  }
  return sum;
}

void Normalizer::apply(std::span<float> fields, int64_t channels, int64_t cells) const {
  const size_t n = static_cast<size_t>(cells);
  for (size_t row = 0; (row + 1) * n <= fields.size(); ++row) {
    const size_t c = row % static_cast<size_t>(channels);
    normalise_row(fields.data() + row * n, fields.data() + row * n, n, mean[c], std[c]);
  }
}

void Normalizer::invert(std::span<float> fields, int64_t channels, int64_t cells) const {
  const size_t n = static_cast<size_t>(cells);
  for (size_t row = 0; (row + 1) * n <= fields.size(); ++row) {
    const size_t c = row % static_cast<size_t>(channels);
    restore_row(fields.data() + row * n, n, mean[c], std[c]);
  }
}

void Normalizer::apply_coeff(std::span<float> coeff, int64_t channels, int64_t cells) const {
  const size_t n = static_cast<size_t>(cells);
  for (size_t row = 0; (row + 1) * n <= coeff.size(); ++row) {
    const size_t c = row % static_cast<size_t>(channels);
    normalise_row(coeff.data() + row * n, coeff.data() + row * n, n, coeff_mean[c], coeff_std[c]);
  }
}

std::vector<float> Normalizer::normalise_params(std::span<const double> params) const {
  std::vector<float> out;
  for (size_t i = 0; i < params.size(); ++i) {
    const double v = param_log[i] ? std::log10(std::max(params[i], 1e-300)) : params[i];
    out.push_back(static_cast<float>((v - param_mean[i]) / param_std[i]));
  }
  return out;
}

std::string Normalizer::json() const {
  const nlohmann::json j = {{"mode", mode},
                            {"mean", mean},
                            {"std", std},
                            {"coeff_mean", coeff_mean},
                            {"coeff_std", coeff_std},
                            {"param_mean", param_mean},
                            {"param_std", param_std},
                            {"param_log", param_log},
                            {"delta_rms", delta_rms},
                            {"split_hash", split_hash}};
  return j.dump();
}

Normalizer Normalizer::from_json(const std::string& text, const std::string& where) {
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    Normalizer n;
    n.mode = j.at("mode").get<std::string>();
    n.mean = j.at("mean").get<std::vector<double>>();
    n.std = j.at("std").get<std::vector<double>>();
    n.coeff_mean = j.at("coeff_mean").get<std::vector<double>>();
    n.coeff_std = j.at("coeff_std").get<std::vector<double>>();
    n.param_mean = j.at("param_mean").get<std::vector<double>>();
    n.param_std = j.at("param_std").get<std::vector<double>>();
    n.param_log = j.at("param_log").get<std::vector<bool>>();
    n.delta_rms = j.at("delta_rms").get<std::vector<double>>();
    n.split_hash = j.at("split_hash").get<std::string>();
    const bool consistent = n.mean.size() == n.std.size() && n.coeff_mean.size() == n.coeff_std.size() &&
                            n.param_mean.size() == n.param_std.size() && n.param_log.size() == n.param_mean.size() &&
                            n.delta_rms.size() == n.mean.size();
    const auto positive = [](const std::vector<double>& v) {
      return std::all_of(v.begin(), v.end(), [](double x) { return x > 0; });
    };
    if (!consistent || !positive(n.std) || !positive(n.coeff_std) || !positive(n.param_std) || !positive(n.delta_rms)) {
      throw checkpoint_error(where,
          "expected a consistent normaliser, found lists of other lengths or scales that are not positive");
    }
    return n;
  } catch (const nlohmann::json::exception& e) {
    throw checkpoint_error(where, fmt::format("expected the normaliser as JSON, found: {}", e.what()));
  }
}

std::string Normalizer::hash() const { return hash128_hex(json()); }

}  // namespace ups::data
