// The Well: the same values as the package the_well reads from the same file (tests/tools/make_the_well_golden.py), folders as splits,
// and files that lie.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data_test.h"
#include "test_common.h"
#include "ups/core/rng.h"
#include "ups/core/text.h"
#include "ups/data/files.h"
#include "ups/data/inspect.h"
#include "ups/data/source.h"
#include "ups/data/validate.h"
#include "ups/metrics/field_scores.h"

using namespace ups;
using namespace ups::test;
using nlohmann::json;

namespace {

const std::string kFolder = std::string(UPS_SOURCE_DIR) + "/tests/golden/the_well/";

json expected() { return json::parse(std::ifstream(kFolder + "expected.json")); }

std::vector<float> all_of(data::Source& s, int64_t i) {
  std::vector<float> v(static_cast<size_t>(s.info().frames * s.info().channels * s.info().cells()));
  s.read(i, 0, s.info().frames, 1, v);
  return v;
}

// A 1-D file with one scalar and one vector field of value_of; `change` may spoil it before it is closed.
struct WellFile {
  std::string grid_type = "cartesian", field_names = "u", dims = "x";
  int64_t trajectories = 3, frames = 4, cells = 8;
  bool with_field = true;
  std::vector<double> dim_varying = {1};
};

void make_well(const std::string& path, const WellFile& w, const std::function<void(MakeH5&)>& change = [](MakeH5&) {}) {
  MakeH5 f(path);
  f.text("/", "dataset_name", "shift", true);
  f.text("/", "grid_type", w.grid_type, true);
  f.text("/", "simulation_parameters", "speed", true);
  f.number("/", "speed", 0.5);
  f.integer("/", "n_spatial_dims", 1);
  f.integer("/", "n_trajectories", w.trajectories);
  for (const char* g : {"/dimensions", "/t0_fields", "/t1_fields", "/boundary_conditions"}) f.group(g);
  f.text("/dimensions", "spatial_dims", w.dims, true);
  f.dataset("/dimensions/x", {8}, cell_centres(8));
  f.dataset("/dimensions/time", {4}, times(3, 0.1));
  f.text("/t0_fields", "field_names", w.field_names, true);
  if (w.with_field) {
    f.dataset("/t0_fields/u", {w.trajectories, w.frames, w.cells}, [&](int64_t k) {
      return value_of(k / (w.frames * w.cells), k / w.cells % w.frames, 0, k % w.cells);
    });
    f.integer("/t0_fields/u", "sample_varying", 1);
    f.integer("/t0_fields/u", "time_varying", 1);
    f.numbers("/t0_fields/u", "dim_varying", w.dim_varying);
  }
  change(f);
}

Error refusal(const TempDir& dir, const WellFile& w, const std::function<void(MakeH5&)>& change = [](MakeH5&) {}) {
  make_well(dir.file("w.hdf5"), w, change);
  return error_of([&] { data::open_source(dir.file("w.hdf5"), {}); });
}

}  // namespace

TEST_CASE("The Well: fields, grid, times, boundary and parameters as the package the_well reads them") {
  const json e = expected();
  const auto source = data::open_source(kFolder + "small_flow.hdf5", {});
  const data::SourceInfo& s = source->info();
  CHECK(s.format == "well");
  CHECK(s.family == e["dataset_name"]);
  CHECK(json(s.grid) == e["resolution"]);
  CHECK(json(s.channel_names) == e["channels"]);
  CHECK(s.coeff_channels == static_cast<int64_t>(e["constant_channels"].size()));
  CHECK(json(s.coords[0]) == e["x"]);
  CHECK(json(s.coords[1]) == e["y"]);
  CHECK(json(s.time) == e["time"]);
  for (const auto& [name, value] : e["constant_scalars"].items()) CHECK(s.params.at(lower(name)) == Approx(value.get<double>()).epsilon(1e-6));
  CHECK(s.params.size() == e["constant_scalars"].size());
  const data::Boundary kinds[] = {data::Boundary::wall, data::Boundary::open, data::Boundary::periodic};
  REQUIRE(s.boundary.size() == e["boundary"].size());
  for (size_t k = 0; k < s.boundary.size(); ++k) CHECK(s.boundary[k] == kinds[e["boundary"][k].get<int>()]);

  const size_t cells = static_cast<size_t>(s.cells());
  REQUIRE(s.trajectories == static_cast<int64_t>(e["fields"].size()));
  const auto compare = [&](const std::vector<float>& got, const json& want, size_t channels) {  // [T, C, cells] with [T, cells, C]
    REQUIRE(got.size() == want.size());
    for (size_t k = 0; k < got.size(); ++k) {
      const size_t frame = k / (channels * cells), c = k / cells % channels, x = k % cells;
      REQUIRE(got[k] == want[(frame * cells + x) * channels + c].get<float>());
    }
  };
  for (int64_t i = 0; i < s.trajectories; ++i) {
    compare(all_of(*source, i), e["fields"][static_cast<size_t>(i)], static_cast<size_t>(s.channels));
    std::vector<float> coeff(static_cast<size_t>(s.coeff_channels) * cells);
    source->read_coeff(i, coeff);
    compare(coeff, e["constant_fields"][static_cast<size_t>(i)], static_cast<size_t>(s.coeff_channels));
  }
  // Part of a trajectory: frames 0 and 2.
  const std::vector<float> whole = all_of(*source, 1);
  std::vector<float> part(2 * whole.size() / 3);
  source->read(1, 0, 2, 2, part);
  CHECK(std::equal(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2), whole.begin()));
  CHECK(std::equal(part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2), part.end(), whole.end() - static_cast<std::ptrdiff_t>(part.size() / 2)));
}

