// Zarr v2: a store that the package zarr wrote (tests/tools/make_zarr_golden.py), and stores that lie.
#include <filesystem>

#include "data_test.h"
#include "test_common.h"
#include "ups/data/convert.h"
#include "ups/data/files.h"
#include "ups/data/inspect.h"
#include "ups/data/source.h"
#include "ups/data/validate.h"
#include "ups/io/zarr.h"

using namespace ups;
using namespace ups::test;
namespace fs = std::filesystem;

namespace {

const std::string kStore = std::string(UPS_SOURCE_DIR) + "/tests/golden/zarr/trio.zarr";

float expected(int64_t n, int64_t t, int64_t c, int64_t h, int64_t w) {
  if (c < 2) return value_of(n, t, c, h, w);
  return t < 2 ? 7.f : -static_cast<float>(t + h + w);
}

// A copy of run0 that may be spoilt: its place and its error when opened and read.
struct Copy {
  TempDir dir;
  std::string store = dir.file("s.zarr");
  Copy() { fs::copy(kStore + "/run0", store, fs::copy_options::recursive); }
  void write(const std::string& name, const std::string& text) { std::ofstream(store + "/" + name) << text; }
  Error error() {
    return error_of([&] {
      const auto s = data::open_source(store, {});
      std::vector<float> v(static_cast<size_t>(s->info().frames * s->info().channels * s->info().cells()));
      s->read(0, 0, s->info().frames, 1, v);
    });
  }
  std::string meta(const std::string& change_from, const std::string& change_to) const {
    std::ifstream in(kStore + "/run0/fields/u/.zarray");
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const size_t at = text.find(change_from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, change_from.size(), change_to);
  }
};

}  // namespace

TEST_CASE("zarr: zlib, gzip and plain chunks, both byte orders, missing chunks, ragged edges") {
  const auto source = data::open_source(kStore, {});
  const data::SourceInfo& s = source->info();
  CHECK(s.format == "zarr");
  CHECK((s.trajectories == 3 && s.frames == 5 && s.channels == 3));
  CHECK(s.grid == std::vector<int64_t>{3, 4});
  CHECK(s.channel_names == std::vector<std::string>{"u0", "u1", "v"});
  CHECK(s.time[4] == 2.0);
  CHECK(s.coords[0][2] == 2.0 / 3);
  CHECK(s.coords[1][3] == 0.75);
  CHECK(s.params == std::map<std::string, double>{{"nu", 0.01}});
  for (int64_t n = 0; n < 3; ++n) {
    for (const auto& [first, count, stride] : {std::array<int64_t, 3>{0, 5, 1}, {1, 2, 3}, {4, 1, 1}}) {
      std::vector<float> v(static_cast<size_t>(count * 3 * 12));
      source->read(n, first, count, stride, v);
      size_t k = 0;
      for (int64_t t = 0; t < count; ++t) {
        for (int64_t c = 0; c < 3; ++c) {
          for (int64_t h = 0; h < 3; ++h) {
            for (int64_t w = 0; w < 4; ++w) REQUIRE(v[k++] == expected(n, first + t * stride, c, h, w));
          }
        }
      }
    }
  }
  CHECK(contains(data::inspect_text(kStore, {}), "zarr of trio"));
  CHECK(contains(data::validate({kStore}, {}), "ok, zarr"));
  const TempDir dir;
  data::ConvertOptions o;
  o.in = {kStore};
  o.out = dir.file("trio.h5");
  data::convert(o);
  const auto copy = data::open_source(o.out, {});
  std::vector<float> v(5 * 3 * 12);
  copy->read(2, 0, 5, 1, v);
  CHECK(v[static_cast<size_t>((3 * 3 + 1) * 12 + 2 * 4 + 1)] == expected(2, 3, 1, 2, 1));
  CHECK(data::open_source(kStore + "/run1", {})->info().trajectories == 1);  // a group is a store of its own
  data::DataOptions d;
  d.path = kStore;
  CHECK(data::choose_files(d)[0].path == kStore);
  d.group = "run1";
  CHECK(data::choose_files(d)[0].path == kStore + "/run1");
}

TEST_CASE("zarr: other versions, compressors, orders and types are refused with advice") {
  const auto refused = [](const char* from, const char* to) {
    Copy c;
    c.write("fields/u/.zarray", c.meta(from, to));
    return c.error();
  };
  CHECK(refused("\"order\": \"C\"", "\"order\": \"C\"").code() == ExitCode::ok);
  CHECK(is_data_error(refused("\"zlib\"", "\"blosc\""), "compressor"));
  CHECK(is_data_error(refused("\"order\": \"C\"", "\"order\": \"F\""), "order"));
  CHECK(is_data_error(refused("<f4", "<c8"), "dtype"));
  CHECK(is_data_error(refused("<f4", "<f8"), "expected a chunk"));  // chunks hold half of what it says
  CHECK(is_data_error(refused("\"zarr_format\": 2", "\"zarr_format\": 3"), "zarr_format"));
  CHECK(is_data_error(refused("\"filters\": null", "\"filters\": [{\"id\": \"delta\"}]"), "filters"));
  CHECK(is_data_error(refused("5,", "99999999999,"), "shape"));
  CHECK(is_data_error(refused("5,", "-5,"), "shape"));
  CHECK(is_data_error(refused("5,", "2000000000,"), "bytes"));
  CHECK(is_data_error(refused("\"chunks\": [", "\"chunks\": [100000, 100000, "), "chunks"));
  CHECK(is_data_error(refused("{", "[{"), "JSON"));
  Copy three;
  fs::remove(three.store + "/.zgroup");
  three.write("zarr.json", "{}");
  CHECK(is_data_error(three.error(), "version 3"));
  Copy mesh;
  mesh.write(".zattrs", R"({"kind": "mesh"})");
  CHECK(is_data_error(mesh.error(), "kind"));
}

TEST_CASE("zarr: links out of the store are not followed, damage is found") {
  Copy chunk;
  fs::remove(chunk.store + "/fields/u/0.0.0.0");
  fs::create_symlink(kStore + "/run0/fields/u/0.0.0.0", chunk.store + "/fields/u/0.0.0.0");
  CHECK(chunk.error().code() != ExitCode::ok);
  Copy meta;
  fs::remove(meta.store + "/fields/u/.zarray");
  fs::create_symlink(kStore + "/run0/fields/u/.zarray", meta.store + "/fields/u/.zarray");
  CHECK(meta.error().code() != ExitCode::ok);
  Copy folder;
  fs::remove_all(folder.store + "/time");
  fs::create_directory_symlink(kStore + "/run0/time", folder.store + "/time");
  CHECK(is_data_error(folder.error(), "found nothing"));
  Copy cut;
  fs::resize_file(cut.store + "/fields/u/0.0.0.0", 9);
  CHECK(is_data_error(cut.error(), "damaged"));
  Copy path;
  CHECK(error_of([&] { io::ZarrStore(path.store).array("../s.zarr/time"); }).code() == ExitCode::data);
}
