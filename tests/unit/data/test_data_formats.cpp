// D1 and D2: every layout against values known by formula, every reader trap as a file.
#include <cmath>

#include "data_test.h"
#include "test_common.h"

using namespace ups;
using namespace ups::test;
using data::Boundary;
using data::Dataset;
using data::DataOptions;

TEST_CASE("pdebench 1-D: values, attributes, time, boundary") {
  const TempDir dir;
  const std::string file = dir.file("1D_Burgers_Sols_Nu0.01.hdf5");
  make_burgers(file, 6, 5, 16);
  for (const char* cache : {"auto", "none"}) {
    DataOptions o = options_for(dir, file, 6);
    o.cache = cache;
    const auto d = Dataset::open(o);
    const data::SetInfo& s = d->info();
    CHECK(s.family == "burgers1d");
    CHECK(s.name == "burgers1d");
    CHECK(s.trajectories == 6);
    CHECK(s.frames == 5);
    CHECK(s.channels == 1);
    CHECK(s.grid == std::vector<int64_t>{16});
    CHECK(s.dt == Approx(0.05));
    CHECK(s.length[0] == Approx(1.0));
    CHECK(s.boundary == std::vector<Boundary>{Boundary::periodic, Boundary::periodic});
    CHECK(s.param_names == std::vector<std::string>{"nu"});
    CHECK(d->params(2) == std::vector<double>{0.01});
    CHECK_FALSE(s.steady);
    for (int64_t n = 0; n < 6; ++n) CHECK(equals(*d, n, [n](auto t, auto c, auto i, auto) { return value_of(n, t, c, i); }));
    CHECK(read_frames(*d, 3, 2, 2)[17] == value_of(3, 3, 0, 1));
    CHECK((d->bytes_resident() > 0) == (std::string(cache) == "auto"));
  }
}

TEST_CASE("strides keep every n-th frame, cell and trajectory; lowpass averages") {
  const TempDir dir;
  const std::string file = dir.file("1D_Advection_Sols_beta0.4.hdf5");
  {
    MakeH5 f(file);
    f.dataset("/tensor", {8, 6, 12}, [](int64_t k) { return value_of(k / 72, k / 12 % 6, 0, k % 12); });
    f.dataset("/x-coordinate", {12}, cell_centres(12));
    f.dataset("/t-coordinate", {7}, times(6, 0.1));
    f.number("/", "beta", 0.4);
  }
  DataOptions o = options_for(dir, file, 8);
  o.reduced_resolution = 4;
  o.reduced_resolution_t = 2;
  for (const char* cache : {"auto", "none"}) {
    o.cache = cache;
    o.resample = "stride";
    const auto d = Dataset::open(o);
    CHECK(d->info().grid == std::vector<int64_t>{3});
    CHECK(d->info().frames == 3);
    CHECK(d->info().dt == Approx(0.2));
    CHECK(d->info().length[0] == Approx(1.0));
    CHECK(d->info().coords[0][1] == Approx(4.5 / 12));
    CHECK(equals(*d, 5, [](auto t, auto c, auto i, auto) { return value_of(5, 2 * t, c, 4 * i); }));
    o.resample = "lowpass";
    const auto low = Dataset::open(o);
    CHECK(low->info().coords[0][1] == Approx(0.5));
    CHECK(equals(*low, 5, [](auto t, auto c, auto i, auto) { return value_of(5, 2 * t, c, 4 * i) + 0.375f; }));
  }
  o = options_for(dir, file, 8);
  o.reduced_batch = 2;
  o.num_samples_max = 3;
  o.split_mode = "hash";
  o.split_fractions = {0.4, 0.3, 0.3};
  std::vector<int64_t> all;
  for (int64_t seed = 0; all.empty(); ++seed) {  // a seed for which no split is empty
    o.split_seed = seed;
    const Error e = error_of([&] {
      const auto d = Dataset::open(o);
      for (auto s : {data::Split::train, data::Split::val, data::Split::test}) {
        all.insert(all.end(), d->members(s).begin(), d->members(s).end());
      }
    });
    REQUIRE(seed < 200);
  }
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<int64_t>{0, 2, 4});
}

