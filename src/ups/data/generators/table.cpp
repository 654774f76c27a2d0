// Names, defaults and ranges: everything that is checked before a solver runs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/generators/generators.h"

namespace ups::data {

const std::vector<GeneratorInfo>& generator_table() {
  static const std::vector<GeneratorInfo> table = {advection1d_info(), burgers1d_info(), darcy2d_info(), diffreact2d_info(), ks1d_info(),
                                                   ns2d_info()};
  return table;
}

const GeneratorInfo& find_generator(const std::string& name) {
  std::vector<std::string> names;
  for (const GeneratorInfo& g : generator_table()) {
    if (g.name == name) return g;
    names.push_back(g.name);
  }
  const std::string close = nearest(name, names);
  throw usage_error("generate", fmt::format("unknown generator '{}'", name),
                    close.empty() ? "known: " + join(names, ", ") : fmt::format("did you mean '{}'? known: {}", close, join(names, ", ")));
}

namespace {

[[noreturn]] void out_of_range(const std::string& flag, double value, double lo, double hi) {
  throw usage_error(flag, fmt::format("{} is out of range", value), fmt::format("allowed: {} to {}", lo, hi));
}

void resolve_params(const GeneratorInfo& g, const GenerateOptions& o, GenerateSettings& s) {
  std::vector<std::string> names;
  for (const ParamInfo& p : g.params) {
    s.params[p.name] = p.value;
    names.push_back(p.name);
  }
  if (const auto changed = g.ic_params.find(s.ic); changed != g.ic_params.end()) {
    for (const auto& [name, value] : changed->second) s.params[name] = value;
  }
  for (const auto& [name, value] : o.params) {
    const auto p = std::find_if(g.params.begin(), g.params.end(), [&n = name](const ParamInfo& q) { return q.name == n; });
    if (p == g.params.end()) {
      const std::string close = nearest(name, names);
      throw usage_error("--param " + name, fmt::format("{} has no parameter '{}'", g.name, name),
                        (close.empty() ? "" : fmt::format("did you mean '{}'? ", close)) + "allowed: " + join(names, ", "));
    }
    if (!(value >= p->min && value <= p->max)) out_of_range("--param " + name, value, p->min, p->max);
    s.params[name] = value;
  }
}

void resolve_grid(const GeneratorInfo& g, const GenerateOptions& o, GenerateSettings& s) {
  s.nx = o.nx.value_or(g.nx);
  if (s.nx < g.nx_min || s.nx > g.nx_max) {
    out_of_range("--nx", static_cast<double>(s.nx), static_cast<double>(g.nx_min), static_cast<double>(g.nx_max));
  }
  if (g.power_of_two && (s.nx & (s.nx - 1)) != 0) {
    throw usage_error("--nx", fmt::format("{} needs a power of two, not {}", g.name, s.nx), "for example --nx 256");
  }
  s.stride_x = o.stride_x.value_or(g.base_nx > s.nx && g.base_nx % s.nx == 0 ? g.base_nx / s.nx : 1);
  if (s.stride_x < 1 || s.stride_x > 1024) out_of_range("--stride-x", static_cast<double>(s.stride_x), 1, 1024);
  if (o.stride_x && g.base_nx == 0) throw usage_error("--stride-x", g.name + " stores every point of its grid", "leave it out");
}

void resolve_time(const GeneratorInfo& g, const GenerateOptions& o, GenerateSettings& s) {
  if (g.t_end == 0) {
    if (o.t_end || o.save_every) throw usage_error(o.t_end ? "--t-end" : "--save-every", g.name + " is steady", "leave it out");
    return;
  }
  s.t_end = o.t_end.value_or(g.t_end);
  s.save_every = o.save_every.value_or(g.save_every);
  if (!(s.save_every > 0 && s.save_every <= 1e4)) out_of_range("--save-every", s.save_every, 0, 1e4);
  if (!(s.t_end > 0 && s.t_end <= 1e5)) out_of_range("--t-end", s.t_end, 0, 1e5);
  const double count = s.t_end / s.save_every;
  if (std::abs(count - std::round(count)) > 1e-6 * count || count < 0.5) {
    throw usage_error("--save-every", fmt::format("{} does not divide --t-end {}", s.save_every, s.t_end),
                      "choose an end time that is a multiple of the save interval");
  }
  if (count > 100000) throw usage_error("--save-every", fmt::format("{:.0f} frames per sample are too many", count), "at most 100000");
  s.frames = static_cast<int64_t>(std::round(count)) + 1;
}

}  // namespace

GenerateSettings resolve(const GenerateOptions& o) {
  const GeneratorInfo& g = find_generator(o.name);
  GenerateSettings s;
  s.name = g.name;
  s.seed = o.seed;
  s.ic = o.ic.empty() ? g.ics.front() : o.ic;
  if (std::find(g.ics.begin(), g.ics.end(), s.ic) == g.ics.end()) {
    throw usage_error("--ic", fmt::format("{} has no field family '{}'", g.name, s.ic), "allowed: " + join(g.ics, ", "));
  }
  resolve_params(g, o, s);
  resolve_grid(g, o, s);
  resolve_time(g, o, s);
  if (o.count < 1 || o.count > 10'000'000) out_of_range("-n", static_cast<double>(o.count), 1, 1e7);
  if (o.threads < 0 || o.threads > 1024) out_of_range("--threads", o.threads, 0, 1024);
  return s;
}

RandomStream sample_stream(const GenerateSettings& settings, uint64_t index, uint64_t attempt) {
  return RandomStream(mix_seed(sub_seed(settings.seed, "generate." + settings.name), attempt), index);
}

std::vector<double> strided_centres(const GenerateSettings& s, double length) {
  std::vector<double> x;
  for (int64_t i = 0; i < s.nx; ++i) {
    x.push_back((static_cast<double>(i * s.stride_x) + 0.5) / static_cast<double>(s.nx * s.stride_x) * length);
  }
  return x;
}

double relative_l2(const std::vector<double>& a, const std::vector<double>& b) {
  double top = 0, bottom = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    top += (a[i] - b[i]) * (a[i] - b[i]);
    bottom += b[i] * b[i];
  }
  return std::sqrt(top / bottom);
}

}  // namespace ups::data
