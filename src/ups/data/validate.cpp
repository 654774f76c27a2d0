#include "ups/data/validate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/text.h"
#include "ups/data/dataset.h"
#include "ups/data/files.h"
#include "ups/data/kernels.h"
#include "ups/data/sandbox.h"
#include "ups/data/source.h"
#include "ups/io/files.h"

namespace ups::data {
namespace {

SourceOptions source_options(const DataOptions& data) {
  SourceOptions o;
  o.format = data.format;
  o.tasks = data.task;
  o.field_name = data.field_name;
  if (!parse_bytes(data.max_dataset_bytes, o.limits.max_dataset_bytes)) {
    throw usage_error("data.max_dataset_bytes", fmt::format("expected a size like 64GiB, found '{}'", data.max_dataset_bytes));
  }
  return o;
}

std::string file_hash(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw io_error(path, "cannot open the file for its checksum");
  Hash128 hash;
  std::vector<char> buffer(1 << 20);
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update(buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) throw io_error(path, "cannot read the file for its checksum");
  return hash.hex();
}

// FILE.xxh3: "<XXH3-128 hex>  <base name>", the format of `xxhsum -H2`.
std::string check_sidecar(const std::string& path) {
  const std::string sidecar = path + ".xxh3", now = file_hash(path);
  std::ifstream in(sidecar);
  if (!in) {
    io::write_atomic(sidecar, [&](io::OutputFile& out) { out.write(now + "  " + base_name(path) + "\n"); });
    return "checksum written to " + base_name(sidecar);
  }
  std::string stored;
  in >> stored;
  if (stored != now) {
    throw data_error(path, fmt::format("expected checksum {} as {} says, found {}", escape_text(stored.substr(0, 40)),
        base_name(sidecar), now),
                     "the file has changed since the sidecar was written; fetch it again");
  }
  return "checksum matches";
}

struct Damage {
  std::vector<int64_t> trajectories;
  std::string first;  // message about the first
  int64_t ill_defined = 0;
};

// Every value of every trajectory, in windows of at most 16 MiB.
Damage scan(Source& source) {
  const SourceInfo& info = source.info();
  const size_t frame = static_cast<size_t>(info.channels * info.cells()),
      coeff = static_cast<size_t>(info.coeff_channels * info.cells());
  const int64_t window = std::clamp<int64_t>((int64_t{16} << 20) / static_cast<int64_t>(frame * sizeof(float)), 1, info.frames);
  std::vector<float> buffer, coefficient(coeff);
  Damage damage;
  for (int64_t i = 0; i < info.trajectories; ++i) {
    std::string problem;
    for (int64_t t = 0; t < info.frames && problem.empty(); t += window) {
      const int64_t count = std::min(window, info.frames - t);
      buffer.resize(static_cast<size_t>(count) * frame);
      source.read(i, t, count, 1, buffer);
      if (all_finite(buffer)) continue;
      for (int64_t k = 0; k < count && problem.empty(); ++k) {
        const std::span<const float> one = std::span<const float>(buffer).subspan(static_cast<size_t>(k) * frame, frame);
        if (!all_finite(one)) problem = fmt::format("NaN or Inf in frame {}", t + k);
      }
    }
    if (coeff > 0) {
      source.read_coeff(i, coefficient);
      if (problem.empty() && !all_finite(coefficient)) problem = "NaN or Inf in the coefficient";
    }
    if (!problem.empty()) {
      damage.trajectories.push_back(info.ids[static_cast<size_t>(i)]);
      if (damage.first.empty()) damage.first = source.object(i) + "|" + problem;
    }
    damage.ill_defined += source.ill_defined(i) ? 1 : 0;
  }
  return damage;
}

std::string check_file(const std::string& path, const DataOptions& data) {
  const std::unique_ptr<Source> source = open_source(path, source_options(data));
  const SourceInfo& info = source->info();
  const Damage damage = scan(*source);
  if (!damage.trajectories.empty()) {
    std::vector<int64_t> some = damage.trajectories;
    some.resize(std::min<size_t>(12, some.size()));
    const size_t bar = damage.first.find('|');
    throw data_error(base_name(path) + ":" + damage.first.substr(0, bar),
                     fmt::format("expected finite values, found {}; {} damaged: {}{}", damage.first.substr(bar + 1),
                         damage.trajectories.size(),
                                 fmt::join(some, ", "), some.size() < damage.trajectories.size() ? ", .." : ""));
  }
  std::string text = fmt::format("{}: ok, {} of {}, {} trajectories, {} frames, {} channels, grid {}", path, info.format,
      info.family,
                                 info.trajectories, info.frames, info.channels, fmt::join(info.grid, " x "));
  if (damage.ill_defined > 0) text += fmt::format("; {} ill-defined runs will be left out", damage.ill_defined);
  for (const std::string& n : info.notes) text += "; " + n;
  return text;
}

std::string check_leaks_of(const std::vector<std::string>& files, DataOptions data) {
  data.files = files;
  data.allow_overlap = false;
  data.cache = "none";
  const std::unique_ptr<Dataset> d = Dataset::open(data);
  return fmt::format("split: train {}, val {}, test {}, no equal first frames, hash {}\n", d->members(Split::train).size(),
                     d->members(Split::val).size(), d->members(Split::test).size(), d->split_hash());
}

}  // namespace

std::string validate(const std::vector<std::string>& files, const ValidateOptions& options) {
  if (files.empty()) throw usage_error("validate", "expected at least one file, found none");
  std::string report;
  for (const std::string& path : files) {
    const auto work = [&] { return check_file(path, options.data); };
    std::string line = options.untrusted ? run_in_sandbox(work, base_name(path)) : work();
    if (options.checksum) line += "; " + check_sidecar(path);
    report += line + "\n";
  }
  if (options.leaks) {
    const auto work = [&] { return check_leaks_of(files, options.data); };
    report += options.untrusted ? run_in_sandbox(work, base_name(files[0])) : work();
  }
  return report;
}

}  // namespace ups::data
