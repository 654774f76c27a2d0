#include "ups/data/compose.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/files.h"
#include "ups/data/resample.h"

namespace ups::data {
namespace {

std::string names_of(const std::map<std::string, double>& params) {
  std::vector<std::string> names;
  for (const auto& p : params) names.push_back(p.first);
  return names.empty() ? "no parameters" : join(names, ", ");
}

double spacing(const std::vector<double>& t) { return t.size() < 2 ? 0 : (t.back() - t.front()) / static_cast<double>(t.size() - 1); }

std::string shape_text(const SourceInfo& s) {
  return fmt::format("{} frames, {} channels, grid {}", s.frames, s.channels, fmt::join(s.grid, " x "));
}

void check_agreement(const SourceInfo& a, const SourceInfo& b) {
  const std::string first = base_name(a.path);
  if (b.family != a.family)
    throw data_error(b.path, fmt::format("expected family {} as {}, found {}", a.family, first, b.family));
  if (b.grid != a.grid || b.frames != a.frames || b.channels != a.channels || b.coeff_channels != a.coeff_channels) {
    throw data_error(b.path, fmt::format("expected {} as {}, found {}", shape_text(a), first, shape_text(b)));
  }
  if (names_of(a.params) != names_of(b.params)) {
    throw data_error(b.path, fmt::format("expected {} as {}, found {}", names_of(a.params), first, names_of(b.params)));
  }
  const double da = spacing(a.time), db = spacing(b.time);
  if (std::abs(da - db) > 1e-4 * std::max(da, db))
    throw data_error(b.path, fmt::format("expected time steps of {} as {}, found {}", da, first, db));
  if (b.boundary != a.boundary)
    throw data_error(b.path, fmt::format("expected the boundary conditions of {}, found others", first));
}

void check_field_channels(const SourceInfo& s, const DataOptions& options) {
  if (options.field_channels.empty()) return;
  int64_t total = 0;
  for (const auto& f : options.field_channels) total += f.second;
  if (total != s.channels) {
    throw data_error(s.path, fmt::format("expected {} channels as data.field_channels says, found {}", total, s.channels));
  }
}

}  // namespace

SetInfo compose_info(const std::vector<std::unique_ptr<Source>>& sources, const DataOptions& options) {
  const SourceInfo& first = sources.at(0)->info();
  check_field_channels(first, options);
  SetInfo info;
  for (const auto& source : sources) {
    // Files of unknown families carry their stem as family; several shards of one task are still one set.
    SourceInfo other = source->info();
    if (!first.known_family && !other.known_family) other.family = first.family;
    check_agreement(first, other);
    info.trajectories += other.trajectories;
  }
  const Resample resample(first.grid, options.reduced_resolution, options.resample == "lowpass");
  const int64_t stride = options.reduced_resolution_t;
  info.family = first.family;
  info.name = options.task.empty() ? first.family : options.task[0];
  info.frames = (first.frames + stride - 1) / stride;
  info.channels = first.channels;
  info.coeff_channels = first.coeff_channels;
  info.grid = resample.grid();
  info.channel_names = first.channel_names;
  for (const std::vector<double>& x : first.coords) {
    info.coords.push_back(resample.axis(x));
    // Cells fill the axis: n cells of the distance of their centres.
    info.length.push_back(x.size() < 2 ? 1.0 : spacing(x) * static_cast<double>(x.size()));
  }
  for (int64_t t = 0; t < first.frames; t += stride) info.time.push_back(first.time[static_cast<size_t>(t)]);
  info.steady = info.frames == 1;
  info.dt = spacing(info.time);
  info.boundary = first.boundary;
  for (const auto& p : first.params) info.param_names.push_back(p.first);
  return info;
}

}  // namespace ups::data
