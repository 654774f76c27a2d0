#include "ups/data/generators/write_file.h"

#include <algorithm>
#include <cstdio>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/hdf5_write.h"

namespace ups::data {
namespace {

using io::H5Number;
using io::H5Writer;

int64_t ipow2(int64_t n) { return n * n; }

// t-coordinate of PDEBench's monolithic files holds one time more than there are frames.
std::vector<double> times(const GenerateSettings& s, int64_t extra) {
  std::vector<double> t;
  for (int64_t i = 0; i < s.frames + extra; ++i) t.push_back(static_cast<double>(i) * s.save_every);
  return t;
}

void put(H5Writer& file, const std::string& path, const std::vector<double>& values) {
  file.dataset(path, {static_cast<int64_t>(values.size())}, H5Number::f64);
  file.write(path, values);
}

void create_sets(H5Writer& file, const GeneratorInfo& info, const GenerateSettings& s, const std::vector<double>& x, int64_t count) {
  const int64_t nx = s.nx;
  if (info.layout == Layout::pdebench) {
    file.dataset("/tensor", {count, s.frames, nx}, H5Number::f32);
    put(file, "/x-coordinate", x);
    put(file, "/t-coordinate", times(s, 1));
  } else if (info.layout == Layout::pdebench_darcy) {
    file.dataset("/tensor", {count, 1, nx, nx}, H5Number::f32);
    file.dataset("/nu", {count, nx, nx}, H5Number::f32);
    put(file, "/x-coordinate", x);
    put(file, "/y-coordinate", x);
  }
}

std::string group_name(int64_t index, int64_t count) {
  std::string digits = std::to_string(index);
  const size_t width = std::max<size_t>(4, std::to_string(count - 1).size());
  return "/" + std::string(width - digits.size(), '0') + digits;
}

void put_sample(H5Writer& file, const GeneratorInfo& info, const GenerateSettings& s, const std::vector<double>& x, int64_t index,
                int64_t count, std::span<const float> values) {
  if (info.layout == Layout::pdebench) {
    file.write_rows("/tensor", index, values);
  } else if (info.layout == Layout::pdebench_darcy) {
    const size_t half = values.size() / 2;
    file.write_rows("/tensor", index, values.first(half));
    file.write_rows("/nu", index, values.last(half));
  } else {
    const std::string group = group_name(index, count);
    file.group(group);
    file.dataset(group + "/data", {s.frames, s.nx, s.nx, static_cast<int64_t>(info.channels.size())}, H5Number::f32);
    file.write(group + "/data", values);
    put(file, group + "/grid/x", x);
    put(file, group + "/grid/y", x);
    put(file, group + "/grid/t", times(s, 0));
  }
}

void put_attributes(H5Writer& file, const GeneratorInfo& info, const GenerateSettings& s, Generator& generator) {
  std::vector<std::string> names;
  for (const ParamInfo& p : info.params) {
    file.attribute("/", p.attribute, s.param(p.name));
    names.push_back(p.attribute);
  }
  file.attribute("/", "parameters", join(names, ","));  // which of the attributes are parameters of the equation
  file.attribute("/", "generator", info.name);
  file.attribute("/", "version", std::string(kGeneratorVersion));
  file.attribute("/", "equation", info.equation);
  file.attribute("/", "boundary", info.boundary);
  file.attribute("/", "channels", join(info.channels, ","));
  file.attribute("/", "scheme", generator.scheme());
  file.attribute("/", "ic", s.ic);
  file.attribute("/", "seed", static_cast<int64_t>(s.seed));
  file.attribute("/", "tolerance_measured", generator.measure_tolerance());
}

}  // namespace

int64_t floats_per_sample(const GeneratorInfo& info, const GenerateSettings& s) {
  switch (info.layout) {
    case Layout::pdebench:
      return s.frames * s.nx;
    case Layout::pdebench_darcy:
      return 2 * ipow2(s.nx);
    case Layout::pdebench_group:
      return s.frames * ipow2(s.nx) * static_cast<int64_t>(info.channels.size());
  }
  return 0;
}

void write_data_file(const std::string& out, const GeneratorInfo& info, const GenerateSettings& settings, Generator& generator,
                     int64_t count, const PartFile& part) {
  const std::string temporary = out + ".tmp";
  const std::vector<double> x = generator.x();
  try {
    H5Writer file(temporary);
    create_sets(file, info, settings, x, count);
    const auto each = static_cast<size_t>(floats_per_sample(info, settings));
    const int64_t block_size = generator.block_size();
    for (int64_t i = 0; i < count; i += block_size) {
      const std::vector<float> block = part.read(i / block_size);
      for (int64_t k = i; k < std::min(count, i + block_size); ++k) {
        put_sample(file, info, settings, x, k, count, std::span(block).subspan(static_cast<size_t>(k - i) * each, each));
      }
    }
    put_attributes(file, info, settings, generator);
    file.close_as(out);
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
}

}  // namespace ups::data