TEST_CASE("VRMSE and NRMSE of The Well") {
  const json e = expected();
  const auto source = data::open_source(kFolder + "small_flow.hdf5", {});
  const data::SourceInfo& s = source->info();
  metrics::FieldScores scores({s.frames, s.channels, s.grid, {}}, {1, 2, 3});
  scores.add(1, all_of(*source, 1), std::span<const float>(all_of(*source, 0)), {});
  const metrics::FieldResult r = scores.result();
  for (const auto& [metric, name] : {std::pair(metrics::Metric::vrmse, "vrmse"), std::pair(metrics::Metric::nrmse_well, "nrmse")}) {
    const std::vector<double>& got = r.per_frame(metric);
    REQUIRE(got.size() == e[name].size());
    for (size_t k = 0; k < got.size(); ++k) CHECK(got[k] == Approx(e[name][k].get<double>()).epsilon(1e-12));
  }
}

TEST_CASE("The Well: folders are the split; inspect and validate read it") {
  log::set_level(log::Level::error);
  const TempDir dir;
  for (const char* part : {"train", "valid", "test"}) {
    std::filesystem::create_directories(dir.path() / "data" / part);
    make_well((dir.path() / "data" / part / "shift_speed_0.5.hdf5").string(), {});
  }
  data::DataOptions o;
  o.root = dir.path().string();
  o.allow_overlap = true;  // three equal files
  const auto d = data::Dataset::open(o);
  CHECK(d->members(data::Split::train) == std::vector<int64_t>{0, 1, 2});
  CHECK(d->members(data::Split::val) == std::vector<int64_t>{3, 4, 5});
  CHECK(d->members(data::Split::test) == std::vector<int64_t>{6, 7, 8});
  CHECK(contains(d->split_json(), "\"mode\":\"well\""));
  CHECK(d->info().boundary[0] == data::Boundary::open);
  CHECK(d->params(4) == std::vector<double>{0.5});
  CHECK(equals(*d, 5, [](auto t, auto c, auto i, auto) { return value_of(2, t, c, i); }));
  o.allow_overlap = false;
  CHECK(error_of([&] { data::Dataset::open(o); }).code() == ExitCode::data);  // the leak check looks across folders
  o.allow_overlap = true;
  o.split_mode = "ups";
  CHECK(is_data_error(error_of([&] { data::Dataset::open(o); }), "_train.h5"));
  const std::string text = data::inspect_text(kFolder + "small_flow.hdf5", {});
  CHECK(contains(text, "well of small_flow"));
  CHECK(contains(text, "x periodic, y wall/open"));
  CHECK(contains(text, "height does not change in time"));
  CHECK(contains(data::validate({kFolder + "small_flow.hdf5"}, {}), "ok, well"));
}

