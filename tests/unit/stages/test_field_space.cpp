// data.train_frames: what training measures and validates on must not depend on later frames.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "make_h5.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/stages/field_space.h"

using namespace ups;

namespace {

// make_burgers with other values from frame `changed` on.
void make_set(const std::string& path, int64_t n, int64_t frames, int64_t cells, int64_t changed) {
  test::MakeH5 f(path);
  f.dataset("/tensor", {n, frames, cells}, [&](int64_t k) {
    const int64_t t = k / cells % frames;
    return test::value_of(k / cells / frames, t, 0, k % cells) * (t < changed ? 1.0f : -300.0f);
  });
  f.dataset("/x-coordinate", {cells}, test::cell_centres(cells));
  f.dataset("/t-coordinate", {frames + 1}, test::times(frames + 1, 0.05));
}

std::unique_ptr<stages::FieldSpace> open(const std::string& path, std::optional<int64_t> frames) {
  data::DataOptions options;
  options.task = {"burgers1d"};
  options.files = {path};
  options.train_frames = frames;
  return stages::open_field_space(options, 1, at::kCPU);
}

}  // namespace

TEST_CASE("train_frames: statistics, scale of the change and validation fields see the first frames only") {
  const test::TempDir dir;
  make_set(dir.file("a.hdf5"), 60, 9, 16, 9);
  make_set(dir.file("b.hdf5"), 60, 9, 16, 4);
  const auto whole = open(dir.file("a.hdf5"), {}), a = open(dir.file("a.hdf5"), 4), b = open(dir.file("b.hdf5"), 4);
  CHECK(whole->dataset == whole->whole);
  CHECK(a->info().frames == 4);
  CHECK(a->info().time.size() == 4);
  CHECK(a->whole->info().frames == 9);
  CHECK(a->dataset->split_hash() == whole->dataset->split_hash());
  CHECK(a->normalizer.mean == b->normalizer.mean);
  CHECK(a->normalizer.std == b->normalizer.std);
  CHECK(a->normalizer.mean != whole->normalizer.mean);
  CHECK(a->normalizer.hash() != whole->normalizer.hash());
  CHECK(a->delta_rms == b->delta_rms);
  CHECK(a->persistence == b->persistence);
  const auto held_a = stages::hold_out(*a, data::Split::val, 24, 2), held_b = stages::hold_out(*b, data::Split::val, 24, 2);
  CHECK(held_a.fields.size(1) == 4);
  CHECK(at::equal(held_a.fields, held_b.fields));
}

TEST_CASE("train_frames outside the set is refused") {
  const test::TempDir dir;
  make_set(dir.file("a.hdf5"), 60, 9, 16, 9);
  CHECK(open(dir.file("a.hdf5"), 9)->info().frames == 9);
  CHECK_THROWS_WITH(open(dir.file("a.hdf5"), 10), Catch::Contains("data.train_frames") && Catch::Contains("has 9 frames"));
}
