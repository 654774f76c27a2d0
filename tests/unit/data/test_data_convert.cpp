// ups-data convert: what is read from the result equals what was read from the input.
#include <filesystem>

#include "data_test.h"
#include "test_common.h"
#include "ups/data/convert.h"
#include "ups/data/generators/generator.h"
#include "ups/data/source.h"

using namespace ups;
using namespace ups::test;
using data::ConvertOptions;
using data::SourceInfo;

namespace {

std::vector<float> all_of(data::Source& s, int64_t i) {
  std::vector<float> v(static_cast<size_t>(s.info().frames * s.info().channels * s.info().cells()));
  s.read(i, 0, s.info().frames, 1, v);
  return v;
}

std::vector<float> coeff_of(data::Source& s, int64_t i) {
  std::vector<float> v(static_cast<size_t>(s.info().coeff_channels * s.info().cells()));
  if (!v.empty()) s.read_coeff(i, v);
  return v;
}

ConvertOptions options(const std::vector<std::string>& in, const std::string& out) {
  ConvertOptions o;
  o.in = in;
  o.out = out;
  return o;
}

std::unique_ptr<data::Source> converted(const ConvertOptions& o) {
  data::convert(o);
  CHECK_FALSE(std::filesystem::exists(o.out + ".tmp"));
  return data::open_source(o.out, {});
}

// Everything but path, layout and bytes.
void check_same(data::Source& a, data::Source& b) {
  const SourceInfo &x = a.info(), &y = b.info();
  CHECK(x.family == y.family);
  CHECK(x.grid == y.grid);
  CHECK(x.channel_names == y.channel_names);
  CHECK(x.coords == y.coords);
  CHECK(x.time == y.time);
  CHECK(x.boundary == y.boundary);
  CHECK(x.params == y.params);
  CHECK(x.ids == y.ids);
  REQUIRE(x.trajectories == y.trajectories);
  for (int64_t i = 0; i < x.trajectories; ++i) {
    REQUIRE(all_of(a, i) == all_of(b, i));
    REQUIRE(coeff_of(a, i) == coeff_of(b, i));
  }
}

std::string generated(const TempDir& dir, const std::string& name, const std::string& ic, std::map<std::string, double> params) {
  data::GenerateOptions g;
  g.name = name;
  g.ic = ic;
  g.out = dir.file(name + ".h5");
  g.count = 3;
  g.nx = 16;
  if (name != "darcy2d") g.t_end = 0.2, g.save_every = 0.1;
  g.params = std::move(params);
  data::generate(g);
  return g.out;
}

}  // namespace

TEST_CASE("convert: our own layouts survive unchanged, whatever the name of the result") {
  log::set_level(log::Level::error);
  const TempDir dir;
  const std::pair<std::string, std::string> files[] = {
      {generated(dir, "ns2d", "kolmogorov", {{"nu", 0.1}}), "pdebench_group"},
      {generated(dir, "diffreact2d", "", {}), "pdebench_group"},
      {generated(dir, "darcy2d", "", {{"beta", 2}}), "pdebench_darcy"},
      {generated(dir, "advection1d", "", {{"beta", 0.4}}), "pdebench"},
  };
  for (const auto& [file, layout] : files) {
    CAPTURE(file);
    const auto before = data::open_source(file, {});
    ConvertOptions o = options({file}, dir.file("burgers_like.h5"));
    o.overwrite = true;
    o.to = layout;
    const auto after = converted(o);
    CHECK(after->info().format == layout);
    check_same(*before, *after);
  }
}

