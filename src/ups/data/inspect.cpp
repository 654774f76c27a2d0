#include "ups/data/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/kernels.h"
#include "ups/data/source.h"

namespace ups::data {
namespace {

using ordered = nlohmann::ordered_json;

constexpr size_t kMaxDatasets = 8;  // a per-group file has thousands of the same kind

ordered dataset_record(const io::H5DatasetInfo& d) {
  return {{"path", d.path},       {"type", d.type},       {"shape", d.shape}, {"layout", d.layout}, {"chunk", d.chunk},
          {"filters", d.filters}, {"bytes", d.logical_bytes}, {"stored_bytes", d.stored_bytes}};
}

ordered attribute_records(const io::H5File& file, const std::string& object) {
  ordered all = ordered::object();
  for (const io::H5Attribute& a : file.attributes(object)) {
    const std::string name = escape_text(a.name);
    if (!a.numbers.empty()) {
      ordered values = ordered::array();
      for (double v : a.numbers) values.push_back(std::isfinite(v) ? ordered(v) : ordered(fmt::format("{}", v)));
      all[name] = values.size() == 1 ? values[0] : values;
    } else if (!a.texts.empty()) {
      ordered values = ordered::array();
      for (const std::string& t : a.texts) values.push_back(escape_text(t));
      all[name] = values.size() == 1 ? values[0] : values;
    }
  }
  return all;
}

ordered statistics(Source& source, int64_t count) {
  const SourceInfo& info = source.info();
  const size_t channels = static_cast<size_t>(info.channels), cells = static_cast<size_t>(info.cells());
  std::vector<Moments> m(channels);
  std::vector<double> low(channels, std::numeric_limits<double>::infinity()), high(channels, -low[0]);
  std::vector<float> frame(channels * cells);
  const int64_t n = std::min(count, info.trajectories);
  int64_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t t = 0; t < info.frames; ++t) {
      source.read(i, t, 1, 1, frame);
      if (!all_finite(frame)) {
        ++bad;
        continue;
      }
      for (size_t c = 0; c < channels; ++c) {
        const float* x = frame.data() + c * cells;
        m[c].merge(moments(x, cells));
        low[c] = std::min(low[c], static_cast<double>(*std::min_element(x, x + cells)));
        high[c] = std::max(high[c], static_cast<double>(*std::max_element(x, x + cells)));
      }
    }
  }
  ordered s = {{"trajectories", n}, {"frames_with_nan_or_inf", bad}, {"channels", ordered::array()}};
  for (size_t c = 0; c < channels; ++c) {
    s["channels"].push_back({{"name", info.channel_names[c]},
                             {"mean", m[c].mean},
                             {"std", std::sqrt(m[c].m2 / std::max(m[c].count, 1.0))},
                             {"min", m[c].count > 0 ? ordered(low[c]) : ordered()},
                             {"max", m[c].count > 0 ? ordered(high[c]) : ordered()}});
  }
  return s;
}

ordered inspect(const std::string& path, const InspectOptions& options) {
  SourceOptions so;
  so.format = options.format;
  if (!parse_bytes(options.max_dataset_bytes, so.limits.max_dataset_bytes)) {
    throw usage_error("max_dataset_bytes", fmt::format("expected a size like 64GiB, found '{}'", options.max_dataset_bytes));
  }
  const std::unique_ptr<Source> source = open_source(path, so);
  const SourceInfo& s = source->info();
  ordered j = {{"file", path},         {"bytes", s.bytes},       {"format", s.format},       {"family", s.family},
            {"trajectories", s.trajectories}, {"frames", s.frames}, {"channels", s.channel_names}, {"grid", s.grid},
            {"coefficient_channels", s.coeff_channels}};
  j["time"] = {{"first", s.time.front()}, {"last", s.time.back()},
               {"dt", s.frames > 1 ? (s.time.back() - s.time.front()) / static_cast<double>(s.frames - 1) : 0.0}};
  j["axes"] = ordered::array();
  for (const std::vector<double>& x : s.coords) j["axes"].push_back({{"first", x.front()}, {"last", x.back()},
      {"cells", x.size()}});
  j["boundary"] = ordered::array();
  for (Boundary b : s.boundary) j["boundary"].push_back(to_string(b));
  j["params"] = ordered::object();
  for (const auto& p : s.params) j["params"][p.first] = p.second;
  j["notes"] = s.notes;
  j["datasets"] = ordered::array();
  int64_t datasets = 0;
  const std::unique_ptr<io::H5File> file = s.format == "zarr" ? nullptr : io::H5File::open(path, so.limits);
  for (const io::H5Link& l : file ? file->walk() : std::vector<io::H5Link>()) {
    if (l.kind != io::H5Kind::dataset) continue;
    if (s.format == "well" && starts_with(l.name, "/scalars/")) continue;  // single numbers, not arrays
    if (datasets++ < static_cast<int64_t>(kMaxDatasets)) j["datasets"].push_back(dataset_record(file->dataset(l.name)->info()));
  }
  j["dataset_count"] = datasets;
  if (options.attrs && file) {
    j["attributes"] = {{"/", attribute_records(*file, "/")}};
    if (s.format == "pdebench_group") {
      const std::string group = source->object(0).substr(0, source->object(0).rfind('/'));
      j["attributes"][group] = attribute_records(*file, group);
    }
  }
  if (options.stats > 0) j["stats"] = statistics(*source, options.stats);
  return j;
}