TEST_CASE("The Well: one vector component per axis, any spelling of the boundary, unknown ones are said") {
  const TempDir dir;
  make_well(dir.file("w.hdf5"), {}, [](MakeH5& f) {
    f.text("/t1_fields", "field_names", "flow", true);
    f.dataset("/t1_fields/flow", {3, 4, 8, 1}, [](int64_t k) { return static_cast<float>(k); });
    for (const char* a : {"sample_varying", "time_varying"}) f.integer("/t1_fields/flow", a, 1);
    f.numbers("/t1_fields/flow", "dim_varying", {1});
    f.group("/boundary_conditions/left");
    f.text("/boundary_conditions/left", "bc_type", "Sticky", true);
    f.text("/boundary_conditions/left", "associated_dims", "x", true);
    f.dataset("/boundary_conditions/left/mask", {8}, [](int64_t k) { return k == 0 ? 1.f : 0.f; });
  });
  const auto source = data::open_source(dir.file("w.hdf5"), {});
  CHECK(source->info().channel_names == std::vector<std::string>{"u", "flow_x"});
  CHECK(source->info().boundary == std::vector<data::Boundary>{data::Boundary::unknown, data::Boundary::open});
  CHECK(source->info().notes.size() == 1);
  const std::vector<float> v = all_of(*source, 2);
  CHECK(v[8 * 2 * 3 + 5] == value_of(2, 3, 0, 5));
  CHECK(v[8 * (2 * 3 + 1) + 5] == (2 * 4 + 3) * 8 + 5);
}

TEST_CASE("The Well: what does not fit is refused with what was expected") {
  const TempDir dir;
  WellFile w;
  CHECK(refusal(dir, w).code() == ExitCode::ok);
  CHECK(is_data_error(refusal(dir, {.grid_type = "spherical"}), "cartesian"));
  CHECK(is_data_error(refusal(dir, {.field_names = "v"}), "/t0_fields/v"));
  CHECK(is_data_error(refusal(dir, {.field_names = "../dimensions"}), "names of members"));
  CHECK(is_data_error(refusal(dir, {.dims = "y"}), "/dimensions/y"));
  CHECK(is_data_error(refusal(dir, {.trajectories = 0}), "n_trajectories"));
  CHECK(is_data_error(refusal(dir, {.frames = 5}), "expected shape (3 trajectories, 4 times, 8)"));
  CHECK(is_data_error(refusal(dir, {.cells = 9}), "expected shape"));
  CHECK(is_data_error(refusal(dir, {.dim_varying = {1, 1}}), "dim_varying"));
  CHECK(is_data_error(refusal(dir, {.dim_varying = {0}}), "expected shape (3 trajectories, 4 times, 1)"));
  CHECK(is_data_error(refusal(dir, {.field_names = "", .with_field = false}), "names of members"));
  const auto with = [&](const std::function<void(MakeH5&)>& change) { return refusal(dir, w, change); };
  CHECK(is_data_error(with([](MakeH5& f) { f.dataset("/t1_fields/loose", {1}, {1.f}), f.text("/t1_fields", "field_names", "loose", true); }),
                      "sample_varying"));
  CHECK(is_data_error(with([](MakeH5& f) { f.external_link("/t1_fields/far", "/etc/hostname", "/x"); }), "hard link"));
  CHECK(is_data_error(with([](MakeH5& f) { f.soft_link("/boundary_conditions/loop", "/boundary_conditions"); }), "hard link"));
  CHECK(is_data_error(with([](MakeH5& f) { f.dataset("/boundary_conditions/flat", {1}, {1.f}); }), "boundary condition"));
  CHECK(is_data_error(with([](MakeH5& f) { f.group("/boundary_conditions/x"); }), "bc_type"));
  CHECK(is_data_error(with([](MakeH5& f) {
          f.group("/boundary_conditions/z");
          f.text("/boundary_conditions/z", "bc_type", "wall", true);
          f.text("/boundary_conditions/z", "associated_dims", "z", true);
        }), "associated_dims"));
}

TEST_CASE("The Well: 100 random flips never crash the reader") {
  const TempDir dir;
  std::ifstream in(kFolder + "small_flow.hdf5", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  data::ValidateOptions v;
  v.untrusted = true;
  RandomStream random(9);
  int refused = 0;
  for (int i = 0; i < 100; ++i) {
    std::string b = good;
    for (int k = 0; k < 8; ++k) b[random.below(b.size())] ^= static_cast<char>(1u << random.below(8));
    std::ofstream(dir.file("w.hdf5"), std::ios::binary) << b;
    const Error e = error_of([&] { data::validate({dir.file("w.hdf5")}, v); });
    REQUIRE((e.code() == ExitCode::ok || e.code() == ExitCode::data));
    refused += e.code() == ExitCode::data;
  }
  CHECK(refused > 10);
}