TEST_CASE("convert: The Well with constants as channels, and without") {
  const TempDir dir;
  const std::string file = std::string(UPS_SOURCE_DIR) + "/tests/golden/the_well/small_flow.hdf5";
  const auto before = data::open_source(file, {});
  ConvertOptions o = options({file}, dir.file("flow.h5"));
  CHECK(contains(error_of([&] { data::convert(o); }).line(), "--constants"));
  o.constants = "channels";
  const auto with = converted(o);
  const SourceInfo &x = before->info(), &y = with->info();
  CHECK(y.format == "pdebench_group");
  CHECK(y.family == "small_flow");
  CHECK((y.channels == 12 && y.channel_names[9] == "height" && y.channel_names[11] == "wind_y"));
  CHECK(y.boundary == x.boundary);
  CHECK(y.params == x.params);
  CHECK(y.coords == x.coords);
  CHECK(y.time == x.time);
  const size_t cells = static_cast<size_t>(x.cells());
  for (int64_t i = 0; i < 2; ++i) {
    const std::vector<float> a = all_of(*before, i), c = coeff_of(*before, i), b = all_of(*with, i);
    for (size_t t = 0; t < 3; ++t) {
      for (size_t k = 0; k < 12 * cells; ++k) REQUIRE(b[t * 12 * cells + k] == (k < 9 * cells ? a[t * 9 * cells + k] : c[k - 9 * cells]));
    }
  }
  o.constants = "drop";
  o.overwrite = true;
  const auto without = converted(o);
  CHECK(without->info().channel_names == x.channel_names);
  CHECK(all_of(*without, 1) == all_of(*before, 1));
}

TEST_CASE("convert: into the layout of The Well and back") {
  log::set_level(log::Level::error);
  const TempDir dir;
  const std::string files[] = {generated(dir, "ns2d", "kolmogorov", {{"nu", 0.1}}), generated(dir, "diffreact2d", "", {}),
                               generated(dir, "advection1d", "", {{"beta", 0.4}}), std::string(UPS_SOURCE_DIR) + "/tests/golden/the_well/small_flow.hdf5"};
  for (const auto& file : files) {
    CAPTURE(file);
    const auto before = data::open_source(file, {});
    ConvertOptions o = options({file}, dir.file("well.hdf5"));
    o.overwrite = true;
    o.to = "well";
    const auto after = converted(o);
    CHECK(after->info().format == "well");
    CHECK(after->info().coeff_names == before->info().coeff_names);
    check_same(*before, *after);
  }
  ConvertOptions steady = options({generated(dir, "darcy2d", "", {})}, dir.file("steady.hdf5"));
  steady.to = "well";
  CHECK(contains(error_of([&] { data::convert(steady); }).line(), "well cannot hold"));
}

TEST_CASE("convert: part of a set keeps its trajectory numbers, so that the split stays") {
  const TempDir dir;
  const std::string file = dir.file("1D_Burgers_Sols_Nu0.01.hdf5");
  make_burgers(file, 8, 5, 16);
  ConvertOptions o = options({file}, dir.file("part.h5"));
  o.select = "2:6";
  o.stride = 4;
  o.stride_t = 2;
  const auto part = converted(o);
  const SourceInfo& s = part->info();
  CHECK(s.family == "burgers1d");
  CHECK(s.params == std::map<std::string, double>{{"nu", 0.01}});
  CHECK(s.ids == std::vector<int64_t>{2, 3, 4, 5});
  CHECK((s.frames == 3 && s.grid[0] == 4));
  CHECK(s.time[1] == Approx(2 * data::open_source(file, {})->info().time[1]));
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t i = 0; i < 4; ++i) CHECK(all_of(*part, 1)[static_cast<size_t>(t * 4 + i)] == value_of(3, 2 * t, 0, 4 * i));
  }
  // Again from the part: numbers still those of the first file. Two inputs are numbered anew.
  ConvertOptions again = options({o.out}, dir.file("again.h5"));
  again.select = "1:";
  again.to = "pdebench_group";
  CHECK(converted(again)->info().ids == std::vector<int64_t>{3, 4, 5});
  ConvertOptions two = options({file, file}, dir.file("two.h5"));
  const auto both = converted(two);
  CHECK(both->info().trajectories == 16);
  CHECK(both->info().ids[15] == 15);
  CHECK(all_of(*both, 13) == all_of(*both, 5));
}