TEST_CASE("pdebench_darcy: nu is the input, tensor the solution, no time") {
  const TempDir dir;
  const std::string file = dir.file("2D_DarcyFlow_beta1.0_Train.hdf5");
  {
    MakeH5 f(file);
    f.dataset("/tensor", {5, 1, 4, 6}, [](int64_t k) { return value_of(k / 24, 0, 0, k / 6 % 4, k % 6); });
    f.dataset("/nu", {5, 4, 6}, [](int64_t k) { return 0.5f + static_cast<float>(k); });
    f.dataset("/x-coordinate", {4}, cell_centres(4));
    f.dataset("/y-coordinate", {6}, cell_centres(6));
    f.numbers("/", "beta", {1.0});
  }
  for (const char* cache : {"auto", "none"}) {
    DataOptions o = options_for(dir, file, 5);
    o.cache = cache;
    const auto d = Dataset::open(o);
    CHECK(d->info().steady);
    CHECK(d->info().family == "darcy2d");
    CHECK(d->info().frames == 1);
    CHECK(d->info().coeff_channels == 1);
    CHECK(d->info().grid == std::vector<int64_t>{4, 6});
    CHECK(d->info().dt == 0);
    CHECK(d->info().boundary == std::vector<Boundary>(4, Boundary::dirichlet));
    CHECK(equals(*d, 4, [](auto, auto, auto i, auto j) { return value_of(4, 0, 0, i, j); }));
    std::vector<float> nu(24);
    d->read_coeff(3, nu);
    CHECK(nu[7] == 0.5f + 3 * 24 + 7);
  }
}