std::string sides(const ordered& boundary) {
  std::vector<std::string> parts;
  for (size_t i = 0; i + 1 < boundary.size(); i += 2) {
    const std::string a = boundary[i], b = boundary[i + 1];
    parts.push_back(fmt::format("{} {}", "xyz"[i / 2], a == b ? a : a + "/" + b));
  }
  return join(parts, ", ");
}

}  // namespace

std::string inspect_json(const std::string& path, const InspectOptions& options) {
  return inspect(path, options).dump(2, ' ', false, ordered::error_handler_t::replace) + "\n";
}

std::string inspect_text(const std::string& path, const InspectOptions& options) {
  const ordered j = inspect(path, options);
  std::string out = fmt::format("{}: {} of {}, {}\n", escape_text(path), j["format"].get<std::string>(),
      j["family"].get<std::string>(),
                                format_bytes(j["bytes"].get<int64_t>()));
  const auto line = [&](const char* name, const std::string& value) { out += fmt::format("  {:<13} {}\n", name, value); };
  line("trajectories", fmt::format("{}", j["trajectories"].get<int64_t>()));
  line("frames", fmt::format("{}, t = {:.6g} .. {:.6g}, dt {:.6g}", j["frames"].get<int64_t>(), j["time"]["first"].get<double>(),
                             j["time"]["last"].get<double>(), j["time"]["dt"].get<double>()));
  line("channels", join(j["channels"].get<std::vector<std::string>>(), ", "));
  if (j["coefficient_channels"] != 0) line("coefficients", fmt::format("{} channel(s)",
      j["coefficient_channels"].get<int64_t>()));
  line("grid", fmt::format("{}", fmt::join(j["grid"].get<std::vector<int64_t>>(), " x ")));
  for (size_t a = 0; a < j["axes"].size(); ++a) {
    line(a == 0 ? "axes" : "", fmt::format("{} = {:.6g} .. {:.6g}", "xyz"[a], j["axes"][a]["first"].get<double>(),
        j["axes"][a]["last"].get<double>()));
  }
  line("boundary", sides(j["boundary"]));
  for (const auto& p : j["params"].items()) line("parameter", fmt::format("{} = {:.6g}", p.key(), p.value().get<double>()));
  for (const auto& n : j["notes"]) line("note", n.get<std::string>());
  for (const auto& d : j["datasets"]) {
    const std::string filters = d["filters"].empty() ? "" : ", " + join(d["filters"].get<std::vector<std::string>>(), "+");
    line("dataset", fmt::format("{} {} ({}), {}{}, {} stored of {}", escape_text(d["path"].get<std::string>()),
        d["type"].get<std::string>(),
                                fmt::join(d["shape"].get<std::vector<int64_t>>(), ", "), d["layout"].get<std::string>(), filters,
                                format_bytes(d["stored_bytes"].get<int64_t>()), format_bytes(d["bytes"].get<int64_t>())));
  }
  const int64_t more = j["dataset_count"].get<int64_t>() - static_cast<int64_t>(j["datasets"].size());
  if (more > 0) line("", fmt::format(".. and {} more", more));
  if (j.contains("attributes")) {
    for (const auto& object : j["attributes"].items()) {
      for (const auto& a : object.value().items()) {
        line("attribute", fmt::format("{} {} = {}", object.key(), a.key(),
                                      a.value().is_string() ? a.value().get<std::string>() : a.value().dump()));
      }
    }
  }
  if (j.contains("stats")) {
    for (const auto& c : j["stats"]["channels"]) {
      line("stats", fmt::format("{}: mean {:.6g}, std {:.6g}, min {}, max {}", c["name"].get<std::string>(),
          c["mean"].get<double>(),
                                c["std"].get<double>(), c["min"].dump(), c["max"].dump()));
    }
    if (j["stats"]["frames_with_nan_or_inf"] != 0) line("stats",
        fmt::format("{} frames with NaN or Inf", j["stats"]["frames_with_nan_or_inf"].get<int64_t>()));
  }
  return out;
}

}  // namespace ups::data