TEST_CASE("convert: means of blocks, ups_h5, trajectories larger than a window") {
  const TempDir dir;
  make_burgers(dir.file("burgers_Nu0.01.hdf5"), 2, 3, 8);
  ConvertOptions o = options({dir.file("burgers_Nu0.01.hdf5")}, dir.file("mean.h5"));
  o.stride = 2;
  o.resample = "lowpass";
  CHECK(all_of(*converted(o), 1)[5] == (value_of(1, 1, 0, 2) + value_of(1, 1, 0, 3)) / 2);
  o = options(o.in, dir.file("burgers1d_train.h5"));
  o.to = "ups_h5";
  const auto ups = converted(o);
  CHECK(ups->info().format == "ups_h5");
  CHECK(all_of(*ups, 1)[9] == value_of(1, 1, 0, 1));

  constexpr int64_t kFrames = 700, kCells = 8192;  // 22 MiB each
  make_burgers(dir.file("long_burgers_Nu0.01.hdf5"), 1, kFrames, kCells);
  const auto before = data::open_source(dir.file("long_burgers_Nu0.01.hdf5"), {});
  for (const std::string to : {"pdebench", "pdebench_group"}) {
    o = options({dir.file("long_burgers_Nu0.01.hdf5")}, dir.file(to));
    o.to = to;
    CHECK(all_of(*converted(o), 0) == all_of(*before, 0));
  }
}

TEST_CASE("convert: what is refused leaves nothing behind") {
  const TempDir dir;
  const std::string file = dir.file("burgers_Nu0.01.hdf5");
  make_burgers(file, 4, 3, 8);
  make_burgers(dir.file("burgers_Nu0.1.hdf5"), 4, 3, 8, 0.1);
  const auto refusal = [&](const std::function<void(ConvertOptions&)>& change) {
    ConvertOptions o = options({file}, dir.file("out.h5"));
    change(o);
    const Error e = error_of([&] { data::convert(o); });
    CHECK_FALSE(std::filesystem::exists(dir.file("out.h5")));
    CHECK_FALSE(std::filesystem::exists(dir.file("out.h5.tmp")));
    return e;
  };
  for (const char* select : {"3", "2:2", "0:5", "-1:2", "a:b", "1:99999999999999"}) {
    CAPTURE(select);
    const Error e = refusal([&](auto& o) { o.select = select; });
    CHECK((e.code() == ExitCode::usage && contains(e.line(), "--select")));
  }
  CHECK(contains(refusal([](auto& o) { o.to = "pdebench_darcy"; }).line(), "cannot hold"));
  CHECK(refusal([](auto& o) { o.stride = 0; }).code() == ExitCode::usage);
  CHECK(is_data_error(refusal([&](auto& o) { o.in.push_back(dir.file("burgers_Nu0.1.hdf5")); }), "parameters"));
  CHECK(refusal([&](auto& o) { o.in = {dir.file("missing.h5")}; }).code() == ExitCode::data);
  CHECK(contains(refusal([&](auto& o) { o.out = file; }).line(), "is an input"));
  ConvertOptions o = options({file}, dir.file("there.h5"));
  data::convert(o);
  CHECK(contains(error_of([&] { data::convert(o); }).line(), "--overwrite"));
}

TEST_CASE("what a file says of itself beats the guess from its family") {
  const TempDir dir;
  {
    MakeH5 f(dir.file("burgers_x.h5"));
    f.dataset("/tensor", {2, 3, 8}, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {3}, times(2, 0.1));
    f.text("/", "boundary", "wall,open", true);
    f.text("/", "channels", "speed", true);
    f.text("/", "parameters", "Re,none", true);
    f.number("/", "Re", 40);
  }
  const auto s = data::open_source(dir.file("burgers_x.h5"), {});
  CHECK(s->info().boundary == std::vector<data::Boundary>{data::Boundary::wall, data::Boundary::open});
  CHECK(s->info().channel_names == std::vector<std::string>{"speed"});
  CHECK(s->info().params == std::map<std::string, double>{{"re", 40}});
  make_burgers(dir.file("burgers_Nu0.01.h5"), 2, 3, 8);
  ConvertOptions o = options({dir.file("burgers_x.h5")}, dir.file("copy.h5"));
  check_same(*s, *converted(o));
}