TEST_CASE("pdebench_cfd: five channels in order; dead runs are left out") {
  const TempDir dir;
  const std::string file = dir.file("2D_CFD_Rand_M0.1_Eta0.01_Zeta0.01_periodic_4_Train.hdf5");
  {
    MakeH5 f(file);
    const char* names[] = {"/density", "/pressure", "/Vx", "/Vy"};
    for (int64_t c = 0; c < 4; ++c) {
      f.dataset(names[c], {6, 3, 4, 5}, [c](int64_t k) {
        const int64_t n = k / 60, t = k / 20 % 3;
        return n == 2 && t == 1 ? 0.0f : value_of(n, t, c, k / 5 % 4, k % 5);
      });
    }
    f.dataset("/x-coordinate", {4}, cell_centres(4));
    f.dataset("/y-coordinate", {5}, cell_centres(5));
    f.dataset("/t-coordinate", {4}, times(3, 0.05));
    f.number("/", "eta", 0.01);
    f.number("/", "zeta", 0.01);
    f.number("/", "M", 0.1);
  }
  const auto d = Dataset::open(options_for(dir, file, 6));
  CHECK(d->info().channel_names == std::vector<std::string>{"density", "pressure", "Vx", "Vy"});
  CHECK(d->info().param_names == std::vector<std::string>{"eta", "m", "zeta"});
  CHECK(d->info().periodic(1));
  CHECK(d->members(data::Split::train) == std::vector<int64_t>{0, 1, 3});
  CHECK(equals(*d, 3, [](auto t, auto c, auto i, auto j) { return value_of(3, t, c, i, j); }));
  CHECK(contains(d->split_json(), "\"rejected\":[2]"));

  const std::string open_file = dir.file("1D_CFD_Shock_Eta1.e-8_Zeta1.e-8_trans_Train.hdf5");
  {
    MakeH5 f(open_file);
    for (const char* n : {"/density", "/pressure", "/Vx"}) f.dataset(n, {4, 3, 8},
        [](int64_t k) { return 1.0f + static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {4}, times(3, 0.05));
  }
  const auto shock = Dataset::open(options_for(dir, open_file, 4));
  CHECK(shock->info().boundary == std::vector<Boundary>(2, Boundary::open));
  CHECK(shock->params(0) == std::vector<double>{1e-8, 1e-8});  // from the file name: the attributes are absent
}

// Groups with data [T, d1, d2, C]; value_of is asked by (x, y), so the axis order of the file matters.
static void make_groups(const std::string& file, const std::vector<std::string>& names, bool y_first, int64_t nx, int64_t ny,
    int64_t channels) {
  MakeH5 f(file);
  for (size_t n = 0; n < names.size(); ++n) {
    const int64_t d1 = y_first ? ny : nx, d2 = y_first ? nx : ny;
    H5Store how;
    how.chunk = {1, d1, d2, channels};
    how.lzf = true;
    f.dataset("/" + names[n] + "/data", {3, d1, d2, channels}, [&](int64_t k) {
      const int64_t c = k % channels, b = k / channels % d2, a = k / channels / d2 % d1, t = k / channels / d2 / d1;
      return value_of(static_cast<int64_t>(n), t, c, y_first ? b : a, y_first ? a : b);
    }, how);
    f.dataset("/" + names[n] + "/grid/x", {nx}, cell_centres(nx, -1, 1));
    f.dataset("/" + names[n] + "/grid/y", {ny}, cell_centres(ny, -1, 1));
    f.dataset("/" + names[n] + "/grid/t", {3}, std::vector<float>{0.0f, 0.5f, 1.0f});
    f.text("/" + names[n], "config", "!!python/object:os.system {x: 1}\n", true);  // never parsed
  }
}

TEST_CASE("pdebench_group: axis order, padding, gaps") {
  const TempDir dir;
  const std::vector<std::string> names = {"0000", "0002", "0010", "0100"};  // not contiguous
  const auto xy = [](int64_t n) { return [n](auto t, auto c, auto i, auto j) { return value_of(n, t, c, i, j); }; };
  SECTION("diffusion-reaction stores y first") {
    make_groups(dir.file("2D_diff-react_NA_NA.h5"), names, true, 4, 4, 2);
    const auto d = Dataset::open(options_for(dir, dir.file("2D_diff-react_NA_NA.h5"), 4));
    CHECK(d->info().family == "diffreact2d");
    CHECK(d->info().channel_names == std::vector<std::string>{"u", "v"});
    CHECK(d->info().boundary == std::vector<Boundary>(4, Boundary::neumann));
    CHECK(d->info().length == std::vector<double>{2.0, 2.0});
    for (int64_t n = 0; n < 4; ++n) CHECK(equals(*d, n, xy(n)));
    CHECK(read_frames(*d, 1, 1, 1)[5] == value_of(1, 1, 0, 1, 1));
  }
  SECTION("the dam break stores x first") {
    make_groups(dir.file("2D_rdb_NA_NA.h5"), names, false, 4, 4, 1);
    const auto d = Dataset::open(options_for(dir, dir.file("2D_rdb_NA_NA.h5"), 4));
    CHECK(d->info().channel_names == std::vector<std::string>{"h"});
    CHECK(equals(*d, 2, xy(2)));
  }
  SECTION("grids that are not square are matched against grid/x and grid/y") {
    make_groups(dir.file("other.h5"), names, true, 4, 6, 2);
    const auto d = Dataset::open(options_for(dir, dir.file("other.h5"), 4));
    CHECK(d->info().grid == std::vector<int64_t>{4, 6});
    CHECK(equals(*d, 3, xy(3)));
  }
  SECTION("numbers sort by value, not by text") {
    make_groups(dir.file("unpadded.h5"), {"10", "9", "100", "2"}, false, 4, 6, 1);
    const auto d = Dataset::open(options_for(dir, dir.file("unpadded.h5"), 4));
    CHECK(read_frames(*d, 0, 0, 1)[0] == value_of(3, 0, 0, 0, 0));  // "2" was written last and comes first
    CHECK(read_frames(*d, 3, 0, 1)[0] == value_of(2, 0, 0, 0, 0));
  }
  SECTION("a stranger beside numbered groups is an error") {
    make_groups(dir.file("s.h5"), {"0000", "0001", "summary"}, false, 4, 6, 1);
    CHECK(is_data_error(error_of([&] { Dataset::open(options_for(dir, dir.file("s.h5"), 3)); }), "s.h5:/summary"));
  }
  SECTION("one number twice is an error") {
    make_groups(dir.file("t.h5"), {"0001", "1"}, false, 4, 6, 1);
    CHECK(is_data_error(error_of([&] { Dataset::open(options_for(dir, dir.file("t.h5"), 2)); }), "t.h5:/1"));
  }
  SECTION("read as monolithic: refused, not guessed") {
    make_groups(dir.file("2D_rdb_NA_NA.h5"), names, false, 4, 4, 1);
    DataOptions o = options_for(dir, dir.file("2D_rdb_NA_NA.h5"), 4);
    o.format = "pdebench";
    CHECK(is_data_error(error_of([&] { Dataset::open(o); }), "/tensor"));
  }
}

TEST_CASE("diffusion-sorption: one axis, different boundaries on both sides") {
  const TempDir dir;
  const std::string file = dir.file("1D_diff-sorp_NA_NA.h5");
  {
    MakeH5 f(file);
    for (int64_t n = 0; n < 4; ++n) {
      const std::string g = "/000" + std::to_string(n);
      f.dataset(g + "/data", {4, 8, 1}, [n](int64_t k) { return value_of(n, k / 8, 0, k % 8); });
      f.dataset(g + "/grid/x", {8}, cell_centres(8));
      f.dataset(g + "/grid/t", {5}, times(4, 5.0));
    }
  }
  const auto d = Dataset::open(options_for(dir, file, 4));
  CHECK(d->info().boundary == std::vector<Boundary>{Boundary::dirichlet, Boundary::cauchy});
  CHECK(equals(*d, 2, [](auto t, auto c, auto i, auto) { return value_of(2, t, c, i); }));
}

TEST_CASE("ups_h5: channels last, splits by name") {
  const TempDir dir;
  log::set_level(log::Level::error);
  int64_t offset = 0;
  for (const char* split : {"train", "val", "test"}) {
    MakeH5 f(dir.file(std::string("navier_stokes2d_") + split + ".h5"));
    f.dataset("/data", {3, 2, 4, 5, 2}, [offset](int64_t k) { return value_of(offset + k / 80, k / 40 % 2, k % 2, k / 10 % 4,
        k / 2 % 5); });
    offset += 3;
  }
  DataOptions o;
  o.root = dir.path().string();
  o.task = {"navier_stokes2d"};
  const auto d = Dataset::open(o);
  CHECK(d->info().name == "navier_stokes2d");
  CHECK(contains(d->split_json(), "\"mode\":\"ups\""));
  // Files are taken in name order: test, train, val.
  CHECK(d->members(data::Split::test) == std::vector<int64_t>{0, 1, 2});
  CHECK(d->members(data::Split::train) == std::vector<int64_t>{3, 4, 5});
  CHECK(equals(*d, 3, [](auto t, auto c, auto i, auto j) { return value_of(0, t, c, i, j); }));
  CHECK(equals(*d, 8, [](auto t, auto c, auto i, auto j) { return value_of(5, t, c, i, j); }));
  o.task = {"burgers1d"};
  CHECK(is_data_error(error_of([&] { Dataset::open(o); }), "burgers1d_train.h5"));
}

TEST_CASE("element types and byte orders are converted") {
  const TempDir dir;
  for (H5Type type : {H5Type::f16, H5Type::f64, H5Type::f32_be, H5Type::i32, H5Type::i64_be, H5Type::u8}) {
    H5Store how;
    how.type = type;
    MakeH5 f(dir.file("Burgers.h5"));
    f.dataset("/tensor", {4, 2, 4}, [](int64_t k) { return static_cast<float>(k); }, how);
    f.dataset("/x-coordinate", {4}, cell_centres(4));
    f.dataset("/t-coordinate", {3}, times(2, 0.1));
    f.close();
    const auto d = Dataset::open(options_for(dir, dir.file("Burgers.h5"), 4));
    CHECK(equals(*d, 2, [](auto t, auto, auto i, auto) { return static_cast<float>(16 + 4 * t + i); }));
  }
}

TEST_CASE("filters: deflate, shuffle, fletcher32, LZF in any mixture") {
  const TempDir dir;
  for (int mask = 0; mask < 16; ++mask) {
    H5Store how;
    how.chunk = {3, 2, 8};
    how.deflate = mask & 1;
    how.shuffle = mask & 2;
    how.fletcher32 = mask & 4;
    how.lzf = mask & 8;
    make_burgers(dir.file("b.h5"), 6, 5, 16, 0.01, how);
    const auto d = Dataset::open(options_for(dir, dir.file("b.h5"), 6));
    CHECK(equals(*d, 5, [](auto t, auto c, auto i, auto) { return value_of(5, t, c, i); }));
  }
}

TEST_CASE("files written by h5py (LZF, scalar and array attributes)") {
  const TempDir dir;
  const auto d = Dataset::open(options_for(dir,
      std::string(UPS_SOURCE_DIR) + "/tests/golden/data/1D_Burgers_Sols_Nu0.01_h5py_lzf.hdf5", 4));
  CHECK(d->info().dt == Approx(0.05));
  CHECK(d->params(0)[0] == Approx(0.01).epsilon(1e-6));
  CHECK(equals(*d, 3, [](auto t, auto c, auto i, auto) { return value_of(3, t, c, i); }));
}

TEST_CASE("trap 1: time axis") {
  const TempDir dir;
  const std::string file = dir.file("burgers.h5");
  const auto with_times = [&](const std::vector<float>& t) {
    MakeH5 f(file);
    f.dataset("/tensor", {4, 5, 8}, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    if (!t.empty()) f.dataset("/t-coordinate", {static_cast<int64_t>(t.size())}, t);
    f.close();
    return error_of([&] { Dataset::open(options_for(dir, file, 4)); });
  };
  CHECK(with_times({0, .1f, .2f, .3f, .4f}).code() == ExitCode::ok);
  CHECK(with_times({0, .1f, .2f, .3f, .4f, .5f}).code() == ExitCode::ok);
  CHECK(with_times({0, .1f, .2f, .3f, .4f, 99.f}).code() == ExitCode::ok);  // the surplus entry is not read
  CHECK(is_data_error(with_times({}), "/t-coordinate"));
  CHECK(is_data_error(with_times({0, .1f, .2f, .3f}), "found 4"));
  CHECK(is_data_error(with_times({0, .1f, .2f, .301f, .4f}), "uniform"));
  CHECK(is_data_error(with_times({0, 0, 0, 0, 0}), "uniform"));
  CHECK(is_data_error(with_times({0, .1f, std::nanf(""), .3f, .4f}), "finite"));
}

TEST_CASE("trap 2: attributes of any spelling; a contradiction with the name is refused") {
  const TempDir dir;
  const auto params_of = [&](const char* name, const std::function<void(MakeH5&)>& attribute) {
    const std::string file = dir.file(name);
    MakeH5 f(file);
    f.dataset("/tensor", {4, 2, 8}, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {3}, times(2, 0.1));
    attribute(f);
    f.close();
    return Dataset::open(options_for(dir, file, 4))->params(0);
  };
  CHECK(params_of("Burgers_Nu2.0.h5", [](MakeH5& f) { f.integer("/", "nu", 2); }) == std::vector<double>{2});
  CHECK(params_of("a_burgers.h5", [](MakeH5& f) { f.numbers("/", "NU", {0.5}); }) == std::vector<double>{0.5});
  CHECK(params_of("Burgers_Nu0.25.h5", [](MakeH5&) {}) == std::vector<double>{0.25});
  CHECK(params_of("ReacDiff_Nu0.5_Rho2.0.h5", [](MakeH5&) {}) == std::vector<double>{0.5, 2.0});
  const Error e = error_of([&] { params_of("1D_Burgers_Sols_Nu0.1.hdf5", [](MakeH5& f) { f.number("/", "Nu", 0.2); }); });
  CHECK(is_data_error(e, "0.1"));
  CHECK(contains(e.line(), "0.2"));
}

TEST_CASE("trap 4: a trailing singleton dimension is accepted, a second axis is not guessed") {
  const TempDir dir;
  const auto open = [&](const std::vector<int64_t>& dims) {
    MakeH5 f(dir.file("burgers.h5"));
    f.dataset("/tensor", dims, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {4}, times(3, 0.1));
    f.close();
    return error_of([&] { Dataset::open(options_for(dir, dir.file("burgers.h5"), 4)); });
  };
  CHECK(open({4, 3, 8, 1}).code() == ExitCode::ok);
  CHECK(is_data_error(open({4, 3, 8, 2}), "(N, T, X)"));
  CHECK(is_data_error(open({12, 8}), "(N, T, X)"));
  CHECK(is_data_error(open({4, 3, 9}), "coordinates"));
}

TEST_CASE("trap 6: a doubled x-range is rescaled and recorded") {
  const TempDir dir;
  const std::string file = dir.file("1D_Advection_Sols_beta1.0.hdf5");
  {
    MakeH5 f(file);
    f.dataset("/tensor", {4, 3, 8}, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8, -1, 1));
    f.dataset("/t-coordinate", {4}, times(3, 0.1));
  }
  const auto d = Dataset::open(options_for(dir, file, 4));
  CHECK(d->info().length[0] == Approx(1.0));
  CHECK(d->info().coords[0][0] == Approx(0.0625));
  CHECK(contains(d->split_json(), "rescaled to (0, 1)"));
}

TEST_CASE("detection goes by contents; later formats are named") {
  const TempDir dir;
  const auto open = [&](const std::function<void(MakeH5&)>& fill) {
    MakeH5 f(dir.file("x.h5"));
    fill(f);
    f.close();
    return error_of([&] { Dataset::open(options_for(dir, dir.file("x.h5"), 4)); });
  };
  CHECK(contains(open([](MakeH5& f) { f.dataset("/velocity", {1}, {1.f}), f.dataset("/particles", {1}, {1.f}); }).line(),
      "pdebench_ns"));
  CHECK(contains(open([](MakeH5& f) { f.group("/t0_fields"), f.integer("/", "n_spatial_dims", 2); }).line(), "grid_type"));
  const Error e = open([](MakeH5& f) { f.dataset("/solution", {1}, {1.f}), f.group("/meta"); });
  CHECK(is_data_error(e, "meta/, solution"));
  std::filesystem::create_directory(dir.file("a.zarr"));
  std::ofstream(dir.file("a.zarr/.zgroup")) << R"({"zarr_format": 2})";
  CHECK(contains(error_of([&] { Dataset::open(options_for(dir, dir.file("a.zarr"), 4)); }).line(), "groups with fields/"));
}

TEST_CASE("several parameter files are one set; files that do not fit are named") {
  const TempDir dir;
  make_burgers(dir.file("Burgers_Nu0.01.h5"), 100, 3, 8, 0.01);
  make_burgers(dir.file("Burgers_Nu0.1.h5"), 100, 3, 8, 0.1);
  make_burgers(dir.file("Burgers_Nu1.0.h5"), 100, 4, 8, 1.0);
  log::set_level(log::Level::error);
  DataOptions o;
  o.files = {dir.file("Burgers_Nu0.01.h5"), dir.file("Burgers_Nu0.1.h5")};
  const auto d = Dataset::open(o);  // equal initial conditions stay in one split because the key is the index
  CHECK(d->info().trajectories == 200);
  CHECK(d->params(5) == std::vector<double>{0.01});
  CHECK(d->params(105) == std::vector<double>{0.1});
  for (int64_t n : d->members(data::Split::test)) {
    const auto& m = d->members(data::Split::test);
    CHECK(std::find(m.begin(), m.end(), (n + 100) % 200) != m.end());
  }
  o.files = {dir.file("Burgers_Nu0.01.h5"), dir.file("Burgers_Nu1.0.h5")};
  CHECK(is_data_error(error_of([&] { Dataset::open(o); }), "Burgers_Nu1.0.h5"));
  o.files = {dir.file("Burgers_Nu0.01.h5")};
  o.task = {"advection1d"};
  CHECK(is_data_error(error_of([&] { Dataset::open(o); }), "burgers1d"));
}

TEST_CASE("files are found below data.root by task; shard_limit; names without extension") {
  const TempDir dir;
  log::set_level(log::Level::error);
  for (const char* nu : {"0.01", "0.1"}) {
    make_burgers(dir.file(std::string("1D_Burgers_Sols_Nu") + nu + ".hdf5"), 100, 3, 8, std::stod(nu));
  }
  make_burgers(dir.file("1D_Advection_Sols_beta1.0.hdf5"), 4, 3, 8);
  std::ofstream(dir.file("notes.txt")) << "not data";
  DataOptions o;
  o.root = dir.path().string();
  o.task = {"burgers1d"};
  CHECK(Dataset::open(o)->info().trajectories == 200);
  o.shard_limit = 1;
  CHECK(Dataset::open(o)->info().trajectories == 100);
  o.task = {"burgers1d", "advection1d"};
  CHECK(error_of([&] { Dataset::open(o); }).code() == ExitCode::usage);
  CHECK(error_of([] { Dataset::open(DataOptions()); }).code() == ExitCode::usage);
  o.task = {};
  o.shard_limit.reset();
  make_burgers(dir.file("burgers_nu0.25"), 100, 3, 8, 0.25);
  o.files = {dir.file("burgers_nu0.25")};
  CHECK(Dataset::open(o)->params(0) == std::vector<double>{0.25});
  o.memory_budget = "64KiB";  // too small for RAM: auto streams, ram says so
  CHECK(Dataset::open(o)->bytes_resident() > 0);
  o.memory_budget = "4KiB";
  CHECK(Dataset::open(o)->bytes_resident() == 0);
  o.cache = "ram";
  CHECK(error_of([&] { Dataset::open(o); }).code() == ExitCode::memory);
  o.memory_budget = "many";
  CHECK(error_of([&] { Dataset::open(o); }).code() == ExitCode::usage);
}
