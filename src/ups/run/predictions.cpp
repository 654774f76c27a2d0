#include "ups/run/predictions.h"

#include <cassert>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <set>

#include "ups/core/text.h"
#include "ups/io/files.h"
#include "ups/io/hdf5.h"
#include "ups/io/hdf5_write.h"
#include "ups/metrics/statistics.h"

namespace ups::run {
namespace {
namespace fs = std::filesystem;

// The file may live for a whole evaluation while loader threads read other files through the same library.
template <class F>
void locked(F&& f) {
  const std::lock_guard<std::recursive_mutex> lock(io::hdf5_lock());
  f();
}

std::string numbers(const std::vector<int64_t>& values) {
  std::vector<std::string> texts;
  for (int64_t v : values) texts.push_back(std::to_string(v));
  return join(texts, ",");
}

}  // namespace

struct PredictionsFile::Impl {
  fs::path path, temporary;
  std::unique_ptr<io::H5Writer> file;
  std::string group;  // "/burgers1d"
  std::vector<int64_t> grid;
  int64_t samples = 0;
  std::set<std::string> objects;
};

PredictionsFile::PredictionsFile(const std::string& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  const fs::path folder = impl_->path.parent_path();
  if (!folder.empty()) io::make_directories(folder);
  impl_->temporary = folder / io::temporary_name(impl_->path.filename().string());
  locked([&] {
    impl_->file = std::make_unique<io::H5Writer>(impl_->temporary.string());
    impl_->file->attribute("/", "layout",
                           std::string("SET/truth, SET/rollout/MODEL, SET/one_step/MODEL: [N, T, C, X(, Y)] float32; stochastic "
                                       "models [N, M, T, C, X(, Y)] and, for M >= 2, SET/ensemble/rollout/MODEL, "
                                       "SET/ensemble/one_step/MODEL with mean, std, q05, q95: [N, T, C, X(, Y)]; SET/context: [N, 1, C, X(, Y)], the last input frame "
                                       "(steady sets: the coefficients); SET/time: [T]; SET/sample: [N] trajectory indices; "
                                       "steady sets have T = 1 and no rollout"));
    impl_->file->attribute("/", "layout_version", int64_t{1});
  });
}

PredictionsFile::~PredictionsFile() {
  if (!impl_ || !impl_->file) return;
  locked([&] { impl_->file.reset(); });
  std::error_code ignored;
  fs::remove(impl_->temporary, ignored);
}

void PredictionsFile::begin_set(const SetScores& set) {
  assert(is_safe_name(set.info.name));
  impl_->group = "/" + set.info.name;
  impl_->grid = set.info.grid;
  impl_->samples = set.samples;
  locked([&] {
    io::H5Writer& f = *impl_->file;
    f.group(impl_->group);
    f.dataset(impl_->group + "/time", {set.frames}, io::H5Number::f64);
    f.write(impl_->group + "/time", std::span<const double>(set.times));
    f.dataset(impl_->group + "/sample", {set.samples}, io::H5Number::i64);
    f.write(impl_->group + "/sample", std::span<const int64_t>(set.trajectories));
    f.attribute(impl_->group, "context_time", set.context_time);
    f.attribute(impl_->group, "initial_step", set.initial_step);
    f.attribute(impl_->group, "steady", int64_t{set.info.steady});
    f.attribute(impl_->group, "split", set.split_name);
    f.attribute(impl_->group, "split_hash", set.split_hash);
    f.attribute(impl_->group, "channels", join(set.info.channel_names, ","));
    f.attribute(impl_->group, "conserved", numbers(set.conserved));
    for (size_t axis = 0; axis < set.info.length.size(); ++axis) {
      f.attribute(impl_->group, "length_" + std::to_string(axis), set.info.length[axis]);
    }
    if (set.members >= 2) {
      const auto m = static_cast<double>(set.members);
      f.attribute(impl_->group, "interval90",
                  metrics::student_t95(static_cast<int>(set.members) - 1) * std::sqrt(1 + 1 / m));
    }
  });
}

void PredictionsFile::write(const std::string& object, int64_t first, int64_t n, int64_t members, int64_t frames,
                            int64_t channels, std::span<const float> values) {
  const std::string path = impl_->group + "/" + object;
  std::vector<int64_t> dims = {impl_->samples};
  if (members > 0) dims.push_back(members);
  dims.insert(dims.end(), {frames, channels});
  dims.insert(dims.end(), impl_->grid.begin(), impl_->grid.end());
  [[maybe_unused]] int64_t expected = n;
  for (size_t i = 1; i < dims.size(); ++i) expected *= dims[i];
  assert(static_cast<int64_t>(values.size()) == expected);
  locked([&] {
    if (impl_->objects.insert(path).second) impl_->file->dataset(path, dims, io::H5Number::f32);
    impl_->file->write_rows(path, first, values);
  });
}

void PredictionsFile::close() {
  locked([&] {
    impl_->file->close();
    impl_->file.reset();
  });
  std::error_code error;
  fs::rename(impl_->temporary, impl_->path, error);
  if (error) throw io_error(impl_->path.string(), "cannot rename the finished file into place: " + error.message());
}

}  // namespace ups::run
